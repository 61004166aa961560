/* mlp.cu - the original's field on a GPU (mlp.c): products by cublasLt, and between them kernels that do
 * what mlp.c does between its own.  Products are f32 but for those of training on a device that need not
 * be exact (net->rough).
 *
 * Arrays are mlp.c's tape, [points, width] each, for as many points as the tape takes at once; the
 * number of points is rounded up to one of a few, so that cublasLt is asked for few shapes and arrays
 * begin at multiples of 256 bytes.  Points beyond the last repeat it and have cotangents of 0.  Rows are
 * pitch(width) apart, so that each starts at 16 bytes, and end in zeros; so do the rows and columns of
 * weights, and products are of whole rows.  Weights are w = g v / |v|, made again when the parameters
 * change; the gradient of w adds up over the pieces of a step in a buffer of its own and becomes that of
 * g and v at the end.
 *
 * Production (configs/neus-mlp.yaml): 4096 rays, 112 distances each and 50 points inside.  Products:
 * 1.05 MFLOP a distance, 8 MFLOP a point forward and backward: 0.48 + 1.6 TFLOP a step, 31 ms at 67
 * TFLOP/s of f32, 4 ms at 495 of tf32.  Bytes: 12.8 k floats of tape a point, read or written some 3 times:
 * 31 GB, 6.5 ms at 4.8 TB/s.  Seen: 54 ms with tf32, of which half are elementwise kernels and sums: one
 * thread a column and 4 rows, coalesced. */
#include <cstdlib>

#include "kernels/field/net.cuh"
#include "kernels/field/mlp/matmul.cuh"
#include "kernels/field/mlp/mlp.h"

enum { MOST_POINTS = 1 << 15, COLUMNS = 128, ROWS = 4, SLICES = 512, SLICE_WARPS = 16 };

struct mlp_layer {              // of a device
    float *w, *wt;              // [pitch(out), pitch(in)] and its transpose, as tf32's products want it
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
    struct pf_matmul_plans plans;
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

static float *
at(const struct rows *t, struct slot s)
{
    return t->base + s.at * t->n;
}

static const struct mlp *
host_of(const struct mlp_cuda *c)
{
    return (const struct mlp *)c->net.host;
}

static cudaStream_t
stream_of(const struct mlp_cuda *c)
{
    return pf_cuda_stream(c->net.dev);
}

/* One of a few numbers of points that is not below n. */
static int64_t
rounded_up(int64_t n)
{
    const int64_t step = MOST_POINTS / 8;
    int64_t p = 64;
    if (n > step)
        return (n + step - 1) / step * step;
    while (p < n)
        p *= 2;
    return p;
}

// ---- products ----

/* y [n, out] = x [n, in] w^T */
static pf_err
times_transposed(struct mlp_cuda *c, float *y, const float *x, const struct layer *a, const struct mlp_layer *l,
                 int64_t n)
{
    return pf_matmul(c->net.dev, &c->plans, c->net.rough, y, x, false, l->w, true, n, pitch(a->out), pitch(a->in), false);
}

/* x [n, in] = y [n, out] w */
static pf_err
times(struct mlp_cuda *c, float *x, const float *y, const struct layer *a, const struct mlp_layer *l, int64_t n,
      bool add)
{
    return pf_matmul(c->net.dev, &c->plans, c->net.rough, x, y, false, l->wt, true, n, pitch(a->in), pitch(a->out), add);
}

/* dw [out, in] += y^T x, y [n, out], x [n, in] */
static pf_err
add_outer(struct mlp_cuda *c, const struct mlp_layer *l, const float *y, const float *x, const struct layer *a, int64_t n)
{
    return pf_matmul(c->net.dev, &c->plans, c->net.rough, l->dw, y, true, x, false, pitch(a->out), pitch(a->in), n, true);
}

// ---- kernels over [n, width]: a thread has one column j and ROWS rows; what lies beyond the width is 0 ----

#define FOR_ROWS(i, n)                                                                                \
    const int64_t j = blockIdx.x * (int64_t)COLUMNS + threadIdx.x, first_ = (int64_t)blockIdx.y * ROWS; \
    _Pragma("unroll") for (int64_t i = first_; i < first_ + ROWS; i++)                                \
        if (i < (n))

#define OVER(c, n, width)                                                                                  \
    dim3((unsigned)((pitch(width) + COLUMNS - 1) / COLUMNS), (unsigned)(((n) + ROWS - 1) / ROWS)), COLUMNS, 0, \
        stream_of(c)

static __device__ __forceinline__ float
softplus(float z, float *slope)
{
    return pf_softplus(z, expf(-fabsf(100 * z)), slope);
}

/* Number j of the encoding of x. */
static __device__ __forceinline__ float
encoded(const float *x, int64_t j)
{
    if (j < 3)
        return x[j];
    const int k = (int)(j - 3) / 6, r = (int)(j - 3) % 6;
    const float a = x[r % 3] * (float)(1 << k);
    return r < 3 ? sinf(a) : cosf(a);
}

/* code [n, width]; x [points, 3]: beyond the last point it is the last. */
static __global__ void
encode(float *code, int64_t width, const float *x, int64_t points, int64_t n)
{
    const int64_t row = pitch(width);
    FOR_ROWS (i, n)
        if (j < row)
            code[i * row + j] = j < width ? encoded(x + 3 * (i < points ? i : points - 1), j) : 0.0f;
}

/* next [n, width] = scale [phi(z + b) | code], slope [n, out]; slope NULL: it is not wanted. */
static __global__ void
activate(float *next, int64_t width, float *slope, const float *z, int64_t out, const float *b, const float *code,
         int64_t code_width, float scale, int64_t n)
{
    const int64_t row = pitch(width), out_row = pitch(out);
    FOR_ROWS (i, n) {
        if (j < out) {
            float s;
            next[i * row + j] = scale * softplus(z[i * out_row + j] + b[j], &s);
            if (slope)
                slope[i * out_row + j] = s;
        } else if (j < row) {
            next[i * row + j] = j < width ? scale * code[i * pitch(code_width) + j - out] : 0.0f;
        }
    }
}

/* sdf [points] = column 0 of z [n, width] + b. */
static __global__ void
first_column(float *sdf, const float *z, int64_t width, const float *b, int64_t points)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < points)
        sdf[i] = z[i * pitch(width)] + b[0];
}

