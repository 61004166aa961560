/* ops.h - the catalogue of operators.  Read this first.
 *
 * Letters: B batch, V views, C K channels in and out, D H W depth height width, T tokens, E
 * embedding, N rays or points, S samples, h heads, d head width.  Activations are channels-last:
 * [B, H, W, C], volumes [B, D, H, W, C], tokens [B, T, C]; "act" is pf_dev_dtype(dev) (f32 on
 * the CPU).  Outputs are allocated by the caller and must not overlap inputs unless it is said.
 * Every function checks shapes (PF_ESHAPE names the argument) and dispatches to its _cpu or
 * _cuda twin. */
#ifndef PF_OPS_H
#define PF_OPS_H
#include "kernels/layer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* GELU: exact, erf.  Leaky ReLU: 0.01 x below 0.  SELU: PF_SELU_SCALE (x, or below 0
 * PF_SELU_ALPHA (e^x - 1)).  elementwise.c has the formulas. */
enum pf_act {
    PF_NONE, PF_SILU, PF_RELU, PF_GELU, PF_QUICK_GELU, PF_LEAKY_RELU, PF_SELU, PF_SIGMOID,
    PF_ACT_LAST = PF_SIGMOID
};
#define PF_LEAKY_SLOPE 0.01f
#define PF_SELU_SCALE 1.05070098f
#define PF_SELU_ALPHA 1.67326324f

/* The type of what is the input of a layer with this scale (pf_layer_scale), or NULL. */
static inline pf_dtype
pf_scaled_dtype(const pf_dev *dev, const pf_tensor *scale)
{
    return scale ? PF_F8 : pf_dev_dtype(dev);
}

/* What happens to a product before it is stored, in this order:
 *   y = act(product + bias + channel) + residual */
struct pf_epilogue {
    const pf_tensor *channel;   /* f32 [B, K], or [1, K] for all of the batch; NULL: none */
    enum pf_act act;
    const pf_tensor *residual;  /* like y, may be y itself; NULL: none */
};
/* PF_ESHAPE unless its tensors fit y, whose first size is B.  NULL is fine.  linear.c. */
pf_err pf_epilogue_check(const struct pf_epilogue *e, const pf_tensor *y) PF_MUST_USE;

/* pf_linear: y = epilogue(x W^T + b) over the last axis.
 *   y act [B, ..., K]   x act [B, ..., C]   e may be NULL.  Also 1x1 convolutions. */
PF_OP(pf_linear, pf_tensor *y, const pf_tensor *x, const pf_layer *w, const struct pf_epilogue *e);

/* pf_conv: convolution with zero padding, 2-D or 3-D by the layer.
 *   y act [B, H', W', K] or [B, D', H', W', K]   x act [B, H, W, C] or [B, D, H, W, C], or PF_F8
 *   where the layer has a scale (layer.h)
 *   H' = (H + before + after - kernel) / stride + 1; the same on every axis.
 * Transposed layers (k3 s2 p1, output padding 1 on each axis) double every axis: stride 2,
 * before 1, after 1 are then the only values taken.  Layers of doubled pixels (layer.h) double
 * height and width: stride 1, before 1, after 1.  Depthwise layers, 2-D, convolve each channel for
 * itself. */
PF_OP(pf_conv, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int stride, int before,
      int after, const struct pf_epilogue *e);

/* pf_conv_dilated: a 2-D convolution whose taps lie dilation pixels apart, stride 1, zero padding
 * so that y is as large as x; kernels have odd sides, not always the same two (1 x 7).  Depthwise
 * layers too.
 *   y act [B, H, W, K]   x act [B, H, W, C] */
PF_OP(pf_conv_dilated, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int dilation,
      const struct pf_epilogue *e);

/* pf_group_norm: y = act(norm(x + channel)), biased variance over a group's channels and all
 * positions of one batch element; sums in f32 pairs accurate for 65536 x 16 nearly constant values.
 *   y, x act [B, ..., C]   gamma, beta f32 [C]   channel f32 [B, C] or [1, C] or NULL
 *   scale f32 [2] or NULL: that of the layer whose input y is (layer.h); y is then PF_F8, and holds
 *   its numbers times scale[0]
 *   y may be x, unless it is PF_F8. */
PF_OP(pf_group_norm, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
      const pf_tensor *beta, int groups, float eps, enum pf_act act, const pf_tensor *channel,
      const pf_tensor *scale);

/* pf_layer_norm over the last axis.  y, x act [..., C]; gamma, beta f32 [C].  y may be x. */
PF_OP(pf_layer_norm, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
      const pf_tensor *beta, float eps);

