/* plain.c - see plain.h: flood from the border, tidy up, then a soft edge from how near its colour
 * is to the background's. */
#include "common/plain.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/pieces.h"

struct work {
    int width, height;
    const uint8_t *rgb;         /* [H, W, 3] */
    const uint8_t *ground;      /* [3] colour of the background */
    uint8_t *object;            /* [H, W] 1: object */
};

/* ---- the background ---- */

/* JPEG and WebP let the background waver in the blocks around an edge, by more than what a PNG's
 * anti-aliasing needs to be told from; at 75 of 100, the usual quality, by up to a tenth. */
double
pf_plain_threshold(double threshold, double usual, bool lossy)
{
    return lossy && threshold == usual ? 0.9 : threshold;
}

/* Whether a pixel has the background's colour: each channel within 1 - threshold of it, so for
 * white its darkest channel is above the threshold. */
static bool
is_ground(const uint8_t *pixel, const uint8_t ground[3], double threshold)
{
    int most = 0;
    for (int c = 0; c < 3; c++) {
        const int away = abs(pixel[c] - ground[c]);
        most = away > most ? away : most;
    }
    return (255 - most) / 255.0 > threshold;
}

/* Pixel k of the border of a picture, whose corners count twice; NULL after the last. */
static const uint8_t *
border_pixel(const uint8_t *rgb, int W, int H, int k)
{
    const int row = k / 2 % W, column = (k - 2 * W) / 2 % H;
    if (k < 2 * W)
        return rgb + 3 * ((size_t)(k % 2 ? H - 1 : 0) * W + row);
    return k < 2 * W + 2 * H ? rgb + 3 * ((size_t)column * W + (k % 2 ? W - 1 : 0)) : NULL;
}

/* Which part of the borders of N pictures has this colour. */
static double
share_of(const uint8_t ground[3], const uint8_t *rgb, int64_t N, int W, int H, double threshold)
{
    const uint8_t *p;
    int64_t found = 0;
    for (int64_t n = 0; n < N; n++)
        for (int k = 0; (p = border_pixel(rgb + 3 * n * W * H, W, H, k)); k++)
            found += is_ground(p, ground, threshold);
    return (double)found / (double)(N * 2 * (W + H));
}

/* The median of each channel over the borders. */
static void
border_median(uint8_t median[3], const uint8_t *rgb, int64_t N, int W, int H)
{
    const int64_t half = N * (W + H);
    const uint8_t *p;
    for (int c = 0; c < 3; c++) {
        int64_t count[256] = {0}, below = 0;
        int v = 0;
        for (int64_t n = 0; n < N; n++)
            for (int k = 0; (p = border_pixel(rgb + 3 * n * W * H, W, H, k)); k++)
                count[p[c]]++;
        while ((below += count[v]) < half)
            v++;
        median[c] = (uint8_t)v;
    }
}

bool
pf_plain_background(uint8_t color[3], const uint8_t *rgb, int64_t N, int width, int height,
                    double share, const struct pf_config *conf)
{
    static const uint8_t white[3] = {255, 255, 255};
    static const double NEAR_WHITE = 0.97;      /* however much the pixels of a JPEG may waver */
    const double threshold = conf->mask.threshold;
    border_median(color, rgb, N, width, height);
    const bool plain = share_of(color, rgb, N, width, height, threshold) >= share;
    if (!plain || is_ground(color, white, threshold > NEAR_WHITE ? threshold : NEAR_WHITE))
        memcpy(color, white, sizeof white);
    return plain;
}

/* ---- regions ---- */

/* The pieces of the object, or of what stands for it in w->object. */
static pf_err
find_pieces(struct pf_pieces *p, const struct work *w, bool diagonal)
{
    PF_TRY(pf_pieces_new(p, w->width, diagonal));
    for (int y = 0; y < w->height; y++)
        PF_TRY(pf_pieces_row(p, w->object + (size_t)y * w->width, y == 0 || y == w->height - 1));
    pf_pieces_settle(p);
    return PF_OK;
}

/* The background has its colour and is joined to the border by edges of pixels: an outline that is
 * one pixel wide and goes by corners holds.  The same colour inside the object is object. */
static pf_err
flood(struct work *w, double threshold)
{
    const int W = w->width, H = w->height;
    struct pf_pieces p;

    for (int i = 0; i < W * H; i++)
        w->object[i] = is_ground(w->rgb + 3 * (size_t)i, w->ground, threshold);
    pf_err err = find_pieces(&p, w, false);
    for (int y = 0; y < H && !err; y++) {
        uint8_t *const row = w->object + (size_t)y * W;
        err = pf_pieces_row(&p, row, false);
        for (int x = 0; x < W && !err; x++)
            row[x] = !row[x] || !pf_pieces_of(&p, x)->border;
    }
    pf_pieces_release(&p);
    return err;
}

