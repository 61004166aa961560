/* prepare.c - see prepare.h; the rules are those of networks.md, 4. */
#include "kernels/cutout/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cutout/imgly.h"

enum pf_preset
pf_preset_of(const pf_checkpoint *weights)
{
    const char *key, *value;
    for (int i = 0; pf_checkpoint_meta(weights, i, &key, &value); i++)
        if (!strcmp(key, "trained_by") && strstr(value, "train_cutout.py"))
            return PF_OWN;
    return PF_AUTHOR;
}

pf_err
pf_preset_check(enum pf_preset preset, enum pf_cutout_kind kind)
{
    if (kind != PF_ISNET && preset == PF_IMGLY)
        return pf_fail(PF_EARG, "--preset imgly has rules for IS-Net alone, not for %s",
                       pf_cutout_name(kind));
    if (kind == PF_ISNET && (preset == PF_CARVEKIT || preset == PF_OWN))
        return pf_fail(PF_EARG, "--preset %s has no rules for IS-Net: author, rembg or imgly",
                       preset == PF_OWN ? "own" : "carvekit");
    return PF_OK;
}

static bool
is_isnet_author(enum pf_cutout_kind kind, enum pf_preset preset)
{
    return kind == PF_ISNET && preset == PF_AUTHOR;
}

/* ---- scikit-image's resize, by which the authors of U^2-Net prepare ---- */

struct taps {                   /* one pixel of an axis is sum of weight[k] from[first + k] */
    int first, count;
    double *weight;
};

/* The Gaussian that is put before shrinking, cut at 4 deviations and with nothing beyond the
 * picture; radius 0: none. */
static int
gaussian(double *g, double deviation)
{
    const int radius = (int)(4 * deviation + 0.5);
    double sum = 0;
    for (int k = -radius; k <= radius; k++)
        sum += g[k + radius] = radius ? exp(-0.5 * k * k / (deviation * deviation)) : 1;
    for (int k = 0; k <= 2 * radius; k++)
        g[k] /= sum;
    return radius;
}

/* Pixel i of to, of an axis of from pixels: bilinear between two filtered pixels, of which those
 * beyond the border are 0. */
static void
tap(struct taps *t, const double *g, int radius, int i, int from, int to)
{
    const double at = (i + 0.5) * from / to - 0.5;
    const int left = (int)floor(at);
    t->first = left - radius;
    t->count = 2 * radius + 2;
    memset(t->weight, 0, (size_t)t->count * sizeof *t->weight);
    for (int side = 0; side < 2; side++) {
        const double share = side ? at - left : 1 - (at - left);
        for (int k = 0; k <= 2 * radius && left + side >= 0 && left + side < from; k++)
            t->weight[side + k] += share * g[k];
    }
    for (; t->first < 0; t->first++, t->weight++, t->count--)
        ;
    if (t->first + t->count > from)
        t->count = from - t->first;
}

/* Taps of a whole axis; freed as one, with their weights behind them. */
static pf_err
taps_new(struct taps **taps, int from, int to)
{
    const double deviation = fmax(0, ((double)from / to - 1) / 2);
    const int most = 2 * (int)(4 * deviation + 0.5) + 2;
    double *const g = malloc((size_t)most * sizeof *g);
    struct taps *const t = malloc((size_t)to * (sizeof *t + (size_t)most * sizeof(double)));
    if (!g || !t) {
        free(g);
        free(t);
        return pf_fail(PF_ENOMEM, "no memory to resize %d pixels to %d", from, to);
    }
    const int radius = gaussian(g, deviation);
    for (int i = 0; i < to; i++) {
        t[i].weight = (double *)(void *)(t + to) + (size_t)i * most;
        tap(&t[i], g, radius, i, from, to);
    }
    free(g);
    *taps = t;
    return PF_OK;
}

