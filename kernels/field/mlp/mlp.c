/* mlp.c - the original's field: two weight-normed perceptrons, one for the distance and a feature,
 * one for the colour (field.md, 5), with the gradient of the distance as an output and therefore
 * second-order terms in the backward pass (field.md, 8).
 *
 * Points are worked on in blocks that keep their activations to themselves, so blocks run in any
 * order on any thread.  A forward with tape keeps every block's activations; the backward pass
 * sweeps the blocks again and only then sums over all points, one tile of weight rows at a time:
 * no sum depends on the number of threads. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <oneapi/dnnl/dnnl.h>
#else
#include <cblas.h>
#endif

#include "kernels/field/mlp/mlp.h"
#include "kernels/vmath.h"

/* Some points of a tape: array s of the points from row on is at rows(t, s). */
struct rows {
    float *base;
    int64_t points, row;
};

static float *
rows(const struct rows *t, struct slot s)
{
    return t->base + s.at * t->points + t->row * s.width;
}

/* c [m, n] = a b (+ c if add), single-threaded; ta: a is stored [k, m].  oneDNN's sgemm is 1.6 to
 * 3 times OpenBLAS's at these sizes where it generates code for the machine: x86-64. */
static void
matmul(float *c, int64_t ldc, const float *a, int64_t lda, bool ta, const float *b, int64_t ldb,
       int64_t m, int64_t n, int64_t k, bool add)
{
#ifdef __x86_64__
    if (dnnl_sgemm(ta ? 'T' : 'N', 'N', m, n, k, 1, a, lda, b, ldb, add, c, ldc) != dnnl_success)
        pf_bug("dnnl_sgemm refused [%lld, %lld] x %lld", (long long)m, (long long)n, (long long)k);
#else
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k,
                1, a, (int)lda, b, (int)ldb, add, c, (int)ldc);
#endif
}

static inline float
softplus(float z, float *slope)
{
    return pf_softplus(z, pf_exp(-fabsf(100 * z)), slope);
}

/* ---- encodings: [x, sin 2^0 x, cos 2^0 x, sin 2^1 x, ...], three numbers each ---- */

static void
encode(float *to, const float x[3], int frequencies)
{
    memcpy(to, x, 3 * sizeof(float));
    for (int k = 0; k < frequencies; k++)
        for (int c = 0; c < 3; c++) {
            const float a = x[c] * (float)(1 << k);
            to[3 + 6 * k + c] = sinf(a);
            to[6 + 6 * k + c] = cosf(a);
        }
}

/* J^T q: from a cotangent of the encoding to one of x.  code is the encoding of x. */
static void
encode_transposed(float to[3], const float *q, const float *code, int frequencies)
{
    memcpy(to, q, 3 * sizeof(float));
    for (int k = 0; k < frequencies; k++)
        for (int c = 0; c < 3; c++) {
            const int sine = 3 + 6 * k + c, cosine = sine + 3;
            to[c] += (float)(1 << k) * (code[cosine] * q[sine] - code[sine] * q[cosine]);
        }
}

/* J d: how the encoding changes when x moves by d. */
static void
encode_moved(float *to, const float d[3], const float *code, int frequencies)
{
    memcpy(to, d, 3 * sizeof(float));
    for (int k = 0; k < frequencies; k++)
        for (int c = 0; c < 3; c++) {
            const int sine = 3 + 6 * k + c, cosine = sine + 3;
            to[sine] = (float)(1 << k) * code[cosine] * d[c];
            to[cosine] = -(float)(1 << k) * code[sine] * d[c];
        }
}

/* ---- forward, one block of n points ---- */

/* Work space of one thread: four matrices of [BLOCK, widest], then a tape of one block. */
struct work {
    float *z, *p, *q, *extra, *tape;
};

static struct work
work_of(const struct mlp *m, int thread)
{
    float *base = m->scratch + thread * m->scratch_width;
    const int64_t step = BLOCK * m->widest;
    return (struct work){base, base + step, base + 2 * step, base + 3 * step, base + 4 * step};
}

/* The input of layer l + 1: phi(z + b), and at the skip the encoding beside it, over sqrt 2. */
static void
activate(const struct mlp *m, int l, float *next, float *slope, const float *z, const float *code,
         int64_t n)
{
    const int64_t out = m->sdf[l].out, width = m->sdf[l + 1].in;
    const float *b = m->sdf[l].b->value, scale = l + 1 == m->skip ? PF_ROOT_HALF : 1;
    for (int64_t i = 0; i < n; i++) {
        const float *zi = z + i * out, *ci = code + i * m->encoded - out;
        float *y = next + i * width, *s = slope + i * out;
#pragma omp simd
        for (int64_t j = 0; j < out; j++)
            y[j] = scale * softplus(zi[j] + b[j], s + j);
        for (int64_t j = out; j < width; j++)
            y[j] = scale * ci[j];
    }
}

