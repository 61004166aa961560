/* depth_transformer.c - DepthTransformer (networks.md, 6.4).  Norms have 8 groups and eps 1e-5. */
#include <math.h>

#include "tools/pf-sample/depth_transformer.h"

enum { HEADS = 4 };

pf_err
depth_transformer_load(struct depth_transformer *w, const struct scope *n, int c, int context)
{
    const int m = 2 * context;
    struct net_stack kv = {0};
    w->n = context;
    PF_TRY(scope_linear(n, &w->proj_in, "proj_in.0", m, c, true));
    PF_TRY(scope_norm(n, &w->in_norm, "proj_in.1", m, 8, 1e-5f));
    PF_TRY(scope_linear(n, &w->proj_context, "proj_context.0", context, context, false));
    PF_TRY(scope_norm(n, &w->context_norm, "proj_context.1", context, 8, 1e-5f));
    PF_TRY(scope_linear(n, &w->to_q, "depth_attn.to_q", m, m, false));
    PF_TRY(net_stack_add(n, &kv, NULL, "depth_attn.to_k", m, context, false));
    PF_TRY(net_stack_add(n, &kv, NULL, "depth_attn.to_v", m, context, false));
    PF_TRY(net_stack_layer(n, &w->to_kv, &kv, false));
    PF_TRY(scope_linear(n, &w->to_out, "depth_attn.to_out", m, m, false));
    PF_TRY(scope_norm(n, &w->norm0, "proj_out.0", m, 8, 1e-5f));
    PF_TRY(scope_conv(n, &w->conv2, "proj_out.2", m, m, 2, 3, false));
    PF_TRY(scope_norm(n, &w->norm3, "proj_out.3", m, 8, 1e-5f));
    return scope_conv(n, &w->conv5, "proj_out.5", c, m, 2, 3, false);
}

/* Let every pixel attend to its ray.  y [B, h, w, m] */
static pf_err
depth_attention(struct run *r, pf_tensor *y, const struct depth_transformer *w, const pf_tensor *x,
                const pf_tensor *volume)
{
    pf_tensor t = {0}, q = {0}, ctx = {0}, kv = {0};
    PF_TRY(run_linear(r, &t, w->proj_in, x, NULL));                     // [B, h, w, m]
    PF_TRY(run_norm(r, &t, &w->in_norm, &t, PF_SILU, NULL));
    PF_TRY(run_linear(r, &q, w->to_q, &t, NULL));                       // [B, h, w, m]
    PF_TRY(run_linear(r, &ctx, w->proj_context, volume, NULL));         // [B, D, h, w, n]
    PF_TRY(run_norm(r, &ctx, &w->context_norm, &ctx, PF_RELU, NULL));
    PF_TRY(run_linear(r, &kv, w->to_kv, &ctx, NULL));                   // [B, D, h, w, 2m]
    return pf_depth_attention(r->dev, y, &q, &kv, HEADS, 1.0f / sqrtf((float)(2 * w->n / HEADS)));
}

pf_err
depth_transformer(struct run *r, pf_tensor *x, const struct depth_transformer *w,
                  const pf_tensor *volume)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor a = {0}, o = {0}, h = {0};
    PF_TRY(PF_ALLOC(r->dev, &a, x->dtype, x->dim[0], x->dim[1], x->dim[2], 2 * w->n));
    const size_t inner = pf_dev_mark(r->dev);
    PF_TRY(depth_attention(r, &a, w, x, volume));                       // [B, h, w, m]
    pf_dev_reset(r->dev, inner);
    PF_TRY(run_linear(r, &o, w->to_out, &a, NULL));
    PF_TRY(run_norm(r, &o, &w->norm0, &o, PF_RELU, NULL));
    PF_TRY(run_conv(r, &h, w->conv2, &o, 1, 1, 1, NULL));               // [B, h, w, m]
    PF_TRY(run_norm(r, &h, &w->norm3, &h, PF_RELU, NULL));
    PF_TRY(run_conv(r, x, w->conv5, &h, 1, 1, 1, &(struct pf_epilogue){.residual = x}));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

pf_err
depth_transformer_constant(struct run *r, struct depth_transformer *w, int depth, int side)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor zeros = {0}, volume = {0};
    pf_err err;
    PF_TRY(PF_KEEP(r->dev, &w->constant, pf_dev_dtype(r->dev), 1, side, side, w->conv5->K));
    PF_TRY(PF_TENSOR_NEW(&zeros, PF_F32, 1, depth, side, side, w->n));
    err = run_put(r, &volume, &zeros);
    pf_tensor_release(&zeros);
    PF_TRY(err);
    PF_TRY(PF_TENSOR_NEW(&zeros, PF_F32, 1, side, side, w->conv5->K));
    err = pf_dev_put(r->dev, &w->constant, &zeros);
    pf_tensor_release(&zeros);
    PF_TRY(err);
    PF_TRY(depth_transformer(r, &w->constant, w, &volume));             // 0 + f(anything, 0)
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}
