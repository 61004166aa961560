/* composite.h - from distances along rays to colours, and back (field.md, 4 and 6).
 * Private to kernels/field.
 *
 *     PF_TRY(pf_neus_out_reserve(&out, s.rays, s.n));
 *     pf_neus_composite_forward(&out, &s, sdf, grad, rgb, inv_s, ratio);
 *     pf_neus_loss(&sums, d_color, d_mask, &out, want_rgb, want_mask, NULL, s.rays, &weights);
 *     pf_neus_composite_backward(d_sdf, d_grad, d_rgb, &d_inv_s, &out, &s, sdf, grad, rgb, inv_s,
 *                                ratio, d_color, d_mask);
 *     pf_neus_eikonal(&sums, d_grad, grad, s.n, &weights);
 *     pf_neus_out_release(&out);
 *
 * N rays, P packed points (samples.h).  A batch may be done in slices of rays: sums and gradients
 * add up, and the weights hold what concerns the whole batch. */
#ifndef PF_FIELD_COMPOSITE_H
#define PF_FIELD_COMPOSITE_H
#include <stdbool.h>

#include "common/neus_config.h"
#include "kernels/field/rays/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_neus_out {
    float *rgb;                 /* [N, 3] on white */
    float *mask;                /* [N] sum of weights */
    float *normal;              /* [N, 3] sum of weighted unit normals */
    float *alpha, *left;        /* [P] opacity; light that arrives at the point */
    double *part;               /* [N] work space */
    int64_t room_rays, room;
};
pf_err pf_neus_out_reserve(struct pf_neus_out *out, int64_t rays, int64_t points) PF_MUST_USE;
void pf_neus_out_release(struct pf_neus_out *out);

/* sdf [P], grad [P, 3] of the distance, rgb [P, 3]; grad NULL: sdf is a density (density.h).  ratio
 * 0..1: how far the cosine is annealed; 1 outside training. */
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

/* What the losses of a whole batch are multiplied with and divided by. */
struct pf_loss_weights {
    double lambda_rgb, lambda_mask, lambda_eikonal, lambda_area;
    int64_t rays;
    double inner;               /* eikonal denominator: points + 1e-5 * slots */
    int64_t area_points, wall_points;   /* that are on no ray; 0: the area is no loss */
};
/* Of a batch of rays with so many points and slots (samples.h).  grid: the field is sampled through
 * one, which the loss of the area needs.  ratio: how far the cosine is annealed; the area comes in
 * with it, because a soft start would shrink. */
struct pf_loss_weights pf_loss_weights_of(const struct pf_neus_config *conf, bool grid, float ratio,
                                          int64_t rays, int64_t points, int64_t slots);

struct pf_loss_sums {
    double rgb, mask, eikonal, area;    /* losses, not yet weighted */
    double square;              /* squared error of rgb, summed: PSNR */
    double d_inv_s;             /* cotangent of the sharpness, from pf_neus_composite_backward */
};
/* Each view's own gain and offset of colours (field.md, 7): red, green, blue, then again. */
enum { PF_TONE = 6 };
struct pf_tones {
    const float *tone;          /* [views, PF_TONE] 0: as they are */
    const int32_t *view;        /* [N] of each ray */
    float *d_tone;              /* [N, PF_TONE] cotangents, written */
};
/* Add the colour and mask losses of N rays to sums; write d_color [N, 3], d_mask [N].  tones NULL:
 * all views have the colours that they show. */
void pf_neus_loss(struct pf_loss_sums *sums, float *d_color, float *d_mask,
                  const struct pf_neus_out *out, const float *want_rgb, const float *want_mask,
                  const struct pf_tones *tones, int64_t rays, const struct pf_loss_weights *w);
/* Add (|grad| - 1)^2 of n points to sums, and its cotangent to d_grad [n, 3]. */
void pf_neus_eikonal(struct pf_loss_sums *sums, float *d_grad, const float *grad, int64_t n,
                     const struct pf_loss_weights *w);
/* Add the mean of max(margin - sdf, 0) to the mask loss, for n points that are outside for certain;
 * write d_sdf [n]. */
void pf_neus_outside(struct pf_loss_sums *sums, float *d_sdf, const float *sdf, int64_t n,
                     float margin, const struct pf_loss_weights *w);
/* Add an estimate of the surface's area to sums, and write its cotangents d_sdf [n], d_grad [n, 3]:
 * the integral of delta(sdf) |grad|, whose delta is that of a sigmoid(sdf / width), over n points
 * drawn from a volume.  Points should reach some 5 widths from the surface. */
void pf_neus_area(struct pf_loss_sums *sums, float *d_sdf, float *d_grad, const float *sdf,
                  const float *grad, int64_t n, double volume, float width, double lambda);

#ifdef __cplusplus
}
#endif
#endif
