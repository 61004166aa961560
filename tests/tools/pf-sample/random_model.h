/* random_model.h - a small diffusion checkpoint of random weights, its names and shapes written
 * down once more from networks.md, so that a wrong name in a network cannot agree with itself. */
#ifndef PF_TEST_RANDOM_MODEL_H
#define PF_TEST_RANDOM_MODEL_H
#include <stdarg.h>
#include <unistd.h>

#include "common/config.h"
#include "common/stream.h"
#include "tests/check.h"

struct maker {
    pf_doc doc;
    uint64_t seed;
    bool sync_dreamer;          /* networks.md, 12: no layer1, layer2 without its name */
    pf_dtype dtype;             /* the tensors' type */
};

/* Make one tensor, uniform with deviation about 1/sqrt(fan in); norms around 1. */
static inline void
make(struct maker *m, const int64_t *dim, const char *fmt, ...)
{
    char name[256];
    pf_tensor t;
    int ndim = 0;
    int64_t fan = 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    while (dim[ndim])
        fan *= ndim ? dim[ndim] : 1, ndim++;
    assert_ok(pf_tensor_new(&t, PF_F32, ndim, dim));
    float *p = t.data;
    const int64_t n = pf_tensor_count(&t);
    fill_uniform(p, n, m->seed++);
    const bool bias = strstr(name, "bias") != NULL;
    const float scale = 1.5f / sqrtf((float)fan);
    for (int64_t i = 0; i < n; i++)
        p[i] = bias ? 0.1f * p[i] : ndim == 1 ? 1 + 0.2f * p[i] : p[i] * scale;
    if (m->dtype != PF_F32) {
        const pf_tensor f32 = t;
        assert_ok(pf_tensor_new(&t, m->dtype, ndim, dim));
        pf_from_f32(t.data, f32.data, m->dtype, pf_tensor_count(&t));
        free(f32.data);
    }
    assert_ok(pf_doc_put(&m->doc, name, &t));
    pf_tensor_release(&t);
}
#define MAKE(m, name, ...) make(m, (int64_t[]){__VA_ARGS__, 0}, "%s" name, at)
#define SUB(to, ...) char to[200]; sub(to, __VA_ARGS__)
static inline void
sub(char to[200], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    assert_in_range(vsnprintf(to, 200, fmt, ap), 1, 199);
    va_end(ap);
}

static inline void
make_linear(struct maker *m, const char *at, int K, int C)
{
    MAKE(m, ".weight", K, C);
    MAKE(m, ".bias", K);
}
static inline void
make_conv(struct maker *m, const char *at, int K, int C, int k, int spatial)
{
    make(m, (int64_t[]){K, C, k, k, spatial == 2 ? 0 : k, 0}, "%s.weight", at);
    MAKE(m, ".bias", K);
}
static inline void
make_norm(struct maker *m, const char *at, int C)
{
    MAKE(m, ".weight", C);
    MAKE(m, ".bias", C);
}

static inline void
make_vae_block(struct maker *m, const char *at, int K, int C)
{
    SUB(n1, "%s.norm1", at); SUB(c1, "%s.conv1", at);
    SUB(n2, "%s.norm2", at); SUB(c2, "%s.conv2", at);
    SUB(nin, "%s.nin_shortcut", at);
    make_norm(m, n1, C);
    make_conv(m, c1, K, C, 3, 2);
    make_norm(m, n2, K);
    make_conv(m, c2, K, K, 3, 2);
    if (K != C)
        make_conv(m, nin, K, C, 1, 2);
}

static inline void
make_vae_middle(struct maker *m, const char *half, int C)
{
    SUB(b1, "%s.mid.block_1", half); SUB(b2, "%s.mid.block_2", half);
    SUB(n, "%s.mid.attn_1.norm", half);
    make_vae_block(m, b1, C, C);
    make_vae_block(m, b2, C, C);
    make_norm(m, n, C);
    for (int i = 0; i < 4; i++) {
        SUB(at, "%s.mid.attn_1.%s", half, (const char *[]){"q", "k", "v", "proj_out"}[i]);
        make_conv(m, at, C, C, 1, 2);
    }
}

