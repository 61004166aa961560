/* onednn.c - products of a layer by oneDNN.
 *
 * Each shape that a layer meets gets one primitive.  Weights are packed when the first of them is
 * made, in the order that it likes best; later shapes take the same order where oneDNN has a fast
 * primitive for it, so there is nearly always one copy.  Scratch memory comes from the arena.
 * Where the CPU computes in bf16 weights are packed so, and an input is rounded before each
 * product; what oneDNN cannot do so, such as depthwise kernels, stays f32.
 * Measured against cblas_sgemm and inner products: kernels/SPEED.md.  One file, though long: all of
 * it is about descriptors of oneDNN, which nobody else sees. */
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "common/output.h"
#include "kernels/dev_priv.h"
#include "kernels/onednn.h"
#include "kernels/vmath.h"

struct packed {                 /* the weights in one order */
    struct packed *next;
    dnnl_memory_desc_t desc;
    dnnl_memory_t memory;
    void *data;
};

struct primitive {
    struct primitive *next;
    struct pf_product shape;    /* the key */
    bool fused;                 /* does activation and residual itself */
    dnnl_data_type_t type;      /* of its input and weights: f32 or bf16 */
    dnnl_primitive_t run;
    dnnl_memory_t src, dst, bias, residual, scratch, weight;    /* weight: borrowed of packed */
    int64_t scratch_bytes, inputs;      /* inputs: numbers of src */
};

struct onednn {                 /* a layer's private part */
    struct packed *packed;
    struct primitive *primitives;
    float *bias;                /* f32 copy, or NULL */
    pf_layer *parts[8];         /* of a convolution by parity: dev's */
    bool owns_weight;
};

static pf_err
failed(dnnl_status_t status, const char *what)
{
    if (status == dnnl_out_of_memory)
        return pf_fail(PF_ENOMEM, "no memory for oneDNN's %s", what);
    return pf_fail(PF_EDEV, "oneDNN cannot make %s (status %d)", what, (int)status);
}

#define TRY_DNNL(call, what)                        \
    do {                                            \
        const dnnl_status_t s_ = (call);            \
        if (s_ != dnnl_success)                     \
            return failed(s_, what);                \
    } while (0)

pf_err
pf_onednn_new(pf_dev *dev, pf_layer *layer)
{
    struct onednn *const p = calloc(1, sizeof *p);
    if (!p)
        return pf_fail(PF_ENOMEM, "no memory for a layer");
    layer->priv = p;
    if (!layer->bias.data)
        return PF_OK;
    pf_tensor bias;
    const pf_err err = pf_dev_vector(dev, &bias, &layer->bias);
    p->bias = bias.data;
    layer->bias = bias;
    if (err) {
        free(p);
        layer->priv = NULL;
    }
    return err;
}

void
pf_onednn_take_weight(pf_layer *layer)
{
    ((struct onednn *)layer->priv)->owns_weight = true;
}

pf_layer **
pf_onednn_parts(const pf_layer *layer)
{
    return ((struct onednn *)layer->priv)->parts;
}

static void
free_primitive(struct primitive *p)
{
    dnnl_memory_t const memory[] = {p->src, p->dst, p->bias, p->residual, p->scratch};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            dnnl_memory_destroy(memory[i]);
    if (p->run)
        dnnl_primitive_destroy(p->run);
    free(p);
}

static void
free_packed(struct packed *w)
{
    if (w->memory)
        dnnl_memory_destroy(w->memory);
    free(w->data);
    free(w);
}

void
pf_onednn_free(pf_layer *layer)
{
    struct onednn *const p = layer->priv;
    if (!p)
        return;
    for (struct primitive *e = p->primitives, *next; e; e = next) {
        next = e->next;
        free_primitive(e);
    }
    for (struct packed *w = p->packed, *next; w; w = next) {
        next = w->next;
        free_packed(w);
    }
    if (p->owns_weight)
        pf_tensor_release(&layer->weight);
    free(p);
    layer->priv = NULL;
}

/* ---- descriptions ---- */

static int
axes_of(const pf_layer *l)
{
    return 2 + l->spatial;
}

