/* vae.c - AutoencoderKL (networks.md, 4).  Every norm has 32 groups and eps 1e-6. */
#include <math.h>

#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/vae.h"

static pf_err
load_norm(struct norm *norm, const struct scope *n, const char *name, int C)
{
    return scope_norm(n, norm, name, C, 32, 1e-6f);
}

static pf_err
load_resblock(struct vae_resblock *b, const struct scope *n, int K, int C)
{
    PF_TRY(load_norm(&b->norm1, n, "norm1", C));
    PF_TRY(scope_conv(n, &b->conv1, "conv1", K, C, 2, 3, true));
    PF_TRY(load_norm(&b->norm2, n, "norm2", K));
    PF_TRY(scope_conv(n, &b->conv2, "conv2", K, K, 2, 3, true));
    b->shortcut = NULL;
    return K == C ? PF_OK : scope_linear(n, &b->shortcut, "nin_shortcut", K, C, true);
}

static pf_err
load_attention(struct vae_attention *a, const struct scope *n, int C)
{
    struct net_stack qkv = {0};
    a->width = C;
    PF_TRY(load_norm(&a->norm, n, "norm", C));
    PF_TRY(net_stack_add(n, &qkv, NULL, "q", C, C, true));
    PF_TRY(net_stack_add(n, &qkv, NULL, "k", C, C, true));
    PF_TRY(net_stack_add(n, &qkv, NULL, "v", C, C, true));
    PF_TRY(net_stack_layer(n, &a->qkv, &qkv, true));
    return scope_linear(n, &a->proj_out, "proj_out", C, C, true);
}

static pf_err
load_middle(struct vae_middle *m, const struct scope *n, int C)
{
    const struct scope b1 = scope_in(n, "mid.block_1."), a = scope_in(n, "mid.attn_1."),
                     b2 = scope_in(n, "mid.block_2.");
    PF_TRY(load_resblock(&m->block1, &b1, C, C));
    PF_TRY(load_attention(&m->attn, &a, C));
    return load_resblock(&m->block2, &b2, C, C);
}

static pf_err
load_level(struct vae_level *l, const struct scope *n, int blocks, int K, int C)
{
    l->blocks = blocks;
    for (int i = 0; i < blocks; i++) {
        const struct scope b = scope_in(n, "block.%d.", i);
        PF_TRY(load_resblock(&l->block[i], &b, K, i ? K : C));
    }
    l->resample = NULL;
    return PF_OK;
}

static pf_err
load_encoder(struct vae_half *h, const struct scope *n, int ch, const int *mult, int blocks, int z)
{
    const int last = VAE_LEVELS - 1;
    PF_TRY(scope_conv(n, &h->conv_in, "conv_in", ch, 3, 2, 3, true));
    for (int i = 0; i <= last; i++) {
        const struct scope l = scope_in(n, "down.%d.", i);
        const int K = ch * mult[i];
        PF_TRY(load_level(&h->level[i], &l, blocks, K, ch * (i ? mult[i - 1] : 1)));
        if (i < last)
            PF_TRY(scope_conv(&l, &h->level[i].resample, "downsample.conv", K, K, 2, 3, true));
    }
    PF_TRY(load_middle(&h->mid, n, ch * mult[last]));
    PF_TRY(load_norm(&h->norm_out, n, "norm_out", ch * mult[last]));
    return scope_conv(n, &h->conv_out, "conv_out", 2 * z, ch * mult[last], 2, 3, true);
}

static pf_err
load_decoder(struct vae_half *h, const struct scope *n, int ch, const int *mult, int blocks, int z)
{
    const int last = VAE_LEVELS - 1;
    PF_TRY(scope_conv(n, &h->conv_in, "conv_in", ch * mult[last], z, 2, 3, true));
    PF_TRY(load_middle(&h->mid, n, ch * mult[last]));
    for (int i = last; i >= 0; i--) {
        const struct scope l = scope_in(n, "up.%d.", i);
        const int K = ch * mult[i];
        PF_TRY(load_level(&h->level[i], &l, blocks + 1, K, ch * mult[i < last ? i + 1 : last]));
        if (i)
            PF_TRY(scope_conv_doubled(&l, &h->level[i].resample, "upsample.conv", K, K));
    }
    PF_TRY(load_norm(&h->norm_out, n, "norm_out", ch * mult[0]));
    return scope_conv(n, &h->conv_out, "conv_out", 3, ch * mult[0], 2, 3, true);
}