static inline void
make_vae(struct maker *m, const struct pf_config *c)
{
    const int ch = c->vae.ch, *mult = c->vae.ch_mult;
    const int r = c->vae.num_res_blocks, z = c->vae.z_channels;
    const char *e = "first_stage_model.encoder", *d = "first_stage_model.decoder";
    SUB(ei, "%s.conv_in", e); SUB(en, "%s.norm_out", e); SUB(eo, "%s.conv_out", e);
    SUB(di, "%s.conv_in", d); SUB(dn, "%s.norm_out", d); SUB(out, "%s.conv_out", d);
    make_conv(m, ei, ch, 3, 3, 2);
    make_conv(m, di, ch * mult[3], z, 3, 2);
    for (int l = 0; l < 4; l++) {
        for (int i = 0; i < r; i++) {
            SUB(at, "%s.down.%d.block.%d", e, l, i);
            make_vae_block(m, at, ch * mult[l], i || !l ? ch * mult[i ? l : 0] : ch * mult[l - 1]);
        }
        for (int i = 0; i <= r; i++) {
            SUB(at, "%s.up.%d.block.%d", d, l, i);
            make_vae_block(m, at, ch * mult[l], i || l == 3 ? ch * mult[l] : ch * mult[l + 1]);
        }
        SUB(down, "%s.down.%d.downsample.conv", e, l); SUB(up, "%s.up.%d.upsample.conv", d, l);
        if (l < 3)
            make_conv(m, down, ch * mult[l], ch * mult[l], 3, 2);
        if (l)
            make_conv(m, up, ch * mult[l], ch * mult[l], 3, 2);
    }
    make_vae_middle(m, e, ch * mult[3]);
    make_vae_middle(m, d, ch * mult[3]);
    make_norm(m, en, ch * mult[3]);
    make_conv(m, eo, 2 * z, ch * mult[3], 3, 2);
    make_norm(m, dn, ch * mult[0]);
    make_conv(m, out, 3, ch * mult[0], 3, 2);
    make_conv(m, "first_stage_model.quant_conv", 2 * z, 2 * z, 1, 2);
    make_conv(m, "first_stage_model.post_quant_conv", z, z, 1, 2);
}

static inline void
make_volume_block(struct maker *m, const char *at, int K, int C, int E, bool up, bool view)
{
    SUB(t, "%s.t_conv", at); SUB(v, "%s.v_conv", at);
    SUB(n, "%s.%s", at, up ? "norm" : "bn"); SUB(c, "%s.conv", at);
    make_conv(m, t, C, E, 1, 3);
    if (view)
        make_conv(m, v, C, 4, 1, 3);
    make_norm(m, n, C);
    if (up) {
        MAKE(m, ".conv.weight", C, K, 3, 3, 3);
        MAKE(m, ".conv.bias", K);
    } else {
        make_conv(m, c, K, C, 3, 3);
    }
}

static inline void
make_volume(struct maker *m, const struct pf_config *c)
{
    static const struct { const char *name; int K, C; } s[] = {
        {"conv0", 0, 0}, {"conv1", 1, 0}, {"conv2_0", 1, 1}, {"conv2_1", 1, 1}, {"conv3", 2, 1},
        {"conv4_0", 2, 2}, {"conv4_1", 2, 2}, {"conv5", 3, 2}, {"conv6_0", 3, 3}, {"conv6_1", 3, 3},
        {"conv7", 2, 3}, {"conv8", 1, 2}, {"conv9", 0, 1}};
    static const struct { const char *name; int K, C; } f[] = {
        {"conv1", 1, 0}, {"conv2", 1, 1}, {"conv3", 2, 1}, {"conv4", 2, 2}, {"conv5", 3, 2},
        {"conv6", 3, 3}, {"up0", 2, 3}, {"up1", 1, 2}, {"up2", 0, 1}};
    const int *d = c->volume.dims, E = c->model.time_embed_dim, T = c->volume.target_dim;
    make_conv(m, "spatial_volume.target_encoder.init_conv", T, c->vae.z_channels, 3, 2);
    for (int i = 0; i < 3; i++) {
        SUB(t, "spatial_volume.target_encoder.out_conv%d.time_embed", i);
        SUB(v, "spatial_volume.target_encoder.out_conv%d.view_embed", i);
        make_conv(m, t, T, E, 1, 2);
        make_conv(m, v, T, 4, 1, 2);
        for (int k = 0; k < 6; k++) {
            SUB(at, "spatial_volume.target_encoder.out_conv%d.conv.%d", i, k);
            if (k % 3 == 0)
                make_norm(m, at, T);
            if (k % 3 == 2)
                make_conv(m, at, T, T, 3, 2);
        }
    }
    make_norm(m, "spatial_volume.target_encoder.final_out.0", T);
    make_conv(m, "spatial_volume.target_encoder.final_out.2", T, T, 3, 2);
    make_conv(m, "spatial_volume.spatial_volume_feats.init_conv", d[0], T * c->model.view_num, 3,
              3);
    for (int i = 0; i < 13; i++) {
        SUB(at, "spatial_volume.spatial_volume_feats.%s", s[i].name);
        make_volume_block(m, at, d[s[i].K], d[s[i].C], E, i > 9, false);
    }
    make_conv(m, "spatial_volume.frustum_volume_feats.conv0", d[0], d[0], 3, 3);
    for (int i = 0; i < 9; i++) {
        SUB(at, "spatial_volume.frustum_volume_feats.%s", f[i].name);
        make_volume_block(m, at, d[f[i].K], d[f[i].C], E, i > 5, true);
    }
}

