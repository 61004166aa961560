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
    int in[3], out[3];          // depth, height, width; transposed: out is in, of one parity
    int kernel[3], stride[3], before[3];
    int dilation[3];            // pixels from one tap to the next
    int M, C, padded, K;
    int line;                   // channels of x in a line of 128 bytes
    const float *scale;         // of E4M3 numbers: the sums' factor; NULL for others
    int pixels;                 // rows of one element of the batch
    int columns;                // tile columns: tiles side by side in y
    int steps;                  // reduction steps of a block
    enum pf_act act;
    bool transposed;
    bool whole;                 // y's rows, residual and channel are whole aligned 16 bytes
};

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

/* Where row m of y begins; there are at most 2^30 rows. */
static __device__ __forceinline__ int64_t
row_of(const struct conv &a, int m, int parity)
{
    if (a.transposed) {
        const int x = m % a.out[2], rows = m / a.out[2], y = rows % a.out[1],
                  planes = rows / a.out[1];
        const int row = (2 * planes + (parity & 1)) * 2 * a.out[1] + 2 * y + (parity >> 1 & 1);
        m = row * 2 * a.out[2] + 2 * x + (parity >> 2);
    }
    return (int64_t)m * a.K;
}

#endif
