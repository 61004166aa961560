/* raster_priv.h - one triangle, one sample, one pixel: what raster.c and raster.cu both compute
 * (raster.md, 3 to 5).  Only + - * / and sqrt, and no product joins a sum in one rounding
 * (Makefile), so that both get the same bits and triangles that share an edge meet in it. */
#ifndef PF_RASTER_PRIV_H
#define PF_RASTER_PRIV_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/hd.h"
#include "kernels/raster/color.h"
#include "kernels/raster/raster.h"

struct pf_raster {
    pf_dev *dev;
    /* The scene's numbers where the device has them, borrowed or kept. */
    int64_t vertices, triangles;
    const float *position, *normal, *uv, *color;
    const uint32_t *index, *material_of;
    const struct pf_material *material;
    const struct pf_texture *texture;
    const uint8_t *texel;
    const struct pf_srgb *srgb;
    /* Of the view that is being drawn; owned. */
    struct pf_raster_vertex *vertex;            /* [vertices] */
    struct pf_raster_box *box;                  /* [triangles] */
    struct pf_srgb own_srgb;
    void *held;                                 /* raster.cu's */
};

struct pf_raster_vertex {
    double x, y, w;             /* P X: seen at (x / w, y / w) */
    float u, v;                 /* that place, where w > 0 */
};

/* The pixels that a triangle may touch, ends included; x0 > x1: none. */
struct pf_raster_box {
    uint16_t x0, x1, y0, y1;
};

#define PF_RASTER_EMPTY UINT64_MAX              /* a sample that nothing covers */

/* ---- vertices ---- */

PF_HD_FN struct pf_raster_vertex
pf_raster_project(const struct pf_raster_camera *c, const float *X)
{
    struct pf_raster_vertex p;
    const double *const P = c->P;
    p.x = P[0] * X[0] + P[1] * X[1] + P[2] * X[2] + P[3];
    p.y = P[4] * X[0] + P[5] * X[1] + P[6] * X[2] + P[7];
    p.w = P[8] * X[0] + P[9] * X[1] + P[10] * X[2] + P[11];
    p.u = (float)(p.x / p.w);
    p.v = (float)(p.y / p.w);
    return p;
}

/* Ends of [lo, hi] among 0 .. n - 1, with a margin for the rounding of u and v. */
PF_HD_FN bool
pf_raster_range(int *first, int *last, float lo, float hi, int n)
{
    const float margin = 0.01f;
    lo = fmaxf(ceilf(lo - margin), 0.0f);
    hi = fminf(floorf(hi + margin), (float)(n - 1));
    *first = (int)fminf(lo, (float)n);
    *last = (int)fmaxf(hi, -1.0f);
    return *first <= *last;
}

/* Bounds of a triangle in pixels: u0, u1, v0, v1.  One that reaches behind the camera may be
 * anywhere.  false: all of it is behind. */
PF_HD_FN bool
pf_raster_bounds(float b[4], const struct pf_raster_vertex p[3])
{
    if (p[0].w <= 0 && p[1].w <= 0 && p[2].w <= 0)
        return false;
    if (p[0].w > 0 && p[1].w > 0 && p[2].w > 0) {
        b[0] = fminf(p[0].u, fminf(p[1].u, p[2].u));
        b[1] = fmaxf(p[0].u, fmaxf(p[1].u, p[2].u));
        b[2] = fminf(p[0].v, fminf(p[1].v, p[2].v));
        b[3] = fmaxf(p[0].v, fmaxf(p[1].v, p[2].v));
    } else {
        b[0] = b[2] = -INFINITY;
        b[1] = b[3] = INFINITY;
    }
    return true;
}

PF_HD_FN void
pf_raster_corners(struct pf_raster_vertex p[3], const struct pf_raster *r, int64_t triangle)
{
    for (int k = 0; k < 3; k++)
        p[k] = r->vertex[r->index[3 * triangle + k]];
}

/* Pixel j reaches from j - 0.5 to j + 0.5. */
PF_HD_FN struct pf_raster_box
pf_raster_box_of(const struct pf_raster_vertex p[3], int width, int height)
{
    const struct pf_raster_box nothing = {1, 0, 1, 0};
    float b[4];
    int x0, x1, y0, y1;
    if (!pf_raster_bounds(b, p) ||
        !pf_raster_range(&x0, &x1, b[0] - 0.5f, b[1] + 0.5f, width) ||
        !pf_raster_range(&y0, &y1, b[2] - 0.5f, b[3] + 0.5f, height))
        return nothing;
    const struct pf_raster_box box = {(uint16_t)x0, (uint16_t)x1, (uint16_t)y0, (uint16_t)y1};
    return box;
}