/* A linear map is a convolution of width 1 over its rows where oneDNN's matrix product is not its
 * blocked one, for AVX-512, but sgemm: there a row's last bits depend on how many rows and threads
 * there are. */
static bool
as_convolution(const pf_layer *l)
{
#ifdef __x86_64__
    const int wide = dnnl_cpu_isa_avx512_core;
    return !l->spatial && ((int)dnnl_get_effective_cpu_isa() & wide) != wide;
#else
    (void)l;
    return false;               /* its library answers nothing there */
#endif
}

/* oneDNN has the channels of a depthwise weight as an axis of groups, before [K, C] of one each. */
static int
weight_axes(const pf_layer *l)
{
    return axes_of(l) + l->depthwise + as_convolution(l);
}

/* A layer's channels-last tensor of logical sizes [B, C, ...]. */
static dnnl_status_t
describe_activation(dnnl_memory_desc_t *d, const pf_layer *l, const int64_t *size,
                    dnnl_data_type_t type)
{
    dnnl_dims_t dim, stride;
    const int axes = axes_of(l) + as_convolution(l);
    int64_t step = size[1];
    memcpy(dim, size, (size_t)axes_of(l) * sizeof *dim);
    if (as_convolution(l)) {
        dim[2] = dim[0];
        dim[0] = 1;
    }
    stride[1] = 1;
    for (int i = axes - 1; i > 1; i--) {
        stride[i] = step;
        step *= dim[i];
    }
    stride[0] = step;
    return dnnl_memory_desc_init_by_strides(d, axes, dim, type, stride);
}

/* The weight's logical sizes: [C, K] for matrix products, else [K, C, ...] or [groups, 1, 1, ...];
 * and the strides of PyTorch's layout. */
static void
weight_layout(const pf_layer *l, dnnl_dims_t dim, dnnl_dims_t stride)
{
    const int axes = weight_axes(l);
    int64_t taps = 1;
    if (as_convolution(l))
        dim[2] = stride[2] = 1;
    for (int i = axes - 1; i > axes - 1 - l->spatial; i--) {
        dim[i] = l->kernel[i + 3 - axes];
        stride[i] = taps;
        taps *= dim[i];
    }
    if (l->depthwise) {
        dim[0] = l->K;
        dim[1] = dim[2] = 1;
        stride[0] = stride[1] = stride[2] = taps;
        return;
    }
    const int k = l->spatial || as_convolution(l) ? 0 : 1, c = 1 - k;
    dim[k] = l->K;
    dim[c] = l->C;
    stride[k] = l->C * taps;
    stride[c] = taps;
}

static dnnl_status_t
describe_operation(void *op, const pf_layer *l, const struct pf_product *s,
                   const dnnl_memory_desc_t *weight)
{
    dnnl_memory_desc_t src, dst, bias;
    dnnl_dims_t bias_dim = {l->K}, strides = {1}, gaps = {0}, before = {0}, after = {0};
    const int64_t apart = s->dilation ? s->dilation : 1;
    dnnl_status_t st = describe_activation(&src, l, s->src, (dnnl_data_type_t)weight->data_type);
    if (st == dnnl_success)
        st = describe_activation(&dst, l, s->dst, dnnl_f32);
    if (st != dnnl_success)
        return st;
    if (!l->spatial && !as_convolution(l)) {
        dnnl_dims_t row = {1, l->K};
        st = dnnl_memory_desc_init_by_tag(&bias, 2, row, dnnl_f32, dnnl_ab);
        return st != dnnl_success
                   ? st
                   : dnnl_matmul_desc_init(op, &src, weight, s->bias ? &bias : NULL, &dst);
    }
    st = dnnl_memory_desc_init_by_tag(&bias, 1, bias_dim, dnnl_f32, dnnl_a);
    if (st != dnnl_success)
        return st;
    for (int i = 0; i < l->spatial; i++) {
        const int64_t span = (l->kernel[i + 3 - l->spatial] - 1) * apart + 1;
        const int64_t needs = (s->dst[2 + i] - 1) * s->stride + span;
        const int64_t more = needs - s->before[i] - s->src[2 + i];
        strides[i] = s->stride;
        gaps[i] = apart - 1;
        before[i] = s->before[i];
        after[i] = more > 0 ? more : 0;
    }
    return dnnl_dilated_convolution_forward_desc_init(op, dnnl_forward_inference,
                                                      dnnl_convolution_direct, &src, weight,
                                                      s->bias ? &bias : NULL, &dst, strides, gaps,
                                                      before, after);
}

