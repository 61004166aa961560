/* epipolar.c - pf_plucker_tokens and pf_epipolar_mask: what SPAD's attention knows of the cameras.
 *
 *   y[v, 2 p + k]    = Pluecker coordinates of pixel p of camera k of pair v: 0 target, 1 input
 *   mask[v, (p, k)]  = bits (q, k) for every q; bits (q, 1 - k) where pixel q of the other camera
 *                      lies on the line that pixel p of camera k is there, three pixels wide;
 *                      (p, k) is the place of token 2 p + k in the order of strips.h
 *
 *   y f32 [V, 2hh, 6]   mask u32 [V, 2hh, ceil(2hh / 32)]   cameras f64 [V, 2, 4, 3]
 *
 * Both are made for side n.  At side h the map is the mean of the 2x2 pixels around the centre;
 * the mask is nearest on the flattened index: p and q count every (n / h)^2-th pixel
 * (cameras.md, 7: "spatially" would be right, but the network was trained so).  What a pixel
 * sees is in kernels/spad.h. */
#include "kernels/spad.h"
#include "kernels/ops.h"

_Static_assert(sizeof(struct pf_spad_camera) == 4 * 3 * sizeof(double),
               "a camera is [4, 3] of a tensor");

static pf_err
check(const char *op, const pf_tensor *cameras, int n, int h)
{
    PF_EXPECT(cameras, PF_F64, -1, 2, 4, 3);
    if (n < 1 || n > PF_SPAD_SIDE || h < 1 || n % h)
        return pf_fail(PF_ESHAPE, "%s: side %d does not divide side %d, which may be 1..%d", op, h,
                       n, PF_SPAD_SIDE);
    return PF_OK;
}

pf_err
pf_plucker_tokens(pf_dev *dev, pf_tensor *y, const pf_tensor *cameras, int n, int h)
{
    PF_TRY(check("plucker_tokens", cameras, n, h));
    PF_EXPECT(y, pf_dev_dtype(dev), cameras->dim[0], 2 * h * h, 6);
    return PF_DISPATCH(dev, pf_plucker_tokens, y, cameras, n, h);
}

pf_err
pf_epipolar_mask(pf_dev *dev, pf_tensor *mask, const pf_tensor *cameras, int n, int h)
{
    PF_TRY(check("epipolar_mask", cameras, n, h));
    PF_EXPECT(mask, PF_U32, cameras->dim[0], 2 * h * h, (2 * h * h + 31) / 32);
    return PF_DISPATCH(dev, pf_epipolar_mask, mask, cameras, n, h);
}

pf_err
pf_plucker_tokens_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *cameras, int n, int h)
{
    const struct pf_spad_camera *const camera = cameras->data;
    const int64_t T = 2 * h * h, count = y->dim[0] * T;
    float *const out = y->data;
    (void)dev;
#pragma omp parallel for if (count > 64)
    for (int64_t i = 0; i < count; i++)
        pf_spad_plucker_at(out + 6 * i, &camera[2 * (i / T) + i % 2], n, h, (int)(i % T / 2));
    return PF_OK;
}

/* The row of a token of this view, whose line in the other view is s. */
static void
mask_row(uint32_t *row, const struct pf_segment *s, int n, int h, int view)
{
    const int tokens = 2 * h * h, ratio = (n / h) * (n / h);
    for (int w = 0; w < (tokens + 31) / 32; w++)
        row[w] = pf_spad_own(w, h, view);
    for (int shift = 0; shift < PF_SPAD_SHIFTS; shift++) {
        const struct pf_line l = pf_spad_line(s, shift, n);
        for (int k = 0; k <= l.length; k++) {
            const int q = pf_spad_key(&l, k, ratio);
            if (q < 0)
                continue;
            const int key = pf_strip_place(2 * q + 1 - view, h);
            row[key / 32] |= UINT32_C(1) << key % 32;
        }
    }
}

pf_err
pf_epipolar_mask_cpu(pf_dev *dev, pf_tensor *mask, const pf_tensor *cameras, int n, int h)
{
    const int64_t T = mask->dim[1], words = mask->dim[2], ratio = (n / h) * (n / h),
                  count = mask->dim[0] * T;
    const struct pf_spad_camera *const camera = cameras->data;
    (void)dev;
#pragma omp parallel for if (count > 64)
    for (int64_t row = 0; row < count; row++) {
        const int token = pf_strip_token((int)(row % T), h), view = token % 2,
                  pixel = token / 2 * (int)ratio;
        const struct pf_spad_camera *const pair = &camera[2 * (row / T)], *src = &pair[view],
                                           *tgt = &pair[1 - view];
        const struct pf_segment s =
            pf_spad_segment(src, tgt, pf_spad_epipole(src, tgt, n), n, pixel);
        mask_row((uint32_t *)mask->data + row * words, &s, n, h, view);
    }
    return PF_OK;
}