/* sdf [points] = h [points, width] . w + b: a warp a point, in an order that depends on width alone. */
static __global__ void
dot_rows(float *sdf, const float *h, int64_t width, const float *w, const float *b, int64_t points)
{
    const int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    float sum = 0;
    if (i >= points)
        return;
    for (int64_t j = lane; j < width; j += PF_WARP)
        sum += h[i * pitch(width) + j] * w[j];
    sum = pf_warp_sum(sum);
    if (lane == 0)
        sdf[i] = sum + b[0];
}

/* u [n, out] = slope scale p, p [n, in], or one row for all; columns beyond out go to extra [n, in - out], times
 * scale, where that is not NULL. */
static __global__ void
chain(float *u, int64_t out, const float *slope, const float *p, bool one_row, int64_t in, float *extra, float scale,
      int64_t n)
{
    const int64_t row = one_row ? 0 : pitch(in), out_row = pitch(out);
    FOR_ROWS (i, n) {
        if (j < out_row)
            u[i * out_row + j] = j < out ? slope[i * out_row + j] * (scale * p[i * row + j]) : 0.0f;
        if (extra && j >= out && j < in)        // no factor of a product: its rows may end in anything
            extra[i * pitch(in - out) + j - out] = scale * p[i * row + j];
    }
}

/* J^T q, number c: from a cotangent of the encoding to one of x. */
static __device__ __forceinline__ float
encoded_transposed(const float *q, const float *code, int frequencies, int c)
{
    float to = q[c];
    for (int k = 0; k < frequencies; k++) {
        const int sine = 3 + 6 * k + c, cosine = sine + 3;
        to += (float)(1 << k) * (code[cosine] * q[sine] - code[sine] * q[cosine]);
    }
    return to;
}

static __global__ void
space_gradient(float *grad, const float *q, const float *code, int64_t width, int frequencies, int64_t points)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / 3;
    if (i < points)
        grad[t] = encoded_transposed(q + i * pitch(width), code + i * pitch(width), frequencies, (int)(t % 3));
}

/* frame [n, 8]: unit normal, |g|, view, view . normal; dir NULL looks along -normal. */
static __global__ void
make_frame(float *frame, const float *grad, const float *dir, int64_t points, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const int64_t from = i < points ? i : points - 1;
    const float *const g = grad + 3 * from, *const d = dir ? dir + 3 * from : g;
    const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]), held = length > 1e-12f ? length : 1e-12f;
    float normal[3], view[3], size = 1;
    if (dir) {
        size = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        size = size > 1e-12f ? size : 1e-12f;
    }
    for (int k = 0; k < 3; k++)
        normal[k] = g[k] / held;
    for (int k = 0; k < 3; k++)
        view[k] = dir ? -d[k] / size : normal[k];
    for (int k = 0; k < 3; k++) {
        frame[8 * i + k] = normal[k];
        frame[8 * i + 4 + k] = view[k];
    }
    frame[8 * i + 3] = held;
    frame[8 * i + 7] = view[0] * normal[0] + view[1] * normal[1] + view[2] * normal[2];
}

