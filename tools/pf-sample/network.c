/* network.c - parameters by name, operators that allocate. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/pf-sample/network.h"

struct scope
scope_in(const struct scope *n, const char *fmt, ...)
{
    struct scope in = *n;
    const size_t used = strlen(in.prefix);
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(in.prefix + used, sizeof in.prefix - used, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= sizeof in.prefix - used)
        pf_bug("prefix %s is too long", in.prefix);
    return in;
}

static const char *
full_name(char buf[256], const struct scope *n, const char *name, const char *suffix)
{
    snprintf(buf, 256, "%s%s%s", n->prefix, name, suffix);
    return buf;
}

bool
scope_has(const struct scope *n, const char *prefix)
{
    char full[256];
    return pf_checkpoint_has(n->weights, full_name(full, n, prefix, ""));
}

pf_err
scope_need(const struct scope *n, pf_tensor *t, const char *full, int ndim, const int64_t *dim)
{
    static char nobody_reads;
    const bool dry = pf_dev_is_dry(n->dev);
    if (dry && ndim > 1) {
        PF_TRY(pf_checkpoint_expect(n->weights, full, t, ndim, dim));
        t->data = &nobody_reads;
        return PF_OK;
    }
    PF_TRY(pf_checkpoint_need(n->weights, full, t, ndim, dim));
    return dry || pf_dev_is_cuda(n->dev)                // scope_finite
               ? PF_OK : pf_checkpoint_expect_finite(n->weights, full, t);
}

pf_err
scope_finite(const struct scope *n)
{
    return pf_dev_odd(n->dev) ? pf_checkpoint_expect_all_finite(n->weights) : PF_OK;
}

/* A GPU has its copy of tensor number i now: what was decoded for that is of no more use. */
static void
sent(const struct scope *n, int i)
{
    pf_tensor numbers, scale;
    if (pf_dev_is_cuda(n->dev) && !pf_dev_is_dry(n->dev) &&
        pf_checkpoint_f8(n->weights, i, &numbers, &scale))
        pf_checkpoint_drop(n->weights, i);
}

/* The same of NAME.weight, of which a layer was made; err is passed on. */
static pf_err
made(const struct scope *n, const char *name, pf_err err)
{
    char full[256];
    if (!err)
        sent(n, pf_checkpoint_index(n->weights, full_name(full, n, name, ".weight")));
    return err;
}

pf_err
scope_matrix(const struct scope *n, pf_tensor *t, const char *name, int64_t K, int64_t C)
{
    char full[256];
    full_name(full, n, name, ".weight");
    const int i = pf_checkpoint_index(n->weights, full);
    const int axes = i < 0 ? 0 : pf_checkpoint_shape(n->weights, i)->ndim;
    PF_TRY(scope_need(n, t, full, axes < 2 ? 2 : axes,          // which says what is wrong
                      (int64_t[PF_MAX_DIMS]){K, C, 1, 1, 1, 1, 1, 1}));
    t->ndim = 2;
    return PF_OK;
}

pf_err
scope_bias(const struct scope *n, pf_tensor *t, const char *name, int64_t K)
{
    char full[256];
    return scope_need(n, t, full_name(full, n, name, ".bias"), 1, &K);
}

pf_err
scope_linear(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C, bool bias)
{
    pf_tensor weight, b;
    PF_TRY(scope_matrix(n, &weight, name, K, C));
    if (bias)
        PF_TRY(scope_bias(n, &b, name, K));
    return made(n, name, pf_layer_new(n->dev, w, &weight, bias ? &b : NULL, false));
}

static pf_err
load_conv(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C, int spatial,
          int kernel, bool bias, float bound)
{
    char full[256];
    pf_tensor weight, b;
    PF_TRY(scope_need(n, &weight, full_name(full, n, name, ".weight"), 2 + spatial,
                      (int64_t[]){K, C, kernel, kernel, kernel}));
    if (bias)
        PF_TRY(scope_bias(n, &b, name, K));
    return made(n, name, pf_layer_new_f8(n->dev, w, &weight, bias ? &b : NULL, bound));
}

