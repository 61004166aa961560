/* depthwise.cu - pf_conv and pf_conv_dilated of depthwise layers on a GPU.
 *
 * A thread has 16 bytes of channels at EACH pixels side by side, so that it reads a tap's weight
 * once for all of them; what neighbours read of x too comes from a cache.  Traffic again: floor for
 * [1, 160, 160, 288], 3 x 3 (one of TRACER-B7's at 640 x 640), in 16 bits: 14.7 MB read and as many
 * written, 7 us at 4.2 TB/s; 0.13 GFLOP.  From the caches come 9 taps of EACH + 1 vectors for EACH
 * pixels, 0.17 GB in all, 5 us at 128 bytes a cycle and multiprocessor. */
#include "kernels/conv.cuh"

enum { THREADS = 128, EACH = 4, MOST_ROWS = 65535 };

// Sums of row i of y in element b: channels c.. of pixels j..j+EACH-1.
template <typename T, int N> static __device__ __forceinline__ void
add_up(float (&sum)[EACH][N], const struct conv &a, int b, int i, int j, int c)
{
    const T *const w = (const T *)a.w + c;
#pragma unroll
    for (int e = 0; e < EACH; e++)
#pragma unroll
        for (int k = 0; k < N; k++)
            sum[e][k] = 0;
    for (int v = 0; v < a.kernel[1]; v++) {
        const int y = i * a.stride[1] - a.before[1] + v * a.dilation[1];
        if ((unsigned)y >= (unsigned)a.in[1])
            continue;
        const T *const row = (const T *)a.x + ((int64_t)b * a.in[1] + y) * a.in[2] * a.C + c;
        for (int u = 0; u < a.kernel[2]; u++) {
            const int first = j * a.stride[2] - a.before[2] + u * a.dilation[2];
            float weight[N];
            pf_run<T, N> run[EACH] = {};        // all on their way before the first is wanted
#pragma unroll
            for (int e = 0; e < EACH; e++) {
                const int x = first + e * a.stride[2];
                if ((unsigned)x < (unsigned)a.in[2])
                    run[e] = pf_read_run<T, N>(row + (int64_t)x * a.C);
            }
            pf_read(weight, w + (int64_t)(v * a.kernel[2] + u) * a.padded);
#pragma unroll
            for (int e = 0; e < EACH; e++) {
                float p[N];
                pf_unpack(p, run[e]);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum[e][k] = fmaf(weight[k], p[k], sum[e][k]);
            }
        }
    }
}

// Blocks: x: along a row of y, y: rows.  n vectors to a pixel.
template <typename T, int N> static __global__ void
depthwise(const __grid_constant__ struct conv a, int rows, int n)
{
    const int at = blockIdx.x * THREADS + threadIdx.x, j = at / n * EACH, c = at % n * N;
    if (j >= a.out[2])
        return;
    for (int r = blockIdx.y; r < rows; r += gridDim.y) {
        float sum[EACH][N];
        add_up<T>(sum, a, r / a.out[1], r % a.out[1], j, c);
#pragma unroll
        for (int e = 0; e < EACH; e++)
            if (j + e < a.out[2]) {
                const int m = r * a.out[2] + j + e;
                finish<T>(a, sum[e], m, (int64_t)m * a.K + c, c);
            }
    }
}

pf_err
pf_conv_depthwise(pf_dev *dev, const struct conv *a, pf_dtype type)
{
    const int rows = a->M / a->out[2];
    const bool wide = a->whole && pf_is_aligned(a->x);
    const int64_t pieces = (a->out[2] + EACH - 1) / EACH * (int64_t)a->C;
    struct conv call = *a;
    call.whole = wide;
    if (pieces > INT32_MAX)
        return pf_fail(PF_ESHAPE,
                       "convolution: rows of more than 2^31 numbers are not done on a GPU");
    PF_FOR_TYPE(type, T, PF_FOR_WIDTH(wide, T, N,
        const dim3 grid(pf_blocks(pieces / N, THREADS),
                        (unsigned)(rows < MOST_ROWS ? rows : MOST_ROWS));
        depthwise<T, N><<<grid, THREADS, 0, pf_cuda_stream(dev)>>>(call, rows, a->C / N)));
    return pf_launched(dev, "pf_conv");
}
