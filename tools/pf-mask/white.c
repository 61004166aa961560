/* white.c - see white.h: flood from the border, tidy up, then a soft edge from how white it is. */
#include "tools/pf-mask/white.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct work {
    int side;
    const uint8_t *rgb;         /* [S, S, 3] */
    uint8_t *object;            /* [S, S] 1: object */
    uint8_t *todo;              /* [S, S] */
    int *queue;                 /* [S * S] pixels */
    int *along, *square;        /* [S, S] distances, see measure */
};

static pf_err
work_init(struct work *w, const uint8_t *rgb, int side)
{
    const size_t n = (size_t)side * side;

    *w = (struct work){.side = side, .rgb = rgb, .object = malloc(n), .todo = malloc(n),
                       .queue = malloc(n * sizeof(int)), .along = malloc(n * sizeof(int)),
                       .square = malloc(n * sizeof(int))};
    if (!w->object || !w->todo || !w->queue || !w->along || !w->square)
        return pf_fail(PF_ENOMEM, "no memory to mask %d x %d pixels", side, side);
    return PF_OK;
}

static void
work_release(struct work *w)
{
    free(w->object);
    free(w->todo);
    free(w->queue);
    free(w->along);
    free(w->square);
}

/* ---- regions ---- */

static void
push(struct work *w, int *n, int pixel)
{
    if (w->todo[pixel]) {
        w->todo[pixel] = 0;
        w->queue[(*n)++] = pixel;
    }
}

/* Spread from the n pixels in the queue over pixels that are to do, which join the queue.  Returns
 * how many it holds then. */
static int
grow(struct work *w, int n, bool diagonal)
{
    for (int i = 0; i < n; i++) {
        const int x = w->queue[i] % w->side, y = w->queue[i] / w->side;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++)
                if ((diagonal || !dx || !dy) && x + dx >= 0 && x + dx < w->side && y + dy >= 0 &&
                    y + dy < w->side)
                    push(w, &n, (y + dy) * w->side + x + dx);
    }
    return n;
}

/* The background is white and joined to the border by edges of pixels: an outline that is one
 * pixel wide and goes by corners holds.  White inside the object is object. */
static void
flood(struct work *w, double threshold)
{
    const int S = w->side;
    int n = 0;

    for (int i = 0; i < S * S; i++) {
        const uint8_t *p = w->rgb + 3 * (size_t)i;
        const int least = p[0] < p[1] ? (p[0] < p[2] ? p[0] : p[2]) : (p[1] < p[2] ? p[1] : p[2]);
        w->todo[i] = least / 255.0 > threshold;
    }
    for (int i = 0; i < S; i++) {
        push(w, &n, i);
        push(w, &n, (S - 1) * S + i);
        push(w, &n, i * S);
        push(w, &n, i * S + S - 1);
    }
    n = grow(w, n, false);
    memset(w->object, 1, (size_t)S * S);
    for (int i = 0; i < n; i++)
        w->object[w->queue[i]] = 0;
}

/* Drop pieces of fewer than 4 pixels, or of fewer than a 4096th of the view. */
static void
drop_specks(struct work *w)
{
    const int pixels = w->side * w->side, least = pixels / 4096 > 4 ? pixels / 4096 : 4;

    memcpy(w->todo, w->object, pixels);
    for (int i = 0; i < pixels; i++) {
        int n = 0;
        push(w, &n, i);
        n = grow(w, n, true);
        for (int k = 0; k < n && n < least; k++)
            w->object[w->queue[k]] = 0;
    }
}

/* ---- distances ---- */

/* square[i] = squared distance from pixel i to the nearest one whose object is value, if that is
 * at most reach; more than reach^2 otherwise.  Beyond the border there is nothing. */
