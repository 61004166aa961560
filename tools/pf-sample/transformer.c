/* transformer.c - DoubleTransformer (networks.md, 6.1-6.3). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/transformer.h"

static pf_err
load_block(struct transformer_block *w, const struct scope *n, int c, int E)
{
    struct net_stack qkv = {0};
    PF_TRY(scope_norm(n, &w->norm1, "norm1", c, 0, 1e-5f));
    PF_TRY(scope_norm(n, &w->norm3, "norm3", c, 0, 1e-5f));
    PF_TRY(net_stack_add(n, &qkv, NULL, "attn1.to_q", c, c, false));
    PF_TRY(net_stack_add(n, &qkv, NULL, "attn1.to_k", c, c, false));
    PF_TRY(net_stack_add(n, &qkv, NULL, "attn1.to_v", c, c, false));
    PF_TRY(net_stack_layer(n, &w->qkv, &qkv, false));
    PF_TRY(scope_linear(n, &w->out, "attn1.to_out.0", c, c, true));
    PF_TRY(scope_linear(n, &w->ctx_v, "attn2.to_v", c, E, false));
    PF_TRY(scope_linear(n, &w->ctx_out, "attn2.to_out.0", c, c, true));
    return scope_linear(n, &w->ff_in, "ff.net.0.proj", 8 * c, c, true);
}

/* Whether all numbers of a parameter are 0; so much is read on a dry device, too. */
static bool
is_zero(const struct scope *n, const char *name)
{
    char full[256];
    pf_tensor t;
    snprintf(full, sizeof full, "%s%s", n->prefix, name);
    if (!pf_checkpoint_get(n->weights, full, &t))
        return false;
    const unsigned char *const p = t.data;
    const size_t bytes = pf_tensor_bytes(&t);
    return !bytes || (!p[0] && !memcmp(p, p + 1, bytes - 1));
}

/* proj_out (ff.net.2 h + u) = (proj_out ff.net.2) h + proj_out u: as the first factor has half as
 * many rows as the second, their product takes half of the multiplications.  All biases are its. */
static pf_err
load_behind(struct transformer_block *w, const struct scope *n, int c, const pf_tensor *proj_out,
            const pf_tensor *bias)
{
    const int64_t K = proj_out->dim[0];
    pf_tensor ff, ff_bias, sum = {0}, by = {0}, a = {0};
    PF_TRY(scope_matrix(n, &ff, "ff.net.2", c, 4 * c));
    PF_TRY(scope_bias(n, &ff_bias, "ff.net.2", c));
    pf_err err = PF_TENSOR_NEW(&sum, PF_F32, K);
    if (!err)
        err = PF_TENSOR_NEW(&by, PF_F32, c);
    if (!err)
        err = pf_tensor_new_unset(&a, PF_F32, 2, (int64_t[]){K, c});
    if (!err && !pf_dev_is_dry(n->dev)) {       // weights are not read then
        pf_to_f32(sum.data, bias->data, bias->dtype, K);
        pf_to_f32(by.data, ff_bias.data, ff_bias.dtype, c);
        pf_to_f32(a.data, proj_out->data, proj_out->dtype, K * c);
        for (int64_t k = 0; k < K; k++)
            for (int64_t i = 0; i < c; i++)
                ((float *)sum.data)[k] += ((float *)a.data)[k * c + i] * ((float *)by.data)[i];
    }
    if (!err)
        err = pf_layer_new_product(n->dev, &w->ff_out, proj_out, &ff, &sum);
    pf_tensor_release(&sum);
    pf_tensor_release(&by);
    pf_tensor_release(&a);
    return err;
}