/* to [n, 6 + code + features] = [x, encoded reflection, normal, z's columns from 1 on + b]. */
static __global__ void
color_input(float *to, const float *x, const float *frame, int64_t code, const float *z, const float *b,
            int64_t features,
            int64_t points, int64_t n)
{
    const int64_t width = 6 + code + features, row = pitch(width);
    FOR_ROWS (i, n) {
        const float *const normal = frame + 8 * i, *const view = normal + 4;
        float value = 0;
        if (j >= row)
            continue;
        if (j < 3) {
            value = x[3 * (i < points ? i : points - 1) + j];
        } else if (j < 3 + code) {
            float reflected[3];
            for (int k = 0; k < 3; k++)
                reflected[k] = 2 * normal[7] * normal[k] - view[k];
            value = encoded(reflected, j - 3);
        } else if (j < 6 + code) {
            value = normal[j - 3 - code];
        } else if (j < width) {
            const int64_t f = j - 5 - code;
            value = z[i * pitch(1 + features) + f] + b[f];
        }
        to[i * row + j] = value;
    }
}

static __global__ void
rectify(float *z, int64_t width, const float *b, int64_t n)
{
    FOR_ROWS (i, n)
        if (j < width) {                        // the product has written the zeros
            const float v = z[i * pitch(width) + j] + b[j];
            z[i * pitch(width) + j] = v < 0 ? 0 : v;    // a NaN stays one
        }
}

/* kept, rgb [n, 3] from z, whose rows are 4 apart. */
static __global__ void
logistic(float *kept, float *rgb, const float *z, const float *b, int64_t points, int64_t n)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (t >= 3 * n)
        return;
    kept[t] = 1 / (1 + expf(-(z[t / 3 * pitch(3) + t % 3] + b[t % 3])));
    if (t < 3 * points)
        rgb[t] = kept[t];
}

// ---- forward ----

struct scratch {                // [points, widest] each; extra [points, encoded]; g_bar [points, 3]
    float *z, *p, *extra, *g_bar;
};

static pf_err
reserve(struct mlp_cuda *c, struct rows *t, struct scratch *s, int64_t n, int64_t width)
{
    const struct mlp *const m = host_of(c);
    t->n = rounded_up(n);
    PF_TRY(pf_cuda_reserve(&c->tape, (size_t)(t->n * width) * sizeof(float), "activations"));
    const int64_t widest = pitch(m->widest), code = pitch(m->encoded);
    PF_TRY(pf_cuda_reserve(&c->scratch, (size_t)(t->n * (2 * widest + code + 3)) * sizeof(float), "activations"));
    t->base = pf_cuda_data<float>(&c->tape);
    s->z = pf_cuda_data<float>(&c->scratch);
    s->p = s->z + t->n * widest;
    s->extra = s->p + t->n * widest;
    s->g_bar = s->extra + t->n * code;
    return PF_OK;
}

static pf_err
encode_points(struct mlp_cuda *c, float *code, const float *x, int64_t points, int64_t n)
{
    const int64_t width = host_of(c)->encoded;
    encode<<<OVER(c, n, width)>>>(code, width, x, points, n);
    return pf_launched(c->net.dev, "encoding");
}

/* The input of layer l + 1 from z of layer l. */
static pf_err
next_input(struct mlp_cuda *c, int l, float *next, float *slope, const float *z, const float *code, int64_t n)
{
    const struct mlp *const m = host_of(c);
    const int64_t width = m->sdf[l + 1].in;
    activate<<<OVER(c, n, width)>>>(next, width, slope, z, m->sdf[l].out, c->layer[l].b, code, m->encoded,
                                    l + 1 == m->skip ? PF_ROOT_HALF : 1.0f, n);
    return pf_launched(c->net.dev, "softplus");
}

static pf_err
some_sdf(struct mlp_cuda *c, float *sdf, const float *x, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    struct rows t;
    struct scratch s;
    PF_TRY(reserve(c, &t, &s, points, 1));
    const float *h = s.extra;
    PF_TRY(encode_points(c, s.extra, x, points, t.n));
    for (int l = 0; l < L; l++) {
        PF_TRY(times_transposed(c, s.z, h, &m->sdf[l], &c->layer[l], t.n));             // [n, out]
        PF_TRY(next_input(c, l, s.p, NULL, s.z, s.extra, t.n));                         // [n, in of the next]
        h = s.p;
    }
    dot_rows<<<pf_blocks(points * PF_WARP, 256), 256, 0, stream_of(c)>>>(sdf, h, m->sdf[L].in, c->layer[L].w,
                                                                         c->layer[L].b,
                                                                         points);
    return pf_launched(c->net.dev, "distance");
}

