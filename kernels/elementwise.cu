/* elementwise.cu - pf_activate, pf_add, pf_multiply, pf_geglu on a GPU: a vector of 16 bytes per
 * thread.
 *
 * Pure traffic.  Floors on an H100 (3.35 TB/s), 16-bit, at the largest shapes of the sampler:
 *   geglu     [32, 1024, 2560] -> [32, 1024, 1280]: 252 MB, 75 us; 40 operations a
 *             number, 1.7 GFLOP, 30 us
 *   add       [32, 1024, 320], three tensors: 63 MB, 19 us (less where they are in the L2)
 *   multiply  [1, 160, 160, 288] by a number a channel (TRACER-B7): 29 MB, 9 us
 *   activate  the embeddings, [32, 1280]: the launch
 * A run that is not aligned, a broadcast of an odd length and the last vector go number by
 * number. */
#include "kernels/vector.cuh"

enum { THREADS = 256, MOST_ROWS = 65535 };

template <typename T, int N> static __global__ void
activate(T *y, const T *x, int64_t n, enum pf_act act)
{
    const int64_t i = N * (blockIdx.x * (int64_t)THREADS + threadIdx.x);
    if (i + N <= n) {
        float v[N];
        pf_read(v, x + i);
        pf_activate_run<T>(v, act);
        pf_write(y + i, v);
        return;
    }
    for (int64_t k = i; k < n; k++)
        y[k] = pf_store<T>(pf_activated_as<T>(pf_load(x[k]), act));
}

pf_err
pf_activate_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, enum pf_act act)
{
    const int64_t n = pf_tensor_count(x);
    const bool wide = pf_is_aligned(y->data) && pf_is_aligned(x->data);
    if (n == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const unsigned blocks = pf_blocks(n, N * THREADS);
        activate<T, N><<<blocks, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)x->data, n, act)));
    return pf_launched(dev, "pf_activate");
}

// b has m numbers, and a a multiple of that; where N > 1 and b is the shorter, m is a multiple of
// N.
template <typename T, int N> static __global__ void
add(T *y, const T *a, const T *b, int64_t n, int64_t m, float scale)
{
    const int64_t i = N * (blockIdx.x * (int64_t)THREADS + threadIdx.x), j = i < m ? i : i % m;
    if (i + N <= n) {
        float v[N], w[N];
        pf_read(v, a + i);
        pf_read(w, b + j);
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] += scale * w[k];
        pf_write(y + i, v);
        return;
    }
    for (int64_t k = 0; i + k < n; k++)
        y[i + k] = pf_store<T>(pf_load(a[i + k]) + scale * pf_load(b[j + k]));
}

pf_err
pf_add_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b, float scale)
{
    const int64_t n = pf_tensor_count(a), m = pf_tensor_count(b);
    const bool wide = pf_is_aligned(y->data) && pf_is_aligned(a->data) && pf_is_aligned(b->data) &&
                      (m == n || m % pf_wide(y->dtype) == 0);
    if (n == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const unsigned blocks = pf_blocks(n, N * THREADS);
        add<T, N><<<blocks, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)a->data, (const T *)b->data, n, m, scale)));
    return pf_launched(dev, "pf_add");
}

namespace {

struct steps {          // of b, from one number to the next on each axis; 0 where it has only one
    int64_t to[4];
};

}

// Blocks: x: along a row of a, y: rows, H to an element of the batch.  n vectors to a pixel.
template <typename T, int N> static __global__ void
multiply(T *y, const T *a, const T *b, steps s, int64_t rows, int64_t H, int W, int n)
{
    const int at = blockIdx.x * THREADS + threadIdx.x, j = at / n, c = (at - j * n) * N;
    if (at >= W * n)
        return;
    for (int64_t r = blockIdx.y; r < rows; r += gridDim.y) {
        const int64_t i = (r * W * n + at) * N;
        const T *const q = b + r / H * s.to[0] + r % H * s.to[1] + j * s.to[2];
        float v[N], w[N];
        pf_read(v, a + i);
        if (s.to[3])
            pf_read(w, q + c);
        const float one = s.to[3] ? 0 : pf_load(*q);
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] *= s.to[3] ? w[k] : one;
        pf_write(y + i, v);
    }
}

pf_err
pf_multiply_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    const int64_t H = a->dim[1], W = a->dim[2], C = a->dim[3], rows = a->dim[0] * H;
    const bool wide = pf_is_aligned(y->data) && pf_is_aligned(a->data) && pf_is_aligned(b->data) &&
                      C % pf_wide(y->dtype) == 0;
    steps s;
    int64_t n = 1;
    if (pf_tensor_count(a) == 0)
        return PF_OK;
    if (W * C > INT32_MAX)
        return pf_fail(PF_ESHAPE, "multiply: rows of more than 2^31 numbers are not done on a GPU");
    for (int i = 3; i >= 0; i--) {
        s.to[i] = b->dim[i] == 1 ? 0 : n;
        n *= b->dim[i];
    }
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const dim3 grid(pf_blocks(W * C / N, THREADS),
                        (unsigned)(rows < MOST_ROWS ? rows : MOST_ROWS));
        multiply<T, N><<<grid, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)a->data, (const T *)b->data, s, rows, H, (int)W,
            (int)(C / N))));
    return pf_launched(dev, "pf_multiply");
}

// n numbers of y in rows of C, a multiple of N; those of x are twice as long.
template <typename T, int N> static __global__ void
geglu(T *y, const T *x, int64_t n, int64_t C)
{
    const int64_t i = N * (blockIdx.x * (int64_t)THREADS + threadIdx.x);
    float a[N], g[N];
    if (i >= n)
        return;
    const T *const from = x + i + i / C * C;
    pf_read(a, from);
    pf_read(g, from + C);
#pragma unroll
    for (int k = 0; k < N; k++)
        a[k] *= pf_activated_as<T>(g[k], PF_GELU);
    pf_write(y + i, a);
}

pf_err
pf_geglu_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t n = pf_tensor_count(y), C = y->dim[y->ndim - 1];
    const bool wide =
        pf_is_aligned(y->data) && pf_is_aligned(x->data) && C % pf_wide(y->dtype) == 0;
    if (n == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const unsigned blocks = pf_blocks(n, N * THREADS);
        geglu<T, N><<<blocks, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)x->data, n, C)));
    return pf_launched(dev, "pf_geglu");
}
