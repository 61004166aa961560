/* mlp.cu - the original's field on a GPU (mlp.c): products by cublasLt, and between them kernels
 * that do what mlp.c does between its own.  Everything is f32; on a device that need not be exact
 * (net->rough) a field is trained by mlp_half.cu instead.
 *
 * Arrays are mlp.c's tape, [points, width] each, for as many points as the tape takes at once; the
 * number of points is rounded up to one of a few, so that cublasLt is asked for few shapes and
 * arrays begin at multiples of 256 bytes.  Points beyond the last repeat it and have cotangents of
 * 0.  Rows are pitch(width) apart, so that each starts at 16 bytes, and end in zeros; so do the
 * rows and columns of weights, and products are of whole rows.  Weights are w = g v / |v|, made
 * again when the parameters change; the gradient of w adds up over the pieces of a step in a buffer
 * of its own and becomes that of g and v at the end.
 *
 * Production (configs/neus-mlp.yaml): 4096 rays, 112 distances each and 50 points inside.
 * Products: 1.05 MFLOP a distance, 8 MFLOP a point forward and backward: 0.48 + 1.6 TFLOP a step,
 * 31 ms at 67 TFLOP/s of f32.  Bytes: 12.8 k floats of tape a point, read or written some 3 times:
 * 31 GB, 6.5 ms at 4.8 TB/s.  Seen: 119 ms. */
#include <cstdlib>

#include "kernels/field/mlp/mlp.cuh"

/* A tape of halves is the larger one where there is room: longer products, fewer launches, 3.8 GB
 * for configs/neus-mlp.yaml instead of 1. */
enum { MAX_POINTS = 1 << 15, MAX_HALF_POINTS = 1 << 17 };
static const size_t ROOM = (size_t)10 << 30;    /* bytes of a card that has it */

int64_t
pf_mlp_cuda_rounded(int64_t n)
{
    const int64_t step = MAX_POINTS / 8;
    int64_t p = 64;
    if (n > step)
        return (n + step - 1) / step * step;
    while (p < n)
        p *= 2;
    return p;
}

// ---- kernels ----

static __device__ __forceinline__ float
softplus(float z, float *slope)
{
    return pf_softplus(z, expf(-fabsf(100 * z)), slope);
}

/* code [n, width]; x [points, 3]: beyond the last point it is the last. */
static __global__ void
encode(float *code, int64_t width, const float *x, int64_t points, int64_t n)
{
    const int64_t row = pitch(width);
    FOR_ROWS (i, n)
        if (j < row)
            code[i * row + j] =
                j < width ? pf_mlp_encoded(x + 3 * (i < points ? i : points - 1), j) : 0.0f;
}

/* next [n, width] = scale [phi(z + b) | code], slope [n, out]; slope NULL: it is not wanted. */
static __global__ void
activate(float *next, int64_t width, float *slope, const float *z, int64_t out, const float *b,
         const float *code, int64_t code_width, float scale, int64_t n)
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

/* sdf [points] = h [points, width] . w + b: a warp a point, in an order that depends on width
 * alone. */
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

/* u [n, out] = slope scale p, p [n, in], or one row for all; columns beyond out go to extra [n, in
 * - out], times scale, where that is not NULL. */
static __global__ void
chain(float *u, int64_t out, const float *slope, const float *p, bool one_row, int64_t in,
      float *extra, float scale, int64_t n)
{
    const int64_t row = one_row ? 0 : pitch(in), out_row = pitch(out);
    FOR_ROWS (i, n) {
        if (j < out_row)
            u[i * out_row + j] = j < out ? slope[i * out_row + j] * (scale * p[i * row + j]) : 0.0f;
        if (extra && j >= out && j < in)        // no factor: its rows may end in anything
            extra[i * pitch(in - out) + j - out] = scale * p[i * row + j];
    }
}

static __global__ void
space_gradient(float *grad, const float *q, const float *code, int64_t width, int frequencies,
               int64_t points)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / 3;
    if (i < points)
        grad[t] = pf_encoded_transposed(q + i * pitch(width), code + i * pitch(width), frequencies,
                                        (int)(t % 3));
}