/* Load a [c/2] vector twice, as [c] on the device. */
static pf_err
load_twice(const struct scope *n, pf_tensor *to, const char *name, int half)
{
    char full[256];
    pf_tensor t, both;
    snprintf(full, sizeof full, "%s%s", n->prefix, name);
    PF_TRY(scope_need(n, &t, full, 1, (int64_t[]){half}));
    PF_TRY(PF_TENSOR_NEW(&both, PF_F32, 2 * half));
    pf_to_f32(both.data, t.data, t.dtype, half);
    memcpy((float *)both.data + half, both.data, (size_t)half * sizeof(float));
    const pf_err err = pf_dev_vector(n->dev, to, &both);
    pf_tensor_release(&both);
    return err;
}

static pf_err
load_spad(struct spad *w, const struct scope *n, int c, int E)
{
    const struct scope tb = scope_in(n, "transformer_blocks.0.");
    const int half = c / 2;
    pf_tensor weight, bias;
    PF_TRY(scope_matrix(n, &weight, "proj_out", half, c));
    PF_TRY(scope_bias(n, &bias, "proj_out", half));
    w->on = !is_zero(n, "proj_out.weight") || !is_zero(n, "proj_out.bias");
    if (!w->on)
        return PF_OK;
    PF_TRY(pf_layer_new(n->dev, &w->proj_out, &weight, NULL, false));
    PF_TRY(load_behind(&w->block, &tb, c, &weight, &bias));
    w->norm = (struct norm){.groups = 64, .eps = 1e-6f};
    PF_TRY(load_twice(n, &w->norm.gamma, "norm.weight", half));
    PF_TRY(load_twice(n, &w->norm.beta, "norm.bias", half));
    PF_TRY(scope_matrix(n, &weight, "proj_in", c, half + 6));
    PF_TRY(scope_bias(n, &bias, "proj_in", c));
    PF_TRY(pf_layer_new_slice(n->dev, &w->proj_in, &weight, NULL, 0, half));
    PF_TRY(pf_layer_new_slice(n->dev, &w->proj_plucker, &weight, &bias, half, half + 6));
    return load_block(&w->block, &tb, c, E);
}

/* Load the map NAME [K, C], times `factor`. */
static pf_err
load_scaled(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C,
            float factor)
{
    pf_tensor weight, bias, scaled = {0}, b = {0};
    PF_TRY(scope_matrix(n, &weight, name, K, C));
    PF_TRY(scope_bias(n, &bias, name, K));
    pf_err err = pf_tensor_new_unset(&scaled, PF_F32, 2, (int64_t[]){K, C});
    if (!err)
        err = PF_TENSOR_NEW(&b, PF_F32, K);
    if (!err && !pf_dev_is_dry(n->dev)) {       // weights are not read then
        pf_to_f32(scaled.data, weight.data, weight.dtype, K * C);
        pf_to_f32(b.data, bias.data, bias.dtype, K);
#pragma omp parallel for
        for (int64_t i = 0; i < K * C; i++)
            ((float *)scaled.data)[i] *= factor;
        for (int64_t i = 0; i < K; i++)
            ((float *)b.data)[i] *= factor;
    }
    err = err ? err : pf_layer_take(n->dev, w, &scaled, &b);
    pf_tensor_release(&b);
    return err;
}

static pf_err
load_spatial(struct spatial *w, const struct scope *n, int c, int E, float factor)
{
    const struct scope tb = scope_in(n, "transformer_blocks.0.");
    PF_TRY(scope_norm(n, &w->norm, "norm", c, 32, 1e-6f));
    PF_TRY(scope_linear(n, &w->proj_in, "proj_in", c, c, true));
    PF_TRY(load_block(&w->block, &tb, c, E));
    PF_TRY(scope_linear(&tb, &w->block.ff_out, "ff.net.2", c, 4 * c, true));
    return load_scaled(n, &w->proj_out, "proj_out", c, c, factor);
}

