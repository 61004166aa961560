/* progress.h - one rewritten line on a terminal, a plain line per tenth otherwise; nothing with -q.
 *
 *     pf_progress p;
 *     pf_progress_start(&p, "sampling", steps);
 *     for (...) pf_progress_step(&p, i + 1, "loss %.4f", loss);       // "%s", "" for no note
 *     pf_progress_end(&p);
 */
#ifndef PF_PROGRESS_H
#define PF_PROGRESS_H
#include <stdint.h>

#include "common/error.h"

typedef struct pf_progress {
    const char *what;
    int64_t total, done, tenth;
    double start, drawn;        /* seconds */
    int tty;
} pf_progress;

void pf_progress_start(pf_progress *p, const char *what, int64_t total);
void pf_progress_step(pf_progress *p, int64_t done, const char *fmt, ...) PF_PRINTF(3, 4);
void pf_progress_end(pf_progress *p);
double pf_seconds(void);                        /* monotonic clock */
/* With -v: "pf-sample: WHAT: 1.234 s". */
void pf_stage_time(const char *what, double seconds);

#endif
