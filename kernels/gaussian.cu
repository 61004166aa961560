/* gaussian.cu - pf_gaussian on a GPU: a thread per number.
 *
 * The bits are the CPU's: common/rng.h rounds nothing that a compiler could join into one
 * rounding (see there), and division and square root are the IEEE ones that nvcc makes by
 * default; its flags must not say --use_fast_math.  Floors for [16, 32, 32, 4]: 0.3 MB and about
 * 150 operations a number, 10 M: the launch.  Drawing all of a run's steps at once: 13 MB, 4 us;
 * 0.5 G operations, 15 us. */
#include "common/rng.h"
#include "kernels/cuda.cuh"

enum { THREADS = 256 };

static __global__ void
noise(float *y, uint64_t seed, uint64_t stream, uint64_t first, int64_t n, int64_t H, int64_t W,
      int64_t C)
{
    const int64_t at = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    if (at >= n)
        return;
    const int64_t pixel = at / C, c = at - pixel * C, row = pixel / W, j = pixel - row * W,
                  v = row / H, i = row - v * H;
    y[at] = pf_rng_normal(seed, stream, first + (uint64_t)(((v * C + c) * H + i) * W + j));
}

pf_err
pf_gaussian_cuda(pf_dev *dev, pf_tensor *y, uint64_t seed, uint64_t stream, uint64_t first)
{
    const int64_t n = pf_tensor_count(y);
    if (n == 0)
        return PF_OK;
    noise<<<pf_blocks(n, THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(
        (float *)y->data, seed, stream, first, n, y->dim[1], y->dim[2], y->dim[3]);
    return pf_launched(dev, "pf_gaussian");
}
