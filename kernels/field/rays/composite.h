/* composite.h - from distances along rays to colours, and back (field.md, 4 and 6).
 * Private to kernels/field.
 *
 *     PF_TRY(pf_neus_out_reserve(&out, s.rays, s.n));
 *     pf_neus_composite_forward(&out, &s, sdf, grad, rgb, inv_s, ratio);
 *     pf_neus_loss(&sums, d_color, d_mask, &out, want_rgb, want_mask, s.rays, &how);
 *     pf_neus_composite_backward(d_sdf, d_grad, d_rgb, &d_inv_s, &out, &s, sdf, grad, rgb, inv_s,
 *                                ratio, d_color, d_mask);
 *     pf_neus_eikonal(&sums, d_grad, grad, s.n, &how);
 *     pf_neus_out_release(&out);
 *
 * N rays, P packed points (samples.h).  A batch may be done in slices of rays: sums and gradients
 * add up, and how holds what concerns the whole batch. */
#ifndef PF_FIELD_COMPOSITE_H
#define PF_FIELD_COMPOSITE_H
#include "kernels/field/rays/samples.h"

struct pf_neus_out {
    float *rgb;                 /* [N, 3] on white */
    float *mask;                /* [N] sum of weights */
    float *normal;              /* [N, 3] sum of weighted unit normals */
    float *alpha, *left;        /* [P] opacity; light that arrives at the point */
    float *weight;              /* [P] alpha * left */
    double *part;               /* [N] work space */
    int64_t room_rays, room;
};
pf_err pf_neus_out_reserve(struct pf_neus_out *out, int64_t rays, int64_t points) PF_MUST_USE;
void pf_neus_out_release(struct pf_neus_out *out);

/* sdf [P], grad [P, 3] of the distance, rgb [P, 3].  ratio 0..1: how far the cosine is annealed;
 * 1 outside training. */
void pf_neus_composite_forward(struct pf_neus_out *out, const struct pf_samples *s,
                               const float *sdf, const float *grad, const float *rgb, float inv_s,
                               float ratio);
/* Cotangents d_sdf [P], d_grad [P, 3], d_rgb [P, 3] (written) and d_inv_s (added to) from those of
 * out->rgb and out->mask, d_color [N, 3] and d_mask [N].  out is as forward left it. */
void pf_neus_composite_backward(float *d_sdf, float *d_grad, float *d_rgb, double *d_inv_s,
                                const struct pf_neus_out *out, const struct pf_samples *s,
                                const float *sdf, const float *grad, const float *rgb,
                                float inv_s, float ratio, const float *d_color,
                                const float *d_mask);

struct pf_neus_how {            /* weights and sizes of the whole batch */
    double lambda_rgb, lambda_mask, lambda_eikonal;
    int64_t rays;
    double inner;               /* eikonal denominator: points + 1e-5 * slots */
};
struct pf_neus_sums {
    double rgb, mask, eikonal, area;    /* losses, not yet weighted */
    double square;              /* squared error of rgb, summed: PSNR */
};
/* Add the colour and mask losses of N rays to sums; write d_color [N, 3], d_mask [N]. */
void pf_neus_loss(struct pf_neus_sums *sums, float *d_color, float *d_mask,
                  const struct pf_neus_out *out, const float *want_rgb, const float *want_mask,
                  int64_t rays, const struct pf_neus_how *how);
/* Add (|grad| - 1)^2 of n points to sums, and its cotangent to d_grad [n, 3]. */
void pf_neus_eikonal(struct pf_neus_sums *sums, float *d_grad, const float *grad, int64_t n,
                     const struct pf_neus_how *how);
/* Add the mean of max(margin - sdf, 0) to the mask loss, for n points that are outside for certain;
 * write d_sdf [n]. */
void pf_neus_outside(struct pf_neus_sums *sums, float *d_sdf, const float *sdf, int64_t n,
                     float margin, const struct pf_neus_how *how);
/* Add an estimate of the surface's area to sums, and write its cotangents d_sdf [n], d_grad [n, 3]:
 * the integral of delta(sdf) |grad|, whose delta is that of a sigmoid(sdf / width), over n points
 * drawn from a volume.  Points should reach some 5 widths from the surface. */
void pf_neus_area(struct pf_neus_sums *sums, float *d_sdf, float *d_grad, const float *sdf,
                  const float *grad, int64_t n, double volume, float width, double lambda);

#endif
