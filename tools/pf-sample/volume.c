/* volume.c - SpatialVolumeNet (networks.md, 5).  Every norm has 8 groups and eps 1e-5. */
#include "common/camera.h"
#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/volume.h"

/* Load a block whose parameters are conv.*, t_conv.*, NORM.* and, with views, v_conv.*. */
static pf_err
load_block(struct volume_block *b, struct net_stack *time, const struct scope *n, const char *norm,
           int K, int C, int stride, bool up, bool view, int E)
{
    b->C = C;
    b->stride = stride;
    b->view = NULL;
    PF_TRY(scope_norm(n, &b->norm, norm, C, 8, 1e-5f));
    PF_TRY(net_stack_add(n, time, &b->time, "t_conv", C, E, true));
    if (view)
        PF_TRY(scope_linear(n, &b->view, "v_conv", C, 4, true));
    return up ? scope_conv_up(n, &b->conv, "conv", K, C)
              : scope_conv(n, &b->conv, "conv", K, C, 3, 3, true);
}

static pf_err
load_target(struct target_encoder *w, struct net_stack *time, const struct scope *n, int dim, int z,
            int E)
{
    PF_TRY(scope_conv(n, &w->init, "init_conv", dim, z, 2, 3, true));
    for (int i = 0; i < 3; i++) {
        const struct scope at = scope_in(n, "out_conv%d.", i);
        struct volume_block *b = &w->block[i];
        b->C = dim;
        b->stride = 1;
        PF_TRY(net_stack_add(&at, time, &b->time, "time_embed", dim, E, true));
        PF_TRY(scope_linear(&at, &b->view, "view_embed", dim, 4, true));
        PF_TRY(scope_norm(&at, &b->norm, "conv.0", dim, 8, 1e-5f));
        PF_TRY(scope_conv(&at, &b->conv, "conv.2", dim, dim, 2, 3, true));
        PF_TRY(scope_norm(&at, &w->mid[i], "conv.3", dim, 8, 1e-5f));
        PF_TRY(scope_conv(&at, &w->conv2[i], "conv.5", dim, dim, 2, 3, true));
    }
    PF_TRY(scope_norm(n, &w->final_norm, "final_out.0", dim, 8, 1e-5f));
    return scope_conv(n, &w->final_conv, "final_out.2", dim, dim, 2, 3, true);
}

static pf_err
load_spatial(struct volume_net *w, struct net_stack *time, const struct scope *n, const int *d,
             int in, int E)
{
    static const struct {
        const char *name;
        int K, C, stride;       /* levels of d */
    } block[] = {
        {"conv0", 0, 0, 1},   {"conv1", 1, 0, 2},   {"conv2_0", 1, 1, 1}, {"conv2_1", 1, 1, 1},
        {"conv3", 2, 1, 2},   {"conv4_0", 2, 2, 1}, {"conv4_1", 2, 2, 1}, {"conv5", 3, 2, 2},
        {"conv6_0", 3, 3, 1}, {"conv6_1", 3, 3, 1}, {"conv7", 2, 3, 2},   {"conv8", 1, 2, 2},
        {"conv9", 0, 1, 2},
    };
    PF_TRY(scope_conv(n, &w->spatial_init, "init_conv", d[0], in, 3, 3, true));
    for (int i = 0; i < 13; i++) {
        const bool up = block[i].K < block[i].C;
        const struct scope at = scope_in(n, "%s.", block[i].name);
        PF_TRY(load_block(&w->spatial[i], time, &at, up ? "norm" : "bn", d[block[i].K],
                          d[block[i].C], block[i].stride, up, false, E));
    }
    return PF_OK;
}

static pf_err
load_frustum(struct volume_net *w, struct net_stack *time, const struct scope *n, const int *d,
             int E)
{
    PF_TRY(scope_conv(n, &w->frustum_init, "conv0", d[0], d[0], 3, 3, true));
    for (int i = 0; i < 6; i++) {                       // conv1, 3, 5 halve the sides
        const struct scope at = scope_in(n, "conv%d.", i + 1);
        PF_TRY(load_block(&w->frustum[i], time, &at, "bn", d[i / 2 + 1], d[(i + 1) / 2],
                          i % 2 ? 1 : 2, false, true, E));
    }
    for (int i = 0; i < 3; i++) {
        const struct scope at = scope_in(n, "up%d.", i);
        PF_TRY(load_block(&w->frustum[6 + i], time, &at, "norm", d[2 - i], d[3 - i], 2,
                          true, true, E));
    }
    return PF_OK;
}