pf_err
double_transformer_load(struct double_transformer *w, const struct scope *n, int c, int heads,
                        int E)
{
    /* SyncDreamer (networks.md, 12): layer2 alone, without that name, and added once.  Seen by the
     * names that are there, so that a missing one is named as that model has it. */
    const bool single = !scope_has(n, "layer1.") && !scope_has(n, "layer2.");
    const struct scope layer1 = scope_in(n, "layer1.");
    const struct scope layer2 = scope_in(n, single ? "" : "layer2.");
    w->c = c;
    w->heads = heads;
    w->factor = single ? 1.0f : 2.0f;
    w->spad.on = false;
    if (!single)
        PF_TRY(load_spad(&w->spad, &layer1, c, E));
    return load_spatial(&w->spatial, &layer2, c, E, w->factor);
}

/* Compute attn2 of every row, to_out(to_v(token)); a row without condition has token 0 and gets the
 * bias. */
static pf_err
prepare_block(struct run *r, struct transformer_block *w, const pf_tensor *context)
{
    pf_tensor v = {0}, out = {0};
    PF_TRY(run_linear(r, &v, w->ctx_v, context, NULL));                 // [rows, c]
    PF_TRY(run_linear(r, &out, w->ctx_out, &v, NULL));                  // [rows, c]
    return run_cast(r, &w->context, &out, PF_F32);
}

pf_err
double_transformer_prepare(struct run *r, struct double_transformer *w, const pf_tensor *context,
                           const pf_tensor *plucker)
{
    if (w->spad.on) {
        w->spad.plucker = (pf_tensor){0};
        PF_TRY(run_linear(r, &w->spad.plucker, w->spad.proj_plucker, plucker,
                          NULL));                                       // [V, 2hw, c]
        PF_TRY(prepare_block(r, &w->spad.block, context));
    }
    return prepare_block(r, &w->spatial.block, context);
}

/* The attention of a BasicTransformerBlock, in place.  u [B, T, c]; masks of the chunk's views, and
 * the maps' side, or NULL and 0. */