/* half [S, W, 3] = columns of the photo, then to [S, S, 3] = its rows; both 0..1. */
static void
resize_author(float *to, double *half, const pf_image *photo, const struct taps *x,
              const struct taps *y, int S)
{
    const size_t stride = 3 * (size_t)photo->width;
#pragma omp parallel for
    for (int i = 0; i < S; i++) {
        double *const row = half + i * stride;
        memset(row, 0, stride * sizeof *row);
        for (int k = 0; k < y[i].count; k++) {
            const uint8_t *const from = photo->pixel + (size_t)(y[i].first + k) * stride;
            for (size_t j = 0; j < stride; j++)
                row[j] += y[i].weight[k] * (from[j] / 255.0);
        }
        for (int j = 0; j < 3 * S; j++) {
            double sum = 0;
            for (int k = 0; k < x[j / 3].count; k++)
                sum += x[j / 3].weight[k] * row[3 * (x[j / 3].first + k) + j % 3];
            to[(size_t)i * 3 * S + j] = (float)sum;
        }
    }
}

static pf_err
shrink_author(float *to, const pf_image *photo, int S)
{
    struct taps *x = NULL, *y = NULL;
    double *const half = malloc((size_t)S * photo->width * 3 * sizeof *half);
    pf_err err = half ? PF_OK : pf_fail(PF_ENOMEM, "no memory to resize a picture");
    if (!err && !(err = taps_new(&x, photo->width, S)) && !(err = taps_new(&y, photo->height, S)))
        resize_author(to, half, photo, x, y, S);
    free(half);
    free(x);
    free(y);
    return err;
}

/* ---- the others' ---- */

/* to [h, w, C] from [H, W, C], in the host's memory, on a CPU. */
static pf_err
bilinear(pf_dev *dev, pf_tensor *to, const pf_tensor *from)
{
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x, y;
    pf_err err = pf_dev_alloc(dev, &x, PF_F32, 4, from->dim);
    if (!err)
        err = pf_dev_alloc(dev, &y, PF_F32, 4, to->dim);
    if (!err)
        err = pf_dev_put(dev, &x, from);
    if (!err)
        err = pf_bilinear(dev, &y, &x);
    if (!err)
        err = pf_dev_get(dev, to, &y);
    pf_dev_reset(dev, mark);
    return err;
}

/* The authors of IS-Net: bilinear, not antialiased, and what is behind the point is dropped. */
static pf_err
shrink_isnet(float *to, pf_dev *dev, const pf_image *photo, int S)
{
    const int64_t H = photo->height, W = photo->width;
    pf_tensor from, small = PF_VIEW(to, PF_F32, 1, S, S, 3);
    PF_TRY(PF_TENSOR_NEW(&from, PF_F32, 1, H, W, 3));
    for (int64_t i = 0; i < H * W * 3; i++)
        ((float *)from.data)[i] = photo->pixel[i];
    const pf_err err = bilinear(dev, &small, &from);
    pf_tensor_release(&from);
    for (int i = 0; i < S * S * 3 && !err; i++)
        to[i] = floorf(to[i]) / 255;
    return err;
}

/* Filters of Pillow's, on the way to the network and back. */
static const struct {
    enum pf_filter in, out;
} filters[] = {[PF_OWN] = {PF_BILINEAR, PF_BILINEAR}, [PF_AUTHOR] = {PF_BILINEAR, PF_BILINEAR},
               [PF_REMBG] = {PF_LANCZOS, PF_LANCZOS}, [PF_CARVEKIT] = {PF_BICUBIC, PF_BICUBIC}};

static pf_err
shrink_pillow(float *to, const pf_image *photo, int S, enum pf_filter filter)
{
    pf_image small;
    PF_TRY(pf_image_resize_by(&small, photo, S, S, filter));
    for (int i = 0; i < S * S * 3; i++)
        to[i] = small.pixel[i] / 255.0f;
    pf_image_release(&small);
    return PF_OK;
}

/* v / scale, less the mean, over the deviation. */
static void
normalise(float *v, int64_t n, enum pf_cutout_kind kind, bool by_maximum)
{
    static const double imagenet[2][3] = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
    static const double half[2][3] = {{0.5, 0.5, 0.5}, {1, 1, 1}};
    const double (*const rule)[3] = kind == PF_ISNET ? half : imagenet;
    double most = by_maximum ? 1e-6 : 1;
    for (int64_t i = 0; i < n && by_maximum; i++)
        most = fmax(most, v[i]);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)((v[i] / most - rule[0][i % 3]) / rule[1][i % 3]);
}

