/* YAML config: values arrive, mistakes are named with file and line. */
#include <unistd.h>

#include "common/config.h"
#include "common/text.h"
#include "tests/check.h"

static char path[64];

static pf_err
load(struct pf_config *conf, const char *text)
{
    FILE *f;
    snprintf(path, sizeof path, "/tmp/pf-config-%d.yaml", (int)getpid());
    f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    *conf = pf_conf;
    const pf_err err = pf_config_load(conf, path);
    unlink(path);
    return err;
}

static void
test_values_replace_defaults(void **state)
{
    struct pf_config c;
    (void)state;
    assert_ok(load(&c, "unet: {model_channels: 64, channel_mult: [1, 1, 2, 2]}\n"
                       "sampler:\n"
                       "  eta: 0.5\n"));
    assert_int_equal(c.unet.model_channels, 64);
    assert_int_equal(c.unet.channel_mult[3], 2);
    assert_true(c.sampler.eta == 0.5);
    assert_int_equal(c.clip.width, 1024);               /* not mentioned: the default */
}

static void
test_empty_file_changes_nothing(void **state)
{
    struct pf_config c;
    (void)state;
    assert_ok(load(&c, "# nothing\n"));
    assert_memory_equal(&c, &pf_conf, sizeof c);
}

static void
test_unknown_key_names_the_nearest(void **state)
{
    struct pf_config c;
    (void)state;
    assert_fails(load(&c, "sampler:\n  steps: 10\n  cfg_scal: 2\n"), PF_EFORMAT,
                 ":3: there is no key \"cfg_scal\" in sampler; did you mean cfg_scale?");
    assert_fails(load(&c, "\nsamples: {steps: 1}\n"), PF_EFORMAT,
                 ":2: there is no section \"samples\"; did you mean sampler?");
}

static void
test_wrong_values_are_named(void **state)
{
    struct pf_config c;
    (void)state;
    assert_fails(load(&c, "sampler: {steps: 12abc}"), PF_EFORMAT,
                 "sampler.steps needs a whole number");
    assert_fails(load(&c, "sampler: {steps: 0}"), PF_EFORMAT, "expected 1 to 1000");
    assert_fails(load(&c, "sampler: {eta: .nan}"), PF_EFORMAT, "sampler.eta needs a number");
    assert_fails(load(&c, "unet: {channel_mult: [1, 2]}"), PF_EFORMAT, "list of 4 numbers");
    assert_fails(load(&c, "unet: {channel_mult: 3}"), PF_EFORMAT, "list of 4 numbers");
    assert_fails(load(&c, "mask: {method: magic}"), PF_EFORMAT, "auto|alpha|white|net");
    assert_fails(load(&c, "model: {view_num: 16, view_num: 8}"), PF_EFORMAT, "given twice");
    assert_fails(load(&c, "model: {view_num: 16}\nmodel: {view_num: 8}"), PF_EFORMAT,
                 ":2: section model is given twice");
    assert_fails(load(&c, "model: 3"), PF_EFORMAT, "section model");
    assert_fails(load(&c, "- a\n"), PF_EFORMAT, ":1: expected sections");
    assert_fails(load(&c, "model: {view_num: 16\n"), PF_EFORMAT, "pf-config-");
    assert_fails(pf_config_load(&c, "/nonexistent.yaml"), PF_EIO, "/nonexistent.yaml");
}

static void
test_numbers_are_parsed_whole(void **state)
{
    int64_t i;
    double d;
    (void)state;
    assert_true(pf_parse_int(&i, "-12") && i == -12);
    assert_false(pf_parse_int(&i, "12abc") || pf_parse_int(&i, "") || pf_parse_int(&i, " 1") ||
                 pf_parse_int(&i, "99999999999999999999"));
    assert_true(pf_parse_real(&d, "1e-3") && d == 1e-3);
    assert_false(pf_parse_real(&d, "nan") || pf_parse_real(&d, "inf") ||
                 pf_parse_real(&d, "1e999") || pf_parse_real(&d, "1,5"));
}

static void
test_choices_are_whole_words(void **state)
{
    (void)state;
    assert_true(pf_is_choice("alpha", "auto|alpha|white"));
    assert_false(pf_is_choice("alp", "auto|alpha|white") || pf_is_choice("", "auto|alpha"));
}

static void
test_sections_are_compared(void **state)
{
    struct pf_config c = pf_conf;
    char was[200], is[200], tight[12], *text = pf_config_section(&c, "neus");
    (void)state;
    assert_non_null(text);
    assert_ok(pf_config_compare(was, is, sizeof was, &c, "neus", text));
    assert_string_equal(was, "");
    assert_string_equal(is, "");
    c.neus.steps = 8;
    c.neus.lr = 0.1;                            /* no short fraction in binary */
    c.neus.field = "mlp";
    c.sampler.steps = 3;                        /* of another section */
    assert_ok(pf_config_compare(was, is, sizeof was, &c, "neus", text));
    assert_string_equal(was, "neus.field \"hash\", neus.steps 1000, neus.lr 0.01");
    assert_string_equal(is, "neus.field \"mlp\", neus.steps 8, neus.lr 0.1");
    assert_ok(pf_config_compare(tight, is, sizeof tight, &c, "neus", text));
    assert_string_equal(tight, "neus.field ");
    assert_ok(pf_config_compare(was, is, sizeof was, &c, "neus", "{\"lr\":0.1,\"gone\":2}"));
    assert_string_equal(is, "");
    free(text);
    text = pf_config_section(&c, "volume");
    assert_non_null(strstr(text, "\"dims\":[64,128,256,512]"));
    c.volume.dims[3] = 4;
    assert_ok(pf_config_compare(was, is, sizeof was, &c, "volume", text));
    assert_string_equal(is, "volume.dims [64,128,256,4]");
    free(text);
    assert_fails(pf_config_compare(was, is, sizeof was, &c, "neus", "7"), PF_EFORMAT,
                 "settings of neus");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_replace_defaults),
        cmocka_unit_test(test_empty_file_changes_nothing),
        cmocka_unit_test(test_unknown_key_names_the_nearest),
        cmocka_unit_test(test_wrong_values_are_named),
        cmocka_unit_test(test_numbers_are_parsed_whole),
        cmocka_unit_test(test_choices_are_whole_words),
        cmocka_unit_test(test_sections_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
