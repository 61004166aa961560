/* unet.h - the denoiser: a UNet whose upper half looks into the frustum volumes (networks.md, 6;
 * DepthWiseAttention). */
#ifndef PF_SAMPLE_UNET_H
#define PF_SAMPLE_UNET_H
#include "common/config.h"
#include "tools/pf-sample/depth_transformer.h"
#include "tools/pf-sample/transformer.h"
#include "tools/pf-sample/volume.h"

enum { UNET_LEVELS = 4, UNET_BLOCKS_MAX = 40 };

struct resblock {
    struct norm in_norm, out_norm;
    pf_layer *in_conv, *out_conv;
    pf_layer *skip;             /* NULL where the width stays */
    int64_t emb;                /* where its part of the stacked embedding map begins */
};
struct unet_block {             /* what there is of RES, DT, down or up, then DEP, in this order */
    char name[32];              /* "input_blocks.4" */
    int level;                  /* its input's: side >> level */
    int C, K;                   /* channels in and out */
    bool has_res, has_dt, has_dep;
    struct resblock res;
    struct double_transformer dt;
    pf_layer *down, *up;
    struct depth_transformer dep;
};
struct unet {
    int side, z, channels;      /* the latent's side and channels; model_channels */
    pf_layer *time0, *time2;
    pf_layer *emb;              /* all emb_layers in one product */
    pf_layer *in_noisy, *in_concat;     /* input_blocks.0.0: the two halves of its input channels */
    int inputs, outputs;
    struct unet_block input[UNET_BLOCKS_MAX];   /* input[0] is the convolution */
    struct unet_block output[UNET_BLOCKS_MAX];
    struct resblock mid1, mid2;
    struct double_transformer mid_dt;
    struct depth_transformer mid_dep;
    struct norm out_norm;
    pf_layer *out_conv;
    int64_t emb_width;
    /* constants, by the functions below */
    pf_tensor concat;           /* [1, s, s, channels]: the first convolution of x_concat */
    pf_tensor emb_all;          /* f32 [1, sum of the ResBlocks' widths] of this step */
};

/* n is the prefix "model.diffusion_model.". */
pf_err unet_load(struct unet *u, const struct scope *n, const struct pf_config *conf) PF_MUST_USE;
bool unet_is_sync_dreamer(const struct unet *u);        /* networks.md, 12 */
bool unet_has_spad(const struct unet *u);       /* false: nobody looks at masks and Pluecker maps */
/* Compute the constants of the branch without condition, once; they are kept.  depth is the
 * frustum's. */
pf_err unet_constants(struct run *r, struct unet *u, int depth) PF_MUST_USE;
/* Compute the constants of the views, on the arena, from context [rows of all chunks, E] and
 * plucker[level] [V, 2hw, 6] in token order. */
pf_err unet_prepare(struct run *r, struct unet *u, const pf_tensor *context,
                    const pf_tensor plucker[UNET_LEVELS]) PF_MUST_USE;
/* Compute the constant of the input latent, on the arena.  x_concat [1, s, s, z], unscaled. */
pf_err unet_input(struct run *r, struct unet *u, const pf_tensor *x_concat) PF_MUST_USE;
/* Compute the constants of a step, on the arena.  sinusoid act [1, channels]. */
pf_err unet_time(struct run *r, struct unet *u, const pf_tensor *sinusoid) PF_MUST_USE;
/* Evaluate the UNet for the chunk's views: cond, and uncond where the chunk has two branches,
 * [n, s, s, z], from x [n, s, s, z].  volume is volume_frustum's; mask[level] u32
 * [V, 2hw, words]. */
pf_err unet(struct run *r, pf_tensor *cond, pf_tensor *uncond, const struct unet *u,
            const pf_tensor *x, const struct chunk *c, const pf_tensor volume[VOLUME_LEVELS],
            const pf_tensor mask[UNET_LEVELS]) PF_MUST_USE;

/* Load and run one ResBlock: y [B, H, W, K] from x [B, H, W, C]; emb_all as in struct unet. */
pf_err resblock_load(struct resblock *w, struct net_stack *emb, const struct scope *n, int K, int C,
                     int E) PF_MUST_USE;
pf_err resblock(struct run *r, pf_tensor *y, const struct resblock *w, const pf_tensor *x,
                const pf_tensor *emb_all) PF_MUST_USE;

#endif
