/* conv.c - pf_conv: y = act(conv(x) + b + channel) + residual, zero padding, 2-D or 3-D.
 *
 *   conv(x)[b, i, j, k] = sum over u, v, c of x[b, s i + u - p, s j + v - p, c] W[k, c, u, v]
 *   H' = (H + before + after - kernel) / s + 1 on each axis; s stride, p before
 *   dilated by d, which then is p for 3 x 3: x[b, i + d u - p, j + d v - p, c] in its place
 *   depthwise: y[b, i, j, c] = sum over u, v of x[b, s i + u - p, s j + v - p, c] W[c, u, v]
 *   transposed: y[b, o, k] = sum of x[b, i, c] W[c, k, u] over i, u with o = 2 i + u - 1; H' = 2 H
 *   doubled: x[b, (i + u - 1) / 2, (j + v - 1) / 2, c] in its place, rounded down; H' = 2 H
 *
 *   y, residual f32 [B, H', W', K] or [B, D', H', W', K]   x f32 [B, H, W, C] or [B, D, H, W, C]
 *
 * The reference's Conv2d, Conv3d and ConvTranspose3d (k3 s2 p1, output padding 1: networks.md,
 * 5.3).  The work is oneDNN's, on channels-last activations.  A transposed convolution is done
 * as eight small ones, one for each parity of the output's position: on each axis an even output
 * is x[i] W[1], an odd one x[i] W[2] + x[i+1] W[0].  oneDNN's own is 2 to 30 times slower
 * (SPEED.md).  One of doubled pixels is done as four (doubled.h). */
#include <string.h>

#include "kernels/doubled.h"
#include "kernels/onednn.h"

static pf_err
check_steps(const pf_layer *w, int stride, int before, int after)
{
    if (w->transposed && (stride != 2 || before != 1 || after != 1))
        return pf_fail(PF_ESHAPE,
                       "a transposed convolution has stride 2 and padding 1, 1; not %d and %d, %d",
                       stride, before, after);
    if (w->doubled && (stride != 1 || before != 1 || after != 1))
        return pf_fail(PF_ESHAPE,
                       "a convolution of doubled pixels has stride 1 and padding 1, 1; not %d and "
                       "%d, %d", stride, before, after);
    for (int i = 3 - w->spatial; i < 3; i++)
        if (stride < 1 || before < 0 || after < 0 || before >= w->kernel[i] ||
            after >= w->kernel[i])
            return pf_fail(PF_ESHAPE,
                           "convolution: stride %d, padding %d, %d does not suit a kernel of %lld",
                           stride, before, after, (long long)w->kernel[i]);
    return PF_OK;
}

pf_err
pf_conv(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int stride, int before,
        int after, const struct pf_epilogue *e)
{
    const int n = w->spatial + 2;
    int64_t dim[PF_MAX_DIMS];
    if (w->spatial == 0 && stride == 1 && before == 0 && after == 0)
        return pf_linear(dev, y, x, w, e);
    if (w->spatial == 0)
        return pf_fail(PF_EARG, "a 1x1 convolution takes stride 1 and no padding");
    PF_TRY(check_steps(w, stride, before, after));
    for (int i = 0; i < n - 1; i++)
        dim[i] = -1;
    dim[n - 1] = w->C;
    PF_TRY(pf_tensor_expect(x, "x", pf_scaled_dtype(dev, pf_layer_scale(w)), n, dim));
    dim[0] = x->dim[0];
    for (int i = 1; i < n - 1; i++) {
        const int64_t span = x->dim[i] + before + after - w->kernel[i + 4 - n];
        if (span < 0)
            return pf_fail(PF_ESHAPE, "x is smaller than the convolution's kernel");
        dim[i] = w->transposed || w->doubled ? 2 * x->dim[i] : span / stride + 1;
    }
    dim[n - 1] = w->K;
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), n, dim));
    PF_TRY(pf_epilogue_check(e, y));
    return PF_DISPATCH_SCRATCH(dev, pf_conv, y, x, w, stride, before, after, e);
}