/* In an order of our own, so that every build gives the same sum, and closer than one after the
 * other: where samples go depends on the last bits of a distance. */
static float
dot(const float *a, const float *b, int64_t n)
{
    float part[16] = {0};
    int64_t j = 0;
    for (; j + 16 <= n; j += 16)
#pragma omp simd
        for (int k = 0; k < 16; k++)
            part[k] += a[j + k] * b[j + k];
    for (int k = 0; j + k < n; k++)
        part[k] += a[j + k] * b[j + k];
    for (int half = 8; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            part[k] += part[k + half];
    return part[0];
}

/* The distance alone: layers in turn use two matrices. */
static void
sdf_block(const struct mlp *m, float *sdf, const float *x, int64_t n, const struct work *w)
{
    const int L = m->sdf_layers - 1;
    const float *h = w->extra;
    for (int64_t i = 0; i < n; i++)
        encode(w->extra + i * m->encoded, x + 3 * i, m->sdf_freq);
    for (int l = 0; l < L; l++) {
        const struct layer *a = &m->sdf[l];
        matmul(w->z, a->out, h, a->in, false, a->wt, a->out, n, a->out, a->in, false);
        activate(m, l, w->p, w->q, w->z, w->extra, n);
        h = w->p;
    }
    for (int64_t i = 0; i < n; i++)
        sdf[i] = dot(h + i * m->sdf[L].in, m->sdf[L].w, m->sdf[L].in) + m->sdf[L].b->value[0];
}

/* Distance and feature [n, 1 + F] into z. */
static void
sdf_layers(const struct mlp *m, const struct rows *t, const float *x, int64_t n, float *z)
{
    const int L = m->sdf_layers - 1;
    float *code = rows(t, m->sdf[0].x);
    for (int64_t i = 0; i < n; i++)
        encode(code + i * m->encoded, x + 3 * i, m->sdf_freq);
    for (int l = 0; l <= L; l++) {
        const struct layer *a = &m->sdf[l];
        matmul(z, a->out, rows(t, a->x), a->in, false, a->wt, a->out, n, a->out, a->in, false);
        if (l < L)
            activate(m, l, rows(t, m->sdf[l + 1].x), rows(t, a->slope), z, code, n);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= m->feature; j++)
            z[i * (1 + m->feature) + j] += m->sdf[L].b->value[j];
}

/* d sdf / d x [n, 3], in reverse through the layers (field.md, 8: u, p, q). */
static void
sdf_gradient(const struct mlp *m, const struct rows *t, float *grad, int64_t n,
             const struct work *w)
{
    const int L = m->sdf_layers - 1;
    for (int l = L; l > 0; l--) {
        const struct layer *a = &m->sdf[l], *below = a - 1;
        const float scale = l == m->skip ? PF_ROOT_HALF : 1, *slope = rows(t, below->slope);
        float *u = rows(t, below->u);
        if (l < L)
            matmul(w->p, a->in, rows(t, a->u), a->out, false, a->w, a->in, n, a->in, a->out, false);
        for (int64_t i = 0; i < n; i++) {
            const float *p = l < L ? w->p + i * a->in : a->w;   /* the last u is (1, 0, ..) */
            const int64_t o = i * below->out;
#pragma omp simd
            for (int64_t j = 0; j < below->out; j++)
                u[o + j] = slope[o + j] * (scale * p[j]);
            if (l == m->skip)
                for (int64_t j = 0; j < m->encoded; j++)
                    w->extra[i * m->encoded + j] = scale * p[below->out + j];
        }
    }
    matmul(w->extra, m->encoded, rows(t, m->sdf[0].u), m->sdf[0].out, false, m->sdf[0].w,
           m->encoded, n, m->encoded, m->sdf[0].out, true);
    for (int64_t i = 0; i < n; i++)
        encode_transposed(grad + 3 * i, w->extra + i * m->encoded,
                          rows(t, m->sdf[0].x) + i * m->encoded, m->sdf_freq);
}

/* The colour network's input [x, encoded reflection, normal, feature] of each point; dir NULL looks
 * along -normal. */
static void
color_input(const struct mlp *m, const struct rows *t, const float *x, const float *dir,
            const float *grad, const float *z, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float *frame = rows(t, m->frame) + 8 * i, *normal = frame, *view = frame + 4, reflected[3];
        float *to = rows(t, m->color[0].x) + i * m->color[0].in, size = 1;
        const float *g = grad + 3 * i, *d = dir ? dir + 3 * i : g;
        const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
        frame[3] = length > 1e-12f ? length : 1e-12f;
        for (int k = 0; k < 3; k++)
            normal[k] = g[k] / frame[3];
        if (dir) {
            size = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
            size = size > 1e-12f ? size : 1e-12f;
        }
        for (int k = 0; k < 3; k++)
            view[k] = dir ? -d[k] / size : normal[k];
        frame[7] = view[0] * normal[0] + view[1] * normal[1] + view[2] * normal[2];
        for (int k = 0; k < 3; k++)
            reflected[k] = 2 * frame[7] * normal[k] - view[k];
        memcpy(to, x + 3 * i, 3 * sizeof(float));
        encode(to + 3, reflected, m->color_freq);
        memcpy(to + 3 + m->color_encoded, normal, 3 * sizeof(float));
        memcpy(to + 6 + m->color_encoded, z + i * (1 + m->feature) + 1,
               (size_t)m->feature * sizeof(float));
    }
}