static inline void
make_res(struct maker *m, const char *at, int K, int C, int E)
{
    SUB(n0, "%s.in_layers.0", at); SUB(c0, "%s.in_layers.2", at);
    SUB(n1, "%s.out_layers.0", at); SUB(c1, "%s.out_layers.3", at);
    SUB(e, "%s.emb_layers.1", at); SUB(skip, "%s.skip_connection", at);
    make_norm(m, n0, C);
    make_conv(m, c0, K, C, 3, 2);
    make_linear(m, e, K, E);
    make_norm(m, n1, K);
    make_conv(m, c1, K, K, 3, 2);
    if (K != C)
        make_conv(m, skip, K, C, 1, 2);
}

static inline void
make_tb(struct maker *m, const char *at, int c, int E)
{
    MAKE(m, ".attn1.to_q.weight", c, c);
    MAKE(m, ".attn1.to_k.weight", c, c);
    MAKE(m, ".attn1.to_v.weight", c, c);
    MAKE(m, ".attn2.to_q.weight", c, c);
    MAKE(m, ".attn2.to_k.weight", c, E);
    MAKE(m, ".attn2.to_v.weight", c, E);
    SUB(o1, "%s.attn1.to_out.0", at); SUB(o2, "%s.attn2.to_out.0", at);
    SUB(f0, "%s.ff.net.0.proj", at); SUB(f2, "%s.ff.net.2", at);
    make_linear(m, o1, c, c);
    make_linear(m, o2, c, c);
    make_linear(m, f0, 8 * c, c);
    make_linear(m, f2, c, 4 * c);
    for (int i = 1; i <= 3; i++) {
        SUB(n, "%s.norm%d", at, i);
        make_norm(m, n, c);
    }
}

static inline void
make_layer(struct maker *m, const char *at, int c, int E, bool spad)
{
    const int in = spad ? c / 2 : c;
    SUB(n, "%s.norm", at); SUB(tb, "%s.transformer_blocks.0", at);
    SUB(pi, "%s.proj_in", at); SUB(po, "%s.proj_out", at);
    make_norm(m, n, in);
    make_conv(m, pi, c, spad ? in + 6 : in, 1, 2);
    make_tb(m, tb, c, E);
    make_conv(m, po, in, c, 1, 2);
}

static inline void
make_dt(struct maker *m, const char *at, int c, int E)
{
    SUB(l1, "%s.layer1", at); SUB(l2, "%s%s", at, m->sync_dreamer ? "" : ".layer2");
    const uint64_t seed = m->seed;
    if (!m->sync_dreamer)
        make_layer(m, l1, c, E, true);
    m->seed = seed + 100;               // layer2 has the same numbers with and without layer1
    make_layer(m, l2, c, E, false);
}

static inline void
make_dep(struct maker *m, const char *at, int c, int n)
{
    const int w = 2 * n;
    SUB(pi, "%s.proj_in.0", at); SUB(n1, "%s.proj_in.1", at); SUB(pc, "%s.proj_context.1", at);
    SUB(o0, "%s.proj_out.0", at); SUB(o3, "%s.proj_out.3", at);
    make_conv(m, pi, w, c, 1, 2);
    make_norm(m, n1, w);
    MAKE(m, ".proj_context.0.weight", n, n, 1, 1, 1);
    make_norm(m, pc, n);
    MAKE(m, ".depth_attn.to_q.weight", w, w, 1, 1);
    MAKE(m, ".depth_attn.to_k.weight", w, n, 1, 1, 1);
    MAKE(m, ".depth_attn.to_v.weight", w, n, 1, 1, 1);
    MAKE(m, ".depth_attn.to_out.weight", w, w, 1, 1);
    make_norm(m, o0, w);
    MAKE(m, ".proj_out.2.weight", w, w, 3, 3);
    make_norm(m, o3, w);
    MAKE(m, ".proj_out.5.weight", c, w, 3, 3);
}

static inline bool
attends(const struct pf_config *c, int level)
{
    for (int i = 0; i < 3; i++)
        if (c->unet.attention_resolutions[i] == 1 << level)
            return true;
    return false;
}

