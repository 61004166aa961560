/* layer.h - a layer: the parameters of a linear map or a convolution, as the device wants them.
 *
 *     PF_TRY(pf_layer_new(dev, &l, &weight, &bias, false));       // owned by the device
 *     PF_TRY(pf_linear(dev, &y, &x, l, NULL));
 *
 * The weight is packed once: on a GPU when the layer is made (layer.cu, layer.cuh), on the CPU at
 * first use, when it knows the shapes (onednn.c). */
#ifndef PF_LAYER_H
#define PF_LAYER_H
#include "kernels/dev.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_layer {
    int64_t K, C;               /* out, in */
    int64_t kernel[3];          /* depth, height, width; 1 1 1 for linear */
    int spatial;                /* 0 linear, 2 or 3 */
    bool transposed;
    bool doubled;               /* x's pixels are doubled first, along both sides: 3 x 3 */
    bool depthwise;             /* each channel by its own kernel: K = C, weight [C, 1, h, w] */
    pf_tensor weight;           /* as given: host; of a stack that a GPU packs the shape alone */
    const pf_tensor *parts;     /* of such a stack while it is packed, or NULL */
    const pf_tensor *factors;   /* of a product that a GPU makes: two, or NULL */
    pf_tensor bias;             /* f32 [K] on the device; data NULL if none */
    float bound;                /* of the input of a layer of E4M3 numbers; 0: it is not one */
    pf_tensor scale;            /* its factors, f32 [2] on the device: the input's, the product's */
    void *priv;                 /* the device's packed form */
} pf_layer;

/* weight: host, any float type, PyTorch's layout [K, C], [K, C, kh, kw], [K, C, kd, kh, kw] or,
 * transposed, [C, K, 3, 3, 3]; borrowed until pf_dev_close, by a GPU until the function returns.
 * A kernel of 1s is a linear map.
 * bias: [K] or NULL; copied.  Each of the three fails with PF_ESHAPE, naming weight or bias. */
pf_err pf_layer_new(pf_dev *dev, pf_layer **layer, const pf_tensor *weight, const pf_tensor *bias,
                    bool transposed) PF_MUST_USE;
/* The same with an f32 weight that was allocated, and is the layer's now, also after a failure. */
pf_err pf_layer_take(pf_dev *dev, pf_layer **layer, pf_tensor *weight, const pf_tensor *bias)
    PF_MUST_USE;
/* The same with input channels c0..c1-1 alone (copied). */
pf_err pf_layer_new_slice(pf_dev *dev, pf_layer **layer, const pf_tensor *weight,
                          const pf_tensor *bias, int64_t c0, int64_t c1) PF_MUST_USE;
/* The same depthwise: y[..., c] is x[..., c] convolved with weight[c], of [C, 1, h, w] (copied);
 * bias [C] or NULL.  For pf_conv and pf_conv_dilated, also where h = w = 1. */
pf_err pf_layer_new_depthwise(pf_dev *dev, pf_layer **layer, const pf_tensor *weight,
                              const pf_tensor *bias) PF_MUST_USE;
/* The same with several weights [K_i, C] of one input stacked to [sum K_i, C] (q, k, v in one
 * product); no bias where biases is NULL, else biases[i] for each. */
pf_err pf_layer_new_stack(pf_dev *dev, pf_layer **layer, int n, const pf_tensor *weights,
                          const pf_tensor *biases) PF_MUST_USE;

/* The same of the product a b, of a [K, M] and b [M, C]: two maps in one.  Added as f32 in the
 * order of M, then rounded. */
pf_err pf_layer_new_product(pf_dev *dev, pf_layer **layer, const pf_tensor *a, const pf_tensor *b,
                            const pf_tensor *bias) PF_MUST_USE;

/* The same of [K, C, 3, 3], for pf_conv of x with each pixel doubled along both sides (nearest
 * upsampling), which nobody makes: y's pixels of one parity see 2 x 2 of x's, whose weights are
 * sums of one, two or four of these.  Added as f32, then rounded. */
pf_err pf_layer_new_doubled(pf_dev *dev, pf_layer **layer, const pf_tensor *weight,
                            const pf_tensor *bias) PF_MUST_USE;

/* pf_layer_new of a convolution with E4M3 numbers, for pf_conv, where the device has such layers
 * (pf_dev_f8) and both C is whole 64s and K whole 8s; elsewhere, or if bound is 0, with the
 * device's.  All but a few numbers of the input must be bound at most, and few more than four times
 * that, where E4M3's largest is; it is as precise to a 7000th of bound.  The input of the new layer
 * is PF_F8, each number times the first of pf_layer_scale, and so rounded; what it multiplies to is
 * as ever, but for that rounding and the weight's. */
pf_err pf_layer_new_f8(pf_dev *dev, pf_layer **layer, const pf_tensor *weight,
                       const pf_tensor *bias, float bound) PF_MUST_USE;
/* What who makes the input of a layer of E4M3 numbers needs; NULL: it is no such layer. */
static inline const pf_tensor *
pf_layer_scale(const pf_layer *l)
{
    return l->bound > 0 ? &l->scale : NULL;
}

/* ---- layer.cu: the weight on the GPU, in the layout that linear.cu and conv.cu want ---- */
pf_err pf_cuda_layer_new(pf_dev *dev, pf_layer *layer) PF_MUST_USE;     /* sets layer->priv */
void pf_cuda_layer_free(pf_layer *layer);

#ifdef __cplusplus
}
#endif
#endif
