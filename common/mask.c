/* mask.c - see mask.h. */
#include "common/mask.h"

#include <stdbool.h>

void
pf_image_on_white(uint8_t *rgb, float *alpha, const pf_image *image, int x, int width)
{
    const int C = image->channels;

    for (int v = 0; v < image->height; v++)
        for (int u = 0; u < width; u++) {
            const uint8_t *p = image->pixel + ((size_t)v * image->width + x + u) * C;
            const size_t i = (size_t)v * width + u;
            const int a = C == 4 ? p[3] : 255;
            alpha[i] = a / 255.0f;
            for (int c = 0; c < 3; c++)
                rgb[3 * i + c] = (uint8_t)((p[c] * a + 255 * (255 - a) + 127) / 255);
        }
}

void
pf_blend_on_white(uint8_t *rgb, const float *alpha, int64_t pixels)
{
    for (int64_t i = 0; i < 3 * pixels; i++)
        rgb[i] = (uint8_t)(alpha[i / 3] * rgb[i] + (1 - alpha[i / 3]) * 255 + 0.5f);
}

static bool
is_grey(const pf_image *image)
{
    for (size_t i = 0; image->channels == 3 && i < pf_image_bytes(image); i += 3)
        if (image->pixel[i] != image->pixel[i + 1] || image->pixel[i] != image->pixel[i + 2])
            return false;
    return image->channels == 3;
}

pf_err
pf_mask_read(float *alpha, const char *path, int width, int height)
{
    pf_image mask;
    pf_err err = PF_OK;

    PF_TRY(pf_image_read(&mask, path));
    const int C = mask.channels;
    if (mask.width != width || mask.height != height)
        err = pf_fail(PF_ESHAPE, "%s is %d x %d pixels, expected %d x %d as the views", path,
                      mask.width, mask.height, width, height);
    else if (C != 4 && !is_grey(&mask))
        err = pf_fail(PF_ESHAPE, "%s is neither grey nor has it an alpha channel", path);
    for (int i = 0; !err && i < width * height; i++)
        alpha[i] = mask.pixel[(size_t)i * C + C - 1] / 255.0f;
    pf_image_release(&mask);
    return err;
}