pf_err
pf_cutout_prepare(pf_tensor *input, pf_dev *dev, const pf_image *photo, int S,
                  enum pf_cutout_kind kind, enum pf_preset preset)
{
    pf_err err;
    PF_TRY(PF_TENSOR_NEW(input, PF_F32, 1, S, S, 3));
    if (is_isnet_author(kind, preset))
        err = shrink_isnet(input->data, dev, photo, S);
    else if (preset == PF_AUTHOR)
        err = shrink_author(input->data, photo, S);
    else if (preset == PF_IMGLY)
        err = pf_imgly_shrink(input->data, photo, S);
    else
        err = shrink_pillow(input->data, photo, S, filters[preset].in);
    if (err) {
        pf_tensor_release(input);
        return err;
    }
    if (preset != PF_IMGLY)
        normalise(input->data, pf_tensor_count(input), kind, !is_isnet_author(kind, preset));
    return PF_OK;
}

/* ---- back ---- */

/* 0..1 from the least to the largest; a mask that is all one value becomes 0. */
static void
stretch(float *v, int64_t n)
{
    float least = v[0], most = v[0];
    for (int64_t i = 1; i < n; i++) {
        least = fminf(least, v[i]);
        most = fmaxf(most, v[i]);
    }
    for (int64_t i = 0; i < n; i++)
        v[i] = most > least ? (v[i] - least) / (most - least) : 0;
}

void
pf_cutout_settle(pf_tensor *mask, enum pf_preset preset)
{
    if (preset != PF_OWN)
        stretch(mask->data, pf_tensor_count(mask));
}

static void
to_bytes(uint8_t *to, const float *v, int64_t n, float half)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (uint8_t)(255 * v[i] + half);
}

/* Resized as it is, in floats; the authors of IS-Net stretch then. */
static pf_err
enlarge(pf_image *alpha, pf_dev *dev, const pf_tensor *mask, bool author)
{
    const int64_t n = (int64_t)alpha->width * alpha->height;
    const pf_tensor from = PF_VIEW(mask->data, PF_F32, 1, mask->dim[0], mask->dim[1], 1);
    pf_tensor to;
    PF_TRY(PF_TENSOR_NEW(&to, PF_F32, 1, alpha->height, alpha->width, 1));
    const pf_err err = bilinear(dev, &to, &from);
    if (!err && author)
        stretch(to.data, n);
    if (!err)
        to_bytes(alpha->pixel, to.data, n, author ? 0 : 0.5f);
    pf_tensor_release(&to);
    return err;
}

/* Stretched, made bytes, and then resized. */
static pf_err
enlarge_bytes(pf_image *alpha, const pf_tensor *mask, int width, int height, enum pf_filter filter)
{
    pf_tensor copy;
    pf_image small;
    PF_TRY(pf_image_new(&small, (int)mask->dim[1], (int)mask->dim[0], 1));
    pf_err err = pf_tensor_copy(&copy, mask);
    if (!err) {
        stretch(copy.data, pf_tensor_count(&copy));
        to_bytes(small.pixel, copy.data, pf_tensor_count(&copy), 0);
        pf_tensor_release(&copy);
        err = pf_image_resize_by(alpha, &small, width, height, filter);
    }
    pf_image_release(&small);
    return err;
}

pf_err
pf_cutout_finish(pf_image *alpha, pf_dev *dev, const pf_tensor *mask, int width, int height,
                  enum pf_cutout_kind kind, enum pf_preset preset)
{
    const bool author = is_isnet_author(kind, preset);
    if (!author && preset != PF_OWN && preset != PF_IMGLY)
        return enlarge_bytes(alpha, mask, width, height, filters[preset].out);
    PF_TRY(pf_image_new(alpha, width, height, 1));
    const pf_err err = preset == PF_IMGLY ? pf_imgly_enlarge(alpha, mask)
                                       : enlarge(alpha, dev, mask, author);
    if (err)
        pf_image_release(alpha);
    return err;
}