static dnnl_status_t
append_act(dnnl_post_ops_t ops, enum pf_act act)
{
    switch (act) {
    case PF_NONE: return dnnl_success;
    case PF_SILU: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_swish, 1, 0);
    case PF_RELU:
        /* A slope of 0 makes a NaN 0, which the check behind the network would not see.  What this
         * one leaves below 0 is nothing beside any other number. */
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 1e-30f, 0);
    case PF_GELU: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_erf, 0, 0);
    case PF_QUICK_GELU: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_swish, 1.702f, 0);
    case PF_LEAKY_RELU:
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, PF_LEAKY_SLOPE, 0);
    case PF_SELU:
        return dnnl_post_ops_append_eltwise(ops, PF_SELU_SCALE, dnnl_eltwise_elu, PF_SELU_ALPHA, 0);
    case PF_SIGMOID: return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_logistic, 0, 0);
    }
    return dnnl_invalid_arguments;
}

static dnnl_status_t
describe_epilogue(dnnl_primitive_attr_t attr, const pf_layer *l, const struct pf_product *s)
{
    dnnl_post_ops_t ops;
    dnnl_memory_desc_t like_y;
    dnnl_status_t st = dnnl_post_ops_create(&ops);
    if (st != dnnl_success)
        return st;
    st = append_act(ops, s->act);
    if (st == dnnl_success && s->residual == PF_PLUS_ITSELF)
        st = dnnl_post_ops_append_sum(ops, 1);
    if (st == dnnl_success && s->residual == PF_PLUS_OTHER) {
        st = describe_activation(&like_y, l, s->dst, dnnl_f32);
        if (st == dnnl_success)
            st = dnnl_post_ops_append_binary(ops, dnnl_binary_add, &like_y);
    }
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    return st;
}

/* Weights in any order that oneDNN likes. */
static pf_err
any_order(dnnl_memory_desc_t *any, const pf_layer *l, dnnl_data_type_t type)
{
    dnnl_dims_t dim, stride;
    weight_layout(l, dim, stride);
    TRY_DNNL(dnnl_memory_desc_init_by_tag(any, weight_axes(l), dim, type, dnnl_format_tag_any),
             "weights");
    return PF_OK;
}

/* A primitive description for this shape with weights in the given order.  *pd is NULL if oneDNN
 * has no such thing, or only its slow reference. */