pf_err
volume_load(struct volume_net *w, const struct scope *n, const struct pf_config *conf)
{
    const struct scope target = scope_in(n, "target_encoder."),
                     spatial = scope_in(n, "spatial_volume_feats."),
                     frustum = scope_in(n, "frustum_volume_feats.");
    const int E = conf->model.time_embed_dim, *d = conf->volume.dims;
    struct net_stack time = {0};
    w->size = conf->volume.spatial_size;
    w->depth = conf->volume.frustum_depth;
    w->dim = conf->volume.target_dim;
    w->length = (float)conf->volume.spatial_length;
    w->near = (float)(PF_RIG_DISTANCE - conf->volume.frustum_length);
    w->far = (float)(PF_RIG_DISTANCE + conf->volume.frustum_length);
    PF_TRY(load_target(&w->target, &time, &target, w->dim, conf->vae.z_channels, E));
    PF_TRY(load_spatial(w, &time, &spatial, d, w->dim * conf->model.view_num, E));
    PF_TRY(load_frustum(w, &time, &frustum, d, E));
    return net_stack_layer(n, &w->time, &time, true);
}

static pf_err
prepare_block(struct run *r, struct volume_block *b, const pf_tensor *v)
{
    pf_tensor act = {0};
    PF_TRY(run_linear(r, &act, b->view, v, NULL));                      // [V, C]
    return run_cast(r, &b->v, &act, PF_F32);
}

pf_err
volume_prepare(struct run *r, struct volume_net *w, const pf_tensor *v)
{
    for (int i = 0; i < 3; i++)
        PF_TRY(prepare_block(r, &w->target.block[i], v));
    for (int i = 0; i < 9; i++)
        PF_TRY(prepare_block(r, &w->frustum[i], v));
    return PF_OK;
}

/* channel = t_conv(t) + v_conv(v), one vector for each view. */
static pf_err
block_time(struct run *r, struct volume_block *b, const pf_tensor *all)
{
    const pf_tensor t = columns(all, b->time, b->C);                    // [1, C]
    if (!b->view) {
        b->channel = t;
        return PF_OK;
    }
    PF_TRY(pf_dev_alloc(r->dev, &b->channel, PF_F32, 2, b->v.dim));
    return pf_add(r->dev, &b->channel, &b->v, &t, 1.0f);                // [V, C]
}

pf_err
volume_time(struct run *r, struct volume_net *w, const pf_tensor *t_embed)
{
    pf_tensor act = {0}, all = {0};
    PF_TRY(run_linear(r, &act, w->time, t_embed, NULL));                // [1, all blocks' C]
    PF_TRY(run_cast(r, &all, &act, PF_F32));
    for (int i = 0; i < 3; i++)
        PF_TRY(block_time(r, &w->target.block[i], &all));
    for (int i = 0; i < 13; i++)
        PF_TRY(block_time(r, &w->spatial[i], &all));
    for (int i = 0; i < 9; i++)
        PF_TRY(block_time(r, &w->frustum[i], &all));
    return PF_OK;
}

/* y = conv(silu(norm(x + channel))) [+ residual]; channel's rows from `first` on belong to x's. */
static pf_err
block(struct run *r, pf_tensor *y, const struct volume_block *b, const pf_tensor *x, int64_t first,
      const pf_tensor *residual)
{
    const pf_tensor channel = b->view ? rows(&b->channel, first, x->dim[0]) : b->channel;
    return run_norm_conv(r, y, &b->norm, b->conv, x, &channel, b->stride,
                         &(struct pf_epilogue){.residual = residual});
}