static void
color_layers(const struct mlp *m, const struct rows *t, float *rgb, int64_t n,
             const struct work *w)
{
    const int C = m->color_layers - 1;
    float *kept = rows(t, m->rgb);
    for (int l = 0; l <= C; l++) {
        const struct layer *a = &m->color[l];
        float *z = l < C ? rows(t, a[1].x) : w->z;
        matmul(z, a->out, rows(t, a->x), a->in, false, a->wt, a->out, n, a->out, a->in, false);
        for (int64_t i = 0; i < n && l < C; i++)
#pragma omp simd
            for (int64_t j = 0; j < a->out; j++) {
                const float v = z[i * a->out + j] + a->b->value[j];
                z[i * a->out + j] = v < 0 ? 0 : v;              /* a NaN stays one */
            }
    }
    for (int64_t i = 0; i < 3 * n; i++) {
        kept[i] = 1 / (1 + expf(-(w->z[i] + m->color[C].b->value[i % 3])));
        rgb[i] = kept[i];
    }
}

static void
forward_block(const struct mlp *m, const struct rows *t, float *sdf, float *grad, float *rgb,
              const float *x, const float *dir, int64_t n, const struct work *w)
{
    sdf_layers(m, t, x, n, w->z);                               /* [n, 1 + F] */
    for (int64_t i = 0; i < n; i++)
        sdf[i] = w->z[i * (1 + m->feature)];
    memset(w->extra, 0, (size_t)(n * m->encoded) * sizeof(float));
    sdf_gradient(m, t, grad, n, w);                             /* [n, 3] */
    if (!rgb)
        return;
    color_input(m, t, x, dir, grad, w->z, n);                   /* [n, 6 + E + F] */
    color_layers(m, t, rgb, n, w);                              /* [n, 3] */
}

/* ---- backward, one block ---- */

/* Through the colour network: leaves z_bar of its layers; d_feature goes beside d_sdf into z_bar of
 * the last sdf layer, the normal's share is added to g_bar [n, 3]. */
static void
color_backward(const struct mlp *m, const struct rows *t, float *g_bar, const float *d_rgb,
               int64_t n, const struct work *w)
{
    const struct layer *first = m->color, *last = &m->color[m->color_layers - 1];
    const float *rgb = rows(t, m->rgb);
    float *z_bar = rows(t, last->z_bar);
    for (int64_t i = 0; i < 3 * n; i++)
        z_bar[i] = d_rgb[i] * rgb[i] * (1 - rgb[i]);
    for (const struct layer *a = last; a >= first; a--) {
        float *x_bar = a > first ? rows(t, a[-1].z_bar) : w->p;
        matmul(x_bar, a->in, rows(t, a->z_bar), a->out, false, a->w, a->in,
               n, a->in, a->out, false);
        const float *x = rows(t, a->x);
        for (int64_t i = 0; i < n * a->in && a > first; i++)
            x_bar[i] = x[i] > 0 ? x_bar[i] : 0;
    }
    for (int64_t i = 0; i < n; i++) {
        const float *x_bar = w->p + i * first->in, *code = rows(t, first->x) + i * first->in + 3;
        const float *normal = rows(t, m->frame) + 8 * i, *view = normal + 4;
        const float *direct = x_bar + 3 + m->color_encoded;
        float r_bar[3], n_bar[3];
        encode_transposed(r_bar, x_bar + 3, code, m->color_freq);
        const float rn = r_bar[0] * normal[0] + r_bar[1] * normal[1] + r_bar[2] * normal[2];
        for (int k = 0; k < 3; k++)     /* reflected = 2 (view . normal) normal - view */
            n_bar[k] = direct[k] + 2 * (rn * view[k] + normal[7] * r_bar[k]);
        const float along = n_bar[0] * normal[0] + n_bar[1] * normal[1] + n_bar[2] * normal[2];
        for (int k = 0; k < 3; k++)
            g_bar[3 * i + k] += (n_bar[k] - along * normal[k]) / normal[3];
        memcpy(rows(t, m->sdf[m->sdf_layers - 1].z_bar) + i * (1 + m->feature) + 1,
               x_bar + 6 + m->color_encoded, (size_t)m->feature * sizeof(float));
    }
}

