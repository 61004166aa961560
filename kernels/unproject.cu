/* unproject.cu - pf_unproject on a GPU: a thread per vertex, view and vector of channels, in y's
 * order.
 *
 * Writes are whole lines; the maps are small and stay in the L1 and L2.  The threads of one
 * vertex and view project it each for themselves, in double where the result is f32 (there a
 * texel's coordinate needs more than 24 bits to give all of them to the result), else in f32.
 * Which vertex and view is counted in 32 bits: five divisions of 64 would be more instructions
 * than all the rest.  Floors for 16 views of 32 x 32 x 16, S 32, 16 bits: 16.8 MB written, 0.5
 * MB read, 4 us at 4.8 TB/s; 1 million threads of about 250 instructions, 8 us. */
#include "kernels/vector.cuh"

enum { THREADS = 256 };
const int64_t MAX_NUMBERS = INT32_MAX;

template <typename T> struct exact { using real = float; };
template <> struct exact<float> { using real = double; };

/* The two texels of an axis of n that u lies between, and their weights: 0 for one that is outside,
 * whose index is then 0. */
template <typename R> static __device__ __forceinline__ void
neighbours(int (&index)[2], float (&weight)[2], R u, int n)
{
    const R low = floor(u);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const R at = low + i;
        const bool inside = at >= 0 && at < (R)n;
        index[i] = inside ? (int)at : 0;
        weight[i] = inside ? (float)(1 - fabs(u - at)) : 0.0f;
    }
}

/* out = N channels of map [H, W, C] at column u, row v. */
template <typename R, typename T, int N> static __device__ __forceinline__ void
sample(float (&out)[N], const T *map, int H, int W, int C, R u, R v)
{
    int i[2], j[2];
    float wi[2], wj[2], texel[N];
#pragma unroll
    for (int k = 0; k < N; k++)
        out[k] = 0.0f;
    if (!(u > -1 && u < (R)W && v > -1 && v < (R)H))
        return;
    neighbours(j, wj, u, W);
    neighbours(i, wi, v, H);
#pragma unroll
    for (int corner = 0; corner < 4; corner++) {
        const float w = wi[corner / 2] * wj[corner % 2];
        pf_read(texel, map + (int64_t)(i[corner / 2] * W + j[corner % 2]) * C);
#pragma unroll
        for (int k = 0; k < N; k++)
            out[k] += w * texel[k];
    }
}

template <typename T, int N> static __global__ void
unproject(T *y, const T *x, const float *proj, unsigned count, unsigned S, unsigned V, int H, int W,
          int C, float length)
{
    using R = typename exact<T>::real;
    const unsigned at = blockIdx.x * THREADS + threadIdx.x;             // vector of y
    if (at >= count)
        return;
    const unsigned vectors = C / N, point = at / vectors, c = (at - point * vectors) * N,
                   vertex = point / V, v = point - vertex * V, row = vertex / S;
    const R step = S > 1 ? 2 * (R)length / (R)(S - 1) : 0;
    const R X = -length + step * (R)(vertex - row * S), Y = -length + step * (R)(row % S),
            Z = -length + step * (R)(row / S);
    const float *const P = proj + v * 12;
    R p[3];
#pragma unroll
    for (int k = 0; k < 3; k++)
        p[k] = P[4 * k] * X + P[4 * k + 1] * Y + P[4 * k + 2] * Z + P[4 * k + 3];
    const R depth = p[2] > (R)1e-4 ? p[2] : (R)1e-4;
    float out[N];
    sample<R>(out, x + (int64_t)v * H * W * C + c, H, W, C, p[0] / depth, p[1] / depth);
    pf_write(y + (int64_t)at * N, out);
}

pf_err
pf_unproject_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *proj,
                  float length)
{
    const int64_t V = x->dim[0], H = x->dim[1], W = x->dim[2], C = x->dim[3], S = y->dim[1],
                  n = pf_tensor_count(y);
    const bool wide =
        pf_is_aligned(y->data) && pf_is_aligned(x->data) && C % pf_wide(y->dtype) == 0;
    if (n == 0)
        return PF_OK;
    if (n > MAX_NUMBERS || H * W > MAX_NUMBERS || H * W * C > MAX_NUMBERS)
        return pf_fail(PF_ESHAPE, "unproject: more than 2^31 numbers are not done on a GPU");
    PF_FOR_TYPE(y->dtype, T, PF_FOR_WIDTH(wide, T, N,
        const unsigned blocks = pf_blocks(n, N * THREADS);
        unproject<T, N><<<blocks, THREADS, 0, pf_cuda_stream(dev)>>>(
            (T *)y->data, (const T *)x->data, (const float *)proj->data, (unsigned)(n / N),
            (unsigned)S, (unsigned)V, (int)H, (int)W, (int)C, length)));
    return pf_launched(dev, "pf_unproject");
}