/* pf_attention: y = softmax(q k^T * scale + mask) v, each head on its own; never holds [T, T].
 *   y   act [B, Q, h*d]          the first Q <= T queries alone are computed
 *   qkv act [B, T, 3*h*d]        q heads, then k heads, then v heads; head i owns d channels
 *   mask u32 [M, T, ceil(T/32)]  bit k%32 of word k/32 of row q: may q see k; element b uses
 *                                mask b % M.  NULL: all.  Every row must see something.
 *   side                         0, or T = Q = 2 side^2, and the mask's rows and columns are in the
 *                                order of strips.h; qkv and y are in that of memory */
PF_OP(pf_attention, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
      const pf_tensor *mask, int side);

/* pf_depth_attention: each pixel attends to the D samples of its own ray (networks.md, 6.4), which
 * are keys and values of each head.
 *   y, q act [B, H, W, h*n]   context act [B, D, H, W, n] */
PF_OP(pf_depth_attention, pf_tensor *y, const pf_tensor *q, const pf_tensor *context, int heads,
      float scale);

/* pf_geglu: y = a * gelu(g), [a | g] = x.   y act [..., C]   x act [..., 2C] */
PF_OP(pf_geglu, pf_tensor *y, const pf_tensor *x);

/* pf_linear_geglu: y = a * gelu(g), [a | g] = x W^T + b over the last axis, in one pass where the
 * device can: [a | g] is then neither stored nor rounded.
 *   y act [B, ..., K/2]   x act [B, ..., C] */
PF_OP(pf_linear_geglu, pf_tensor *y, const pf_tensor *x, const pf_layer *w);

/* pf_activate: y = act(x) elementwise; y may be x.  Any shape. */
PF_OP(pf_activate, pf_tensor *y, const pf_tensor *x, enum pf_act act);

/* pf_add: y = a + scale * b elementwise; y may be a or b.  b of batch 1 serves all of the batch.
 * All three are activations, or all three f32. */
PF_OP(pf_add, pf_tensor *y, const pf_tensor *a, const pf_tensor *b, float scale);

/* pf_multiply: y = a * b elementwise; y may be a.  An axis of b may be 1 where a's is not: b then
 * serves all of it (a number a channel [B, 1, 1, C], a number a pixel [B, H, W, 1]).
 *   y, a act [B, H, W, C]   b act, each axis like a's or 1 */
PF_OP(pf_multiply, pf_tensor *y, const pf_tensor *a, const pf_tensor *b);

/* pf_concat: y [..., A + B] = a [..., A], b [..., B] on channels. */
PF_OP(pf_concat, pf_tensor *y, const pf_tensor *a, const pf_tensor *b);

/* pf_slice: y [..., c1 - c0] = channels c0..c1-1 of x [..., C]. */
PF_OP(pf_slice, pf_tensor *y, const pf_tensor *x, int64_t c0, int64_t c1);


/* pf_max_pool: the largest of size x size pixels at every second one; odd sides round up.  Size 1
 * takes every second pixel, 2 windows that do not overlap, 3 windows around every second pixel.
 *   y act [B, ceil(H/2), ceil(W/2), C]   x act [B, H, W, C]
 *   y[b, i, j] = max of x[b, 2i - (size-1)/2 + u, 2j - (size-1)/2 + v], 0 <= u, v < size, inside */
PF_OP(pf_max_pool, pf_tensor *y, const pf_tensor *x, int size);

/* pf_bilinear: resize, pixels' centres at half numbers, not antialiased.
 *   y act [B, H', W', C]   x act [B, H, W, C]   or both f32 */
PF_OP(pf_bilinear, pf_tensor *y, const pf_tensor *x);

/* pf_bilinear_corners: the same, but the corners' pixels stay where they are.
 *   position of y's pixel i: i (H - 1) / (H' - 1), or 0 where H' = 1 */
PF_OP(pf_bilinear_corners, pf_tensor *y, const pf_tensor *x);

/* pf_average_pool: means of H' x W' cells that cover x; neighbours may share a row or a column.
 * H' = W' = 1 is the mean of all pixels.  Sums are made in f32 at least.
 *   y act [B, H', W', C]   x act [B, H, W, C], none of them 0
 *   cell i has rows floor(i H / H') .. ceil((i + 1) H / H') - 1, and columns likewise */
PF_OP(pf_average_pool, pf_tensor *y, const pf_tensor *x);