/* The gradient chain's cotangents p_bar, in the order of the layers, and what they add to the
 * cotangents of z through phi'' = 100 phi' (1 - phi'). */
static void
chain_backward(const struct mlp *m, const struct rows *t, const float *g_bar, int64_t n,
               const struct work *w)
{
    float *q_bar = rows(t, m->sdf[0].p_bar);
    for (int64_t i = 0; i < n; i++)
        encode_moved(q_bar + i * m->encoded, g_bar + 3 * i,
                     rows(t, m->sdf[0].x) + i * m->encoded, m->sdf_freq);
    for (int l = 0; l < m->sdf_layers - 1; l++) {
        const struct layer *a = &m->sdf[l];
        const float scale = l + 1 == m->skip ? PF_ROOT_HALF : 1;
        matmul(w->z, a->out, rows(t, a->p_bar), a->in, false, a->wt, a->out,
               n, a->out, a->in, false);
        for (int64_t i = 0; i < n; i++) {
            const int64_t o = i * a->out, width = a[1].in;
            const float *slope = rows(t, a->slope) + o, *u = rows(t, a->u) + o, *u_bar = w->z + o;
            float *extra = rows(t, a->z_bar) + o, *next = rows(t, a[1].p_bar) + i * width;
#pragma omp simd
            for (int64_t j = 0; j < a->out; j++) {
                next[j] = scale * (slope[j] * u_bar[j]);
                extra[j] = 100 * (1 - slope[j]) * u[j] * u_bar[j];
            }
            for (int64_t j = a->out; j < width; j++)
                next[j] = scale * q_bar[i * m->encoded + j - a->out];
        }
    }
}

/* The ordinary sweep, from the last layer's z_bar down, on top of what chain_backward left. */
static void
sdf_backward(const struct mlp *m, const struct rows *t, int64_t n, const struct work *w)
{
    for (int l = m->sdf_layers - 1; l > 0; l--) {
        const struct layer *a = &m->sdf[l], *below = a - 1;
        const float scale = l == m->skip ? PF_ROOT_HALF : 1;
        matmul(w->z, a->in, rows(t, a->z_bar), a->out, false, a->w, a->in, n, a->in, a->out, false);
        for (int64_t i = 0; i < n; i++) {
            const float *slope = rows(t, below->slope) + i * below->out, *x_bar = w->z + i * a->in;
            float *z_bar = rows(t, below->z_bar) + i * below->out;
#pragma omp simd
            for (int64_t j = 0; j < below->out; j++)
                z_bar[j] += scale * (slope[j] * x_bar[j]);
        }
    }
}

