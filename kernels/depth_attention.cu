/* depth_attention.cu - pf_depth_attention on a GPU: keys and values are read once.
 *
 * A team of L lanes, a power of two, has one head of one pixel: each lane holds M vectors of 16
 * bytes of q and of the sum.  Lanes lie along the channels of neighbouring pixels, which is how
 * kv lies in memory.  Four samples at a time are loaded, multiplied, summed over the team by
 * shuffles and folded into a running softmax (largest score, sum of weights, weighted values).
 * A head that is not L M vectors (or not aligned) gets a warp of its own that walks it number by
 * number, 256 channels of values at a time.  Floors for B 32, D 48, 32 x 32 pixels, 4 heads of
 * 32, 16 bits: 822 MB, 245 us at 3.35 TB/s; 4 operations per channel and sample, 0.8 GFLOP, 12
 * us.  The three smaller levels together: 0.5 GB. */
#include "kernels/vector.cuh"

enum { THREADS = 256, AT_ONCE = 4, WALK = 8 };

/* All of one head of one pixel that does not depend on how it is computed. */
struct softmax {
    float top, sum;             // the largest score so far; sum of exp(score - top)
};

/* Fold in scores: they become weights; returns by how much what was summed so far shrinks. */
template <typename T> static __device__ __forceinline__ float
fold(struct softmax *s, float (&score)[AT_ONCE])
{
    float top = s->top;
#pragma unroll
    for (int u = 0; u < AT_ONCE; u++)
        top = fmaxf(top, score[u]);
    const float shrink = pf_exp_as<T>(s->top - top);
    s->sum *= shrink;
    s->top = top;
#pragma unroll
    for (int u = 0; u < AT_ONCE; u++) {
        score[u] = pf_exp_as<T>(score[u] - top);
        s->sum += score[u];
    }
    return shrink;
}

/* P pixels to a batch element, E = heads * d channels, teams = B P heads.  A long function:
 * queries, sums and the samples on their way are registers, which its parts would have to hand
 * around. */
template <typename T, int M> static __global__ void __launch_bounds__(THREADS)
attend(T *y, const T *q, const T *kv, int64_t teams, int64_t P,
       int64_t E, int64_t D, int lanes, float scale)
{
    constexpr int N = 16 / (int)sizeof(T);
    const int64_t thread = blockIdx.x * (int64_t)THREADS + threadIdx.x, mine = thread / lanes;
    // spare lanes work too: shuffles want whole warps
    const int64_t team = mine < teams ? mine : teams - 1;
    const int lane = (int)(thread % lanes);
    const int64_t at = (team * lanes * M + lane) * N;  // in y and q; vector i is at + i * lanes * N
    const int64_t pixel = at / E, step = P * 2 * E;
    const T *key = kv + ((pixel / P * D) * P + pixel % P) * 2 * E + at % E;
    struct softmax s = {-INFINITY, 0.0f};
    float query[M][N], sum[M][N] = {};
#pragma unroll
    for (int i = 0; i < M; i++)
        pf_read(query[i], q + at + i * lanes * N);
    for (int64_t first = 0; first < D; first += AT_ONCE, key += AT_ONCE * step) {
        const int n = D - first < AT_ONCE ? (int)(D - first) : AT_ONCE;
        pf_run<T, N> k[AT_ONCE][M], v[AT_ONCE][M];
        float score[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
#pragma unroll
            for (int i = 0; i < M; i++) {
                const T *const from = key + (u < n ? u : 0) * step + i * lanes * N;
                k[u][i] = pf_read_run<T, N>(from);
                v[u][i] = pf_read_run<T, N>(from + E);
            }
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++) {
            score[u] = 0.0f;
#pragma unroll
            for (int i = 0; i < M; i++) {
                float f[N];
                pf_unpack(f, k[u][i]);
#pragma unroll
                for (int c = 0; c < N; c++)
                    score[u] += query[i][c] * f[c];
            }
        }
        for (int d = lanes / 2; d; d /= 2)
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++)
                score[u] += __shfl_xor_sync(PF_WHOLE_WARP, score[u], d);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            score[u] = u < n ? score[u] * scale : -INFINITY;
        const float shrink = fold<T>(&s, score);
#pragma unroll
        for (int i = 0; i < M; i++) {
#pragma unroll
            for (int c = 0; c < N; c++)
                sum[i][c] *= shrink;
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                float f[N];
                pf_unpack(f, v[u][i]);
#pragma unroll
                for (int c = 0; c < N; c++)
                    sum[i][c] += score[u] * f[c];       // 0 times sample 0 where there are no more
            }
        }
    }
    if (mine >= teams)
        return;
    const float all = 1.0f / s.sum;
