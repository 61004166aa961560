/* opt.c - one table is the parser, the help and the history (opt.h). */
#include "common/opt.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/config.h"
#include "common/error.h"
#include "common/json.h"
#include "common/output.h"
#include "common/text.h"

struct pf_common pf_common = {.out = "-", .device = "auto", .seed = 6033};

#define SEED_MAX 9007199254740992.0     /* 2^53: exact as a double, so the range check is too */

static const struct pf_opt common_opts[] = {
    PF_OPT_STR('o', "output", pf_common.out, "FILE", "write here instead of standard output"),
    PF_OPT_STR('c', "config", pf_common.config, "FILE", "YAML settings, pf-config(5)",
               .alias = "cfg"),
    PF_OPT_STR('w', "weights", pf_common.weights, "FILE",
               "network weights: .safetensors, .ckpt, .pt, .onnx", .alias = "ckpt"),
    PF_OPT_STR('d', "device", pf_common.device, "DEVICE", "auto, cpu, cuda or cuda:N"),
    PF_OPT_CHOICE(0, "precision", pf_common.precision, "f32|tf32|f16|bf16|f8",
                  "arithmetic; the device's best by default"),
    PF_OPT_(INT64, 0, "seed", pf_common.seed, "N", "of all random numbers", .hi = SEED_MAX),
    PF_OPT_INT(0, "threads", pf_common.threads, "N", "CPU threads; 0: one for each processor", 0,
               1024),
    PF_OPT_FLAG('k', "keep-going", pf_common.keep_going,
                "an object that fails does not end the run"),
    PF_OPT_FLAG('q', "quiet", pf_common.quiet, "no progress, no stage times"),
    PF_OPT_(COUNT, 'v', "verbose", pf_common.verbose, 0, "stage times, memory"),
    PF_OPT_FLAG(0, "sandbox", pf_common.sandbox, "fail where the system has no sandbox"),
    PF_OPT_FLAG(0, "no-sandbox", pf_common.no_sandbox, "without it, where the system has one"),
    {.type = PF_OPT_T_END, .letter = 'h', .name = "help", .help = "this text"},
    {.type = PF_OPT_T_END, .name = "version", .help = "the version"},
};
enum { COMMON = sizeof common_opts / sizeof *common_opts };

static const struct pf_opt *own_opts;
static int own_count;
static const char *operands_text, *summary_text;
static const void *given[128];          /* variables that the command line set */
static int givens;

bool
pf_given(const void *value)
{
    for (int i = 0; i < givens; i++)
        if (given[i] == value)
            return true;
    return false;
}

void
pf_usage(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", pf_program());
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (try %s -h)\n", pf_program());
    exit(2);
}

void
pf_must_usage(pf_err err)
{
    if (err && err != PF_ENOMEM)
        pf_usage("%s", pf_error());
    pf_must(err);
}

/* Number i of all options: the tool's own come first, then the common ones. */
static const struct pf_opt *
opt_at(int i)
{
    return i < own_count ? own_opts + i : common_opts + (i - own_count);
}

static const struct pf_opt *
find_long(const char *name, size_t n)
{
    const char *names[128];
    char word[64];
    int count = 0;

    for (int i = 0; i < own_count + COMMON; i++)
        if (pf_same_name(name, opt_at(i)->name, n) || pf_same_name(name, opt_at(i)->alias, n))
            return opt_at(i);
    for (int i = 0; i < own_count + COMMON && count < 128; i++)
        names[count++] = opt_at(i)->name;
    snprintf(word, sizeof word, "%.*s", (int)(n < 60 ? n : 60), name);
    const char *near = pf_nearest(word, names, count);
    if (near)
        pf_usage("there is no option --%s; did you mean --%s?", word, near);
    pf_usage("there is no option --%s", word);
}

static const struct pf_opt *
find_letter(int letter)
{
    for (int i = 0; i < own_count + COMMON; i++)
        if (opt_at(i)->letter == letter)
            return opt_at(i);
    pf_usage("there is no option -%c", letter);
}

