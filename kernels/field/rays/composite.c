/* composite.c - volume rendering of a signed distance field, its losses, and their gradients
 * (composite.h).  Rays are independent; sums over rays are taken in their order, so that nothing
 * depends on the number of threads. */
#include "kernels/field/rays/composite.h"

#include <stdlib.h>

#include "kernels/field/rays/density.h"

pf_err
pf_neus_out_reserve(struct pf_neus_out *out, int64_t rays, int64_t points)
{
    if (rays > out->room_rays) {
        const size_t n = (size_t)rays;
        if (!pf_grow(&out->rgb, n * 3 * sizeof(float)) || !pf_grow(&out->mask, n * sizeof(float)) ||
            !pf_grow(&out->normal, n * 3 * sizeof(float)) ||
            !pf_grow(&out->part, n * sizeof(double)))
            return pf_fail(PF_ENOMEM, "no memory to render %lld rays", (long long)rays);
        out->room_rays = rays;
    }
    if (points > out->room) {
        const size_t bytes = (size_t)points * sizeof(float);
        if (!pf_grow(&out->alpha, bytes) || !pf_grow(&out->left, bytes))
            return pf_fail(PF_ENOMEM, "no memory to render %lld points", (long long)points);
        out->room = points;
    }
    return PF_OK;
}

void
pf_neus_out_release(struct pf_neus_out *out)
{
    free(out->rgb);
    free(out->mask);
    free(out->normal);
    free(out->alpha);
    free(out->left);
    free(out->part);
    *out = (struct pf_neus_out){0};
}

void
pf_neus_composite_forward(struct pf_neus_out *out, const struct pf_samples *s, const float *sdf,
                          const float *grad, const float *rgb, float inv_s, float ratio)
{
    const struct pf_ray_points points = {s->dir, s->dist, sdf, grad, rgb, s->skipped, inv_s, ratio};
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < s->rays; r++) {
        const int64_t begin = s->first[r] - s->first[0], end = s->first[r + 1] - s->first[0];
        const struct pf_ray_color c = pf_points_blend(&points, out->alpha, out->left, begin, end);
        out->mask[r] = c.mask;
        for (int k = 0; k < 3; k++) {
            out->rgb[3 * r + k] = c.rgb[k];
            out->normal[3 * r + k] = c.normal[k];
        }
    }
}

void
pf_neus_composite_backward(float *d_sdf, float *d_grad, float *d_rgb, double *d_inv_s,
                           const struct pf_neus_out *out, const struct pf_samples *s,
                           const float *sdf, const float *grad, const float *rgb, float inv_s,
                           float ratio, const float *d_color, const float *d_mask)
{
    const struct pf_ray_points points = {s->dir, s->dist, sdf, grad, rgb, s->skipped, inv_s, ratio};
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < s->rays; r++)
        out->part[r] = pf_points_blend_backward(
            d_sdf, d_grad, d_rgb, &points, out->alpha, out->left, d_color + 3 * r, d_mask[r],
            s->first[r] - s->first[0], s->first[r + 1] - s->first[0]);
    for (int64_t r = 0; r < s->rays; r++)
        *d_inv_s += out->part[r];
}

/* ---- losses ---- */

struct pf_loss_weights
pf_loss_weights_of(const struct pf_neus_config *conf, bool grid, float ratio, int64_t rays,
                   int64_t points, int64_t slots)
{
    const double area = grid ? conf->lambda_area : 0;
    const int64_t near = area > 0 ? conf->area_points : 0;
    return (struct pf_loss_weights){
        .lambda_rgb = conf->lambda_rgb,
        .lambda_mask = conf->lambda_mask,
        .lambda_eikonal = conf->lambda_eikonal,
        .lambda_area = area * ratio,
        .rays = rays,
        .inner = (double)points + 1e-5 * (double)(slots > 0 ? slots : 1) + (double)near,
        .area_points = near,
        .wall_points = near / 8,
    };
}

void
pf_neus_loss(struct pf_loss_sums *sums, float *d_color, float *d_mask,
             const struct pf_neus_out *out, const float *want_rgb, const float *want_mask,
             const struct pf_tones *tones, int64_t rays, const struct pf_loss_weights *w)
{
    for (int64_t r = 0; r < rays; r++) {
        const float *rgb = out->rgb + 3 * r;
        const struct pf_ray_color got = {.rgb = {rgb[0], rgb[1], rgb[2]}, .mask = out->mask[r]};
        pf_ray_toned_loss(sums, d_color + 3 * r, d_mask + r, &got, want_rgb + 3 * r, want_mask[r],
                          tones, r, w);
    }
}

void
pf_neus_eikonal(struct pf_loss_sums *sums, float *d_grad, const float *grad, int64_t n,
                const struct pf_loss_weights *w)
{
    enum { PARTS = 64 };        /* however many threads there are */
    double part[PARTS];
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < PARTS; p++) {
        struct pf_loss_sums mine = {0};
        for (int64_t i = n * p / PARTS; i < n * (p + 1) / PARTS; i++)
            pf_point_eikonal(&mine, d_grad + 3 * i, grad + 3 * i, w);
        part[p] = mine.eikonal;
    }
    for (int p = 0; p < PARTS; p++)
        sums->eikonal += part[p];
}

void
pf_neus_area(struct pf_loss_sums *sums, float *d_sdf, float *d_grad, const float *sdf,
             const float *grad, int64_t n, double volume, float width, double lambda)
{
    const double each = n > 0 ? volume / (double)n : 0;
    for (int64_t i = 0; i < n; i++)
        pf_point_area(sums, d_sdf + i, d_grad + 3 * i, sdf[i], grad + 3 * i, each, width, lambda);
}

void
pf_neus_outside(struct pf_loss_sums *sums, float *d_sdf, const float *sdf, int64_t n, float margin,
                const struct pf_loss_weights *w)
{
    for (int64_t i = 0; i < n; i++)
        d_sdf[i] = pf_point_outside(sums, sdf[i], n, margin, w);
}