/* d sdf / d x [points, 3], in reverse through the layers (field.md, 8: u, p, q). */
static pf_err
sdf_gradient(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, float *grad, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    for (int l = L; l > 0; l--) {
        const struct layer *const a = &m->sdf[l], *const below = a - 1;
        const bool skip = l == m->skip;
        if (l < L)
            PF_TRY(times(c, s->p, at(t, a->u), a, &c->layer[l], t->n, false));          // [n, in]
        chain<<<OVER(c, t->n, a->in)>>>(at(t, below->u), below->out, at(t, below->slope), l < L ? s->p : c->layer[L].w,
                                        l == L, a->in, skip ? s->extra : NULL, skip ? PF_ROOT_HALF : 1.0f,
                                        t->n);
        PF_TRY(pf_launched(c->net.dev, "gradient of the distance"));
    }
    PF_TRY(times(c, s->extra, at(t, m->sdf[0].u), &m->sdf[0], &c->layer[0], t->n, true));       // [n, encoded]
    space_gradient<<<pf_blocks(3 * points, 256), 256, 0, stream_of(c)>>>(grad, s->extra, at(t, m->sdf[0].x), m->encoded,
                                                                         m->sdf_freq, points);
    return pf_launched(c->net.dev, "gradient of the distance");
}

static pf_err
color_forward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, float *rgb, const float *x,
              const float *dir, const float *grad, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int C = m->color_layers - 1, L = m->sdf_layers - 1;
    const struct mlp_layer *const l = &c->layer[m->sdf_layers];
    make_frame<<<pf_blocks(t->n, 128), 128, 0, stream_of(c)>>>(at(t, m->frame), grad, dir, points, t->n);
    color_input<<<OVER(c, t->n, m->color[0].in)>>>(at(t, m->color[0].x), x, at(t, m->frame), m->color_encoded, s->z,
                                                   c->layer[L].b, m->feature, points, t->n);
    PF_TRY(pf_launched(c->net.dev, "input of the colour"));
    for (int i = 0; i <= C; i++) {
        const struct layer *const a = &m->color[i];
        float *const z = i < C ? at(t, a[1].x) : s->z;
        PF_TRY(times_transposed(c, z, at(t, a->x), a, &l[i], t->n));                    // [n, out]
        if (i < C)
            rectify<<<OVER(c, t->n, a->out)>>>(z, a->out, l[i].b, t->n);
        PF_TRY(pf_launched(c->net.dev, "colour"));
    }
    logistic<<<pf_blocks(3 * t->n, 256), 256, 0, stream_of(c)>>>(at(t, m->rgb), rgb, s->z, l[C].b, points, t->n);
    return pf_launched(c->net.dev, "colour");
}

static pf_err
some_forward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, float *sdf, float *grad, float *rgb,
             const float *x, const float *dir, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    float *const code = at(t, m->sdf[0].x);
    PF_TRY(encode_points(c, code, x, points, t->n));
    for (int l = 0; l <= L; l++) {
        const struct layer *const a = &m->sdf[l];
        PF_TRY(times_transposed(c, s->z, at(t, a->x), a, &c->layer[l], t->n));          // [n, out]
        if (l < L)
            PF_TRY(next_input(c, l, at(t, a[1].x), at(t, a->slope), s->z, code, t->n));
    }
    first_column<<<pf_blocks(points, 256), 256, 0, stream_of(c)>>>(sdf, s->z, 1 + m->feature, c->layer[L].b, points);
    PF_TRY(pf_launched(c->net.dev, "distance"));
    PF_TRY(sdf_gradient(c, t, s, grad, points));
    return rgb ? color_forward(c, t, s, rgb, x, dir, grad, points) : PF_OK;
}

// ---- backward ----

/* z_bar [n, 3] = d_rgb rgb (1 - rgb); 0 beyond the last point. */
static __global__ void
logistic_backward(float *z_bar, const float *d_rgb, const float *rgb, int64_t points, int64_t n)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / pitch(3), k = t % pitch(3);
    if (i < n)
        z_bar[t] = i < points && k < 3 ? d_rgb[3 * i + k] * rgb[3 * i + k] * (1 - rgb[3 * i + k]) : 0.0f;
}

static __global__ void
rectify_backward(float *x_bar, const float *x, int64_t width, int64_t n)
{
    FOR_ROWS (i, n)
        if (j < width && !(x[i * pitch(width) + j] > 0))
            x_bar[i * pitch(width) + j] = 0;
}

/* g_bar [n, 3] = d_grad, 0 beyond the last point, plus the normal's share of x_bar, the colour network's
 * input's; x_bar NULL: none. */