static pf_err
attend(struct run *r, pf_tensor *u, const struct transformer_block *w, int heads,
       const struct chunk *c, const pf_tensor *mask, int side)
{
    const size_t mark = pf_dev_mark(r->dev);
    const pf_tensor context = rows(&w->context, c->branches * c->first, u->dim[0]);
    pf_tensor n = {0}, qkv = {0};
    PF_TRY(run_norm(r, &n, &w->norm1, u, PF_NONE, NULL));               // [B, T, c]
    PF_TRY(run_linear(r, &qkv, w->qkv, &n, NULL));                      // [B, T, 3c]
    PF_TRY(pf_attention(r->dev, &n, &qkv, heads, 1.0f / sqrtf((float)(u->dim[2] / heads)), mask,
                        side));
    PF_TRY(run_linear(r, u, w->out, &n, &(struct pf_epilogue){.channel = &context, .residual = u}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* Its feed-forward layer: y += that of u [B, T, c]; y may be u, which is lost if it is not. */
static pf_err
feed_forward(struct run *r, pf_tensor *y, const struct transformer_block *w, pf_tensor *u)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor n = {0}, ff = {0};
    if (y != u)
        n = *u;
    PF_TRY(PF_ALLOC(r->dev, &ff, u->dtype, u->dim[0], u->dim[1], w->ff_out->C));
    PF_TRY(run_norm(r, &n, &w->norm3, u, PF_NONE, NULL));
    PF_TRY(pf_linear_geglu(r->dev, &ff, &n, w->ff_in));                 // [B, T, 4c]
    PF_TRY(run_linear(r, y, w->ff_out, &ff, &(struct pf_epilogue){.residual = y}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* SPAD (networks.md, 6.3).  x [B, h, w, c] = two views of c/2 channels -> y, the same. */
pf_err
spad(struct run *r, pf_tensor *y, const struct double_transformer *w, const pf_tensor *x,
     const struct chunk *c, const pf_tensor *mask, const pf_tensor *residual)
{
    const struct spad *s = &w->spad;
    const int64_t B = x->dim[0], T = 2 * x->dim[1] * x->dim[2], half = w->c / 2;
    const pf_tensor plucker = rows(&s->plucker, c->first, c->n), masks = rows(mask, c->first, c->n);
    pf_tensor u = {0}, res;
    if (!y->data)
        PF_TRY(pf_dev_alloc(r->dev, y, x->dtype, x->ndim, x->dim));
    pf_tensor out = RESHAPE(y, B, T, half);
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(PF_ALLOC(r->dev, &u, x->dtype, B, T, w->c));
    PF_TRY(run_norm(r, y, &s->norm, x, PF_NONE, NULL));                 // y's turn comes last
    for (int64_t b = 0; b < B; b += c->n) {     // each branch has the same Pluecker maps
        pf_tensor ub = rows(&u, b, c->n);
        const pf_tensor nb = rows(&out, b, c->n);
        PF_TRY(run_linear(r, &ub, s->proj_in, &nb, &(struct pf_epilogue){.residual = &plucker}));
    }
    PF_TRY(attend(r, &u, &s->block, w->heads, c, &masks, (int)x->dim[1]));      // [B, 2hw, c]
    if (residual)
        res = RESHAPE(residual, B, T, half);
    PF_TRY(run_linear(r, &out, s->proj_out, &u,
                      &(struct pf_epilogue){.residual = residual ? &res : NULL}));
    PF_TRY(feed_forward(r, &out, &s->block, &u));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* SpatialTransformer (networks.md, 6.2), times w->factor.  x [B, h, w, c] -> y, the same. */
pf_err
spatial(struct run *r, pf_tensor *y, const struct double_transformer *w, const pf_tensor *x,
        const struct chunk *c, const pf_tensor *residual)
{
    const struct spatial *s = &w->spatial;
    const pf_tensor in = tokens(x);                                     // [B, hw, c]
    pf_tensor n = {0}, u = {0}, out, res;
    if (!y->data)
        PF_TRY(pf_dev_alloc(r->dev, y, x->dtype, x->ndim, x->dim));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(pf_dev_alloc(r->dev, &u, in.dtype, in.ndim, in.dim));
    const size_t inner = pf_dev_mark(r->dev);
    PF_TRY(run_norm(r, &n, &s->norm, &in, PF_NONE, NULL));
    PF_TRY(run_linear(r, &u, s->proj_in, &n, NULL));
    pf_dev_reset(r->dev, inner);
    PF_TRY(attend(r, &u, &s->block, w->heads, c, NULL, 0));
    PF_TRY(feed_forward(r, &u, &s->block, &u));
    out = tokens(y);
    if (residual)
        res = tokens(residual);
    PF_TRY(run_linear(r, &out, s->proj_out, &u,
                      &(struct pf_epilogue){.residual = residual ? &res : NULL}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* Dump layer2 itself, once. */
static pf_err
dump_layer2(struct run *r, const struct double_transformer *w, const pf_tensor *x,
            const struct chunk *c, const char *name)
{
    pf_tensor out2 = {0};
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(spatial(r, &out2, w, x, c, NULL));
    PF_TRY(pf_add(r->dev, &out2, &out2, &out2, 1.0f / w->factor - 1.0f));
    PF_TRY(dump_row(r, &out2, "%s.layer2", name));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* DoubleTransformer (networks.md, 6.1, doubled layer2): x + out1 + 2 out2. */
pf_err
double_transformer(struct run *r, pf_tensor *y, const struct double_transformer *w,
                   const pf_tensor *x, const struct chunk *c, const pf_tensor *mask,
                   const char *name)
{
    const pf_tensor *sum = x;
    if (!y->data)
        PF_TRY(pf_dev_alloc(r->dev, y, x->dtype, x->ndim, x->dim));
    if (w->spad.on) {
        PF_TRY(spad(r, y, w, x, c, mask, x));                           // x + out1
        PF_TRY(dump_difference(r, y, x, "%s.layer1", name));
        sum = y;
    }
    if (dumping(r))
        PF_TRY(dump_layer2(r, w, x, c, name));
    return spatial(r, y, w, x, c, sum);
}
