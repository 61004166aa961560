/* mlp_backward.cu - the backward pass of the original's field on a GPU (mlp_backward.c, mlp.cu). */
#include "kernels/field/mlp/mlp.cuh"

enum { SLICES = 512, SLICE_WARPS = 16 };

// ---- kernels ----

/* z_bar [n, 3] = d_rgb rgb (1 - rgb); 0 beyond the last point. */
static __global__ void
logistic_backward(float *z_bar, const float *d_rgb, const float *rgb, int64_t points, int64_t n)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, i = t / pitch(3);
    const int64_t k = t % pitch(3);
    if (i < n)
        z_bar[t] =
            i < points && k < 3 ? d_rgb[3 * i + k] * rgb[3 * i + k] * (1 - rgb[3 * i + k]) : 0.0f;
}

static __global__ void
rectify_backward(float *x_bar, const float *x, int64_t width, int64_t n)
{
    FOR_ROWS (i, n)
        if (j < width && !(x[i * pitch(width) + j] > 0))
            x_bar[i * pitch(width) + j] = 0;
}

/* pf_mlp_cuda_frame_backward(). */
static __global__ void
frame_backward(float *g_bar, const float *d_grad, const float *x_bar, const float *input,
               int64_t width, const float *frame, int frequencies, float scale, int64_t points,
               int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    float g[3] = {0, 0, 0};
    if (i >= n)
        return;
    for (int k = 0; k < 3 && i < points; k++)
        g[k] = scale * d_grad[3 * i + k];
    if (x_bar) {
        float own[8];
        for (int k = 0; k < 8; k++)
            own[k] = frame[8 * i + k];
        pf_frame_backward(g, x_bar + i * pitch(width) + 3, input + i * pitch(width) + 3, own,
                          frequencies);
    }
    for (int k = 0; k < 3; k++)
        g_bar[3 * i + k] = g[k];
}

/* z_bar [n, 1 + features] = [d_sdf | the feature's columns of x_bar [n, width], the last]; x_bar
 * NULL: 0. */
static __global__ void
output_backward(float *z_bar, const float *d_sdf, const float *x_bar, int64_t width,
                int64_t features, int64_t points, int64_t n)
{
    const int64_t row = pitch(1 + features);
    FOR_ROWS (i, n)
        if (j < row)
            z_bar[i * row + j] = j == 0 ? (i < points ? d_sdf[i] : 0.0f)
                                 : x_bar && j <= features
                                     ? x_bar[i * pitch(width) + width - features + j - 1]
                                     : 0.0f;
}

/* J g_bar [n, width]: how the encoding changes when x moves by g_bar. */
static __global__ void
encode_moved(float *to, const float *g_bar, const float *code, int64_t width, int64_t n)
{
    const int64_t row = pitch(width);
    FOR_ROWS (i, n)
        if (j < row)
            to[i * row + j] = j < width ? pf_mlp_moved(g_bar + 3 * i, code + i * row, j) : 0.0f;
}

/* next [n, width] = scale [slope u_bar | q_bar], extra [n, out] = 100 (1 - slope) u u_bar. */
static __global__ void
chain_backward(float *next, int64_t width, float *extra, const float *u_bar, const float *slope,
               const float *u, int64_t out, const float *q_bar, int64_t code_width, float scale,
               int64_t n)
{
    const int64_t row = pitch(width), out_row = pitch(out);
    FOR_ROWS (i, n) {
        if (j < out) {
            const float s = slope[i * out_row + j], b = u_bar[i * out_row + j];
            next[i * row + j] = scale * (s * b);
            extra[i * out_row + j] = 100 * (1 - s) * u[i * out_row + j] * b;
        } else {
            if (j < row)
                next[i * row + j] =
                    j < width ? scale * q_bar[i * pitch(code_width) + j - out] : 0.0f;
            if (j < out_row)
                extra[i * out_row + j] = 0;
        }
    }
}

