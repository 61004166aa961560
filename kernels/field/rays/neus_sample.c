/* neus_sample.c - hierarchical sampling along rays (neus_sample.h). */
#include "kernels/field/rays/neus_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/field/rays/ray.h"

enum { RAYS = 1024, MAX_DEPTHS = 4096 };        /* rays that are worked out at once */

struct pf_neus_sampler
pf_neus_sampler_of(const struct pf_config *conf)
{
    const int fine = conf->neus.fine_samples / conf->neus.fine_rounds;
    return (struct pf_neus_sampler){conf->neus.coarse_samples, fine,
                                    fine ? conf->neus.fine_rounds : 0, conf->neus.bound};
}

int
pf_neus_depths(const struct pf_neus_sampler *how)
{
    return how->coarse + how->fine * how->rounds;
}

void
pf_neus_near_far(float *near, float *far, const float o[3], const float d[3])
{
    const float reach = 0.8660254f;             /* half the diagonal of the unit cube */
    const float mid = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2]) /
                      (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    *near = mid - reach;
    *far = mid + reach;
}

static void
along(float x[3], const float o[3], const float d[3], float z)
{
    for (int k = 0; k < 3; k++)
        x[k] = o[k] + d[k] * z;
}

/* A NaN is outside. */
static bool
is_inside(const float x[3], double bound)
{
    const float b = (float)bound;
    return fabsf(x[0]) <= b && fabsf(x[1]) <= b && fabsf(x[2]) <= b;
}

/* ---- one ray ---- */

static float
sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* weight [n - 1] of the intervals between n depths.  Outside the cube the slope counts as 0 but
 * the distance still goes into the opacity, as in the original (field.md, 3). */
static void
interval_weights(float *weight, const float *z, const float *sdf, int n, const float o[3],
                 const float d[3], float inv_s, double bound)
{
    float left = 1, cosine_before = 0, x[3];
    along(x, o, d, z[0]);
    bool inside_before = is_inside(x, bound);
    for (int k = 0; k + 1 < n; k++) {
        const float dist = z[k + 1] - z[k], mid = (sdf[k] + sdf[k + 1]) * 0.5f;
        const float slope = (sdf[k + 1] - sdf[k]) / (dist + 1e-5f);
        along(x, o, d, z[k + 1]);
        const bool inside = is_inside(x, bound);
        float cosine = slope < cosine_before ? slope : cosine_before;
        cosine_before = slope;
        cosine = cosine < -1e3f ? -1e3f : cosine > 0 ? 0 : cosine;
        if (!inside && !inside_before)
            cosine = 0;
        inside_before = inside;
        const float P = sigmoid((mid - cosine * dist * 0.5f) * inv_s);
        const float N = sigmoid((mid + cosine * dist * 0.5f) * inv_s);
        const float alpha = (P - N + 1e-5f) / (P + 1e-5f);
        weight[k] = alpha * left;
        left *= 1 - alpha + 1e-7f;
    }
}

/* fresh depths at even quantiles of the weights (the original's sample_pdf). */
static void
invert(float *z_new, int fresh, const float *z, float *weight, int n)
{
    float sum = 0, cdf[2] = {0, 0};
    int above = 0;              /* first index whose cdf is over u; cdf[1] is its cdf */
    for (int k = 0; k + 1 < n; k++) {
        weight[k] += 1e-5f;
        sum += weight[k];
    }
    for (int i = 0; i < fresh; i++) {
        const float u = ((float)i + 0.5f) / (float)fresh;
        while (above < n && !(cdf[1] > u)) {
            cdf[0] = cdf[1];
            if (above + 1 < n)
                cdf[1] += weight[above] / sum;
            above++;
        }
        const int hi = above < n ? above : n - 1, lo = above > 0 ? above - 1 : 0;
        const float step = cdf[1] - cdf[0], t = (u - cdf[0]) / (step < 1e-5f ? 1 : step);
        z_new[i] = z[lo] + (t > 0 ? t < 1 ? t : 1 : 0) * (z[hi] - z[lo]);
    }
}

void
pf_neus_upsample(float *z_new, int fresh, const float *z, const float *sdf, int n,
                 const float origin[3], const float dir[3], float inv_s, double bound)
{
    float weight[MAX_DEPTHS];
    interval_weights(weight, z, sdf, n, origin, dir, inv_s, bound);
    invert(z_new, fresh, z, weight, n);
}

/* ---- many rays ---- */

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
            along(b->x + 3 * (r * n + k), origin + 3 * r, dir + 3 * r, z[r * stride + k]);
    return net->ops->sdf(net, sdf, b->x, rays * n);
}

/* The even depths, moved by the ray's offset. */
static void
coarse(float *z, int n, const float *origin, const float *dir, float offset)
{
    float near, far;
    pf_neus_near_far(&near, &far, origin, dir);
    for (int k = 0; k < n; k++)
        z[k] = near + (far - near) * ((float)k / (float)(n > 1 ? n - 1 : 1)) + offset;
}

