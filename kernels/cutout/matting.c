/* matting.c - see matting.h; the sections are those of networks.md. */
#include "kernels/cutout/matting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TAPS = 8, MULTIPLE = 8 };

/* ---- OpenCV's Lanczos filter of 8 taps: 9.2 ---- */

struct taps {                   /* a pixel of an axis is sum of weight[k] from[at[k]] */
    int at[TAPS];
    float weight[TAPS];
};

/* Pixel i of to, of an axis of from pixels; behind the border its last pixel goes on. */
static void
tap(struct taps *t, int i, int from, int to)
{
    static const double r = 0.70710678118654752440;
    static const double turn[TAPS][2] = {{1, 0}, {-r, -r}, {0, 1}, {r, -r},
                                         {-1, 0}, {r, r}, {0, -1}, {-r, r}};
    const float f = (float)((i + 0.5) * ((double)from / to) - 0.5);
    const int s = (int)floorf(f);
    const float x = f - (float)s;
    float sum = 0;
    for (int k = 0; k < TAPS; k++) {
        const int at = s - 3 + k;
        t->at[k] = at < 0 ? 0 : at < from ? at : from - 1;
        t->weight[k] = k == 3;
    }
    if (x < 1.2e-7f)
        return;
    const double y0 = -(x + 3) * M_PI / 4, sine = sin(y0), cosine = cos(y0);
    for (int k = 0; k < TAPS; k++) {
        const double y = -(x + 3 - k) * M_PI / 4;
        t->weight[k] = (float)((turn[k][0] * sine + turn[k][1] * cosine) / (y * y));
        sum += t->weight[k];
    }
    for (int k = 0; k < TAPS; k++)
        t->weight[k] *= 1 / sum;
}

static pf_err
taps_new(struct taps **taps, int from, int to)
{
    struct taps *const t = malloc((size_t)to * sizeof *t);
    if (!t)
        return pf_fail(PF_ENOMEM, "no memory to resize a picture");
    for (int i = 0; i < to; i++)
        tap(&t[i], i, from, to);
    *taps = t;
    return PF_OK;
}

struct plane {                  /* [height, width, channels] */
    int width, height, channels;
    double *value;
};

static pf_err
plane_new(struct plane *p, int width, int height, int channels)
{
    *p = (struct plane){width, height, channels, NULL};
    p->value = malloc((size_t)width * height * channels * sizeof *p->value);
    return p->value ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %d x %d pixels", width, height);
}

/* Along the rows into half [from's height, to's width], then down the columns. */
static void
resize(struct plane *to, double *half, const struct plane *from, const struct taps *x,
       const struct taps *y)
{
    const int C = from->channels, row = to->width * C;
#pragma omp parallel for
    for (int i = 0; i < from->height; i++)
        for (int j = 0; j < row; j++) {
            const struct taps *const t = &x[j / C];
            double sum = 0;
            for (int k = 0; k < TAPS; k++)
                sum += from->value[((size_t)i * from->width + t->at[k]) * C + j % C] * t->weight[k];
            half[(size_t)i * row + j] = sum;
        }
#pragma omp parallel for
    for (int i = 0; i < to->height; i++)
        for (int j = 0; j < row; j++) {
            double sum = 0;
            for (int k = 0; k < TAPS; k++)
                sum += half[(size_t)y[i].at[k] * row + j] * y[i].weight[k];
            to->value[(size_t)i * row + j] = sum;
        }
}

