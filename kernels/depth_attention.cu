/* depth_attention.cu - pf_depth_attention on a GPU: the context is read once, for all heads.
 *
 * A team of L lanes, a power of two, has one pixel: each lane holds M vectors of 16 bytes of each
 * of its HEADS heads' q and sums.  Lanes lie along the channels of neighbouring pixels, which is
 * how the context lies in memory.  Four samples at a time are loaded, multiplied, summed over the
 * team by shuffles and folded into a running softmax (largest score, sum of weights, weighted
 * values).  Other numbers of heads, and pixels that are not L M vectors (or not aligned), get a
 * warp for each head, that walks it number by number, 256 channels at a time.  Floors for B 16, D
 * 48, 32 x 32 pixels, 64 channels, 4 heads, 16 bits: 118 MB, 25 us at 4.8 TB/s; for 8 channels of a
 * sample some 64 multiplications, 12 steps of sums over lanes and 4 powers, 110 instructions, 23
 * us.  With keys and values made before, as it was until November 30: 402 MB, 0.095 ms. */
#include "kernels/vector.cuh"

enum { THREADS = 256, AT_ONCE = 4, WALK = 8, HEADS = 4 };

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

/* P pixels to a batch element.  A long function: queries, sums and the samples on their way are
 * registers, which its parts would have to hand around. */
template <typename T, int M> static __global__ void __launch_bounds__(THREADS, M == 1 ? 2 : 1)
attend(T *y, const T *q, const T *context, int pixels, int P, int n, int D, int lanes, float scale)
{
    constexpr int N = 16 / (int)sizeof(T);
    const int thread = blockIdx.x * THREADS + threadIdx.x, mine = thread / lanes;
    // spare lanes work too: shuffles want whole warps
    const int pixel = mine < pixels ? mine : pixels - 1;
    const int c = thread % lanes * N, next = lanes * N;         // vector i is i * next further
    const int64_t at = (int64_t)pixel * HEADS * n + c;          // in y and q, of the first head
    const int64_t step = (int64_t)P * n;
    const T *sample = context + ((int64_t)(pixel / P) * D * P + pixel % P) * n + c;
    struct softmax s[HEADS];
    float query[HEADS][M][N], sum[HEADS][M][N] = {};
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        s[h] = {-INFINITY, 0.0f};
#pragma unroll
        for (int i = 0; i < M; i++) {
            pf_read(query[h][i], q + at + h * n + i * next);
#pragma unroll
            for (int k = 0; k < N; k++)
                query[h][i][k] *= scale;
        }
    }
    for (int left = D; left > 0; left -= AT_ONCE, sample += AT_ONCE * step) {
        const int count = left < AT_ONCE ? left : AT_ONCE;
        pf_run<T, N> v[AT_ONCE][M];
        float score[HEADS][AT_ONCE] = {};
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
#pragma unroll
            for (int i = 0; i < M; i++)
                v[u][i] = pf_read_run<T, N>(sample + (u < count ? u : 0) * step + i * next);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
#pragma unroll
            for (int i = 0; i < M; i++) {
                float f[N];
                pf_unpack(f, v[u][i]);
#pragma unroll
                for (int h = 0; h < HEADS; h++)
#pragma unroll
                    for (int k = 0; k < N; k++)
                        score[h][u] += query[h][i][k] * f[k];
            }
        for (int d = lanes / 2; d; d /= 2)
#pragma unroll
            for (int h = 0; h < HEADS; h++)
#pragma unroll
                for (int u = 0; u < AT_ONCE; u++)
                    score[h][u] += __shfl_xor_sync(PF_WHOLE_WARP, score[h][u], d);
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++)
                score[h][u] = u < count ? score[h][u] : -INFINITY;
            const float shrink = fold<T>(&s[h], score[h]);
#pragma unroll
            for (int i = 0; i < M; i++)
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum[h][i][k] *= shrink;
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
#pragma unroll
            for (int i = 0; i < M; i++) {
                float f[N];
                pf_unpack(f, v[u][i]);
#pragma unroll
                for (int h = 0; h < HEADS; h++)
#pragma unroll
                    for (int k = 0; k < N; k++)
                        sum[h][i][k] += score[h][u] * f[k]; // 0 times sample 0 beyond the last one
            }
    }
    if (mine >= pixels)
        return;
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        const float all = 1.0f / s[h].sum;
#pragma unroll
        for (int i = 0; i < M; i++) {
#pragma unroll
            for (int k = 0; k < N; k++)
                sum[h][i][k] *= all;
            pf_write_whole(y + at + h * n + i * next, sum[h][i]);
        }
    }
}

