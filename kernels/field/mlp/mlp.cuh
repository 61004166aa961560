/* mlp.cuh - what forward (mlp.cu) and backward (mlp_backward.cu) share on a GPU: layers, the tape,
 * products, and how kernels go over [n, width]. */
#ifndef PF_FIELD_MLP_CUH
#define PF_FIELD_MLP_CUH
#include "kernels/field/mlp/matmul.cuh"
#include "kernels/field/mlp/mlp.h"
#include "kernels/field/net.cuh"

enum { COLUMNS = 128, ROWS = 4 };

struct mlp_layer {              // of a device
    float *w, *wt;              // [pitch(out), pitch(in)] and its transpose, for tf32's products
    float *dw;                  // of w: gradient
    double *length;             // [out] |v|
    float *g, *v, *b;           // parameters
    float *d_g, *d_v, *d_b;     // and their gradients
};

struct mlp_cuda {
    struct pf_net_cuda net;     // first
    struct mlp_layer layer[2 * MAX_LAYERS];     // in the order of matrix()
    struct pf_cuda_buffer weights, lengths, tape, scratch, sums;
    int64_t numbers;            // of all w
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
    return pf_matmul(c->net.dev, c->net.rough, y, x, false, l->w, true, n, pitch(a->out),
                     pitch(a->in), false);
}

/* x [n, in] = y [n, out] w */
static inline pf_err
times(struct mlp_cuda *c, float *x, const float *y, const struct layer *a,
      const struct mlp_layer *l, int64_t n, bool add)
{
    return pf_matmul(c->net.dev, c->net.rough, x, y, false, l->wt, true, n, pitch(a->in),
                     pitch(a->out), add);
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