pf_err
scope_conv(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C, int spatial,
           int kernel, bool bias)
{
    return load_conv(n, w, name, K, C, spatial, kernel, bias, 0);
}

pf_err
scope_conv_behind(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C,
                  const struct norm *norm)
{
    return load_conv(n, w, name, K, C, 2, 3, true, norm->bound);
}

pf_err
scope_conv_doubled(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C)
{
    char full[256];
    pf_tensor weight, b;
    PF_TRY(scope_need(n, &weight, full_name(full, n, name, ".weight"), 4,
                      (int64_t[]){K, C, 3, 3}));
    PF_TRY(scope_bias(n, &b, name, K));
    return made(n, name, pf_layer_new_doubled(n->dev, w, &weight, &b));
}

pf_err
scope_conv_up(const struct scope *n, pf_layer **w, const char *name, int64_t K, int64_t C)
{
    char full[256];
    pf_tensor weight, b;
    PF_TRY(scope_need(n, &weight, full_name(full, n, name, ".weight"), 5,
                      (int64_t[]){C, K, 3, 3, 3}));
    PF_TRY(scope_bias(n, &b, name, K));
    return made(n, name, pf_layer_new(n->dev, w, &weight, &b, true));
}

/* Eight standard deviations, of the channel that has the most. */
static float
bound_of(const pf_tensor *gamma, const pf_tensor *beta)
{
    enum { PART = 256 };
    const int64_t C = gamma->dim[0];
    float bound = 0;
    for (int64_t c = 0; c < C; c += PART) {
        const int64_t n = C - c < PART ? C - c : PART;
        float g[PART], b[PART];
        pf_to_f32(g, (const char *)gamma->data + (size_t)c * pf_dtype_size(gamma->dtype),
                  gamma->dtype, n);
        pf_to_f32(b, (const char *)beta->data + (size_t)c * pf_dtype_size(beta->dtype),
                  beta->dtype, n);
        for (int64_t i = 0; i < n; i++)
            bound = fmaxf(bound, fabsf(b[i]) + 8 * fabsf(g[i]));
    }
    return bound;
}

pf_err
scope_norm(const struct scope *n, struct norm *norm, const char *name, int64_t C, int groups,
           float eps)
{
    char full[256];
    pf_tensor gamma, beta;
    norm->groups = groups;
    norm->eps = eps;
    PF_TRY(scope_need(n, &gamma, full_name(full, n, name, ".weight"), 1, &C));
    PF_TRY(scope_bias(n, &beta, name, C));
    norm->bound = pf_dev_is_dry(n->dev) ? 1 : bound_of(&gamma, &beta);  // weights are not read then
    PF_TRY(pf_dev_vector(n->dev, &norm->gamma, &gamma));
    return pf_dev_vector(n->dev, &norm->beta, &beta);
}

pf_err
net_stack_add(const struct scope *n, struct net_stack *s, int64_t *offset, const char *name,
              int64_t K, int64_t C, bool bias)
{
    char full[256];
    if (s->n == NET_STACK_MAX)
        return pf_fail(PF_ESHAPE, "%s%s: more than %d blocks", n->prefix, name, NET_STACK_MAX);
    PF_TRY(scope_matrix(n, &s->weight[s->n], name, K, C));
    s->from[s->n] = pf_checkpoint_index(n->weights, full_name(full, n, name, ".weight"));
    if (bias)
        PF_TRY(scope_bias(n, &s->bias[s->n], name, K));
    if (offset)
        *offset = s->rows;
    s->rows += K;
    s->n++;
    return PF_OK;
}

pf_err
net_stack_layer(const struct scope *n, pf_layer **w, const struct net_stack *s, bool bias)
{
    PF_TRY(pf_layer_new_stack(n->dev, w, s->n, s->weight, bias ? s->bias : NULL));
    for (int i = 0; i < s->n; i++)
        sent(n, s->from[i]);
    return PF_OK;
}

