/* scan.cu - running sums on a GPU (scan.cuh).
 *
 * 65536 counts of a picture's rays: 0.8 MB, nothing.  Each of up to 64 blocks adds up all that
 * comes before its part, which is cheaper than to wait for another block, then goes through it. */
#include "kernels/scan.cuh"

enum { THREADS = 1024, MOST_BLOCKS = 64, WARPS = THREADS / PF_WARP };

template <typename T> static __device__ __forceinline__ T
running_sum_of_warp(T v)
{
    for (int d = 1; d < PF_WARP; d *= 2) {
        const T below = __shfl_up_sync(PF_WHOLE_WARP, v, d);
        v += (int)threadIdx.x % PF_WARP >= d ? below : 0;
    }
    return v;
}

// The running sum of v over the block's threads; *total: all of it.  sum: shared.
static __device__ __forceinline__ int64_t
running_sum(int64_t v, int64_t *total, int64_t *sum)
{
    const int warp = threadIdx.x / PF_WARP, lane = threadIdx.x % PF_WARP;
    v = running_sum_of_warp(v);
    __syncthreads();                            // others may still read the last one's
    if (lane == PF_WARP - 1)
        sum[warp] = v;
    __syncthreads();
    const int64_t of_warps = running_sum_of_warp(sum[lane]);
    *total = __shfl_sync(PF_WHOLE_WARP, of_warps, WARPS - 1);
    return v + (warp ? __shfl_sync(PF_WHOLE_WARP, of_warps, warp - 1) : 0);
}

// each: counts of a block.
static __global__ void __launch_bounds__(THREADS)
scan(int64_t *first, const int32_t *count, int64_t n, int64_t each)
{
    static_assert(WARPS == PF_WARP, "a lane for each warp");
    __shared__ int64_t sum[WARPS];
    const int64_t from = blockIdx.x * each, to = from + each < n ? from + each : n;
    int64_t before = 0, own = 0, total;
    for (int64_t i = threadIdx.x; i < from; i += THREADS)
        own += count[i];
    running_sum(own, &before, sum);
    if (from == 0 && threadIdx.x == 0)
        first[0] = 0;
    for (int64_t base = from; base < to; base += THREADS) {
        const int64_t i = base + threadIdx.x;
        const int64_t at = before + running_sum(i < to ? count[i] : 0, &total, sum);
        if (i < to)
            first[i + 1] = at;
        before += total;
    }
}

pf_err
pf_cuda_scan(pf_dev *dev, int64_t *first, const int32_t *count, int64_t n)
{
    const int64_t all = n > THREADS ? (n + THREADS - 1) / THREADS : 1;
    const int64_t each = (all + MOST_BLOCKS - 1) / MOST_BLOCKS, blocks = (all + each - 1) / each;
    scan<<<(unsigned)blocks, THREADS, 0, pf_cuda_stream(dev)>>>(first, count, n, each * THREADS);
    return pf_launched(dev, "running sums");
}
