/* bilinear.c - pf_bilinear, pf_bilinear_corners: resize to any size, without antialiasing.
 *
 *   y[b, i, j] = the plane through the four pixels of x around (v(i), u(j))
 *   bilinear          v(i) = (i + 0.5) H / H' - 0.5
 *   bilinear_corners  v(i) = i (H - 1) / (H' - 1), 0 where H' = 1
 *   y f32 [B, H', W', C]   x f32 [B, H, W, C]
 *
 * The reference's interpolate(mode="bilinear") with align_corners=False and True: positions before
 * the first pixel's centre or behind the last one's take that pixel. */
#include "kernels/ops.h"

struct taps {                   /* value = from[first] (1 - t) + from[second] t */
    int64_t first, second;
    float t;
};

static struct taps
taps_of(int64_t i, int64_t from, int64_t to, bool corners)
{
    const float ends = to > 1 ? (float)(from - 1) / (float)(to - 1) : 0;
    const float at = corners ? ends * (float)i
                             : (float)from / (float)to * ((float)i + 0.5f) - 0.5f;
    const int64_t below = at > 0 ? (int64_t)at : 0, first = below < from ? below : from - 1;
    return (struct taps){first, first + (first + 1 < from), at > 0 ? at - (float)first : 0};
}

static pf_err
check(pf_dev *dev, const pf_tensor *y, const pf_tensor *x)
{
    const pf_dtype type = x->dtype == PF_F32 ? PF_F32 : pf_dev_dtype(dev);
    PF_TRY(pf_tensor_expect(x, "x", type, 4, (int64_t[]){-1, -1, -1, -1}));
    PF_TRY(pf_tensor_expect(y, "y", type, 4, (int64_t[]){x->dim[0], -1, -1, x->dim[3]}));
    if (pf_tensor_count(y) && !pf_tensor_count(x))
        return pf_fail(PF_ESHAPE, "bilinear: x has no pixels");
    return PF_OK;
}

pf_err
pf_bilinear(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(check(dev, y, x));
    return PF_DISPATCH(dev, pf_bilinear, y, x);
}

pf_err
pf_bilinear_corners(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(check(dev, y, x));
    return PF_DISPATCH(dev, pf_bilinear_corners, y, x);
}

static void
resize(pf_tensor *y, const pf_tensor *x, bool corners)
{
    const int64_t H = x->dim[1], W = x->dim[2], C = x->dim[3], h = y->dim[1], w = y->dim[2];
#pragma omp parallel for if (h * w * C > 8192)
    for (int64_t r = 0; r < y->dim[0] * h; r++) {
        const struct taps v = taps_of(r % h, H, h, corners);
        const float *const in = (const float *)x->data + r / h * H * W * C;
        const float *const above = in + v.first * W * C, *const below = in + v.second * W * C;
        float *out = (float *)y->data + r * w * C;
        for (int64_t j = 0; j < w; j++, out += C) {
            const struct taps u = taps_of(j, W, w, corners);
            const int64_t left = u.first * C, right = u.second * C;
#pragma omp simd
            for (int64_t c = 0; c < C; c++)
                out[c] = (1 - v.t) * ((1 - u.t) * above[left + c] + u.t * above[right + c]) +
                         v.t * ((1 - u.t) * below[left + c] + u.t * below[right + c]);
        }
    }
}

pf_err
pf_bilinear_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    (void)dev;
    resize(y, x, false);
    return PF_OK;
}

pf_err
pf_bilinear_corners_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    (void)dev;
    resize(y, x, true);
    return PF_OK;
}
