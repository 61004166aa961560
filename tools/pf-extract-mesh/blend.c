/* blend.c - a view's weight at a point is cos^2 of the angle between the normal and the camera,
 * times the square of how far within the object's outline the view has the point: colours of
 * pixels at outlines are those of the background or of what lies behind, in part.  A point is
 * hidden where the mesh's depth in the view is less than the point's, at the point's pixel or one
 * beside it. */
#include "tools/pf-extract-mesh/blend.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FINE = 2 };              /* depths for each pixel along each axis */
enum { EDGE = 3 };              /* pixels from the outline that count less */
enum { ROUNDS = 3 };            /* that the colours are corrected; more amplify what disagrees */
#define GRAZING 0.15f           /* cosine: a view that sees a face flatter does not count */
#define WHOLE 0.99f             /* alpha of a pixel that is of the object alone */
#define NEAREST 0.01f           /* depth at which a camera begins to see, scene units */
#define OWN 1e-3f               /* weight of the colour that was there */

struct camera {                 /* a view; its pictures are owned */
    float R[9], t[3], center[3], K[6];
    int width, height;
    uint8_t *image;             /* [H, W, 3] */
    uint8_t *within;            /* [H, W] pixels from the outline, EDGE at most; 0: beyond it */
    float *near;                /* [FINE H, FINE W] 1 / depth of the nearest surface around */
    float *left, *area;         /* [H, W, 3], [H, W]: see compare */
};

struct pf_blend {
    struct camera *camera;      /* [count] */
    int count;
};

/* ---- cameras ---- */

static void
set_camera(struct camera *c, const struct pf_posed_views *v, int n)
{
    const float *const P = v->pose + 12 * (int64_t)n;
    double K[9];
    pf_posed_views_intrinsics(K, v, n);
    for (int i = 0; i < 9; i++)
        c->R[i] = P[i / 3 * 4 + i % 3];
    for (int k = 0; k < 3; k++)
        c->t[k] = P[4 * k + 3];
    for (int k = 0; k < 6; k++)
        c->K[k] = (float)K[k];
    for (int k = 0; k < 3; k++)
        c->center[k] = -(c->R[k] * c->t[0] + c->R[3 + k] * c->t[1] + c->R[6 + k] * c->t[2]);
}

/* Column and row, and returned the depth, of a point. */
static inline float
project(float at[2], const struct camera *c, const float p[3])
{
    float x[3];
    for (int k = 0; k < 3; k++)
        x[k] = c->R[3 * k] * p[0] + c->R[3 * k + 1] * p[1] + c->R[3 * k + 2] * p[2] + c->t[k];
    at[0] = (c->K[0] * x[0] + c->K[1] * x[1]) / x[2] + c->K[2];
    at[1] = c->K[4] * x[1] / x[2] + c->K[5];
    return x[2];
}

/* ---- depths ---- */

/* Draw a triangle, corners (column, row, 1 / depth) of the fine picture, into 1 / depth. */
static void
draw(float *depth, int width, int height, float corner[3][3])
{
    const float *const a = corner[0], *const b = corner[1], *const c = corner[2];
    const float area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    const float low_x = fminf(a[0], fminf(b[0], c[0])), high_x = fmaxf(a[0], fmaxf(b[0], c[0])),
                low_y = fminf(a[1], fminf(b[1], c[1])), high_y = fmaxf(a[1], fmaxf(b[1], c[1]));
    if (!(area != 0) || !(high_x >= 0) || !(high_y >= 0) || !(low_x < (float)width) ||
        !(low_y < (float)height))
        return;
    const int x0 = (int)ceilf(fmaxf(low_x, 0)), x1 = (int)fminf(high_x, (float)width - 1),
              y0 = (int)ceilf(fmaxf(low_y, 0)), y1 = (int)fminf(high_y, (float)height - 1);
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            const float px = (float)x, py = (float)y;
            const float u = ((c[0] - b[0]) * (py - b[1]) - (c[1] - b[1]) * (px - b[0])) / area,
                        v = ((a[0] - c[0]) * (py - c[1]) - (a[1] - c[1]) * (px - c[0])) / area,
                        w = 1 - u - v;
            float *const to = &depth[(int64_t)y * width + x];
            if (u >= -1e-5f && v >= -1e-5f && w >= -1e-5f)
                *to = fmaxf(*to, u * a[2] + v * b[2] + w * c[2]);
        }
}

