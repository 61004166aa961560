/* unet.c - DepthWiseAttention (networks.md, 6): what it is made of, in the order in which it
 * runs. */
#include <stdio.h>

#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/unet.h"

/* ---- parameters ---- */

pf_err
resblock_load(struct resblock *w, struct net_stack *emb, const struct scope *n, int K, int C, int E)
{
    PF_TRY(scope_norm(n, &w->in_norm, "in_layers.0", C, 32, 1e-5f));
    PF_TRY(scope_conv_behind(n, &w->in_conv, "in_layers.2", K, C, &w->in_norm));
    PF_TRY(net_stack_add(n, emb, &w->emb, "emb_layers.1", K, E, true));
    PF_TRY(scope_norm(n, &w->out_norm, "out_layers.0", K, 32, 1e-5f));
    PF_TRY(scope_conv_behind(n, &w->out_conv, "out_layers.3", K, K, &w->out_norm));
    w->skip = NULL;
    return K == C ? PF_OK : scope_linear(n, &w->skip, "skip_connection", K, C, true);
}

struct loader {                 /* what the blocks have in common while they load */
    const struct pf_config *conf;
    struct net_stack emb;
    int E;
};

static bool
has_attention(const struct pf_config *conf, int level)
{
    for (int i = 0; i < 3; i++)
        if (conf->unet.attention_resolutions[i] == 1 << level)
            return true;
    return false;
}

/* Load RES(C, K) and, at a level that has them, DT(K), at PLACE.i. */
static pf_err
load_block(struct unet_block *b, struct loader *l, const struct scope *n, const char *place, int i,
           int level, int K, int C)
{
    const struct scope res = scope_in(n, "%s.%d.0.", place, i);
    const struct scope dt = scope_in(n, "%s.%d.1.", place, i);
    snprintf(b->name, sizeof b->name, "%s.%d", place, i);
    b->level = level;
    b->C = C;
    b->K = K;
    b->has_res = true;
    b->has_dt = has_attention(l->conf, level);
    PF_TRY(resblock_load(&b->res, &l->emb, &res, K, C, l->E));
    return b->has_dt ? double_transformer_load(&b->dt, &dt, K, l->conf->unet.num_heads,
                                               l->conf->unet.context_dim)
                     : PF_OK;
}

/* input_blocks.0 is only named here; its convolution is loaded in two parts by load_ends. */
static pf_err
load_inputs(struct unet *u, struct loader *l, const struct scope *n)
{
    const int *mult = l->conf->unet.channel_mult;
    int C = u->channels, k = 1;
    u->input[0] = (struct unet_block){.name = "input_blocks.0", .C = u->z, .K = C};
    for (int level = 0; level < UNET_LEVELS; level++) {
        const int K = u->channels * mult[level];
        for (int i = 0; i < l->conf->unet.num_res_blocks; i++, k++) {
            PF_TRY(load_block(&u->input[k], l, n, "input_blocks", k, level, K, C));
            C = K;
        }
        if (level < UNET_LEVELS - 1) {
            const struct scope at = scope_in(n, "input_blocks.%d.0.", k);
            struct unet_block *b = &u->input[k];
            *b = (struct unet_block){.level = level, .C = C, .K = C};
            snprintf(b->name, sizeof b->name, "input_blocks.%d", k++);
            PF_TRY(scope_conv(&at, &b->down, "op", C, C, 2, 3, true));
        }
    }
    u->inputs = k;
    return PF_OK;
}

static pf_err
load_middle(struct unet *u, struct loader *l, const struct scope *n)
{
    const int C = u->input[u->inputs - 1].K;
    const struct scope res1 = scope_in(n, "middle_block.0."), dt = scope_in(n, "middle_block.1."),
                     res2 = scope_in(n, "middle_block.2."), dep = scope_in(n, "middle_conditions.");
    PF_TRY(resblock_load(&u->mid1, &l->emb, &res1, C, C, l->E));
    PF_TRY(double_transformer_load(&u->mid_dt, &dt, C, l->conf->unet.num_heads,
                                   l->conf->unet.context_dim));
    PF_TRY(resblock_load(&u->mid2, &l->emb, &res2, C, C, l->E));
    return depth_transformer_load(&u->mid_dep, &dep, C, l->conf->unet.volume_dims[UNET_LEVELS - 1]);
}

