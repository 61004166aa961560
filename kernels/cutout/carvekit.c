/* carvekit.c - see carvekit.h. */
#include "kernels/cutout/carvekit.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/cutout/matting.h"
#include "kernels/cutout/trimap.h"

/* ---- the picture: a triangle as wide as a pixel of the smaller picture, in floats ---- */

struct taps {                   /* one pixel of an axis is sum of weight[k] from[first + k] */
    int first, count;
    double *weight;
};

static void
tap(struct taps *t, int i, int from, int S)
{
    const double scale = (double)from / S, width = fmax(scale, 1), at = scale * (i + 0.5);
    const int begin = (int)(at - width + 0.5), end = (int)(at + width + 0.5);
    double sum = 0;
    t->first = begin > 0 ? begin : 0;
    t->count = (end < from ? end : from) - t->first;
    for (int k = 0; k < t->count; k++)
        sum += t->weight[k] = fmax(0, 1 - fabs((t->first + k + 0.5 - at) / width));
    for (int k = 0; k < t->count; k++)
        t->weight[k] /= sum;
}

/* The taps of an axis of S pixels; freed as one, with their weights behind them. */
static pf_err
taps_new(struct taps **taps, int from, int S)
{
    const int most = 2 * (int)ceil(fmax((double)from / S, 1)) + 2;
    struct taps *const t = malloc((size_t)S * (sizeof *t + (size_t)most * sizeof *t->weight));
    if (!t)
        return pf_fail(PF_ENOMEM, "no memory to resize a picture");
    for (int i = 0; i < S; i++) {
        t[i].weight = (double *)(void *)(t + S) + (size_t)i * most;
        tap(&t[i], i, from, S);
    }
    *taps = t;
    return PF_OK;
}

/* Columns first; half [H, S, 3]. */
static void
resize(float *to, float *half, const pf_image *photo, const struct taps *x, const struct taps *y,
       int S)
{
    const int H = photo->height, W = photo->width;
#pragma omp parallel for
    for (int i = 0; i < H * S; i++)
        for (int c = 0; c < 3; c++) {
            const struct taps *const t = &x[i % S];
            const uint8_t *const row = photo->pixel + (size_t)(i / S) * W * 3;
            double sum = 0;
            for (int k = 0; k < t->count; k++)
                sum += t->weight[k] * row[3 * (t->first + k) + c];
            half[3 * (size_t)i + c] = (float)(sum / 255);
        }
#pragma omp parallel for
    for (int i = 0; i < S * S * 3; i++) {
        const struct taps *const t = &y[i / (3 * S)];
        double sum = 0;
        for (int k = 0; k < t->count; k++)
            sum += t->weight[k] * half[(size_t)(t->first + k) * 3 * S + i % (3 * S)];
        to[i] = (float)sum;
    }
}

pf_err
pf_carvekit_prepare(pf_tensor *input, const pf_image *photo, int S)
{
    static const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
    struct taps *x = NULL, *y = NULL;
    float *const half = malloc((size_t)photo->height * S * 3 * sizeof *half);
    pf_err err = half ? PF_OK : pf_fail(PF_ENOMEM, "no memory to resize a picture");
    if (!err && !(err = taps_new(&x, photo->width, S)) &&
        !(err = taps_new(&y, photo->height, S)) &&
        !(err = PF_TENSOR_NEW(input, PF_F32, 1, S, S, 3))) {
        float *const v = input->data;
        resize(v, half, photo, x, y, S);
        for (int i = 0; i < S * S * 3; i++)
            v[i] = (v[i] - mean[i % 3]) / deviation[i % 3];
    }
    free(half);
    free(x);
    free(y);
    return err;
}

/* ---- the mask ---- */

pf_err
pf_carvekit_mask(pf_image *mask, const pf_tensor *share, int width, int height)
{
    pf_image small;
    PF_TRY(pf_image_new(&small, (int)share->dim[1], (int)share->dim[0], 1));
    for (size_t i = 0; i < pf_image_bytes(&small); i++)
        small.pixel[i] = (uint8_t)(((const float *)share->data)[i] * 255);
    const pf_err err = pf_image_resize_by(mask, &small, width, height, PF_BILINEAR);
    pf_image_release(&small);
    return err;
}

/* ---- alpha ---- */

/* Of the trimap, by carvekit's defaults. */
enum { THRESHOLD = 231, DILATION = 30, EROSION = 5 };

pf_err
pf_carvekit_matting(pf_image *mask, pf_image *photo, pf_dev *dev, const pf_fba *net,
                    bool own_colours)
{
    pf_image trimap, alpha;
    PF_TRY(pf_trimap(&trimap, mask, THRESHOLD, DILATION, EROSION));
    const pf_err err = pf_matting(dev, net, &alpha, own_colours ? photo : NULL, photo, &trimap);
    pf_image_release(&trimap);
    PF_TRY(err);
    pf_image_release(mask);
    *mask = alpha;
    return PF_OK;
}

void
pf_carvekit_colours(pf_image *photo, const pf_image *alpha)
{
    static const float GREY = 130;
    for (size_t i = 0; i < pf_image_bytes(photo); i++) {
        const uint8_t whole = alpha->pixel[i / 3];
        const float a = (float)whole / 255;
        if (whole < 255)
            photo->pixel[i] = (uint8_t)(a * photo->pixel[i] + (1 - a) * GREY);
    }
}
