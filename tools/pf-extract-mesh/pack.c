/* pack.c - the strip's horizon, how far each column is filled, meets the upper rim of the chart,
 * column by column; of all places the one is taken where the chart ends highest, and of these where
 * least is left empty above it.  Tall charts come first. */
#include "tools/pf-extract-mesh/pack.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct chart {
    int number, width, height;  /* texels with gutters */
    int64_t column;             /* its first one in upper and lower */
};

struct packing {
    const struct pf_atlas *atlas;
    const uint32_t *rim;        /* [edges] corners, 3 face + k, at which they begin */
    int64_t edges;
    double scale;
    struct chart *chart;        /* [charts] */
    int *upper, *lower;         /* [columns]: where a chart begins and ends in each of them */
    int *horizon;               /* [size] */
    int64_t *filled;            /* [size + 1]: running sum of the horizon */
};

enum { SOME = 64 };             /* columns that are looked at before it is asked whether to go on */

static int
by_height(const void *a, const void *b)
{
    const struct chart *x = a, *y = b;
    return x->height != y->height ? y->height - x->height
           : x->width != y->width ? y->width - x->width
                                  : x->number - y->number;
}

/* The size of each chart, and its number of columns. */
static int64_t
measure(struct packing *p)
{
    const struct pf_atlas *const a = p->atlas;
    int64_t columns = 0;
    for (int i = 0; i < a->charts; i++)
        p->chart[i] = (struct chart){.number = i};
    for (int64_t e = 0; e < p->edges; e++) {
        const int64_t i = p->rim[e];
        struct chart *const c = &p->chart[a->chart[i / 3]];
        const float *const at = a->at + 2 * (int64_t)a->face[i];
        const int x = (int)(at[0] * p->scale) + 1 + 2 * a->gutter,
                  y = (int)(at[1] * p->scale) + 1 + 2 * a->gutter;
        c->width = x > c->width ? x : c->width;
        c->height = y > c->height ? y : c->height;
    }
    for (int i = 0; i < a->charts; i++) {
        p->chart[i].column = columns;
        columns += p->chart[i].width;
    }
    return columns;
}

/* Widen a chart's columns by an edge between two points, in texels of the chart. */
static void
add_edge(struct packing *p, const struct chart *c, const double a[2], const double b[2])
{
    const double *const left = a[0] < b[0] ? a : b, *const right = a[0] < b[0] ? b : a;
    const int first = (int)left[0], last = (int)right[0];
    const double slope = right[0] > left[0] ? (right[1] - left[1]) / (right[0] - left[0]) : 0;
    for (int x = first; x <= last; x++) {
        const double from = x > first ? left[1] + slope * (x - left[0]) : left[1],
                     to = x < last ? left[1] + slope * (x + 1 - left[0]) : right[1];
        const double least = from < to ? from : to, most = from < to ? to : from;
        const int low = least > 0 ? (int)least : 0, high = (most < 1e6 ? (int)most : 1000000) + 1;
        int *const upper = &p->upper[c->column + x], *const lower = &p->lower[c->column + x];
        *upper = low < *upper ? low : *upper;
        *lower = high > *lower ? high : *lower;
    }
}

/* The rims of all charts, gutters included. */
static pf_err
outline(struct packing *p, int64_t columns)
{
    const struct pf_atlas *const a = p->atlas;
    const int g = a->gutter;
    int *const upper = malloc(((size_t)columns + 1) * sizeof *upper);
    int *const lower = malloc(((size_t)columns + 1) * sizeof *lower);
    if (!upper || !lower) {
        free(upper);
        free(lower);
        return pf_fail(PF_ENOMEM, "no memory for the outlines of %d charts", a->charts);
    }
    for (int64_t x = 0; x < columns; x++) {
        p->upper[x] = INT_MAX / 2;
        p->lower[x] = -INT_MAX / 2;
    }
    for (int64_t e = 0; e < p->edges; e++) {
        const int64_t i = p->rim[e];
        const float *const from = a->at + 2 * (int64_t)a->face[i];
        const float *const to = a->at + 2 * (int64_t)a->face[i % 3 == 2 ? i - 2 : i + 1];
        add_edge(p, &p->chart[a->chart[i / 3]],
                 (double[]){from[0] * p->scale + g, from[1] * p->scale + g},
                 (double[]){to[0] * p->scale + g, to[1] * p->scale + g});
    }
    memcpy(upper, p->upper, (size_t)columns * sizeof *upper);
    memcpy(lower, p->lower, (size_t)columns * sizeof *lower);
    for (int i = 0; i < a->charts; i++) {
        const struct chart *const c = &p->chart[i];
        for (int x = 0; x < c->width; x++)
            for (int k = x > g ? x - g : 0; k <= x + g && k < c->width; k++) {
                int *const up = &p->upper[c->column + x], *const low = &p->lower[c->column + x];
                *up = upper[c->column + k] < *up ? upper[c->column + k] : *up;
                *low = lower[c->column + k] > *low ? lower[c->column + k] : *low;
            }
        for (int x = 0; x < c->width; x++) {
            p->upper[c->column + x] -= g;
            p->lower[c->column + x] += g;
        }
    }
    free(upper);
    free(lower);
    return PF_OK;
}

