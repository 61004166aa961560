/* scan.cu - running sums on a GPU (scan.cuh). */
#include "kernels/scan.cuh"

enum { THREADS = 1024 };

// One block, whose threads each add up a piece of the counts.
static __global__ void
scan(int64_t *first, const int32_t *count, int64_t n)
{
    __shared__ int64_t sum[THREADS];
    const int64_t each = (n + THREADS - 1) / THREADS;
    const int64_t from = threadIdx.x * each < n ? threadIdx.x * each : n;
    const int64_t to = from + each < n ? from + each : n;
    int64_t total = 0;
    for (int64_t i = from; i < to; i++)
        total += count[i];
    sum[threadIdx.x] = total;
    for (int d = 1; d < THREADS; d *= 2) {
        __syncthreads();
        const int64_t below = (int)threadIdx.x >= d ? sum[threadIdx.x - d] : 0;
        __syncthreads();
        sum[threadIdx.x] += below;
    }
    int64_t at = sum[threadIdx.x] - total;
    if (threadIdx.x == 0)
        first[0] = 0;
    for (int64_t i = from; i < to; i++) {
        at += count[i];
        first[i + 1] = at;
    }
}

pf_err
pf_cuda_scan(pf_dev *dev, int64_t *first, const int32_t *count, int64_t n)
{
    scan<<<1, THREADS, 0, pf_cuda_stream(dev)>>>(first, count, n);
    return pf_launched(dev, "running sums");
}
