/* ddim.h - the noise schedule, the steps that DDIM takes, and time as the networks see it
 * (networks.md, 1 and 8). */
#ifndef PF_SAMPLE_DDIM_H
#define PF_SAMPLE_DDIM_H
#include "kernels/ops.h"

enum { DDIM_TIMES = 1000 };

struct ddim {
    int steps;
    int t[DDIM_TIMES];          /* rising; sampling runs from the last to the first */
    struct pf_ddim_coefficients c[DDIM_TIMES];
};

/* Make alphas_cumprod of the schedule that is linear in sqrt(beta), in float as the original rounds
 * it (networks.md, 8). */
void ddim_alphas(float alphas_cumprod[DDIM_TIMES]);
/* Choose the times.  steps 1..1000.  list:
 *   even      t_k = floor(1000 k / steps) + 1; all thousand begin at 0
 *   original  every floor(1000 / steps)-th, which is the same where steps divides 1000, and
 *             otherwise gives more than steps.  Fails where that list reaches 1000, beyond the
 *             schedule
 *   trailing  t_k = round(1000 (k + 1) / steps) - 1, which ends at 999 whatever the steps */
pf_err ddim_times(struct ddim *d, int steps, const char *list) PF_MUST_USE;
/* Compute the coefficients of these times.  velocity: the network tells v and not eps. */
void ddim_schedule(struct ddim *d, const float alphas_cumprod[DDIM_TIMES], double eta,
                   bool velocity);
/* out = [cos(t w_0) .. cos, sin(t w_0) .. sin], w_k = 10000^(-k / (dim / 2)), in float. */
void ddim_sinusoid(float *out, int dim, int t);

#endif
