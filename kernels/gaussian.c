/* gaussian.c - pf_gaussian: standard normal numbers of common/rng.h, in the order in which
 * pf-sample draws.
 *
 *   y[v, i, j, c] = pf_rng_normal(seed, stream, first + ((v C + c) H + i) W + j)
 *
 *   y f32 [V, H, W, C]
 *
 * Numbers are counted channel by channel, as the reference's [V, C, H, W] lies in memory; y is
 * channels-last like every activation.  A CPU and a GPU give the same bits. */
#include "common/rng.h"
#include "kernels/ops.h"

pf_err
pf_gaussian(pf_dev *dev, pf_tensor *y, uint64_t seed, uint64_t stream, uint64_t first)
{
    PF_EXPECT(y, PF_F32, -1, -1, -1, -1);
    return PF_DISPATCH(dev, pf_gaussian, y, seed, stream, first);
}

pf_err
pf_gaussian_cpu(pf_dev *dev, pf_tensor *y, uint64_t seed, uint64_t stream, uint64_t first)
{
    const int64_t V = y->dim[0], H = y->dim[1], W = y->dim[2], C = y->dim[3];
    float *const out = y->data;
    (void)dev;
#pragma omp parallel for if (V * H * W * C > 512)
    for (int64_t row = 0; row < V * H; row++)
        for (int64_t j = 0; j < W; j++)
            for (int64_t c = 0; c < C; c++)
                out[(row * W + j) * C + c] = pf_rng_normal(
                    seed, stream, first + (uint64_t)(((row / H * C + c) * H + row % H) * W + j));
    return PF_OK;
}