/* Each block takes one skip of the input blocks, last first.  The condition comes after the
 * upsampling, at the doubled side; the blocks of the lowest level have none. */
static pf_err
load_outputs(struct unet *u, struct loader *l, const struct scope *n)
{
    const struct pf_config *conf = l->conf;
    const int blocks = conf->unet.num_res_blocks;
    int C = u->input[u->inputs - 1].K, k = 0;
    for (int level = UNET_LEVELS - 1; level >= 0; level--) {
        for (int i = 0; i <= blocks; i++, k++) {
            const int K = u->channels * conf->unet.channel_mult[level];
            struct unet_block *b = &u->output[k];
            PF_TRY(load_block(b, l, n, "output_blocks", k, level, K,
                              C + u->input[u->inputs - 1 - k].K));
            C = K;
            if (level && i == blocks) {
                const struct scope at = scope_in(n, "output_blocks.%d.%d.", k, b->has_dt ? 2 : 1);
                PF_TRY(scope_conv_doubled(&at, &b->up, "conv", K, K));
            }
            b->has_dep = k > blocks;
            if (b->has_dep) {
                const struct scope at = scope_in(n, "output_conditions.%d.", k - blocks - 1);
                PF_TRY(depth_transformer_load(&b->dep, &at, K,
                                              conf->unet.volume_dims[b->up ? level - 1 : level]));
            }
        }
    }
    u->outputs = k;
    return PF_OK;
}

/* Load the first convolution, in two parts, the time embedding and the last convolution. */
static pf_err
load_ends(struct unet *u, const struct scope *n, const struct pf_config *conf, int E)
{
    const int in = conf->unet.in_channels, C = u->channels * conf->unet.channel_mult[0];
    char name[256];
    pf_tensor weight, bias;
    snprintf(name, sizeof name, "%sinput_blocks.0.0.weight", n->prefix);
    PF_TRY(scope_need(n, &weight, name, 4, (int64_t[]){u->channels, in, 3, 3}));
    PF_TRY(scope_bias(n, &bias, "input_blocks.0.0", u->channels));
    PF_TRY(pf_layer_new_slice(n->dev, &u->in_noisy, &weight, &bias, 0, u->z));
    PF_TRY(pf_layer_new_slice(n->dev, &u->in_concat, &weight, NULL, u->z, in));
    PF_TRY(scope_linear(n, &u->time0, "time_embed.0", E, u->channels, true));
    PF_TRY(scope_linear(n, &u->time2, "time_embed.2", E, E, true));
    PF_TRY(scope_norm(n, &u->out_norm, "out.0", C, 32, 1e-5f));
    return scope_conv(n, &u->out_conv, "out.2", u->z, C, 2, 3, true);
}

pf_err
unet_load(struct unet *u, const struct scope *n, const struct pf_config *conf)
{
    struct loader l = {.conf = conf, .E = 4 * conf->unet.model_channels};
    *u = (struct unet){.side = conf->model.image_size / 8, .z = conf->unet.out_channels,
                       .channels = conf->unet.model_channels};
    if (UNET_LEVELS * (conf->unet.num_res_blocks + 1) > UNET_BLOCKS_MAX)
        return pf_fail(PF_EARG, "unet.num_res_blocks is %d, at most %d are known",
                       conf->unet.num_res_blocks, UNET_BLOCKS_MAX / UNET_LEVELS - 1);
    PF_TRY(load_ends(u, n, conf, l.E));
    PF_TRY(load_inputs(u, &l, n));
    PF_TRY(load_middle(u, &l, n));
    PF_TRY(load_outputs(u, &l, n));
    u->emb_width = l.emb.rows;
    return net_stack_layer(n, &u->emb, &l.emb, true);
}

/* ---- constants ---- */

bool
unet_is_sync_dreamer(const struct unet *u)
{
    return u->mid_dt.factor == 1;
}