static inline void
make_unet(struct maker *m, const struct pf_config *c)
{
    const char *u = "model.diffusion_model";
    const int mc = c->unet.model_channels, E = 4 * mc;
    const int ctx = c->unet.context_dim, r = c->unet.num_res_blocks;
    int width[64], k = 1, C = mc;
    SUB(t0, "%s.time_embed.0", u); SUB(t2, "%s.time_embed.2", u);
    SUB(first, "%s.input_blocks.0.0", u);
    make_linear(m, t0, E, mc);
    make_linear(m, t2, E, E);
    make_conv(m, first, mc, c->unet.in_channels, 3, 2);
    width[0] = mc;
    for (int l = 0; l < 4; l++) {
        for (int i = 0; i < r; i++, k++) {
            SUB(res, "%s.input_blocks.%d.0", u, k); SUB(dt, "%s.input_blocks.%d.1", u, k);
            make_res(m, res, mc * c->unet.channel_mult[l], C, E);
            width[k] = C = mc * c->unet.channel_mult[l];
            if (attends(c, l))
                make_dt(m, dt, C, ctx);
        }
        SUB(op, "%s.input_blocks.%d.0.op", u, k);
        if (l < 3) {
            make_conv(m, op, C, C, 3, 2);
            width[k++] = C;
        }
    }
    SUB(m0, "%s.middle_block.0", u); SUB(m1, "%s.middle_block.1", u);
    SUB(m2, "%s.middle_block.2", u); SUB(mid, "%s.middle_conditions", u);
    make_res(m, m0, C, C, E);
    make_dt(m, m1, C, ctx);
    make_res(m, m2, C, C, E);
    make_dep(m, mid, C, c->unet.volume_dims[3]);
    for (int l = 3, o = 0; l >= 0; l--)
        for (int i = 0; i <= r; i++, o++) {
            const int K = mc * c->unet.channel_mult[l];
            const bool up = l && i == r;
            SUB(res, "%s.output_blocks.%d.0", u, o); SUB(dt, "%s.output_blocks.%d.1", u, o);
            SUB(conv, "%s.output_blocks.%d.%d.conv", u, o, attends(c, l) ? 2 : 1);
            SUB(dep, "%s.output_conditions.%d", u, o - r - 1);
            make_res(m, res, K, C + width[--k], E);
            C = K;
            if (attends(c, l))
                make_dt(m, dt, C, ctx);
            if (up)
                make_conv(m, conv, C, C, 3, 2);
            if (o > r)
                make_dep(m, dep, C, c->unet.volume_dims[l - up]);
        }
    SUB(on, "%s.out.0", u); SUB(oc, "%s.out.2", u);
    make_norm(m, on, C);
    make_conv(m, oc, c->unet.out_channels, C, 3, 2);
}

/* The image encoder, as in a diffusion checkpoint. */
static inline void
make_clip(struct maker *m, const struct pf_config *c)
{
    const char *at = "clip_image_encoder.model.visual";
    const int W = c->clip.width, P = c->clip.patch_size, n = c->clip.image_size / P;
    MAKE(m, ".class_embedding", W);
    MAKE(m, ".positional_embedding", n * n + 1, W);
    MAKE(m, ".proj", W, c->clip.output_dim);
    MAKE(m, ".conv1.weight", W, 3, P, P);
    SUB(pre, "%s.ln_pre", at); SUB(post, "%s.ln_post", at);
    make_norm(m, pre, W);
    make_norm(m, post, W);
    for (int i = 0; i < c->clip.layers; i++) {
        SUB(b, "%s.transformer.resblocks.%d", at, i); SUB(out, "%s.attn.out_proj", b);
        SUB(l1, "%s.ln_1", b); SUB(l2, "%s.ln_2", b);
        SUB(fc, "%s.mlp.c_fc", b); SUB(proj, "%s.mlp.c_proj", b);
        make(m, (int64_t[]){3 * W, W, 0}, "%s.attn.in_proj_weight", b);
        make(m, (int64_t[]){3 * W, 0}, "%s.attn.in_proj_bias", b);
        make_linear(m, out, W, W);
        make_norm(m, l1, W);
        make_norm(m, l2, W);
        make_linear(m, fc, 4 * W, W);
        make_linear(m, proj, W, 4 * W);
    }
}

static inline void
make_model(struct maker *m, const struct pf_config *c)
{
    m->seed = 1000;
    make_linear(m, "time_embed.0", c->model.time_embed_dim, c->model.time_embed_dim);
    make_linear(m, "time_embed.2", c->model.time_embed_dim, c->model.time_embed_dim);
    make_linear(m, "cc_projection", c->unet.context_dim, c->clip.output_dim + 4);
    make_vae(m, c);
    make_volume(m, c);
    make_unet(m, c);
    if (c->clip.layers)
        make_clip(m, c);
}

/* Write the model to a new file, whose name goes to path ("/tmp/...XXXXXX"). */
static inline void
save_model(const struct maker *m, char *path)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_ok(pf_doc_write((pf_doc *)&m->doc, f));
    fclose(f);
}

#endif