static __global__ void
make_frame(float *frame, const float *grad, const float *dir, int64_t points, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const int64_t from = i < points ? i : points - 1;
    float own[8];
    pf_frame(own, grad + 3 * from, dir ? dir + 3 * from : NULL);
    for (int k = 0; k < 8; k++)
        frame[8 * i + k] = own[k];
}

/* to [n, 6 + code + features] = [x, encoded reflection, normal, z's columns from 1 on + b]. */
static __global__ void
color_input(float *to, const float *x, const float *frame, int64_t code, const float *z,
            const float *b, int64_t features, int64_t points, int64_t n)
{
    const int64_t width = 6 + code + features, row = pitch(width);
    FOR_ROWS (i, n) {
        float value = 0;
        if (j >= row)
            continue;
        if (j < 6 + code) {
            value = pf_mlp_seen(x + 3 * (i < points ? i : points - 1), frame + 8 * i, code, j);
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

// ---- for mlp_half.cu, too ----

pf_err
pf_mlp_cuda_space_gradient(struct mlp_cuda *c, float *grad, const float *q, const float *code,
                           int64_t points)
{
    const struct mlp *const m = host_of(c);
    space_gradient<<<pf_blocks(3 * points, 256), 256, 0, stream_of(c)>>>(grad, q, code, m->encoded,
                                                                        m->sdf_freq, points);
    return pf_launched(c->net.dev, "gradient of the distance");
}

pf_err
pf_mlp_cuda_frame(struct mlp_cuda *c, float *frame, const float *grad, const float *dir,
                  int64_t points, int64_t n)
{
    make_frame<<<pf_blocks(n, 128), 128, 0, stream_of(c)>>>(frame, grad, dir, points, n);
    return pf_launched(c->net.dev, "input of the colour");
}

pf_err
pf_mlp_cuda_logistic(struct mlp_cuda *c, float *kept, float *rgb, const float *z, int64_t points,
                     int64_t n)
{
    const struct mlp *const m = host_of(c);
    logistic<<<pf_blocks(3 * n, 256), 256, 0, stream_of(c)>>>(
        kept, rgb, z, c->layer[matrices(m) - 1].b, points, n);
    return pf_launched(c->net.dev, "colour");
}

// ---- forward ----

pf_err
pf_mlp_cuda_reserve(struct mlp_cuda *c, struct rows *t, struct scratch *s, int64_t n, int64_t width)
{
    const struct mlp *const m = host_of(c);
    t->n = pf_mlp_cuda_rounded(n);
    PF_TRY(pf_cuda_reserve(&c->tape, (size_t)(t->n * width) * sizeof(float), "activations"));
    const int64_t widest = pitch(m->widest), code = pitch(m->encoded);
    PF_TRY(pf_cuda_reserve(&c->scratch, (size_t)(t->n * (2 * widest + code + 3)) * sizeof(float),
                           "activations"));
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
next_input(struct mlp_cuda *c, int l, float *next, float *slope, const float *z, const float *code,
           int64_t n)
{
    const struct mlp *const m = host_of(c);
    const int64_t width = m->sdf[l + 1].in;
    activate<<<OVER(c, n, width)>>>(next, width, slope, z, m->sdf[l].out, c->layer[l].b, code,
                                    m->encoded, l + 1 == m->skip ? PF_ROOT_HALF : 1.0f, n);
    return pf_launched(c->net.dev, "softplus");
}

static pf_err
some_sdf(struct mlp_cuda *c, float *sdf, const float *x, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    struct rows t;
    struct scratch s;
    PF_TRY(pf_mlp_cuda_reserve(c, &t, &s, points, 1));
    const float *h = s.extra;
    PF_TRY(encode_points(c, s.extra, x, points, t.n));
    for (int l = 0; l < L; l++) {
        PF_TRY(times_transposed(c, s.z, h, &m->sdf[l], &c->layer[l], t.n));             // [n, out]
        PF_TRY(next_input(c, l, s.p, NULL, s.z, s.extra, t.n)); // [n, in of the next]
        h = s.p;
    }
    dot_rows<<<pf_blocks(points * PF_WARP, 256), 256, 0, stream_of(c)>>>(
        sdf, h, m->sdf[L].in, c->layer[L].w, c->layer[L].b, points);
    return pf_launched(c->net.dev, "distance");
}

/* d sdf / d x [points, 3], in reverse through the layers (field.md, 8: u, p, q). */
static pf_err
sdf_gradient(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, float *grad,
             int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int L = m->sdf_layers - 1;
    for (int l = L; l > 0; l--) {
        const struct layer *const a = &m->sdf[l], *const below = a - 1;
        const bool skip = l == m->skip;
        if (l < L)
            PF_TRY(times(c, s->p, at(t, a->u), a, &c->layer[l], t->n, false));          // [n, in]
        chain<<<OVER(c, t->n, a->in)>>>(at(t, below->u), below->out, at(t, below->slope),
                                        l < L ? s->p : c->layer[L].w, l == L, a->in,
                                        skip ? s->extra : NULL, skip ? PF_ROOT_HALF : 1.0f, t->n);
        PF_TRY(pf_launched(c->net.dev, "gradient of the distance"));
    }
    PF_TRY(times(c, s->extra, at(t, m->sdf[0].u), &m->sdf[0], &c->layer[0], t->n,
                 true));                // [n, encoded]
    return pf_mlp_cuda_space_gradient(c, grad, s->extra, at(t, m->sdf[0].x), points);
}

static pf_err
color_forward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, float *rgb,
              const float *x, const float *dir, const float *grad, int64_t points)
{
    const struct mlp *const m = host_of(c);
    const int C = m->color_layers - 1, L = m->sdf_layers - 1;
    const struct mlp_layer *const l = &c->layer[m->sdf_layers];
    PF_TRY(pf_mlp_cuda_frame(c, at(t, m->frame), grad, dir, points, t->n));
    color_input<<<OVER(c, t->n, m->color[0].in)>>>(at(t, m->color[0].x), x, at(t, m->frame),
                                                   m->color_encoded, s->z, c->layer[L].b,
                                                   m->feature, points, t->n);
    PF_TRY(pf_launched(c->net.dev, "input of the colour"));
    for (int i = 0; i <= C; i++) {
        const struct layer *const a = &m->color[i];
        float *const z = i < C ? at(t, a[1].x) : s->z;
        PF_TRY(times_transposed(c, z, at(t, a->x), a, &l[i], t->n));                    // [n, out]
        if (i < C)
            rectify<<<OVER(c, t->n, a->out)>>>(z, a->out, l[i].b, t->n);
        PF_TRY(pf_launched(c->net.dev, "colour"));
    }
    return pf_mlp_cuda_logistic(c, at(t, m->rgb), rgb, s->z, points, t->n);
}

static pf_err
some_forward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s, float *sdf,
             float *grad, float *rgb, const float *x, const float *dir, int64_t points)
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
    first_column<<<pf_blocks(points, 256), 256, 0, stream_of(c)>>>(sdf, s->z, 1 + m->feature,
                                                                   c->layer[L].b, points);
    PF_TRY(pf_launched(c->net.dev, "distance"));
    PF_TRY(sdf_gradient(c, t, s, grad, points));
    return rgb ? color_forward(c, t, s, rgb, x, dir, grad, points) : PF_OK;
}

// ---- weight norm ----

/* w [out, in] and wt [in, out] = g v / |v| by rows of v, which are dense, |v| in double.  One warp
 * a row. */
static __global__ void
weight_norm(float *w, float *wt, double *length, const float *g, const float *v, int64_t out,
            int64_t in)
{
    const int64_t o = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    double sum = 0;
    if (o >= out)
        return;
    for (int64_t j = lane; j < in; j += PF_WARP)
        sum += (double)v[o * in + j] * v[o * in + j];
    sum = pf_warp_sum(sum);
    const double size = sqrt(sum);
    const float scale = sum > 0 ? (float)(g[o] / size) : 0;
    if (lane == 0)
        length[o] = size;
    for (int64_t j = lane; j < in; j += PF_WARP)
        w[o * pitch(in) + j] = wt[j * pitch(out) + o] = scale * v[o * in + j];
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
        weight_norm<<<pf_blocks(a->out * PF_WARP, 128), 128, 0, stream_of(c)>>>(
            l->w, l->wt, l->length, l->g, l->v, a->out, a->in);
        PF_TRY(pf_launched(base->dev, "weight norm"));
    }
    return pf_mlp_half_changed(c);
}