static void
measure(struct work *w, int value, int reach)
{
    const int S = w->side;

    for (int x = 0; x < S; x++) {
        for (int y = 0, d = reach + 1; y < S; y++) {            // down, to the nearest above
            d = w->object[y * S + x] == value ? 0 : d <= reach ? d + 1 : d;
            w->along[y * S + x] = d;
        }
        for (int y = S - 1, d = reach + 1; y >= 0; y--) {       // and up
            d = w->object[y * S + x] == value ? 0 : d <= reach ? d + 1 : d;
            if (d < w->along[y * S + x])
                w->along[y * S + x] = d;
        }
    }
    for (int y = 0; y < S; y++)
        for (int x = 0; x < S; x++) {
            const int first = x > reach ? x - reach : 0, last = x + reach < S ? x + reach : S - 1;
            int best = (reach + 1) * (reach + 1);
            for (int k = first; k <= last; k++) {
                const int g = w->along[y * S + k], d = g * g + (k - x) * (k - x);
                best = d < best ? d : best;
            }
            w->square[y * S + x] = best;
        }
}

/* Make pixels within radius of the others (object or background) into those. */
static void
widen(struct work *w, int value, int radius)
{
    if (radius < 1)
        return;
    measure(w, value, radius);
    for (int i = 0; i < w->side * w->side; i++)
        if (w->square[i] <= radius * radius)
            w->object[i] = (uint8_t)value;
}

/* ---- the soft edge ---- */

/* How far the pixel is from white, each channel 0..1. */
static void
darkness(float dark[3], const struct work *w, int pixel)
{
    for (int c = 0; c < 3; c++)
        dark[c] = 1 - w->rgb[3 * (size_t)pixel + c] / 255.0f;
}

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* The object's own colour (as darkness) beside an edge pixel: the mean of the pixels in reach that
 * lie deeper than the edge; where the object is too thin to have any, its darkest pixel. */
static void
inner_color(float inner[3], const struct work *w, int x, int y, int reach, double edge_square)
{
    const int S = w->side;
    float darkest[3] = {0};
    int n = 0;

    memset(inner, 0, 3 * sizeof *inner);
    for (int v = y > reach ? y - reach : 0; v <= y + reach && v < S; v++)
        for (int u = x > reach ? x - reach : 0; u <= x + reach && u < S; u++) {
            const int i = v * S + u;
            float dark[3];
            if (!w->object[i])
                continue;
            darkness(dark, w, i);
            if (dot(dark, dark) > dot(darkest, darkest))
                memcpy(darkest, dark, sizeof dark);
            if (w->square[i] <= edge_square)
                continue;
            for (int c = 0; c < 3; c++)
                inner[c] += dark[c];
            n++;
        }
    for (int c = 0; c < 3; c++)
        inner[c] = n ? inner[c] / n : darkest[c];
}

/* A pixel of the edge mixes the object's colour F and white: C = a F + (1 - a), solved for a by
 * least squares.  Where F is itself almost white that says nothing, and the pixel stays whole. */
static float
coverage(const struct work *w, int x, int y, int reach, double edge_square)
{
    const float noise = 0.03f;  /* squared darkness, all channels, that still counts as white */
    float inner[3], dark[3];

    inner_color(inner, w, x, y, reach, edge_square);
    darkness(dark, w, y * w->side + x);
    const float most = dot(inner, inner), trust = most / (most + noise);
    const float a = most > 0 ? fminf(dot(dark, inner) / most, 1) : 1;
    return 1 + trust * (a - 1);
}

static void
soften(float *alpha, struct work *w, double soft)
{
    const int S = w->side, reach = (int)ceil(soft) + 1;

    measure(w, 0, reach);
    for (int y = 0; y < S; y++)
        for (int x = 0; x < S; x++) {
            const int i = y * S + x;
            alpha[i] = w->object[i];
            if (w->object[i] && w->square[i] <= soft * soft)
                alpha[i] = coverage(w, x, y, reach, soft * soft);
        }
}

pf_err
white_alpha(float *alpha, const uint8_t *rgb, int side, const struct pf_config *conf)
{
    const int open = conf->mask.open, close = conf->mask.close;
    struct work w;
    pf_err err = work_init(&w, rgb, side);

    if (err)
        goto out;
    flood(&w, conf->mask.threshold);
    widen(&w, 0, open);         /* opening: spurs and bridges thinner than 2 open + 1 go */
    widen(&w, 1, open);
    widen(&w, 1, close);        /* closing: cracks thinner than 2 close + 1 are filled */
    widen(&w, 0, close);
    drop_specks(&w);
    soften(alpha, &w, conf->mask.soft);
out:
    work_release(&w);
    return err;
}
