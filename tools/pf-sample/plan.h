/* plan.h - the memory of a run, known before it: the same code runs once on a dry device (dev.h),
 * with each number of views in one evaluation that makes sense.  It serves --plan, and a run for
 * which memory was short.
 *
 * On a GPU, where the first launch of a kernel loads it, it is a rehearsal, too: 0.2 s of a first
 * step are spent by a thread while the weights are on their way.  The run then knows how much its
 * arena will hold, and gets it in one piece. */
#ifndef PF_SAMPLE_PLAN_H
#define PF_SAMPLE_PLAN_H
#include <stdio.h>

#include "tools/pf-sample/model.h"

enum { PLAN_ROWS = 12 };
struct plan {
    char device[160];
    size_t free;                /* bytes to be had now; 0 where nobody knows */
    int n, own;                 /* number of rows; index of the run's own */
    struct plan_row {
        int batch;              /* views in one evaluation */
        size_t kept, peak, need;        /* what pf_dev_kept, _peak and _need will say afterwards */
    } row[PLAN_ROWS];           /* by rising batch */
};

/* Plan a run with this config on the device of -d and --precision. */
pf_err plan_make(struct plan *p, pf_checkpoint *weights, const struct pf_config *conf) PF_MUST_USE;
/* Let a thread do a run of the same shapes as this config's on a dry device; what comes of it is
 * loaded kernels.  Nothing happens if dev is the CPU.  weights stay open until rehearsal_end, which
 * waits for it: what pf_dev_peak says afterwards, or 0 where nobody knows. */
void rehearsal_begin(const pf_dev *dev, pf_checkpoint *weights, const struct pf_config *conf);
size_t rehearsal_end(void);
/* The largest batch below the run's own that needs no more than is free; NULL if none does. */
const struct plan_row *plan_smaller(const struct plan *p);
/* Print the plan for people, in MB. */
pf_err plan_print(const struct plan *p, FILE *to) PF_MUST_USE;

#endif