static void
check_range(const struct pf_opt *o, double v, const char *text)
{
    char lo[PF_NUMBER], hi[PF_NUMBER];

    if (o->lo < o->hi && !(v >= o->lo && v <= o->hi))
        pf_usage("--%s %s is out of range: %s to %s", o->name, text, pf_number_text(lo, o->lo),
                 pf_number_text(hi, o->hi));
}

/* A real number, parsed whole and finite. */
static double
real_value(const struct pf_opt *o, const char *word, const char *what)
{
    char *end;
    double v;

    if (pf_parse_real(&v, word))
        return v;
    v = strtod(word, &end);
    if (*word && !*end && !isfinite(v))
        pf_usage("--%s is %s, not a finite number", o->name, word);
    pf_usage("--%s needs %s, not \"%s\"", o->name, what, word);
}

static void
set_list(const struct pf_opt *o, const char *text)
{
    struct pf_list list = {0};
    char *copy = strdup(text), *at = copy, *word;

    while (copy && (word = strsep(&at, ","))) {
        if (list.n == PF_LIST_MAX)
            pf_usage("--%s takes at most %d numbers", o->name, PF_LIST_MAX);
        list.v[list.n] = real_value(o, word, "numbers separated by commas");
        check_range(o, list.v[list.n++], word);
    }
    free(copy);
    *(struct pf_list *)o->value = list;
}

bool
pf_list_parse(struct pf_list *list, const char *text, double lo, double hi)
{
    struct pf_list all = {0};
    char *copy = strdup(text), *at = copy, *word;
    bool good = copy;

    while (good && (word = strsep(&at, ","))) {
        good = all.n < PF_LIST_MAX && pf_parse_real(&all.v[all.n], word) &&
               all.v[all.n] >= lo && all.v[all.n] <= hi;
        all.n++;
    }
    free(copy);
    if (good)
        *list = all;
    return good;
}

static void
set(const struct pf_opt *o, const char *text)
{
    double real;
    int64_t whole;

    switch (o->type) {
    case PF_OPT_T_INT:
    case PF_OPT_T_INT64:
        if (!pf_parse_int(&whole, text))
            pf_usage("--%s needs a whole number, not \"%s\"", o->name, text);
        check_range(o, (double)whole, text);
        if (o->type == PF_OPT_T_INT64)
            *(int64_t *)o->value = whole;
        else if (whole < INT32_MIN || whole > INT32_MAX)
            pf_usage("--%s %s is out of range", o->name, text);
        else
            *(int *)o->value = (int)whole;
        break;
    case PF_OPT_T_REAL:
        real = real_value(o, text, "a number");
        check_range(o, real, text);
        *(double *)o->value = real;
        break;
    case PF_OPT_T_STR:
        if (!*text)
            pf_usage("--%s needs a value, not an empty word", o->name);
        if (o->choices && !pf_is_choice(text, o->choices))
            pf_usage("--%s is one of %s, not \"%s\"", o->name, o->choices, text);
        *(const char **)o->value = text;
        break;
    case PF_OPT_T_LIST:
        set_list(o, text);
        break;
    case PF_OPT_T_FLAG:
        *(bool *)o->value = true;
        break;
    case PF_OPT_T_COUNT:
        ++*(int *)o->value;
        break;
    case PF_OPT_T_END:
        break;
    }
}

static bool
takes_value(const struct pf_opt *o)
{
    return o->type != PF_OPT_T_FLAG && o->type != PF_OPT_T_COUNT && o->type != PF_OPT_T_END;
}

/* The current value of an option as text; "" if it has none. */
static void
value_text(char *buf, size_t size, const struct pf_opt *o)
{
    const struct pf_list *list = o->value;
    size_t n = 0;

    buf[0] = 0;
    switch (o->type) {
    case PF_OPT_T_INT: snprintf(buf, size, "%d", *(const int *)o->value); break;
    case PF_OPT_T_INT64: snprintf(buf, size, "%lld", (long long)*(const int64_t *)o->value); break;
    case PF_OPT_T_REAL: snprintf(buf, size, "%g", *(const double *)o->value); break;
    case PF_OPT_T_STR:
        if (*(const char **)o->value)
            snprintf(buf, size, "%s", *(const char **)o->value);
        break;
    case PF_OPT_T_LIST:
        for (int i = 0; i < list->n && n < size; i++)
            n += (size_t)snprintf(buf + n, size - n, "%s%g", i ? "," : "", list->v[i]);
        break;
    default: break;
    }
}

