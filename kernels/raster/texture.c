/* texture.c - a texture's picture: from the mesh's folder, or from within the file. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/image.h"
#include "kernels/raster/color.h"
#include "kernels/raster/scene.h"

/* RGBA of any picture. */
static pf_err
widen(pf_image *image)
{
    const int64_t n = (int64_t)image->width * image->height;
    const int C = image->channels;
    pf_image wide;
    if (C == 4)
        return PF_OK;
    PF_TRY(pf_image_new(&wide, image->width, image->height, 4));
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++)
            wide.pixel[4 * i + k] = image->pixel[C * i + (C == 1 ? 0 : k)];
        wide.pixel[4 * i + 3] = 255;
    }
    pf_image_release(image);
    *image = wide;
    return PF_OK;
}

/* Half as long sides, where they are longer than 1: means of light, and of alpha.  In place. */
static void
halve(pf_image *image, const struct pf_srgb *srgb)
{
    const int W = image->width, H = image->height, w = W > 1 ? W / 2 : 1, h = H > 1 ? H / 2 : 1;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            float sum[4] = {0};
            for (int i = 0; i < 4; i++) {
                const int v = 2 * y + i / 2 < H ? 2 * y + i / 2 : H - 1;
                const int u = 2 * x + i % 2 < W ? 2 * x + i % 2 : W - 1;
                const uint8_t *const p = image->pixel + 4 * ((size_t)v * W + u);
                for (int k = 0; k < 4; k++)
                    sum[k] += k < 3 ? srgb->linear[p[k]] : p[k];
            }
            uint8_t *const to = image->pixel + 4 * ((size_t)y * w + x);
            for (int k = 0; k < 4; k++)
                to[k] = (uint8_t)(k < 3 ? pf_srgb_byte(srgb, sum[k] / 4)
                                        : (int)(sum[k] / 4 + 0.5f));
        }
    image->width = w;
    image->height = h;
}

/* B, G, R, A as assimp has texels, [H, W, 4]. */
static pf_err
from_texels(pf_image *image, const pf_tensor *t)
{
    if (t->dim[2] != 4 || t->dim[0] > PF_IMAGE_MAX_SIDE || t->dim[1] > PF_IMAGE_MAX_SIDE)
        return pf_fail(PF_EFORMAT, "its sides are out of range");
    PF_TRY(pf_image_new(image, (int)t->dim[1], (int)t->dim[0], 4));
    const uint8_t *const from = t->data;
    for (size_t i = 0; i < pf_image_bytes(image); i++)
        image->pixel[i] = from[i / 4 * 4 + (i % 4 == 3 ? 3 : 2 - i % 4)];
    return PF_OK;
}

static pf_err
read_picture(pf_image *image, const pf_doc *doc, int number, const char *path)
{
    char key[32], resolved[PATH_MAX];
    snprintf(key, sizeof key, "texture.%d", number);
    const pf_tensor *const t = pf_doc_get(doc, key);
    const char *const name = pf_doc_get_meta(doc, key);
    if (t && (t->dtype != PF_U8 || (t->ndim != 1 && t->ndim != 3)))
        return pf_fail(PF_EFORMAT, "%s: its texture %d is no picture", path, number);
    if (!t) {
        PF_TRY(pf_scene_resolve(resolved, path, name));
        return pf_image_read_stored(image, resolved);
    }
    const pf_err err = t->ndim == 3
                           ? from_texels(image, t)
                           : pf_image_read_memory(image, t->data, pf_tensor_bytes(t), key);
    return err ? pf_fail_in(err, "%s", path) : PF_OK;
}

pf_err
pf_scene_texture(pf_image *image, const pf_doc *doc, int number, const char *path, int side)
{
    struct pf_srgb srgb;
    *image = (pf_image){0};
    PF_TRY(read_picture(image, doc, number, path));
    const pf_err err = widen(image);
    if (err) {
        pf_image_release(image);
        return err;
    }
    pf_srgb_fill(&srgb);
    while (image->width > side || image->height > side)
        halve(image, &srgb);
    return PF_OK;
}
