/* error.c - the last sentence of each thread, and how tools end. */
#include "common/error.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

enum { SENTENCE = 1000 };
static _Thread_local char sentence[SENTENCE];
static const char *program = "posefusion";

pf_err
pf_fail(pf_err err, const char *fmt, ...)
{
    char text[SENTENCE];        /* the arguments may point into the old sentence */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* Names come from users and files: a line break in one must not make two sentences. */
    memcpy(sentence, pf_text_clean(text), sizeof sentence);
    return err;
}

pf_err
pf_fail_in(pf_err err, const char *fmt, ...)
{
    char context[SENTENCE], old[SENTENCE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    memcpy(old, sentence, sizeof old);
    return pf_fail(err, "%s: %s", context, old);
}

const char *
pf_error(void)
{
    return sentence;
}

void
pf_bug_at(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: BUG at %s:%d: ", program, file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    signal(SIGABRT, SIG_DFL);
    abort();
}

void
pf_set_program(const char *name)
{
    program = name;
}

const char *
pf_program(void)
{
    return program;
}

enum { MAX_WAITS = 4 };
static void (*before_end[MAX_WAITS])(void);

void
pf_before_end(void (*wait)(void))
{
    for (int i = 0; i < MAX_WAITS; i++)
        if (!before_end[i] || before_end[i] == wait) {
            before_end[i] = wait;
            return;
        }
    pf_bug("more than %d threads to wait for", MAX_WAITS);
}

static _Noreturn void
end(void)
{
    for (int i = 0; i < MAX_WAITS && before_end[i]; i++)
        before_end[i]();
    exit(1);                    /* exit, not _exit: output.c removes what is not complete */
}

void
pf_must(pf_err err)
{
    if (err == PF_OK)
        return;
    fprintf(stderr, "%s: %s\n", program, err == PF_END ? "the input ends too early" : sentence);
    end();
}

/* "PROGRAM: <sentence>" on stderr. */
static void
say(const char *fmt, va_list ap)
{
    char text[SENTENCE];

    vsnprintf(text, sizeof text, fmt, ap);
    fprintf(stderr, "%s: %s\n", program, pf_text_clean(text));
}

void
pf_die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    end();
}

void
pf_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}
