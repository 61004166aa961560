/* depth_transformer.c - DepthTransformer (networks.md, 6.4).  Norms have 8 groups and eps 1e-5.
 *
 * Keys and values are not made: a head's q k = (to_q x) (to_k C) is (to_k^T to_q x) C, and its part
 * of to_out(sum of weights to_v C) is to_out to_v (sum of weights C).  A head has n / 2 channels of
 * k and of v, and C has n, so the two maps that are left are twice as large; but they run once for
 * a pixel, and to_k and to_v ran for each of its D samples. */
#include <math.h>
#include <string.h>

#include "tools/pf-sample/depth_transformer.h"

enum { HEADS = 4 };

/* Load a map as f32 [K, C], which the caller releases. */
static pf_err
load_floats(const struct scope *n, pf_tensor *to, const char *name, int64_t K, int64_t C)
{
    pf_tensor t;
    PF_TRY(scope_matrix(n, &t, name, K, C));
    PF_TRY(pf_tensor_new_unset(to, PF_F32, 2, (int64_t[]){K, C}));
    if (!pf_dev_is_dry(n->dev))                 // weights are not read then
        pf_to_f32(to->data, t.data, t.dtype, K * C);
    return PF_OK;
}

/* to [width] = the sum over k < count of a[k * step] from[k], rows of `width`. */
static void
sum_rows(float *restrict to, const float *a, int64_t step, const float *restrict from,
         int64_t count, int64_t width)
{
    memset(to, 0, (size_t)width * sizeof *to);
    for (int64_t k = 0; k < count; k++) {
        const float by = a[k * step];
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            to[j] += by * from[k * width + j];
    }
}

/* both [HEADS * n, m] of q [m, m] and k [m, n]: head by head k^T q. */
static void
join_queries(float *both, const float *q, const float *k, int64_t m, int64_t n)
{
    const int64_t d = m / HEADS;
#pragma omp parallel for
    for (int64_t i = 0; i < HEADS * n; i++) {
        const int64_t first = i / n * d;        // row of the head
        sum_rows(both + i * m, k + first * n + i % n, n, q + first * m, d, m);
    }
}

/* both [m, HEADS * n] of out [m, m] and v [m, n]: head by head out v. */
static void
join_results(float *both, const float *out, const float *v, int64_t m, int64_t n)
{
    const int64_t d = m / HEADS;
#pragma omp parallel for
    for (int64_t i = 0; i < m * HEADS; i++) {
        const int64_t first = i % HEADS * d;
        sum_rows(both + i * n, out + i / HEADS * m + first, 1, v + first * n, d, n);
    }
}

typedef void join_maps(float *both, const float *square, const float *narrow, int64_t m, int64_t n);

/* Make the layer [rows, m * HEADS * n / rows] of maps [m, m] and [m, n]. */
static pf_err
load_joined(const struct scope *at, pf_layer **w, const char *square, const char *narrow,
            int64_t m, int64_t n, int64_t rows, join_maps *join)
{
    pf_tensor a = {0}, b = {0}, both = {0};
    pf_err err = load_floats(at, &a, square, m, m);
    if (!err)
        err = load_floats(at, &b, narrow, m, n);
    if (!err)
        err = pf_tensor_new_unset(&both, PF_F32, 2, (int64_t[]){rows, m * HEADS * n / rows});
    if (!err && !pf_dev_is_dry(at->dev))
        join(both.data, a.data, b.data, m, n);
    if (!err)
        err = pf_layer_take(at->dev, w, &both, NULL);
    pf_tensor_release(&a);
    pf_tensor_release(&b);
    return err;
}

pf_err
depth_transformer_load(struct depth_transformer *w, const struct scope *n, int c, int context)
{
    const int m = 2 * context;
    w->n = context;
    PF_TRY(scope_linear(n, &w->proj_in, "proj_in.0", m, c, true));
    PF_TRY(scope_norm(n, &w->in_norm, "proj_in.1", m, 8, 1e-5f));
    PF_TRY(scope_linear(n, &w->proj_context, "proj_context.0", context, context, false));
    PF_TRY(scope_norm(n, &w->context_norm, "proj_context.1", context, 8, 1e-5f));
    PF_TRY(load_joined(n, &w->to_q, "depth_attn.to_q", "depth_attn.to_k", m, context,
                       HEADS * context, join_queries));
    PF_TRY(load_joined(n, &w->to_out, "depth_attn.to_out", "depth_attn.to_v", m, context, m,
                       join_results));
    PF_TRY(scope_norm(n, &w->norm0, "proj_out.0", m, 8, 1e-5f));
    PF_TRY(scope_conv(n, &w->conv2, "proj_out.2", m, m, 2, 3, false));
    PF_TRY(scope_norm(n, &w->norm3, "proj_out.3", m, 8, 1e-5f));
    return scope_conv(n, &w->conv5, "proj_out.5", c, m, 2, 3, false);
}

/* Let every pixel attend to its ray.  y [B, h, w, HEADS n] */
static pf_err
depth_attention(struct run *r, pf_tensor *y, const struct depth_transformer *w, const pf_tensor *x,
                const pf_tensor *volume)
{
    pf_tensor t = {0}, q = {0}, ctx = {0};
    PF_TRY(run_linear(r, &t, w->proj_in, x, NULL));                     // [B, h, w, m]
    PF_TRY(run_norm(r, &t, &w->in_norm, &t, PF_SILU, NULL));
    PF_TRY(run_linear(r, &q, w->to_q, &t, NULL));                       // [B, h, w, HEADS n]
    PF_TRY(run_linear(r, &ctx, w->proj_context, volume, NULL));         // [B, D, h, w, n]
    PF_TRY(run_norm(r, &ctx, &w->context_norm, &ctx, PF_RELU, NULL));
    return pf_depth_attention(r->dev, y, &q, &ctx, HEADS,
                              1.0f / sqrtf((float)(2 * w->n / HEADS)));
}

pf_err
depth_transformer(struct run *r, pf_tensor *x, const struct depth_transformer *w,
                  const pf_tensor *volume)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor a = {0}, o = {0}, h = {0};
    PF_TRY(PF_ALLOC(r->dev, &a, x->dtype, x->dim[0], x->dim[1], x->dim[2], HEADS * w->n));
    const size_t inner = pf_dev_mark(r->dev);
    PF_TRY(depth_attention(r, &a, w, x, volume));                       // [B, h, w, HEADS n]
    pf_dev_reset(r->dev, inner);
    PF_TRY(run_linear(r, &o, w->to_out, &a, NULL));                     // [B, h, w, m]
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
    pf_tensor volume;
    PF_TRY(PF_KEEP(r->dev, &w->constant, pf_dev_dtype(r->dev), 1, side, side, w->conv5->K));
    PF_TRY(PF_ALLOC(r->dev, &volume, pf_dev_dtype(r->dev), 1, depth, side, side, w->n));
    PF_TRY(pf_dev_zero(r->dev, &w->constant));
    PF_TRY(pf_dev_zero(r->dev, &volume));
    PF_TRY(depth_transformer(r, &w->constant, w, &volume));             // 0 + f(anything, 0)
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}