static pf_err
find_primitive(pf_dev *dev, dnnl_primitive_desc_t *pd, const pf_layer *l,
               const struct pf_product *s, bool fused, const dnnl_memory_desc_t *order,
               bool slow_too)
{
    union {
        dnnl_matmul_desc_t matmul;
        dnnl_convolution_desc_t convolution;
    } op;
    dnnl_primitive_attr_t attr;
    *pd = NULL;
    TRY_DNNL(describe_operation(&op, l, s, order), "a product of this shape");
    TRY_DNNL(dnnl_primitive_attr_create(&attr), "attributes");
    dnnl_status_t st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success && fused)
        st = describe_epilogue(attr, l, s);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(pd, &op, attr, dev->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    if (st == dnnl_out_of_memory)
        return failed(st, "a product");
    const char *name = "";
    if (st == dnnl_success && !slow_too &&
        dnnl_primitive_desc_query(*pd, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
        strstr(name, "ref")) {
        dnnl_primitive_desc_destroy(*pd);
        st = dnnl_unimplemented;
    }
    if (st != dnnl_success)
        *pd = NULL;
    return PF_OK;
}

/* May oneDNN do activation and residual itself?  It cannot add before an activation, and leaves
 * another tensor out where no tap of a dilated kernel but the middle one is inside (2.6.3). */
static bool
may_fuse(const struct pf_product *s)
{
    if (s->act == PF_NONE || s->residual == PF_ALONE)
        return true;
    return s->residual == PF_PLUS_OTHER && s->dilation < 2;
}

/* Best first: fused with the packed weights' order, fused with any; then the same not fused.  *pd
 * is NULL if oneDNN has none of them for this type. */
static pf_err
choose_for_type(pf_dev *dev, dnnl_primitive_desc_t *pd, const pf_layer *l,
                const struct pf_product *s, bool *fused, dnnl_data_type_t type)
{
    const struct onednn *const p = l->priv;
    const bool plain = s->act == PF_NONE && s->residual == PF_ALONE;
    dnnl_memory_desc_t any;
    PF_TRY(any_order(&any, l, type));
    for (*fused = may_fuse(s);; *fused = false) {
        for (const struct packed *w = p->packed; w; w = w->next) {
            if ((dnnl_data_type_t)w->desc.data_type != type)
                continue;
            PF_TRY(find_primitive(dev, pd, l, s, *fused, &w->desc, false));
            if (*pd)
                return PF_OK;
        }
        PF_TRY(find_primitive(dev, pd, l, s, *fused, &any, false));
        if (*pd || plain || !*fused)
            return PF_OK;
    }
}

/* bf16 if that is wished and there is such a thing, else f32; at last whatever there is. */
static pf_err
choose_primitive(pf_dev *dev, dnnl_primitive_desc_t *pd, const pf_layer *l,
                 const struct pf_product *s, bool *fused, dnnl_data_type_t *type)
{
    dnnl_memory_desc_t any;
    *type = dnnl_bf16;
    *pd = NULL;
    if (dev->halves && !l->depthwise)
        PF_TRY(choose_for_type(dev, pd, l, s, fused, *type));
    if (*pd)
        return PF_OK;
    *type = dnnl_f32;
    PF_TRY(choose_for_type(dev, pd, l, s, fused, *type));
    if (*pd)
        return PF_OK;
    PF_TRY(any_order(&any, l, *type));
    PF_TRY(find_primitive(dev, pd, l, s, *fused, &any, true));
    return *pd ? PF_OK : pf_fail(PF_EDEV, "oneDNN has no product of this shape");
}

/* ---- weights ---- */

/* The weight as f32 in PyTorch's order, or the first packed copy where the former is gone. */
static pf_err
plain_weight(const pf_layer *l, pf_tensor *t, dnnl_memory_desc_t *desc)
{
    const struct onednn *const p = l->priv;
    dnnl_dims_t dim, stride;
    if (!l->weight.data) {
        *desc = p->packed->desc;
        *t = PF_VIEW(p->packed->data, PF_F32, 1);
        return PF_OK;
    }
    weight_layout(l, dim, stride);
    TRY_DNNL(dnnl_memory_desc_init_by_strides(desc, weight_axes(l), dim, dnnl_f32, stride),
             "weights");
    if (l->weight.dtype == PF_F32) {
        *t = l->weight;
        return PF_OK;
    }
    PF_TRY(pf_tensor_new_unset(t, PF_F32, l->weight.ndim, l->weight.dim));
    pf_to_f32(t->data, l->weight.data, l->weight.dtype, pf_tensor_count(t));
    return PF_OK;
}

/* oneDNN crashes where there is no memory for the code that it writes. */
static dnnl_status_t
create_primitive(dnnl_primitive_t *to, const_dnnl_primitive_desc_t pd)
{
    const char *const was = pf_output_blame("oneDNN");
    const dnnl_status_t st = dnnl_primitive_create(to, pd);
    pf_output_blame(was);
    return st;
}

static pf_err
reorder(pf_dev *dev, struct packed *to, const dnnl_memory_desc_t *from, void *data)
{
    dnnl_memory_t src = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t run = NULL;
    dnnl_status_t st = dnnl_memory_create(&src, from, dev->engine, data);
    if (st == dnnl_success)
        st = dnnl_reorder_primitive_desc_create(&pd, from, dev->engine, &to->desc, dev->engine,
                                                NULL);
    if (st == dnnl_success)
        st = create_primitive(&run, pd);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, to->memory}};
    if (st == dnnl_success)
        st = dnnl_primitive_execute(run, dev->stream, 2, args);
    if (st == dnnl_success)
        st = dnnl_stream_wait(dev->stream);
    if (run)
        dnnl_primitive_destroy(run);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (src)
        dnnl_memory_destroy(src);
    return st == dnnl_success ? PF_OK : failed(st, "packed weights");
}