pf_err
vae_load(struct vae *v, const struct scope *n, const struct pf_config *conf)
{
    const int ch = conf->vae.ch, blocks = conf->vae.num_res_blocks, z = conf->vae.z_channels;
    const struct scope e = scope_in(n, "encoder."), d = scope_in(n, "decoder.");
    if (blocks >= VAE_BLOCKS_MAX)
        return pf_fail(PF_EARG, "vae.num_res_blocks is %d, at most %d are known", blocks,
                       VAE_BLOCKS_MAX - 1);
    v->z = z;
    PF_TRY(load_encoder(&v->encoder, &e, ch, conf->vae.ch_mult, blocks, z));
    PF_TRY(load_decoder(&v->decoder, &d, ch, conf->vae.ch_mult, blocks, z));
    PF_TRY(scope_linear(n, &v->quant, "quant_conv", 2 * z, 2 * z, true));
    return scope_linear(n, &v->post_quant, "post_quant_conv", z, z, true);
}

/* Two pieces of memory that maps go to in turn: none but the last is read again. */
struct pair {
    pf_tensor piece[2];
    int turn;
};

/* Each as large as the largest map of a half whose pictures are [B, H, W, 3]. */
static pf_err
alloc_pair(struct run *r, struct pair *p, const struct vae_half *w, int64_t B, int64_t H, int64_t W)
{
    int64_t most = 0;
    for (int i = 0; i < VAE_LEVELS; i++) {
        const pf_layer *const first = w->level[i].block[0].conv1;
        const int64_t widest = first->C > first->K ? first->C : first->K;
        const int64_t size = (H >> i) * (W >> i) * widest;
        most = size > most ? size : most;
    }
    *p = (struct pair){.turn = 0};
    for (int i = 0; i < 2; i++)
        PF_TRY(PF_ALLOC(r->dev, &p->piece[i], pf_dev_dtype(r->dev), B * most));
    return PF_OK;
}

static pf_tensor
next_map(struct pair *p, int64_t B, int64_t H, int64_t W, int64_t C)
{
    p->turn = !p->turn;
    return RESHAPE(&p->piece[p->turn], B, H, W, C);
}