bool
unet_has_spad(const struct unet *u)
{
    bool on = u->mid_dt.spad.on;
    for (int i = 0; i < u->inputs; i++)
        on |= u->input[i].has_dt && u->input[i].dt.spad.on;
    for (int i = 0; i < u->outputs; i++)
        on |= u->output[i].has_dt && u->output[i].dt.spad.on;
    return on;
}

pf_err
unet_constants(struct run *r, struct unet *u, int depth)
{
    const int last = UNET_LEVELS - 1;
    PF_TRY(depth_transformer_constant(r, &u->mid_dep, depth >> last, u->side >> last));
    for (int i = 0; i < u->outputs; i++) {
        struct unet_block *b = &u->output[i];
        const int level = b->up ? b->level - 1 : b->level;
        if (b->has_dep)
            PF_TRY(depth_transformer_constant(r, &b->dep, depth >> level, u->side >> level));
    }
    return PF_OK;
}

pf_err
unet_prepare(struct run *r, struct unet *u, const pf_tensor *context,
             const pf_tensor plucker[UNET_LEVELS])
{
    for (int i = 0; i < u->inputs; i++) {
        struct unet_block *b = &u->input[i];
        if (b->has_dt)
            PF_TRY(double_transformer_prepare(r, &b->dt, context, &plucker[b->level]));
    }
    PF_TRY(double_transformer_prepare(r, &u->mid_dt, context, &plucker[UNET_LEVELS - 1]));
    for (int i = 0; i < u->outputs; i++) {
        struct unet_block *b = &u->output[i];
        if (b->has_dt)
            PF_TRY(double_transformer_prepare(r, &b->dt, context, &plucker[b->level]));
    }
    return PF_OK;
}

pf_err
unet_input(struct run *r, struct unet *u, const pf_tensor *x_concat)
{
    u->concat = (pf_tensor){0};
    return run_conv(r, &u->concat, u->in_concat, x_concat, 1, 1, 1, NULL);    // [1, s, s, channels]
}

pf_err
unet_time(struct run *r, struct unet *u, const pf_tensor *sinusoid)
{
    pf_tensor h = {0}, emb = {0}, all = {0};
    PF_TRY(run_linear(r, &h, u->time0, sinusoid, &(struct pf_epilogue){.act = PF_SILU}));
    PF_TRY(run_linear(r, &emb, u->time2, &h, NULL));                    // [1, E]
    PF_TRY(dump_row(r, &emb, "time_embed"));
    PF_TRY(pf_activate(r->dev, &emb, &emb, PF_SILU));
    PF_TRY(run_linear(r, &all, u->emb, &emb, NULL));                    // [1, emb_width]
    return run_cast(r, &u->emb_all, &all, PF_F32);
}

/* ---- one evaluation ---- */

