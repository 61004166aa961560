/* max_pool.cu - pf_max_pool on a GPU: a thread has one vector of 16 bytes of y.
 *
 * Pure traffic.  Floor for [1, 512, 512, 64] -> [1, 256, 256, 64] in 16 bits (IS-Net's largest):
 * 33.6 MB read, 8.4 MB written, 10 us at 4.2 TB/s. */
#include <math_constants.h>

#include "kernels/vector.cuh"

enum { THREADS = 256, MOST_ROWS = 65535 };

// Blocks: x: along a row of y, y: rows.  n vectors to a pixel.
template <typename T, int N> static __global__ void
max_pool(T *y, const T *x, int rows, int h, int w, int H, int W, int n, int size)
{
    const int at = blockIdx.x * THREADS + threadIdx.x, j = at / n, c = (at - j * n) * N, C = n * N;
    const int left = max(2 * j - (size - 1) / 2, 0), right = min(2 * j + size / 2, W - 1);
    if (at >= w * n)
        return;
    for (int r = blockIdx.y; r < rows; r += gridDim.y) {
        const int b = r / h, i = r - b * h, bottom = min(2 * i + size / 2, H - 1);
        float most[N], v[N];
#pragma unroll
        for (int k = 0; k < N; k++)
            most[k] = -CUDART_INF_F;
        for (int p = max(2 * i - (size - 1) / 2, 0); p <= bottom; p++)
            for (int q = left; q <= right; q++) {
                pf_read(v, x + (((int64_t)b * H + p) * W + q) * C + c);
#pragma unroll
                for (int k = 0; k < N; k++)
                    most[k] = v[k] > most[k] || v[k] != v[k] ? v[k] : most[k];     // a NaN stays
            }
        pf_write(y + ((int64_t)r * w + j) * C + c, most);
    }
}

pf_err
pf_max_pool_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, int size)
{
    const int64_t C = x->dim[3], h = y->dim[1], w = y->dim[2], rows = y->dim[0] * h;
    const bool wide =
        pf_is_aligned(y->data) && pf_is_aligned(x->data) && C % pf_wide(y->dtype) == 0;
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (rows > INT32_MAX / 2 || x->dim[2] * C > INT32_MAX / 2)
        return pf_fail(PF_ESHAPE, "max_pool: more than 2^30 rows or numbers of a row are not done "
                       "on a GPU");
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const dim3 grid(pf_blocks(w * C / N, THREADS),
                        (unsigned)(rows < MOST_ROWS ? rows : MOST_ROWS));
        max_pool<T, N><<<grid, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)x->data, (int)rows, (int)h, (int)w, (int)x->dim[1],
            (int)x->dim[2], (int)(C / N), size)));
    return pf_launched(dev, "pf_max_pool");
}