static __global__ void
frame_backward(float *g_bar, const float *d_grad, const float *x_bar, const float *input, int64_t width,
               const float *frame,
               int frequencies, int64_t points, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    float g[3] = {0, 0, 0};
    if (i >= n)
        return;
    for (int k = 0; k < 3 && i < points; k++)
        g[k] = d_grad[3 * i + k];
    if (x_bar) {
        const float *const normal = frame + 8 * i, *const view = normal + 4, *const code = input + i * pitch(width) + 3;
        const float *const q = x_bar + i * pitch(width) + 3, *const direct = q + 3 + 6 * frequencies;
        float r_bar[3], n_bar[3];
        for (int k = 0; k < 3; k++)
            r_bar[k] = encoded_transposed(q, code, frequencies, k);
        const float rn = r_bar[0] * normal[0] + r_bar[1] * normal[1] + r_bar[2] * normal[2];
        for (int k = 0; k < 3; k++)             // reflected = 2 (view . normal) normal - view
            n_bar[k] = direct[k] + 2 * (rn * view[k] + normal[7] * r_bar[k]);
        const float along = n_bar[0] * normal[0] + n_bar[1] * normal[1] + n_bar[2] * normal[2];
        for (int k = 0; k < 3; k++)
            g[k] += (n_bar[k] - along * normal[k]) / normal[3];
    }
    for (int k = 0; k < 3; k++)
        g_bar[3 * i + k] = g[k];
}

/* z_bar [n, 1 + features] = [d_sdf | the feature's columns of x_bar [n, width], the last]; x_bar NULL: 0. */
static __global__ void
output_backward(float *z_bar, const float *d_sdf, const float *x_bar, int64_t width, int64_t features, int64_t points,
                int64_t n)
{
    const int64_t row = pitch(1 + features);
    FOR_ROWS (i, n)
        if (j < row)
            z_bar[i * row + j] = j == 0                   ? i < points ? d_sdf[i] : 0.0f
                                 : x_bar && j <= features ? x_bar[i * pitch(width) + width - features + j - 1] : 0.0f;
}

/* J g_bar [n, width]: how the encoding changes when x moves by g_bar. */
static __global__ void
encode_moved(float *to, const float *g_bar, const float *code, int64_t width, int64_t n)
{
    const int64_t row = pitch(width);
    FOR_ROWS (i, n)
        if (j < row) {
            const float *const d = g_bar + 3 * i, *const ci = code + i * row;
            const int k = (int)(j - 3) / 6, r = (int)(j - 3) % 6;
            to[i * row + j] = j < 3        ? d[j]
                              : j >= width ? 0.0f
                              : r < 3      ? (float)(1 << k) * ci[j + 3] * d[r]
                                           : -(float)(1 << k) * ci[j - 3] * d[r - 3];
        }
}

/* next [n, width] = scale [slope u_bar | q_bar], extra [n, out] = 100 (1 - slope) u u_bar. */
static __global__ void
chain_backward(float *next, int64_t width, float *extra, const float *u_bar, const float *slope, const float *u,
               int64_t out,
               const float *q_bar, int64_t code_width, float scale, int64_t n)
{
    const int64_t row = pitch(width), out_row = pitch(out);
    FOR_ROWS (i, n) {
        if (j < out) {
            const float s = slope[i * out_row + j], b = u_bar[i * out_row + j];
            next[i * row + j] = scale * (s * b);
            extra[i * out_row + j] = 100 * (1 - s) * u[i * out_row + j] * b;
        } else {
            if (j < row)
                next[i * row + j] = j < width ? scale * q_bar[i * pitch(code_width) + j - out] : 0.0f;
            if (j < out_row)
                extra[i * out_row + j] = 0;
        }
    }
}

/* z_bar [n, out] += scale slope x_bar, x_bar [n, in]. */
static __global__ void
softplus_backward(float *z_bar, int64_t out, const float *slope, const float *x_bar, int64_t in, float scale, int64_t n)
{
    FOR_ROWS (i, n)
        if (j < out)
            z_bar[i * pitch(out) + j] += scale * (slope[i * pitch(out) + j] * x_bar[i * pitch(in) + j]);
}

