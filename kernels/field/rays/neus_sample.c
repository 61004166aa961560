/* neus_sample.c - hierarchical sampling along rays (neus_sample.h). */
#include "kernels/field/rays/neus_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/field/rays/ray.h"

enum { RAYS = 1024, MAX_DEPTHS = 4096 };        /* rays that are worked out at once */

struct pf_neus_sampler
pf_neus_sampler_of(const struct pf_neus_config *conf)
{
    const int fine = conf->fine_samples / conf->fine_rounds;
    return (struct pf_neus_sampler){conf->coarse_samples, fine,
                                    fine ? conf->fine_rounds : 0, conf->bound};
}

int
pf_neus_depths(const struct pf_neus_sampler *sampler)
{
    return sampler->coarse + sampler->fine * sampler->rounds;
}

struct buffers {
    float *sdf;                 /* [RAYS, depths] of the depths so far */
    float *z_new, *sdf_new;     /* [RAYS, fresh] */
    float *x;                   /* [RAYS, max(coarse, fine), 3] */
};

static pf_err
sdf_along(struct pf_net *net, const struct buffers *b, float *sdf, const float *z, int64_t stride,
          int n, const float *origin, const float *dir, int64_t rays)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rays; r++)
        for (int k = 0; k < n; k++)
            pf_ray_point(b->x + 3 * (r * n + k), origin + 3 * r, dir + 3 * r, z[r * stride + k]);
    return net->ops->sdf(net, sdf, b->x, rays * n);
}

static pf_err
some_rays(struct pf_net *net, const struct pf_neus_sampler *sampler, const struct buffers *b,
          float *z, const float *origin, const float *dir, int64_t rays, const float *offset)
{
    const int depths = pf_neus_depths(sampler), fine = sampler->fine;
    int n = sampler->coarse;
    for (int64_t r = 0; r < rays; r++)
        pf_ray_coarse(z + r * depths, 1, n, origin + 3 * r, dir + 3 * r, offset ? offset[r] : 0);
    PF_TRY(sdf_along(net, b, b->sdf, z, depths, n, origin, dir, rays));
    for (int64_t r = rays - 1; r > 0; r--)      /* [rays, n] to rows of depths */
        memmove(b->sdf + r * depths, b->sdf + r * n, (size_t)n * sizeof(float));
    for (int round = 0; round < sampler->rounds; round++, n += fine) {
        const bool last = round == sampler->rounds - 1;
        const float inv_s = 64 * ldexpf(1, round);
#pragma omp parallel for schedule(static)
        for (int64_t r = 0; r < rays; r++) {
            float weight[MAX_DEPTHS];
            pf_ray_upsample(b->z_new + r * fine, fine, z + r * depths, b->sdf + r * depths, weight,
                            1, n, origin + 3 * r, dir + 3 * r, inv_s, (float)sampler->bound);
        }
        if (!last)
            PF_TRY(sdf_along(net, b, b->sdf_new, b->z_new, fine, fine, origin, dir, rays));
#pragma omp parallel for schedule(static)
        for (int64_t r = 0; r < rays; r++)
            pf_ray_merge(z + r * depths, b->sdf + r * depths, n, b->z_new + r * fine,
                         last ? NULL : b->sdf_new + r * fine, fine, 1);
    }
    return PF_OK;
}

pf_err
pf_neus_sampler_check(const struct pf_neus_sampler *sampler)
{
    if (sampler->coarse < 2 || sampler->fine < 0 || sampler->rounds < 0 || sampler->rounds > 64 ||
        sampler->coarse > MAX_DEPTHS || sampler->fine > MAX_DEPTHS ||
        pf_neus_depths(sampler) > MAX_DEPTHS)
        return pf_fail(PF_EARG,
                       "neus: %d coarse samples and %d rounds of %d, expected at least "
                       "2 and at most %d in all",
                       sampler->coarse, sampler->rounds, sampler->fine, MAX_DEPTHS);
    return PF_OK;
}

pf_err
pf_neus_z(struct pf_net *net, const struct pf_neus_sampler *sampler, float *z, const float *origin,
          const float *dir, int64_t rays, const float *offset)
{
    pf_err err = PF_OK;
    PF_TRY(pf_neus_sampler_check(sampler));
    const int depths = pf_neus_depths(sampler), fine = sampler->fine;
    const int64_t widest = sampler->coarse > fine ? sampler->coarse : fine;
    struct buffers b;
    float *all = malloc(RAYS * (size_t)(depths + 2 * fine + 3 * widest) * sizeof(float));
    if (!all)
        return pf_fail(PF_ENOMEM, "no memory to sample rays");
    b = (struct buffers){all, all + RAYS * depths, all + RAYS * (depths + fine),
                         all + RAYS * (depths + 2 * fine)};
    for (int64_t r = 0; r < rays && err == PF_OK; r += RAYS)
        err = some_rays(net, sampler, &b, z + r * depths, origin + 3 * r, dir + 3 * r,
                        rays - r < RAYS ? rays - r : RAYS, offset ? offset + r : NULL);
    free(all);
    return err;
}

pf_err
pf_neus_sample(struct pf_net *net, const struct pf_neus_sampler *sampler, struct pf_samples *s,
               const float *origin, const float *dir, int64_t rays, const float *offset)
{
    const int depths = pf_neus_depths(sampler);
    int64_t hits = 0, h = 0;
    pf_err err = PF_OK;
    PF_TRY(pf_neus_sampler_check(sampler));
    float *o = malloc((size_t)(rays + 1) * (size_t)(7 + depths) * sizeof(float));
    if (!o)
        return pf_fail(PF_ENOMEM, "no memory to sample %lld rays", (long long)rays);
    float *d = o + 3 * rays, *moved = d + 3 * rays, *z = moved + rays;
    for (int64_t r = 0; r < rays; r++)
        if (pf_ray_meets(origin + 3 * r, dir + 3 * r, sampler->bound)) {
            memcpy(o + 3 * hits, origin + 3 * r, 3 * sizeof(float));
            memcpy(d + 3 * hits, dir + 3 * r, 3 * sizeof(float));
            moved[hits++] = offset ? offset[r] : 0;
        }
    s->rays = s->n = s->slots = 0;
    if ((err = pf_neus_z(net, sampler, z, o, d, hits, moved)) != PF_OK)
        goto out;
    if ((err = pf_samples_reserve(s, rays, hits * depths)) != PF_OK)
        goto out;
    for (int64_t r = 0; r < rays; r++) {
        s->first[r] = s->n;
        if (h < hits && pf_ray_meets(origin + 3 * r, dir + 3 * r, sampler->bound)) {
            s->n += pf_ray_pack(s->x + 3 * s->n, s->dir + 3 * s->n, s->dist + s->n,
                                s->skipped + s->n, z + h * depths, 1, depths, o + 3 * h, d + 3 * h,
                                (float)sampler->bound);
            h++;
        }
    }
    s->rays = rays;
    s->first[rays] = s->n;
    s->slots = rays * depths;
out:
    free(o);
    return err;
}
