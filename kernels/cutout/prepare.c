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

/* As pf_bilinear has it, but by rows, and from bytes: a photo in floats, and again where the
 * operator works, would be eight times as large. */
struct between {                /* from[first] (1 - t) + from[second] t */
    int first, second;
    float t;
};

static struct between
between(int i, int from, int to)
{
    const float at = (float)from / (float)to * ((float)i + 0.5f) - 0.5f;
    const int below = at > 0 ? (int)at : 0, first = below < from ? below : from - 1;
    return (struct between){first, first + (first + 1 < from), at > 0 ? at - (float)first : 0};
}

static float
plane(struct between v, struct between u, float above_left, float above_right, float below_left,
      float below_right)
{
    return (1 - v.t) * ((1 - u.t) * above_left + u.t * above_right) +
           v.t * ((1 - u.t) * below_left + u.t * below_right);
}

/* The authors of IS-Net: bilinear, not antialiased, and what is behind the point is dropped. */
static void
shrink_isnet(float *to, const pf_image *photo, int S)
{
    const size_t W = (size_t)photo->width;
#pragma omp parallel for
    for (int i = 0; i < S; i++) {
        const struct between v = between(i, photo->height, S);
        const uint8_t *const above = photo->pixel + 3 * v.first * W;
        const uint8_t *const below = photo->pixel + 3 * v.second * W;
        for (int j = 0; j < S; j++) {
            const struct between u = between(j, photo->width, S);
            for (int c = 0; c < 3; c++) {
                const int left = 3 * u.first + c, right = 3 * u.second + c;
                to[3 * (i * S + j) + c] =
                    floorf(plane(v, u, above[left], above[right], below[left], below[right])) / 255;
            }
        }
    }
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
pf_cutout_prepare(pf_tensor *input, const pf_image *photo, int S, enum pf_cutout_kind kind,
                  enum pf_preset preset)
{
    pf_err err = PF_OK;
    PF_TRY(PF_TENSOR_NEW(input, PF_F32, 1, S, S, 3));
    if (is_isnet_author(kind, preset))
        shrink_isnet(input->data, photo, S);
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

static void
spread(float *least, float *most, const float *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        *least = fminf(*least, v[i]);
        *most = fmaxf(*most, v[i]);
    }
}

/* 0..1 from the least to the largest; a mask that is all one value becomes 0. */
static void
stretch(float *v, int64_t n, float least, float most)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = most > least ? (v[i] - least) / (most - least) : 0;
}

static void
stretch_mask(pf_tensor *mask)
{
    const int64_t n = pf_tensor_count(mask);
    float least = INFINITY, most = -INFINITY;
    spread(&least, &most, mask->data, n);
    stretch(mask->data, n, least, most);
}

void
pf_cutout_settle(pf_tensor *mask, enum pf_preset preset)
{
    if (preset != PF_OWN)
        stretch_mask(mask);
}

static void
to_bytes(uint8_t *to, const float *v, int64_t n, float half)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (uint8_t)(255 * v[i] + half);
}

/* Row y of the mask at this size. */
static void
enlarge_row(float *to, const pf_tensor *mask, int y, int width, int height)
{
    const int H = (int)mask->dim[0], W = (int)mask->dim[1];
    const struct between v = between(y, H, height);
    const float *const above = (const float *)mask->data + (size_t)v.first * W;
    const float *const below = (const float *)mask->data + (size_t)v.second * W;
    for (int x = 0; x < width; x++) {
        const struct between u = between(x, W, width);
        to[x] = plane(v, u, above[u.first], above[u.second], below[u.first], below[u.second]);
    }
}

/* Resized as it is, in floats; the authors of IS-Net stretch then. */
static pf_err
enlarge(pf_image *alpha, const pf_tensor *mask, bool author)
{
    const int W = alpha->width, H = alpha->height;
    float *const row = malloc((size_t)W * sizeof *row), least = INFINITY, most = -INFINITY;
    if (!row)
        return pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", W);
    for (int y = 0; y < H && author; y++) {
        enlarge_row(row, mask, y, W, H);
        spread(&least, &most, row, W);
    }
    for (int y = 0; y < H; y++) {
        enlarge_row(row, mask, y, W, H);
        if (author)
            stretch(row, W, least, most);
        to_bytes(alpha->pixel + (size_t)y * W, row, W, author ? 0 : 0.5f);
    }
    free(row);
    return PF_OK;
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
        stretch_mask(&copy);
        to_bytes(small.pixel, copy.data, pf_tensor_count(&copy), 0);
        pf_tensor_release(&copy);
        err = pf_image_resize_by(alpha, &small, width, height, filter);
    }
    pf_image_release(&small);
    return err;
}

pf_err
pf_cutout_finish(pf_image *alpha, const pf_tensor *mask, int width, int height,
                 enum pf_cutout_kind kind, enum pf_preset preset)
{
    const bool author = is_isnet_author(kind, preset);
    if (!author && preset != PF_OWN && preset != PF_IMGLY)
        return enlarge_bytes(alpha, mask, width, height, filters[preset].out);
    PF_TRY(pf_image_new(alpha, width, height, 1));
    const pf_err err = preset == PF_IMGLY ? pf_imgly_enlarge(alpha, mask)
                                          : enlarge(alpha, mask, author);
    if (err)
        pf_image_release(alpha);
    return err;
}