/* part [SLICES, width] = sums over a slice of rows each; then they are added to `to`, in order. */
static __global__ void
add_rows(double *part, const float *x, int64_t width, int64_t n)
{
    const int64_t j = blockIdx.x * (int64_t)COLUMNS + threadIdx.x, s = blockIdx.y;
    const int64_t from = n * s / SLICES, to = n * (s + 1) / SLICES;
    double sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};   // loads that do not wait for each other
    if (j >= width)
        return;
    for (int64_t i = from; i < to; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += i + k < to ? x[(i + k) * pitch(width) + j] : 0.0f;
    part[s * width + j] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static __global__ void
add_slices(float *to, const double *part, int64_t width)
{
    __shared__ double sum[SLICE_WARPS][PF_WARP];
    const int warp = threadIdx.x / PF_WARP, lane = threadIdx.x % PF_WARP;
    const int64_t j = blockIdx.x * (int64_t)PF_WARP + lane;
    double mine = 0;
    for (int64_t s = warp; j < width && s < SLICES; s += SLICE_WARPS)
        mine += part[s * width + j];
    sum[warp][lane] = mine;
    __syncthreads();
    if (warp || j >= width)
        return;
    for (int k = 1; k < SLICE_WARPS; k++)
        mine += sum[k][lane];
    to[j] += (float)mine;
}

static pf_err
column_sums(struct mlp_cuda *c, float *to, const float *x, int64_t width, int64_t n)
{
    const unsigned columns = (unsigned)((width + COLUMNS - 1) / COLUMNS);
    PF_TRY(pf_cuda_reserve(&c->sums, (size_t)(SLICES * width) * sizeof(double), "sums"));
    add_rows<<<dim3(columns, SLICES), COLUMNS, 0, stream_of(c)>>>(pf_cuda_data<double>(&c->sums), x, width, n);
    add_slices<<<pf_blocks(width, PF_WARP), SLICE_WARPS * PF_WARP, 0, stream_of(c)>>>(to, pf_cuda_data<double>(&c->sums),
                                                                                     width);
    return pf_launched(c->net.dev, "sums over points");
}

/* Through the colour network: leaves z_bar of its layers, and the cotangent of its input in s->p. */
static pf_err
color_backward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, const float *d_rgb)
{
    const struct mlp *const m = host_of(c);
    const struct mlp_layer *const l = &c->layer[m->sdf_layers];
    const int C = m->color_layers - 1;
    logistic_backward<<<pf_blocks(pitch(3) * t->n, 256), 256, 0, stream_of(c)>>>(at(t, m->color[C].z_bar), d_rgb,
                                                                                 at(t, m->rgb), c->points, t->n);
    PF_TRY(pf_launched(c->net.dev, "colour backward"));
    for (int i = C; i >= 0; i--) {
        const struct layer *const a = &m->color[i];
        float *const x_bar = i ? at(t, a[-1].z_bar) : s->p;
        PF_TRY(times(c, x_bar, at(t, a->z_bar), a, &l[i], t->n, false));                // [n, in]
        if (i)
            rectify_backward<<<OVER(c, t->n, a->in)>>>(x_bar, at(t, a->x), a->in, t->n);
        PF_TRY(pf_launched(c->net.dev, "colour backward"));
    }
    return PF_OK;
}

/* The gradient chain's cotangents p_bar, in the order of the layers, and what they add to z_bar. */
static pf_err
chain_up(struct mlp_cuda *c, const struct rows *t, const struct scratch *s)
{
    const struct mlp *const m = host_of(c);
    float *const q_bar = at(t, m->sdf[0].p_bar);
    encode_moved<<<OVER(c, t->n, m->encoded)>>>(q_bar, s->g_bar, at(t, m->sdf[0].x), m->encoded, t->n);
    PF_TRY(pf_launched(c->net.dev, "encoding"));
    for (int l = 0; l < m->sdf_layers - 1; l++) {
        const struct layer *const a = &m->sdf[l];
        PF_TRY(times_transposed(c, s->z, at(t, a->p_bar), a, &c->layer[l], t->n));      // [n, out]
        chain_backward<<<OVER(c, t->n, a[1].in)>>>(at(t, a[1].p_bar), a[1].in, at(t, a->z_bar), s->z, at(t, a->slope),
                                                   at(t, a->u), a->out, q_bar, m->encoded,
                                                   l + 1 == m->skip ? PF_ROOT_HALF : 1.0f, t->n);
        PF_TRY(pf_launched(c->net.dev, "second order"));
    }
    return PF_OK;
}

static pf_err
sdf_backward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s)
{
    const struct mlp *const m = host_of(c);
    for (int l = m->sdf_layers - 1; l > 0; l--) {
        const struct layer *const a = &m->sdf[l], *const below = a - 1;
        PF_TRY(times(c, s->z, at(t, a->z_bar), a, &c->layer[l], t->n, false));          // [n, in]
        softplus_backward<<<OVER(c, t->n, below->out)>>>(at(t, below->z_bar), below->out, at(t, below->slope), s->z,
                                                         a->in,
                                                         l == m->skip ? PF_ROOT_HALF : 1.0f, t->n);
        PF_TRY(pf_launched(c->net.dev, "distance backward"));
    }
    return PF_OK;
}

/* Add this tape's share to the gradients of w and b. */
static pf_err
layer_gradients(struct mlp_cuda *c, const struct rows *t, bool color)
{
    struct mlp *const m = (struct mlp *)c->net.host;
    const int last = m->sdf_layers - 1;
    for (int i = 0; i < (color ? matrices(m) : m->sdf_layers); i++) {
        const struct layer *const a = matrix(m, i);
        const struct mlp_layer *const l = &c->layer[i];
        PF_TRY(add_outer(c, l, at(t, a->z_bar), at(t, a->x), a, t->n));
        if (i < last)
            PF_TRY(add_outer(c, l, at(t, a->u), at(t, a->p_bar), a, t->n));
        if (i == last)                          // u is (1, 0, 0, ...)
            PF_TRY(column_sums(c, l->dw, at(t, a->p_bar), a->in, t->n));
        PF_TRY(column_sums(c, l->d_b, at(t, a->z_bar), a->out, t->n));
    }
    return PF_OK;
}