static void
print_option(const struct pf_opt *o)
{
    enum { COLUMN = 36 };               // where the text begins
    char left[96], value[256];
    int n = o->letter ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof left, "      --%s", o->name);

    if (o->arg)
        n += snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
    value_text(value, sizeof value, o);
    printf("%-*s", COLUMN, left);
    if (n >= COLUMN)
        printf("\n%*s", COLUMN, "");
    printf("%s", o->help);
    if (*value)
        printf(" (%s)", value);
    putchar('\n');
    if (o->alias)
        printf("%*salso --%s\n", COLUMN, "", o->alias);
}

static _Noreturn void
end_text(void)
{
    pf_must(pf_output_flush(stdout, "standard output"));
    exit(0);
}

static void
print_help(void)
{
    printf("usage: %s [options]%s%s\n%s\n", pf_program(), *operands_text ? " " : "", operands_text,
           summary_text);
    if (own_count)
        printf("\noptions (current value):\n");
    for (int i = 0; i < own_count; i++)
        print_option(own_opts + i);
    printf("\ncommon options, pf(7):\n");
    for (int i = 0; i < COMMON; i++)
        print_option(common_opts + i);
    end_text();
}

static void
got(const struct pf_opt *o, const char *text, bool config_only)
{
    const bool is_config = o->value == (void *)&pf_common.config;

    if (is_config == config_only && o->type != PF_OPT_T_END) {
        set(o, text);
        if (!pf_given(o->value) && givens < (int)(sizeof given / sizeof *given))
            given[givens++] = o->value;
    }
    if (o->type != PF_OPT_T_END || config_only)
        return;
    if (o->letter == 'h')
        print_help();
    printf("%s (posefusion) " PF_VERSION "\n", pf_program());
    end_text();
}

/* One pass over the arguments; returns how many operands were moved to the front of argv. */
static int
parse(int argc, char **argv, bool config_only)
{
    char **operand = argv;
    int n = 0;

    for (int i = 0; i < argc; i++) {
        char *a = argv[i];
        if (strcmp(a, "--") == 0) {
            for (i++; i < argc; i++, n++)
                if (!config_only)
                    operand[n] = argv[i];
        } else if (strncmp(a, "--", 2) == 0) {
            const char *eq = strchr(a, '=');
            const struct pf_opt *o = find_long(a + 2, eq ? (size_t)(eq - a - 2) : strlen(a + 2));
            if (!takes_value(o) && eq)
                pf_usage("--%s takes no value", o->name);
            if (takes_value(o) && !eq && ++i == argc)
                pf_usage("--%s needs a value", o->name);
            got(o, eq ? eq + 1 : argv[i < argc ? i : argc - 1], config_only);
        } else if (a[0] == '-' && a[1]) {
            for (const char *p = a + 1; *p; p++) {
                const struct pf_opt *o = find_letter((unsigned char)*p);
                if (!takes_value(o)) {
                    got(o, NULL, config_only);
                    continue;
                }
                if (!p[1] && ++i == argc)
                    pf_usage("-%c needs a value", o->letter);
                got(o, p[1] ? p + 1 : argv[i], config_only);
                break;
            }
        } else {
            if (!*a)
                pf_usage("an operand is an empty word");
            if (!config_only)
                operand[n] = a;
            n++;
        }
    }
    return n;
}

void
pf_start(int *argc, char ***argv, const char *operands, const char *summary,
         const struct pf_opt *opts)
{
    const char *slash = *argc ? strrchr((*argv)[0], '/') : NULL;

    pf_set_program(slash ? slash + 1 : *argc ? (*argv)[0] : "posefusion");
    pf_output_watch();
    pf_json_or_die();
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write, with a sentence */
    own_opts = opts;
    own_count = givens = 0;
    while (opts[own_count].type != PF_OPT_T_END)
        own_count++;
    operands_text = operands;
    summary_text = summary;
    ++*argv;
    *argc = *argc ? *argc - 1 : 0;
    parse(*argc, *argv, true);
    if (pf_common.config)
        pf_must(pf_config_load(&pf_conf, pf_common.config));
    *argc = parse(*argc, *argv, false);
    if (!pf_parse_device(&(int){0}, pf_common.device))
        pf_usage("--device is auto, cpu, cuda or cuda:N, not \"%s\"", pf_common.device);
    if (pf_common.sandbox && pf_common.no_sandbox)
        pf_usage("--sandbox and --no-sandbox: one of them");
}

