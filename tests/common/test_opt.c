/* The table of options: values arrive, ranges hold, and a mistake is one sentence. */
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "common/config.h"
#include "common/opt.h"
#include "tests/check.h"

static struct values {
    int whole;
    double real;
    const char *text, *word;
    bool flag;
    struct pf_list list;
} v;
static const struct values at_start = {.whole = 3, .real = 0.5, .word = "auto"};

static const struct pf_opt opts[] = {
    PF_OPT_INT('n', "whole-number", v.whole, "N", "a whole number", -2, 9, .alias = "wholes"),
    PF_OPT_INT(0, "any", v.whole, "N", "a whole number of any size", 0, 0),
    PF_OPT_REAL(0, "real", v.real, "X", "a real number", -1, 1),
    PF_OPT_STR('t', "text", v.text, "TEXT", "a text"),
    PF_OPT_CHOICE(0, "word", v.word, "auto|alpha", "a word"),
    PF_OPT_FLAG('f', "flag", v.flag, "a flag"),
    PF_OPT_LIST(0, "list", v.list, "NUMBER[,NUMBER[,NUMBER...]]", "numbers", -89, 89),
    PF_OPT_INT(0, "steps", pf_conf.sampler.steps, "N", "of the config", 1, 1000),
    PF_OPT_END
};

static char **operand;
static int operands;

static void
start(char **argv)
{
    static const struct pf_common common = {.out = "-", .device = "auto", .seed = 6033};
    pf_common = common;
    v = at_start;
    operand = argv;
    for (operands = 0; argv[operands]; operands++)
        ;
    pf_start(&operands, &operand, "[STREAM]", "A test.", opts);
}
#define ARGV(...) (char *[]){"/usr/bin/pf-test", __VA_ARGS__, NULL}
#define START(...) start(ARGV(__VA_ARGS__))

/* What a program says that is started like this, on both outputs, and its status. */
static int
run(char said[4096], char **argv)
{
    FILE *f = tmpfile();
    int status;
    assert_non_null(f);
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(f), STDOUT_FILENO);
        dup2(fileno(f), STDERR_FILENO);
        start(argv);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rewind(f);
    said[fread(said, 1, 4095, f)] = 0;
    fclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Refused with this status, in one line of these words. */
static void
refuse(int status, const char *words, char **argv)
{
    char said[4096];
    const int is = run(said, argv);
    const char *line = strchr(said, '\n');
    if (is != status || !strstr(said, words) || strncmp(said, "pf-test: ", 9) || !line || line[1])
        fail_msg("%d, \"%s\"; expected %d, one line with \"%s\"", is, said, status, words);
}
#define REFUSE(status, words, ...) refuse(status, words, ARGV(__VA_ARGS__))

static void
test_every_type_is_read(void **state)
{
    (void)state;
    START("--whole-number", "7", "--real=-0.25", "--text", "a b", "--word=alpha", "--flag",
          "--list", "1,-2.5,1e1", "--seed", "9007199254740992");
    assert_int_equal(v.whole, 7);
    assert_true(v.real == -0.25);
    assert_string_equal(v.text, "a b");
    assert_string_equal(v.word, "alpha");
    assert_true(v.flag);
    assert_int_equal(v.list.n, 3);
    assert_true(v.list.v[0] == 1 && v.list.v[1] == -2.5 && v.list.v[2] == 10);
    assert_true(pf_common.seed == INT64_C(1) << 53);
    assert_string_equal(pf_program(), "pf-test");
}

static void
test_without_options_values_stay(void **state)
{
    (void)state;
    start((char *[]){"pf-test", NULL});
    assert_int_equal(operands, 0);
    assert_int_equal(v.whole, 3);
    assert_null(v.text);
    assert_false(v.flag);
    assert_int_equal(v.list.n, 0);
    assert_int_equal(pf_common.seed, 6033);
}

static void
test_spellings(void **state)
{
    (void)state;
    START("--whole_number=4");                          // the original's underscores
    assert_int_equal(v.whole, 4);
    START("--wholes", "5");
    assert_int_equal(v.whole, 5);
    START("-n6");
    assert_int_equal(v.whole, 6);
    START("-n", "-1");                                  // a value may begin with a dash
    assert_int_equal(v.whole, -1);
    START("-fvvqn8");                                   // letters together; the last takes the rest
    assert_true(v.flag && pf_common.quiet);
    assert_int_equal(pf_common.verbose, 2);
    assert_int_equal(v.whole, 8);
    START("--text=a=b", "-t", "c");                     // the last one holds
    assert_string_equal(v.text, "c");
    START("--text=a=b");
    assert_string_equal(v.text, "a=b");
}

