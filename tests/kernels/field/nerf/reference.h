/* reference.h - the original's NGP renderer in plain doubles, from its formulas alone (field.md,
 * 14): what test_nerf.c compares with.  Nothing here calls what is tested. */
#ifndef PF_TEST_NERF_REFERENCE_H
#define PF_TEST_NERF_REFERENCE_H
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct reference {
    int levels, features, log2_table, base, max, hidden, color_hidden, geo, R, steps;
    double bound;
    const float *table, *sigma[2], *color[3], *grid;    /* the field's parameters */
    double moved;               /* is added to the number at this address */
    const float *at;
};

static double
ref_number(const struct reference *f, const float *at)
{
    return *at + (at == f->at ? f->moved : 0);
}

/* ---- the networks ---- */

/* What the grid says of x, level after level; returns how many numbers. */
static int
ref_encode(const struct reference *f, double *e, const double x[3])
{
    const double growth = pow((double)f->max / f->base, 1.0 / (f->levels - 1));
    int64_t offset = 0, table = (int64_t)1 << f->log2_table;
    for (int l = 0; l < f->levels; l++) {
        const double scale = (float)(f->base * pow(growth, l) - 1);     /* so that 127 is 127 */
        const int64_t res = (int64_t)ceil(scale) + 1, all = res * res * res;
        const int64_t size = (all + 7) / 8 * 8 < table ? (all + 7) / 8 * 8 : table;
        double place[3], cell[3];
        for (int k = 0; k < 3; k++) {
            place[k] = scale * (x[k] + f->bound) / (2 * f->bound) + 0.5;
            cell[k] = floor(place[k]);
        }
        for (int i = 0; i < f->features; i++)
            e[l * f->features + i] = 0;
        for (int corner = 0; corner < 8; corner++) {
            uint32_t v[3];
            double w = 1;
            for (int k = 0; k < 3; k++) {
                const int upper = corner >> k & 1;
                v[k] = (uint32_t)cell[k] + (uint32_t)upper;
                w *= upper ? place[k] - cell[k] : 1 - (place[k] - cell[k]);
            }
            const int64_t index =
                all <= size ? (v[0] + (int64_t)v[1] * res + (int64_t)v[2] * res * res) % size
                            : (v[0] ^ v[1] * 2654435761u ^ v[2] * 805459861u) % (uint32_t)size;
            for (int i = 0; i < f->features; i++)
                e[l * f->features + i] +=
                    w * ref_number(f, f->table + (offset + index) * f->features + i);
        }
        offset += size;
    }
    return f->levels * f->features;
}

/* y [n] = W x, W [., m]; x gets ones up to m. */
static void
ref_layer(const struct reference *f, double *y, const float *W, int n, double *x, int given, int m,
          int relu)
{
    for (int c = given; c < m; c++)
        x[c] = 1;
    for (int k = 0; k < n; k++) {
        y[k] = 0;
        for (int c = 0; c < m; c++)
            y[k] += ref_number(f, W + k * m + c) * x[c];
        if (relu && y[k] < 0)
            y[k] = 0;
    }
}

static int
ref_padded(int n)
{
    return n % 16 ? n + 16 - n % 16 : n;
}

static void
ref_harmonics(double *y, double a, double b, double c)
{
    const double all[16] = {
        0.28209479, -0.48860251 * b, 0.48860251 * c, -0.48860251 * a, 1.09254843 * a * b,
        -1.09254843 * b * c, 0.94617470 * c * c - 0.31539157, -1.09254843 * a * c,
        0.54627422 * (a * a - b * b), 0.59004359 * b * (-3 * a * a + b * b), 2.89061144 * a * b * c,
        0.45704580 * b * (1 - 5 * c * c), 0.37317633 * c * (5 * c * c - 3),
        0.45704580 * a * (1 - 5 * c * c), 1.44530572 * c * (a * a - b * b),
        0.59004359 * a * (-a * a + 3 * b * b)};
    memcpy(y, all, sizeof all);
}