static int
rounded_up(int side)
{
    return (side + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
}

/* p with sides that are multiples of 8; its old values are freed. */
static pf_err
enlarge(struct plane *p)
{
    struct plane to, half;
    struct taps *x = NULL, *y = NULL;
    PF_TRY(plane_new(&to, rounded_up(p->width), rounded_up(p->height), p->channels));
    pf_err err = plane_new(&half, to.width, p->height, p->channels);
    if (!err && !(err = taps_new(&x, p->width, to.width)) &&
        !(err = taps_new(&y, p->height, to.height)))
        resize(&to, half.value, p, x, y);
    free(half.value);
    free(x);
    free(y);
    if (err) {
        free(to.value);
        return err;
    }
    free(p->value);
    *p = to;
    return PF_OK;
}

/* ---- the distance transform: 9.3 ---- */

/* down[i]: how far it is in the column to a pixel that is 0; far beyond all sizes if there is
 * none. */
static void
scan_columns(int *down, const uint8_t *pixel, int W, int H, int far)
{
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            const size_t at = (size_t)i * W + j;
            const int above = i ? down[at - W] : far;
            down[at] = !pixel[at] ? 0 : above < far ? above + 1 : far;
        }
    for (int i = H - 2; i >= 0; i--)
        for (int j = 0; j < W; j++) {
            const size_t at = (size_t)i * W + j;
            if (down[at + W] + 1 < down[at])
                down[at] = down[at + W] + 1;
        }
}

static int64_t
square(int64_t v)
{
    return v * v;
}

/* d[x] = the least of sqrt((x - j)^2 + down[j]^2) over j: parabolas, of which the stack holds those
 * that are lowest somewhere, at apex[k] from start[k] on. */
static void
scan_row(float *d, const int *down, int W, int *apex, int *start)
{
    int top = 0;
    apex[0] = start[0] = 0;
    for (int j = 1; j < W; j++) {
        while (top >= 0 && square(start[top] - apex[top]) + square(down[apex[top]]) >
                               square(start[top] - j) + square(down[j]))
            top--;
        if (top < 0) {
            top = 0;
            apex[0] = j;
            start[0] = 0;
            continue;
        }
        /* the first x where j's is the lower one: behind where they cross */
        const int64_t a = apex[top];
        const int64_t x = 1 + (square(j) - square(a) + square(down[j]) - square(down[a])) /
                                  (2 * (j - a));
        if (x < W) {
            top++;
            apex[top] = j;
            start[top] = (int)x;
        }
    }
    for (int x = W - 1; x >= 0; x--) {
        d[x] = (float)sqrt((double)(square(x - apex[top]) + square(down[apex[top]])));
        if (x == start[top])
            top--;
    }
}

pf_err
pf_distance(float *d, bool *found, const uint8_t *pixel, int width, int height)
{
    const size_t n = (size_t)width * height;
    int *const down = malloc(n * sizeof *down);
    int failed = !down;
    *found = memchr(pixel, 0, n) != NULL;
    if (down && *found) {
        scan_columns(down, pixel, width, height, width + height);
#pragma omp parallel reduction(| : failed)
        {
            int *const stack = malloc((size_t)(2 * width) * sizeof *stack);
            failed |= !stack;
#pragma omp for
            for (int i = 0; i < height; i++)
                if (stack)
                    scan_row(d + (size_t)i * width, down + (size_t)i * width, width, stack,
                             stack + width);
            free(stack);
        }
    }
    free(down);
    return failed ? pf_fail(PF_ENOMEM, "no memory for the distances of %zu pixels", n) : PF_OK;
}

/* ---- what the network looks at: 9.1 to 9.3 ---- */

/* Channels 3 k .. 3 k + 2 of distance [H, W, 6]: how near the pixels of class k are. */
static pf_err
near(pf_tensor *distance, const struct plane *certain, int k)
{
    static const double deviation[] = {6.4, 25.6, 51.2};
    const size_t n = (size_t)certain->width * certain->height;
    float *const d = malloc(n * sizeof *d), *const out = distance->data;
    uint8_t *const pixel = malloc(n);
    bool found = false;
    pf_err err = d && pixel ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %zu distances", n);
    for (size_t i = 0; i < n && !err; i++)      /* a byte of C: 256 is 0 again, on purpose */
        pixel[i] = (uint8_t)(int)((1 - certain->value[2 * i + k]) * 255);
    if (!err)
        err = pf_distance(d, &found, pixel, certain->width, certain->height);
    for (size_t i = 0; i < n && !err && found; i++)
        for (int s = 0; s < 3; s++)
            out[6 * i + 3 * k + s] =
                expf(-d[i] * d[i] / (float)(2 * deviation[s] * deviation[s]));
    free(d);
    free(pixel);
    return err;
}

