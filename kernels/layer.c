/* layer.c - layers: the check of their parameters, and weights that are cut or stacked.  What the
 * device makes of a weight is in onednn.c and layer.cu. */
#include <stdlib.h>
#include <string.h>

#include "kernels/dev_priv.h"
#include "kernels/layer.h"
#include "kernels/onednn.h"

static pf_err
check_layer(const pf_tensor *weight, const pf_tensor *bias, bool transposed, int64_t K)
{
    char a[128];
    bool ok =
        pf_is_float(weight->dtype) && (weight->ndim == 2 || weight->ndim == 4 || weight->ndim == 5);
    for (int i = 0; ok && i < weight->ndim; i++)
        ok = weight->dim[i] > 0;
    if (!ok)
        return pf_fail(PF_ESHAPE,
                       "weight is %s, expected floats [K, C], [K, C, h, w] or [K, C, d, h, w]",
                       pf_tensor_describe(a, sizeof a, weight));
    if (transposed && weight->ndim != 5)
        return pf_fail(PF_ESHAPE, "weight is %s, a transposed convolution's is [C, K, 3, 3, 3]",
                       pf_tensor_describe(a, sizeof a, weight));
    for (int i = 2; transposed && i < 5; i++)
        if (weight->dim[i] != 3)
            return pf_fail(PF_ESHAPE, "weight is %s, a transposed convolution's is [C, K, 3, 3, 3]",
                           pf_tensor_describe(a, sizeof a, weight));
    if (bias && bias->data && (!pf_is_float(bias->dtype) || bias->ndim != 1 || bias->dim[0] != K))
        return pf_fail(PF_ESHAPE, "bias is %s, expected floats [%lld] for %lld output channels",
                       pf_tensor_describe(a, sizeof a, bias), (long long)K, (long long)K);
    return PF_OK;
}

static void
release_layer(pf_dev *dev, void *layer, size_t size)
{
    (void)size;
    if (PF_CUDA && dev->cuda)
        pf_cuda_layer_free(layer);
    else
        pf_onednn_free(layer);
    free(layer);
}

/* A layer that begins as form says. */
static pf_err
new_layer(pf_dev *dev, pf_layer **layer, const pf_layer *form, const pf_tensor *bias)
{
    pf_layer *const l = calloc(1, sizeof *l);
    if (!l)
        return pf_fail(PF_ENOMEM, "no memory for a layer");
    *l = *form;
    for (int i = 0; i < 3; i++)
        l->kernel[i] = 1;
    for (int i = 2; i < l->weight.ndim; i++) {
        l->kernel[i + 3 - l->weight.ndim] = l->weight.dim[i];
        if (l->weight.dim[i] > 1 || l->depthwise)
            l->spatial = l->weight.ndim - 2;
    }
    if (bias && bias->data)
        l->bias = *bias;
    if (!pf_dev_f8(dev) || !l->spatial || l->C % 64 || l->K % 8)    /* what conv_hopper.cu can do */
        l->bound = 0;
    pf_err err = PF_CUDA && dev->cuda ? pf_cuda_layer_new(dev, l) : pf_onednn_new(dev, l);
    if (err) {
        free(l);
        return err;
    }
    if ((err = pf_dev_at_close(dev, release_layer, l, 0))) {
        release_layer(dev, l, 0);
        return err;
    }
    *layer = l;
    return PF_OK;
}

static pf_err
new_whole(pf_dev *dev, pf_layer **layer, const pf_tensor *weight, const pf_tensor *bias,
          bool transposed, float bound)
{
    *layer = NULL;
    const pf_layer form = {.K = weight->dim[transposed ? 1 : 0],
                           .C = weight->dim[transposed ? 0 : 1],
                           .transposed = transposed,
                           .weight = *weight,
                           .bound = bound};
    PF_TRY(check_layer(weight, bias, transposed, form.K));
    return new_layer(dev, layer, &form, bias);
}

pf_err
pf_layer_new(pf_dev *dev, pf_layer **layer, const pf_tensor *weight, const pf_tensor *bias,
             bool transposed)
{
    return new_whole(dev, layer, weight, bias, transposed, 0);
}

pf_err
pf_layer_new_f8(pf_dev *dev, pf_layer **layer, const pf_tensor *weight, const pf_tensor *bias,
                float bound)
{
    return new_whole(dev, layer, weight, bias, false, bound);
}

/* The new layer takes its weight: freed when it has been packed. */
static pf_err
taken(pf_dev *dev, pf_layer *layer, pf_tensor *weight, pf_err err)
{
    if (err || (PF_CUDA && dev->cuda))          /* a GPU has its copy */
        pf_tensor_release(weight);
    else
        pf_onednn_take_weight(layer);
    return err;
}

static pf_err
take_layer(pf_dev *dev, pf_layer **layer, pf_tensor *weight, const pf_tensor *bias)
{
    const pf_err err = pf_layer_new(dev, layer, weight, bias, false);
    return taken(dev, *layer, weight, err);
}

