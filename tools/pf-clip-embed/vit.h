/* vit.h - CLIP's image encoder, any size (crop.md, 3 and 4). */
#ifndef PF_CLIP_EMBED_VIT_H
#define PF_CLIP_EMBED_VIT_H
#include "common/checkpoint.h"
#include "common/config.h"
#include "kernels/ops.h"

enum { VIT_LAYERS_MAX = 64 };

struct vit_block {
    pf_tensor ln1[2], ln2[2];           /* f32 gamma, beta [W] */
    pf_layer *qkv, *out;                /* [3W, W], [W, W] */
    pf_layer *fc, *proj;                /* [4W, W], [W, 4W] */
};
struct vit {
    int side, patch, width, layers, heads, dim;
    pf_layer *patches;                  /* [W, 3 P P] */
    pf_tensor position;                 /* act [1, T, W]; the class token is added to row 0 */
    pf_tensor ln_pre[2], ln_post[2];
    struct vit_block block[VIT_LAYERS_MAX];
    pf_layer *proj;                     /* [dim, W] */
};

/* Load the encoder from a diffusion checkpoint or from OpenAI's own file; weights must stay open
 * until the device closes. */
pf_err vit_load(struct vit *v, pf_dev *dev, pf_checkpoint *weights, const struct pf_config *conf)
    PF_MUST_USE;
/* Turn image [3, S, S], -1..1, into the encoder's input [3, side, side]: bicubic, a = -0.75,
 * corners aligned, not antialiased (crop.md, 3), then CLIP's mean and deviation. */
pf_err vit_preprocess(pf_tensor *to, const pf_tensor *image, int side) PF_MUST_USE;
/* Encode that input: embedding [1, dim] is new, on the host, and not normalised. */
pf_err vit_embed(pf_dev *dev, pf_tensor *embedding, const struct vit *v, const pf_tensor *input)
    PF_MUST_USE;

#endif
