/* conv.cuh - what conv.cu, conv_hopper.cu and depthwise.cu share: a call's sizes, and how a row of
 * y ends.  Private to these three, so names are short. */
#ifndef PF_CONV_CUH
#define PF_CONV_CUH
#include "kernels/layer.cuh"
#include "kernels/ptx.cuh"
#include "kernels/vector.cuh"

struct conv {                   // what a kernel must know
    const void *x, *w, *residual;
    void *y;
    float *part;                // [split, M, K] instead of y, or NULL
    const float *bias, *channel;
    int64_t channel_step;       // from one element of the batch to the next: K or 0
    int in[3], out[3];          // depth, height, width; by parity: out is in, of one of them
    int kernel[3], stride[3], before[3];
    int dilation[3];            // pixels from one tap to the next
    int M, C, padded, K;
    int line;                   // channels of x in a line of 128 bytes
    const float *scale;         // of E4M3 numbers: the sums' factor; NULL for others
    int pixels;                 // rows of one element of the batch
    int columns;                // tile columns: tiles side by side in y
    int steps;                  // reduction steps of a block
    enum pf_act act;
    bool transposed, doubled;   // y is made by parity
    int parities, parity_step;  // how many there are, and the numbers from one to the next
    bool whole;                 // y's rows, residual and channel are whole aligned 16 bytes
};

/* ---- products by parity ----
 *
 * A transposed layer, and one that doubles the pixels of x first, is a product for each parity of
 * y's position, whose bit a says that the position is odd on axis a (layer.cuh).  Others have one,
 * parity 0. */

static inline void
set_parities(struct conv *a, bool transposed, bool doubled)
{
    a->transposed = transposed;
    a->doubled = doubled;
    a->parities = transposed ? 8 : doubled ? 4 : 1;
    a->parity_step = doubled ? 2 : 1;           // its depth is even
}

/* The i-th of them: those with the most taps first. */
static inline __host__ __device__ int
parity_of(const struct conv &a, int i)
{
    return (a.parities - 1 - i) * a.parity_step;
}

static inline __host__ __device__ int
taps_of(const struct conv &a, int parity, int axis)
{
    return a.transposed ? 1 + (parity >> axis & 1) : a.kernel[axis];
}

/* Pixels of x before the first tap of y's first pixel. */
static inline __host__ __device__ int
before_of(const struct conv &a, int parity, int axis)
{
    return a.doubled ? a.before[axis] - (parity >> axis & 1) : a.before[axis];
}

/* Numbers of w before this parity's: taps of those that are stored before it. */
static inline __host__ __device__ int64_t
start_of(const struct conv &a, int parity)
{
    const int taps = a.transposed ? pf_parity_start(parity) : PF_DOUBLED_TAPS * (parity / 2);
    return (int64_t)taps * a.K * a.padded;
}

/* conv_hopper.cu's way to do a call: groups of 64 * units rows, columns of a tile, parts of the
 * sums; and what is written there about patches.  time: as in conv.cu; HUGE_VAL if it does not
 * do such calls. */
struct hopper_plan {
    int units, columns, split;
    int shift[3];      // log2 of a patch's depth, height, width; the rest are elements of the batch
    int patches;
    bool shared;
    double time;
};

/* ---- a model of the time, by which tiles are chosen ----
 *
 * One unit is a step of 128 x 128 of y by a multiprocessor with work enough, by wgmma: 0.48 us.
 * Which way is faster is all that it must say.  Numbers called fitted were set so that it does;
 * no more is known of them. */

/* What summing up the reduction in parts costs: the second kernel, and parts (f32) written and
 * read again. */
static inline double
time_of_parts(const pf_dev *dev, const struct conv *a, int split)
{
    /* A multiprocessor moves 21 GB/s; both are fitted. */
    const double launch = 8, bytes_a_unit = 1e4;
    const int bytes = 8;                                        /* of each number: written, read */
    return split == 1 ? 0
                      : launch + (double)a->M * a->K * split * bytes /
                                     (dev->cuda->processors * bytes_a_unit);
}

pf_err pf_conv_depthwise(pf_dev *dev, const struct conv *a, pf_dtype type) PF_MUST_USE;
/* type: of x; y is bf16 where it is PF_F8. */
struct hopper_plan pf_conv_hopper_plan(const pf_dev *dev, const struct conv *a, pf_dtype type);
pf_err pf_conv_hopper(pf_dev *dev, const struct conv *a, const struct hopper_plan *p,
                      pf_dtype type) PF_MUST_USE;

/* 16 bytes of y: the sums v of row m, columns n..n+N-1; residual: what is to be added, if
 * anything is.  ACTS: there may be an activation. */
template <bool ACTS, typename T, int N> static __device__ __forceinline__ struct pf_pack<T, N>
finished(const struct conv &a, float (&v)[N], const struct pf_pack<T, N> &residual, int m, int n)
{
    if (a.bias) {
        const struct pf_pack<float, 4> *const p = (const struct pf_pack<float, 4> *)(a.bias + n);
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] += p[k / 4].v[k % 4];
    }
    if (a.channel) {
        const float *const channel = a.channel + m / a.pixels * a.channel_step + n;
        const struct pf_pack<float, 4> *const p = (const struct pf_pack<float, 4> *)channel;
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] += p[k / 4].v[k % 4];
    }
    if (ACTS)
        pf_activate_run<T>(v, a.act);
    if (a.residual)
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] += pf_load(residual.v[k]);
    struct pf_pack<T, N> p;
#pragma unroll
    for (int k = 0; k < N; k++)
        p.v[k] = pf_store<T>(v[k]);
    return p;
}

/* y[at..] of row m, columns n..n+N-1, as many as there are.  N * sizeof(T) = 16 where a.whole. */
template <typename T, int N> static __device__ __forceinline__ void
finish(const struct conv &a, float (&v)[N], int m, int64_t at, int n)
{
    T *const y = (T *)a.y + at;
    const T *const residual = (const T *)a.residual + at;
    if (!a.whole) {
        const float *const channel =
            a.channel + (a.channel ? m / a.pixels * a.channel_step + n : 0);
        for (int k = 0; k < N && n + k < a.K; k++) {
            float r = v[k] + (a.bias ? a.bias[n + k] : 0.0f) + (a.channel ? channel[k] : 0.0f);
            r = pf_activated_as<T>(r, a.act);
            y[k] = pf_store<T>(a.residual ? r + pf_load(residual[k]) : r);
        }
        return;
    }
    struct pf_pack<T, N> r = {};
    if (a.residual)
        r = *(const struct pf_pack<T, N> *)residual;
    *(struct pf_pack<T, N> *)y = finished<true, T>(a, v, r, m, n);
}

/* Where row m of y begins; there are at most 2^30 rows.  By parity, m is pixel (x, y) of a plane of
 * W x H and becomes (2 x + odd, 2 y + odd) of 2 W x 2 H: of 4 m, 2 x are too many, and where planes
 * are doubled too, 4 times those before this one are lacking. */
static __device__ __forceinline__ int64_t
row_of(const struct conv &a, int m, int parity)
{
    if (a.parities > 1) {
        const int W = a.out[2], H = a.out[1], before = a.transposed ? m - m % (H * W) : 0;
        const int odd = ((parity & 1) * 2 * H + (parity >> 1 & 1)) * 2 * W + (parity >> 2);
        m = 4 * (m + before) - 2 * (m % W) + odd;
    }
    return (int64_t)m * a.K;
}

#endif