static pf_err
to_tensor(pf_tensor *t, const struct plane *p)
{
    PF_TRY(PF_TENSOR_NEW(t, PF_F32, p->height, p->width, p->channels));
    for (int64_t i = 0, n = pf_tensor_count(t); i < n; i++)
        ((float *)t->data)[i] = (float)p->value[i];
    return PF_OK;
}

/* Blue first, the sides multiples of 8. */
static pf_err
encode_photo(struct pf_fba_input *input, const pf_image *photo)
{
    struct plane p;
    PF_TRY(plane_new(&p, photo->width, photo->height, 3));
    for (size_t i = 0; i < pf_image_bytes(photo); i++)
        p.value[i] = photo->pixel[i - i % 3 + 2 - i % 3] / 255.0;
    pf_err err = enlarge(&p);
    if (!err)
        err = to_tensor(&input->image, &p);
    free(p.value);
    return err;
}

static pf_err
encode_trimap(struct pf_fba_input *input, const pf_image *trimap)
{
    struct plane p;
    PF_TRY(plane_new(&p, trimap->width, trimap->height, 2));
    for (size_t i = 0; i < pf_image_bytes(trimap); i++) {
        p.value[2 * i] = trimap->pixel[i] == 0;
        p.value[2 * i + 1] = trimap->pixel[i] == 255;
    }
    pf_err err = enlarge(&p);
    if (!err)
        err = to_tensor(&input->certain, &p);
    if (!err)
        err = PF_TENSOR_NEW(&input->distance, PF_F32, p.height, p.width, 6);
    for (int k = 0; k < 2 && !err; k++)
        err = near(&input->distance, &p, k);
    free(p.value);
    return err;
}

pf_err
pf_matting_encode(struct pf_fba_input *input, const pf_image *photo, const pf_image *trimap)
{
    *input = (struct pf_fba_input){0};
    if (photo->channels != 3 || trimap->channels != 1 || photo->width != trimap->width ||
        photo->height != trimap->height)
        return pf_fail(PF_ESHAPE, "a trimap of %d x %d pixels and %d channels does not suit a "
                       "photo of %d x %d and %d", trimap->width, trimap->height, trimap->channels,
                       photo->width, photo->height, photo->channels);
    pf_err err = encode_photo(input, photo);
    if (!err)
        err = encode_trimap(input, trimap);
    if (err)
        pf_fba_input_release(input);
    return err;
}

void
pf_fba_input_release(struct pf_fba_input *input)
{
    pf_tensor_release(&input->image);
    pf_tensor_release(&input->certain);
    pf_tensor_release(&input->distance);
}

/* ---- alpha: 9.4 ---- */

/* Channel c of output [h, w, 7] at pixel (x, y) of a picture of this size: bilinear. */
static float
output_at(const pf_tensor *output, int c, int x, int y, int width, int height)
{
    const int64_t h = output->dim[0], w = output->dim[1];
    const float u = (float)((x + 0.5) * ((double)w / width) - 0.5);
    const float v = (float)((y + 0.5) * ((double)h / height) - 0.5);
    const int64_t j = u > 0 ? (int64_t)u : 0, i = v > 0 ? (int64_t)v : 0;
    const int64_t right = j + 1 < w ? 7 : 0, below = i + 1 < h ? 7 * w : 0;
    const float s = u > 0 ? u - (float)j : 0, t = v > 0 ? v - (float)i : 0;
    const float *const a = (const float *)output->data + 7 * (i * w + j) + c;
    return (a[0] * (1 - s) + a[right] * s) * (1 - t) +
           (a[below] * (1 - s) + a[below + right] * s) * t;
}

