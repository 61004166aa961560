/* The header of a safetensors document: what is printed parses again, and what is wrong is named.
 * Whole hostile files are in test_checkpoint.c. */
#include "common/safetensors.h"
#include "tests/check.h"

static pf_err
parse(const char *json)
{
    struct pf_st_header h;
    const pf_err err = pf_st_parse(&h, json, strlen(json));
    if (!err)
        pf_st_release(&h);
    return err;
}

static void
test_worked_example(void **state)
{
    static const char json[] =
        "{\"__metadata__\":{\"k\":\"v\"},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}   ";
    struct pf_st_header h;
    (void)state;
    assert_ok(pf_st_parse(&h, json, strlen(json)));
    assert_int_equal(h.entries, 2);
    assert_string_equal(h.entry[0].name, "a");          // in name order
    assert_int_equal(h.entry[0].t.ndim, 0);
    assert_int_equal(h.entry[1].t.dtype, PF_F16);
    assert_int_equal(h.entry[1].t.dim[1], 3);
    assert_int_equal(h.entry[1].end, 12);
    assert_int_equal(h.data_size, 13);
    assert_int_equal(h.metas, 1);
    assert_string_equal(h.meta[0].value, "v");
    pf_st_release(&h);
}

/* Printed and parsed: the same entries, laid out without holes, data on a 64-byte boundary. */
static void
test_printed_header_parses_to_the_same(void **state)
{
    struct pf_st_entry entry[] = {
        {.name = "empty", .t = PF_VIEW(NULL, PF_F32, 0, 4)},
        {.name = "m.\xc3\xa9 \"x\"", .t = PF_VIEW(NULL, PF_F64, 3)},
        {.name = "z", .t = PF_VIEW(NULL, PF_BOOL, 5, 1, 2)},
    };
    struct pf_st_meta meta[] = {{"key", "a \"quoted\"\nvalue"}};
    struct pf_st_header h = {.entry = entry, .entries = 3, .meta = meta, .metas = 1}, back;
    char *bytes;
    size_t size;
    (void)state;
    assert_ok(pf_st_print(&bytes, &size, &h));
    assert_int_equal(size % PF_ST_ALIGN, 0);
    assert_int_equal((unsigned char)bytes[0] + 256 * (unsigned char)bytes[1], size - 8);
    assert_ok(pf_st_parse(&back, bytes + 8, size - 8));
    assert_int_equal(back.data_size, 34);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(back.entry[i].name, entry[i].name);
        assert_int_equal(back.entry[i].begin, entry[i].begin);
        const pf_tensor *t = &entry[i].t;
        assert_true(pf_tensor_is(&back.entry[i].t, t->dtype, t->ndim, t->dim));
    }
    assert_string_equal(back.meta[0].value, meta[0].value);
    pf_st_release(&back);
    free(bytes);
}

static void
test_empty_document_is_one(void **state)
{
    (void)state;
    assert_ok(parse("{}"));
    assert_ok(parse("{\"__metadata__\":{}}"));
}

static void
test_wrong_headers_are_refused(void **state)
{
    (void)state;
    assert_fails(parse(""), PF_EFORMAT, "not valid JSON");
    assert_fails(parse("[]"), PF_EFORMAT, "not a JSON object");
    assert_fails(parse("{} x"), PF_EFORMAT, "not valid JSON");
    assert_fails(parse("{\"a\":1}"), PF_EFORMAT, "a is not described");
    assert_fails(parse("{\"__metadata__\":[]}"), PF_EFORMAT, "__metadata__");
    assert_fails(parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
                       "\"data_offsets\":[0,9223372036854775808]}}"),
                 PF_EFORMAT, "not valid JSON");
    assert_fails(parse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],"
                       "\"data_offsets\":[0,0]}}"),
                 PF_EFORMAT, "too large");
}

static void
test_names_are_text_without_control_characters(void **state)
{
    static const struct { const char *name; size_t length; bool ok; } cases[] = {
        {"a.b", 3, true}, {"\xe4\xb8\xad", 3, true}, {"\xf0\x9f\x98\x80", 4, true}, {"", 0, false},
        {"a\0b", 3, false}, {"a\nb", 3, false}, {"\x7f", 1, false}, {"\xff", 1, false},
        {"\xc0\x80", 2, false}, {"\xed\xa0\x80", 3, false}, {"\xe4\xb8", 2, false},
        {"\xf4\x90\x80\x80", 4, false},
    };
    char longest[PF_ST_NAME_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (pf_st_name_ok(cases[i].name, cases[i].length) != cases[i].ok)
            fail_msg("case %zu", i);
    memset(longest, 'x', sizeof longest);
    assert_true(pf_st_name_ok(longest, PF_ST_NAME_MAX));
    assert_false(pf_st_name_ok(longest, PF_ST_NAME_MAX + 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_printed_header_parses_to_the_same),
        cmocka_unit_test(test_empty_document_is_one),
        cmocka_unit_test(test_wrong_headers_are_refused),
        cmocka_unit_test(test_names_are_text_without_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
