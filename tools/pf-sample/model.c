/* model.c - sizes that fit together, and all networks loaded. */
#include <math.h>
#include <string.h>

#include "tools/pf-sample/model.h"

/* What the checkpoint cannot show: sizes that must divide.  The rest fails at the tensor. */
static pf_err
check_sizes(const struct pf_config *c)
{
    static const int norms = 32;
    if (c->model.image_size % 64)
        return pf_fail(PF_EARG, "model.image_size is %d, it must be a multiple of 64",
                       c->model.image_size);
    if (c->model.time_embed_dim % 2 || c->unet.model_channels % 2)
        return pf_fail(PF_EARG, "model.time_embed_dim %d and unet.model_channels %d must be even",
                       c->model.time_embed_dim, c->unet.model_channels);
    if (c->vae.z_channels != c->unet.out_channels || 2 * c->vae.z_channels != c->unet.in_channels)
        return pf_fail(PF_EARG, "vae.z_channels %d must be unet.out_channels %d and half of "
                       "unet.in_channels %d", c->vae.z_channels, c->unet.out_channels,
                       c->unet.in_channels);
    if (c->volume.spatial_size % 8 || c->volume.frustum_depth % 8)
        return pf_fail(PF_EARG, "volume.spatial_size %d and volume.frustum_depth %d must be "
                       "multiples of 8", c->volume.spatial_size, c->volume.frustum_depth);
    if (c->volume.target_dim % 8)
        return pf_fail(PF_EARG, "volume.target_dim is %d, it must be a multiple of 8",
                       c->volume.target_dim);
    if (!(c->model.scale_factor > 0))
        return pf_fail(PF_EARG, "model.scale_factor is %g, it must be positive",
                       c->model.scale_factor);
    for (int i = 0; i < 4; i++) {
        const int u = c->unet.model_channels * c->unet.channel_mult[i];
        const int v = c->vae.ch * c->vae.ch_mult[i];
        if (c->volume.dims[i] != c->unet.volume_dims[i] || c->volume.dims[i] % 8)
            return pf_fail(PF_EARG, "volume.dims[%d] is %d, unet.volume_dims[%d] %d: they must "
                           "be one multiple of 8", i, c->volume.dims[i], i, c->unet.volume_dims[i]);
        if (u % (2 * norms) || u % c->unet.num_heads || v % norms)
            return pf_fail(PF_EARG, "level %d has %d channels in the UNet and %d in the VAE: "
                           "these must be multiples of %d and of unet.num_heads %d, and of %d", i,
                           u, v, 2 * norms, c->unet.num_heads, norms);
    }
    return PF_OK;
}

/* Whether a table went through 16 bits on its way, and the formula's would have given it: near 1
 * there are few such numbers, in BF16 the first is 1 itself. */
static bool
is_rounded(const float table[DDIM_TIMES], const float formula[DDIM_TIMES])
{
    static const float step[] = {0x1p-10f, 0x1p-7f};            /* of F16 and BF16 below 2 */
    static const pf_dtype half[] = {PF_F16, PF_BF16};
    for (int h = 0; h < 2; h++) {
        int same = 0;
        for (int i = 0; i < DDIM_TIMES; i++) {
            uint16_t bits;
            float back;
            pf_from_f32(&bits, &table[i], half[h], 1);
            pf_to_f32(&back, &bits, half[h], 1);
            same += back == table[i] && fabsf(table[i] - formula[i]) <= step[h] * formula[i];
        }
        if (same == DDIM_TIMES)
            return true;
    }
    return false;
}

static pf_err
load_alphas(struct model *m, pf_checkpoint *weights)
{
    float table[DDIM_TIMES];
    pf_tensor t;
    ddim_alphas(m->alphas_cumprod);
    if (!pf_checkpoint_has(weights, "alphas_cumprod"))
        return PF_OK;
    PF_TRY(pf_checkpoint_need(weights, "alphas_cumprod", &t, 1, (int64_t[]){DDIM_TIMES}));
    pf_to_f32(table, t.data, t.dtype, DDIM_TIMES);
    if (is_rounded(table, m->alphas_cumprod))
        return PF_OK;
    memcpy(m->alphas_cumprod, table, sizeof table);
    for (int i = 0; i < DDIM_TIMES; i++)
        if (!(m->alphas_cumprod[i] > 0 && m->alphas_cumprod[i] < 1))
            return pf_fail(PF_EFORMAT, "%s: alphas_cumprod[%d] is %g, it must lie between 0 and 1",
                           pf_checkpoint_path(weights), i, m->alphas_cumprod[i]);
    return PF_OK;
}

pf_err
model_load(struct model *m, pf_dev *dev, pf_checkpoint *weights, const struct pf_config *conf)
{
    const struct scope top = {.dev = dev, .weights = weights};
    const struct scope vae = scope_in(&top, "first_stage_model."),
                     volume = scope_in(&top, "spatial_volume."),
                     unet = scope_in(&top, "model.diffusion_model.");
    const int E = conf->model.time_embed_dim, ctx = conf->unet.context_dim;
    *m = (struct model){.run.dev = dev, .conf = *conf};
    PF_TRY(check_sizes(conf));
    PF_TRY(vae_load(&m->vae, &vae, conf));
    PF_TRY(volume_load(&m->volume, &volume, conf));
    PF_TRY(unet_load(&m->unet, &unet, conf));
    PF_TRY(scope_linear(&top, &m->time0, "time_embed.0", E, E, true));
    PF_TRY(scope_linear(&top, &m->time2, "time_embed.2", E, E, true));
    PF_TRY(scope_linear(&top, &m->context, "cc_projection", ctx, conf->clip.output_dim + 4, true));
    PF_TRY(load_alphas(m, weights));
    PF_TRY(scope_finite(&top));
    return unet_constants(&m->run, &m->unet, conf->volume.frustum_depth);
}
