/* onednn.h - products of a layer by oneDNN: primitives made once per shape, weights packed once.
 * Private to the CPU operators; only layer.c, linear.c and conv.c use it. */
#ifndef PF_ONEDNN_H
#define PF_ONEDNN_H
#include "kernels/ops.h"

/* What a primitive depends on, besides the layer.  Sizes in oneDNN's order: [B, C, D, H, W] with
 * the axes that the layer has; a linear map's are [M, C].  Compared as bytes. */
struct pf_product {
    int64_t src[5], dst[5];
    int64_t stride, dilation;   /* 0: like 1, taps lie side by side */
    int64_t before[3];          /* of each axis; what is added behind follows from the sizes */
    enum pf_act act;
    enum { PF_ALONE, PF_PLUS_OTHER, PF_PLUS_ITSELF } residual;  /* y = ... + r, or y += ... */
    int64_t bias;               /* 1 if there is one; wide so that no byte is padding */
};

pf_err pf_onednn_new(pf_dev *dev, pf_layer *layer) PF_MUST_USE;        /* sets layer->priv */
void pf_onednn_free(pf_layer *layer);
/* The layer's weight (f32) is its own from now on: freed as soon as it is packed. */
void pf_onednn_take_weight(pf_layer *layer);

/* The convolutions that make up one by parity (conv.c), eight of a transposed layer, four of one of
 * doubled pixels: NULL until they are set; freed like all layers when the device closes. */
pf_layer **pf_onednn_parts(const pf_layer *layer);

/* Run shape, whose src[0] counts rows of all B elements, with this epilogue (NULL: none).  shape
 * gives src, dst, stride and before; the rest of it is found here. */
pf_err pf_onednn_run(pf_dev *dev, const pf_layer *layer, const struct pf_product *shape,
                     pf_tensor *y, const pf_tensor *x, const struct pf_epilogue *e) PF_MUST_USE;

#endif
