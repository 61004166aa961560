/* network.h - what the networks of pf-sample share: parameters found by name, and operators that
 * allocate their result.
 *
 *     const struct scope here = scope_in(n, "conv%d.", i);
 *     PF_TRY(scope_conv(&here, &w->conv, "conv", K, C, 3, 3, true));   // conv.weight, conv.bias
 *     ...
 *     pf_tensor h = {0};                                               // no data: allocate it
 *     PF_TRY(run_conv(r, &h, w->conv, x, 1, 1, 1, NULL));              // [B, D, H, W, K]
 *
 * Activations come from the device's arena; whoever marks also resets. */
#ifndef PF_SAMPLE_NETWORK_H
#define PF_SAMPLE_NETWORK_H
#include "common/checkpoint.h"
#include "kernels/ops.h"

struct dump;

struct run {                    /* what every forward function needs */
    pf_dev *dev;
    struct dump *dump;          /* NULL: nothing is dumped */
};

/* Which rows of a batch are what: views first..first+n-1, conditional rows, and then, with two
 * branches, the same views without condition.  Tables with a row for every row of every chunk
 * (contexts) have this chunk's at branches * first. */
struct chunk {
    int64_t first, n, branches;
};

/* ---- parameters ---- */

struct scope {                  /* a place in the checkpoint */
    pf_dev *dev;
    pf_checkpoint *weights;
    char prefix[160];           /* "model.diffusion_model.input_blocks.1.0." */
};
struct norm {
    pf_tensor gamma, beta;      /* f32 [C] */
    int groups;                 /* 0: layer norm */
    float eps;
    float bound;                /* of what comes out, but for a few numbers */
};
enum { NET_STACK_MAX = 64 };
struct net_stack {              /* linear maps of one input, collected to run as one product */
    int n;
    int64_t rows;
    pf_tensor weight[NET_STACK_MAX], bias[NET_STACK_MAX];
    int from[NET_STACK_MAX];    /* the weights' numbers in the checkpoint */
};

struct scope scope_in(const struct scope *n, const char *fmt, ...) PF_PRINTF(2, 3);
/* The tensor of this whole name, as pf_checkpoint_need gives it, and finite: a ReLU behind it could
 * hide a NaN.  On a GPU scope_finite sees that, when all are loaded.  On a dry device the data of
 * more than one axis are not there to be read: to get them can take long. */
pf_err scope_need(const struct scope *n, pf_tensor *t, const char *full, int ndim,
                  const int64_t *dim) PF_MUST_USE;
pf_err scope_finite(const struct scope *n) PF_MUST_USE;
bool scope_has(const struct scope *n, const char *prefix);      /* any tensor that begins so? */
/* The matrix NAME.weight, as [K, C], whichever of [K, C], [K, C, 1, 1], [K, C, 1, 1, 1] it is. */
pf_err scope_matrix(const struct scope *n, pf_tensor *t, const char *name, int64_t K, int64_t C)
    PF_MUST_USE;
pf_err scope_bias(const struct scope *n, pf_tensor *t, const char *name, int64_t K) PF_MUST_USE;
/* NAME.weight and, where bias is true, NAME.bias.  conv: spatial axes 2 or 3, cubic kernels. */
pf_err scope_linear(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C,
                    bool bias) PF_MUST_USE;
pf_err scope_conv(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C,
                  int spatial, int kernel, bool bias) PF_MUST_USE;
/* A flat 3 x 3 one with a bias that run_norm_conv runs behind this norm alone: of E4M3 numbers
 * where the device may have them (layer.h). */
pf_err scope_conv_behind(const struct scope *n, pf_layer **w, const char *name, int64_t K,
                         int64_t C, const struct norm *norm) PF_MUST_USE;
/* The flat 3 x 3 one with a bias of an input whose pixels are doubled along both sides first, which
 * run_conv does by itself: y is twice as high and wide. */
pf_err scope_conv_doubled(const struct scope *n, pf_layer **w, const char *name, int64_t K,
                          int64_t C) PF_MUST_USE;
/* The transposed 3x3x3 convolution that doubles every axis, weight [C, K, 3, 3, 3]. */
pf_err scope_conv_up(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C)
    PF_MUST_USE;
pf_err scope_norm(const struct scope *n, struct norm *norm, const char *name, int64_t C, int groups,
                  float eps) PF_MUST_USE;
/* Add NAME to the stack; *offset is where its rows begin in the product. */
pf_err net_stack_add(const struct scope *n, struct net_stack *s, int64_t *offset, const char *name,
                     int64_t K, int64_t C, bool bias) PF_MUST_USE;
pf_err net_stack_layer(const struct scope *n, pf_layer **w, const struct net_stack *s, bool bias)
    PF_MUST_USE;

/* ---- operators; y is allocated where y->data is NULL ---- */

pf_err run_linear(struct run *r, pf_tensor *y, const pf_layer *w, const pf_tensor *x,
                  const struct pf_epilogue *e) PF_MUST_USE;
pf_err run_conv(struct run *r, pf_tensor *y, const pf_layer *w, const pf_tensor *x, int stride,
                int before, int after, const struct pf_epilogue *e) PF_MUST_USE;
/* Group or layer norm; channel may be NULL. */
pf_err run_norm(struct run *r, pf_tensor *y, const struct norm *n, const pf_tensor *x,
                enum pf_act act, const pf_tensor *channel) PF_MUST_USE;
/* y = epilogue(conv(silu(norm(x + channel)))), a group norm, kernel 3, padding 1: what most blocks
 * are made of.  Leaves nothing but y on the arena. */
pf_err run_norm_conv(struct run *r, pf_tensor *y, const struct norm *n, const pf_layer *w,
                     const pf_tensor *x, const pf_tensor *channel, int stride,
                     const struct pf_epilogue *e) PF_MUST_USE;
/* y is x in another float type: x itself where that is its type. */
pf_err run_cast(struct run *r, pf_tensor *y, const pf_tensor *x, pf_dtype dtype) PF_MUST_USE;
/* Make y an activation with these values of the host, [.., C]. */
pf_err run_put(struct run *r, pf_tensor *y, const pf_tensor *host) PF_MUST_USE;

/* ---- views of tensors, nothing is copied ---- */

pf_tensor rows(const pf_tensor *t, int64_t first, int64_t count);       /* along the first axis */
pf_tensor columns(const pf_tensor *t, int64_t first, int64_t count);    /* in a [1, C] */
pf_tensor tokens(const pf_tensor *t);           /* [B, ..., C] as [B, T, C] */
#define RESHAPE(t, ...) pf_tensor_view((t)->data, (t)->dtype, PF_DIMS_(__VA_ARGS__))

#endif