/* ---- a triangle ---- */

struct pf_raster_edges {
    double e[3][3];             /* e[i] . (u, v, 1) >= 0 inside; over the sum: corner i's weight */
    double det;                 /* over that sum: w */
    bool front;                 /* its front is seen */
};

/* Edge i is the cross product of the other two corners: the neighbour has exactly its opposite.
 * false: it is seen from the side, or is not a triangle. */
PF_HD_FN bool
pf_raster_edges_of(struct pf_raster_edges *t, const struct pf_raster_vertex p[3])
{
    bool flat = false;
    for (int i = 0; i < 3; i++) {
        const struct pf_raster_vertex *const a = &p[(i + 1) % 3], *const b = &p[(i + 2) % 3];
        t->e[i][0] = a->y * b->w - a->w * b->y;
        t->e[i][1] = a->w * b->x - a->x * b->w;
        t->e[i][2] = a->x * b->y - a->y * b->x;
        flat |= t->e[i][0] == 0 && t->e[i][1] == 0 && t->e[i][2] == 0;
    }
    t->det = p[0].x * t->e[0][0] + p[0].y * t->e[0][1] + p[0].w * t->e[0][2];
    t->front = t->det < 0;                      // rows count downwards
    if (t->front) {
        t->det = -t->det;
        for (int i = 0; i < 9; i++)
            t->e[i / 3][i % 3] = -t->e[i / 3][i % 3];
    }
    return !flat && t->det > 0;
}

/* A place exactly on an edge belongs to one of its two sides. */
PF_HD_FN bool
pf_raster_inside(double value, const double e[3])
{
    return value > 0 || (value == 0 && (e[0] > 0 || (e[0] == 0 && (e[1] > 0 ||
                                                                  (e[1] == 0 && e[2] > 0)))));
}

/* Values of the edges at (u, v); whether it is inside. */
PF_HD_FN bool
pf_raster_covers(double value[3], const struct pf_raster_edges *t, double u, double v)
{
    for (int i = 0; i < 3; i++)
        value[i] = t->e[i][0] * u + (t->e[i][1] * v + t->e[i][2]);
    return pf_raster_inside(value[0], t->e[0]) && pf_raster_inside(value[1], t->e[1]) &&
           pf_raster_inside(value[2], t->e[2]);
}

/* The place of sample a of a row or column; step: from one to the next. */
PF_HD_FN double
pf_raster_sample(int a, double step)
{
    return (a + 0.5) * step - 0.5;
}
#define PF_RASTER_STEP (1.0 / PF_RASTER_SS)

/* What a sample holds of a triangle at depth w: the least wins, the nearest and of equally near
 * ones the first. */
PF_HD_FN uint64_t
pf_raster_key(double w, uint32_t triangle)
{
    const float z = (float)w;
    uint32_t bits;
    memcpy(&bits, &z, sizeof bits);             // rises with z, which is positive
    return (uint64_t)bits << 32 | triangle;
}

PF_HD_FN float
pf_raster_depth(uint64_t key)
{
    const uint32_t bits = (uint32_t)(key >> 32);
    float z;
    memcpy(&z, &bits, sizeof z);
    return z;
}

/* ---- colour ---- */

/* Two texels along one axis and how far it is from the first to the second. */
PF_HD_FN float
pf_raster_taps(int tap[2], float at, int n, int wrap)
{
    if (wrap == PF_WRAP_REPEAT)
        at -= floorf(at);
    else if (wrap == PF_WRAP_CLAMP)
        at = fminf(fmaxf(at, 0.0f), 1.0f);
    else
        at = fabsf(at - 2 * floorf(0.5f * (at + 1)));
    const float x = at * (float)n - 0.5f, first = floorf(x);
    for (int k = 0; k < 2; k++) {
        const int i = (int)first + k;
        tap[k] = wrap == PF_WRAP_REPEAT ? (i + n) % n : i < 0 ? 0 : i < n ? i : n - 1;
    }
    return x - first;
}