pf_err
run_linear(struct run *r, pf_tensor *y, const pf_layer *w, const pf_tensor *x,
           const struct pf_epilogue *e)
{
    if (!y->data) {
        int64_t dim[PF_MAX_DIMS];
        memcpy(dim, x->dim, sizeof dim);
        dim[x->ndim - 1] = w->K;
        PF_TRY(pf_dev_alloc(r->dev, y, x->dtype, x->ndim, dim));
    }
    return pf_linear(r->dev, y, x, w, e);
}

/* Allocate y in the shape of the convolution's result. */
static pf_err
alloc_conv(struct run *r, pf_tensor *y, const pf_layer *w, const pf_tensor *x, int stride,
           int before, int after)
{
    int64_t dim[PF_MAX_DIMS] = {x->dim[0]};
    const int spatial = x->ndim - 2;
    for (int i = 0; i < spatial; i++)
        dim[1 + i] = w->transposed || w->doubled ? 2 * x->dim[1 + i]
                   : (x->dim[1 + i] + before + after - w->kernel[3 - spatial + i]) / stride + 1;
    dim[x->ndim - 1] = w->K;
    return pf_dev_alloc(r->dev, y, x->dtype, x->ndim, dim);
}

pf_err
run_conv(struct run *r, pf_tensor *y, const pf_layer *w, const pf_tensor *x, int stride, int before,
         int after, const struct pf_epilogue *e)
{
    if (!y->data)
        PF_TRY(alloc_conv(r, y, w, x, stride, before, after));
    return pf_conv(r->dev, y, x, w, stride, before, after, e);
}

pf_err
run_norm(struct run *r, pf_tensor *y, const struct norm *n, const pf_tensor *x, enum pf_act act,
         const pf_tensor *channel)
{
    if (!y->data)
        PF_TRY(pf_dev_alloc(r->dev, y, x->dtype, x->ndim, x->dim));
    if (!n->groups)
        return pf_layer_norm(r->dev, y, x, &n->gamma, &n->beta, n->eps);
    return pf_group_norm(r->dev, y, x, &n->gamma, &n->beta, n->groups, n->eps, act, channel, NULL);
}

pf_err
run_norm_conv(struct run *r, pf_tensor *y, const struct norm *n, const pf_layer *w,
              const pf_tensor *x, const pf_tensor *channel, int stride, const struct pf_epilogue *e)
{
    const pf_tensor *const scale = pf_layer_scale(w);
    pf_tensor t = {0};
    if (!y->data)
        PF_TRY(alloc_conv(r, y, w, x, stride, 1, 1));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(pf_dev_alloc(r->dev, &t, pf_scaled_dtype(r->dev, scale), x->ndim, x->dim));
    PF_TRY(pf_group_norm(r->dev, &t, x, &n->gamma, &n->beta, n->groups, n->eps, PF_SILU, channel,
                         scale));
    PF_TRY(run_conv(r, y, w, &t, stride, 1, 1, e));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

pf_err
run_cast(struct run *r, pf_tensor *y, const pf_tensor *x, pf_dtype dtype)
{
    if (x->dtype == dtype) {
        *y = *x;
        return PF_OK;
    }
    PF_TRY(pf_dev_alloc(r->dev, y, dtype, x->ndim, x->dim));
    return pf_dev_cast(r->dev, y, x);
}

pf_err
run_put(struct run *r, pf_tensor *y, const pf_tensor *host)
{
    PF_TRY(pf_dev_alloc(r->dev, y, pf_dev_dtype(r->dev), host->ndim, host->dim));
    return pf_dev_put(r->dev, y, host);
}

pf_tensor
rows(const pf_tensor *t, int64_t first, int64_t count)
{
    pf_tensor v = *t;
    v.dim[0] = 1;
    v.data = (char *)t->data + first * (int64_t)pf_tensor_bytes(&v);
    v.dim[0] = count;
    return v;
}

pf_tensor
columns(const pf_tensor *t, int64_t first, int64_t count)
{
    return PF_VIEW((char *)t->data + first * (int64_t)pf_dtype_size(t->dtype), t->dtype, 1, count);
}

pf_tensor
tokens(const pf_tensor *t)
{
    const int64_t B = t->dim[0], C = t->dim[t->ndim - 1];
    return PF_VIEW(t->data, t->dtype, B, pf_tensor_count(t) / (B * C), C);
}