/* Each value becomes the largest of the three around it, along rows or columns. */
static void
spread(float *to, const float *from, int width, int height, int step_x, int step_y)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            float most = from[(int64_t)y * width + x];
            for (int side = -1; side <= 1; side += 2) {
                const int i = x + side * step_x, j = y + side * step_y;
                if (i >= 0 && j >= 0 && i < width && j < height)
                    most = fmaxf(most, from[(int64_t)j * width + i]);
            }
            to[(int64_t)y * width + x] = most;
        }
}

/* 1 / depth of the mesh as a view sees it, of the nearest surface within a fine pixel. */
static bool
draw_depth(const struct camera *c, const struct pf_mesh *mesh)
{
    const int width = FINE * c->width, height = FINE * c->height;
    const size_t size = (size_t)width * (size_t)height;
    float *const depth = c->near;
    float *const scratch = malloc(size * sizeof *scratch);
    float(*const point)[3] = malloc((size_t)(mesh->vertices + 1) * sizeof *point);
    if (scratch && point) {
        memset(depth, 0, size * sizeof *depth);
        for (int64_t v = 0; v < mesh->vertices; v++) {
            const float z = project(point[v], c, mesh->vertex + 3 * v);
            for (int k = 0; k < 2; k++)         // pixel j is fine pixels 2 j and 2 j + 1
                point[v][k] = FINE * (point[v][k] + 0.5f) - 0.5f;
            point[v][2] = z > NEAREST ? 1 / z : 0;
        }
        for (int64_t f = 0; f < mesh->faces; f++) {
            float corner[3][3];
            bool seen = true;
            for (int k = 0; k < 3; k++) {
                memcpy(corner[k], point[mesh->face[3 * f + k]], sizeof corner[k]);
                seen &= corner[k][2] > 0;
            }
            if (seen)
                draw(depth, width, height, corner);
        }
        spread(scratch, depth, width, height, 1, 0);
        spread(depth, scratch, width, height, 0, 1);
    }
    free(point);
    free(scratch);
    return scratch && point;
}

/* How far each pixel lies within the outline of its view's object. */
static void
measure_outline(uint8_t *within, const float *alpha, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int least = EDGE;
            for (int j = -EDGE; j <= EDGE; j++)
                for (int i = -EDGE; i <= EDGE; i++) {
                    const int u = x + i, v = y + j, far = abs(i) > abs(j) ? abs(i) : abs(j);
                    const bool object = u >= 0 && v >= 0 && u < width && v < height &&
                                        alpha[(int64_t)v * width + u] >= WHOLE;
                    least = !object && far < least ? far : least;
                }
            within[(int64_t)y * width + x] = (uint8_t)least;
        }
}

/* ---- points in views ---- */

struct link {                   /* a point that a view sees, between four of its pixels */
    uint32_t point, pixel;      /* pixel: the upper left one, row by row */
    float x, y;                 /* how far it is to the next column and row, 0..1 */
    float weight;               /* of what the view says about the point */
    float area;                 /* of the surface there, as the view sees it, to some factor */
};
enum { SOME = 1 << 14 };        /* points that a thread works on */
struct links {                  /* what a view sees of so many points */
    struct link *link;          /* [n] in the order of points, owned */
    int64_t n;
};

static int64_t
blocks_of(int64_t points)
{
    return (points + SOME - 1) / SOME;
}

/* Cosine between a point's normal and the direction to a view, times *length, of which this is the
 * square. */
static inline float
face(float *length, const struct camera *c, const float p[3], const float normal[3])
{
    const float x = c->center[0] - p[0], y = c->center[1] - p[1], z = c->center[2] - p[2];
    *length = x * x + y * y + z * z;
    return x * normal[0] + y * normal[1] + z * normal[2];
}

enum { TOGETHER = 256 };
/* The points of n that do not look away from a view: their numbers, and how many. */
static int
find_facing(int which[TOGETHER], const struct camera *c, const float *point, const float *normal,
            int n)
{
    bool is[TOGETHER];
    int count = 0;
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float length;
        const float facing = face(&length, c, point + 3 * i, normal + 3 * i);
        is[i] = (facing > 0) & (facing * facing >= GRAZING * GRAZING * length);
    }
    for (int i = 0; i < n; i++) {
        which[count] = i;
        count += is[i];
    }
    return count;
}

