/* progress.c - how far along a tool is, on stderr. */
#include "common/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/opt.h"

double
pf_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void
pf_progress_start(pf_progress *p, const char *what, int64_t total)
{
    *p = (pf_progress){.what = what, .total = total, .start = pf_seconds()};
    p->tty = isatty(STDERR_FILENO);
}

/* "1:05" or "12.3 s" */
static void
duration(char *buf, size_t size, double s)
{
    if (s < 60)
        snprintf(buf, size, "%.1f s", s);
    else
        snprintf(buf, size, "%d:%02d", (int)(s / 60), (int)s % 60);
}

void
pf_progress_step(pf_progress *p, int64_t done, const char *fmt, ...)
{
    const double now = pf_seconds(), spent = now - p->start;
    const int64_t tenth = p->total ? done * 10 / p->total : 10;
    const char *what_left = done < p->total ? "left" : "in all";
    char note[128], left[32], bar[21];
    va_list ap;

    p->done = done;
    if (pf_common.quiet || (p->tty ? now - p->drawn < 0.1 && done < p->total : tenth == p->tenth))
        return;
    p->drawn = now;
    p->tenth = tenth;
    va_start(ap, fmt);
    vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
    if (done < p->total)
        duration(left, sizeof left, done ? spent / (double)done * (double)(p->total - done) : 0);
    else
        duration(left, sizeof left, spent);
    if (!p->tty) {
        fprintf(stderr, "%s: %s %lld/%lld, %s %s%s%s\n", pf_program(), p->what, (long long)done,
                (long long)p->total, left, what_left, *note ? ", " : "", note);
        return;
    }
    for (int i = 0; i < 20; i++)
        bar[i] = i < (p->total ? done * 20 / p->total : 20) ? '#' : '.';
    bar[20] = 0;
    fprintf(stderr, "\r\033[K%s [%s] %lld/%lld  %s %s  %s", p->what, bar, (long long)done,
            (long long)p->total, left, what_left, note);
    fflush(stderr);
}

void
pf_progress_end(pf_progress *p)
{
    if (p->tty && !pf_common.quiet && p->drawn > 0)
        fputc('\n', stderr);
}

void
pf_stage_time(const char *what, double seconds)
{
    if (pf_common.verbose && !pf_common.quiet)
        fprintf(stderr, "%s: %s: %.3f s\n", pf_program(), what, seconds);
}
