/* likeness.c - see likeness.h. */
#include "tools/pf-eval/likeness.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

double
likeness_psnr(const float *a, const float *b, int width, int height)
{
    const int64_t n = 3 * (int64_t)width * height;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return -10 * log10(sum / (double)n);
}

double
likeness_iou(const float *a, const float *b, int width, int height)
{
    int64_t both = 0, either = 0;
    for (int64_t i = 0; i < (int64_t)width * height; i++) {
        both += a[i] > 0.5f && b[i] > 0.5f;
        either += a[i] > 0.5f || b[i] > 0.5f;
    }
    return either ? (double)both / (double)either : 1;
}

/* ---- SSIM ---- */

enum { REACH = 5, WINDOW = 2 * REACH + 1 };     // torchmetrics' defaults, as the next three
static const double sigma = 1.5, k1 = 0.01, k2 = 0.03;

struct ssim {
    int width, height;
    double window[WINDOW];
    double *plane, *row;        /* [H, W] what is blurred; between its two passes */
    double *mean_a, *mean_b, *square_a, *square_b, *product;    /* [H, W] blurred */
};

/* The edge's pixel is not repeated. */
static int
mirrored(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* to = plane blurred. */
static void
blur(double *to, const struct ssim *s)
{
    const int W = s->width, H = s->height;
#pragma omp parallel for
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            double sum = 0;
            for (int k = -REACH; k <= REACH; k++)
                sum += s->window[k + REACH] * s->plane[(int64_t)i * W + mirrored(j + k, W)];
            s->row[(int64_t)i * W + j] = sum;
        }
#pragma omp parallel for
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++) {
            double sum = 0;
            for (int k = -REACH; k <= REACH; k++)
                sum += s->window[k + REACH] * s->row[(int64_t)mirrored(i + k, H) * W + j];
            to[(int64_t)i * W + j] = sum;
        }
}

/* to = the products of channel c of both, blurred; b NULL: channel c of a itself. */
static void
blur_product(double *to, const struct ssim *s, const float *a, const float *b, int c)
{
    for (int64_t i = 0; i < (int64_t)s->width * s->height; i++)
        s->plane[i] = b ? (double)a[3 * i + c] * b[3 * i + c] : a[3 * i + c];
    blur(to, s);
}

static double
span(const float *v, int64_t n)
{
    double low = v[0], high = v[0];
    for (int64_t i = 1; i < n; i++) {
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
    }
    return high - low;
}

/* The sum over the map of one channel. */
static double
sum_of_map(const struct ssim *s, double range, int frame)
{
    const double c1 = k1 * range * k1 * range, c2 = k2 * range * k2 * range;
    double sum = 0;
    for (int i = frame; i < s->height - frame; i++)
        for (int j = frame; j < s->width - frame; j++) {
            const int64_t p = (int64_t)i * s->width + j;
            const double a = s->mean_a[p], b = s->mean_b[p];
            const double va = fmax(s->square_a[p] - a * a, 0), vb = fmax(s->square_b[p] - b * b, 0);
            sum += (2 * a * b + c1) * (2 * (s->product[p] - a * b) + c2) /
                   ((a * a + b * b + c1) * (va + vb + c2));
        }
    return sum;
}

pf_err
likeness_ssim(double *ssim, const float *a, const float *b, int width, int height, int frame)
{
    const int64_t pixels = (int64_t)width * height;
    double total = 0, sum = 0;
    if (width < SSIM_LEAST_SIDE || height < SSIM_LEAST_SIDE || 2 * frame >= width ||
        2 * frame >= height)
        return pf_fail(PF_ESHAPE, "SSIM of views of %d x %d pixels: expected at least %d a side, "
                       "and more than twice the frame of %d", width, height, SSIM_LEAST_SIDE,
                       frame);
    double *const memory = malloc(7 * (size_t)pixels * sizeof *memory);
    if (!memory)
        return pf_fail(PF_ENOMEM, "no memory for SSIM");
    struct ssim s = {width, height, {0}, memory, memory + pixels, memory + 2 * pixels,
                     memory + 3 * pixels, memory + 4 * pixels, memory + 5 * pixels,
                     memory + 6 * pixels};
    for (int k = 0; k < WINDOW; k++)
        total += s.window[k] = exp(-0.5 * ((k - REACH) / sigma) * ((k - REACH) / sigma));
    for (int k = 0; k < WINDOW; k++)
        s.window[k] /= total;
    const double range = fmax(span(a, 3 * pixels), span(b, 3 * pixels));
    for (int c = 0; c < 3; c++) {
        blur_product(s.mean_a, &s, a, NULL, c);
        blur_product(s.mean_b, &s, b, NULL, c);
        blur_product(s.square_a, &s, a, a, c);
        blur_product(s.square_b, &s, b, b, c);
        blur_product(s.product, &s, a, b, c);
        sum += sum_of_map(&s, range, frame);
    }
    // Two pictures of one and the same colour have no range, and 0 / 0: they are alike.
    *ssim = range > 0 ? sum / (3.0 * (width - 2 * frame) * (height - 2 * frame))
                      : likeness_psnr(a, b, width, height) == INFINITY;
    free(memory);
    return PF_OK;
}

void
likeness_halve(float *to, const float *from, int width, int height, int channels)
{
    static const float weight[3] = {0.25f, 0.5f, 0.25f};
    const int64_t row = 2 * (int64_t)width * channels;
    for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++)
            for (int c = 0; c < channels; c++) {
                float sum = 0;
                for (int k = 0; k < 9; k++) {
                    const int y = 2 * i + k / 3 - 1, x = 2 * j + k % 3 - 1;
                    sum += weight[k / 3] * weight[k % 3] *
                           from[(y < 0 ? 0 : y) * row + (x < 0 ? 0 : x) * channels + c];
                }
                to[((int64_t)i * width + j) * channels + c] = sum;
            }
}