/* Whether a view sees a point that faces it, and where. */
static inline bool
see(struct link *link, const struct camera *c, const float p[3], const float normal[3])
{
    float at[2], length, facing = face(&length, c, p, normal);
    facing /= sqrtf(length);
    const float z = project(at, c, p);
    if (!(z > NEAREST) || !(at[0] >= 0) || !(at[1] >= 0) || !(at[0] < (float)(c->width - 1)) ||
        !(at[1] < (float)(c->height - 1)))
        return false;
    const int x = (int)at[0], y = (int)at[1];
    const uint8_t *const row = c->within + (int64_t)y * c->width + x;
    int within = EDGE;
    for (int k = 0; k < 4; k++)
        within = row[(k >> 1) * c->width + (k & 1)] < within ? row[(k >> 1) * c->width + (k & 1)]
                                                             : within;
    if (within == 0)
        return false;
    // The surface's own depth changes by a pixel's width and its slope from there to the next.
    const float pixel = z / c->K[0], slope = sqrtf(1 - fminf(facing * facing, 1)) / facing;
    const int i = (int)(FINE * (at[0] + 0.5f)), j = (int)(FINE * (at[1] + 0.5f));
    if (c->near[(int64_t)j * FINE * c->width + i] * (z - 1.5f * pixel * (0.5f + slope)) > 1)
        return false;
    const float inside = (float)within / EDGE;
    link->pixel = (uint32_t)(y * c->width + x);
    link->x = at[0] - (float)x;
    link->y = at[1] - (float)y;
    link->area = facing / (z * z);
    link->weight = inside * inside * facing * facing;
    return true;
}

/* Of points from to end those that a view sees. */
static bool
find_links(struct links *l, const struct camera *c, const float *point, const float *normal,
           int64_t from, int64_t end)
{
    struct link *const all = malloc(SOME * sizeof *all), *fit;
    int which[TOGETHER];
    for (int64_t at = from; all && at < end; at += TOGETHER) {
        const int n = find_facing(which, c, point + 3 * at, normal + 3 * at,
                                  (int)(end - at < TOGETHER ? end - at : TOGETHER));
        for (int k = 0; k < n; k++) {
            const int64_t i = at + which[k];
            if (see(&all[l->n], c, point + 3 * i, normal + 3 * i))
                all[l->n++].point = (uint32_t)i;
        }
    }
    fit = all && l->n ? realloc(all, (size_t)l->n * sizeof *all) : NULL;
    l->link = fit ? fit : all;
    return all != NULL;
}

/* ---- colours ---- */

/* The share of pixel k of four that a link is between. */
static inline float
share(const struct link *l, int k)
{
    return (k & 1 ? l->x : 1 - l->x) * (k >> 1 ? l->y : 1 - l->y);
}

static inline int64_t
pixel_of(const struct link *l, int k, int width)
{
    return l->pixel + (k >> 1) * width + (k & 1);
}

/* The view's left: what each pixel shows more than the points in it, which the view sees, blocks
 * of them; rgb NULL: all of it.  Its area: of those points. */
static void
compare(const struct camera *view, const struct links *l, int64_t blocks, const float *rgb)
{
    const int width = view->width;
    const int64_t pixels = (int64_t)width * view->height;
    float *const left = view->left, *const area = view->area;
    memset(left, 0, (size_t)pixels * 3 * sizeof *left);
    memset(area, 0, (size_t)pixels * sizeof *area);
    for (int64_t b = 0; rgb && b < blocks; b++)
        for (int64_t i = 0; i < l[b].n; i++) {
            const struct link *const at = &l[b].link[i];
            const int64_t to = pixel_of(at, (at->x >= 0.5f) + 2 * (at->y >= 0.5f), width);
            area[to] += at->area;
            for (int c = 0; c < 3; c++)
                left[3 * to + c] += at->area * rgb[3 * (int64_t)at->point + c];
        }
    for (int64_t i = 0; i < 3 * pixels; i++) {
        const bool empty = rgb && !(area[i / 3] > 0);
        const float drawn = rgb && !empty ? left[i] / area[i / 3] : 0;
        left[i] = empty ? 0 : view->image[i] / 255.0f - drawn;
    }
}

/* rgb = (own rgb + sum of weight left) / (own + sum of weight), or with own 0: what is left is
 * added by its mean. */
static void
give(float *rgb, const pf_blend *b, const struct links *l, int64_t points, float own)
{
    const int64_t blocks = blocks_of(points);
#pragma omp parallel for schedule(dynamic)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t from = block * SOME, end = from + SOME < points ? from + SOME : points;
        float sum[SOME][4];
        memset(sum, 0, sizeof sum);
        for (int n = 0; n < b->count; n++) {
            const struct links *const seen = &l[n * blocks + block];
            for (int64_t i = 0; i < seen->n; i++) {
                const struct link *const at = &seen->link[i];
                float *const to = sum[at->point - from];
                for (int k = 0; k < 4; k++) {
                    const float w = share(at, k) * at->weight;
                    const struct camera *const c = &b->camera[n];
                    const float *const pixel = c->left + 3 * pixel_of(at, k, c->width);
                    for (int channel = 0; channel < 3; channel++)
                        to[channel] += w * pixel[channel];
                }
                to[3] += at->weight;
            }
        }
        for (int64_t i = from; i < end; i++)
            for (int c = 0; c < 3; c++) {
                const float *const s = sum[i - from], was = rgb[3 * i + c];
                rgb[3 * i + c] = own > 0 ? (s[c] + own * was) / (s[3] + own)
                                         : was + s[c] / (s[3] + OWN);
            }
    }
}

