/* plain.c - see plain.h: flood from the border, tidy up, then a soft edge from how near its colour
 * is to the background's. */
#include "common/plain.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct work {
    int width, height;
    const uint8_t *rgb;         /* [H, W, 3] */
    const uint8_t *ground;      /* [3] colour of the background */
    uint8_t *object;            /* [H, W] 1: object */
    uint8_t *todo;              /* [H, W] */
    int *queue;                 /* [H * W] pixels; in its memory, where distances are measured: */
    uint16_t *along, *square;   /* [H, W] see measure */
};

static pf_err
work_init(struct work *w, const uint8_t *rgb, int width, int height, const uint8_t ground[3])
{
    const size_t n = (size_t)width * height;

    *w = (struct work){.width = width, .height = height, .rgb = rgb, .ground = ground,
                       .object = malloc(n), .todo = malloc(n),
                       .queue = malloc(n * 2 * sizeof *w->along)};
    if (!w->object || !w->todo || !w->queue)
        return pf_fail(PF_ENOMEM, "no memory to mask %d x %d pixels", width, height);
    w->along = (uint16_t *)(void *)w->queue;
    w->square = w->along + n;
    return PF_OK;
}

static void
work_release(struct work *w)
{
    free(w->object);
    free(w->todo);
    free(w->queue);
}

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
        const int x = w->queue[i] % w->width, y = w->queue[i] / w->width;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++)
                if ((diagonal || !dx || !dy) && x + dx >= 0 && x + dx < w->width && y + dy >= 0 &&
                    y + dy < w->height)
                    push(w, &n, (y + dy) * w->width + x + dx);
    }
    return n;
}

/* The background has its colour and is joined to the border by edges of pixels: an outline that is
 * one pixel wide and goes by corners holds.  The same colour inside the object is object. */
static void
flood(struct work *w, double threshold)
{
    const int W = w->width, H = w->height;
    int n = 0;

    for (int i = 0; i < W * H; i++)
        w->todo[i] = is_ground(w->rgb + 3 * (size_t)i, w->ground, threshold);
    for (int x = 0; x < W; x++) {
        push(w, &n, x);
        push(w, &n, (H - 1) * W + x);
    }
    for (int y = 0; y < H; y++) {
        push(w, &n, y * W);
        push(w, &n, y * W + W - 1);
    }
    n = grow(w, n, false);
    memset(w->object, 1, (size_t)W * H);
    for (int i = 0; i < n; i++)
        w->object[w->queue[i]] = 0;
}

/* Drop pieces of fewer than 4 pixels, or of fewer than a 4096th of the view. */
static void
drop_specks(struct work *w)
{
    const int pixels = w->width * w->height, least = pixels / 4096 > 4 ? pixels / 4096 : 4;

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
 * at most reach; more than reach^2 otherwise.  Beyond the border there is nothing.  Radii are 64 at
 * most, so that 16 bits hold a square. */
static void
measure(struct work *w, int value, int reach)
{
    const int W = w->width, H = w->height;

    for (int x = 0; x < W; x++) {
        for (int y = 0, d = reach + 1; y < H; y++) {            // down, to the nearest above
            d = w->object[y * W + x] == value ? 0 : d <= reach ? d + 1 : d;
            w->along[y * W + x] = (uint16_t)d;
        }
        for (int y = H - 1, d = reach + 1; y >= 0; y--) {       // and up
            d = w->object[y * W + x] == value ? 0 : d <= reach ? d + 1 : d;
            if (d < w->along[y * W + x])
                w->along[y * W + x] = (uint16_t)d;
        }
    }
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const int first = x > reach ? x - reach : 0, last = x + reach < W ? x + reach : W - 1;
            int best = (reach + 1) * (reach + 1);
            for (int k = first; k <= last; k++) {
                const int g = w->along[y * W + k], d = g * g + (k - x) * (k - x);
                best = d < best ? d : best;
            }
            w->square[y * W + x] = (uint16_t)best;
        }
}

/* Make pixels within radius of the others (object or background) into those. */
static void
widen(struct work *w, int value, int radius)
{
    if (radius < 1)
        return;
    measure(w, value, radius);
    for (int i = 0; i < w->width * w->height; i++)
        if (w->square[i] <= radius * radius)
            w->object[i] = (uint8_t)value;
}

/* ---- the soft edge ---- */

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
inner_color(float inner[3], const struct work *w, int x, int y, int reach, double edge_square)
{
    const int W = w->width, H = w->height;
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
            if (w->square[i] <= edge_square)
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
coverage(const struct work *w, int x, int y, int reach, double edge_square)
{
    const float noise = 0.03f;  /* squared darkness of all channels that still is background */
    float inner[3], dark[3];

    inner_color(inner, w, x, y, reach, edge_square);
    darkness(dark, w, y * w->width + x);
    const float most = dot(inner, inner), trust = most / (most + noise);
    const float a = most > 0 ? fminf(fmaxf(dot(dark, inner) / most, 0), 1) : 1;
    return 1 + trust * (a - 1);
}

static void
soften_row(float *alpha, const struct work *w, int y, double soft, int reach)
{
    for (int x = 0; x < w->width; x++) {
        const int i = y * w->width + x;
        alpha[x] = w->object[i];
        if (w->object[i] && w->square[i] <= soft * soft)
            alpha[x] = coverage(w, x, y, reach, soft * soft);
    }
}

/* Row y goes when none is left that looks at it, `reach` rows later. */
static pf_err
soften(struct work *w, double soft, pf_plain_sink *sink, void *user)
{
    const int H = w->height, reach = (int)ceil(soft) + 1, held = reach + 1;
    const size_t W = (size_t)w->width;
    float *const rows = malloc(held * W * sizeof *rows);

    if (!rows)
        return pf_fail(PF_ENOMEM, "no memory for %d rows of %d pixels", held, w->width);
    measure(w, 0, reach);
    for (int y = 0; y < H + reach; y++) {
        if (y < H)
            soften_row(rows + y % held * W, w, y, soft, reach);
        if (y >= reach)
            sink(user, rows + (y - reach) % held * W, y - reach);
    }
    free(rows);
    return PF_OK;
}

pf_err
pf_plain_rows(const uint8_t *rgb, int width, int height, const uint8_t ground[3],
              const struct pf_config *conf, pf_plain_sink *sink, void *user)
{
    const int open = conf->mask.open, close = conf->mask.close;
    struct work w;
    pf_err err = work_init(&w, rgb, width, height, ground);

    if (err)
        goto out;
    flood(&w, conf->mask.threshold);
    widen(&w, 0, open);         /* opening: spurs and bridges thinner than 2 open + 1 go */
    widen(&w, 1, open);
    widen(&w, 1, close);        /* closing: cracks thinner than 2 close + 1 are filled */
    widen(&w, 0, close);
    drop_specks(&w);
    err = soften(&w, conf->mask.soft, sink, user);
out:
    work_release(&w);
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