/* Light and alpha of the material's texture at (u, v), v upwards. */
PF_HD_FN void
pf_raster_texel(float rgba[4], const struct pf_raster *r, const struct pf_material *m, float u,
                float v)
{
    const struct pf_texture t = r->texture[m->texture];
    int x[2], y[2];
    const float a = pf_raster_taps(x, u, t.width, m->wrap[0]);
    const float b = pf_raster_taps(y, 1 - v, t.height, m->wrap[1]);
    for (int k = 0; k < 4; k++)
        rgba[k] = 0;
    for (int i = 0; i < 4; i++) {
        const uint8_t *const p = r->texel + 4 * (t.first + (int64_t)y[i / 2] * t.width + x[i % 2]);
        const float weight = (i % 2 ? a : 1 - a) * (i / 2 ? b : 1 - b);
        for (int k = 0; k < 3; k++)
            rgba[k] += weight * r->srgb->linear[p[k]];
        rgba[3] += weight * ((float)p[3] / 255);
    }
}

/* Light and alpha of the surface where its corners have these weights. */
PF_HD_FN void
pf_raster_color(float rgba[4], const struct pf_raster *r, int64_t triangle, const float weight[3])
{
    const uint32_t *const corner = r->index + 3 * triangle;
    const struct pf_material *const m = &r->material[r->material_of[triangle]];
    float texel[4], u = 0, v = 0;
    for (int k = 0; k < 4; k++)
        rgba[k] = m->color[k];
    if (r->color)
        for (int k = 0; k < 4; k++)
            rgba[k] *= weight[0] * r->color[4 * (int64_t)corner[0] + k] +
                       weight[1] * r->color[4 * (int64_t)corner[1] + k] +
                       weight[2] * r->color[4 * (int64_t)corner[2] + k];
    if (m->texture < 0 || !r->uv)
        return;
    for (int i = 0; i < 3; i++) {
        u += weight[i] * r->uv[2 * (int64_t)corner[i]];
        v += weight[i] * r->uv[2 * (int64_t)corner[i] + 1];
    }
    pf_raster_texel(texel, r, m, u, v);
    for (int k = 0; k < 4; k++)
        rgba[k] *= texel[k];
}

PF_HD_FN void
pf_raster_weights(float weight[3], const double value[3])
{
    const double sum = value[0] + value[1] + value[2];
    for (int i = 0; i < 3; i++)
        weight[i] = (float)(value[i] / sum);
}

/* What a sample at (u, v) keeps of the triangle: a key, or PF_RASTER_EMPTY. */
PF_HD_FN uint64_t
pf_raster_hit(const struct pf_raster *r, const struct pf_raster_edges *t, uint32_t triangle,
              float cutoff, double u, double v)
{
    double value[3];
    float weight[3], rgba[4];
    if (!pf_raster_covers(value, t, u, v))
        return PF_RASTER_EMPTY;
    if (cutoff > 0) {
        pf_raster_weights(weight, value);
        pf_raster_color(rgba, r, triangle, weight);
        if (rgba[3] < cutoff)
            return PF_RASTER_EMPTY;
    }
    return pf_raster_key(t->det / (value[0] + value[1] + value[2]), triangle);
}

/* Whether this side of the triangle is drawn at all; *cutoff of its material. */
PF_HD_FN bool
pf_raster_drawn(float *cutoff, const struct pf_raster *r, const struct pf_raster_edges *t,
                uint32_t triangle)
{
    const struct pf_material *const m = &r->material[r->material_of[triangle]];
    *cutoff = m->cutoff;
    return t->front || m->two_sided;
}

/* ---- light ---- */

PF_HD_FN float
pf_raster_dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* The triangle's own normal, towards the camera. */
PF_HD_FN void
pf_raster_face(float n[3], const struct pf_raster *r, const uint32_t corner[3], bool front)
{
    double a[3], b[3], c[3];
    const float *const p = r->position + 3 * (int64_t)corner[0];
    for (int k = 0; k < 3; k++) {
        a[k] = (double)r->position[3 * (int64_t)corner[1] + k] - p[k];
        b[k] = (double)r->position[3 * (int64_t)corner[2] + k] - p[k];
    }
    c[0] = a[1] * b[2] - a[2] * b[1];
    c[1] = a[2] * b[0] - a[0] * b[2];
    c[2] = a[0] * b[1] - a[1] * b[0];
    const double length = sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]);
    for (int k = 0; k < 3; k++)
        n[k] = length > 0 ? (float)((front ? c[k] : -c[k]) / length) : (float)(k == 2);
}