/* The mean of the views at first.  It is blurred, by the pixels and as views disagree, so what the
 * views show more than it is added to it, some times (iterative back-projection). */
static void
fit(float *rgb, const pf_blend *b, const struct links *l, int64_t points)
{
    const int64_t blocks = blocks_of(points);
    for (int round = 0; round <= ROUNDS; round++) {
#pragma omp parallel for schedule(dynamic)
        for (int n = 0; n < b->count; n++)
            compare(&b->camera[n], l + n * blocks, blocks, round ? rgb : NULL);
        give(rgb, b, l, points, round ? 0 : OWN);
    }
#pragma omp parallel for
    for (int64_t i = 0; i < 3 * points; i++)
        rgb[i] = rgb[i] > 0 ? rgb[i] < 1 ? rgb[i] : 1 : 0;
}

pf_err
pf_blend_colors(const pf_blend *blend, float *rgb, const float *point, const float *normal,
                int64_t n)
{
    const int64_t blocks = blocks_of(n), all = blend->count * blocks;
    struct links *const l = calloc((size_t)all + 1, sizeof *l);     // [views, blocks]
    bool enough = l != NULL;
#pragma omp parallel for schedule(dynamic) reduction(&& : enough)
    for (int64_t i = 0; i < all; i++) {
        const int64_t from = i % blocks * SOME, end = from + SOME < n ? from + SOME : n;
        enough = enough &&
                 find_links(&l[i], &blend->camera[i / blocks], point, normal, from, end);
    }
    if (enough)
        fit(rgb, blend, l, n);
    for (int64_t i = 0; l && i < all; i++)
        free(l[i].link);
    free(l);
    return enough ? PF_OK
                  : pf_fail(PF_ENOMEM, "no memory for the colours of %lld points", (long long)n);
}

/* ---- the whole ---- */

pf_err
pf_blend_new(pf_blend **blend)
{
    *blend = calloc(1, sizeof **blend);
    return *blend ? PF_OK : pf_fail(PF_ENOMEM, "no memory for views");
}

/* View n of a document. */
static bool
set_view(struct camera *c, const struct pf_posed_views *v, int n, const struct pf_mesh *mesh)
{
    const size_t pixels = (size_t)v->width * (size_t)v->height;
    set_camera(c, v, n);
    c->width = v->width;
    c->height = v->height;
    c->image = malloc(3 * pixels);
    c->within = malloc(pixels);
    c->near = malloc(pixels * FINE * FINE * sizeof *c->near);
    c->left = malloc(3 * pixels * sizeof *c->left);
    c->area = malloc(pixels * sizeof *c->area);
    if (!c->image || !c->within || !c->near || !c->left || !c->area)
        return false;
    memcpy(c->image, v->image + 3 * (size_t)n * pixels, 3 * pixels);
    measure_outline(c->within, v->alpha + (size_t)n * pixels, v->width, v->height);
    return draw_depth(c, mesh);
}

pf_err
pf_blend_add(pf_blend *blend, const struct pf_posed_views *views, const struct pf_mesh *mesh)
{
    const int was = blend->count, count = was + views->count;
    struct camera *const more = realloc(blend->camera, (size_t)count * sizeof *more);
    bool enough = more != NULL;
    if (more) {
        memset(more + was, 0, (size_t)views->count * sizeof *more);
        blend->camera = more;
        blend->count = count;
    }
#pragma omp parallel for schedule(dynamic) reduction(&& : enough)
    for (int n = 0; n < views->count; n++)
        enough = enough && set_view(&more[was + n], views, n, mesh);
    return enough ? PF_OK : pf_fail(PF_ENOMEM, "no memory for the depths of %d views", count);
}

void
pf_blend_free(pf_blend *blend)
{
    for (int n = 0; blend && n < blend->count; n++) {
        free(blend->camera[n].image);
        free(blend->camera[n].within);
        free(blend->camera[n].near);
        free(blend->camera[n].left);
        free(blend->camera[n].area);
    }
    if (blend)
        free(blend->camera);
    free(blend);
}