pf_err
pf_conv_dilated(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int dilation,
                const struct pf_epilogue *e)
{
    if (w->spatial != 2 || w->kernel[1] % 2 == 0 || w->kernel[2] % 2 == 0 || w->doubled ||
        dilation < 1)
        return pf_fail(PF_ESHAPE,
                       "a dilated convolution takes a kernel of odd sides and a dilation of 1 or "
                       "more, not %lld x %lld and %d",
                       (long long)w->kernel[1], (long long)w->kernel[2], dilation);
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, w->C}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4,
                            (int64_t[]){x->dim[0], x->dim[1], x->dim[2], w->K}));
    PF_TRY(pf_epilogue_check(e, y));
    return PF_DISPATCH_SCRATCH(dev, pf_conv_dilated, y, x, w, dilation, e);
}

pf_err
pf_conv_dilated_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int dilation,
                    const struct pf_epilogue *e)
{
    const struct pf_product shape = {.src = {x->dim[0], w->C, x->dim[1], x->dim[2]},
                                     .dst = {y->dim[0], w->K, y->dim[1], y->dim[2]},
                                     .stride = 1,
                                     .dilation = dilation,
                                     .before = {dilation * (w->kernel[1] / 2),
                                                dilation * (w->kernel[2] / 2)}};
    return pf_onednn_run(dev, w, &shape, y, x, e);
}

/* before: of each of the layer's axes. */
static pf_err
convolve(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int stride,
         const int64_t *before, const struct pf_epilogue *e)
{
    struct pf_product shape = {
        .src = {x->dim[0], w->C}, .dst = {y->dim[0], w->K}, .stride = stride};
    for (int i = 0; i < w->spatial; i++) {
        shape.src[2 + i] = x->dim[1 + i];
        shape.dst[2 + i] = y->dim[1 + i];
        shape.before[i] = before[i];
    }
    return pf_onednn_run(dev, w, &shape, y, x, e);
}

/* Fill in the weight [K, C, d, h, w] of a part from all [C, K, 3, 3, 3]. */
static void
transposed_weight(pf_tensor *weight, const float *all, int parity)
{
    const int64_t *const dim = weight->dim, K = dim[0], C = dim[1], taps = dim[2] * dim[3] * dim[4];
    for (int64_t t = 0; t < taps; t++) {
        const int64_t at[3] = {t / (dim[3] * dim[4]), t / dim[4] % dim[3], t % dim[4]};
        int64_t tap = 0;
        for (int a = 0; a < 3; a++)
            tap = 3 * tap + (parity >> a & 1 ? 2 - 2 * at[a] : 1);
        for (int64_t k = 0; k < K; k++)
            for (int64_t c = 0; c < C; c++)
                ((float *)weight->data)[(k * C + c) * taps + t] = all[(c * K + k) * 27 + tap];
    }
}

/* The weight [K, C, 2, 2] of a part from all [K, C, 3, 3]. */
static void
doubled_weight(pf_tensor *weight, const float *all, int parity)
{
    const int64_t n = weight->dim[0] * weight->dim[1];
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++)
        for (int t = 0; t < PF_DOUBLED_TAPS; t++)
            ((float *)weight->data)[i * PF_DOUBLED_TAPS + t] =
                pf_doubled_weight(all + 9 * i, parity, t);
}

/* The part of a layer for the outputs of one parity, bit a: odd on axis a of the layer's. */
static pf_err
new_part(pf_dev *dev, pf_layer **part, const pf_layer *w, const float *all, int parity)
{
    const int axes = 2 + w->spatial;
    int64_t dim[5] = {w->K, w->C};
    pf_tensor weight;
    for (int a = 0; a < w->spatial; a++)
        dim[2 + a] = w->doubled ? 2 : 1 + (parity >> a & 1);
    if (pf_dev_is_dry(dev)) {   /* the shape is all that counts */
        weight = pf_tensor_view(w->weight.data, PF_F32, axes, dim);
        return pf_layer_new(dev, part, &weight, &w->bias, false);
    }
    PF_TRY(pf_tensor_new_unset(&weight, PF_F32, axes, dim));
    if (w->doubled)
        doubled_weight(&weight, all, parity);
    else
        transposed_weight(&weight, all, parity);
    const pf_err err = pf_layer_new(dev, part, &weight, &w->bias, false);
    if (err)
        pf_tensor_release(&weight);
    else
        pf_onednn_take_weight(*part);
    return err;
}

