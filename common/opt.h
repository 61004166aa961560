/* opt.h - one table per tool: the parser, the -h text with current values, and the options that the
 * history records.
 *
 *     static const struct pf_opt opts[] = {
 *         PF_OPT_INT(0, "steps", pf_conf.sampler.steps, "N", "denoising steps", 1, 1000),
 *         PF_OPT_STR(0, "noise", noise, "FILE", "take every random number from FILE"),
 *         PF_OPT_END
 *     };
 *     pf_start(&argc, &argv, "[STREAM]", "one line that says what the tool does", opts);
 *
 * Every tool also has the common options of pf(7): -o -c -w -d --precision --seed --threads -k -q
 * -v --sandbox --no-sandbox -h --version.  A value that lives in pf_conf (config.h) takes, in
 * rising order, its default, the file given with -c, the command line. */
#ifndef PF_OPT_H
#define PF_OPT_H
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_VERSION "0.1.0"

enum { PF_LIST_MAX = 64 };
struct pf_list {                /* numbers separated by commas */
    int n;
    double v[PF_LIST_MAX];
};

enum pf_opt_type { PF_OPT_T_END, PF_OPT_T_INT, PF_OPT_T_INT64, PF_OPT_T_REAL, PF_OPT_T_STR,
                   PF_OPT_T_FLAG, PF_OPT_T_COUNT, PF_OPT_T_LIST };
struct pf_opt {
    enum pf_opt_type type;
    int letter;                 /* 0: none */
    const char *name;           /* without dashes; underscores are accepted for dashes */
    void *value;                /* INT and COUNT: int *; INT64: int64_t *; REAL: double *;
                                   STR: const char **; FLAG: bool *; LIST: struct pf_list * */
    const char *arg, *help;     /* how -h calls the value, or NULL; what it is */
    double lo, hi;              /* range of the numbers with both ends; lo == hi: any (finite) */
    const char *alias;          /* another spelling (the original's), or NULL */
    const char *choices;        /* "auto|alpha|white": the words that a STR may be; NULL: any */
};
/* Rows of the table: letter, name, variable, arg, help, and lowest and highest number.  Behind them
 * a row may set further members by name:
 *     PF_OPT_INT(0, "steps", steps, "N", "denoising steps", 1, 1000, .alias = "sample-steps") */
#define PF_OPT_INT(l, n, v, a, h, min, max, ...) \
    PF_OPT_(INT, l, n, v, a, h, .lo = min, .hi = max, __VA_ARGS__)
#define PF_OPT_REAL(l, n, v, a, h, min, max, ...) \
    PF_OPT_(REAL, l, n, v, a, h, .lo = min, .hi = max, __VA_ARGS__)
#define PF_OPT_LIST(l, n, v, a, h, min, max, ...) \
    PF_OPT_(LIST, l, n, v, a, h, .lo = min, .hi = max, __VA_ARGS__)
#define PF_OPT_STR(l, n, v, a, h, ...) PF_OPT_(STR, l, n, v, a, h, __VA_ARGS__)
#define PF_OPT_CHOICE(l, n, v, c, h, ...) PF_OPT_(STR, l, n, v, c, h, .choices = c, __VA_ARGS__)
#define PF_OPT_FLAG(l, n, v, h, ...) PF_OPT_(FLAG, l, n, v, 0, h, __VA_ARGS__)
#define PF_OPT_END {.type = PF_OPT_T_END}
#define PF_OPT_(T, l, n, v, a, h, ...) \
    {.type = PF_OPT_T_##T, .letter = l, .name = n, .value = &(v), .arg = a, .help = h, __VA_ARGS__}

struct pf_common {
    const char *out;            /* -o, default "-" */
    const char *config;         /* -c, NULL when not given */
    const char *weights;        /* -w, NULL when not given */
    const char *device;         /* -d, default "auto" */
    const char *precision;      /* --precision f32|tf32|f16|bf16|f8, NULL: the device's default */
    int64_t seed;               /* --seed, default 6033 */
    int threads;                /* --threads, 0: as many as there are processors */
    bool keep_going;            /* -k */
    bool quiet;                 /* -q */
    int verbose;                /* -v, counted */
    bool sandbox, no_sandbox;   /* neither: one where the system has it */
};
extern struct pf_common pf_common;

/* Parse the command line: options are removed, *argc and *argv are left with the operands alone
 * (argv[0] is the first operand).  "--" ends options; "-" is an operand.  -h and --version print
 * to stdout and exit 0; a mistake is one sentence on stderr and exit 2; a bad config file exits 1.
 * Threads there are none yet: pf_sandbox (sandbox.h) comes next.
 * Sets the program's name (error.h).  SIGPIPE is left as it was, so that a closed pipe ends a tool
 * quietly, as it does any filter; output.c removes what is not complete. */
void pf_start(int *argc, char ***argv, const char *operands, const char *summary,
              const struct pf_opt *opts);
/* Numbers separated by commas, each from lo to hi; false, and nothing set, for other text. */
bool pf_list_parse(struct pf_list *list, const char *text, double lo, double hi);
/* Whether the command line set the option whose variable this is. */
bool pf_given(const void *value);
/* Wrong usage that only the tool can see: one sentence, exit 2. */
void pf_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The same where a check of the call says so, unless it failed for want of memory: then exit 1. */
void pf_must_usage(pf_err err);
/* Wrong usage unless --output's name ends in .ending, in capitals or not, or in nothing. */
void pf_need_ending(const char *ending);
/* The same for streams, whose ending is free: wrong usage if it is that of a picture, film, mesh or
 * array, which a user expects then, or has: pf-crop -o photo.png photo.png. */
void pf_need_stream_name(void);
/* Wrong usage if two options name one output, which the later would replace; NULL: not given. */
void pf_need_two_names(const char *option, const char *name, const char *other,
                       const char *others);
/* Let the sentence of a PF_ESHAPE from loading weights say, where no -c was given, that the sizes
 * are the defaults; other results pass through. */
pf_err pf_hint_config(pf_err err) PF_MUST_USE;
/* This run for pf.history: {"tool", "version", "options": {...}, "seed"} as JSON; caller frees. */
char *pf_history_entry(void);

#ifdef __cplusplus
}
#endif
#endif