/* How far down a chart must go at column x; if that is more than most, anything that is more. */
static int
drop(const struct packing *p, const struct chart *c, int x, int most)
{
    const int *const upper = p->upper + c->column, *const horizon = p->horizon + x;
    int y = 0;
    for (int from = 0; from < c->width && y <= most; from += SOME) {
        const int end = from + SOME < c->width ? from + SOME : c->width;
        for (int i = from; i < end; i++) {
            const int gap = horizon[i] - upper[i];
            y = gap > y ? gap : y;
        }
    }
    return y;
}

static void
put(struct packing *p, struct pf_chart_place *place, const struct chart *c)
{
    const int n = p->atlas->size;
    p->filled[0] = 0;
    for (int x = 0; x < n; x++)
        p->filled[x + 1] = p->filled[x] + p->horizon[x];
    int best_y = INT_MAX, best_x = 0;
    int64_t least = INT64_MAX;
    for (int x = 0; x + c->width <= n; x++) {
        const int y = drop(p, c, x, best_y);
        const int64_t empty = (int64_t)y * c->width - (p->filled[x + c->width] - p->filled[x]);
        if (y < best_y || (y == best_y && empty < least)) {
            best_y = y;
            best_x = x;
            least = empty;
        }
    }
    place->x = best_x + p->atlas->gutter;
    place->y = best_y + p->atlas->gutter;
    for (int i = 0; i < c->width; i++)
        p->horizon[best_x + i] = best_y + p->lower[c->column + i];
}

static pf_err
pack(struct packing *p, struct pf_chart_place *place, int *height)
{
    const struct pf_atlas *const a = p->atlas;
    const size_t n = (size_t)a->size;
    p->chart = malloc(((size_t)a->charts + 1) * sizeof *p->chart);
    p->horizon = calloc(n, sizeof *p->horizon);
    p->filled = malloc((n + 1) * sizeof *p->filled);
    if (!p->chart || !p->horizon || !p->filled)
        return pf_fail(PF_ENOMEM, "no memory to pack %d charts", a->charts);
    const int64_t columns = measure(p);
    *height = INT_MAX;
    for (int i = 0; i < a->charts; i++)
        if (p->chart[i].width > a->size || p->chart[i].height > 2 * a->size)
            return PF_OK;
    p->upper = malloc(((size_t)columns + 1) * sizeof *p->upper);
    p->lower = malloc(((size_t)columns + 1) * sizeof *p->lower);
    if (!p->upper || !p->lower)
        return pf_fail(PF_ENOMEM, "no memory to pack %d charts", a->charts);
    PF_TRY(outline(p, columns));
    qsort(p->chart, (size_t)a->charts, sizeof *p->chart, by_height);
    for (int i = 0; i < a->charts; i++)
        put(p, &place[p->chart[i].number], &p->chart[i]);
    *height = 0;
    for (size_t x = 0; x < n; x++)
        *height = p->horizon[x] > *height ? p->horizon[x] : *height;
    return PF_OK;
}

pf_err
pf_atlas_pack(struct pf_chart_place *place, int *height, const struct pf_atlas *atlas,
              const uint32_t *rim, int64_t n, double scale)
{
    struct packing p = {.atlas = atlas, .rim = rim, .edges = n, .scale = scale};
    const pf_err err = pack(&p, place, height);
    free(p.chart);
    free(p.upper);
    free(p.lower);
    free(p.horizon);
    free(p.filled);
    return err;
}
