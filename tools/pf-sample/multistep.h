/* multistep.h - the steps of DPM-Solver++(2M) and UniPC-2 (networks.md, 8). */
#ifndef PF_SAMPLE_MULTISTEP_H
#define PF_SAMPLE_MULTISTEP_H
#include "tools/pf-sample/ddim.h"

struct multistep {
    struct pf_multistep_coefficients c[DDIM_TIMES];
};

/* Compute the coefficients of these times.  velocity: the network tells v and not eps.  corrected:
 * UniPC, that is DPM-Solver++(2M) and a correction of each state by what the network says there. */
void multistep_schedule(struct multistep *m, const struct ddim *times,
                        const float alphas_cumprod[DDIM_TIMES], bool velocity, bool corrected);

#endif