/* ResnetBlock.  x [B, H, W, C] -> y [B, H, W, K] */
static pf_err
resblock(struct run *r, pf_tensor *y, const struct vae_resblock *w, const pf_tensor *x)
{
    pf_tensor h = {0}, skip = *x;
    const size_t mark = pf_dev_mark(r->dev);
    if (w->shortcut) {
        PF_TRY(run_linear(r, y, w->shortcut, x, NULL));                         // [B, H, W, K]
        skip = *y;
    }
    PF_TRY(run_norm_conv(r, &h, &w->norm1, w->conv1, x, NULL, 1, NULL));        // [B, H, W, K]
    PF_TRY(run_norm_conv(r, y, &w->norm2, w->conv2, &h, NULL, 1,
                         &(struct pf_epilogue){.residual = &skip}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* AttnBlock: one head as wide as the map, over all its pixels.  x [B, H, W, C] -> y, the same. */
static pf_err
attention(struct run *r, pf_tensor *y, const struct vae_attention *w, const pf_tensor *x)
{
    pf_tensor h = {0}, qkv = {0}, o = {0};
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(run_norm(r, &h, &w->norm, x, PF_NONE, NULL));
    h = tokens(&h);                                                             // [B, T, C]
    PF_TRY(run_linear(r, &qkv, w->qkv, &h, NULL));                              // [B, T, 3C]
    PF_TRY(pf_dev_alloc(r->dev, &o, x->dtype, 3, h.dim));
    PF_TRY(pf_attention(r->dev, &o, &qkv, 1, 1.0f / sqrtf((float)w->width), NULL, 0));
    o = RESHAPE(&o, x->dim[0], x->dim[1], x->dim[2], x->dim[3]);
    PF_TRY(run_linear(r, y, w->proj_out, &o, &(struct pf_epilogue){.residual = x}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* *h = the next map of it, by a ResnetBlock. */
static pf_err
next_resblock(struct run *r, pf_tensor *h, struct pair *p, const struct vae_resblock *w)
{
    pf_tensor y = next_map(p, h->dim[0], h->dim[1], h->dim[2], w->conv1->K);
    PF_TRY(resblock(r, &y, w, h));
    *h = y;
    return PF_OK;
}

static pf_err
middle(struct run *r, pf_tensor *h, struct pair *p, const struct vae_middle *w)
{
    PF_TRY(next_resblock(r, h, p, &w->block1));
    pf_tensor y = next_map(p, h->dim[0], h->dim[1], h->dim[2], h->dim[3]);
    PF_TRY(attention(r, &y, &w->attn, h));
    *h = y;
    return next_resblock(r, h, p, &w->block2);
}

static pf_err
level(struct run *r, pf_tensor *h, struct pair *p, const struct vae_level *w)
{
    for (int i = 0; i < w->blocks; i++)
        PF_TRY(next_resblock(r, h, p, &w->block[i]));
    return PF_OK;
}

pf_err
vae_encode(struct run *r, pf_tensor *moments, const struct vae *v, const pf_tensor *image)
{
    const struct vae_half *w = &v->encoder;
    const int64_t B = image->dim[0], H = image->dim[1], W = image->dim[2];
    pf_tensor out = {0};
    struct pair p;
    PF_TRY(PF_ALLOC(r->dev, moments, image->dtype, B, H / 8, W / 8, 2 * v->z));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(alloc_pair(r, &p, w, B, H, W));
    pf_tensor h = next_map(&p, B, H, W, w->conv_in->K);
    PF_TRY(run_conv(r, &h, w->conv_in, image, 1, 1, 1, NULL));
    for (int i = 0; i < VAE_LEVELS; i++) {
        PF_TRY(level(r, &h, &p, &w->level[i]));
        if (w->level[i].resample) {
            pf_tensor half = next_map(&p, B, h.dim[1] / 2, h.dim[2] / 2, h.dim[3]);
            PF_TRY(run_conv(r, &half, w->level[i].resample, &h, 2, 0, 1,
                            NULL));             // padded on the right and below alone
            h = half;
        }
    }
    PF_TRY(middle(r, &h, &p, &w->mid));                                         // [B, H/8, W/8, C]
    PF_TRY(run_norm_conv(r, &out, &w->norm_out, w->conv_out, &h, NULL, 1, NULL));
    PF_TRY(dump_row(r, &out, "vae_encoder_out"));
    PF_TRY(run_linear(r, moments, v->quant, &out, NULL));                       // [B, H/8, W/8, 2z]
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

pf_err
vae_decode(struct run *r, pf_tensor *image, const struct vae *v, const pf_tensor *z)
{
    const struct vae_half *w = &v->decoder;
    const int64_t B = z->dim[0], H = z->dim[1], W = z->dim[2];
    pf_tensor q = {0};
    struct pair p;
    PF_TRY(PF_ALLOC(r->dev, image, z->dtype, B, 8 * H, 8 * W, 3));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(alloc_pair(r, &p, w, B, 8 * H, 8 * W));
    PF_TRY(run_linear(r, &q, v->post_quant, z, NULL));
    pf_tensor h = next_map(&p, B, H, W, w->conv_in->K);
    PF_TRY(run_conv(r, &h, w->conv_in, &q, 1, 1, 1, NULL));                     // [B, h, w, C]
    PF_TRY(middle(r, &h, &p, &w->mid));
    for (int i = VAE_LEVELS - 1; i >= 0; i--) {
        PF_TRY(level(r, &h, &p, &w->level[i]));
        if (w->level[i].resample) {
            pf_tensor y = next_map(&p, B, 2 * h.dim[1], 2 * h.dim[2], h.dim[3]);
            PF_TRY(run_conv(r, &y, w->level[i].resample, &h, 1, 1, 1, NULL));
            h = y;
        }
    }
    PF_TRY(run_norm_conv(r, image, &w->norm_out, w->conv_out, &h, NULL, 1,
                         NULL));                                                // [B, 8h, 8w, 3]
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}
