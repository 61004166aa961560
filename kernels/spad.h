/* spad.h - what one pixel of a pair of SPAD's cameras sees: its Pluecker coordinates, and its
 * epipolar line in the other camera's picture (cameras.md, 5 to 7).  kernels/epipolar.c and .cu
 * make maps and masks of it.
 *
 *     const struct pf_point epipole = pf_spad_epipole(&target, &input, n);
 *     const struct pf_segment s = pf_spad_segment(&target, &input, epipole, n, pixel);
 *     for (int shift = 0; shift < PF_SPAD_SHIFTS; shift++) {
 *         const struct pf_line l = pf_spad_line(&s, shift, n);
 *         for (int k = 0; k <= l.length; k++)
 *             ... pf_spad_pixel(&l, k) of input's picture ...
 *     }
 *
 * Pictures are latents of side n, pixel = i n + j in row i, column j.  Everything is computed in
 * double and rounded once: that agrees with the original's float32 bit for bit in nearly all
 * masks (cameras.md, 6).  The functions are inline and use only +, -, *, / and sqrt, which IEEE
 * defines to the last bit, so that a CPU and a GPU give the same bits - where no compiler joins
 * a * b + c into one rounding.  Written out, __dmul_rn and __dadd_rn would hide the formulas;
 * gcc's -ffp-contract=off and nvcc's --fmad=false for kernels/epipolar.cu, both in the Makefile,
 * do the same. */
#ifndef PF_SPAD_H
#define PF_SPAD_H
#include <math.h>

#include "common/camera.h"
#include "common/hd.h"
#include "kernels/strips.h"

enum {
    /* the greatest n: twice its square is an int, and lines are exact (pf_spad_line) */
    PF_SPAD_SIDE = 16384,
    PF_SPAD_SHIFTS = 9,         /* lines are three pixels wide: drawn once for each pixel of 3x3 */
};

struct pf_point {
    double x, y;
};
struct pf_segment {             /* its ends' columns and rows, 0..n-1; all 0: nothing is seen */
    int ax, ay, bx, by;
};
struct pf_line {                /* pixels 0..length; -1: none */
    int length, first, along, aside;
    uint64_t slope;             /* steps aside for one along, in units of 2^-32 */
};

/* ---- Pluecker maps ---- */

/* Direction of unit depth through a pixel's centre. */
static inline PF_HD void
pf_spad_ray(double d[3], const struct pf_spad_camera *c, int n, int pixel)
{
    const double F = 35.0 / 16.0;               /* focal length for image coordinates -1..1 */
    const double x = ((2.0 * (pixel % n) + 1) / n - 1) / F,
                 y = ((2.0 * (pixel / n) + 1) / n - 1) / F;
    for (int k = 0; k < 3; k++)
        d[k] = x * c->right[k] - y * c->up[k] + c->forward[k];
}

/* Direction and moment. */
static inline PF_HD void
pf_spad_plucker(float to[6], const struct pf_spad_camera *c, int n, int pixel)
{
    double d[3], m[3];
    pf_spad_ray(d, c, n, pixel);
    const double length = fmax(sqrt(pf_dot3(d, d)), 1e-12);
    for (int k = 0; k < 3; k++)
        d[k] /= length;
    pf_cross3(m, c->center, d);
    for (int k = 0; k < 3; k++) {
        to[k] = (float)d[k];
        to[3 + k] = (float)m[k];
    }
}

/* The map at side h, h divides n, of one made for side n: the mean of the 2x2 pixels around the
 * centre (cameras.md, 5), which are one where n / h is odd. */
static inline PF_HD void
pf_spad_plucker_at(float to[6], const struct pf_spad_camera *c, int n, int h, int pixel)
{
    const int r = n / h,
              first = (r * (pixel / h) + (r - 1) / 2) * n + r * (pixel % h) + (r - 1) / 2;
    float p[4][6];
    if (r % 2) {
        pf_spad_plucker(to, c, n, first);
        return;
    }
    for (int k = 0; k < 4; k++)
        pf_spad_plucker(p[k], c, n, first + k / 2 * n + k % 2);
    for (int k = 0; k < 6; k++)
        to[k] = 0.25f * ((p[0][k] + p[1][k]) + (p[2][k] + p[3][k]));
}

/* ---- epipolar lines ---- */

static inline PF_HD struct pf_point
pf_spad_project(const struct pf_spad_camera *c, int n, const double world[3])
{
    const double focal = 35.0 / 32.0 * n;    /* SPAD's lens on a latent of side n (cameras.md, 5) */
    const double q[3] = {world[0] - c->center[0], world[1] - c->center[1], world[2] - c->center[2]};
    const double z = pf_dot3(q, c->forward);    /* may be negative or 0: nothing is clipped */
    const struct pf_point p = {0.5 * n + focal * pf_dot3(q, c->right) / z,
                               0.5 * n - focal * pf_dot3(q, c->up) / z};
    return p;
}

/* Where src stands in tgt's picture.  Cameras in one place have no epipolar geometry: NaN, with
 * which no pixel sees anything (cameras.md, 6, cameras in one place; the original draws its
 * rounding noise). */
static inline PF_HD struct pf_point
pf_spad_epipole(const struct pf_spad_camera *src, const struct pf_spad_camera *tgt, int n)
{
    const double d[3] = {src->center[0] - tgt->center[0], src->center[1] - tgt->center[1],
                         src->center[2] - tgt->center[2]};
    const struct pf_point none = {NAN, NAN};
    return sqrt(pf_dot3(d, d)) < 1e-5 ? none : pf_spad_project(tgt, n, src->center);
}

/* A NaN is outside. */
static inline PF_HD bool
pf_spad_inside(struct pf_point p, int n)
{
    return p.x >= 0 && p.x <= n && p.y >= 0 && p.y <= n;
}