// ---- weight norm ----

/* w [out, in] and wt [in, out] = g v / |v| by rows of v, which are dense, |v| in double.  One warp a row. */
static __global__ void
weight_norm(float *w, float *wt, double *length, const float *g, const float *v, int64_t out, int64_t in)
{
    const int64_t o = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    double sum = 0;
    if (o >= out)
        return;
    for (int64_t j = lane; j < in; j += PF_WARP)
        sum += (double)v[o * in + j] * v[o * in + j];
    for (int d = PF_WARP / 2; d; d /= 2)
        sum += __shfl_xor_sync(PF_WHOLE_WARP, sum, d);
    const double size = sqrt(sum);
    const float scale = sum > 0 ? (float)(g[o] / size) : 0;
    if (lane == 0)
        length[o] = size;
    for (int64_t j = lane; j < in; j += PF_WARP)
        w[o * pitch(in) + j] = wt[j * pitch(out) + o] = scale * v[o * in + j];
}

/* d_g [out], d_v [out, in] from dw. */
static __global__ void
weight_norm_backward(float *d_g, float *d_v, const float *dw, const float *g, const float *v, const double *length,
                     int64_t out, int64_t in)
{
    const int64_t o = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    double dot = 0;
    if (o >= out)
        return;
    const double size = length[o];
    for (int64_t j = lane; j < in; j += PF_WARP)
        dot += (double)dw[o * pitch(in) + j] * v[o * in + j];
    for (int d = PF_WARP / 2; d; d /= 2)
        dot += __shfl_xor_sync(PF_WHOLE_WARP, dot, d);
    dot = size > 0 ? dot / size : 0;
    const float scale = size > 0 ? (float)(g[o] / size) : 0, along = size > 0 ? (float)(dot / size) : 0;
    if (lane == 0)
        d_g[o] = (float)dot;
    for (int64_t j = lane; j < in; j += PF_WARP)
        d_v[o * in + j] = scale * (dw[o * pitch(in) + j] - along * v[o * in + j]);
}

// ---- the network as net.cuh wants it ----

static pf_err
mlp_changed(struct pf_net_cuda *base)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    struct mlp *const m = (struct mlp *)base->host;
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *const a = matrix(m, i);
        const struct mlp_layer *const l = &c->layer[i];
        weight_norm<<<pf_blocks(a->out * PF_WARP, 128), 128, 0, stream_of(c)>>>(l->w, l->wt, l->length, l->g, l->v,
                                                                                a->out, a->in);
        PF_TRY(pf_launched(base->dev, "weight norm"));
    }
    return PF_OK;
}

static pf_err
mlp_sdf(struct pf_net_cuda *base, float *sdf, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += MOST_POINTS)
        PF_TRY(some_sdf((struct mlp_cuda *)base, sdf + i, x + 3 * i, n - i < MOST_POINTS ? n - i : MOST_POINTS));
    return PF_OK;
}

static pf_err
mlp_forward(struct pf_net_cuda *base, float *sdf, float *grad, float *rgb, const float *x, const float *dir, int64_t n,
            bool tape)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    const struct mlp *const m = host_of(c);
    struct rows t;
    struct scratch s;
    if (tape && n > base->chunk)
        pf_bug("a tape of %lld points, at most %lld", (long long)n, (long long)base->chunk);
    if (tape) {
        c->x = x;
        c->dir = dir;
        c->points = n;
        c->color = rgb != NULL;
    }
    for (int64_t i = 0; i < n; i += MOST_POINTS) {
        const int64_t points = n - i < MOST_POINTS ? n - i : MOST_POINTS;
        PF_TRY(reserve(c, &t, &s, points, tape ? m->width : m->forward_width));
        PF_TRY(some_forward(c, &t, &s, sdf + i, grad + 3 * i, rgb ? rgb + 3 * i : NULL, x + 3 * i, dir ? dir +
                            3 * i : NULL,
                            points));
    }
    return PF_OK;
}