/* ResBlock.  x [B, H, W, C] -> y [B, H, W, K] */
pf_err
resblock(struct run *r, pf_tensor *y, const struct resblock *w, const pf_tensor *x,
         const pf_tensor *emb_all)
{
    const int64_t K = w->in_conv->K;
    const pf_tensor emb = columns(emb_all, w->emb, K);
    pf_tensor h = {0}, skip = *x;
    if (!y->data)
        PF_TRY(PF_ALLOC(r->dev, y, x->dtype, x->dim[0], x->dim[1], x->dim[2], K));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(run_norm_conv(r, &h, &w->in_norm, w->in_conv, x, NULL, 1,
                         &(struct pf_epilogue){.channel = &emb}));
    if (w->skip) {
        PF_TRY(run_linear(r, y, w->skip, x, NULL));                     // [B, H, W, K]
        skip = *y;
    }
    PF_TRY(run_norm_conv(r, y, &w->out_norm, w->out_conv, &h, NULL, 1,
                         &(struct pf_epilogue){.residual = &skip}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

struct eval {                   /* what all blocks of one evaluation see */
    const struct unet *u;
    const struct chunk *c;
    const pf_tensor *volume, *mask;     /* by level */
    pf_tensor spare;            /* for what a ResBlock makes, while its block works on it */
};

/* Allocate [B, side, side, K] for what a block makes. */
static pf_err
alloc_map(struct run *r, pf_tensor *y, const struct eval *e, int level, int K)
{
    const int s = e->u->side >> level;
    return PF_ALLOC(r->dev, y, pf_dev_dtype(r->dev), e->c->branches * e->c->n, s, s, K);
}

/* [B, side, side, K] of a block's ResBlock, in the spare memory. */
static pf_tensor
spare_map(const struct eval *e, const struct unet_block *b)
{
    const int64_t s = e->u->side >> b->level;
    return RESHAPE(&e->spare, e->c->branches * e->c->n, s, s, b->K);
}

static pf_err
block_res(struct run *r, pf_tensor *y, const struct unet_block *b, const pf_tensor *x,
          const struct eval *e)
{
    PF_TRY(resblock(r, y, &b->res, x, &e->u->emb_all));
    return dump_row(r, y, "%s.0", b->name);
}

/* Run a block's DT, down or up; y has the result's shape, and is x if there is none of these. */
static pf_err
block_rest(struct run *r, pf_tensor *y, const struct unet_block *b, const pf_tensor *x,
           const struct eval *e)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor t = {0}, in = *x;
    if (b->has_dt) {
        char name[64];
        snprintf(name, sizeof name, "%s.1", b->name);
        pf_tensor *to = b->up ? &t : y;
        PF_TRY(double_transformer(r, to, &b->dt, &in, e->c, &e->mask[b->level], name));
        in = *to;
    }
    if (b->down)
        PF_TRY(run_conv(r, y, b->down, &in, 2, 1, 1, NULL));
    if (b->up)
        PF_TRY(run_conv(r, y, b->up, &in, 1, 1, 1, NULL));
    pf_dev_reset(r->dev, mark);
    return dump_row(r, y, "%s", b->name);
}

/* The conditional rows get the DepthTransformer, the others its constant (networks.md, 9). */
static pf_err
condition(struct run *r, pf_tensor *h, const struct depth_transformer *w, int level,
          const struct eval *e)
{
    pf_tensor cond = rows(h, 0, e->c->n), uncond = rows(h, e->c->n, e->c->n);
    PF_TRY(depth_transformer(r, &cond, w, &e->volume[level]));
    return e->c->branches == 2 ? pf_add(r->dev, &uncond, &uncond, &w->constant, 1.0f) : PF_OK;
}

/* In input_blocks.0 the branches differ by the constant convolution of x_concat alone. */
static pf_err
first_convolution(struct run *r, pf_tensor *y, const struct eval *e, const pf_tensor *x)
{
    const int64_t n = e->c->n;
    pf_tensor cond = rows(y, 0, n), uncond = rows(y, n, n);
    pf_tensor *const noisy = e->c->branches == 2 ? &uncond : &cond;
    PF_TRY(run_conv(r, noisy, e->u->in_noisy, x, 1, 1, 1, NULL));       // [n, s, s, channels]
    PF_TRY(pf_add(r->dev, &cond, noisy, &e->u->concat, 1.0f));
    return dump_row(r, y, "input_blocks.0");
}

static pf_err
middle(struct run *r, pf_tensor *y, const struct eval *e, const pf_tensor *x)
{
    const struct unet *u = e->u;
    const int last = UNET_LEVELS - 1;
    pf_tensor h = {0}, t = {0};
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(resblock(r, &h, &u->mid1, x, &u->emb_all));
    PF_TRY(double_transformer(r, &t, &u->mid_dt, &h, e->c, &e->mask[last], "middle_block.1"));
    PF_TRY(resblock(r, y, &u->mid2, &t, &u->emb_all));
    pf_dev_reset(r->dev, mark);
    PF_TRY(dump_row(r, y, "middle_block"));
    PF_TRY(condition(r, y, &u->mid_dep, last, e));
    return dump_row(r, y, "middle_conditions");
}

/* y = block(x); y has the result's shape. */
static pf_err
input(struct run *r, pf_tensor *y, const struct unet_block *b, const pf_tensor *x,
      const struct eval *e)
{
    pf_tensor h = *x;
    if (b->has_res) {
        h = b->has_dt ? spare_map(e, b) : *y;
        PF_TRY(block_res(r, &h, b, x, e));
    }
    return block_rest(r, y, b, &h, e);
}

/* h = block(concat(h, skip)), then the condition.  What lies on the arena behind `below`, the skip
 * and h among it, has been read when the ResBlock is done, and gives way to the new h. */
static pf_err
output(struct run *r, pf_tensor *h, int k, const pf_tensor *skip, size_t below,
       const struct eval *e)
{
    const struct unet_block *b = &e->u->output[k];
    const int level = b->up ? b->level - 1 : b->level;
    pf_tensor both = {0}, x = spare_map(e, b);
    PF_TRY(PF_ALLOC(r->dev, &both, h->dtype, h->dim[0], h->dim[1], h->dim[2], b->C));
    PF_TRY(pf_concat(r->dev, &both, h, skip));
    PF_TRY(block_res(r, &x, b, &both, e));
    pf_dev_reset(r->dev, below);
    *h = x;
    if (b->has_dt || b->up)
        PF_TRY(alloc_map(r, h, e, level, b->K));
    PF_TRY(block_rest(r, h, b, &x, e));
    if (!b->has_dep)
        return PF_OK;
    PF_TRY(condition(r, h, &b->dep, level, e));
    return dump_row(r, h, "output_conditions.%d", k - (e->u->outputs / UNET_LEVELS));
}

/* Run out.0 and out.2 on each branch.  h [B, s, s, channels] -> cond, uncond [n, s, s, z] */
static pf_err
last_convolution(struct run *r, pf_tensor *cond, pf_tensor *uncond, const struct eval *e,
                 const pf_tensor *h)
{
    const struct unet *u = e->u;
    const pf_tensor hc = rows(h, 0, e->c->n), hu = rows(h, e->c->n, e->c->n);
    PF_TRY(run_norm_conv(r, cond, &u->out_norm, u->out_conv, &hc, NULL, 1, NULL));
    if (e->c->branches < 2)
        return PF_OK;
    return run_norm_conv(r, uncond, &u->out_norm, u->out_conv, &hu, NULL, 1, NULL);
}

/* The output blocks have every level's width. */
static pf_err
alloc_spare(struct run *r, struct eval *e)
{
    const struct unet *u = e->u;
    int64_t most = 0;
    for (int k = 0; k < u->outputs; k++) {
        const int64_t s = u->side >> u->output[k].level, size = s * s * u->output[k].K;
        most = size > most ? size : most;
    }
    return PF_ALLOC(r->dev, &e->spare, pf_dev_dtype(r->dev), e->c->branches * e->c->n * most);
}

pf_err
unet(struct run *r, pf_tensor *cond, pf_tensor *uncond, const struct unet *u, const pf_tensor *x,
     const struct chunk *c, const pf_tensor volume[VOLUME_LEVELS],
     const pf_tensor mask[UNET_LEVELS])
{
    struct eval e = {.u = u, .c = c, .volume = volume, .mask = mask};
    const size_t mark = pf_dev_mark(r->dev);
    const int last = UNET_LEVELS - 1;
    size_t below[UNET_BLOCKS_MAX];
    pf_tensor skip[UNET_BLOCKS_MAX] = {0}, h = {0};
    PF_TRY(alloc_spare(r, &e));
    below[0] = pf_dev_mark(r->dev);
    PF_TRY(alloc_map(r, &skip[0], &e, 0, u->channels));
    PF_TRY(first_convolution(r, &skip[0], &e, x));
    for (int k = 1; k < u->inputs; k++) {
        const struct unet_block *b = &u->input[k];
        below[k] = pf_dev_mark(r->dev);
        PF_TRY(alloc_map(r, &skip[k], &e, b->down ? b->level + 1 : b->level, b->K));
        PF_TRY(input(r, &skip[k], b, &skip[k - 1], &e));
    }
    PF_TRY(alloc_map(r, &h, &e, last, skip[u->inputs - 1].dim[3]));
    PF_TRY(middle(r, &h, &e, &skip[u->inputs - 1]));
    for (int k = 0; k < u->outputs; k++)
        PF_TRY(output(r, &h, k, &skip[u->inputs - 1 - k], below[u->inputs - 1 - k], &e));
    PF_TRY(last_convolution(r, cond, uncond, &e, &h));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}