/* The original's "take the next valid one while the sum is still 0". */
static inline PF_HD void
pf_spad_take(struct pf_point *p, double x, double y, int n)
{
    const struct pf_point border = {x, y};
    if (p->x + p->y == 0 && pf_spad_inside(border, n))
        *p = border;
}

/* Towards zero: 0 -> 0, n -> n - 1.  A hair below a whole cell counts as that cell: one line of
 * (50, 90)/(20, 0) ends at 9.499996, which the original's floats took for 9.5; without this a
 * handful of bits of view 4 of the golden run differ, and its eps by 2e-4 (cameras.md, 6). */
static inline PF_HD int
pf_spad_cell(double v)
{
    return (int)(v - (0.5 - 1e-5));
}

/* The line of src's pixel in tgt's picture, from border to border, or from the epipole on if
 * that is inside.  Infinite and NaN slopes make comparisons false and need no care (cameras.md,
 * 6, parallel flow). */
static inline PF_HD struct pf_segment
pf_spad_segment(const struct pf_spad_camera *src, const struct pf_spad_camera *tgt,
                struct pf_point e, int n, int pixel)
{
    double d[3], world[3];
    pf_spad_ray(d, src, n, pixel);
    for (int k = 0; k < 3; k++)
        world[k] = src->center[k] + PF_RIG_DISTANCE * d[k];
    const struct pf_point p = pf_spad_project(tgt, n, world);
    const double length = sqrt((p.x - e.x) * (p.x - e.x) + (p.y - e.y) * (p.y - e.y));
    const struct pf_point flow = {(p.x - e.x) / length, (p.y - e.y) / length};
    const double m = flow.x / flow.y, b = p.x - m * p.y;        /* x = m y + b */
    const double left = -b / m, right = (n - b) / m, below = n * m + b;
    struct pf_point from = {0, 0}, to = {0, 0};
    pf_spad_take(&from, b, 0, n);
    pf_spad_take(&from, below, n, n);
    pf_spad_take(&from, n, right, n);
    pf_spad_take(&from, 0, left, n);
    pf_spad_take(&to, 0, left, n);
    pf_spad_take(&to, n, right, n);
    pf_spad_take(&to, below, n, n);
    pf_spad_take(&to, b, 0, n);
    if (pf_spad_inside(e, n)) {                 /* only the half line along the flow */
        if ((from.x - e.x > 0) != (flow.x > 0) || (from.y - e.y > 0) != (flow.y > 0))
            from = to;
        to = e;
    }
    const struct pf_segment s = {pf_spad_cell(from.x), pf_spad_cell(from.y), pf_spad_cell(to.x),
                                 pf_spad_cell(to.y)};
    return s;
}

static inline PF_HD int
pf_spad_clamp(int v, int n)
{
    return v < 0 ? 0 : v > n - 1 ? n - 1 : v;
}

/* The segment with both ends moved to neighbour number shift, as skimage.draw.line draws it:
 * both ends included, k steps along go round(k minor / major) aside, halves up.  In fixed point
 * that is exact: the slope's excess of less than 2^-32 adds less than n 2^-32 to a multiple of 1
 * / (2 major). */
static inline PF_HD struct pf_line
pf_spad_line(const struct pf_segment *s, int shift, int n)
{
    const struct pf_line none = {-1, 0, 0, 0, 0};
    if (s->ax + s->ay == 0 && s->bx + s->by == 0)
        return none;                            /* how rays that miss the image are dropped */
    const int x = shift % 3 - 1, y = shift / 3 - 1;
    const int ax = pf_spad_clamp(s->ax + x, n), ay = pf_spad_clamp(s->ay + y, n);
    const int dx = pf_spad_clamp(s->bx + x, n) - ax, dy = pf_spad_clamp(s->by + y, n) - ay;
    const int w = dx < 0 ? -dx : dx, h = dy < 0 ? -dy : dy, right = dx > 0 ? 1 : -1,
              down = dy > 0 ? n : -n;
    const int major = h > w ? h : w, minor = h > w ? w : h;
    const struct pf_line l = {
        major, ay * n + ax, h > w ? down : right, h > w ? right : down,
        major ? (((uint64_t)minor << 32) + (uint64_t)major - 1) / (uint64_t)major : 0,
    };
    return l;
}

static inline PF_HD int
pf_spad_pixel(const struct pf_line *l, int k)
{
    return l->first + k * l->along + (int)(((uint64_t)k * l->slope + 0x80000000u) >> 32) * l->aside;
}

/* ---- rows of masks: keys in the order of strips.h, at side h ---- */

/* What pixel k of a line made for side n is at side h; -1: nothing, as the smaller mask is
 * nearest on the flattened index, so that it has every ratio-th pixel, (n / h)^2 (cameras.md, 7,
 * flattened mask). */
static inline PF_HD int
pf_spad_key(const struct pf_line *l, int k, int ratio)
{
    const int pixel = pf_spad_pixel(l, k);
    return ratio == 1 ? pixel : pixel % ratio ? -1 : pixel / ratio;
}

/* The lowest n bits of a word, of n <= 0 none, of 32 and more all. */
static inline PF_HD uint32_t
pf_spad_bits(int n)
{
    return n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0;
}

/* Word w of a row, the own view's keys set: a half, or every second one. */
static inline PF_HD uint32_t
pf_spad_own(int w, int side, int view)
{
    const int half = side * side, first = view ? half : 0;
    return pf_in_strips(side)
               ? pf_spad_bits(first + half - 32 * w) & ~pf_spad_bits(first - 32 * w)
               : 0x55555555u << view & pf_spad_bits(2 * half - 32 * w);
}

#endif