/* The mean of the corners' normals, on the side that is seen; the triangle's where they say
 * nothing. */
PF_HD_FN void
pf_raster_normal(float n[3], const struct pf_raster *r, int64_t triangle, const float weight[3],
                 bool front)
{
    const uint32_t *const corner = r->index + 3 * triangle;
    float mean[3] = {0, 0, 0};
    pf_raster_face(n, r, corner, front);
    if (!r->normal)
        return;
    for (int k = 0; k < 3; k++)
        mean[k] = weight[0] * r->normal[3 * (int64_t)corner[0] + k] +
                  weight[1] * r->normal[3 * (int64_t)corner[1] + k] +
                  weight[2] * r->normal[3 * (int64_t)corner[2] + k];
    const float length = sqrtf(pf_raster_dot(mean, mean));
    if (length < 0.2f)
        return;
    const float sign = pf_raster_dot(mean, n) < 0 ? -1.0f : 1.0f;
    for (int k = 0; k < 3; k++)
        n[k] = sign * (mean[k] / length);
}

PF_HD_FN float
pf_raster_lamp(const float n[3], float x, float y, float z)
{
    const float to[3] = {x, y, z}, light = pf_raster_dot(n, to);
    return light > 0 ? light : 0;
}

/* How much light there is on a surface with this normal; lamps stand still in the world, whose
 * front is at +x. */
PF_HD_FN float
pf_raster_light(enum pf_light light, const float n[3])
{
    if (light == PF_LIGHT_FLAT)
        return 1;
    if (light == PF_LIGHT_SOFT)
        return 0.62f + 0.26f * n[2] + 0.30f * pf_raster_lamp(n, 0.60f, -0.42f, 0.68f);
    return 0.22f + 0.06f * n[2] + 0.62f * pf_raster_lamp(n, 0.64f, -0.48f, 0.60f) +
           0.26f * pf_raster_lamp(n, 0.48f, 0.84f, 0.25f) +
           0.34f * pf_raster_lamp(n, -0.80f, 0.00f, 0.60f);
}

/* Light that a sample at (u, v) sends. */
PF_HD_FN void
pf_raster_shade(float rgb[3], const struct pf_raster *r, const struct pf_raster_edges *t,
                int64_t triangle, enum pf_light light, double u, double v)
{
    double value[3];
    float weight[3], rgba[4], n[3];
    pf_raster_covers(value, t, u, v);
    pf_raster_weights(weight, value);
    pf_raster_color(rgba, r, triangle, weight);
    pf_raster_normal(n, r, triangle, weight, t->front);
    const float lit = pf_raster_light(light, n);
    for (int k = 0; k < 3; k++)
        rgb[k] = lit * rgba[k];
}

/* A pixel of n covered samples whose light sums up to sum, on white. */
PF_HD_FN void
pf_raster_pixel(uint8_t rgb[3], float *alpha, const struct pf_raster *r, const float sum[3], int n)
{
    const int all = PF_RASTER_SS * PF_RASTER_SS;
    *alpha = (float)n / all;
    for (int k = 0; k < 3; k++) {
        const int own = n ? pf_srgb_byte(r->srgb, sum[k] / (float)n) : 255;
        rgb[k] = (uint8_t)((own * n + 255 * (all - n) + all / 2) / all);
    }
}

/* ---- raster.cu ---- */
#ifdef __cplusplus
extern "C" {
#endif
pf_err pf_raster_open_cuda(pf_raster *r, const pf_scene *scene) PF_MUST_USE;
pf_err pf_raster_view_cuda(pf_raster *r, const struct pf_raster_view *view,
                           const struct pf_raster_camera *camera, enum pf_light light) PF_MUST_USE;
/* For tests/bench: milliseconds between the GPU's events before and after n views, which stay
 * there. */
pf_err pf_raster_time_cuda(float *ms, pf_raster *r, int width, int height,
                           const struct pf_raster_camera *camera, int n,
                           enum pf_light light) PF_MUST_USE;
void pf_raster_close_cuda(pf_raster *r);
#ifdef __cplusplus
}
#endif

#endif