static void
test_operands_stay_in_order(void **state)
{
    (void)state;
    START("a", "-n", "1", "-", "--flag", "b", "--", "--flag", "-n");
    assert_int_equal(operands, 5);
    assert_string_equal(operand[0], "a");
    assert_string_equal(operand[1], "-");
    assert_string_equal(operand[2], "b");
    assert_string_equal(operand[3], "--flag");
    assert_string_equal(operand[4], "-n");
}

static void
test_ranges_include_their_ends(void **state)
{
    (void)state;
    START("--whole-number", "-2", "--real", "1", "--list=-89,89");
    assert_true(v.whole == -2 && v.real == 1 && v.list.n == 2);
    START("--whole-number", "9", "--real", "-1", "--any", "2147483647");
    assert_true(v.whole == INT32_MAX && v.real == -1);
    REFUSE(2, "--whole-number -3 is out of range: -2 to 9", "--whole-number", "-3");
    REFUSE(2, "--whole-number 10 is out of range", "--wholes", "10");
    REFUSE(2, "--real 1.001 is out of range: -1 to 1", "--real", "1.001");
    REFUSE(2, "--list 89.5 is out of range", "--list", "0,89.5");
    REFUSE(2, "--any 2147483648 is out of range", "--any", "2147483648");
    REFUSE(2, "--any -2147483649 is out of range", "--any=-2147483649");
    REFUSE(2, "--seed -1 is out of range", "--seed", "-1");
    REFUSE(2, "--seed 9007199254740994 is out of range", "--seed", "9007199254740994");
}

static void
test_numbers_are_read_whole(void **state)
{
    (void)state;
    REFUSE(2, "--whole-number needs a whole number, not \"1.5\"", "-n", "1.5");
    REFUSE(2, "needs a whole number, not \"\"", "-n", "");
    REFUSE(2, "needs a whole number, not \" 1\"", "-n", " 1");
    REFUSE(2, "needs a whole number, not \"99999999999999999999\"", "-n99999999999999999999");
    REFUSE(2, "--real needs a number, not \"1x\"", "--real", "1x");
    REFUSE(2, "--list needs numbers separated by commas, not \"\"", "--list", "1,,2");
    REFUSE(2, "--list needs numbers separated by commas, not \"\"", "--list", "");
    /* These come from somebody's arithmetic, not from a wrong call. */
    REFUSE(2, "--real is nan, not a finite number", "--real", "nan");
    REFUSE(2, "--real is -inf, not a finite number", "--real", "-inf");
    REFUSE(2, "--list is 1e999, not a finite number", "--list", "0,1e999");
}

static void
test_a_list_holds_64_numbers(void **state)
{
    char text[2 * PF_LIST_MAX + 3];
    (void)state;
    for (int i = 0; i <= PF_LIST_MAX; i++)
        memcpy(text + 2 * i, "1,", 2);
    text[2 * PF_LIST_MAX - 1] = 0;
    START("--list", text);
    assert_int_equal(v.list.n, PF_LIST_MAX);
    text[2 * PF_LIST_MAX - 1] = ',';
    text[2 * PF_LIST_MAX + 1] = 0;
    REFUSE(2, "--list takes at most 64 numbers", "--list", text);
}

static void
test_mistakes_are_named(void **state)
{
    (void)state;
    REFUSE(2, "there is no option --whole_numer; did you mean --whole-number?", "--whole_numer=1");
    REFUSE(2, "did you mean --flag?", "--flog");
    REFUSE(2, "there is no option --zzzzzzzzzzzz (try pf-test -h)", "--zzzzzzzzzzzz");
    REFUSE(2, "there is no option -z", "-fz");
    REFUSE(2, "there is no option --none", "-h", "--none");     // a mistake goes before help
    REFUSE(2, "--text needs a value", "a", "--text");
    REFUSE(2, "-t needs a value", "-t");
    REFUSE(2, "--flag takes no value", "--flag=1");
    REFUSE(2, "--word is one of auto|alpha, not \"alph\"", "--word", "alph");
    REFUSE(2, "--word needs a value, not an empty word", "--word", "");
    REFUSE(2, "--precision is one of f32|tf32|f16|bf16|f8", "--precision", "f4");
    REFUSE(1, "cannot read /none.yaml", "-c", "/none.yaml");
}

