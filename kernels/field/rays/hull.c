/* hull.c - space carving (hull.h).
 *
 * A cell covers some pixels of each view.  Views agree on it if some colour lies, in each channel,
 * between the least and the greatest that each of them shows there: edges and fine texture pass, and
 * so does the border of the object, whose pixels show the background too.  What a view sees is told
 * by the depths of all surface cells, as long as they hold all of the true shape: then a cell that is
 * seen past them is seen past the true shape, and no cell of that is lost. */
#include "kernels/field/rays/hull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 128, LEAST_SIDE = 32, LEAST_VIEWS = 3 };
enum { OUT, EMPTY, FULL };      /* of a cell: by masks, by colours, not yet known */

/* A surface cell is hidden by one that is nearer by more than so many cells. */
#define HIDDEN 0.9f

struct eye {                    /* a view; owned by struct carving */
    double pose[12], K[9];
    int reach;                  /* pixels from a cell's middle to what it may cover */
    uint8_t *least, *most;      /* [H, W, 3] of the pixels within reach */
    float *depth;               /* [H, W] of the nearest surface cell */
};

struct carving {
    const struct pf_field_views *views;
    struct eye *eye;
    uint8_t *cell;              /* [R^3] */
    int32_t *surface;           /* [count] cells of the surface */
    int64_t count;
    int R;
    float bound, size, tolerance;
};

/* The pixel and the depth of a cell's middle; false: not in the picture. */
static bool
project(int *u, int *v, float *depth, const struct carving *c, const struct eye *e, int32_t i)
{
    const int R = c->R, at[3] = {i % R, i / R % R, i / R / R};
    double x[3], p[3];
    for (int k = 0; k < 3; k++)
        x[k] = (at[k] + 0.5) * (double)c->size - (double)c->bound;
    for (int k = 0; k < 3; k++)
        p[k] = e->pose[4 * k] * x[0] + e->pose[4 * k + 1] * x[1] + e->pose[4 * k + 2] * x[2] +
               e->pose[4 * k + 3];
    if (!(p[2] > 1e-3))
        return false;
    const double a = (e->K[0] * p[0] + e->K[1] * p[1]) / p[2] + e->K[2];
    const double b = e->K[4] * p[1] / p[2] + e->K[5];
    if (!(a >= 0 && a <= c->views->width - 1 && b >= 0 && b <= c->views->height - 1))
        return false;
    *u = (int)(a + 0.5);
    *v = (int)(b + 0.5);
    *depth = (float)p[2];
    return true;
}

/* The part of a row or column within reach of i. */
static void
clip(int *from, int *to, int i, int reach, int n)
{
    *from = i > reach ? i - reach : 0;
    *to = i + reach < n - 1 ? i + reach : n - 1;
}

/* The least and the greatest of each channel around each pixel. */
static void
spread(const struct carving *c, struct eye *e, const uint8_t *image)
{
    const int W = c->views->width, H = c->views->height;
    for (int i = 0; i < W * H * 3; i++) {
        int left, right, top, bottom;
        clip(&left, &right, i / 3 % W, e->reach, W);
        clip(&top, &bottom, i / 3 / W, e->reach, H);
        uint8_t least = 255, most = 0;
        for (int y = top; y <= bottom; y++)
            for (int x = left; x <= right; x++) {
                const uint8_t p = image[(y * W + x) * 3 + i % 3];
                least = p < least ? p : least;
                most = p > most ? p : most;
            }
        e->least[i] = least;
        e->most[i] = most;
    }
}

/* Cells of which a view shows only background are out. */
static void
apply_mask(struct carving *c, const struct eye *e, const float *alpha)
{
    const int W = c->views->width, H = c->views->height;
#pragma omp parallel for schedule(static)
    for (int32_t i = 0; i < c->R * c->R * c->R; i++) {
        int u, v, left, right, top, bottom;
        float depth;
        bool any = false;
        if (!c->cell[i] || !project(&u, &v, &depth, c, e, i))
            continue;
        clip(&left, &right, u, e->reach, W);
        clip(&top, &bottom, v, e->reach, H);
        for (int y = top; y <= bottom && !any; y++)
            for (int x = left; x <= right && !any; x++)
                any = alpha[y * W + x] > 0.02f;
        if (!any)
            c->cell[i] = OUT;
    }
}

/* Whether all six neighbours of a cell are full, or for want = false none is. */
static bool
surrounded(const struct carving *c, int32_t i, bool want)
{
    const int R = c->R, at[3] = {i % R, i / R % R, i / R / R}, step[3] = {1, R, R * R};
    for (int k = 0; k < 3; k++)
        for (int d = -1; d <= 1; d += 2) {
            const bool full =
                at[k] + d >= 0 && at[k] + d < R && c->cell[i + d * step[k]] == FULL;
            if (full != want)
                return false;
        }
    return true;
}

static void
find_surface(struct carving *c)
{
    c->count = 0;
    for (int32_t i = 0; i < c->R * c->R * c->R; i++)
        if (c->cell[i] == FULL && !surrounded(c, i, true))
            c->surface[c->count++] = i;
}