#pragma unroll
    for (int i = 0; i < M; i++) {
#pragma unroll
        for (int c = 0; c < N; c++)
            sum[i][c] *= all;
        pf_write_whole(y + at + i * lanes * N, sum[i]);
    }
}

/* A warp per head of a pixel, any d: WALK * 32 channels of values at a time, each with all
 * scores. */
template <typename T> static __global__ void __launch_bounds__(THREADS)
attend_any(T *y, const T *q, const T *kv, int64_t teams, int64_t P,
           int64_t E, int64_t D, int64_t d, float scale)
{
    const int64_t team = (blockIdx.x * (int64_t)THREADS + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    if (team >= teams)
        return;                         // the whole warp
    const int64_t at = team * d, pixel = at / E, step = P * 2 * E;
    const T *const keys = kv + ((pixel / P * D) * P + pixel % P) * 2 * E + at % E;
    for (int64_t c0 = lane; c0 < d + lane; c0 += WALK * PF_WARP) {
        struct softmax s = {-INFINITY, 0.0f};
        float sum[WALK] = {};
        for (int64_t first = 0; first < D; first += AT_ONCE) {
            const int n = D - first < AT_ONCE ? (int)(D - first) : AT_ONCE;
            const T *const key = keys + first * step;
            float score[AT_ONCE];
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                float dot = 0.0f;
                for (int64_t c = lane; c < d && u < n; c += PF_WARP)
                    dot += pf_load(q[at + c]) * pf_load(key[u * step + c]);
                score[u] = u < n ? pf_warp_sum(dot) * scale : -INFINITY;
            }
            const float shrink = fold<T>(&s, score);
#pragma unroll
            for (int i = 0; i < WALK; i++) {
                const int64_t c = c0 + i * PF_WARP;
                sum[i] *= shrink;
#pragma unroll
                for (int u = 0; u < AT_ONCE; u++)
                    sum[i] += u < n && c < d ? score[u] * pf_load(key[u * step + E + c]) : 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < WALK; i++)
            if (c0 + i * PF_WARP < d)
                y[at + c0 + i * PF_WARP] = pf_store<T>(sum[i] / s.sum);
    }
}

template <typename T> static void
launch(pf_dev *dev, T *y, const T *q, const T *kv, int64_t teams, int64_t P, int64_t E, int64_t D,
       int64_t d, float scale)
{
    constexpr int N = 16 / (int)sizeof(T);
    const bool aligned = pf_is_aligned(y) && pf_is_aligned(q) && pf_is_aligned(kv) && d % N == 0;
    const int64_t vectors = aligned ? d / N : 0;
    const bool power = vectors && (vectors & (vectors - 1)) == 0;
    const cudaStream_t stream = pf_cuda_stream(dev);
    if (power && vectors <= PF_WARP)
        attend<T, 1><<<pf_blocks(teams * vectors, THREADS), THREADS, 0, stream>>>(
            y, q, kv, teams, P, E, D, (int)vectors, scale);
    else if (power && vectors == 2 * PF_WARP)
        attend<T, 2><<<pf_blocks(teams * PF_WARP, THREADS), THREADS, 0, stream>>>(
            y, q, kv, teams, P, E, D, PF_WARP, scale);
    else
        attend_any<T><<<pf_blocks(teams * PF_WARP, THREADS), THREADS, 0, stream>>>(
            y, q, kv, teams, P, E, D, d, scale);
}

pf_err
pf_depth_attention_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *q, const pf_tensor *kv,
                        int heads, float scale)
{
    const int64_t B = q->dim[0], P = q->dim[1] * q->dim[2], E = q->dim[3], D = kv->dim[1];
    if (B * P == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T,
                launch(dev, (T *)y->data, (const T *)q->data, (const T *)kv->data, B * P * heads, P,
                       E, D, E / heads, scale));
    return pf_launched(dev, "pf_depth_attention");
}
