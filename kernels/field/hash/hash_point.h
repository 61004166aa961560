/* hash_point.h - what happens at one point of the fast field, for a lane of a CPU's vectors
 * (hash_grid.c, hash_simd.c) and for a thread of a GPU's team (hash_team.h) alike; hash.h has the
 * formulas.  Private to kernels/field/hash.
 *
 * Channels of a point lie `pitch` floats apart: PF_BLOCK on the CPU, a row of the team's memory on
 * the GPU.  A file that has a pragma about fp-contract includes this after it: gcc inlines only
 * what is compiled in the same way. */
#ifndef PF_FIELD_HASH_POINT_H
#define PF_FIELD_HASH_POINT_H
#include <math.h>
#include <string.h>

#include "common/hd.h"
#include "kernels/field/hash/hash_grid.h"

/* ---- activations ---- */

/* exp(t) for t <= 0, relative error below 1e-7; 0 below -87.  libm's does not vectorise without
 * -ffast-math. */
PF_FN float
pf_exp_negative(float t)
{
    t = t > -87.0f ? t : -87.0f;                                        /* also takes NaN */
    const float n = (t * 1.44269504f + 12582912.0f) - 12582912.0f;      /* nearest integer */
    const float r = t - n * 0.693359375f + n * 2.12194440e-4f;          /* +- ln 2 / 2 */
    float p = 1.0f / 5040, power;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t bits = ((int32_t)n + 127) * (1 << 23);
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* log(1 + e) for 0 <= e <= 1: 2 atanh(e / (2 + e)), relative error below 1e-7. */
PF_FN float
pf_log_one_plus(float e)
{
    const float t = e / (2.0f + e), z = t * t;
    float p = 2.0f / 13;
    p = p * z + 2.0f / 11;
    p = p * z + 2.0f / 9;
    p = p * z + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    p = p * z + 2.0f;
    return p * t;
}

/* Softplus with beta 100 (field.md, 5) and s, its derivative. */
PF_FN float
pf_softplus_100(float z, float *s)
{
    const float t = 100.0f * z, e = pf_exp_negative(-fabsf(t)), right = 1.0f / (1.0f + e);
    *s = t > 0.0f ? right : 1.0f - right;
    return ((t > 0.0f ? t : 0.0f) + pf_log_one_plus(e)) * 0.01f;
}

/* Backward of h = softplus(z) and u = w s, w the unit's weight in the sdf: d_z is d_h before, d_u
 * becomes what w gets.  The second derivative of softplus is 100 s (1 - s). */
PF_FN void
pf_softplus_100_backward(float *d_z, float *d_u, float s, float w)
{
    const float d_w = *d_u * s;
    *d_u = d_w;
    *d_z = s * *d_z + 100.0f * w * (1.0f - s) * d_w;
}

PF_FN float
pf_sigmoid_of(float z)
{
    const float e = pf_exp_negative(-fabsf(z));
    return (z > 0.0f ? 1.0f : e) / (1.0f + e);
}

/* ---- the grid (hash_grid.h) ---- */

PF_FN int32_t
pf_dense_index(int32_t x, int32_t y, int32_t z, int32_t res, int32_t size)
{
    const int32_t i = x + (y + z * res) * res;
    return i < size ? i : i - size;             /* vertex res wraps: below 2 size for res >= 2 */
}

PF_FN int32_t
pf_hashed_index(int32_t x, int32_t y, int32_t z, int32_t size)          /* size: a power of two */
{
    return (int32_t)(((uint32_t)x ^ (uint32_t)y * 2654435761u ^ (uint32_t)z * 805459861u) &
                     (uint32_t)(size - 1));
}

/* Entry of vertex (x, y, z), each 0..res (the last wraps), within the level's table. */
PF_FN int32_t
pf_hash_index(const struct pf_hash_level *l, int32_t x, int32_t y, int32_t z)
{
    return l->dense ? pf_dense_index(x, y, z, l->res, l->size) : pf_hashed_index(x, y, z, l->size);
}

/* Where a point lies along one axis of a level. */
struct pf_hash_place {
    int32_t cell;
    float side, slope;          /* weight of the upper neighbour; its derivative */
};

PF_FN struct pf_hash_place
pf_hash_locate(float x, float bound, float scale)
{
    const float unit = 0.5f / bound, u = (x + bound) * unit;
    const float in = u > 0.0f ? u < 1.0f ? u : 1.0f : 0.0f;             /* NaN too becomes 0 */
    const float pos = scale * in + 0.5f;
    struct pf_hash_place at;
    at.cell = (int32_t)pos;
    at.side = pos - (float)at.cell;
    at.slope = u == in ? scale * unit : 0.0f;
    return at;
}

/* The trilinear weight of a corner is a product of three sides; d[k] is its derivative along k. */
struct pf_hash_weight {
    float value, d[3];
};

PF_FN struct pf_hash_weight
pf_hash_weigh(float a, float b, float c, float da, float db, float dc)
{
    const struct pf_hash_weight w = {a * b * c, {da * b * c, a * db * c, a * b * dc}};
    return w;
}

/* The gradient of a corner's feature: pf_hash_scatter, for one point. */
PF_FN float
pf_hash_share(struct pf_hash_weight w, float d_e, float q, const float *d_g, int pitch)
{
    return w.value * d_e + (w.d[0] * d_g[0] + w.d[1] * d_g[pitch] + w.d[2] * d_g[2 * pitch]) * q;
}

/* ---- what the colour net sees ---- */

PF_FN float
pf_dot_3(const float *a, const float *b, int pitch)
{
    return a[0] * b[0] + a[pitch] * b[pitch] + a[2 * pitch] * b[2 * pitch];
}

/* r = twice n + dir is 2 (v.n) n - v for v = -dir; where dir is 0 we look against the normal, and
 * it is n. */
PF_FN float
pf_twice(const float n[3], const float dir[3])
{
    return (pf_dot_3(dir, dir, 1) > 0.0f ? 0.0f : 1.0f) - 2.0f * pf_dot_3(dir, n, 1);
}

/* y [16]: real spherical harmonics of degree 0..3 of r, signs as in field.md, 9. */
PF_FN void
pf_harmonics(float *y, int pitch, const float r[3])
{
    const float a = r[0], b = r[1], c = r[2], aa = a * a, bb = b * b, cc = c * c;
    y[0 * pitch] = 0.28209479f;
    y[1 * pitch] = -0.48860251f * b;
    y[2 * pitch] = 0.48860251f * c;
    y[3 * pitch] = -0.48860251f * a;
    y[4 * pitch] = 1.09254843f * a * b;
    y[5 * pitch] = -1.09254843f * b * c;
    y[6 * pitch] = 0.94617470f * cc - 0.31539157f;
    y[7 * pitch] = -1.09254843f * a * c;
    y[8 * pitch] = 0.54627422f * (aa - bb);
    y[9 * pitch] = 0.59004359f * b * (bb - 3.0f * aa);
    y[10 * pitch] = 2.89061144f * a * b * c;
    y[11 * pitch] = 0.45704580f * b * (1.0f - 5.0f * cc);
    y[12 * pitch] = 0.37317633f * c * (5.0f * cc - 3.0f);
    y[13 * pitch] = 0.45704580f * a * (1.0f - 5.0f * cc);
    y[14 * pitch] = 1.44530572f * c * (aa - bb);
    y[15 * pitch] = 0.59004359f * a * (3.0f * bb - aa);
}

/* d_r from d, the cotangents of y [16]. */
PF_FN void
pf_harmonics_backward(float d_r[3], const float *d, int pitch, const float r[3])
{
    const float a = r[0], b = r[1], c = r[2], aa = a * a, bb = b * b, cc = c * c;
    const float d4 = 1.09254843f * d[4 * pitch], d5 = 1.09254843f * d[5 * pitch];
    const float d7 = 1.09254843f * d[7 * pitch], d8 = 1.09254843f * d[8 * pitch];
    const float d9 = 1.77013077f * d[9 * pitch], d10 = 2.89061144f * d[10 * pitch];
    const float d11 = 0.45704580f * d[11 * pitch], d13 = 0.45704580f * d[13 * pitch];
    const float d14 = 1.44530572f * d[14 * pitch], d15 = 1.77013077f * d[15 * pitch];
    d_r[0] = -0.48860251f * d[3 * pitch] + d4 * b - d7 * c + d8 * a - 2.0f * d9 * a * b +
             d10 * b * c + d13 * (1.0f - 5.0f * cc) + 2.0f * d14 * a * c + d15 * (bb - aa);
    d_r[1] = -0.48860251f * d[1 * pitch] + d4 * a - d5 * c - d8 * b + d9 * (bb - aa) +
             d10 * a * c + d11 * (1.0f - 5.0f * cc) - 2.0f * d14 * b * c + 2.0f * d15 * a * b;
    d_r[2] = 0.48860251f * d[2 * pitch] - d5 * b - d7 * a + 1.8923494f * d[6 * pitch] * c +
             d10 * a * b - 10.0f * (d11 * b + d13 * a) * c +
             0.37317633f * d[12 * pitch] * (15.0f * cc - 3.0f) + d14 * (aa - bb);
}

/* look [3 + 16]: n = g / |g| and the harmonics of r, times view.  Returns |g|, never 0. */
PF_FN float
pf_hash_look(float *look, const float *g, const float *dir, float view, int pitch)
{
    const float d[3] = {dir[0], dir[pitch], dir[2 * pitch]};
    const float length = sqrtf(pf_dot_3(g, g, pitch)), held = length > 1e-12f ? length : 1e-12f;
    const float scale = 1.0f / held;
    float n[3], r[3];
    PF_UNROLL for (int k = 0; k < 3; k++)
        look[k * pitch] = n[k] = g[k * pitch] * scale;
    const float twice = pf_twice(n, d);
    PF_UNROLL for (int k = 0; k < 3; k++)
        r[k] = twice * n[k] + d[k];
    pf_harmonics(look + 3 * pitch, pitch, r);
    PF_UNROLL for (int k = 3; k < 3 + 16; k++)
        look[k * pitch] *= view;
    return held;
}

/* d_g += what d_look means; length is |g|. */
PF_FN void
pf_hash_look_backward(float *d_g, const float *d_look, const float *look, const float *dir,
                      float view, float length, int pitch)
{
    const float d[3] = {dir[0], dir[pitch], dir[2 * pitch]};
    const float n[3] = {look[0], look[pitch], look[2 * pitch]};
    const float twice = pf_twice(n, d);
    float r[3], d_r[3], d_n[3];
    PF_UNROLL for (int k = 0; k < 3; k++)
        r[k] = twice * n[k] + d[k];
    pf_harmonics_backward(d_r, d_look + 3 * pitch, pitch, r);
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_r[k] *= view;
    const float across = -2.0f * pf_dot_3(d_r, n, 1);
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_n[k] = d_look[k * pitch] + twice * d_r[k] + across * d[k];
    const float along = pf_dot_3(d_n, n, 1), scale = 1.0f / length;
    PF_UNROLL for (int k = 0; k < 3; k++)
        d_g[k * pitch] += (d_n[k] - along * n[k]) * scale;
}

#endif
