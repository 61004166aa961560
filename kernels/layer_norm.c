/* layer_norm.c - pf_layer_norm: y = (x - mean) / sqrt(var + eps) * gamma + beta over the last axis,
 * biased variance, computed around the mean.
 *
 *   y, x f32 [..., C]   gamma, beta f32 [C]   y may be x
 *
 * The reference's nn.LayerNorm (eps 1e-5 everywhere: networks.md). */
#include <math.h>

#include "kernels/ops.h"

pf_err
pf_layer_norm(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
              const pf_tensor *beta, float eps)
{
    if (x->ndim < 1 || x->dim[x->ndim - 1] < 1)
        return pf_fail(PF_ESHAPE, "layer_norm: x has no channels");
    const int64_t C = x->dim[x->ndim - 1];
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), x->ndim, x->dim));
    PF_EXPECT(gamma, PF_F32, C);
    PF_EXPECT(beta, PF_F32, C);
    return PF_DISPATCH(dev, pf_layer_norm, y, x, gamma, beta, eps);
}

static void
normalise_row(float *y, const float *x, const float *gamma, const float *beta, int64_t C, float eps)
{
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < C; c++)
        sum += x[c];
    const float mean = sum / (float)C;
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < C; c++)
        squares += (x[c] - mean) * (x[c] - mean);
    const float scale = 1.0f / sqrtf(squares / (float)C + eps);
#pragma omp simd
    for (int64_t c = 0; c < C; c++)
        y[c] = (x[c] - mean) * scale * gamma[c] + beta[c];
}

pf_err
pf_layer_norm_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
                  const pf_tensor *beta, float eps)
{
    const int64_t C = x->dim[x->ndim - 1], rows = pf_tensor_count(x) / C;
    (void)dev;
#pragma omp parallel for if (rows * C > 8192)
    for (int64_t r = 0; r < rows; r++)
        normalise_row((float *)y->data + r * C, (const float *)x->data + r * C, gamma->data,
                      beta->data, C, eps);
    return PF_OK;
}
