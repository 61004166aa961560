/* bilinear.cu - pf_bilinear, pf_bilinear_corners on a GPU: a thread has one vector of 16 bytes of
 * y, of four of x.
 *
 * In f32 y has the bits of the CPU's, no product joins a sum in one rounding: a fraction that is
 * dropped afterwards (pf-cutout, for IS-Net) would make a step of it.  Otherwise pure traffic, as
 * what neighbours read of x twice comes from a cache.  Floor for
 * [1, 256, 256, 64] -> [1, 512, 512, 64] in 16 bits (IS-Net's largest): 8.4 MB read, 33.6 MB
 * written, 10 us at 4.2 TB/s. */
#include "kernels/vector.cuh"

enum { THREADS = 256, MOST_ROWS = 65535 };

namespace {

struct axis {                   // y's pixel i is at scale (i + shift) - shift
    int from, to;
    float scale, shift;
};

struct taps {                   // value = from[first] (1 - t) + from[second] t
    int first, second;
    float t;
};

}

static axis
axis_of(int64_t from, int64_t to, bool corners)
{
    const float ends = to > 1 ? (float)(from - 1) / (float)(to - 1) : 0;
    return {(int)from, (int)to, corners ? ends : (float)from / (float)to, corners ? 0 : 0.5f};
}

static __device__ __forceinline__ taps
taps_of(int i, const axis &a)
{
    const float at = __fsub_rn(__fmul_rn(a.scale, (float)i + a.shift), a.shift);
    const int below = at > 0 ? (int)at : 0, first = below < a.from ? below : a.from - 1;
    return {first, first + (first + 1 < a.from), at > 0 ? at - (float)first : 0};
}

static __device__ __forceinline__ float
mix(float a, float b, float t)
{
    return __fadd_rn(__fmul_rn(1 - t, a), __fmul_rn(t, b));
}

// Blocks: x: along a row of y, y: rows.  n vectors to a pixel.
template <typename T, int N> static __global__ void
bilinear(T *y, const T *x, int rows, axis down, axis across, int n)
{
    const int at = blockIdx.x * THREADS + threadIdx.x, j = at / n, c = (at - j * n) * N, C = n * N;
    if (at >= across.to * n)
        return;
    const taps u = taps_of(j, across);
    for (int r = blockIdx.y; r < rows; r += gridDim.y) {
        const int image = r / down.to;
        const taps v = taps_of(r - image * down.to, down);
        const int64_t first = (int64_t)image * down.from, row = (int64_t)across.from * C;
        const T *const above = x + (first + v.first) * row + c,
                *const below = x + (first + v.second) * row + c;
        float a[N], b[N], p[N], q[N];
        pf_read(a, above + (int64_t)u.first * C);
        pf_read(b, above + (int64_t)u.second * C);
        pf_read(p, below + (int64_t)u.first * C);
        pf_read(q, below + (int64_t)u.second * C);
#pragma unroll
        for (int k = 0; k < N; k++)
            a[k] = mix(mix(a[k], b[k], u.t), mix(p[k], q[k], u.t), v.t);
        pf_write(y + ((int64_t)r * across.to + j) * C + c, a);
    }
}

static pf_err
resize(pf_dev *dev, pf_tensor *y, const pf_tensor *x, bool corners)
{
    const int64_t C = x->dim[3], h = y->dim[1], w = y->dim[2], rows = y->dim[0] * h;
    const bool wide =
        pf_is_aligned(y->data) && pf_is_aligned(x->data) && C % pf_wide(y->dtype) == 0;
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (x->dim[1] > INT32_MAX || rows > INT32_MAX || x->dim[2] * C > INT32_MAX || w * C > INT32_MAX)
        return pf_fail(PF_ESHAPE, "bilinear: more than 2^31 rows or numbers of a row are not done "
                       "on a GPU");
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const dim3 grid(pf_blocks(w * C / N, THREADS),
                        (unsigned)(rows < MOST_ROWS ? rows : MOST_ROWS));
        bilinear<T, N><<<grid, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)x->data, (int)rows, axis_of(x->dim[1], h, corners),
            axis_of(x->dim[2], w, corners), (int)(C / N))));
    return pf_launched(dev, "pf_bilinear");
}

pf_err
pf_bilinear_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    return resize(dev, y, x, false);
}

pf_err
pf_bilinear_corners_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    return resize(dev, y, x, true);
}