pf_err
pf_layer_new_depthwise(pf_dev *dev, pf_layer **layer, const pf_tensor *weight,
                       const pf_tensor *bias)
{
    *layer = NULL;
    PF_TRY(check_layer(weight, bias, false, weight->dim[0]));
    if (weight->ndim != 4 || weight->dim[1] != 1)
        return pf_fail(PF_ESHAPE, "weight of %d axes, the second %lld: a depthwise one is "
                       "[C, 1, h, w]", weight->ndim, (long long)weight->dim[1]);
    pf_layer form = {.K = weight->dim[0], .C = weight->dim[0], .depthwise = true,
                     .weight = *weight};
    if (dev->dry)                               /* the shape is all that counts */
        return new_layer(dev, layer, &form, bias);
    PF_TRY(pf_tensor_new_unset(&form.weight, PF_F32, 4, weight->dim));
    pf_to_f32(form.weight.data, weight->data, weight->dtype, pf_tensor_count(weight));
    const pf_err err = new_layer(dev, layer, &form, bias);
    return taken(dev, *layer, &form.weight, err);
}

pf_err
pf_layer_new_doubled(pf_dev *dev, pf_layer **layer, const pf_tensor *weight, const pf_tensor *bias)
{
    const pf_layer form = {.K = weight->dim[0], .C = weight->dim[1], .doubled = true,
                           .weight = *weight};
    char a[128];
    *layer = NULL;
    PF_TRY(check_layer(weight, bias, false, form.K));
    if (weight->ndim != 4 || weight->dim[2] != 3 || weight->dim[3] != 3)
        return pf_fail(PF_ESHAPE, "weight is %s, that of doubled pixels is [K, C, 3, 3]",
                       pf_tensor_describe(a, sizeof a, weight));
    return new_layer(dev, layer, &form, bias);
}

pf_err
pf_layer_take(pf_dev *dev, pf_layer **layer, pf_tensor *weight, const pf_tensor *bias)
{
    *layer = NULL;
    const pf_err err = take_layer(dev, layer, weight, bias);
    *weight = (pf_tensor){0};
    return err;
}

pf_err
pf_layer_new_slice(pf_dev *dev, pf_layer **layer, const pf_tensor *weight, const pf_tensor *bias,
                   int64_t c0, int64_t c1)
{
    *layer = NULL;
    PF_TRY(check_layer(weight, bias, false, weight->dim[0]));
    const int64_t K = weight->dim[0], C = weight->dim[1];
    if (c0 < 0 || c1 <= c0 || c1 > C)
        return pf_fail(PF_ESHAPE, "input channels %lld..%lld are not among the weight's %lld",
                       (long long)c0, (long long)c1 - 1, (long long)C);
    pf_tensor part, shape = *weight;
    shape.dim[1] = c1 - c0;
    if (dev->dry)                               /* the shape is all that counts */
        return pf_layer_new(dev, layer, &shape, bias, false);
    PF_TRY(pf_tensor_new_unset(&part, weight->dtype, shape.ndim, shape.dim));
    const size_t line = pf_tensor_bytes(weight) / (size_t)(K * C), row = line * (size_t)(c1 - c0);
    for (int64_t k = 0; k < K; k++)
        memcpy((char *)part.data + (size_t)k * row,
               (const char *)weight->data + line * (size_t)(k * C + c0), row);
    return take_layer(dev, layer, &part, bias);
}

/* to [K, C] = a b, rows ROWS at a time: they share what is read of b. */
static void
multiply(float *to, const float *a, const float *b, int64_t K, int64_t M, int64_t C)
{
    enum { ROWS = 4, COLUMNS = 256 };
#pragma omp parallel for collapse(2)
    for (int64_t k0 = 0; k0 < K; k0 += ROWS)
        for (int64_t c0 = 0; c0 < C; c0 += COLUMNS) {
            const int64_t n = C - c0 < COLUMNS ? C - c0 : COLUMNS,
                          rows = K - k0 < ROWS ? K - k0 : ROWS;
            float sum[ROWS][COLUMNS] = {0};
            for (int64_t m = 0; m < M; m++)
                for (int64_t r = 0; r < rows; r++) {
                    const float by = a[(k0 + r) * M + m], *const row = b + m * C + c0;
#pragma omp simd
                    for (int64_t j = 0; j < n; j++)
                        sum[r][j] += by * row[j];
                }
            for (int64_t r = 0; r < rows; r++)
                memcpy(to + (k0 + r) * C + c0, sum[r], (size_t)n * sizeof(float));
        }
}

static pf_err
product_on_host(pf_tensor *weight, const pf_tensor factor[2])
{
    const int64_t K = factor[0].dim[0], M = factor[1].dim[0], C = factor[1].dim[1];
    pf_tensor f[2] = {0};
    pf_err err = PF_TENSOR_NEW(weight, PF_F32, K, C);
    for (int i = 0; i < 2 && !err; i++) {
        err = pf_tensor_new_unset(&f[i], PF_F32, 2, factor[i].dim);
        if (!err)
            pf_to_f32(f[i].data, factor[i].data, factor[i].dtype, pf_tensor_count(&f[i]));
    }
    if (!err)
        multiply(weight->data, f[0].data, f[1].data, K, M, C);
    else
        pf_tensor_release(weight);
    pf_tensor_release(&f[0]);
    pf_tensor_release(&f[1]);
    return err;
}

