/* resize.c - Pillow 10's resize of 8-bit pictures, bit for bit (crop.md, 2): antialiased,
 * separable, in 22-bit fixed point, rounded to bytes between the two passes. */
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/image.h"

/* Bits of a weight's fraction: a sum in 32 bits has room for 8 of a pixel and 2 of overshoot. */
enum { BITS = 32 - 8 - 2 };

struct axis {                   /* how the pixels of one axis are made */
    int size, most;             /* pixels of the result; the most source pixels that one uses */
    int *first, *count;         /* [size] */
    int32_t *weight;            /* [size, most], sums of 2^BITS but for rounding */
};

static void
axis_release(struct axis *a)
{
    free(a->first);
    free(a->count);
    free(a->weight);
}

static double
cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double
triangle(double x)
{
    return fmax(1 - fabs(x), 0);
}

static double
sinc(double x)
{
    const double pi = 3.14159265358979323846;
    return x != 0 ? sin(pi * x) / (pi * x) : 1;
}

static double
lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct kernel {
    double (*value)(double x);
    double support;             /* it is 0 from here on */
} kernels[] = {
    [PF_BICUBIC] = {cubic, 2}, [PF_BILINEAR] = {triangle, 1}, [PF_LANCZOS] = {lanczos, 3}};

/* Weights of the source pixels first .. first+count-1 around center, in fixed point. */
static void
weigh(int32_t *weight, double *w, int first, int count, double center, double shrink,
      double (*value)(double x))
{
    double sum = 0;

    for (int k = 0; k < count; k++)
        sum += w[k] = value((k + first - center + 0.5) * (1 / shrink));
    for (int k = 0; k < count; k++) {
        const double v = (sum != 0 ? w[k] / sum : w[k]) * (1 << BITS);
        weight[k] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
    }
}

static pf_err
axis_init(struct axis *a, int from, int to, enum pf_filter filter)
{
    const double scale = (double)from / to, shrink = fmax(scale, 1);
    const double support = kernels[filter].support * shrink;

    a->size = to;
    a->most = 2 * (int)ceil(support) + 1;
    a->first = malloc(to * sizeof *a->first);
    a->count = malloc(to * sizeof *a->count);
    a->weight = malloc((size_t)to * a->most * sizeof *a->weight);
    double *w = malloc(a->most * sizeof *w);
    if (!a->first || !a->count || !a->weight || !w) {
        free(w);
        return pf_fail(PF_ENOMEM, "no memory to resize %d pixels to %d", from, to);
    }
    for (int i = 0; i < to; i++) {
        const double center = (i + 0.5) * scale;
        const double low = center - support + 0.5, high = center + support + 0.5;
        a->first[i] = low < 0 ? 0 : (int)low;
        a->count[i] = (high > from ? from : (int)high) - a->first[i];
        weigh(a->weight + (size_t)i * a->most, w, a->first[i], a->count[i], center, shrink,
              kernels[filter].value);
    }
    free(w);
    return PF_OK;
}

