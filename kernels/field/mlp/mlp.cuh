/* mlp.cuh - what forward (mlp.cu), backward (mlp_backward.cu) and training in halves (mlp_half.cu)
 * share on a GPU: layers, the tape, products, and how kernels go over [n, width]. */
#ifndef PF_FIELD_MLP_CUH
#define PF_FIELD_MLP_CUH
#include "kernels/field/mlp/matmul.cuh"
#include "kernels/field/mlp/mlp.h"
#include "kernels/field/net.cuh"

enum { COLUMNS = 128, ROWS = 4 };
/* By how much cotangents in halves are too large, or those of a batch of 4096 rays would be below
 * 6e-5.  Of some 60 rays and sharp surfaces the largest would be beyond 65504, and are that. */
#define PF_HALF_SCALE 16384.0f

struct mlp_half {               // a layer in halves
    int64_t K, N;               // columns and rows, multiples of 64
    int64_t turn_out, turn_in;  // row o is row o + turn_out of the layer, modulo; columns likewise
    __half *w, *wt;             // [N, K] and its transpose
    float *b;                   // [N]
    float *dw, *d_b;            // gradients, PF_HALF_SCALE times too large
};

struct mlp_layer {              // of a device
    float *w, *wt;              // [pitch(out), pitch(in)] and its transpose
    float *dw;                  // of w: gradient
    double *length;             // [out] |v|
    float *g, *v, *b;           // parameters
    float *d_g, *d_v, *d_b;     // and their gradients
    struct mlp_half half;
};

struct mlp_cuda {
    struct pf_net_cuda net;     // first
    struct mlp_layer layer[2 * MAX_LAYERS];     // in the order of matrix()
    struct pf_cuda_buffer weights, lengths, tape, scratch, sums, halves;
    int64_t numbers;            // of all w
    size_t half_gradients;      // bytes of all gradients in halves' layers, from halves on
    int64_t half_points;        // that a tape of halves takes on this card
    const float *x, *dir;       // of the tape
    int64_t points;
    bool color;
};

struct rows {                   // the tape: array s begins at at(s)
    float *base;
    int64_t n;                  // points, rounded
};

/* Numbers from one row to the next. */
static __host__ __device__ __forceinline__ int64_t
pitch(int64_t width)
{
    return (width + 3) / 4 * 4;
}

static inline float *
at(const struct rows *t, struct slot s)
{
    return t->base + s.at * t->n;
}

static inline const struct mlp *
host_of(const struct mlp_cuda *c)
{
    return (const struct mlp *)c->net.host;
}

static inline cudaStream_t
stream_of(const struct mlp_cuda *c)
{
    return pf_cuda_stream(c->net.dev);
}

struct scratch {                // [points, widest] each; extra [points, encoded]; g_bar [points, 3]
    float *z, *p, *extra, *g_bar;
};

/* Makes room for n points of so many numbers: the tape of a forward, or again as it left it. */
pf_err pf_mlp_cuda_reserve(struct mlp_cuda *c, struct rows *t, struct scratch *s, int64_t n,
                           int64_t width) PF_MUST_USE;

/* One of a few numbers of points that is not below n. */
int64_t pf_mlp_cuda_rounded(int64_t n);

/* d sdf / d x [points, 3] from q, the encoding's cotangent, and code, both [n, pitch(encoded)]. */
pf_err pf_mlp_cuda_space_gradient(struct mlp_cuda *c, float *grad, const float *q,
                                  const float *code, int64_t points) PF_MUST_USE;
/* frame [n, 8]: unit normal, |grad|, view, view . normal; dir NULL looks along -normal. */
pf_err pf_mlp_cuda_frame(struct mlp_cuda *c, float *frame, const float *grad, const float *dir,
                         int64_t points, int64_t n) PF_MUST_USE;
/* kept [n, 3], rgb [points, 3] from z, whose rows are 4 apart and lack the bias. */
pf_err pf_mlp_cuda_logistic(struct mlp_cuda *c, float *kept, float *rgb, const float *z,
                            int64_t points, int64_t n) PF_MUST_USE;
/* g_bar [n, 3] = scale d_grad, 0 beyond the last point, plus the normal's share of x_bar [n,
 * pitch(width)], the cotangent of the colour's input up to the normal; x_bar NULL: none. */