pf_err
pf_layer_new_product(pf_dev *dev, pf_layer **layer, const pf_tensor *a, const pf_tensor *b,
                     const pf_tensor *bias)
{
    const pf_tensor factor[] = {*a, *b};
    *layer = NULL;
    PF_TRY(check_layer(a, bias, false, a->dim[0]));
    PF_TRY(check_layer(b, NULL, false, b->dim[0]));
    if (a->ndim != 2 || b->ndim != 2 || a->dim[1] != b->dim[0])
        return pf_fail(PF_ESHAPE, "a product of a map of %lld inputs and one of %lld outputs",
                       (long long)a->dim[1], (long long)b->dim[0]);
    pf_tensor weight = PF_VIEW(b->data, PF_F32, a->dim[0], b->dim[1]);
    if (!(PF_CUDA && dev->cuda)) {
        if (dev->dry)                           /* the shape is all that counts */
            return pf_layer_new(dev, layer, &weight, bias, false);
        PF_TRY(product_on_host(&weight, factor));
        return take_layer(dev, layer, &weight, bias);
    }
    const pf_layer form = {.K = a->dim[0], .C = b->dim[1], .weight = weight, .factors = factor};
    PF_TRY(new_layer(dev, layer, &form, bias));
    (*layer)->factors = NULL;                   /* they are the caller's */
    (*layer)->weight.data = NULL;
    return PF_OK;
}

/* Of the shape of all, whose memory is nobody's: a GPU packs one after the other. */
static pf_err
stack_on_gpu(pf_dev *dev, pf_layer **layer, const pf_tensor *all, const pf_tensor *weights,
             const pf_tensor *bias)
{
    const pf_layer form = {.K = all->dim[0], .C = all->dim[1], .weight = *all, .parts = weights};
    PF_TRY(new_layer(dev, layer, &form, bias));
    (*layer)->parts = NULL;                     /* they are the caller's */
    (*layer)->weight.data = NULL;
    return PF_OK;
}

static pf_err
stack_on_host(pf_dev *dev, pf_layer **layer, int n, pf_tensor *all, const pf_tensor *weights,
              const pf_tensor *bias)
{
    const int64_t C = all->dim[1];
    pf_dtype type = weights[0].dtype;           /* of all of them, else F32 */
    for (int i = 1; i < n; i++)
        type = weights[i].dtype == type ? type : PF_F32;
    PF_TRY(pf_tensor_new_unset(all, type, 2, all->dim));
    for (int64_t i = 0, k = 0; i < n; k += weights[i++].dim[0]) {
        char *const to = (char *)all->data + (size_t)(k * C) * pf_dtype_size(type);
        if (weights[i].dtype == type)
            pf_copy_numbers(to, weights[i].data, type, weights[i].dim[0] * C);
        else
            pf_to_f32((float *)to, weights[i].data, weights[i].dtype, weights[i].dim[0] * C);
    }
    return take_layer(dev, layer, all, bias);
}

pf_err
pf_layer_new_stack(pf_dev *dev, pf_layer **layer, int n, const pf_tensor *weights,
                   const pf_tensor *biases)
{
    *layer = NULL;
    int64_t K = 0;
    for (int i = 0; i < n; i++) {
        PF_TRY(check_layer(&weights[i], biases ? &biases[i] : NULL, false, weights[i].dim[0]));
        if (weights[i].ndim != 2 || weights[i].dim[1] != weights[0].dim[1])
            return pf_fail(PF_ESHAPE, "weight %d of a stack has %lld inputs, the first has %lld", i,
                           (long long)weights[i].dim[1], (long long)weights[0].dim[1]);
        K += weights[i].dim[0];
    }
    if (n < 1)
        return pf_fail(PF_ESHAPE, "a stack of no weights");
    const int64_t C = weights[0].dim[1];
    pf_tensor all = PF_VIEW(weights[0].data, PF_F32, K, C), bias = PF_VIEW(all.data, PF_F32, K);
    if (dev->dry)                               /* the shapes are all that counts */
        return pf_layer_new(dev, layer, &all, biases ? &bias : NULL, false);
    bias = (pf_tensor){0};
    if (biases)
        PF_TRY(PF_TENSOR_NEW(&bias, PF_F32, K));
    for (int64_t i = 0, k = 0; biases && i < n; k += weights[i++].dim[0])
        if (biases[i].data)
            pf_to_f32((float *)bias.data + k, biases[i].data, biases[i].dtype, weights[i].dim[0]);
    const pf_err err = PF_CUDA && dev->cuda ? stack_on_gpu(dev, layer, &all, weights, &bias)
                                            : stack_on_host(dev, layer, n, &all, weights, &bias);
    pf_tensor_release(&bias);                   /* the layer has its copy */
    return err;
}