static inline uint8_t
to_byte(int32_t sum)
{
    sum >>= BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

/* [W, C] -> [x->size, C] */
static void
resize_row(uint8_t *to, const uint8_t *from, const struct axis *x, int C)
{
    for (int i = 0; i < x->size; i++) {
        const int32_t *weight = x->weight + (size_t)i * x->most;
        const uint8_t *src = from + (size_t)x->first[i] * C;
        for (int c = 0; c < C; c++) {
            int32_t sum = 1 << (BITS - 1);
            for (int k = 0; k < x->count[i]; k++)
                sum += src[k * C + c] * weight[k];
            to[i * C + c] = to_byte(sum);
        }
    }
}

/* [H, W, C] -> [y->size, W, C]; a block of bytes at a time, so that the sums stay in registers */
static void
resize_columns(pf_image *to, const pf_image *from, const struct axis *y)
{
    enum { BLOCK = 64 };
    const size_t stride = (size_t)from->width * from->channels;

#pragma omp parallel for
    for (int row = 0; row < to->height; row++)
        for (size_t i = 0; i < stride; i += BLOCK) {
            const int n = stride - i < BLOCK ? (int)(stride - i) : BLOCK;
            int32_t sum[BLOCK];
            for (int j = 0; j < n; j++)
                sum[j] = 1 << (BITS - 1);
            for (int k = 0; k < y->count[row]; k++) {
                const uint8_t *src = from->pixel + (y->first[row] + k) * stride + i;
                const int32_t weight = y->weight[(size_t)row * y->most + k];
                for (int j = 0; j < n; j++)
                    sum[j] += src[j] * weight;
            }
            for (int j = 0; j < n; j++)
                to->pixel[row * stride + i + j] = to_byte(sum[j]);
        }
}

static void
premultiply(uint8_t *to, const uint8_t *from, int width)
{
    for (size_t i = 0; i < 4 * (size_t)width; i += 4) {
        for (int c = 0; c < 3; c++) {
            const unsigned t = from[i + c] * from[i + 3] + 128u;
            to[i + c] = (uint8_t)(((t >> 8) + t) >> 8);
        }
        to[i + 3] = from[i + 3];
    }
}

static void
unpremultiply(pf_image *image)
{
    for (size_t i = 0; i < pf_image_bytes(image); i += 4) {
        const unsigned a = image->pixel[i + 3];
        for (int c = 0; c < 3 && a != 0 && a != 255; c++) {
            const unsigned v = 255u * image->pixel[i + c] / a;
            image->pixel[i + c] = v > 255 ? 255 : (uint8_t)v;
        }
    }
}

struct pf_resize {
    int width, channels;        /* of the rows that come */
    bool columns_first;
    bool same;                  /* neither axis changes: premultiplication would lose bits */
    struct axis x, y;           /* size 0: that axis stays */
    pf_image half;              /* after the first pass */
    pf_image result;            /* after the second; unused if its axis stays */
    int32_t *sum;               /* columns first, and not yet bytes: as half */
    uint8_t *premultiplied;     /* a row for each thread, of RGBA */
};

static void
resize_free(pf_resize *r)
{
    axis_release(&r->x);
    axis_release(&r->y);
    pf_image_release(&r->half);
    pf_image_release(&r->result);
    free(r->sum);
    free(r->premultiplied);
    free(r);
}

static pf_err
resize_init(pf_resize *r, int height, int to_width, int to_height, enum pf_filter filter)
{
    r->same = to_width == r->width && to_height == height;
    if (r->columns_first ? to_width != r->width : to_height != height)
        PF_TRY(pf_image_new(&r->result, to_width, to_height, r->channels));
    PF_TRY(pf_image_new(&r->half, r->columns_first ? r->width : to_width,
                        r->columns_first ? to_height : height, r->channels));
    if (to_width != r->width)
        PF_TRY(axis_init(&r->x, r->width, to_width, filter));
    if (to_height != height)
        PF_TRY(axis_init(&r->y, height, to_height, filter));
    if (r->channels == 4 && !r->same)
        r->premultiplied = malloc((size_t)omp_get_max_threads() * r->width * 4);
    if (r->columns_first && r->y.size)
        r->sum = calloc(pf_image_bytes(&r->half), sizeof *r->sum);
    if ((r->channels == 4 && !r->same && !r->premultiplied) ||
        (r->columns_first && r->y.size && !r->sum))
        return pf_fail(PF_ENOMEM, "no memory to resize %d pixels", r->width);
    return PF_OK;
}

static pf_err
begin(pf_resize **r, int width, int height, int channels, int to_width, int to_height,
      bool columns_first, enum pf_filter filter)
{
    pf_err err;

    *r = NULL;
    if (to_width < 1 || to_height < 1)
        return pf_fail(PF_ESHAPE, "%d x %d pixels cannot be resized to %d x %d", width, height,
                       to_width, to_height);
    if (!(*r = calloc(1, sizeof **r)))
        return pf_fail(PF_ENOMEM, "no memory to resize a picture");
    **r = (pf_resize){.width = width, .channels = channels, .columns_first = columns_first};
    if ((err = resize_init(*r, height, to_width, to_height, filter))) {
        resize_free(*r);
        *r = NULL;
    }
    return err;
}

pf_err
pf_resize_begin(pf_resize **r, int width, int height, int channels, int to_width, int to_height,
                bool columns_first)
{
    return begin(r, width, height, channels, to_width, to_height, columns_first, PF_BICUBIC);
}

/* What row y gives to those rows of the result that it is a part of. */
static void
add_row(pf_resize *r, const uint8_t *row, int y)
{
    const size_t stride = (size_t)r->width * r->channels;

    for (int i = 0; i < r->y.size; i++) {
        const int k = y - r->y.first[i];
        if (k < 0 || k >= r->y.count[i])
            continue;
        const int32_t weight = r->y.weight[(size_t)i * r->y.most + k];
        int32_t *sum = r->sum + i * stride;
        for (size_t j = 0; j < stride; j++)
            sum[j] += row[j] * weight;
    }
}

void
pf_resize_row(pf_resize *r, const uint8_t *row, int y)
{
    uint8_t *to = r->half.pixel + (size_t)y * r->half.width * r->channels;

    if (r->premultiplied) {
        uint8_t *own = r->premultiplied + (size_t)omp_get_thread_num() * r->width * 4;
        premultiply(own, row, r->width);
        row = own;
    }
    if (r->sum)
        add_row(r, row, y);
    else if (r->x.size && !r->columns_first)
        resize_row(to, row, &r->x, r->channels);
    else
        memcpy(to, row, (size_t)r->width * r->channels);
}

static void
second_pass(pf_resize *r)
{
    const int C = r->channels;

    if (!r->columns_first) {
        resize_columns(&r->result, &r->half, &r->y);
        return;
    }
#pragma omp parallel for
    for (int y = 0; y < r->half.height; y++)
        resize_row(r->result.pixel + (size_t)y * r->result.width * C,
                   r->half.pixel + (size_t)y * r->half.width * C, &r->x, C);
}

void
pf_resize_end(pf_image *to, pf_resize *r)
{
    pf_image *const done = r->result.pixel ? &r->result : &r->half;

    for (size_t i = 0; r->sum && i < pf_image_bytes(&r->half); i++)
        r->half.pixel[i] = to_byte(r->sum[i] + (1 << (BITS - 1)));
    if (r->result.pixel)
        second_pass(r);
    *to = *done;
    *done = (pf_image){0};
    if (r->premultiplied)
        unpremultiply(to);
    resize_free(r);
}

pf_err
pf_image_resize(pf_image *to, const pf_image *from, int width, int height)
{
    return pf_image_resize_by(to, from, width, height, PF_BICUBIC);
}

pf_err
pf_image_resize_by(pf_image *to, const pf_image *from, int width, int height,
                   enum pf_filter filter)
{
    const size_t stride = (size_t)from->width * from->channels;
    pf_resize *r;

    *to = (pf_image){0};
    PF_TRY(begin(&r, from->width, from->height, from->channels, width, height, false, filter));
#pragma omp parallel for
    for (int y = 0; y < from->height; y++)
        pf_resize_row(r, from->pixel + y * stride, y);
    pf_resize_end(to, r);
    return PF_OK;
}
