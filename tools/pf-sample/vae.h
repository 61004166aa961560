/* vae.h - AutoencoderKL: pictures to latents an eighth as wide, and back (networks.md, 4). */
#ifndef PF_SAMPLE_VAE_H
#define PF_SAMPLE_VAE_H
#include "common/config.h"
#include "tools/pf-sample/network.h"

enum { VAE_LEVELS = 4, VAE_BLOCKS_MAX = 8 };

struct vae_resblock {
    struct norm norm1, norm2;
    pf_layer *conv1, *conv2;
    pf_layer *shortcut;                 /* NULL where the width stays */
};
struct vae_attention {
    struct norm norm;
    pf_layer *qkv, *proj_out;
    int width;
};
struct vae_middle {
    struct vae_resblock block1, block2;
    struct vae_attention attn;
};
struct vae_level {
    int blocks;
    struct vae_resblock block[VAE_BLOCKS_MAX];
    pf_layer *resample;                 /* the convolution of its down- or upsampling; or NULL */
};
struct vae_half {                       /* encoder or decoder */
    pf_layer *conv_in, *conv_out;
    struct vae_level level[VAE_LEVELS]; /* 0: full resolution */
    struct vae_middle mid;
    struct norm norm_out;
};
struct vae {
    struct vae_half encoder, decoder;
    pf_layer *quant, *post_quant;
    int z;
};

/* n is the prefix "first_stage_model.". */
pf_err vae_load(struct vae *v, const struct scope *n, const struct pf_config *conf) PF_MUST_USE;
/* moments [B, H/8, W/8, 2z] = mean, logarithm of the variance; image [B, H, W, 3], -1..1. */
pf_err vae_encode(struct run *r, pf_tensor *moments, const struct vae *v, const pf_tensor *image)
    PF_MUST_USE;
/* image [B, 8h, 8w, 3], nominally -1..1, of unscaled latents z [B, h, w, z]. */
pf_err vae_decode(struct run *r, pf_tensor *image, const struct vae *v, const pf_tensor *z)
    PF_MUST_USE;

#endif