static pf_err
mlp_sdf(struct pf_net_cuda *base, float *sdf, const float *x, int64_t n)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    const int64_t most = base->rough ? c->half_points : MAX_POINTS;
    for (int64_t i = 0; i < n; i += most) {
        const int64_t points = n - i < most ? n - i : most;
        PF_TRY(base->rough ? pf_mlp_half_sdf(c, sdf + i, x + 3 * i, points)
                           : some_sdf(c, sdf + i, x + 3 * i, points));
    }
    return PF_OK;
}

static pf_err
mlp_forward(struct pf_net_cuda *base, float *sdf, float *grad, float *rgb, const float *x,
            const float *dir, int64_t n, bool tape)
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
    if (tape && base->rough && n)
        return pf_mlp_half_forward(c, sdf, grad, rgb, x, dir, n);
    for (int64_t i = 0; i < n; i += MAX_POINTS) {
        const int64_t points = n - i < MAX_POINTS ? n - i : MAX_POINTS;
        PF_TRY(pf_mlp_cuda_reserve(c, &t, &s, points, tape ? m->width : m->forward_width));
        PF_TRY(some_forward(c, &t, &s, sdf + i, grad + 3 * i, rgb ? rgb + 3 * i : NULL, x + 3 * i,
                            dir ? dir + 3 * i : NULL, points));
    }
    return PF_OK;
}