pf_err
pf_matting_alpha(pf_image *alpha, const pf_tensor *output, const pf_image *trimap)
{
    static const float LEAST = 0.3f;
    const int W = trimap->width, H = trimap->height;
    PF_TRY(pf_tensor_expect(output, "output", PF_F32, 3, (int64_t[]){-1, -1, 7}));
    PF_TRY(pf_image_new(alpha, W, H, 1));
#pragma omp parallel for
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            const size_t at = (size_t)i * W + j;
            const float a = trimap->pixel[at] ? output_at(output, 0, j, i, W, H) : 0;
            alpha->pixel[at] = (uint8_t)(a < LEAST ? 0 : a * 255);
        }
    return PF_OK;
}

void
pf_matting_colours(pf_image *colours, const pf_tensor *output, const pf_image *alpha)
{
    const int W = alpha->width, H = alpha->height;
#pragma omp parallel for
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            const size_t at = (size_t)i * W + j;
            if (alpha->pixel[at] == 0 || alpha->pixel[at] == 255)
                continue;
            for (int c = 0; c < 3; c++)         /* the output has blue first */
                colours->pixel[3 * at + c] =
                    (uint8_t)(255 * output_at(output, 3 - c, j, i, W, H) + 0.5f);
        }
}

/* ---- the whole ---- */

/* The shorter side where the longer one becomes PF_MATTING_SIDE: of the two whole numbers the one
 * that changes width over height less. */
static int
shorter_side(int W, int H)
{
    const double aspect = (double)W / H, most = PF_MATTING_SIDE;
    const double side = W > H ? most / aspect : most * aspect;
    double error[2];
    for (int i = 0; i < 2; i++) {
        const double n = floor(side) + i;
        error[i] = fabs(aspect - (W > H ? most / n : n / most));
    }
    const int best = (int)side + (side > floor(side) && error[1] < error[0]);
    return best > 1 ? best : 1;
}

/* to = from no larger than PF_MATTING_SIDE, as Pillow's thumbnail: 9.1. */
static pf_err
shrink(pf_image *to, const pf_image *from)
{
    const int W = from->width, H = from->height, side = shorter_side(W, H);
    return W > H ? pf_image_resize(to, from, PF_MATTING_SIDE, side)
                 : pf_image_resize(to, from, side, PF_MATTING_SIDE);
}

static pf_err
run(pf_dev *dev, const pf_fba *net, pf_image *alpha, pf_image *colours, const pf_image *photo,
    const pf_image *small, const pf_image *trimap)
{
    struct pf_fba_input input;
    pf_tensor output;
    PF_TRY(pf_matting_encode(&input, photo, small));
    pf_err err = pf_fba_run(dev, net, &output, &input, NULL);
    pf_fba_input_release(&input);
    PF_TRY(err);
    err = pf_matting_alpha(alpha, &output, trimap);
    if (!err && colours)
        pf_matting_colours(colours, &output, alpha);
    pf_tensor_release(&output);
    return err;
}

pf_err
pf_matting(pf_dev *dev, const pf_fba *net, pf_image *alpha, pf_image *colours,
           const pf_image *photo, const pf_image *trimap)
{
    pf_image small = {0}, small_trimap = {0};
    if (photo->width <= PF_MATTING_SIDE && photo->height <= PF_MATTING_SIDE)
        return run(dev, net, alpha, colours, photo, trimap, trimap);
    pf_err err = shrink(&small, photo);
    if (!err)
        err = shrink(&small_trimap, trimap);
    if (!err)
        err = run(dev, net, alpha, colours, &small, &small_trimap, trimap);
    pf_image_release(&small);
    pf_image_release(&small_trimap);
    return err;
}