pf_err pf_mlp_cuda_frame_backward(struct mlp_cuda *c, float *g_bar, const float *d_grad,
                                  const float *x_bar, const float *input, int64_t width,
                                  const float *frame, float scale, int64_t n) PF_MUST_USE;

/* mlp_half.cu, for fields that are trained (net.cuh, rough): memory of new's, weights after the
 * f32 ones, and the rest as in net.cuh, for at most as many points as a tape takes. */
pf_err pf_mlp_half_new(struct mlp_cuda *c) PF_MUST_USE;
pf_err pf_mlp_half_changed(struct mlp_cuda *c) PF_MUST_USE;
pf_err pf_mlp_half_sdf(struct mlp_cuda *c, float *sdf, const float *x, int64_t points) PF_MUST_USE;
pf_err pf_mlp_half_forward(struct mlp_cuda *c, float *sdf, float *grad, float *rgb, const float *x,
                           const float *dir, int64_t points) PF_MUST_USE;
pf_err pf_mlp_half_backward(struct mlp_cuda *c, const float *d_sdf, const float *d_grad,
                            const float *d_rgb) PF_MUST_USE;

/* As in net.cuh. */
pf_err pf_mlp_cuda_backward(struct pf_net_cuda *base, const float *d_sdf, const float *d_grad,
                            const float *d_rgb) PF_MUST_USE;
pf_err pf_mlp_cuda_collect(struct pf_net_cuda *base) PF_MUST_USE;

// ---- products ----

/* y [n, out] = x [n, in] w^T */
static inline pf_err
times_transposed(struct mlp_cuda *c, float *y, const float *x, const struct layer *a,
                 const struct mlp_layer *l, int64_t n)
{
    return pf_matmul(c->net.dev, false, y, x, false, l->w, true, n, pitch(a->out),
                     pitch(a->in), false);
}

/* x [n, in] = y [n, out] w */
static inline pf_err
times(struct mlp_cuda *c, float *x, const float *y, const struct layer *a,
      const struct mlp_layer *l, int64_t n, bool add)
{
    return pf_matmul(c->net.dev, false, x, y, false, l->wt, true, n, pitch(a->in),
                     pitch(a->out), add);
}

// ---- the encoding ----

/* Number j of the encoding of x. */
static __device__ __forceinline__ float
pf_mlp_encoded(const float *x, int64_t j)
{
    if (j < 3)
        return x[j];
    const int k = (int)(j - 3) / 6, r = (int)(j - 3) % 6;
    const float a = x[r % 3] * (float)(1 << k);
    return r < 3 ? sinf(a) : cosf(a);
}

/* Number j < 6 + code of the colour's input, what it is given besides features: the point, the
 * encoding of the reflection, of code numbers, and the normal. */
static __device__ __forceinline__ float
pf_mlp_seen(const float *x, const float *frame, int64_t code, int64_t j)
{
    const float *const normal = frame, *const view = frame + 4;
    float reflected[3];
    if (j < 3)
        return x[j];
    if (j >= 3 + code)
        return normal[j - 3 - code];
    for (int k = 0; k < 3; k++)
        reflected[k] = 2 * normal[7] * normal[k] - view[k];
    return pf_mlp_encoded(reflected, j - 3);
}

/* How number j of the encoding of a point, code, changes when the point moves by d. */
static __device__ __forceinline__ float
pf_mlp_moved(const float *d, const float *code, int64_t j)
{
    const int k = (int)(j - 3) / 6, r = (int)(j - 3) % 6;
    return j < 3   ? d[j]
           : r < 3 ? (float)(1 << k) * code[j + 3] * d[r]
                   : -(float)(1 << k) * code[j - 3] * d[r - 3];
}

// ---- kernels over [n, width] ----

// A thread has one column j and ROWS rows; what lies beyond the width is 0.
#define FOR_ROWS(i, n)                                                                  \
    const int64_t j = blockIdx.x * (int64_t)COLUMNS + threadIdx.x;                      \
    const int64_t first_ = (int64_t)blockIdx.y * ROWS;                                  \
    _Pragma("unroll") for (int64_t i = first_; i < first_ + ROWS; i++)                  \
        if (i < (n))

#define OVER(c, n, width)                                                               \
    dim3((unsigned)((pitch(width) + COLUMNS - 1) / COLUMNS),                            \
         (unsigned)(((n) + ROWS - 1) / ROWS)),                                          \
        COLUMNS, 0, stream_of(c)

#endif
