/* refine.c - see refine.h; the formulas are those of networks.md, 6.
 *
 * The guided filter in its fast form: K. He and J. Sun, Fast Guided Filter, 2015, section 2, with
 * the colour guide of K. He, J. Sun and X. Tang, Guided Image Filtering, 2013, section 3.4.
 * Foreground and background by blur fusion, twice: M. Forte, Approximate Fast Foreground Colour
 * Estimation, 2021, section 3. */
#include "kernels/cutout/refine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The longer side of the picture that is computed on: a larger one makes no better mask. */
enum { SIDE = 640 };
/* Radius of the guided filter in pixels of the mask, and its epsilon. */
static const float REACH = 2, EPSILON = 1e-4f;
/* What the filter leaves of a mask is stretched about one half: it blurs what it does not move. */
static const float CONTRAST = 2;
/* Radii of blur fusion in the longer side: once far, once near. */
static const float FAR = 0.03f, NEAR = 0.006f;
/* The squared distance of two colours at which they decide as much as the mask does. */
static const float TELLING = 0.1f;

/* What is kept of each pixel: alpha is the product of the first three with the colour, plus the
 * fourth; then the colours of the object and of the background. */
enum { ALPHA = 0, OBJECT = 4, GROUND = 7, KEPT = 10 };

struct pf_refine {
    int width, height;
    float *map;                 /* [height, width, KEPT] */
};

/* ---- means over windows ---- */

/* to [n] = means of from [n, C] over 2 r + 1 pixels; those beyond the ends do not count. */
static void
mean_of_row(float *to, const float *from, int n, int C, int r)
{
    double sum[16] = {0};
    for (int x = -r, count = 0; x < n; x++) {
        for (int c = 0; c < C && x + r < n; c++)
            sum[c] += (double)from[(x + r) * C + c];
        for (int c = 0; c < C && x - r - 1 >= 0; c++)
            sum[c] -= (double)from[(x - r - 1) * C + c];
        count += (x + r < n) - (x - r - 1 >= 0);
        for (int c = 0; c < C && x >= 0; c++)
            to[x * C + c] = (float)(sum[c] / count);
    }
}

/* v [h, w, C] becomes its mean over windows of 2 r + 1 pixels a side; C is 16 at most. */
static pf_err
box(float *v, int w, int h, int C, int r)
{
    const int stride = w * C;
    float *const rows = malloc((size_t)h * stride * sizeof *rows);
    double *const sum = calloc((size_t)stride, sizeof *sum);
    if (!rows || !sum) {
        free(rows);
        free(sum);
        return pf_fail(PF_ENOMEM, "no memory to refine a mask");
    }
#pragma omp parallel for
    for (int y = 0; y < h; y++)
        mean_of_row(rows + (size_t)y * stride, v + (size_t)y * stride, w, C, r);
    for (int y = -r, count = 0; y < h; y++) {
        for (int i = 0; i < stride && y + r < h; i++)
            sum[i] += (double)rows[(size_t)(y + r) * stride + i];
        for (int i = 0; i < stride && y - r - 1 >= 0; i++)
            sum[i] -= (double)rows[(size_t)(y - r - 1) * stride + i];
        count += (y + r < h) - (y - r - 1 >= 0);
        for (int i = 0; i < stride && y >= 0; i++)
            v[(size_t)y * stride + i] = (float)(sum[i] / count);
    }
    free(rows);
    free(sum);
    return PF_OK;
}

/* ---- the guided filter ---- */

