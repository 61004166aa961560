/* hull.c - see hull.h (scores.md, 1 and 2). */
#include "tools/pf-pick/hull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"

static size_t
cells(const struct hull *h)
{
    return (size_t)h->side * (size_t)h->side * (size_t)h->side;
}

pf_err
hull_new(struct hull *h, int side, double half)
{
    *h = (struct hull){.side = side, .half = half};
    if (!(h->occupancy = malloc(cells(h) * sizeof(float))))
        return pf_fail(PF_ENOMEM, "no memory for a hull of %d cells a side", side);
    for (size_t i = 0; i < cells(h); i++)
        h->occupancy[i] = 1;
    for (int k = 0; k < 3; k++) {
        h->low[k] = -half;
        h->high[k] = half;
    }
    return PF_OK;
}

void
hull_release(struct hull *h)
{
    free(h->occupancy);
    *h = (struct hull){0};
}

void
hull_copy(struct hull *h, const struct hull *from)
{
    memcpy(h->occupancy, from->occupancy, cells(h) * sizeof(float));
    memcpy(h->low, from->low, sizeof h->low);
    memcpy(h->high, from->high, sizeof h->high);
}

float
picture_at(const struct picture *p, const float *map, int channels, int channel, double u, double v,
           float outside)
{
    const int W = p->width, H = p->height;
    if (!(u >= 0 && v >= 0 && u <= W - 1 && v <= H - 1))
        return outside;
    const int j = (int)u, i = (int)v, right = j < W - 1 ? channels : 0;
    const int64_t down = i < H - 1 ? (int64_t)W * channels : 0;
    const float a = (float)(u - j), b = (float)(v - i);
    const float *const q = map + ((int64_t)i * W + j) * channels + channel;
    return (1 - b) * ((1 - a) * q[0] + a * q[right]) +
           b * ((1 - a) * q[down] + a * q[down + right]);
}

/* What the mask has where X is seen. */
static float
mask_over(const struct picture *p, const double X[3])
{
    const double *const P = p->pose, *const K = p->K;
    const double a = P[0] * X[0] + P[1] * X[1] + P[2] * X[2] + P[3],
                 b = P[4] * X[0] + P[5] * X[1] + P[6] * X[2] + P[7],
                 c = P[8] * X[0] + P[9] * X[1] + P[10] * X[2] + P[11];
    if (c <= 0)
        return 0;
    return picture_at(p, p->alpha, 1, 0, (K[0] * a + K[1] * b) / c + K[2], K[4] * b / c + K[5], 0);
}

/* Find the box. */
static void
bound(struct hull *h)
{
    const double step = 2 * h->half / h->side;
    int low[3] = {h->side, h->side, h->side}, high[3] = {-1, -1, -1};
    for (int x = 0; x < h->side; x++)
        for (int y = 0; y < h->side; y++)
            for (int z = 0; z < h->side; z++) {
                const int at[3] = {x, y, z};
                for (int k = 0; k < 3 &&
                     h->occupancy[((int64_t)x * h->side + y) * h->side + z] > 0; k++) {
                    low[k] = at[k] < low[k] ? at[k] : low[k];
                    high[k] = at[k] > high[k] ? at[k] : high[k];
                }
            }
    for (int k = 0; k < 3; k++) {
        h->low[k] = (low[k] - 1) * step - h->half;
        h->high[k] = (high[k] + 2) * step - h->half;
    }
}

void
hull_carve(struct hull *h, const struct picture *p)
{
    const double step = 2 * h->half / h->side;
#pragma omp parallel for
    for (int x = 0; x < h->side; x++)
        for (int y = 0; y < h->side; y++)
            for (int z = 0; z < h->side; z++) {
                float *const cell = h->occupancy + ((int64_t)x * h->side + y) * h->side + z;
                const double X[3] = {(x + 0.5) * step - h->half, (y + 0.5) * step - h->half,
                                     (z + 0.5) * step - h->half};
                const float seen = *cell > 0 ? mask_over(p, X) : 0;
                *cell = seen < *cell ? seen : *cell;
            }
    bound(h);
}

/* Trilinear between the cells' middles; 0 outside them. */
static float
occupancy_at(const struct hull *h, const double X[3])
{
    const double scale = h->side / (2 * h->half);
    const int n = h->side;
    float f[3];
    int c[3];
    for (int k = 0; k < 3; k++) {
        const double at = (X[k] + h->half) * scale - 0.5;
        if (!(at >= 0 && at < n - 1))
            return 0;
        c[k] = (int)at;
        f[k] = (float)(at - c[k]);
    }
    const float *const p = h->occupancy + ((int64_t)c[0] * n + c[1]) * n + c[2];
    float edge[4];
    for (int k = 0; k < 4; k++) {
        const float *const q = p + (int64_t)(k >> 1) * n * n + (int64_t)(k & 1) * n;
        edge[k] = q[0] + f[2] * (q[1] - q[0]);
    }
    const float a = edge[0] + f[1] * (edge[1] - edge[0]), b = edge[2] + f[1] * (edge[3] - edge[2]);
    return a + f[0] * (b - a);
}

/* The part of the ray o + t d that is in h's box. */
static void
clip(double *from, double *to, const struct hull *h, const float o[3], const float d[3])
{
    *from = 0;
    *to = INFINITY;
    for (int k = 0; k < 3; k++) {
        const double a = (h->low[k] - (double)o[k]) / (double)d[k],
                     b = (h->high[k] - (double)o[k]) / (double)d[k];
        *from = fmax(*from, fmin(a, b));
        *to = fmin(*to, fmax(a, b));
    }
}

static void
look_along(const struct hull *h, const struct picture *p, double j, double i, float *cover,
           float *depth)
{
    float o[3], d[3], last = 0, most = 0;
    double from, to, first = 0;
    const double step = 2 * h->half / h->side;
    pf_camera_ray(o, d, p->pose, p->K, j, i);
    clip(&from, &to, h, o, d);
    for (double t = from; t <= to && most < 1; t += step) {
        const double X[3] = {(double)o[0] + t * (double)d[0], (double)o[1] + t * (double)d[1],
                             (double)o[2] + t * (double)d[2]};
        const float now = occupancy_at(h, X);
        if (first == 0 && now >= 0.5f)
            first = t - step * (double)((now - 0.5f) / (now - last));
        most = now > most ? now : most;
        last = now;
    }
    *cover = most;
    if (depth)
        *depth = (float)(first * (p->pose[8] * (double)d[0] + p->pose[9] * (double)d[1] +
                                  p->pose[10] * (double)d[2]));
}

double
look_at(int k, int size)
{
    return (k + 0.5) * size / LOOK - 0.5;
}

void
hull_look(const struct hull *h, const struct picture *p, float *cover, float *depth)
{
#pragma omp parallel for schedule(dynamic, 4)
    for (int i = 0; i < LOOK; i++)
        for (int j = 0; j < LOOK; j++)
            look_along(h, p, look_at(j, p->width), look_at(i, p->height), cover + i * LOOK + j,
                       depth ? depth + i * LOOK + j : NULL);
}
