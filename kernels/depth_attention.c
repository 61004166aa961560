/* depth_attention.c - pf_depth_attention: each pixel attends to the D samples of its own ray, which
 * are keys and values of all heads.
 *
 *   sim[s] = scale * q[b, i, j, head] . context[b, s, i, j]
 *   y[b, i, j, head] = sum over s of softmax(sim)[s] context[b, s, i, j]
 *
 *   y, q f32 [B, H, W, h*n]   context f32 [B, D, H, W, n]
 *
 * The reference's DepthAttention (networks.md, 6.4), whose maps to keys and values have gone into
 * those to q and from y.  One thread per pixel; the context is read once. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/ops.h"
#include "kernels/vmath.h"

pf_err
pf_depth_attention(pf_dev *dev, pf_tensor *y, const pf_tensor *q, const pf_tensor *context,
                   int heads, float scale)
{
    PF_TRY(pf_tensor_expect(q, "q", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    const int64_t B = q->dim[0], H = q->dim[1], W = q->dim[2], C = q->dim[3];
    if (heads < 1 || C < 1 || C % heads)
        return pf_fail(PF_ESHAPE, "depth_attention: %lld channels do not divide into %d heads",
                       (long long)C, heads);
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4, q->dim));
    PF_TRY(pf_tensor_expect(context, "context", pf_dev_dtype(dev), 5,
                            (int64_t[]){B, -1, H, W, C / heads}));
    if (context->dim[1] < 1)
        return pf_fail(PF_ESHAPE, "depth_attention: context has no samples");
    return PF_DISPATCH_SCRATCH(dev, pf_depth_attention, y, q, context, heads, scale);
}

/* One head of one pixel: y [n], q [n]; sample s of the context lies step * s further on. */
static inline __attribute__((always_inline)) void
attend(float *restrict y, const float *restrict q, const float *restrict context, int64_t step,
       int64_t D, const int64_t n, float scale, float *restrict sim)
{
    float top = -INFINITY, sum = 0;
    for (int64_t s = 0; s < D; s++) {
        const float *const key = context + s * step;
        float dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t c = 0; c < n; c++)
            dot += q[c] * key[c];
        sim[s] = dot * scale;
        top = sim[s] > top ? sim[s] : top;
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t s = 0; s < D; s++) {
        sim[s] = pf_exp(sim[s] - top);
        sum += sim[s];
    }
    sum = 1.0f / sum;
    memset(y, 0, (size_t)n * sizeof *y);
    for (int64_t s = 0; s < D; s++) {
        const float weight = sim[s] * sum, *const value = context + s * step;
#pragma omp simd
        for (int64_t c = 0; c < n; c++)
            y[c] = pf_madd(weight, value[c], y[c]);
    }
}

/* The same with the common widths known to the compiler. */
static void
attend_any(float *y, const float *q, const float *context, int64_t step, int64_t D, int64_t n,
           float scale, float *sim)
{
    switch (n) {
    case 16: attend(y, q, context, step, D, 16, scale, sim); break;
    case 32: attend(y, q, context, step, D, 32, scale, sim); break;
    case 64: attend(y, q, context, step, D, 64, scale, sim); break;
    default: attend(y, q, context, step, D, n, scale, sim); break;
    }
}

pf_err
pf_depth_attention_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *q, const pf_tensor *context,
                       int heads, float scale)
{
    const int64_t B = q->dim[0], P = q->dim[1] * q->dim[2], C = q->dim[3], D = context->dim[1],
                  n = C / heads;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor scratch;
    PF_TRY(PF_ALLOC(dev, &scratch, PF_F32, omp_get_max_threads(), D));
    if (pf_dev_is_dry(dev)) {
        pf_dev_reset(dev, mark);
        return PF_OK;
    }
#pragma omp parallel for
    for (int64_t i = 0; i < B * P; i++) {
        const float *const samples = (const float *)context->data + (i / P * D * P + i % P) * n;
        float *const sim = (float *)scratch.data + omp_get_thread_num() * D;
        for (int64_t c = i * C; c < (i + 1) * C; c += n)
            attend_any((float *)y->data + c, (const float *)q->data + c, samples, P * n, D, n,
                       scale, sim);
    }
    pf_dev_reset(dev, mark);
    return PF_OK;
}