static float
clamp(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* The plane k[0..2] . colour + k[3] that is nearest to a mask over a window, from the window's
 * means: colour, mask, products of colours (rr, rg, rb, gg, gb, bb), colour times mask. */
static void
plane(float k[4], const float m[13])
{
    const double e = (double)EPSILON;
    double s[13];
    for (int i = 0; i < 13; i++)
        s[i] = (double)m[i];
    const double rr = s[4] - s[0] * s[0] + e, rg = s[5] - s[0] * s[1], rb = s[6] - s[0] * s[2];
    const double gg = s[7] - s[1] * s[1] + e, gb = s[8] - s[1] * s[2], bb = s[9] - s[2] * s[2] + e;
    const double r = s[10] - s[0] * s[3], g = s[11] - s[1] * s[3], b = s[12] - s[2] * s[3];
    const double a = gg * bb - gb * gb, c = rb * gb - rg * bb, d = rg * gb - rb * gg;
    const double det = rr * a + rg * c + rb * d, f = rg * rb - rr * gb;
    const double x = (a * r + c * g + d * b) / det;
    const double y = (c * r + (rr * bb - rb * rb) * g + f * b) / det;
    const double z = (d * r + f * g + (rr * gg - rg * rg) * b) / det;
    k[0] = (float)x;
    k[1] = (float)y;
    k[2] = (float)z;
    k[3] = (float)(s[3] - x * s[0] - y * s[1] - z * s[2]);
}

/* plane [n, 4] from colours [n, 3] and mask [n], n = w h. */
static pf_err
guide(float *planes, const float *rgb, const float *mask, int w, int h, int r)
{
    const size_t n = (size_t)w * h;
    float *const m = malloc(n * 13 * sizeof *m);
    pf_err err = m ? PF_OK : pf_fail(PF_ENOMEM, "no memory to refine a mask");
    for (size_t i = 0; i < n && !err; i++) {
        const float *const c = rgb + 3 * i;
        const float v[] = {c[0], c[1], c[2], mask[i],
                           c[0] * c[0], c[0] * c[1], c[0] * c[2], c[1] * c[1], c[1] * c[2],
                           c[2] * c[2], c[0] * mask[i], c[1] * mask[i], c[2] * mask[i]};
        memcpy(m + 13 * i, v, sizeof v);
    }
    if (!err)
        err = box(m, w, h, 13, r);
    for (size_t i = 0; i < n && !err; i++)
        plane(planes + 4 * i, m + 13 * i);
    free(m);
    return err ? err : box(planes, w, h, 4, r);
}

static float
alpha_of(const float *map, const float c[3])
{
    return clamp(map[ALPHA] * c[0] + map[ALPHA + 1] * c[1] + map[ALPHA + 2] * c[2] +
                 map[ALPHA + 3]);
}

/* ---- blur fusion ---- */

/* What an object of colour f before a background of colour b lacks of the colour c that is seen
 * belongs to the object, in its share. */
static float
own(float c, float f, float b, float alpha)
{
    return clamp(f + alpha * (c - alpha * f - (1 - alpha) * b));
}

/* OBJECT and GROUND of the map become their means over windows, weighed by alpha. */
static pf_err
fuse(pf_refine *r, const float *rgb, int radius)
{
    const size_t n = (size_t)r->width * r->height;
    float *const m = malloc(n * 8 * sizeof *m);
    pf_err err = m ? PF_OK : pf_fail(PF_ENOMEM, "no memory to refine a mask");
    for (size_t i = 0; i < n && !err; i++) {
        const float *const map = r->map + KEPT * i, a = alpha_of(map, rgb + 3 * i);
        for (int c = 0; c < 3; c++) {
            m[8 * i + c] = a * map[OBJECT + c];
            m[8 * i + 3 + c] = (1 - a) * map[GROUND + c];
        }
        m[8 * i + 6] = a;
        m[8 * i + 7] = 1 - a;
    }
    if (!err)
        err = box(m, r->width, r->height, 8, radius);
    for (size_t i = 0; i < n && !err; i++) {
        float *const map = r->map + KEPT * i, a = alpha_of(map, rgb + 3 * i);
        for (int c = 0; c < 3; c++) {
            const float f = m[8 * i + c] / (m[8 * i + 6] + 1e-5f);
            map[GROUND + c] = m[8 * i + 3 + c] / (m[8 * i + 7] + 1e-5f);
            map[OBJECT + c] = own(rgb[3 * i + c], f, map[GROUND + c], a);
        }
    }
    free(m);
    return err;
}

/* ---- pixels between pixels ---- */

struct tap {                    /* a value between those of two pixels */
    int first, second;
    float t;
};

/* Pixel i of an axis of `to` pixels in one of `from`. */
static struct tap
tap(int i, int from, int to)
{
    const float at = ((float)i + 0.5f) * (float)from / (float)to - 0.5f;
    const int first = at > 0 ? (int)at : 0;
    return (struct tap){first, first + (first + 1 < from), at > 0 ? at - (float)first : 0};
}

/* to [h, w] from the mask. */
static void
enlarge(float *to, int w, int h, const pf_tensor *mask)
{
    const int H = (int)mask->dim[0], W = (int)mask->dim[1];
    for (int y = 0; y < h; y++) {
        const struct tap v = tap(y, H, h);
        const float *const up = (const float *)mask->data + (size_t)v.first * W;
        const float *const down = (const float *)mask->data + (size_t)v.second * W;
        for (int x = 0; x < w; x++) {
            const struct tap u = tap(x, W, w);
            to[y * w + x] = (1 - v.t) * ((1 - u.t) * up[u.first] + u.t * up[u.second]) +
                            v.t * ((1 - u.t) * down[u.first] + u.t * down[u.second]);
        }
    }
}

/* ---- the whole ---- */

/* planes [n, 4], rgb [n, 3] 0..1: the map. */
static pf_err
fill(pf_refine *r, const float *planes, const float *rgb)
{
    const float longer = (float)(r->width > r->height ? r->width : r->height);
    for (int i = 0; i < r->width * r->height; i++) {
        float *const map = r->map + (size_t)KEPT * i;
        for (int c = 0; c < 4; c++)
            map[ALPHA + c] = CONTRAST * planes[4 * i + c];
        map[ALPHA + 3] -= (CONTRAST - 1) / 2;
        memcpy(map + OBJECT, rgb + 3 * i, 3 * sizeof *map);
        memcpy(map + GROUND, rgb + 3 * i, 3 * sizeof *map);
    }
    PF_TRY(fuse(r, rgb, (int)fmaxf(1, FAR * longer)));
    return fuse(r, rgb, (int)fmaxf(1, NEAR * longer));
}

static pf_err
refine(pf_refine *r, const pf_image *small, const pf_tensor *mask)
{
    const int w = r->width, h = r->height;
    const float pixel = fmaxf((float)w / (float)mask->dim[1], (float)h / (float)mask->dim[0]);
    const size_t n = (size_t)w * h;
    float *const rgb = malloc(n * 8 * sizeof *rgb);
    if (!rgb)
        return pf_fail(PF_ENOMEM, "no memory to refine a mask");
    float *const planes = rgb + 3 * n, *const p = planes + 4 * n;
    for (size_t i = 0; i < 3 * n; i++)
        rgb[i] = (float)small->pixel[i] / 255;
    enlarge(p, w, h, mask);
    pf_err err = guide(planes, rgb, p, w, h, (int)fmaxf(1, roundf(REACH * pixel)));
    if (!err)
        err = fill(r, planes, rgb);
    free(rgb);
    return err;
}

pf_err
pf_refine_new(pf_refine **result, const pf_image *part, const pf_tensor *mask)
{
    const int longer = part->width > part->height ? part->width : part->height;
    const double scale = longer > SIDE ? (double)SIDE / longer : 1;
    const int w = (int)fmax(1, round(part->width * scale));
    const int h = (int)fmax(1, round(part->height * scale));
    pf_refine *const r = calloc(1, sizeof *r);
    pf_image small;
    pf_err err = PF_OK;

    PF_TRY(pf_tensor_expect(mask, "mask", PF_F32, 2, (int64_t[]){-1, -1}));
    if (!r || !(r->map = malloc((size_t)w * h * KEPT * sizeof *r->map)))
        err = pf_fail(PF_ENOMEM, "no memory to refine a mask");
    else if (!(err = pf_image_resize_by(&small, part, w, h, PF_BILINEAR))) {
        r->width = w;
        r->height = h;
        err = refine(r, &small, mask);
        pf_image_release(&small);
    }
    if (err)
        pf_refine_free(r);
    else
        *result = r;
    return err;
}

void
pf_refine_free(pf_refine *r)
{
    if (r)
        free(r->map);
    free(r);
}

/* Where the colours of object and background differ, the pixel's own says how it is mixed. */
static float
mixed(float alpha, const float c[3], const float *map)
{
    float along = 0, square = 0;
    for (int i = 0; i < 3; i++) {
        const float d = map[OBJECT + i] - map[GROUND + i];
        along += d * (c[i] - map[GROUND + i]);
        square += d * d;
    }
    if (square == 0)
        return alpha;
    return alpha + square / (square + TELLING) * (clamp(along / square) - alpha);
}

static uint8_t
cut(uint8_t rgb[3], const float *map)
{
    const float c[] = {(float)rgb[0] / 255, (float)rgb[1] / 255, (float)rgb[2] / 255};
    float alpha = alpha_of(map, c);
    if (alpha > 0 && alpha < 1)
        alpha = mixed(alpha, c, map);
    for (int i = 0; i < 3 && alpha > 0 && alpha < 1; i++)
        rgb[i] = (uint8_t)(255 * own(c[i], map[OBJECT + i], map[GROUND + i], alpha) + 0.5f);
    return (uint8_t)(255 * alpha + 0.5f);
}

void
pf_refine_row(const pf_refine *r, uint8_t *alpha, uint8_t *rgb, int width, int y, int height)
{
    const struct tap v = tap(y, r->height, height);
    const float *const up = r->map + (size_t)v.first * r->width * KEPT;
    const float *const down = r->map + (size_t)v.second * r->width * KEPT;
    for (int x = 0; x < width; x++) {
        const struct tap u = tap(x, r->width, width);
        const int left = u.first * KEPT, right = u.second * KEPT;
        float map[KEPT];
        for (int k = 0; k < KEPT; k++)
            map[k] = (1 - v.t) * ((1 - u.t) * up[left + k] + u.t * up[right + k]) +
                     v.t * ((1 - u.t) * down[left + k] + u.t * down[right + k]);
        alpha[x] = cut(rgb + 3 * x, map);
    }
}