static pf_err
mlp_backward(struct pf_net_cuda *base, const float *d_sdf, const float *d_grad, const float *d_rgb)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    const struct mlp *const m = host_of(c);
    const bool color = d_rgb && c->color;
    const struct layer *const last = &m->sdf[m->sdf_layers - 1];
    struct rows t;
    struct scratch s;
    if (c->points == 0)
        return PF_OK;
    PF_TRY(reserve(c, &t, &s, c->points, m->width));    // as forward left them
    if (color)
        PF_TRY(color_backward(c, &t, &s, d_rgb));
    frame_backward<<<pf_blocks(t.n, 128), 128, 0, stream_of(c)>>>(s.g_bar, d_grad, color ? s.p : NULL,
                                                                  at(&t, m->color[0].x), m->color[0].in, at(&t,
                                                                                                            m->frame),
                                                                  m->color_freq, c->points, t.n);
    output_backward<<<OVER(c, t.n, 1 + m->feature)>>>(at(&t, last->z_bar), d_sdf, color ? s.p : NULL, m->color[0].in,
                                                      m->feature, c->points, t.n);
    PF_TRY(pf_launched(base->dev, "colour backward"));
    PF_TRY(chain_up(c, &t, &s));
    PF_TRY(sdf_backward(c, &t, &s));
    return layer_gradients(c, &t, color);
}

static pf_err
mlp_clear(struct pf_net_cuda *base, float inv_s)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    (void)inv_s;
    PF_CUDA_TRY(cudaMemsetAsync(base->grad, 0, (size_t)base->count * sizeof(float), stream_of(c)),
                "clearing gradients");
    PF_CUDA_TRY(cudaMemsetAsync(c->layer[0].dw, 0, (size_t)c->numbers * sizeof(float), stream_of(c)),
                "clearing gradients");
    return PF_OK;
}

static pf_err
mlp_collect(struct pf_net_cuda *base)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    struct mlp *const m = (struct mlp *)base->host;
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *const a = matrix(m, i);
        const struct mlp_layer *const l = &c->layer[i];
        weight_norm_backward<<<pf_blocks(a->out * PF_WARP, 128), 128, 0, stream_of(c)>>>(l->d_g, l->d_v, l->dw, l->g,
                                                                                         l->v,
                                                                                         l->length, a->out, a->in);
        PF_TRY(pf_launched(base->dev, "weight norm backward"));
    }
    return PF_OK;
}

static void
mlp_free(struct pf_net_cuda *base)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    pf_net_cuda_release(base);
    pf_cuda_release(&c->weights);
    pf_cuda_release(&c->lengths);
    pf_cuda_release(&c->tape);
    pf_cuda_release(&c->scratch);
    pf_cuda_release(&c->sums);
    pf_matmul_release(&c->plans);
    free(c);
}

static const struct pf_net_cuda_ops ops = {
    mlp_changed, mlp_sdf, mlp_forward, mlp_backward, mlp_clear, mlp_collect, mlp_free,
};

/* Of a layer's w, to 256 bytes. */
static int64_t
numbers_of(const struct layer *a)
{
    return (pitch(a->in) * pitch(a->out) + 63) / 64 * 64;
}

/* Memory of all w, wt, dw and lengths; where each layer's parameters are among the field's: g, v, b in turn. */
static pf_err
lay_out(struct mlp_cuda *c)
{
    struct mlp *const m = (struct mlp *)c->net.host;
    int64_t out = 0, parameter = 0;
    c->numbers = 0;
    for (int i = 0; i < matrices(m); i++) {
        c->numbers += numbers_of(matrix(m, i));
        out += matrix(m, i)->out;
    }
    PF_TRY(pf_cuda_reserve(&c->weights, (size_t)(3 * c->numbers) * sizeof(float), "a field's weights"));
    PF_TRY(pf_cuda_reserve(&c->lengths, (size_t)out * sizeof(double), "a field's weights"));
    PF_CUDA_TRY(cudaMemsetAsync(c->weights.data, 0, (size_t)(3 * c->numbers) * sizeof(float), stream_of(c)),
                "clearing a field's weights");
    float *w = pf_cuda_data<float>(&c->weights);
    double *length = pf_cuda_data<double>(&c->lengths);
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *const a = matrix(m, i);
        struct mlp_layer *const l = &c->layer[i];
        l->w = w;
        l->wt = w + c->numbers;
        l->dw = w + 2 * c->numbers;
        l->length = length;
        l->g = c->net.value + parameter;
        l->v = l->g + a->g->n;
        l->b = l->v + a->v->n;
        l->d_g = c->net.grad + parameter;
        l->d_v = l->d_g + a->g->n;
        l->d_b = l->d_v + a->v->n;
        w += numbers_of(a);
        length += a->out;
        parameter += a->g->n + a->v->n + a->b->n;
    }
    return parameter == c->net.count ? PF_OK : pf_fail(PF_EDEV, "a field's parameters are not where they should be");
}

pf_err
pf_mlp_cuda_new(struct pf_net_cuda **out, pf_dev *dev, struct pf_net *host)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return pf_fail(PF_ENOMEM, "no memory for a field");
    pf_err err = pf_net_cuda_init(&c->net, &ops, dev, host);
    c->net.chunk = MOST_POINTS;
    if (err == PF_OK)
        err = lay_out(c);
    if (err != PF_OK) {
        mlp_free(&c->net);
        return err;
    }
    *out = &c->net;
    return PF_OK;
}