/* A default, then the file, then the command line, wherever -c stands. */
static void
test_option_beats_config_file(void **state)
{
    char path[] = "/tmp/pf-opt-XXXXXX";
    const int before = pf_conf.sampler.steps, fd = mkstemp(path);
    static const char yaml[] = "sampler: {steps: 7}\n";
    (void)state;
    assert_true(fd >= 0 && write(fd, yaml, sizeof yaml - 1) == sizeof yaml - 1);
    close(fd);
    START("--cfg", path);
    assert_int_equal(pf_conf.sampler.steps, 7);
    START("--steps", "9", "-c", path, "a");
    assert_int_equal(pf_conf.sampler.steps, 9);
    assert_int_equal(operands, 1);
    unlink(path);
    pf_conf.sampler.steps = before;
}

static void
test_help_and_version(void **state)
{
    char said[4096];
    (void)state;
    assert_int_equal(run(said, ARGV("--version", "-n4")), 0);
    assert_string_equal(said, "pf-test (posefusion) " PF_VERSION "\n");
    /* Help shows the values as they are by then. */
    assert_int_equal(run(said, ARGV("-n4", "--list=1,2.5", "--text", "t", "-h")), 0);
    assert_memory_equal(said, "usage: pf-test [options] [STREAM]\nA test.\n", 42);
    assert_non_null(strstr(said, "\n  -n, --whole-number N              a whole number (4)\n"
                                 "                                    also --wholes\n"));
    assert_non_null(strstr(said, "\n      --list NUMBER[,NUMBER[,NUMBER...]]\n"
                                 "                                    numbers (1,2.5)\n"));
    assert_non_null(strstr(said, "a text (t)\n"));
    assert_non_null(strstr(said, "  -f, --flag                        a flag\n"));
    assert_non_null(strstr(said, "\n      --precision f32|tf32|f16|bf16|f8\n"
                                 "                                    arithmetic"));
    assert_non_null(strstr(said, "of all random numbers (6033)\n"));
}

static void
test_history_says_what_was_asked(void **state)
{
    (void)state;
    START("-n4", "--list=1,2.5", "--text", "caf\xe9", "--seed=5", "-w", "w.ckpt", "--flag");
    char *text = pf_history_entry();
    json_t *entry = json_loads(text, 0, NULL), *o = json_object_get(entry, "options");
    assert_string_equal(json_string_value(json_object_get(entry, "tool")), "pf-test");
    assert_string_equal(json_string_value(json_object_get(entry, "version")), PF_VERSION);
    assert_int_equal(json_integer_value(json_object_get(entry, "seed")), 5);
    assert_int_equal(json_integer_value(json_object_get(o, "whole-number")), 4);
    assert_true(json_is_true(json_object_get(o, "flag")));
    assert_true(json_real_value(json_array_get(json_object_get(o, "list"), 1)) == 2.5);
    assert_string_equal(json_string_value(json_object_get(o, "text")), "caf?");     // not UTF-8
    assert_string_equal(json_string_value(json_object_get(o, "weights")), "w.ckpt");
    assert_null(json_object_get(o, "config"));
    json_decref(entry);
    free(text);
}

static void
test_what_the_command_line_set_is_known(void **state)
{
    (void)state;
    START("--seed", "6033", "-f");
    assert_true(pf_given(&pf_common.seed) && pf_given(&v.flag));
    assert_false(pf_given(&v.real) || pf_given(&pf_common.out));
    START("--real=1");
    assert_false(pf_given(&pf_common.seed));
    assert_true(pf_given(&v.real));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_command_line_set_is_known),
        cmocka_unit_test(test_every_type_is_read),
        cmocka_unit_test(test_without_options_values_stay),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_operands_stay_in_order),
        cmocka_unit_test(test_ranges_include_their_ends),
        cmocka_unit_test(test_numbers_are_read_whole),
        cmocka_unit_test(test_a_list_holds_64_numbers),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_option_beats_config_file),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_history_says_what_was_asked),
    };
    return cmocka_run_group_tests_name("opt", tests, NULL, NULL);
}