static void
backward_block(const struct mlp *m, const struct rows *t, const float *d_sdf, const float *d_grad,
               const float *d_rgb, int64_t n, const struct work *w)
{
    float *z_bar = rows(t, m->sdf[m->sdf_layers - 1].z_bar), *g_bar = w->extra;
    memset(z_bar, 0, (size_t)(n * (1 + m->feature)) * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        z_bar[i * (1 + m->feature)] = d_sdf[i];
    memcpy(g_bar, d_grad, (size_t)(3 * n) * sizeof(float));
    if (d_rgb)
        color_backward(m, t, g_bar, d_rgb, n, w);
    chain_backward(m, t, g_bar, n, w);
    sdf_backward(m, t, n, w);
}

/* ---- gradients of the parameters: rows from..to-1 of a layer, summed over the whole tape ---- */

/* Weight norm (field.md, 8): from dw [to - from, in] to g and v. */
static void
weight_norm_backward(const struct layer *a, const float *dw, int64_t from, int64_t to)
{
    for (int64_t o = from; o < to; o++) {
        const float *d = dw + (o - from) * a->in, *v = a->v->value + o * a->in;
        double dot = 0;
        if (!(a->length[o] > 0))
            continue;
        for (int64_t j = 0; j < a->in; j++)
            dot += (double)d[j] * v[j];
        dot /= a->length[o];
        const float scale = (float)(a->g->value[o] / a->length[o]);
        const float along = (float)(dot / a->length[o]);
        a->g->grad[o] += (float)dot;
#pragma omp simd
        for (int64_t j = 0; j < a->in; j++)
            a->v->grad[o * a->in + j] += scale * (d[j] - along * v[j]);
    }
}

static void
layer_gradient(const struct mlp *m, const struct layer *a, int64_t from, int64_t to, float *dw)
{
    const struct rows t = {m->tape, m->tape_points, 0};
    const int64_t n = t.points, size = to - from;
    const bool sdf = a->p_bar.width > 0, last = a == &m->sdf[m->sdf_layers - 1];
    const float *z_bar = rows(&t, a->z_bar), *p_bar = rows(&t, a->p_bar);
    double db[TILE] = {0};
    matmul(dw, a->in, z_bar + from, a->out, true, rows(&t, a->x), a->in, size, a->in, n, false);
    if (sdf && !last)
        matmul(dw, a->in, rows(&t, a->u) + from, a->out, true, p_bar, a->in, size, a->in, n, true);
    for (int64_t i = 0; i < n && last && from == 0; i++)        /* u is (1, 0, 0, ...) */
#pragma omp simd
        for (int64_t j = 0; j < a->in; j++)
            dw[j] += p_bar[i * a->in + j];
    for (int64_t i = 0; i < n; i++)
        for (int64_t o = 0; o < size; o++)
            db[o] += z_bar[i * a->out + from + o];
    for (int64_t o = 0; o < size; o++)
        a->b->grad[from + o] += (float)db[o];
    weight_norm_backward(a, dw, from, to);
}

/* ---- the network as net.h wants it ---- */

/* Threads are ours; BLAS is not to start its own under each. */
static void
one_thread_each(void)
{
#ifndef __x86_64__
    openblas_set_num_threads(1);
#endif
}

/* The matrices of the current parameters, and work space for every thread there is now. */
static pf_err
prepare(struct mlp *m)
{
    const int threads = omp_get_max_threads();
    one_thread_each();
    if (threads > m->threads) {
        float *to = realloc(m->scratch, (size_t)threads * (size_t)m->scratch_width * sizeof(*to));
        if (!to)
            return pf_fail(PF_ENOMEM, "no memory for the field's work space");
        m->scratch = to;
        m->threads = threads;
    }
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *a = matrix(m, i);
        for (int64_t o = 0; o < a->out; o++) {
            const float *v = a->v->value + o * a->in;
            double sum = 0;
            for (int64_t j = 0; j < a->in; j++)
                sum += (double)v[j] * v[j];
            a->length[o] = sqrt(sum);
            const float scale = sum > 0 ? (float)(a->g->value[o] / a->length[o]) : 0;
            for (int64_t j = 0; j < a->in; j++)
                a->wt[j * a->out + o] = a->w[o * a->in + j] = scale * v[j];
        }
    }
    return PF_OK;
}

static pf_err
mlp_sdf(struct pf_net *net, float *sdf, const float *x, int64_t n)
{
    struct mlp *m = (struct mlp *)net;
    PF_TRY(prepare(m));
#pragma omp parallel for schedule(dynamic)
    for (int64_t at = 0; at < n; at += BLOCK) {
        const struct work w = work_of(m, omp_get_thread_num());
        sdf_block(m, sdf + at, x + 3 * at, n - at < BLOCK ? n - at : BLOCK, &w);
    }
    return PF_OK;
}

static pf_err
reserve_tape(struct mlp *m, int64_t n)
{
    if (n > m->tape_room) {
        free(m->tape);
        m->tape_room = 0;
        m->tape = aligned_alloc(64, ((size_t)n * (size_t)m->width * sizeof(float) + 63) / 64 * 64);
        if (!m->tape)
            return pf_fail(PF_ENOMEM, "no memory for the activations of %lld points", (long long)n);
        m->tape_room = n;
    }
    m->tape_points = n;
    return PF_OK;
}

