/* mlp.c - the original's field: two weight-normed perceptrons, one for the distance and a feature,
 * one for the colour (field.md, 5), with the gradient of the distance as an output and therefore
 * second-order terms in the backward pass (field.md, 8), which is mlp_backward.c.
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

#include "kernels/field/mlp/mlp_block.h"
#include "kernels/vmath.h"

void
pf_mlp_matmul(float *c, int64_t ldc, const float *a, int64_t lda, bool ta, const float *b,
              int64_t ldb, int64_t m, int64_t n, int64_t k, bool add)
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

/* ---- forward, one block of n points ---- */

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
        pf_mlp_matmul(w->z, a->out, h, a->in, false, a->wt, a->out, n, a->out, a->in, false);
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
        pf_mlp_matmul(z, a->out, rows(t, a->x), a->in, false, a->wt, a->out, n, a->out, a->in,
                      false);
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
            pf_mlp_matmul(w->p, a->in, rows(t, a->u), a->out, false, a->w, a->in, n, a->in, a->out,
                          false);
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
    pf_mlp_matmul(w->extra, m->encoded, rows(t, m->sdf[0].u), m->sdf[0].out, false, m->sdf[0].w,
           m->encoded, n, m->encoded, m->sdf[0].out, true);
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++)
            grad[3 * i + c] = pf_encoded_transposed(w->extra + i * m->encoded,
                                                    rows(t, m->sdf[0].x) + i * m->encoded,
                                                    m->sdf_freq, c);
}

/* The colour network's input [x, encoded reflection, normal, feature] of each point; dir NULL looks
 * along -normal. */
static void
color_input(const struct mlp *m, const struct rows *t, const float *x, const float *dir,
            const float *grad, const float *z, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float *frame = rows(t, m->frame) + 8 * i, *normal = frame, *view = frame + 4, reflected[3];
        float *to = rows(t, m->color[0].x) + i * m->color[0].in;
        pf_frame(frame, grad + 3 * i, dir ? dir + 3 * i : NULL);
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
        pf_mlp_matmul(z, a->out, rows(t, a->x), a->in, false, a->wt, a->out, n, a->out, a->in,
                      false);
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
        pf_mlp_backward_block(m, &t, d_sdf + at, d_grad + 3 * at, color ? d_rgb + 3 * at : NULL,
                       n - at < BLOCK ? n - at : BLOCK, &w);
    }
    const int64_t tiles = (m->widest + TILE - 1) / TILE;        /* of the tallest matrix */
    const int64_t tasks = tiles * (color ? matrices(m) : m->sdf_layers);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < tasks; i++) {
        const struct layer *a = matrix(m, (int)(i / tiles));
        const int64_t from = i % tiles * TILE, to = from + TILE < a->out ? from + TILE : a->out;
        if (from < to)
            pf_mlp_layer_gradient(m, a, from, to, work_of(m, omp_get_thread_num()).z);
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