static void
draw_depths(const struct carving *c, struct eye *e)
{
    const int W = c->views->width, H = c->views->height;
    for (int i = 0; i < W * H; i++)
        e->depth[i] = INFINITY;
    for (int64_t s = 0; s < c->count; s++) {
        int u, v, left, right, top, bottom;
        float depth;
        if (!project(&u, &v, &depth, c, e, c->surface[s]))
            continue;
        clip(&left, &right, u, e->reach, W);
        clip(&top, &bottom, v, e->reach, H);
        for (int y = top; y <= bottom; y++)
            for (int x = left; x <= right; x++)
                e->depth[y * W + x] = fminf(e->depth[y * W + x], depth);
    }
}

/* Whether the views that see a cell have a colour of it in common. */
static bool
consistent(const struct carving *c, int32_t i)
{
    int least[3] = {0, 0, 0}, most[3] = {255, 255, 255}, seen = 0;
    for (int n = 0; n < c->views->views; n++) {
        const struct eye *e = &c->eye[n];
        int u, v;
        float depth;
        if (!project(&u, &v, &depth, c, e, i))
            continue;
        const int p = v * c->views->width + u;
        if (depth > e->depth[p] + HIDDEN * c->size)
            continue;
        seen++;
        for (int k = 0; k < 3; k++) {
            least[k] = e->least[3 * p + k] > least[k] ? e->least[3 * p + k] : least[k];
            most[k] = e->most[3 * p + k] < most[k] ? e->most[3 * p + k] : most[k];
        }
    }
    for (int k = 0; k < 3 && seen >= LEAST_VIEWS; k++)
        if ((float)(least[k] - most[k]) > 255 * c->tolerance)
            return false;
    return true;
}

/* Takes away the surface cells that are no surface; false: there are none. */
static bool
sweep(struct carving *c)
{
    bool any = false;
    find_surface(c);
#pragma omp parallel for schedule(dynamic, 1)
    for (int n = 0; n < c->views->views; n++)
        draw_depths(c, &c->eye[n]);
#pragma omp parallel for schedule(dynamic, 256) reduction(|| : any)
    for (int64_t s = 0; s < c->count; s++)
        if (!consistent(c, c->surface[s])) {
            c->cell[c->surface[s]] = EMPTY;
            any = true;
        }
    return any;
}

static void
collect(struct pf_hull *h, const struct carving *c)
{
    for (int32_t i = 0; i < c->R * c->R * c->R; i++)
        if (c->cell[i] == EMPTY && surrounded(c, i, false))
            h->empty[h->n++] = i;
}

static bool
look_at(struct carving *c, struct eye *e, int n)
{
    const struct pf_field_views *const v = c->views;
    const int64_t area = (int64_t)v->width * v->height;
    for (int i = 0; i < 12; i++)
        e->pose[i] = v->pose[12 * n + i];
    for (int i = 0; i < 9; i++)
        e->K[i] = v->intrinsics[9 * n + i];
    e->least = malloc((size_t)area * 3);
    e->most = malloc((size_t)area * 3);
    e->depth = malloc((size_t)area * sizeof(float));
    if (!e->least || !e->most || !e->depth)
        return false;
    const double far = e->pose[11] > 1e-3 ? e->pose[11] : 1e-3;         /* of the origin */
    e->reach = (int)ceil(0.5 * (double)c->size * e->K[0] / far);
    e->reach = e->reach < 16 ? e->reach : 16;
    spread(c, e, v->image + 3 * area * n);
    return true;
}

static pf_err
carve(struct pf_hull *h, struct carving *c)
{
    const size_t cells = (size_t)c->R * (size_t)c->R * (size_t)c->R;
    const struct pf_field_views *const v = c->views;
    bool ok = true;
    h->empty = malloc(cells * sizeof *h->empty);
    c->surface = malloc(cells * sizeof *c->surface);
    c->cell = malloc(cells);
    c->eye = calloc((size_t)v->views, sizeof *c->eye);
    if (!h->empty || !c->surface || !c->cell || !c->eye)
        return pf_fail(PF_ENOMEM, "no memory for a hull of %d cells a side", c->R);
    memset(c->cell, FULL, cells);
#pragma omp parallel for schedule(dynamic, 1) reduction(&& : ok)
    for (int n = 0; n < v->views; n++)
        ok = look_at(c, &c->eye[n], n) && ok;
    if (!ok)
        return pf_fail(PF_ENOMEM, "no memory for the hull's views");
    for (int n = 0; n < v->views; n++)
        apply_mask(c, &c->eye[n], v->alpha + (int64_t)n * v->width * v->height);
    for (int n = 0; n < c->R && sweep(c); n++)
        continue;
    collect(h, c);
    return PF_OK;
}

pf_err
pf_hull_carve(struct pf_hull *h, const struct pf_field_views *views, double bound, double tolerance)
{
    const int half = views->width / 2;
    struct carving c = {.views = views, .bound = (float)bound, .tolerance = (float)tolerance};
    c.R = half < LEAST_SIDE ? LEAST_SIDE : half < MOST_SIDE ? half : MOST_SIDE;
    c.size = 2 * c.bound / (float)c.R;
    *h = (struct pf_hull){.side = c.R, .bound = c.bound};
    const pf_err err = carve(h, &c);
    for (int n = 0; c.eye && n < views->views; n++) {
        free(c.eye[n].least);
        free(c.eye[n].most);
        free(c.eye[n].depth);
    }
    free(c.eye);
    free(c.surface);
    free(c.cell);
    if (err)
        pf_hull_release(h);
    return err;
}

void
pf_hull_release(struct pf_hull *h)
{
    free(h->empty);
    *h = (struct pf_hull){0};
}