/* Drop pieces of fewer than 4 pixels, or of fewer than a 4096th of the view. */
static pf_err
drop_specks(struct work *w)
{
    const int W = w->width, pixels = W * w->height;
    const int least = pixels / 4096 > 4 ? pixels / 4096 : 4;
    struct pf_pieces p;

    pf_err err = find_pieces(&p, w, true);
    for (int y = 0; y < w->height && !err; y++) {
        uint8_t *const row = w->object + (size_t)y * W;
        err = pf_pieces_row(&p, row, false);
        for (int x = 0; x < W && !err; x++)
            row[x] = row[x] && pf_pieces_of(&p, x)->pixels >= least;
    }
    pf_pieces_release(&p);
    return err;
}

/* ---- distances ---- */

/* How far pixels are from the nearest one whose object is value, row after row, if that is at most
 * reach; a little more otherwise.  Beyond the border there is nothing.  A row may be changed when
 * its distances have been measured. */
struct distances {
    int value, reach;
    int *above;                 /* [W] rows to the nearest above, or in this row */
    int *next;                  /* [W] no row from this one to that has one; but that may */
    int *along;                 /* [W] the least of both */
};

static pf_err
distances_new(struct distances *d, const struct work *w, int value, int reach)
{
    const int W = w->width;
    int *const memory = calloc(3 * (size_t)W, sizeof *memory);
    if (!memory)
        return pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", W);
    *d = (struct distances){value, reach, memory, memory + W, memory + 2 * W};
    for (int x = 0; x < W; x++)
        d->above[x] = reach + 1;
    return PF_OK;
}

static void
distances_release(struct distances *d)
{
    free(d->above);
}

static void
measure_along(struct distances *d, const struct work *w, int y)
{
    const int W = w->width, H = w->height, reach = d->reach;
    for (int x = 0; x < W; x++) {
        int next = d->next[x] > y ? d->next[x] : y;
        while (next < H && next <= y + reach && w->object[next * W + x] != d->value)
            next++;
        const int below = next < H ? next - y : reach + 1;
        d->next[x] = next;
        d->above[x] = next == y ? 0 : d->above[x] <= reach ? d->above[x] + 1 : d->above[x];
        d->along[x] = below < d->above[x] ? below : d->above[x];
    }
}

/* square [W] of row y: squared distances, more than reach^2 beyond it.  Radii are 64 at most, so
 * that 16 bits hold a square. */
static void
measure(uint16_t *square, struct distances *d, const struct work *w, int y)
{
    const int W = w->width, reach = d->reach;
    measure_along(d, w, y);
    for (int x = 0; x < W; x++) {
        const int first = x > reach ? x - reach : 0, last = x + reach < W ? x + reach : W - 1;
        int best = (reach + 1) * (reach + 1);
        for (int k = first; k <= last; k++) {
            const int g = d->along[k], r = g * g + (k - x) * (k - x);
            best = r < best ? r : best;
        }
        square[x] = (uint16_t)best;
    }
}

/* Make pixels within radius of the others (object or background) into those. */
static pf_err
widen(struct work *w, int value, int radius)
{
    const int W = w->width;
    struct distances d;
    if (radius < 1)
        return PF_OK;
    PF_TRY(distances_new(&d, w, value, radius));
    uint16_t *const square = malloc((size_t)W * sizeof *square);
    for (int y = 0; y < w->height && square; y++) {
        measure(square, &d, w, y);
        for (int x = 0; x < W; x++)
            if (square[x] <= radius * radius)
                w->object[(size_t)y * W + x] = (uint8_t)value;
    }
    distances_release(&d);
    free(square);
    return square ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", W);
}

/* ---- the soft edge ---- */

struct edge {
    const struct work *w;
    double soft;
    int reach;                  /* rows and columns around a pixel that are looked at */
    float *alpha;               /* [reach + 1, W] of the last rows, row y in row y % (reach + 1) */
    uint16_t *square;           /* [2 reach + 1, W] likewise: distances to the background */
};

static int
square_at(const struct edge *e, int x, int y)
{
    return e->square[(size_t)(y % (2 * e->reach + 1)) * e->w->width + x];
}

static float *
alpha_at(const struct edge *e, int y)
{
    return e->alpha + (size_t)(y % (e->reach + 1)) * e->w->width;
}

/* How far the pixel is from the background's colour in each channel; 0..1 before white. */
static void
darkness(float dark[3], const struct work *w, int pixel)
{
    for (int c = 0; c < 3; c++)
        dark[c] = w->ground[c] / 255.0f - w->rgb[3 * (size_t)pixel + c] / 255.0f;
}

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* The object's own colour (as darkness) beside an edge pixel: the mean of the pixels in reach that
 * lie deeper than the edge; where the object is too thin to have any, its darkest pixel.  Dark is
 * what is far from the background. */