/* Memory for w->desc, and the layer's weight in it. */
static pf_err
fill_packed(pf_dev *dev, const pf_layer *l, struct packed *w, size_t bytes)
{
    pf_tensor plain = {0};
    dnnl_memory_desc_t plain_desc;
    pf_err err = PF_OK;
    if (!(w->data = pf_memory_new(bytes)))
        return pf_fail(PF_ENOMEM, "no memory for %.1f MB of packed weights", (double)bytes / 1e6);
    if (bytes > (size_t)pf_tensor_count(&l->weight) * sizeof(float))
        memset(w->data, 0, bytes);              /* the padding, too */
    const dnnl_status_t st = dnnl_memory_create(&w->memory, &w->desc, dev->engine, w->data);
    if (st != dnnl_success)
        err = failed(st, "packed weights");
    if (!err)
        err = plain_weight(l, &plain, &plain_desc);
    if (!err)
        err = reorder(dev, w, &plain_desc, plain.data);
    if (plain.data && plain.data != l->weight.data && l->weight.data)
        pf_tensor_release(&plain);
    if (!err && ((struct onednn *)l->priv)->owns_weight) {
        free(l->weight.data);                   /* another order is made from this one */
        ((pf_layer *)(uintptr_t)l)->weight.data = NULL;
    }
    return err;
}

static pf_err
pack_weight(pf_dev *dev, const pf_layer *l, const dnnl_memory_desc_t *desc, struct packed **out)
{
    struct onednn *const p = l->priv;
    for (struct packed *w = p->packed; w; w = w->next)
        if (dnnl_memory_desc_equal(&w->desc, desc)) {
            *out = w;
            return PF_OK;
        }
    const size_t bytes = (dnnl_memory_desc_get_size(desc) + 63) / 64 * 64;
    struct packed *const w = calloc(1, sizeof *w);
    if (!w)
        return pf_fail(PF_ENOMEM, "no memory for packed weights");
    w->desc = *desc;
    const pf_err err = dev->dry ? PF_OK : fill_packed(dev, l, w, bytes);
    if (err) {
        free_packed(w);
        return err;
    }
    w->next = p->packed;
    p->packed = w;
    dev->kept += bytes;
    *out = w;
    return PF_OK;
}

/* ---- primitives ---- */

static int64_t
count(const int64_t *size, int axes)
{
    int64_t n = 1;
    for (int i = 0; i < axes; i++)
        n *= size[i];
    return n;
}

static pf_err
make_memories(pf_dev *dev, struct primitive *e, const pf_layer *l, dnnl_primitive_desc_t pd)
{
    dnnl_memory_desc_t src, dst;
    void *const none = DNNL_MEMORY_NONE;
    const dnnl_memory_desc_t *const scratch =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    TRY_DNNL(describe_activation(&src, l, e->shape.src, e->type), "a tensor");
    TRY_DNNL(describe_activation(&dst, l, e->shape.dst, dnnl_f32), "a tensor");
    TRY_DNNL(dnnl_memory_create(&e->src, &src, dev->engine, none), "a tensor");
    TRY_DNNL(dnnl_memory_create(&e->dst, &dst, dev->engine, none), "a tensor");
    TRY_DNNL(dnnl_memory_create(&e->residual, &dst, dev->engine, none), "a tensor");
    TRY_DNNL(dnnl_memory_create(&e->scratch, scratch, dev->engine, none), "a tensor");
    e->scratch_bytes = (int64_t)dnnl_memory_desc_get_size(scratch);
    e->inputs = count(e->shape.src, axes_of(l));
    if (e->shape.bias)
        TRY_DNNL(dnnl_memory_create(&e->bias,
                                    dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1),
                                    dev->engine, none),
                 "a tensor");
    return PF_OK;
}

