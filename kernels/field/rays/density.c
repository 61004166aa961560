/* density.c - samples of rays through a field of density (density.h). */
#include "kernels/field/rays/density.h"

#include <string.h>

pf_err
pf_density_sample(struct pf_samples *s, const struct pf_density_grid *g, const float *origin,
                  const float *dir, int64_t rays)
{
    PF_TRY(pf_samples_reserve(s, rays, 1));
    s->first[0] = 0;
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t r = 0; r < rays; r++)
        s->first[r + 1] = pf_density_march(NULL, NULL, NULL, g, origin + 3 * r, dir + 3 * r);
    for (int64_t r = 0; r < rays; r++)
        s->first[r + 1] += s->first[r];
    s->rays = rays;
    s->n = s->slots = s->first[rays];
    PF_TRY(pf_samples_reserve(s, rays, s->n > 0 ? s->n : 1));
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t r = 0; r < rays; r++) {
        const int64_t p = s->first[r];
        pf_density_march(s->x + 3 * p, s->dir + 3 * p, s->dist + p, g, origin + 3 * r, dir + 3 * r);
    }
    memset(s->skipped, 0, (size_t)s->n * sizeof *s->skipped);
    return PF_OK;
}