/* A warp per head of a pixel, any n: WALK * 32 channels at a time, each with all scores. */
template <typename T> static __global__ void __launch_bounds__(THREADS)
attend_any(T *y, const T *q, const T *context, int64_t teams, int heads, int64_t P, int64_t n,
           int64_t D, float scale)
{
    const int64_t team = (blockIdx.x * (int64_t)THREADS + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    if (team >= teams)
        return;                         // the whole warp
    const int64_t at = team * n, pixel = team / heads, step = P * n;
    const T *const samples = context + ((pixel / P * D) * P + pixel % P) * n;
    for (int64_t c0 = lane; c0 < n + lane; c0 += WALK * PF_WARP) {
        struct softmax s = {-INFINITY, 0.0f};
        float sum[WALK] = {};
        for (int64_t first = 0; first < D; first += AT_ONCE) {
            const int count = D - first < AT_ONCE ? (int)(D - first) : AT_ONCE;
            const T *const sample = samples + first * step;
            float score[AT_ONCE];
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                float dot = 0.0f;
                for (int64_t c = lane; c < n && u < count; c += PF_WARP)
                    dot += pf_load(q[at + c]) * pf_load(sample[u * step + c]);
                score[u] = u < count ? pf_warp_sum(dot) * scale : -INFINITY;
            }
            const float shrink = fold<T>(&s, score);
#pragma unroll
            for (int i = 0; i < WALK; i++) {
                const int64_t c = c0 + i * PF_WARP;
                sum[i] *= shrink;
#pragma unroll
                for (int u = 0; u < AT_ONCE; u++)
                    sum[i] += u < count && c < n ? score[u] * pf_load(sample[u * step + c]) : 0.0f;
            }
        }
#pragma unroll
        for (int i = 0; i < WALK; i++)
            if (c0 + i * PF_WARP < n)
                y[at + c0 + i * PF_WARP] = pf_store<T>(sum[i] / s.sum);
    }
}

template <typename T> static void
launch(pf_dev *dev, T *y, const T *q, const T *context, int64_t pixels, int heads, int64_t P,
       int64_t n, int64_t D, float scale)
{
    constexpr int N = 16 / (int)sizeof(T);
    const bool aligned =
        pf_is_aligned(y) && pf_is_aligned(q) && pf_is_aligned(context) && n % N == 0;
    const bool small = pixels <= INT32_MAX / PF_WARP / 2 && D <= INT32_MAX && n <= INT32_MAX;
    const int64_t vectors = aligned && heads == HEADS && small ? n / N : 0;
    const int lanes = (int)(vectors < PF_WARP ? vectors : PF_WARP);
    const bool power = vectors && (vectors & (vectors - 1)) == 0;
    const unsigned blocks = pf_blocks(pixels * lanes, THREADS);
    const cudaStream_t stream = pf_cuda_stream(dev);
    if (power && vectors <= PF_WARP)
        attend<T, 1><<<blocks, THREADS, 0, stream>>>(y, q, context, (int)pixels, (int)P, (int)n,
                                                     (int)D, lanes, scale);
    else if (power && vectors == 2 * PF_WARP)
        attend<T, 2><<<blocks, THREADS, 0, stream>>>(y, q, context, (int)pixels, (int)P, (int)n,
                                                     (int)D, lanes, scale);
    else if (power && vectors == 4 * PF_WARP && N == 4)         // 512 channels of f32
        attend<T, N == 4 ? 4 : 2><<<blocks, THREADS, 0, stream>>>(
            y, q, context, (int)pixels, (int)P, (int)n, (int)D, lanes, scale);
    else
        attend_any<T><<<pf_blocks(pixels * heads * PF_WARP, THREADS), THREADS, 0, stream>>>(
            y, q, context, pixels * heads, heads, P, n, D, scale);
}

pf_err
pf_depth_attention_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *q, const pf_tensor *context,
                        int heads, float scale)
{
    const int64_t B = q->dim[0], P = q->dim[1] * q->dim[2], n = q->dim[3] / heads,
                  D = context->dim[1];
    if (B * P == 0)
        return PF_OK;
    PF_FOR_TYPE(y->dtype, T,
                launch(dev, (T *)y->data, (const T *)q->data, (const T *)context->data, B * P,
                       heads, P, n, D, scale));
    return pf_launched(dev, "pf_depth_attention");
}