static void
inner_color(float inner[3], const struct edge *e, int x, int y)
{
    const struct work *const w = e->w;
    const int W = w->width, H = w->height, reach = e->reach;
    float darkest[3] = {0};
    int n = 0;

    memset(inner, 0, 3 * sizeof *inner);
    for (int v = y > reach ? y - reach : 0; v <= y + reach && v < H; v++)
        for (int u = x > reach ? x - reach : 0; u <= x + reach && u < W; u++) {
            const int i = v * W + u;
            float dark[3];
            if (!w->object[i])
                continue;
            darkness(dark, w, i);
            if (dot(dark, dark) > dot(darkest, darkest))
                memcpy(darkest, dark, sizeof dark);
            if (square_at(e, u, v) <= e->soft * e->soft)
                continue;
            for (int c = 0; c < 3; c++)
                inner[c] += dark[c];
            n++;
        }
    for (int c = 0; c < 3; c++)
        inner[c] = n ? inner[c] / n : darkest[c];
}

/* A pixel of the edge mixes the object's colour F and the background's B: C = a F + (1 - a) B,
 * solved for a by least squares.  Where F is almost B that says nothing, and the pixel stays
 * whole. */
static float
coverage(const struct edge *e, int x, int y)
{
    const float noise = 0.03f;  /* squared darkness of all channels that still is background */
    float inner[3], dark[3];

    inner_color(inner, e, x, y);
    darkness(dark, e->w, y * e->w->width + x);
    const float most = dot(inner, inner), trust = most / (most + noise);
    const float a = most > 0 ? fminf(fmaxf(dot(dark, inner) / most, 0), 1) : 1;
    return 1 + trust * (a - 1);
}

static void
soften_row(const struct edge *e, int y)
{
    const struct work *const w = e->w;
    float *const alpha = alpha_at(e, y);
    for (int x = 0; x < w->width; x++) {
        const uint8_t object = w->object[(size_t)y * w->width + x];
        alpha[x] = object;
        if (object && square_at(e, x, y) <= e->soft * e->soft)
            alpha[x] = coverage(e, x, y);
    }
}

/* A row is softened when its neighbours' distances are there, and goes when none is left that looks
 * at it. */
static void
soften_rows(struct edge *e, struct distances *d, pf_plain_sink *sink, void *user)
{
    const int H = e->w->height, reach = e->reach;
    for (int y = 0; y < H + 2 * reach; y++) {
        if (y < H)
            measure(e->square + (size_t)(y % (2 * reach + 1)) * e->w->width, d, e->w, y);
        if (y >= reach && y < H + reach)
            soften_row(e, y - reach);
        if (y >= 2 * reach)
            sink(user, alpha_at(e, y - 2 * reach), y - 2 * reach);
    }
}

static pf_err
soften(struct work *w, double soft, pf_plain_sink *sink, void *user)
{
    const int reach = (int)ceil(soft) + 1;
    const size_t W = (size_t)w->width;
    struct edge e = {w, soft, reach, malloc((reach + 1) * W * sizeof *e.alpha),
                     malloc((2 * reach + 1) * W * sizeof *e.square)};
    struct distances d;
    pf_err err = e.alpha && e.square ? distances_new(&d, w, 0, reach)
                                     : pf_fail(PF_ENOMEM, "no memory for rows of %zu pixels", W);
    if (!err) {
        soften_rows(&e, &d, sink, user);
        distances_release(&d);
    }
    free(e.alpha);
    free(e.square);
    return err;
}

pf_err
pf_plain_rows(const uint8_t *rgb, int width, int height, const uint8_t ground[3],
              const struct pf_config *conf, pf_plain_sink *sink, void *user)
{
    const int open = conf->mask.open, close = conf->mask.close;
    struct work w = {width, height, rgb, ground, malloc((size_t)width * height)};
    pf_err err = w.object ? flood(&w, conf->mask.threshold) :
                 pf_fail(PF_ENOMEM, "no memory to mask %d x %d pixels", width, height);

    if (!err &&
        !(err = widen(&w, 0, open)) &&          /* opening: spurs and bridges thinner than */
        !(err = widen(&w, 1, open)) &&          /* 2 open + 1 go */
        !(err = widen(&w, 1, close)) &&         /* closing: cracks thinner than 2 close + 1 are */
        !(err = widen(&w, 0, close)) &&         /* filled */
        !(err = drop_specks(&w)))
        err = soften(&w, conf->mask.soft, sink, user);
    free(w.object);
    return err;
}

struct rows {
    float *alpha;
    size_t width;
};

static void
keep_row(void *user, const float *alpha, int y)
{
    const struct rows *const r = user;
    memcpy(r->alpha + y * r->width, alpha, r->width * sizeof *alpha);
}

pf_err
pf_plain_alpha(float *alpha, const uint8_t *rgb, int width, int height, const uint8_t ground[3],
               const struct pf_config *conf)
{
    struct rows r = {alpha, (size_t)width};
    return pf_plain_rows(rgb, width, height, ground, conf, keep_row, &r);
}