static pf_err
mlp_forward(struct pf_net *net, float *sdf, float *grad, float *rgb, const float *x,
            const float *dir, int64_t n, bool tape)
{
    struct mlp *m = (struct mlp *)net;
    PF_TRY(prepare(m));
    if (tape) {
        if (rgb && !dir)
            pf_bug("a forward with tape needs the viewing directions");
        PF_TRY(reserve_tape(m, n));
        m->tape_color = rgb != NULL;
    }
#pragma omp parallel for schedule(dynamic)
    for (int64_t at = 0; at < n; at += BLOCK) {
        const struct work w = work_of(m, omp_get_thread_num());
        const struct rows t = {tape ? m->tape : w.tape, tape ? n : BLOCK, tape ? at : 0};
        forward_block(m, &t, sdf + at, grad + 3 * at, rgb ? rgb + 3 * at : NULL, x + 3 * at,
                      dir ? dir + 3 * at : NULL, n - at < BLOCK ? n - at : BLOCK, &w);
    }
    return PF_OK;
}

static pf_err
mlp_backward(struct pf_net *net, const float *d_sdf, const float *d_grad, const float *d_rgb)
{
    struct mlp *m = (struct mlp *)net;
    const int64_t n = m->tape_points;
    const bool color = d_rgb && m->tape_color;
#pragma omp parallel for schedule(dynamic)
    for (int64_t at = 0; at < n; at += BLOCK) {
        const struct work w = work_of(m, omp_get_thread_num());
        const struct rows t = {m->tape, n, at};
        backward_block(m, &t, d_sdf + at, d_grad + 3 * at, color ? d_rgb + 3 * at : NULL,
                       n - at < BLOCK ? n - at : BLOCK, &w);
    }
    const int64_t tiles = (m->widest + TILE - 1) / TILE;        /* of the tallest matrix */
    const int64_t tasks = tiles * (color ? matrices(m) : m->sdf_layers);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < tasks; i++) {
        const struct layer *a = matrix(m, (int)(i / tiles));
        const int64_t from = i % tiles * TILE, to = from + TILE < a->out ? from + TILE : a->out;
        if (from < to)
            layer_gradient(m, a, from, to, work_of(m, omp_get_thread_num()).z);
    }
    return PF_OK;
}

static void
mlp_set_step(struct pf_net *net, int step)
{
    (void)net;                  /* the whole network learns from the first step */
    (void)step;
}

/* ---- the row of this kind (net.h) ---- */

static const struct pf_net_key keys[] = {
    PF_NET_KEY(sdf_width, 1, 4096),
    PF_NET_KEY(sdf_layers, 1, 16),
    PF_NET_KEY(sdf_frequencies, 0, 16),
    PF_NET_KEY(feature_dim, 1, 4096),
    PF_NET_KEY(color_width, 1, 4096),
    PF_NET_KEY(color_layers, 1, 16),
    PF_NET_KEY(color_frequencies, 0, 16),
    PF_NET_KEY(coarse_samples, 2, 4096),
    PF_NET_KEY(fine_samples, 0, 4096),
    PF_NET_KEY(fine_rounds, 1, 64),
    {0},
};

/* The largest matrix. */
static int64_t
least_numbers(const struct pf_neus_config *conf)
{
    const int64_t w = conf->sdf_width, c = conf->color_width;
    int64_t needed = conf->feature_dim * (w > c ? w : c);
    needed = w * w > needed ? w * w : needed;
    return c * c > needed && conf->color_layers > 1 ? c * c : needed;
}

static int64_t
samples_a_ray(const struct pf_neus_config *conf)
{
    return conf->coarse_samples + conf->fine_samples;
}

/* A drop every 1000 steps, to lr_end. */
static double
mlp_rate(const struct pf_neus_config *conf, int step)
{
    const int steps = conf->steps;
    return pow(conf->lr_end, step / 1000 / (double)(steps >= 1000 ? steps / 1000 : 1));
}

const struct pf_net_ops pf_mlp_ops = {
    .kind = "mlp",
    .create = pf_mlp_new,
    .cuda_new = PF_CUDA ? pf_mlp_cuda_new : NULL,
    .keys = keys,
    .least_numbers = least_numbers,
    .samples_a_ray = samples_a_ray,
    .rate = mlp_rate,
    .adam_eps = 1e-8,
    .sdf = mlp_sdf,
    .forward = mlp_forward,
    .backward = mlp_backward,
    .set_step = mlp_set_step,
    .free = pf_mlp_free,
};