static pf_err
mlp_clear(struct pf_net_cuda *base, float inv_s)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    (void)inv_s;
    base->chunk = base->rough ? c->half_points : MAX_POINTS;
    PF_CUDA_TRY(cudaMemsetAsync(base->grad, 0, (size_t)base->count * sizeof(float), stream_of(c)),
                "clearing gradients");
    PF_CUDA_TRY(
        cudaMemsetAsync(c->layer[0].dw, 0, (size_t)c->numbers * sizeof(float), stream_of(c)),
        "clearing gradients");
    PF_CUDA_TRY(cudaMemsetAsync(c->halves.data, 0, c->half_gradients, stream_of(c)),
                "clearing gradients");
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
    pf_cuda_release(&c->halves);
    free(c);
}

static const struct pf_net_cuda_ops ops = {
    mlp_changed, mlp_sdf, mlp_forward, pf_mlp_cuda_backward, mlp_clear, pf_mlp_cuda_collect,
    mlp_free,
};

/* Of a layer's w, to 256 bytes. */
static int64_t
numbers_of(const struct layer *a)
{
    return (pitch(a->in) * pitch(a->out) + 63) / 64 * 64;
}

/* Memory of all w, wt, dw and lengths; where each layer's parameters are among the field's: g, v, b
 * in turn. */
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
    PF_TRY(pf_cuda_reserve(&c->weights, (size_t)(3 * c->numbers) * sizeof(float),
                           "a field's weights"));
    PF_TRY(pf_cuda_reserve(&c->lengths, (size_t)out * sizeof(double), "a field's weights"));
    PF_CUDA_TRY(
        cudaMemsetAsync(c->weights.data, 0, (size_t)(3 * c->numbers) * sizeof(float), stream_of(c)),
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
    return parameter == c->net.count
               ? PF_OK
               : pf_fail(PF_EDEV, "a field's parameters are not where they should be");
}

pf_err
pf_mlp_cuda_new(struct pf_net_cuda **out, pf_dev *dev, struct pf_net *host)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return pf_fail(PF_ENOMEM, "no memory for a field");
    pf_err err = pf_net_cuda_init(&c->net, &ops, dev, host);
    size_t left, total = 0;
    if (cudaMemGetInfo(&left, &total) != cudaSuccess)
        cudaGetLastError();             // not an error: the smaller one will do
    c->half_points = total >= ROOM ? MAX_HALF_POINTS : MAX_POINTS;
    c->net.chunk = MAX_POINTS;
    if (err == PF_OK)
        err = lay_out(c);
    if (err == PF_OK)
        err = pf_mlp_half_new(c);
    if (err != PF_OK) {
        mlp_free(&c->net);
        return err;
    }
    *out = &c->net;
    return PF_OK;
}