static pf_err
some_rays(struct pf_net *net, const struct pf_neus_sampler *how, const struct buffers *b, float *z,
          const float *origin, const float *dir, int64_t rays, const float *offset)
{
    const int depths = pf_neus_depths(how), fine = how->fine;
    int n = how->coarse;
    for (int64_t r = 0; r < rays; r++)
        coarse(z + r * depths, n, origin + 3 * r, dir + 3 * r, offset ? offset[r] : 0);
    PF_TRY(sdf_along(net, b, b->sdf, z, depths, n, origin, dir, rays));
    for (int64_t r = rays - 1; r > 0; r--)      /* [rays, n] to rows of depths */
        memmove(b->sdf + r * depths, b->sdf + r * n, (size_t)n * sizeof(float));
    for (int round = 0; round < how->rounds; round++, n += fine) {
        const bool last = round == how->rounds - 1;
        const float inv_s = 64 * ldexpf(1, round);
#pragma omp parallel for schedule(static)
        for (int64_t r = 0; r < rays; r++)
            pf_neus_upsample(b->z_new + r * fine, fine, z + r * depths, b->sdf + r * depths, n,
                             origin + 3 * r, dir + 3 * r, inv_s, how->bound);
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
pf_neus_sampler_check(const struct pf_neus_sampler *how)
{
    if (how->coarse < 2 || how->fine < 0 || how->rounds < 0 || how->rounds > 64 ||
        how->coarse > MAX_DEPTHS || how->fine > MAX_DEPTHS || pf_neus_depths(how) > MAX_DEPTHS)
        return pf_fail(PF_ESHAPE, "neus: %d coarse samples and %d rounds of %d, expected at least "
                       "2 and at most %d in all", how->coarse, how->rounds, how->fine, MAX_DEPTHS);
    return PF_OK;
}

pf_err
pf_neus_z(struct pf_net *net, const struct pf_neus_sampler *how, float *z, const float *origin,
          const float *dir, int64_t rays, const float *offset)
{
    pf_err err = PF_OK;
    PF_TRY(pf_neus_sampler_check(how));
    const int depths = pf_neus_depths(how), fine = how->fine;
    const int64_t widest = how->coarse > fine ? how->coarse : fine;
    struct buffers b;
    float *all = malloc(RAYS * (size_t)(depths + 2 * fine + 3 * widest) * sizeof(float));
    if (!all)
        return pf_fail(PF_ENOMEM, "no memory to sample rays");
    b = (struct buffers){all, all + RAYS * depths, all + RAYS * (depths + fine),
                         all + RAYS * (depths + 2 * fine)};
    for (int64_t r = 0; r < rays && err == PF_OK; r += RAYS)
        err = some_rays(net, how, &b, z + r * depths, origin + 3 * r, dir + 3 * r,
                        rays - r < RAYS ? rays - r : RAYS, offset ? offset + r : NULL);
    free(all);
    return err;
}

/* One ray's points behind those of s, which has room. */
static void
pack(struct pf_samples *s, const float *z, int depths, const float o[3], const float d[3],
     double bound)
{
    int32_t skipped = 0;
    for (int k = 0; k < depths; k++) {
        const float dist = k + 1 < depths ? z[k + 1] - z[k] : depths > 1 ? z[k] - z[k - 1] : 0;
        float x[3];
        along(x, o, d, z[k] + dist * 0.5f);
        if (!is_inside(x, bound)) {
            skipped++;
            continue;
        }
        memcpy(s->x + 3 * s->n, x, sizeof(x));
        memcpy(s->dir + 3 * s->n, d, sizeof(x));
        s->dist[s->n] = dist;
        s->skipped[s->n++] = skipped;
        skipped = 0;
    }
}

pf_err
pf_neus_pack(struct pf_samples *s, const float *z, int depths, const float *origin,
             const float *dir, int64_t rays, double bound)
{
    PF_TRY(pf_samples_reserve(s, s->rays + rays, s->n + rays * depths));
    for (int64_t r = 0; r < rays; r++) {
        s->first[s->rays++] = s->n;
        pack(s, z + r * depths, depths, origin + 3 * r, dir + 3 * r, bound);
    }
    s->first[s->rays] = s->n;
    s->slots += rays * depths;
    return PF_OK;
}

pf_err
pf_neus_sample(struct pf_net *net, const struct pf_neus_sampler *how, struct pf_samples *s,
               const float *origin, const float *dir, int64_t rays, const float *offset)
{
    const int depths = pf_neus_depths(how);
    int64_t hits = 0, h = 0;
    pf_err err = PF_OK;
    PF_TRY(pf_neus_sampler_check(how));
    float *o = malloc((size_t)(rays + 1) * (size_t)(7 + depths) * sizeof(float));
    if (!o)
        return pf_fail(PF_ENOMEM, "no memory to sample %lld rays", (long long)rays);
    float *d = o + 3 * rays, *moved = d + 3 * rays, *z = moved + rays;
    for (int64_t r = 0; r < rays; r++)
        if (pf_ray_meets(origin + 3 * r, dir + 3 * r, how->bound)) {
            memcpy(o + 3 * hits, origin + 3 * r, 3 * sizeof(float));
            memcpy(d + 3 * hits, dir + 3 * r, 3 * sizeof(float));
            moved[hits++] = offset ? offset[r] : 0;
        }
    s->rays = s->n = s->slots = 0;
    if ((err = pf_neus_z(net, how, z, o, d, hits, moved)) != PF_OK)
        goto out;
    if ((err = pf_samples_reserve(s, rays, hits * depths)) != PF_OK)
        goto out;
    for (int64_t r = 0; r < rays; r++) {
        s->first[r] = s->n;
        if (h < hits && pf_ray_meets(origin + 3 * r, dir + 3 * r, how->bound)) {
            pack(s, z + h * depths, depths, o + 3 * h, d + 3 * h, how->bound);
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
