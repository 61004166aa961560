/* resize.c - Pillow 10's bicubic resize of 8-bit pictures, bit for bit (crop.md, 2): antialiased,
 * separable, in 22-bit fixed point, rounded to bytes between the two passes. */
#include <math.h>
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

/* Weights of the source pixels first .. first+count-1 around center, in fixed point. */
static void
weigh(int32_t *weight, double *w, int first, int count, double center, double shrink)
{
    double sum = 0;

    for (int k = 0; k < count; k++)
        sum += w[k] = cubic((k + first - center + 0.5) * (1 / shrink));
    for (int k = 0; k < count; k++) {
        const double v = (sum != 0 ? w[k] / sum : w[k]) * (1 << BITS);
        weight[k] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
    }
}

static pf_err
axis_init(struct axis *a, int from, int to)
{
    const double scale = (double)from / to, shrink = fmax(scale, 1), support = 2 * shrink;

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
        weigh(a->weight + (size_t)i * a->most, w, a->first[i], a->count[i], center, shrink);
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

/* [H, W, C] -> [H, x->size, C] */
static void
resize_rows(pf_image *to, const pf_image *from, const struct axis *x)
{
    const int C = from->channels;

#pragma omp parallel for
    for (int row = 0; row < to->height; row++) {
        const uint8_t *src = from->pixel + (size_t)row * from->width * C;
        uint8_t *dst = to->pixel + (size_t)row * to->width * C;
        for (int i = 0; i < to->width; i++) {
            const int32_t *weight = x->weight + (size_t)i * x->most;
            for (int c = 0; c < C; c++) {
                int32_t sum = 1 << (BITS - 1);
                for (int k = 0; k < x->count[i]; k++)
                    sum += src[(x->first[i] + k) * C + c] * weight[k];
                dst[i * C + c] = to_byte(sum);
            }
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

static pf_err
copy(pf_image *to, const pf_image *from)
{
    PF_TRY(pf_image_new(to, from->width, from->height, from->channels));
    memcpy(to->pixel, from->pixel, pf_image_bytes(from));
    return PF_OK;
}

/* One axis; a size that stays is not touched.  from is released: it was taken. */
static pf_err
resize_axis(pf_image *to, pf_image *from, bool horizontal, int size)
{
    struct axis a = {0};
    pf_err err;

    if (size == (horizontal ? from->width : from->height)) {
        *to = *from;
        *from = (pf_image){0};
        return PF_OK;
    }
    if ((err = pf_image_new(to, horizontal ? size : from->width,
                            horizontal ? from->height : size, from->channels)) ||
        (err = axis_init(&a, horizontal ? from->width : from->height, size)))
        goto out;
    (horizontal ? resize_rows : resize_columns)(to, from, &a);
out:
    axis_release(&a);
    pf_image_release(from);
    return err;
}

static void
premultiply(pf_image *image)
{
    for (size_t i = 0; i < pf_image_bytes(image); i += 4)
        for (int c = 0; c < 3; c++) {
            const unsigned t = image->pixel[i + c] * image->pixel[i + 3] + 128u;
            image->pixel[i + c] = (uint8_t)(((t >> 8) + t) >> 8);
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

pf_err
pf_image_resize(pf_image *to, const pf_image *from, int width, int height)
{
    pf_image start = {0}, wide = {0};
    pf_err err;

    *to = (pf_image){0};
    if (width < 1 || height < 1)
        return pf_fail(PF_ESHAPE, "%d x %d pixels cannot be resized to %d x %d", from->width,
                       from->height, width, height);
    if (width == from->width && height == from->height)
        return copy(to, from);          /* premultiplication would lose bits */
    PF_TRY(copy(&start, from));
    if (from->channels == 4)
        premultiply(&start);
    if ((err = resize_axis(&wide, &start, true, width)) ||
        (err = resize_axis(to, &wide, false, height)))
        goto out;
    if (from->channels == 4)
        unpremultiply(to);
out:
    if (err)
        pf_image_release(to);
    pf_image_release(&wide);
    return err;
}
