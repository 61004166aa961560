/* transformer.h - DoubleTransformer: SPAD (layer1) and SpatialTransformer (layer2) (networks.md,
 * 6.1-6.3).
 *
 * SPAD looks at the two halves of the channels as two views of a scene.  With channels last
 * [B, h, w, 2 * c/2] they already lie as tokens [B, 2hw, c/2] in the order 2 * pixel + view, and
 * pf_attention knows the order of masks.  So nothing is ever split, moved or joined; a norm of each
 * half with 32 groups is one norm of the whole with 64. */
#ifndef PF_SAMPLE_TRANSFORMER_H
#define PF_SAMPLE_TRANSFORMER_H
#include "tools/pf-sample/network.h"

/* TB(c); attn2 has one key, whose softmax is 1, and so gives a vector (networks.md, 9). */
struct transformer_block {
    struct norm norm1, norm3;
    pf_layer *qkv, *out;        /* attn1: [3c, c]; [c, c] */
    pf_layer *ctx_v, *ctx_out;  /* attn2: [c, E]; [c, c] */
    pf_layer *ff_in, *ff_out;   /* [8c, c]; [c, 4c], behind which is spad.proj_out: [c/2, 4c] */
    pf_tensor context;          /* f32 [rows of all chunks, c]: attn2's output, by prepare */
};
struct spad {
    bool on;                    /* false: proj_out is zero, or the checkpoint has none */
    struct norm norm;           /* 64 groups over c: the half's parameters twice */
    pf_layer *proj_in;          /* [c, c/2]: the features' part */
    pf_layer *proj_plucker;     /* [c, 6], and the bias */
    pf_layer *proj_out;         /* [c/2, c], of what comes before ff_out; no bias */
    struct transformer_block block;
    pf_tensor plucker;          /* [V, 2hw, c]: proj_plucker of the maps, by prepare */
};
struct spatial {
    struct norm norm;
    pf_layer *proj_in, *proj_out;       /* proj_out times double_transformer.factor */
    struct transformer_block block;
};
struct double_transformer {
    int c, heads;
    float factor;               /* by which layer2 counts: 2, in SyncDreamer 1 */
    struct spad spad;
    struct spatial spatial;
};

/* n is the prefix of DT(c), E the width of the context token. */
pf_err double_transformer_load(struct double_transformer *w, const struct scope *n, int c,
                               int heads, int E) PF_MUST_USE;
/* Compute what does not change between steps, on the arena.  context [rows, E] is a token for every
 * row of every chunk; plucker [V, 2hw, 6] in token order is ignored where SPAD is off. */
pf_err double_transformer_prepare(struct run *r, struct double_transformer *w,
                                  const pf_tensor *context, const pf_tensor *plucker) PF_MUST_USE;
/* y = x + layer1(x) + 2 layer2(x), [B, h, w, c] with the chunk's rows; mask u32 [V, 2hw, words].
 * y must not be x. */
pf_err double_transformer(struct run *r, pf_tensor *y, const struct double_transformer *w,
                          const pf_tensor *x, const struct chunk *c, const pf_tensor *mask,
                          const char *name) PF_MUST_USE;
/* y = layer1(x) [+ residual] and y = factor layer2(x) [+ residual], each alone.  y must not be x;
 * layer2's residual may be y. */
pf_err spad(struct run *r, pf_tensor *y, const struct double_transformer *w, const pf_tensor *x,
            const struct chunk *c, const pf_tensor *mask, const pf_tensor *residual) PF_MUST_USE;
pf_err spatial(struct run *r, pf_tensor *y, const struct double_transformer *w, const pf_tensor *x,
               const struct chunk *c, const pf_tensor *residual) PF_MUST_USE;

#endif
