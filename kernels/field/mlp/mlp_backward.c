/* mlp_backward.c - from cotangents of what mlp.c computes to gradients of the parameters (field.md,
 * 8). */
#include <math.h>
#include <string.h>

#include "kernels/field/mlp/mlp_block.h"

/* ---- one block ---- */

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
        pf_mlp_matmul(x_bar, a->in, rows(t, a->z_bar), a->out, false, a->w, a->in,
               n, a->in, a->out, false);
        const float *x = rows(t, a->x);
        for (int64_t i = 0; i < n * a->in && a > first; i++)
            x_bar[i] = x[i] > 0 ? x_bar[i] : 0;
    }
    for (int64_t i = 0; i < n; i++) {
        const float *x_bar = w->p + i * first->in, *code = rows(t, first->x) + i * first->in + 3;
        pf_frame_backward(g_bar + 3 * i, x_bar + 3, code, rows(t, m->frame) + 8 * i, m->color_freq);
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
        pf_mlp_matmul(w->z, a->out, rows(t, a->p_bar), a->in, false, a->wt, a->out,
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
        pf_mlp_matmul(w->z, a->in, rows(t, a->z_bar), a->out, false, a->w, a->in, n, a->in, a->out,
                      false);
        for (int64_t i = 0; i < n; i++) {
            const float *slope = rows(t, below->slope) + i * below->out, *x_bar = w->z + i * a->in;
            float *z_bar = rows(t, below->z_bar) + i * below->out;
#pragma omp simd
            for (int64_t j = 0; j < below->out; j++)
                z_bar[j] += scale * (slope[j] * x_bar[j]);
        }
    }
}

void
pf_mlp_backward_block(const struct mlp *m, const struct rows *t, const float *d_sdf,
                      const float *d_grad, const float *d_rgb, int64_t n, const struct work *w)
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

void
pf_mlp_layer_gradient(const struct mlp *m, const struct layer *a, int64_t from, int64_t to,
                      float *dw)
{
    const struct rows t = {m->tape, m->tape_points, 0};
    const int64_t n = t.points, size = to - from;
    const bool sdf = a->p_bar.width > 0, last = a == &m->sdf[m->sdf_layers - 1];
    const float *z_bar = rows(&t, a->z_bar), *p_bar = rows(&t, a->p_bar);
    double db[TILE] = {0};
    pf_mlp_matmul(dw, a->in, z_bar + from, a->out, true, rows(&t, a->x), a->in, size, a->in, n,
                  false);
    if (sdf && !last)
        pf_mlp_matmul(dw, a->in, rows(&t, a->u) + from, a->out, true, p_bar, a->in, size, a->in, n,
                      true);
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