/* z_bar [n, out] += scale slope x_bar, x_bar [n, in]. */
static __global__ void
softplus_backward(float *z_bar, int64_t out, const float *slope, const float *x_bar, int64_t in,
                  float scale, int64_t n)
{
    FOR_ROWS (i, n)
        if (j < out)
            z_bar[i * pitch(out) + j] +=
                scale * (slope[i * pitch(out) + j] * x_bar[i * pitch(in) + j]);
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
    part[s * width + j] =
        ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
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

/* d_g [out], d_v [out, in] from dw, whose rows are `row` apart and, like its columns, turned
 * (struct mlp_half); from_b: d_b turned likewise, NULL: d_b is what it should be.  All are scale
 * times too small. */
static __global__ void
weight_norm_backward(float *d_g, float *d_v, float *d_b, const float *dw, const float *from_b,
                     int64_t row, int64_t turn_out, int64_t turn_in, float scale, const float *g,
                     const float *v, const double *length, int64_t out, int64_t in)
{
    const int64_t o = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    double dot = 0;
    if (o >= out)
        return;
    const int64_t at = (o + out - turn_out) % out;
    const double size = length[o];
    for (int64_t j = lane; j < in; j += PF_WARP)
        dot += (double)(scale * dw[at * row + (j + in - turn_in) % in]) * v[o * in + j];
    dot = pf_warp_sum(dot);
    dot = size > 0 ? dot / size : 0;
    const float own = size > 0 ? (float)(g[o] / size) : 0;
    const float along = size > 0 ? (float)(dot / size) : 0;
    if (lane == 0)
        d_g[o] = (float)dot;
    if (lane == 0 && from_b)
        d_b[o] = scale * from_b[at];
    for (int64_t j = lane; j < in; j += PF_WARP)
        d_v[o * in + j] =
            own * (scale * dw[at * row + (j + in - turn_in) % in] - along * v[o * in + j]);
}

// ---- a tape ----

static pf_err
column_sums(struct mlp_cuda *c, float *to, const float *x, int64_t width, int64_t n)
{
    const unsigned columns = (unsigned)((width + COLUMNS - 1) / COLUMNS);
    PF_TRY(pf_cuda_reserve(&c->sums, (size_t)(SLICES * width) * sizeof(double), "sums"));
    add_rows<<<dim3(columns, SLICES), COLUMNS, 0, stream_of(c)>>>(pf_cuda_data<double>(&c->sums), x,
                                                                  width, n);
    add_slices<<<pf_blocks(width, PF_WARP), SLICE_WARPS * PF_WARP, 0, stream_of(c)>>>(
        to, pf_cuda_data<double>(&c->sums), width);
    return pf_launched(c->net.dev, "sums over points");
}

/* Through the colour network: leaves z_bar of its layers, and the cotangent of its input in
 * s->p. */
static pf_err
color_backward(struct mlp_cuda *c, const struct rows *t, const struct scratch *s,
               const float *d_rgb)
{
    const struct mlp *const m = host_of(c);
    const struct mlp_layer *const l = &c->layer[m->sdf_layers];
    const int C = m->color_layers - 1;
    logistic_backward<<<pf_blocks(pitch(3) * t->n, 256), 256, 0, stream_of(c)>>>(
        at(t, m->color[C].z_bar), d_rgb, at(t, m->rgb), c->points, t->n);
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
    encode_moved<<<OVER(c, t->n, m->encoded)>>>(q_bar, s->g_bar, at(t, m->sdf[0].x), m->encoded,
                                                t->n);
    PF_TRY(pf_launched(c->net.dev, "encoding"));
    for (int l = 0; l < m->sdf_layers - 1; l++) {
        const struct layer *const a = &m->sdf[l];
        PF_TRY(times_transposed(c, s->z, at(t, a->p_bar), a, &c->layer[l], t->n));      // [n, out]
        chain_backward<<<OVER(c, t->n, a[1].in)>>>(
            at(t, a[1].p_bar), a[1].in, at(t, a->z_bar), s->z, at(t, a->slope), at(t, a->u), a->out,
            q_bar, m->encoded, l + 1 == m->skip ? PF_ROOT_HALF : 1.0f, t->n);
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
        softplus_backward<<<OVER(c, t->n, below->out)>>>(at(t, below->z_bar), below->out,
                                                         at(t, below->slope), s->z, a->in,
                                                         l == m->skip ? PF_ROOT_HALF : 1.0f, t->n);
        PF_TRY(pf_launched(c->net.dev, "distance backward"));
    }
    return PF_OK;
}

/* dw [out, in] += y^T x, y [n, out], x [n, in] */
static pf_err
add_outer(struct mlp_cuda *c, const struct mlp_layer *l, const float *y, const float *x,
          const struct layer *a, int64_t n)
{
    return pf_matmul(c->net.dev, false, l->dw, y, true, x, false, pitch(a->out),
                     pitch(a->in), n, true);
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

pf_err
pf_mlp_cuda_frame_backward(struct mlp_cuda *c, float *g_bar, const float *d_grad,
                           const float *x_bar, const float *input, int64_t width,
                           const float *frame, float scale, int64_t n)
{
    frame_backward<<<pf_blocks(n, 128), 128, 0, stream_of(c)>>>(
        g_bar, d_grad, x_bar, input, width, frame, host_of(c)->color_freq, scale, c->points, n);
    return pf_launched(c->net.dev, "colour backward");
}

pf_err
pf_mlp_cuda_backward(struct pf_net_cuda *base, const float *d_sdf, const float *d_grad,
                     const float *d_rgb)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    const struct mlp *const m = host_of(c);
    const bool color = d_rgb && c->color;
    const struct layer *const last = &m->sdf[m->sdf_layers - 1];
    struct rows t;
    struct scratch s;
    if (c->points == 0)
        return PF_OK;
    if (base->rough)
        return pf_mlp_half_backward(c, d_sdf, d_grad, d_rgb);
    PF_TRY(pf_mlp_cuda_reserve(c, &t, &s, c->points, m->width));    // as forward left them
    if (color)
        PF_TRY(color_backward(c, &t, &s, d_rgb));
    PF_TRY(pf_mlp_cuda_frame_backward(c, s.g_bar, d_grad, color ? s.p : NULL,
                                      at(&t, m->color[0].x), m->color[0].in, at(&t, m->frame), 1,
                                      t.n));
    output_backward<<<OVER(c, t.n, 1 + m->feature)>>>(
        at(&t, last->z_bar), d_sdf, color ? s.p : NULL, m->color[0].in, m->feature, c->points, t.n);
    PF_TRY(pf_launched(base->dev, "colour backward"));
    PF_TRY(chain_up(c, &t, &s));
    PF_TRY(sdf_backward(c, &t, &s));
    return layer_gradients(c, &t, color);
}

pf_err
pf_mlp_cuda_collect(struct pf_net_cuda *base)
{
    struct mlp_cuda *const c = (struct mlp_cuda *)base;
    struct mlp *const m = (struct mlp *)base->host;
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *const a = matrix(m, i);
        const struct mlp_layer *const l = &c->layer[i];
        const struct mlp_half *const h = &l->half;
        const bool rough = base->rough;
        weight_norm_backward<<<pf_blocks(a->out * PF_WARP, 128), 128, 0, stream_of(c)>>>(
            l->d_g, l->d_v, l->d_b, rough ? h->dw : l->dw, rough ? h->d_b : NULL,
            rough ? h->K : pitch(a->in), rough ? h->turn_out : 0, rough ? h->turn_in : 0,
            rough ? 1 / PF_HALF_SCALE : 1, l->g, l->v, l->length, a->out, a->in);
        PF_TRY(pf_launched(base->dev, "weight norm backward"));
    }
    return PF_OK;
}