static pf_err
make_primitive(pf_dev *dev, const pf_layer *l, const struct pf_product *s, struct primitive **out)
{
    struct onednn *const p = l->priv;
    struct packed *weight = NULL;
    dnnl_primitive_desc_t pd;
    struct primitive *const e = calloc(1, sizeof *e);
    if (!e)
        return pf_fail(PF_ENOMEM, "no memory for a primitive");
    e->shape = *s;
    pf_err err = choose_primitive(dev, &pd, l, s, &e->fused, &e->type);
    if (err) {
        free_primitive(e);
        return err;
    }
    err = pack_weight(dev, l, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), &weight);
    if (!err)
        err = make_memories(dev, e, l, pd);
    if (!err && !dev->dry) {
        const dnnl_status_t st = create_primitive(&e->run, pd);
        err = st == dnnl_success ? PF_OK : failed(st, "a primitive");
    }
    dnnl_primitive_desc_destroy(pd);
    if (err) {
        free_primitive(e);
        return err;
    }
    e->weight = weight->memory;
    e->next = p->primitives;
    p->primitives = e;
    *out = e;
    return PF_OK;
}

static pf_err
get_primitive(pf_dev *dev, const pf_layer *l, const struct pf_product *s, struct primitive **out)
{
    struct onednn *const p = l->priv;
    for (*out = p->primitives; *out; *out = (*out)->next)
        if (!memcmp(&(*out)->shape, s, sizeof *s))
            return PF_OK;
    return make_primitive(dev, l, s, out);
}

/* x as what the primitive reads. */
static pf_err
round_input(pf_dev *dev, const void **to, const float *x, int64_t n)
{
    enum { PART = 16384 };
    pf_tensor rounded;
    PF_TRY(PF_ALLOC(dev, &rounded, PF_BF16, n));
    *to = rounded.data;
#pragma omp parallel for if (n > PART)
    for (int64_t i = 0; i < (dev->dry ? 0 : n); i += PART)
        pf_from_f32((uint16_t *)rounded.data + i, x + i, PF_BF16, n - i < PART ? n - i : PART);
    return PF_OK;
}

static pf_err
execute(pf_dev *dev, struct primitive *e, float *y, const float *x, const float *bias,
        const float *residual)
{
    dnnl_exec_arg_t args[6] = {
        {DNNL_ARG_SRC, e->src}, {DNNL_ARG_DST, e->dst}, {DNNL_ARG_WEIGHTS, e->weight}};
    int n = 3;
    pf_tensor scratch = {0};
    const void *input = x;
    if (e->type == dnnl_bf16)
        PF_TRY(round_input(dev, &input, x, e->inputs));
    if (e->scratch_bytes)
        PF_TRY(PF_ALLOC(dev, &scratch, PF_U8, e->scratch_bytes));
    if (dev->dry)
        return PF_OK;
    if (scratch.data) {
        dnnl_memory_set_data_handle(e->scratch, scratch.data);
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, e->scratch};
    }
    dnnl_memory_set_data_handle(e->src, (void *)(uintptr_t)input);
    dnnl_memory_set_data_handle(e->dst, y);
    if (bias) {
        dnnl_memory_set_data_handle(e->bias, (void *)(uintptr_t)bias);
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, e->bias};
    }
    if (e->fused && e->shape.residual == PF_PLUS_OTHER) {
        const int at = e->shape.act != PF_NONE;         /* its place behind the activation */
        dnnl_memory_set_data_handle(e->residual, (void *)(uintptr_t)residual);
        args[n++] =
            (dnnl_exec_arg_t){DNNL_ARG_ATTR_MULTIPLE_POST_OP(at) | DNNL_ARG_SRC_1, e->residual};
    }
    dnnl_status_t st = dnnl_primitive_execute(e->run, dev->stream, n, args);
    if (st == dnnl_success)
        st = dnnl_stream_wait(dev->stream);
    return st == dnnl_success ? PF_OK : failed(st, "a product");
}

static void
copy(float *to, const float *from, int64_t n)
{
    enum { PART = 16384 };
#pragma omp parallel for if (n > PART)
    for (int64_t i = 0; i < n; i += PART)
        memcpy(to + i, from + i, (size_t)(n - i < PART ? n - i : PART) * sizeof *to);
}

