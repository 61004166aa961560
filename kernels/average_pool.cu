/* average_pool.cu - pf_average_pool on a GPU: a block makes 32 channels of a cell.
 *
 * Its warps take the cell's pixels in turn, a thread a channel; their f32 sums are added in the same
 * order every time.  Traffic: floor for [1, 160, 160, 288] to its mean (TRACER-B7's squeeze) in 16
 * bits: 14.7 MB, 4 us at 4.2 TB/s; but 9 blocks of 32 warps read it, so that some 20 us are to be
 * expected.  Later ones have fewer pixels and more channels. */
#include "kernels/cuda.cuh"

enum { WARPS = 32, MOST_CELLS = 65535 };

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

// Blocks: x: channels, y: cells.
template <typename T> static __global__ void __launch_bounds__(WARPS * PF_WARP)
average_pool(T *y, const T *x, int64_t cells, int64_t h, int64_t w, int64_t H, int64_t W, int64_t C)
{
    __shared__ float part[WARPS][PF_WARP];
    const int lane = threadIdx.x % PF_WARP, warp = threadIdx.x / PF_WARP;
    const int64_t c = blockIdx.x * (int64_t)PF_WARP + lane;
    for (int64_t i = blockIdx.y; i < cells; i += gridDim.y) {
        const span v = cell(i / w % h, h, H), u = cell(i % w, w, W);
        const T *const from = x + i / w / h * H * W * C + c;
        const int64_t across = u.end - u.first, pixels = (v.end - v.first) * across;
        float sum = 0;
        for (int64_t p = warp; c < C && p < pixels; p += WARPS)
            sum += pf_load(from[((v.first + p / across) * W + u.first + p % across) * C]);
        part[warp][lane] = sum;
        __syncthreads();
        if (warp == 0 && c < C) {
            for (int k = 1; k < WARPS; k++)
                sum += part[k][lane];
            y[i * C + c] = pf_store<T>(sum / (float)pixels);
        }
        __syncthreads();
    }
}

pf_err
pf_average_pool_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t h = y->dim[1], w = y->dim[2], C = y->dim[3], cells = y->dim[0] * h * w;
    const dim3 grid(pf_blocks(C, PF_WARP), (unsigned)(cells < MOST_CELLS ? cells : MOST_CELLS));
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T,
                average_pool<T><<<grid, WARPS * PF_WARP, 0, pf_cuda_stream(dev)>>>(
                    (T *)y->data, (const T *)x->data, cells, h, w, x->dim[1], x->dim[2], C));
    return pf_launched(dev, "pf_average_pool");
}
