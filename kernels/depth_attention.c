/* depth_attention.c - pf_depth_attention: each pixel attends to the D samples of its own ray.
 *
 *   sim[s] = scale * q[b, i, j, head] . k[b, s, i, j, head]
 *   y[b, i, j, head] = sum over s of softmax(sim)[s] v[b, s, i, j, head]
 *
 *   y, q f32 [B, H, W, h*d]   kv f32 [B, D, H, W, 2*h*d], k heads then v heads
 *
 * The reference's DepthAttention (networks.md, 6.4).  One thread per pixel; keys and values are
 * read once. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/ops.h"
#include "kernels/vmath.h"

pf_err
pf_depth_attention(pf_dev *dev, pf_tensor *y, const pf_tensor *q, const pf_tensor *kv, int heads,
                   float scale)
{
    PF_TRY(pf_tensor_expect(q, "q", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    const int64_t B = q->dim[0], H = q->dim[1], W = q->dim[2], C = q->dim[3];
    if (heads < 1 || C < 1 || C % heads)
        return pf_fail(PF_ESHAPE, "depth_attention: %lld channels do not divide into %d heads",
                       (long long)C, heads);
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4, q->dim));
    PF_TRY(pf_tensor_expect(kv, "kv", pf_dev_dtype(dev), 5, (int64_t[]){B, -1, H, W, 2 * C}));
    if (kv->dim[1] < 1)
        return pf_fail(PF_ESHAPE, "depth_attention: kv has no samples");
    return PF_DISPATCH_SCRATCH(dev, pf_depth_attention, y, q, kv, heads, scale);
}

/* One head of one pixel: y [d], q [d]; keys k and values v of sample s lie step * s further on. */
static inline __attribute__((always_inline)) void
attend(float *restrict y, const float *restrict q, const float *restrict k, const float *restrict v,
       int64_t step, int64_t D, const int64_t d, float scale, float *restrict sim)
{
    float top = -INFINITY, sum = 0;
    for (int64_t s = 0; s < D; s++) {
        const float *const key = k + s * step;
        float dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t c = 0; c < d; c++)
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
    memset(y, 0, (size_t)d * sizeof *y);
    for (int64_t s = 0; s < D; s++) {
        const float weight = sim[s] * sum, *const value = v + s * step;
#pragma omp simd
        for (int64_t c = 0; c < d; c++)
            y[c] = pf_madd(weight, value[c], y[c]);
    }
}

/* The same with the common widths known to the compiler: twice as fast at 8. */
static void
attend_any(float *y, const float *q, const float *k, const float *v, int64_t step, int64_t D,
           int64_t d, float scale, float *sim)
{
    switch (d) {
    case 8: attend(y, q, k, v, step, D, 8, scale, sim); break;
    case 16: attend(y, q, k, v, step, D, 16, scale, sim); break;
    case 32: attend(y, q, k, v, step, D, 32, scale, sim); break;
    default: attend(y, q, k, v, step, D, d, scale, sim); break;
    }
}

pf_err
pf_depth_attention_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *q, const pf_tensor *kv,
                       int heads, float scale)
{
    const int64_t B = q->dim[0], P = q->dim[1] * q->dim[2], C = q->dim[3], D = kv->dim[1],
                  d = C / heads;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor scratch;
    PF_TRY(PF_ALLOC(dev, &scratch, PF_F32, omp_get_max_threads(), D));
    if (pf_dev_is_dry(dev)) {
        pf_dev_reset(dev, mark);
        return PF_OK;
    }
#pragma omp parallel for
    for (int64_t i = 0; i < B * P; i++) {
        const float *const keys = (const float *)kv->data + (i / P * D * P + i % P) * 2 * C;
        float *const sim = (float *)scratch.data + omp_get_thread_num() * D;
        for (int64_t c = 0; c < C; c += d)
            attend_any((float *)y->data + i * C + c, (const float *)q->data + i * C + c, keys + c,
                       keys + C + c, P * 2 * C, D, d, scale, sim);
    }
    pf_dev_reset(dev, mark);
    return PF_OK;
}
