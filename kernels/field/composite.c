/* composite.c - volume rendering of a signed distance field, its losses, and their gradients
 * (composite.h).  Rays are independent; sums over rays are taken in their order, so that nothing
 * depends on the number of threads. */
#include "kernels/field/composite.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* What the original adds so that nothing divides by zero (spec 04, 4). */
#define TINY_ALPHA 1e-5f
#define TINY_LEFT 1e-7f

static bool
grow(void *array, int64_t n, size_t size)
{
    void **p = array, *to = realloc(*p, (size_t)n * size);
    if (!to)
        return false;
    *p = to;
    return true;
}

pf_err
pf_neus_out_reserve(struct pf_neus_out *out, int64_t rays, int64_t points)
{
    if (rays > out->room_rays) {
        if (!grow(&out->rgb, rays, 3 * sizeof(float)) || !grow(&out->mask, rays, sizeof(float)) ||
            !grow(&out->normal, rays, 3 * sizeof(float)) ||
            !grow(&out->part, rays, sizeof(double)))
            return pf_fail(PF_ENOMEM, "no memory to render %lld rays", (long long)rays);
        out->room_rays = rays;
    }
    if (points > out->room) {
        if (!grow(&out->alpha, points, sizeof(float)) ||
            !grow(&out->left, points, sizeof(float)) ||
            !grow(&out->weight, points, sizeof(float)))
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
    free(out->weight);
    free(out->part);
    *out = (struct pf_neus_out){0};
}

static float
sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static float
relu(float x)
{
    return x > 0 ? x : 0;
}

/* One point: the distance where its interval begins and ends, by the slope along the ray, and the
 * part of the light that is lost between. */
struct section {
    float cosine;               /* d sdf / d t, annealed; never positive */
    float turn;                 /* d cosine / d (dir . grad) */
    float from, to;             /* sdf at both ends */
    float P, N;                 /* their sigmoids */
    float alpha;
    bool clipped;
};

static struct section
cut(float sdf, const float grad[3], const float dir[3], float dist, float inv_s, float ratio)
{
    struct section c;
    const float tc = dir[0] * grad[0] + dir[1] * grad[1] + dir[2] * grad[2];
    c.cosine = -(relu(-tc * 0.5f + 0.5f) * (1 - ratio) + relu(-tc) * ratio);
    c.turn = (tc < 1 ? 0.5f * (1 - ratio) : 0) + (tc < 0 ? ratio : 0);
    c.from = sdf - c.cosine * dist * 0.5f;
    c.to = sdf + c.cosine * dist * 0.5f;
    c.P = sigmoid(c.from * inv_s);
    c.N = sigmoid(c.to * inv_s);
    const float alpha = (c.P - c.N + TINY_ALPHA) / (c.P + TINY_ALPHA);
    c.clipped = !(alpha >= 0 && alpha <= 1);
    c.alpha = alpha < 0 ? 0 : alpha > 1 ? 1 : alpha;
    return c;
}

/* Light that dropped points, of opacity 0, let through: a little more than came (samples.h). */
static float
pass(float left, int32_t skipped)
{
    for (int32_t k = 0; k < skipped; k++)
        left *= 1 + TINY_LEFT;
    return left;
}

void
pf_neus_composite_forward(struct pf_neus_out *out, const struct pf_samples *s, const float *sdf,
                          const float *grad, const float *rgb, float inv_s, float ratio)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < s->rays; r++) {
        float left = 1, mask = 0, color[3] = {0}, normal[3] = {0};
        for (int64_t i = s->first[r] - s->first[0]; i < s->first[r + 1] - s->first[0]; i++) {
            const float *g = grad + 3 * i;
            const struct section c = cut(sdf[i], g, s->dir + 3 * i, s->dist[i], inv_s, ratio);
            left = pass(left, s->skipped[i]);
            const float w = c.alpha * left, length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
            out->alpha[i] = c.alpha;
            out->left[i] = left;
            out->weight[i] = w;
            mask += w;
            for (int k = 0; k < 3; k++) {
                color[k] += w * rgb[3 * i + k];
                normal[k] += w * g[k] / (length > 1e-12f ? length : 1e-12f);
            }
            left *= 1 - c.alpha + TINY_LEFT;
        }
        out->mask[r] = mask;
        for (int k = 0; k < 3; k++) {
            out->rgb[3 * r + k] = color[k] + (1 - mask);
            out->normal[3 * r + k] = normal[k];
        }
    }
}

/* What alpha's cotangent means for one point's inputs (spec 04, 8).  Returns the share of inv_s. */
static double
cut_backward(float *d_sdf, float d_grad[3], float d_alpha, float sdf, const float grad[3],
             const float dir[3], float dist, float inv_s, float ratio)
{
    const struct section c = cut(sdf, grad, dir, dist, inv_s, ratio);
    if (c.clipped)
        d_alpha = 0;
    const float sum = c.P + TINY_ALPHA, a = c.P - c.N + TINY_ALPHA;
    const float d_from = d_alpha * (1 / sum - a / (sum * sum)) * c.P * (1 - c.P);
    const float d_to = -d_alpha / sum * c.N * (1 - c.N);
    const float d_cosine = (d_to - d_from) * inv_s * dist * 0.5f;
    *d_sdf = (d_from + d_to) * inv_s;
    for (int k = 0; k < 3; k++)
        d_grad[k] = d_cosine * c.turn * dir[k];
    return (double)d_from * c.from + (double)d_to * c.to;
}