/* NoisyTargetViewEncoder (networks.md, 5.1).  x [V, h, w, z] -> y [V, h, w, dim] */
static pf_err
target_encoder(struct run *r, pf_tensor *y, const struct target_encoder *w, const pf_tensor *x)
{
    pf_tensor h = {0}, t = {0};
    PF_TRY(PF_ALLOC(r->dev, y, x->dtype, x->dim[0], x->dim[1], x->dim[2], w->final_conv->K));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(run_conv(r, &h, w->init, x, 1, 1, 1, NULL));                 // [V, h, w, dim]
    for (int i = 0; i < 3; i++) {       // the residual adds h, not h + channel
        PF_TRY(block(r, &t, &w->block[i], &h, 0, NULL));
        PF_TRY(run_norm_conv(r, &h, &w->mid[i], w->conv2[i], &t, NULL, 1,
                             &(struct pf_epilogue){.residual = &h}));
    }
    PF_TRY(run_norm_conv(r, y, &w->final_norm, w->final_conv, &h, NULL, 1, NULL));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* SpatialTime3DNet (networks.md, 5.3).  x [1, S, S, S, V*dim] -> y [1, S, S, S, d0] */
static pf_err
spatial_net(struct run *r, pf_tensor *y, const struct volume_net *w, const pf_tensor *x)
{
    const struct volume_block *b = w->spatial;
    pf_tensor h = {0}, c0 = {0}, c1 = {0}, t2 = {0}, c2 = {0}, c3 = {0}, t4 = {0}, c4 = {0},
              c5 = {0}, t6 = {0}, c6 = {0}, u4 = {0}, u2 = {0};
    PF_TRY(run_conv(r, &h, w->spatial_init, x, 1, 1, 1, NULL));         // [1, S, S, S, d0]
    PF_TRY(block(r, &c0, &b[0], &h, 0, NULL));
    PF_TRY(block(r, &c1, &b[1], &c0, 0, NULL));                         // S/2, d1
    PF_TRY(block(r, &t2, &b[2], &c1, 0, NULL));
    PF_TRY(block(r, &c2, &b[3], &t2, 0, NULL));
    PF_TRY(block(r, &c3, &b[4], &c2, 0, NULL));                         // S/4, d2
    PF_TRY(block(r, &t4, &b[5], &c3, 0, NULL));
    PF_TRY(block(r, &c4, &b[6], &t4, 0, NULL));
    PF_TRY(block(r, &c5, &b[7], &c4, 0, NULL));                         // S/8, d3
    PF_TRY(block(r, &t6, &b[8], &c5, 0, NULL));
    PF_TRY(block(r, &c6, &b[9], &t6, 0, NULL));
    PF_TRY(block(r, &u4, &b[10], &c6, 0, &c4));                         // S/4, d2
    PF_TRY(block(r, &u2, &b[11], &u4, 0, &c2));                         // S/2, d1
    return block(r, y, &b[12], &u2, 0, &c0);                            // S, d0
}

pf_err
volume_spatial(struct run *r, pf_tensor *volume, const struct volume_net *w, const pf_tensor *x,
               const pf_tensor *proj)
{
    pf_tensor features = {0}, raw = {0};
    const int64_t S = w->size, V = x->dim[0];
    PF_TRY(PF_ALLOC(r->dev, volume, x->dtype, 1, S, S, S, w->spatial[0].C));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(target_encoder(r, &features, &w->target, x));                // [V, h, w, dim]
    PF_TRY(dump_row(r, &features, "view.target_encoder_out"));
    PF_TRY(PF_ALLOC(r->dev, &raw, x->dtype, 1, S, S, S, V * w->dim));
    PF_TRY(pf_unproject(r->dev, &raw, &features, proj, w->length));     // [1, S, S, S, V*dim]
    PF_TRY(spatial_net(r, volume, w, &raw));                            // [1, S, S, S, d0]
    pf_dev_reset(r->dev, mark);
    return dump_row(r, volume, "spatial_volume");
}

/* FrustumTV3DNet (networks.md, 5.5).  x [n, D, h, h, d0] -> level[0..3].  Levels 1 and 2 are those
 * after the way up; level 0, which is written last, may be x. */
static pf_err
frustum_net(struct run *r, pf_tensor level[4], const struct volume_net *w, const pf_tensor *x,
            int64_t first)
{
    const struct volume_block *b = w->frustum;
    pf_tensor x0 = {0}, t = {0}, x1 = {0}, x2 = {0};
    PF_TRY(run_conv(r, &x0, w->frustum_init, x, 1, 1, 1, NULL));        // [n, D, h, h, d0]
    PF_TRY(block(r, &t, &b[0], &x0, first, NULL));
    PF_TRY(block(r, &x1, &b[1], &t, first, NULL));                      // d1, half
    t = (pf_tensor){0};
    PF_TRY(block(r, &t, &b[2], &x1, first, NULL));
    PF_TRY(block(r, &x2, &b[3], &t, first, NULL));                      // d2, quarter
    t = (pf_tensor){0};
    PF_TRY(block(r, &t, &b[4], &x2, first, NULL));
    PF_TRY(block(r, &level[3], &b[5], &t, first, NULL));                // d3, eighth
    PF_TRY(block(r, &level[2], &b[6], &level[3], first, &x2));
    PF_TRY(block(r, &level[1], &b[7], &level[2], first, &x1));
    return block(r, &level[0], &b[8], &level[1], first, &x0);
}

pf_err
volume_frustum(struct run *r, pf_tensor level[VOLUME_LEVELS], const struct volume_net *w,
               const pf_tensor *volume, const pf_tensor *unproj, const struct chunk *c, int side)
{
    const pf_tensor mine = rows(unproj, c->first, c->n);
    const int64_t C = volume->dim[4];
    for (int i = 0; i < VOLUME_LEVELS; i++) {
        const int64_t K = i ? w->frustum[2 * i - 1].conv->K : C, h = side >> i;
        PF_TRY(PF_ALLOC(r->dev, &level[i], volume->dtype, c->n, w->depth >> i, h, h, K));
    }
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(pf_frustum_sample(r->dev, &level[0], volume, &mine, w->length, w->near, w->far));
    PF_TRY(dump_row(r, &level[0], "view.frustum_input"));
    PF_TRY(frustum_net(r, level, w, &level[0], c->first));
    pf_dev_reset(r->dev, mark);
    for (int i = 0; i < VOLUME_LEVELS; i++)
        PF_TRY(dump_row(r, &level[i], "view.frustum_%d", side >> i));
    return PF_OK;
}