/* y = act(product) + residual, for what oneDNN does not fuse. */
static void
finish(float *y, const float *product, const float *residual, int64_t n, enum pf_act act)
{
    enum { PART = 4096 };
#pragma omp parallel for
    for (int64_t i = 0; i < n; i += PART) {
        const int64_t m = n - i < PART ? n - i : PART;
        if (!residual) {
            pf_act_row(y + i, product + i, m, act);
            continue;
        }
        float part[PART];
        pf_act_row(part, product + i, m, act);
#pragma omp simd
        for (int64_t j = 0; j < m; j++)
            y[i + j] = part[j] + residual[i + j];
    }
}

static pf_err
run_in_scratch(pf_dev *dev, const pf_layer *layer, const struct pf_product *shape, float *y,
               const float *x, const float *bias, enum pf_act act, const float *residual)
{
    struct pf_product s = *shape;
    struct primitive *e;
    const int64_t n = count(s.dst, axes_of(layer));
    if ((layer->spatial || as_convolution(layer)) && residual && residual != y && act == PF_NONE) {
        if (!dev->dry)        /* oneDNN's fast convolution adds to its output, not another tensor */
            copy(y, residual, n);
        residual = y;
    }
    s.act = act;
    s.bias = bias != NULL;
    s.residual = !residual ? PF_ALONE : residual == y ? PF_PLUS_ITSELF : PF_PLUS_OTHER;
    PF_TRY(get_primitive(dev, layer, &s, &e));
    if (e->fused)
        return execute(dev, e, y, x, bias, residual);
    pf_tensor product = PF_VIEW(y, PF_F32, n);
    if (residual == y)
        PF_TRY(PF_ALLOC(dev, &product, PF_F32, n));
    PF_TRY(execute(dev, e, product.data, x, bias, NULL));
    if (!dev->dry)
        finish(y, product.data, residual, n, act);
    return PF_OK;
}

/* y = act(product + bias) + residual.  shape gives src, dst, stride and before; the rest of it is
 * found here.  bias [K] or NULL; residual like y or NULL, may be y. */
static pf_err
run(pf_dev *dev, const pf_layer *layer, const struct pf_product *shape, float *y, const float *x,
    const float *bias, enum pf_act act, const float *residual)
{
    const size_t mark = pf_dev_mark(dev);
    const pf_err err = run_in_scratch(dev, layer, shape, y, x, bias, act, residual);
    pf_dev_reset(dev, mark);
    return err;
}

/* Rows of channel are added to the bias.  Where each element of the batch has its own, the
 * elements are done one by one. */
static pf_err
run_rows(pf_dev *dev, const pf_layer *layer, const struct pf_product *shape, pf_tensor *y,
         const pf_tensor *x, const struct pf_epilogue *e)
{
    const int64_t K = layer->K, rows = e->channel->dim[0];
    const float *const own = ((const struct onednn *)layer->priv)->bias;
    const float *const channel = e->channel->data;
    struct pf_product part = *shape;
    const int64_t nx = pf_tensor_count(x) / rows, ny = pf_tensor_count(y) / rows;
    pf_tensor bias;
    part.src[0] /= rows;
    part.dst[0] /= rows;
    PF_TRY(PF_ALLOC(dev, &bias, PF_F32, K));
    float *const sum = bias.data;
    for (int64_t b = 0; b < rows; b++) {
        for (int64_t k = 0; k < K && !dev->dry; k++)
            sum[k] = channel[b * K + k] + (own ? own[k] : 0);
        PF_TRY(run(dev, layer, &part, (float *)y->data + b * ny, (const float *)x->data + b * nx,
                   sum, e->act, e->residual ? (const float *)e->residual->data + b * ny : NULL));
    }
    return PF_OK;
}

pf_err
pf_onednn_run(pf_dev *dev, const pf_layer *layer, const struct pf_product *shape, pf_tensor *y,
               const pf_tensor *x, const struct pf_epilogue *e)
{
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (!e || !e->channel)
        return run(dev, layer, shape, y->data, x->data, ((const struct onednn *)layer->priv)->bias,
                   e ? e->act : PF_NONE, e && e->residual ? e->residual->data : NULL);
    const size_t mark = pf_dev_mark(dev);
    const pf_err err = run_rows(dev, layer, shape, y, x, e);
    pf_dev_reset(dev, mark);
    return err;
}