/* pf_unproject: sample every view's feature map at every vertex of the volume (networks.md, 5.2).
 *   y act [1, S, S, S, V*C]   axes z, y, x; channel = view * C + c
 *   x act [V, H, W, C]   proj f32 [V, 3, 4]: world to texel (texel k's centre is coordinate k)
 *   length: half edge of the volume.  Bilinear, zeros outside; depth is at least 1e-4. */
PF_OP(pf_unproject, pf_tensor *y, const pf_tensor *x, const pf_tensor *proj, float length);

/* pf_frustum_sample: resample the volume along the pixels of each view (networks.md, 5.4).
 *   y act [V, D, H, W, C]   x act [1, S, S, S, C] axes z, y, x
 *   unproj f32 [V, 3, 4]: world X = unproj * (j z, i z, z, 1) for column j, row i, depth z
 *   z = near + (far - near) * k / (D - 1).  Trilinear, zeros outside, align_corners. */
PF_OP(pf_frustum_sample, pf_tensor *y, const pf_tensor *x, const pf_tensor *unproj, float length,
      float near, float far);

/* pf_plucker_tokens: Pluecker coordinates of the latent's pixels in pairs of cameras (cameras.md,
 * 5).
 *   y act [V, 2hh, 6]          direction, then moment; token 2 * pixel + view, view 0 the target's
 *   cameras f64 [V, 2, 4, 3]   struct pf_spad_camera of target and input
 *   The map made for side n, a multiple of h; n <= 16384. */
PF_OP(pf_plucker_tokens, pf_tensor *y, const pf_tensor *cameras, int n, int h);

/* pf_epipolar_mask: which tokens see each other: all of one view, and of the other view those on
 * the epipolar line (cameras.md, 6 and 7).  The mask made for side n, at side h; the same bits on
 * every device.
 *   mask u32 [V, 2hh, ceil(2hh / 32)]   as pf_attention wants it with side h
 *   cameras, n, h as above */
PF_OP(pf_epipolar_mask, pf_tensor *mask, const pf_tensor *cameras, int n, int h);

/* pf_ddim_step: guidance and update in one pass (networks.md, 7 and 8), in place.
 *   out = uncond + cfg (cond - uncond), or cond where uncond is NULL
 *   eps = eps_of_out out + eps_of_x x: 1 and 0, or what makes noise of velocity
 *   x0 = (x - sqrt(1-a) eps) / sqrt(a);   x = sqrt(a_prev) x0 + dir eps + sigma noise
 *   x, noise f32 (noise NULL: none); cond, uncond act; one shape
 *   c: in the device's memory, so that a graph can be replayed with others */
struct pf_ddim_coefficients {
    float sqrt_a, sqrt_one_minus_a, sqrt_a_prev, dir, sigma, eps_of_out, eps_of_x;
};
PF_OP(pf_ddim_step, pf_tensor *x, const pf_tensor *cond, const pf_tensor *uncond, float cfg,
      const struct pf_ddim_coefficients *c, const pf_tensor *noise);

/* pf_multistep: guidance and one step of a multistep solver in one pass (networks.md, 7 and 8), in
 * place.  x is what the network saw, y the state behind it, m1 and m2 what the network told of x0
 * one and two steps ago; all four are finite, also where their coefficients are 0.
 *   out = uncond + cfg (cond - uncond), or cond where uncond is NULL
 *   m = m_of_x x + m_of_out out
 *   y = y_of_x x + y_of_y y + y_of_m m + y_of_m1 m1 + y_of_m2 m2
 *   x = x_of_y y + x_of_m m + x_of_m1 m1;   m2 = m1;   m1 = m
 *   x, y, m1, m2 f32; cond, uncond act; one shape
 *   c: in the device's memory, so that a graph can be replayed with others */
struct pf_multistep_coefficients {
    float m_of_x, m_of_out, y_of_x, y_of_y, y_of_m, y_of_m1, y_of_m2, x_of_y, x_of_m, x_of_m1;
};
PF_OP(pf_multistep, pf_tensor *x, pf_tensor *y, pf_tensor *m1, pf_tensor *m2,
      const pf_tensor *cond, const pf_tensor *uncond, float cfg,
      const struct pf_multistep_coefficients *c);

/* pf_gaussian: standard normal numbers first and following of a stream of common/rng.h, counted
 * channel by channel: y[v,i,j,c] is number first + ((v C + c) H + i) W + j.  The same bits on every
 * device.
 *   y f32 [V, H, W, C] */
PF_OP(pf_gaussian, pf_tensor *y, uint64_t seed, uint64_t stream, uint64_t first);

#ifdef __cplusplus
}
#endif
#endif
