/* crop.c - see crop.h.  Boxes have PIL's meaning: right and bottom are exclusive. */
#include "tools/pf-crop/crop.h"

#include <limits.h>
#include <string.h>

struct box {
    int left, top, right, bottom;
};

/* Copy all channels of from to (left, top) of a canvas with as many, clipped; PIL's paste. */
static void
paste(pf_image *canvas, const pf_image *from, int left, int top)
{
    const int C = canvas->channels;
    const int x0 = left > 0 ? left : 0;
    const int x1 = left + from->width < canvas->width ? left + from->width : canvas->width;
    const int y0 = top > 0 ? top : 0;
    const int y1 = top + from->height < canvas->height ? top + from->height : canvas->height;

    for (int y = y0; y < y1 && x0 < x1; y++)
        memcpy(canvas->pixel + ((size_t)y * canvas->width + x0) * C,
               from->pixel + ((size_t)(y - top) * from->width + x0 - left) * C,
               (size_t)(x1 - x0) * C);
}

/* Half of n, rounded down also below zero: Python's n // 2. */
static int
half(int n)
{
    return (n - (n & 1)) / 2;
}

/* A zeroed canvas [height, width, C] with from in its middle. */
static pf_err
center_on(pf_image *canvas, const pf_image *from, int width, int height)
{
    PF_TRY(pf_image_new(canvas, width, height, from->channels));
    paste(canvas, from, half(width - from->width), half(height - from->height));
    return PF_OK;
}

/* Extreme indices of pixels that are not fully transparent. */
static pf_err
find_object(struct box *b, const pf_image *photo)
{
    *b = (struct box){INT_MAX, INT_MAX, -1, -1};
    for (int y = 0; y < photo->height; y++)
        for (int x = 0; x < photo->width; x++) {
            if (!photo->pixel[((size_t)y * photo->width + x) * 4 + 3])
                continue;
            b->left = x < b->left ? x : b->left;
            b->right = x > b->right ? x : b->right;
            b->top = y < b->top ? y : b->top;
            b->bottom = y;
        }
    if (b->right < 0)
        return pf_fail(PF_ESHAPE, "the alpha channel is 0 everywhere, so there is no object");
    return PF_OK;
}

/* The object alone [h', w', 4], its longer side crop_px pixels.  The extreme indices serve as an
 * exclusive box, which cuts off the object's last row and column (crop.md, 1): with them included every
 * pixel of the view would move by a fraction against what the network was trained on. */
static pf_err
crop_object(pf_image *object, const pf_image *photo, struct box b, int crop_px)
{
    const int w = b.right - b.left, h = b.bottom - b.top;
    const double scale = (double)crop_px / (w > h ? w : h);
    const int width = (int)(scale * w), height = (int)(scale * h);  /* int(), as the original */
    pf_image cut = {0};
    pf_err err;

    if (w == 0 || h == 0 || width == 0 || height == 0)
        return pf_fail(PF_ESHAPE, "the object covers %d x %d pixels, too few to be scaled to %d",
                       w + 1, h + 1, crop_px);
    PF_TRY(pf_image_new(&cut, w, h, 4));
    paste(&cut, photo, -b.left, -b.top);
    err = pf_image_resize(object, &cut, width, height);
    pf_image_release(&cut);
    return err;
}

pf_err
fit_view(pf_image *view, const pf_image *photo, int crop_px, int side)
{
    pf_image part = {0};
    struct box object;
    pf_err err;

    *view = (pf_image){0};
    if (crop_px > 0 && photo->channels != 4)
        return pf_fail(PF_ESHAPE, "there is no alpha channel to tell --crop-size where the object "
                       "is: cut the object out first, or fit the whole photo with --crop-size -1");
    if (photo->channels == 4)
        PF_TRY(find_object(&object, photo));
    if (crop_px > 0) {
        PF_TRY(crop_object(&part, photo, object, crop_px));         // [h', w', 4]
        err = center_on(view, &part, side, side);                   // [S, S, 4]
    } else {
        const int longer = photo->width > photo->height ? photo->width : photo->height;
        PF_TRY(center_on(&part, photo, longer, longer));            // [L, L, C]
        err = pf_image_resize(view, &part, side, side);             // [S, S, C]
    }
    pf_image_release(&part);
    return err;
}

pf_err
composite_view(pf_tensor *image, pf_tensor *alpha, const pf_image *view)
{
    const int64_t H = view->height, W = view->width, C = view->channels;
    pf_err err;

    *alpha = (pf_tensor){0};
    PF_TRY(PF_TENSOR_NEW(image, PF_F32, 3, H, W));
    if ((err = PF_TENSOR_NEW(alpha, PF_F32, H, W))) {
        pf_tensor_release(image);
        return err;
    }
    float *rgb = image->data, *a = alpha->data;
    for (int64_t i = 0; i < H * W; i++) {
        a[i] = C == 4 ? view->pixel[i * C + 3] / 255.0f : 1.0f;
        for (int c = 0; c < 3; c++) {
            float v = view->pixel[i * C + c] / 255.0f;
            if (C == 4)
                v = v * a[i] + 1.0f - a[i];     /* in this order: float32 as the original's */
            rgb[c * H * W + i] = v * 2.0f - 1.0f;
        }
    }
    return PF_OK;
}
