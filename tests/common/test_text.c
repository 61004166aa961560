/* Text of strangers: what of it a terminal may see. */
#include "common/json.h"
#include "common/text.h"
#include "tests/check.h"

static void
expect_clean(const char *text, const char *clean)
{
    char copy[100], printed[100] = "";
    snprintf(copy, sizeof copy, "%s", text);
    assert_string_equal(pf_text_clean(copy), clean);
    FILE *const f = fmemopen(printed, sizeof printed, "w");
    assert_non_null(f);
    pf_text_print(f, text);
    fclose(f);
    if (strlen(printed) != strlen(clean))               // a character of two bytes is one '?' there
        assert_non_null(strstr(text, "\xc2"));
    else
        assert_string_equal(printed, clean);
    assert_false(strpbrk(printed, "\33\7\x7f"));
}

static void
test_what_a_terminal_obeys_is_not_shown(void **state)
{
    (void)state;
    expect_clean("plain, with spaces", "plain, with spaces");
    expect_clean("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
                 "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_clean("\33]0;title\7\33[31m", "?]0;title??[31m");
    expect_clean("two\nlines\r\t", "two?lines??");
    expect_clean("\x7f", "?");
    expect_clean("a\xc2\x9b" "31m", "a??31m");             // U+009B, C1's way to say ESC [
    expect_clean("a\x9b" "31m", "a?31m");                  // the same in Latin-1
    expect_clean("\xc2\xa0\xc2\xbf", "\xc2\xa0\xc2\xbf");  // where C1 ends
    expect_clean("cut \xe2\x82", "cut ??");
    expect_clean("\xc0\x9b\xed\xa0\x80", "?????");         // too long a form; half of a pair
}

static void
test_sentences_are_clean(void **state)
{
    (void)state;
    assert_int_equal(pf_fail(PF_EFORMAT, "tensor %s", "\33[31m\xc2\x9b" "1m"), PF_EFORMAT);
    assert_string_equal(pf_error(), "tensor ?[31m??1m");
    assert_int_equal(pf_fail_in(PF_EFORMAT, "file \a"), PF_EFORMAT);
    assert_string_equal(pf_error(), "file ?: tensor ?[31m??1m");
}

static void
test_json_is_whole_or_not_there(void **state)
{
    json_t *const all = json_pack("{s:i, s:[f, s]}", "a", 1, "b", 0.5, "c");
    char *const text = pf_json_text(all, JSON_COMPACT | JSON_SORT_KEYS);
    (void)state;
    assert_non_null(text);
    assert_string_equal(text, "{\"a\":1,\"b\":[0.5,\"c\"]}");
    free(text);
    json_decref(all);
    assert_null(pf_json_text(NULL, 0));
    json_t *const number = json_integer(3);
    assert_null(pf_json_text(number, 0));               // jansson: not by itself
    json_decref(number);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_terminal_obeys_is_not_shown),
        cmocka_unit_test(test_sentences_are_clean),
        cmocka_unit_test(test_json_is_whole_or_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
