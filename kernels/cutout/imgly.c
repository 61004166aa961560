/* imgly.c - see imgly.h. */
#include "kernels/cutout/imgly.h"

#include <math.h>

/* Pixel i of the new axis lies at i n / m of the old one, with no half a pixel added: between the
 * whole numbers below and above. */
struct taps {
    int first, second;
    double t;
};

static struct taps
taps_of(int i, int from, int to)
{
    const double at = (double)i * from / to;
    const int first = (int)at, second = (int)ceil(at);
    return (struct taps){first, second < from ? second : from - 1, at - first};
}

/* Rounded half up. */
static void
resize(pf_image *to, const pf_image *from)
{
    const int C = from->channels;
#pragma omp parallel for
    for (int i = 0; i < to->height; i++) {
        const struct taps v = taps_of(i, from->height, to->height);
        const uint8_t *const above = from->pixel + (size_t)v.first * from->width * C;
        const uint8_t *const below = from->pixel + (size_t)v.second * from->width * C;
        uint8_t *out = to->pixel + (size_t)i * to->width * C;
        for (int j = 0; j < to->width; j++) {
            const struct taps u = taps_of(j, from->width, to->width);
            for (int c = 0; c < C; c++) {
                const int left = u.first * C + c, right = u.second * C + c;
                *out++ = (uint8_t)floor((1 - u.t) * (1 - v.t) * above[left] +
                                        u.t * (1 - v.t) * above[right] +
                                        (1 - u.t) * v.t * below[left] +
                                        u.t * v.t * below[right] + 0.5);
            }
        }
    }
}

pf_err
pf_imgly_shrink(float *to, const pf_image *photo, int S)
{
    pf_image small;
    PF_TRY(pf_image_new(&small, S, S, 3));
    resize(&small, photo);
    for (size_t i = 0; i < pf_image_bytes(&small); i++)
        to[i] = ((float)small.pixel[i] - 128) / 256;
    pf_image_release(&small);
    return PF_OK;
}

pf_err
pf_imgly_enlarge(pf_image *alpha, const pf_tensor *mask)
{
    const float *const m = mask->data;
    pf_image small;
    PF_TRY(pf_image_new(&small, (int)mask->dim[1], (int)mask->dim[0], 1));
    for (size_t i = 0; i < pf_image_bytes(&small); i++)
        small.pixel[i] = (uint8_t)(255 * m[i]);
    resize(alpha, &small);
    pf_image_release(&small);
    return PF_OK;
}
