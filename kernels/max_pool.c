/* max_pool.c - pf_max_pool: the largest of each 2 x 2 pixels.
 *
 *   y[b, i, j] = max of x[b, 2 i .. 2 i + 1, 2 j .. 2 j + 1], as far as that is inside
 *   y f32 [B, ceil(H / 2), ceil(W / 2), C]   x f32 [B, H, W, C]
 *
 * The reference's MaxPool2d(2, stride=2, ceil_mode=True): an odd side's last window is half a
 * window. */
#include "kernels/ops.h"

pf_err
pf_max_pool(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4,
                            (int64_t[]){x->dim[0], (x->dim[1] + 1) / 2, (x->dim[2] + 1) / 2,
                                        x->dim[3]}));
    return PF_DISPATCH(dev, pf_max_pool, y, x);
}

pf_err
pf_max_pool_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t H = x->dim[1], W = x->dim[2], C = x->dim[3], h = y->dim[1], w = y->dim[2];
    (void)dev;
#pragma omp parallel for if (h * w * C > 8192)
    for (int64_t r = 0; r < y->dim[0] * h; r++) {
        const int64_t i = r % h, below = 2 * i + 1 < H ? W * C : 0;
        const float *const in = (const float *)x->data + (r / h * H + 2 * i) * W * C;
        float *const out = (float *)y->data + r * w * C;
        for (int64_t j = 0; j < w; j++) {
            const int64_t right = 2 * j + 1 < W ? C : 0;
            const float *const p = in + 2 * j * C;
#pragma omp simd
            for (int64_t c = 0; c < C; c++) {
                const float a = p[c] > p[c + right] ? p[c] : p[c + right];
                const float b = p[c + below] > p[c + below + right] ? p[c + below]
                                                                    : p[c + below + right];
                out[j * C + c] = a > b ? a : b;
            }
        }
    }
    return PF_OK;
}
