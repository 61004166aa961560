/* epipolar.cu - pf_plucker_tokens and pf_epipolar_mask on a GPU.
 *
 * Maps: a thread per token.  Masks: a block makes 32 rows, up to 2048 keys of each.  A thread per
 * row finds the row's line; then nine threads per row draw it, a neighbour each, into rows that lie
 * in shared memory (lines of a row cross: atomicOr, whose order does not show); then all of the
 * block writes them out, whole lines of memory.  Rows have a spare word, so that a warp's 32 rows
 * are in 32 banks.  Longer rows get more blocks, each of which draws what is its own.
 *
 * The bits are the CPU's: kernels/spad.h, compiled with --fmad=false (Makefile).  Floors for 16
 * views of side 32 and the sides 16, 8, 4 made from it: masks 8.4 + 0.6 MB written, maps of 16
 * bits 0.4 + 0.1 MB: 2 us at 4.8 TB/s.  43520 lines of some 400 operations in double and 75776
 * rays of 100, 25 MFLOP: 1 us at 34 TFLOP/s, but divisions one after the other, some 5 us.  11
 * million pixels of 15 operations, 10 us at four warps a clock: about what eight launches take. */
#include "kernels/spad.h"
#include "kernels/cuda.cuh"

enum { THREADS = 256, ROWS = 32, SPAN = 64 };   // rows of a block, words of a row

template <typename T> static __global__ void
plucker_tokens(T *y, const struct pf_spad_camera *cameras, int64_t count, int n, int h)
{
    const int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x;
    const int tokens = 2 * h * h;
    float p[6];
    if (i >= count)
        return;
    pf_spad_plucker_at(p, &cameras[2 * (i / tokens) + i % 2], n, h, (int)(i % tokens / 2));
#pragma unroll
    for (int k = 0; k < 6; k++)
        y[6 * i + k] = pf_store<T>(p[k]);
}

/* Draw the line moved to one neighbour into words first..first+SPAN-1 of its row. */
static __device__ __forceinline__ void
draw(uint32_t *row, int first, const struct pf_segment *s, int shift, int n, int h, int view)
{
    const struct pf_line l = pf_spad_line(s, shift, n);
    const int ratio = (n / h) * (n / h);
    for (int k = 0; k <= l.length; k++) {
        const int q = pf_spad_key(&l, k, ratio), key = pf_strip_place(2 * q + 1 - view, h),
                  w = key / 32 - first;
        if (q >= 0 && w >= 0 && w < SPAN)
            atomicOr(&row[w], 1u << key % 32);
    }
}

static __global__ void __launch_bounds__(ROWS * PF_SPAD_SHIFTS)
epipolar_mask(uint32_t *mask, const struct pf_spad_camera *cameras, int n, int h)
{
    __shared__ struct pf_segment segment[ROWS];
    __shared__ uint32_t rows[ROWS][SPAN + 1];
    const int tokens = 2 * h * h, words = (tokens + 31) / 32, ratio = (n / h) * (n / h);
    const int top = blockIdx.x * ROWS, first = blockIdx.y * SPAN;
    const int r = threadIdx.x % ROWS, row = top + r, token = pf_strip_token(row, h),
              view = token % 2;
    const struct pf_spad_camera *const pair = cameras + 2 * blockIdx.z, *src = &pair[view],
                                       *tgt = &pair[1 - view];
    mask += ((int64_t)blockIdx.z * tokens + top) * words + first;
    if (threadIdx.x < ROWS && row < tokens)
        segment[r] = pf_spad_segment(src, tgt, pf_spad_epipole(src, tgt, n), n, token / 2 * ratio);
    for (int i = threadIdx.x; i < ROWS * SPAN; i += blockDim.x)
        if (first + i % SPAN < words)
            rows[i / SPAN][i % SPAN] =
                pf_spad_own(first + i % SPAN, h, pf_strip_token(top + i / SPAN, h) % 2);
    __syncthreads();
    if (row < tokens)
        draw(rows[r], first, &segment[r], threadIdx.x / ROWS, n, h, view);
    __syncthreads();
    for (int i = threadIdx.x; i < ROWS * SPAN; i += blockDim.x)
        if (top + i / SPAN < tokens && first + i % SPAN < words)
            mask[(int64_t)(i / SPAN) * words + i % SPAN] = rows[i / SPAN][i % SPAN];
}

pf_err
pf_plucker_tokens_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *cameras, int n, int h)
{
    const struct pf_spad_camera *const c = (const struct pf_spad_camera *)cameras->data;
    const int64_t count = y->dim[0] * y->dim[1];
    if (count == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T,
                plucker_tokens<T><<<pf_blocks(count, THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(
                    (T *)y->data, c, count, n, h));
    return pf_launched(dev, "pf_plucker_tokens");
}

pf_err
pf_epipolar_mask_cuda(pf_dev *dev, pf_tensor *mask, const pf_tensor *cameras, int n, int h)
{
    const dim3 blocks(pf_blocks(mask->dim[1], ROWS), pf_blocks(mask->dim[2], SPAN),
                      (unsigned)mask->dim[0]);
    if (blocks.z == 0)
        return PF_OK;
    epipolar_mask<<<blocks, ROWS * PF_SPAD_SHIFTS, 0, pf_cuda_stream(dev)>>>(
        (uint32_t *)mask->data, (const struct pf_spad_camera *)cameras->data, n, h);
    return pf_launched(dev, "pf_epipolar_mask");
}