/* Density, with the factor of 10 that the original has twice, and colour; rgb may be NULL. */
static double
ref_field(const struct reference *f, double *rgb, const double x[3], const double d[3])
{
    double in[160], h[128], out[128];
    const int E = ref_encode(f, in, x);
    ref_layer(f, h, f->sigma[0], f->hidden, in, E, ref_padded(E), 1);
    ref_layer(f, out, f->sigma[1], 1 + f->geo, h, f->hidden, f->hidden, 0);
    const double length = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    const double raw = out[0] + (1 - length / 0.25) * 10;
    if (rgb) {
        double c0[128], c1[128];
        ref_harmonics(in, d[0], d[1], d[2]);
        memcpy(in + 16, out + 1, sizeof *in * (size_t)f->geo);
        ref_layer(f, c0, f->color[0], f->color_hidden, in, 16 + f->geo, ref_padded(16 + f->geo), 1);
        ref_layer(f, c1, f->color[1], f->color_hidden, c0, f->color_hidden, f->color_hidden, 1);
        ref_layer(f, rgb, f->color[2], 3, c1, f->color_hidden, f->color_hidden, 0);
        for (int k = 0; k < 3; k++)
            rgb[k] = 1 / (1 + exp(-rgb[k]));
    }
    return 10 * (raw > 20 ? raw : log1p(exp(raw)));
}

/* ---- rays ---- */

static double
ref_threshold(const struct reference *f)
{
    const int64_t cells = (int64_t)f->R * f->R * f->R;
    double mean = 0;
    for (int64_t c = 0; c < cells; c++)
        mean += (f->grid[c] > 0 ? f->grid[c] : 0) / (double)cells;
    return mean < 0.01 ? mean : 0.01;
}

/* Depths of the samples of a ray; returns how many, at most `most`. */
static int
ref_march(const struct reference *f, double *at, int most, const double o[3], const double d[3],
          double threshold)
{
    const double dt = 2 * sqrt(3) / f->steps, b = f->bound;
    double near = 0.2, far = INFINITY;
    int n = 0;
    for (int k = 0; k < 3; k++) {
        const double p = (-b - o[k]) / d[k], q = (b - o[k]) / d[k];
        near = fmax(near, fmin(p, q));
        far = fmin(far, fmax(p, q));
    }
    for (double t = near; t < far && n < most;) {
        double leave = INFINITY;
        int64_t cell[3];
        for (int k = 0; k < 3; k++) {
            const double x = o[k] + t * d[k], i = 0.5 * (x / b + 1) * f->R;
            cell[k] = i < 0 ? 0 : i > f->R - 1 ? f->R - 1 : (int64_t)i;
            const double next = (double)cell[k] + 0.5 + (d[k] < 0 ? -0.5 : 0.5);
            const double edge = (next / f->R * 2 - 1) * b;
            leave = fmin(leave, t + (edge - x) / d[k]);
        }
        if (f->grid[(cell[2] * f->R + cell[1]) * f->R + cell[0]] > threshold) {
            at[n++] = t;
            t += dt;
        } else {
            do
                t += dt;
            while (t < leave);
        }
    }
    return n;
}

/* Colour on white and opacity of n samples; weight, perhaps, of each. */
static void
ref_blend(double rgb[3], double *opacity, double *weight, const double *density,
          const double (*color)[3], double dt, int n)
{
    double T = 1;
    rgb[0] = rgb[1] = rgb[2] = *opacity = 0;
    for (int k = 0; k < n; k++) {
        const double alpha = T < 1e-4 ? 0 : 1 - exp(-density[k] * dt), w = alpha * T;
        for (int c = 0; c < 3; c++)
            rgb[c] += w * color[k][c];
        if (weight)
            weight[k] = w;
        *opacity += w;
        T *= 1 - alpha;
    }
    for (int c = 0; c < 3; c++)
        rgb[c] += 1 - *opacity;
}

#endif
