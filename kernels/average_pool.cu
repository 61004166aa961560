/* average_pool.cu - pf_average_pool on a GPU, in the two steps of average_pool.c: each row is
 * summed over the columns of every cell, then each cell over its rows.
 *
 * Sums are f32, and added in the same order every time.  In the first step a block has a row and 32
 * vectors of 16 bytes of channels, and its warps take the cell's columns in turn; in the second one
 * it has a cell and 32 channels, and they take its rows.  Traffic: floor for [1, 160, 160, 288] to
 * its mean (TRACER-B7's squeeze) in 16 bits: 14.7 MB, 4 us at 4.2 TB/s; with the second launch some
 * 8 us. */
#include "kernels/vector.cuh"

enum { WARPS = 8, THREADS = WARPS * PF_WARP, MOST_ROWS = 65535 };

namespace {

struct span {                   // pixels first .. end - 1 of an axis
    int64_t first, end;
};

}

static __device__ __forceinline__ span
cell(int64_t i, int64_t cells, int64_t pixels)
{
    return {i * pixels / cells, ((i + 1) * pixels + cells - 1) / cells};
}

// sum [rows, w, C] of x [rows, W, C].  Blocks: x: vectors, n to a pixel; y: rows.
template <typename T, int N> static __global__ void __launch_bounds__(THREADS)
sum_columns(float *sum, const T *x, int64_t rows, int64_t w, int64_t W, int64_t n)
{
    __shared__ float part[WARPS][N][PF_WARP];
    const int lane = threadIdx.x % PF_WARP, warp = threadIdx.x / PF_WARP;
    const int64_t C = n * N, at = blockIdx.x * (int64_t)PF_WARP + lane, c = at * N;
    for (int64_t r = blockIdx.y; r < rows; r += gridDim.y)
        for (int64_t j = 0; j < w; j++) {
            const span u = cell(j, w, W);
            float s[N] = {0}, v[N];
#pragma unroll 4
            for (int64_t k = u.first + warp; k < u.end; k += WARPS)
                if (at < n) {
                    pf_read(v, x + (r * W + k) * C + c);
#pragma unroll
                    for (int q = 0; q < N; q++)
                        s[q] += v[q];
                }
#pragma unroll
            for (int q = 0; q < N; q++)
                part[warp][q][lane] = s[q];
            __syncthreads();
            // Now a warp has the vectors' numbers warp, warp + WARPS, ...
            for (int q = warp; q < N && at < n; q += WARPS) {
                float all = 0;
                for (int k = 0; k < WARPS; k++)
                    all += part[k][q][lane];
                sum[(r * w + j) * C + c + q] = all;
            }
            __syncthreads();
        }
}

// Blocks: x: channels; y: cells.
template <typename T> static __global__ void __launch_bounds__(THREADS)
mean_rows(T *y, const float *sum, int64_t cells, int64_t h, int64_t w, int64_t H, int64_t W,
          int64_t C)
{
    __shared__ float part[WARPS][PF_WARP];
    const int lane = threadIdx.x % PF_WARP, warp = threadIdx.x / PF_WARP;
    const int64_t c = blockIdx.x * (int64_t)PF_WARP + lane;
    for (int64_t i = blockIdx.y; i < cells; i += gridDim.y) {
        const int64_t j = i % w, b = i / w / h;
        const span v = cell(i / w % h, h, H), u = cell(j, w, W);
        float s = 0;
#pragma unroll 4
        for (int64_t r = v.first + warp; r < v.end; r += WARPS)
            if (c < C)
                s += sum[((b * H + r) * w + j) * C + c];
        part[warp][lane] = s;
        __syncthreads();
        if (warp == 0 && c < C) {
            for (int k = 1; k < WARPS; k++)
                s += part[k][lane];
            y[i * C + c] = pf_store<T>(s / (float)((v.end - v.first) * (u.end - u.first)));
        }
        __syncthreads();
    }
}

static unsigned
blocks_of(int64_t rows)
{
    return (unsigned)(rows < MOST_ROWS ? rows : MOST_ROWS);
}

pf_err
pf_average_pool_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t H = x->dim[1], W = x->dim[2], C = x->dim[3], h = y->dim[1], w = y->dim[2];
    const int64_t rows = x->dim[0] * H, cells = x->dim[0] * h * w;
    const bool wide = pf_is_aligned(x->data) && C % pf_wide(x->dtype) == 0;
    const size_t mark = pf_dev_mark(dev);
    const int64_t dim[] = {rows, w, C};
    pf_tensor sum;
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    PF_TRY(pf_dev_alloc(dev, &sum, PF_F32, 3, dim));
    PF_FOR_TYPE(x->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const dim3 grid(pf_blocks(C / N, PF_WARP), blocks_of(rows));
        sum_columns<T, N><<<grid, THREADS, 0, pf_cuda_stream(dev)>>>(
            (float *)sum.data, (const T *)x->data, rows, w, W, C / N)));
    PF_TRY(pf_launched(dev, "pf_average_pool"));
    PF_FOR_TYPE(y->dtype, T,
                mean_rows<T><<<dim3(pf_blocks(C, PF_WARP), blocks_of(cells)), THREADS, 0,
                               pf_cuda_stream(dev)>>>((T *)y->data, (const float *)sum.data, cells,
                                                      h, w, H, W, C));
    pf_dev_reset(dev, mark);
    return pf_launched(dev, "pf_average_pool");
}