/* All of them. */
static pf_err
new_parts(pf_dev *dev, pf_layer **part, const pf_layer *w)
{
    const bool as_it_is = pf_dev_is_dry(dev) || w->weight.dtype == PF_F32;
    pf_tensor all = w->weight;
    pf_err err = PF_OK;
    if (!as_it_is) {
        PF_TRY(pf_tensor_new_unset(&all, PF_F32, w->weight.ndim, w->weight.dim));
        pf_to_f32(all.data, w->weight.data, w->weight.dtype, pf_tensor_count(&all));
    }
    for (int parity = 0; parity < 1 << w->spatial && !err; parity++)
        if (!part[parity])                      /* a call before may have failed halfway */
            err = new_part(dev, &part[parity], w, all.data, parity);
    if (!as_it_is)
        pf_tensor_release(&all);
    return err;
}

/* y at the positions of one parity = part + residual, [B, D, H, W, K] or, flat, [B, H, W, K]. */
static void
interleave(pf_tensor *y, const pf_tensor *part, int parity, const pf_tensor *residual)
{
    const bool flat = part->ndim == 4;
    const int64_t *const dim = part->dim + (flat ? 0 : 1), H = dim[1], W = dim[2], K = dim[3];
    const int64_t D = flat ? 1 : part->dim[1], deep = flat ? 1 : 2, z0 = flat ? 0 : parity & 1;
    const int64_t y0 = parity >> (flat ? 0 : 1) & 1, x0 = parity >> (flat ? 1 : 2);
#pragma omp parallel for if (D * H * W * K > 8192)
    for (int64_t row = 0; row < part->dim[0] * D * H; row++) {
        const int64_t b = row / (D * H), z = row / H % D, i = row % H;
        const int64_t at =
            ((((b * D + z) * deep + z0) * H + i) * 2 + y0) * 2 * W * K + x0 * K;
        const float *from = (const float *)part->data + row * W * K;
        for (int64_t j = 0; j < W; j++, from += K) {
            float *const to = (float *)y->data + at + 2 * j * K;
            if (!residual) {
                memcpy(to, from, (size_t)K * sizeof *to);
                continue;
            }
            const float *const r = (const float *)residual->data + at + 2 * j * K;
#pragma omp simd
            for (int64_t k = 0; k < K; k++)
                to[k] = from[k] + r[k];
        }
    }
}

/* A transposed layer's, or one of doubled pixels, whose kernels reach back on even axes. */
static pf_err
by_parity(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w,
          const struct pf_epilogue *e)
{
    const struct pf_epilogue own = {e ? e->channel : NULL, e ? e->act : PF_NONE, NULL};
    pf_layer **const layer = pf_onednn_parts(w);
    int64_t dim[PF_MAX_DIMS];
    pf_tensor part;
    memcpy(dim, x->dim, sizeof dim);
    dim[x->ndim - 1] = w->K;
    PF_TRY(pf_dev_alloc(dev, &part, PF_F32, x->ndim, dim));
    if (!layer[(1 << w->spatial) - 1])
        PF_TRY(new_parts(dev, layer, w));
    for (int parity = 0; parity < 1 << w->spatial; parity++) {
        const int64_t even[] = {!(parity & 1), !(parity >> 1 & 1)}, none[3] = {0};
        if (!layer[parity]->spatial)
            PF_TRY(pf_linear(dev, &part, x, layer[parity], &own));
        else
            PF_TRY(convolve(dev, &part, x, layer[parity], 1, w->doubled ? even : none, &own));
        if (!pf_dev_is_dry(dev))
            interleave(y, &part, parity, e ? e->residual : NULL);
    }
    return PF_OK;
}

pf_err
pf_conv_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int stride,
            int before, int after, const struct pf_epilogue *e)
{
    const size_t mark = pf_dev_mark(dev);
    const int64_t each[] = {before, before, before};
    (void)after;                /* follows from y's size */
    const pf_err err = w->transposed || w->doubled ? by_parity(dev, y, x, w, e)
                                                   : convolve(dev, y, x, w, stride, each, e);
    pf_dev_reset(dev, mark);
    return err;
}