void
pf_neus_composite_backward(float *d_sdf, float *d_grad, float *d_rgb, double *d_inv_s,
                           const struct pf_neus_out *out, const struct pf_samples *s,
                           const float *sdf, const float *grad, const float *rgb, float inv_s,
                           float ratio, const float *d_color, const float *d_mask)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < s->rays; r++) {
        const float *dc = d_color + 3 * r;
        const float d_opacity = d_mask[r] - (dc[0] + dc[1] + dc[2]);    /* white shows through */
        const int64_t begin = s->first[r] - s->first[0];
        float d_left = 0;       /* of the light after the point */
        double part = 0;
        for (int64_t i = s->first[r + 1] - s->first[0] - 1; i >= begin; i--) {
            const float *c = rgb + 3 * i, alpha = out->alpha[i], left = out->left[i];
            const float d_weight = dc[0] * c[0] + dc[1] * c[1] + dc[2] * c[2] + d_opacity;
            for (int k = 0; k < 3; k++)
                d_rgb[3 * i + k] = out->weight[i] * dc[k];
            part += cut_backward(d_sdf + i, d_grad + 3 * i, (d_weight - d_left) * left, sdf[i],
                                 grad + 3 * i, s->dir + 3 * i, s->dist[i], inv_s, ratio);
            d_left = pass(d_weight * alpha + d_left * (1 - alpha + TINY_LEFT), s->skipped[i]);
        }
        out->part[r] = part;
    }
    for (int64_t r = 0; r < s->rays; r++)
        *d_inv_s += out->part[r];
}

void
pf_neus_loss(struct pf_neus_sums *sums, float *d_color, float *d_mask,
             const struct pf_neus_out *out, const float *want_rgb, const float *want_mask,
             int64_t rays, const struct pf_neus_how *how)
{
    const double share = 1 / (double)how->rays;
    for (int64_t r = 0; r < rays; r++) {
        const float *got = out->rgb + 3 * r, *want = want_rgb + 3 * r;
        const double e[3] = {got[0] - want[0], got[1] - want[1], got[2] - want[2]};
        const double square = e[0] * e[0] + e[1] * e[1] + e[2] * e[2];
        const double loss = sqrt(square + 0.001), miss = out->mask[r] - want_mask[r];
        sums->rgb += loss * share;
        sums->mask += miss * miss * share;
        sums->square += square;
        for (int k = 0; k < 3; k++)
            d_color[3 * r + k] = (float)(how->lambda_rgb * share * e[k] / loss);
        d_mask[r] = (float)(how->lambda_mask * share * 2 * miss);
    }
}

void
pf_neus_eikonal(struct pf_neus_sums *sums, float *d_grad, const float *grad, int64_t n,
                const struct pf_neus_how *how)
{
    enum { PARTS = 64 };        /* however many threads there are */
    double part[PARTS] = {0};
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < PARTS; p++)
        for (int64_t i = n * p / PARTS; i < n * (p + 1) / PARTS; i++) {
            const float *g = grad + 3 * i;
            const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]), miss = length - 1;
            const double share = 2 * how->lambda_eikonal / how->inner;
            const float rate = length > 0 ? (float)(share * miss / length) : 0;
            part[p] += (double)miss * miss;
            for (int k = 0; k < 3; k++)
                d_grad[3 * i + k] += rate * g[k];
        }
    for (int p = 0; p < PARTS; p++)
        sums->eikonal += part[p] / how->inner;
}

void
pf_neus_area(struct pf_neus_sums *sums, float *d_sdf, float *d_grad, const float *sdf,
             const float *grad, int64_t n, double volume, float width, double lambda)
{
    const double each = n > 0 ? volume / (double)n : 0;
    for (int64_t i = 0; i < n; i++) {
        const float *g = grad + 3 * i, P = sigmoid(sdf[i] / width);
        const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
        const double delta = P * (1 - P) / width, share = lambda * each * delta;
        sums->area += each * delta * length;
        d_sdf[i] = (float)(share * (1 - 2 * P) / width * length);
        for (int k = 0; k < 3; k++)
            d_grad[3 * i + k] = length > 0 ? (float)(share * g[k] / length) : 0;
    }
}

void
pf_neus_outside(struct pf_neus_sums *sums, float *d_sdf, const float *sdf, int64_t n, float margin,
                const struct pf_neus_how *how)
{
    for (int64_t i = 0; i < n; i++) {
        const bool near = sdf[i] < margin;
        sums->mask += near ? (double)(margin - sdf[i]) / (double)n : 0;
        d_sdf[i] = near ? (float)(-how->lambda_mask / (double)n) : 0;
    }
}
