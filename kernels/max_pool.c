/* max_pool.c - pf_max_pool: the largest of each size x size pixels, at every second one.
 *
 *   y[b, i, j] = max of x[b, 2 i - p .. 2 i - p + size - 1, 2 j - p .. 2 j - p + size - 1], as far
 *   as that is inside; p = (size - 1) / 2, rounded down
 *   y f32 [B, ceil(H / 2), ceil(W / 2), C]   x f32 [B, H, W, C]
 *
 * The reference's MaxPool2d(2, stride=2, ceil_mode=True), where an odd side's last window is half a
 * window, and MaxPool2d(3, stride=2, padding=1); size 1 is what a 1 x 1 convolution of stride 2
 * sees. */
#include <string.h>

#include "kernels/ops.h"

pf_err
pf_max_pool(pf_dev *dev, pf_tensor *y, const pf_tensor *x, int size)
{
    if (size < 1 || size > 3)
        return pf_fail(PF_EARG, "max_pool: a window of %d pixels is none of 1, 2 and 3", size);
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4,
                            (int64_t[]){x->dim[0], (x->dim[1] + 1) / 2, (x->dim[2] + 1) / 2,
                                        x->dim[3]}));
    return PF_DISPATCH(dev, pf_max_pool, y, x, size);
}

/* to[c] = the largest of to[c] and from[c].  A NaN is larger than all: the check behind the network
 * must see it. */
static void
take_larger(float *to, const float *from, int64_t C)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++)
        to[c] = from[c] > to[c] || from[c] != from[c] ? from[c] : to[c];
}

/* The window's first and last pixel on an axis. */
struct span {
    int64_t first, last;
};

static struct span
window(int64_t i, int size, int64_t pixels)
{
    const int64_t first = 2 * i - (size - 1) / 2, last = first + size - 1;
    return (struct span){first > 0 ? first : 0, last < pixels ? last : pixels - 1};
}

pf_err
pf_max_pool_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, int size)
{
    const int64_t H = x->dim[1], W = x->dim[2], C = x->dim[3], h = y->dim[1], w = y->dim[2];
    (void)dev;
#pragma omp parallel for if (h * w * C > 8192)
    for (int64_t r = 0; r < y->dim[0] * h; r++) {
        const struct span v = window(r % h, size, H);
        const float *const in = (const float *)x->data + r / h * H * W * C;
        float *out = (float *)y->data + r * w * C;
        for (int64_t j = 0; j < w; j++, out += C) {
            const struct span u = window(j, size, W);
            memcpy(out, in + (v.first * W + u.first) * C, (size_t)C * sizeof *out);
            for (int64_t i = v.first; i <= v.last; i++)
                for (int64_t k = u.first; k <= u.last; k++)
                    take_larger(out, in + (i * W + k) * C, C);
        }
    }
    return PF_OK;
}