void
pf_need_ending(const char *ending)
{
    const char *is = pf_name_ending(pf_common.out);
    if (*is && strcasecmp(is, ending) != 0)
        pf_usage("the name of the output, %s, does not end in .%s, which is what is written",
                 pf_common.out, ending);
}

void
pf_need_two_names(const char *option, const char *name, const char *other, const char *others)
{
    if (name && others && pf_output_same(name, others))
        pf_usage("%s and %s are one file, %s", option, other, name);
}

void
pf_need_stream_name(void)
{
    static const char *const others[] = {"png", "jpg", "jpeg", "webp", "gif", "mp4", "mov", "mkv",
                                         "webm", "avi", "y4m", "ply", "obj", "glb", "stl", "npy"};
    const char *is = pf_name_ending(pf_common.out);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcasecmp(is, others[i]) == 0)
            pf_usage("%s is no name for a stream, which is what is written: end it in .pf",
                     pf_common.out);
}

pf_err
pf_hint_config(pf_err err)
{
    char sentence[800];
    if (err != PF_ESHAPE || pf_common.config)
        return err;
    snprintf(sentence, sizeof sentence, "%s", pf_error());
    return pf_fail(err, "%s; without -c the sizes are the full model's: -c CONFIG says these "
                   "weights'", sentence);
}

/* Text for JSON, which holds UTF-8 alone: other bytes, of a file name say, become '?'. */
static json_t *
json_text(const char *s)
{
    json_t *j = json_string(s);

    if (!j) {
        char *copy = strdup(s);
        for (char *p = copy; p && *p; p++)
            if ((unsigned char)*p >= 128)
                *p = '?';
        j = copy ? json_string(copy) : NULL;
        free(copy);
    }
    return j;
}

static json_t *
json_value(const struct pf_opt *o)
{
    const struct pf_list *list = o->value;
    json_t *array;

    switch (o->type) {
    case PF_OPT_T_INT: return json_integer(*(const int *)o->value);
    case PF_OPT_T_INT64: return json_integer(*(const int64_t *)o->value);
    case PF_OPT_T_REAL: return json_real(*(const double *)o->value);
    case PF_OPT_T_FLAG: return json_boolean(*(const bool *)o->value);
    case PF_OPT_T_STR: return json_text(*(const char **)o->value);
    case PF_OPT_T_LIST:
        array = json_array();
        for (int i = 0; i < list->n; i++)
            if (json_array_append_new(array, json_real(list->v[i])))
                return json_decref(array), NULL;
        return array;
    default: return NULL;
    }
}

static bool
has_value(const struct pf_opt *o)
{
    return o->type != PF_OPT_T_COUNT &&
           (o->type != PF_OPT_T_STR || *(const char *const *)o->value);
}

char *
pf_history_entry(void)
{
    json_t *entry = json_object(), *options = json_object();
    int bad = 0;

    for (int i = 0; i < own_count; i++)
        if (has_value(own_opts + i))
            bad |= json_object_set_new(options, own_opts[i].name, json_value(own_opts + i));
    if (pf_common.config)
        bad |= json_object_set_new(options, "config", json_text(pf_common.config));
    if (pf_common.weights)
        bad |= json_object_set_new(options, "weights", json_text(pf_common.weights));
    bad |= json_object_set_new(entry, "tool", json_text(pf_program()));
    bad |= json_object_set_new(entry, "version", json_string(PF_VERSION));
    bad |= json_object_set_new(entry, "options", options);
    bad |= json_object_set_new(entry, "seed", json_integer(pf_common.seed));
    char *text = bad ? NULL : pf_json_text(entry, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(entry);
    return text;
}
