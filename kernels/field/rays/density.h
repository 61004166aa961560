/* density.h - rays through a field of density: the grid of what is occupied, samples at even
 * distances in it, and light that is lost by exp(-density length) (field.md, 14).  The functions
 * are the same on every device; density.c calls them on the CPU.  Private to kernels/field.
 *
 *     PF_TRY(net->ops->density_grid(net, &grid, train, seed, step));
 *     PF_TRY(pf_density_sample(&samples, &grid, origin, dir, rays));
 *     ... pf_points_blend(&points, ...): points.grad NULL means that points.sdf is a density */
#ifndef PF_FIELD_DENSITY_H
#define PF_FIELD_DENSITY_H
#include "kernels/field/rays/ray.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_DENSITY_NEAR 0.2f    /* no sample is nearer to the eye */
#define PF_DENSITY_DARK 1e-4f   /* what lies behind less light than this counts for nothing */

struct pf_density_grid {
    const float *density;       /* [R, R, R], z slowest */
    float threshold;            /* a cell of more than this is occupied */
    int32_t R;
    float bound, step;          /* half side of the cube; from one sample of a ray to the next */
    int32_t most;               /* samples of a ray */
};

/* Samples of rays origin, dir [rays, 3] (unit) into s, near to far. */
pf_err pf_density_sample(struct pf_samples *s, const struct pf_density_grid *g, const float *origin,
                         const float *dir, int64_t rays) PF_MUST_USE;

#ifdef __cplusplus
}
#endif

/* ---- marching: products are exact in double, so that all devices take the same steps ---- */

/* Where the ray is at depth t, within the cube. */
PF_FN void
pf_density_point(float x[3], const struct pf_density_grid *g, const float o[3], const float d[3],
                 float t)
{
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const float at = (float)((double)o[k] + (double)t * d[k]);
        x[k] = at > g->bound ? g->bound : at < -g->bound ? -g->bound : at;
    }
}

PF_FN bool
pf_density_occupied(int32_t cell[3], const struct pf_density_grid *g, const float x[3])
{
    const int32_t R = g->R;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const int32_t i = (int32_t)((x[k] / g->bound + 1) * 0.5f * (float)R);
        cell[k] = i < 0 ? 0 : i < R ? i : R - 1;
    }
    return g->density[((int64_t)cell[2] * R + cell[1]) * R + cell[0]] > g->threshold;
}

/* The depth at which a ray that is at x at depth t leaves the cell. */
PF_FN double
pf_density_exit(const struct pf_density_grid *g, const int32_t cell[3], const float x[3],
                const float d[3], float t)
{
    double nearest = INFINITY;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const double share = 2.0 * (cell[k] + (d[k] > 0)) / g->R - 1;
        const float edge = (float)(share * g->bound);
        const double way = ((double)edge - x[k]) / d[k];
        if (d[k] != 0 && way < nearest)
            nearest = way;
    }
    return t + (nearest > 0 ? nearest : 0);
}

/* The samples of a ray: at near + k step for those whole k whose cell is occupied; an empty cell is
 * left in one go.  Returns how many; x NULL: counts them only. */
PF_FN int
pf_density_march(float *x, float *dir, float *dist, const struct pf_density_grid *g,
                 const float o[3], const float d[3])
{
    float near, far, at[3];
    int32_t cell[3];
    int n = 0;
    if (!pf_ray_clip(&near, &far, o, d, g->bound))
        return 0;
    near = near > PF_DENSITY_NEAR ? near : PF_DENSITY_NEAR;
    for (int64_t k = 0; n < g->most;) {
        const float t = (float)((double)near + (double)k * g->step);
        if (!(t < far))
            break;
        pf_density_point(at, g, o, d, t);
        if (pf_density_occupied(cell, g, at)) {
            PF_UNROLL for (int c = 0; x && c < 3; c++) {
                x[3 * n + c] = at[c];
                dir[3 * n + c] = d[c];
            }
            if (x)
                dist[n] = g->step;
            n++;
            k++;
        } else {
            const double steps = ceil((pf_density_exit(g, cell, at, d, t) - near) / g->step);
            k = steps > (double)(k + 1) ? (int64_t)steps : k + 1;
        }
    }
    return n;
}

/* ---- blending ---- */

/* As pf_ray_blend; a point behind hardly any light has alpha 0. */
PF_FN struct pf_ray_color
pf_density_blend(const struct pf_ray_points *s, float *alpha, float *left, int64_t begin,
                 int64_t end)
{
    struct pf_ray_color to = {{0, 0, 0}, 0, {0, 0, 0}};
    float light = 1;
    for (int64_t i = begin; i < end; i++) {
        const float a = light < PF_DENSITY_DARK ? 0 : 1 - expf(-s->sdf[i] * s->dist[i]);
        const float w = a * light;
        if (alpha) {
            alpha[i] = a;
            left[i] = light;
        }
        to.mask += w;
        PF_UNROLL for (int k = 0; k < 3; k++)
            to.rgb[k] += w * s->rgb[3 * i + k];
        light *= 1 - a;
    }
    PF_UNROLL for (int k = 0; k < 3; k++)
        to.rgb[k] += 1 - to.mask;               /* white shows through */
    return to;
}

/* As pf_ray_blend_backward, of densities: d alpha / d density = length (1 - alpha). */
PF_FN void
pf_density_blend_backward(float *d_density, float *d_rgb, const struct pf_ray_points *s,
                          const float *alpha, const float *left, const float dc[3], float d_mask,
                          int64_t begin, int64_t end)
{
    const float d_opacity = d_mask - (dc[0] + dc[1] + dc[2]);
    float d_left = 0;           /* cotangent of the light after the point */
    for (int64_t i = end - 1; i >= begin; i--) {
        const float *const c = s->rgb + 3 * i;
        const float a = alpha[i], light = left[i];
        const float d_weight = dc[0] * c[0] + dc[1] * c[1] + dc[2] * c[2] + d_opacity;
        const float rate = light < PF_DENSITY_DARK ? 0 : s->dist[i] * (1 - a);
        PF_UNROLL for (int k = 0; k < 3; k++)
            d_rgb[3 * i + k] = a * light * dc[k];
        d_density[i] = (d_weight - d_left) * light * rate;
        d_left = d_weight * a + d_left * (1 - a);
    }
}

/* ---- of either kind of field ---- */

PF_FN struct pf_ray_color
pf_points_blend(const struct pf_ray_points *s, float *alpha, float *left, int64_t begin,
                int64_t end)
{
    return s->grad ? pf_ray_blend(s, alpha, left, begin, end)
                   : pf_density_blend(s, alpha, left, begin, end);
}

PF_FN double
pf_points_blend_backward(float *d_sdf, float *d_grad, float *d_rgb, const struct pf_ray_points *s,
                         const float *alpha, const float *left, const float dc[3], float d_mask,
                         int64_t begin, int64_t end)
{
    if (s->grad)
        return pf_ray_blend_backward(d_sdf, d_grad, d_rgb, s, alpha, left, dc, d_mask, begin, end);
    pf_density_blend_backward(d_sdf, d_rgb, s, alpha, left, dc, d_mask, begin, end);
    return 0;
}

#endif
