/* upsample.c - pf_upsample: nearest, twice as high and wide.
 *
 *   y[b, i, j] = x[b, i / 2, j / 2]      y f32 [B, 2H, 2W, C]   x f32 [B, H, W, C]
 *
 * The reference's interpolate(scale_factor=2, mode="nearest"), in the VAE and the UNet. */
#include <string.h>

#include "kernels/ops.h"

pf_err
pf_upsample(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4,
                            (int64_t[]){x->dim[0], 2 * x->dim[1], 2 * x->dim[2], x->dim[3]}));
    return PF_DISPATCH(dev, pf_upsample, y, x);
}

pf_err
pf_upsample_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t rows = x->dim[0] * x->dim[1], W = x->dim[2], C = x->dim[3];
    const size_t bytes = (size_t)C * sizeof(float);
    (void)dev;
#pragma omp parallel for if (rows * W * C > 8192)
    for (int64_t r = 0; r < rows; r++) {
        float *const out = (float *)y->data + r * 4 * W * C;
        const float *const in = (const float *)x->data + r * W * C;
        for (int64_t j = 0; j < W; j++) {
            memcpy(out + 2 * j * C, in + j * C, bytes);
            memcpy(out + (2 * j + 1) * C, in + j * C, bytes);
        }
        memcpy(out + 2 * W * C, out, (size_t)(2 * W) * bytes);
    }
    return PF_OK;
}
