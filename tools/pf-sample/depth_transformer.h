/* depth_transformer.h - DepthTransformer: pixels attend to their ray in the frustum volume
 * (networks.md, 6.4). */
#ifndef PF_SAMPLE_DEPTH_TRANSFORMER_H
#define PF_SAMPLE_DEPTH_TRANSFORMER_H
#include "tools/pf-sample/network.h"

struct depth_transformer {
    pf_layer *proj_in, *proj_context;
    struct norm in_norm, context_norm, norm0, norm3;
    pf_layer *to_q, *to_out;            /* with to_k and to_v in them: [4n, m], [m, 4n] */
    pf_layer *conv2, *conv5;
    int n;                              /* channels of the volume; m = 2n inside */
    pf_tensor constant;                 /* [1, h, w, c]: what it adds where the volume is zero */
};

/* n is the prefix of DEP(c, context). */
pf_err depth_transformer_load(struct depth_transformer *w, const struct scope *n, int c,
                              int context) PF_MUST_USE;
/* In place: x [B, h, w, c] += f(x, volume [B, D, h, w, n]). */
pf_err depth_transformer(struct run *r, pf_tensor *x, const struct depth_transformer *w,
                         const pf_tensor *volume) PF_MUST_USE;
/* Compute w->constant, kept until the device closes: without a volume f depends neither on x nor
 * on the view or step (networks.md, 9), but it is not zero: norms have biases. */
pf_err depth_transformer_constant(struct run *r, struct depth_transformer *w, int depth, int side)
    PF_MUST_USE;

#endif
