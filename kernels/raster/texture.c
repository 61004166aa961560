/* texture.c - a texture's picture, from the mesh's folder or from within the file, row by row into
 * as many texels as are of use: a small file can hold a very large picture. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/image.h"
#include "kernels/raster/color.h"
#include "kernels/raster/scene.h"

struct shrink {
    struct pf_srgb srgb;
    pf_image *to;               /* RGBA */
    int width, height, channels, shift;         /* of the picture; 2^shift pixels a side a texel */
    float *sum;                 /* [to->width, 4]: light and alpha of the row of texels */
    int *n;                     /* [to->width]: pixels in it */
};

/* Sides are halved shift times, but not below 1; what is left over at the end is dropped. */
static int
shrunk(int side, int shift)
{
    return side >> shift ? side >> shift : 1;
}

static pf_err
shrink_begin(struct shrink *s, pf_image *to, int width, int height, int channels, int side)
{
    *s = (struct shrink){.to = to, .width = width, .height = height, .channels = channels};
    while (shrunk(width, s->shift) > side || shrunk(height, s->shift) > side)
        s->shift++;
    pf_srgb_fill(&s->srgb);
    const int w = shrunk(width, s->shift);
    PF_TRY(pf_image_new(to, w, shrunk(height, s->shift), 4));
    s->sum = calloc((size_t)w, 4 * sizeof *s->sum);
    s->n = calloc((size_t)w, sizeof *s->n);
    return s->sum && s->n ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a texture");
}

static void
put_row(struct shrink *s, int y)
{
    for (int x = 0; x < s->to->width; x++) {
        uint8_t *const to = s->to->pixel + 4 * ((size_t)y * s->to->width + x);
        for (int k = 0; k < 4; k++) {
            const float mean = s->sum[4 * x + k] / (float)s->n[x];
            to[k] = (uint8_t)(k < 3 ? pf_srgb_byte(&s->srgb, mean) : (int)(mean + 0.5f));
        }
    }
    memset(s->sum, 0, 4 * sizeof *s->sum * (size_t)s->to->width);
    memset(s->n, 0, sizeof *s->n * (size_t)s->to->width);
}

static pf_err
shrink_row(void *user, uint8_t *row, int y)
{
    struct shrink *const s = user;
    const int at = y >> s->shift, C = s->channels;
    if (at >= s->to->height)
        return PF_OK;
    for (int x = 0; x < s->width && x >> s->shift < s->to->width; x++) {
        const uint8_t *const p = row + (size_t)C * x;
        float *const sum = s->sum + 4 * (x >> s->shift);
        for (int k = 0; k < 3; k++)
            sum[k] += s->srgb.linear[p[k]];
        sum[3] += C == 4 ? p[3] : 255;
        s->n[x >> s->shift]++;
    }
    if (y + 1 == s->height || (y + 1) >> s->shift > at)
        put_row(s, at);
    return PF_OK;
}

/* B, G, R, A as assimp has texels, [H, W, 4]. */
static pf_err
from_texels(struct shrink *s, pf_image *to, const pf_tensor *t, int side)
{
    const int64_t H = t->dim[0], W = t->dim[1];
    if (t->dim[2] != 4 || H < 1 || H > PF_IMAGE_MAX_SIDE || W < 1 || W > PF_IMAGE_MAX_SIDE)
        return pf_fail(PF_EFORMAT, "its sides are out of range");
    PF_TRY(shrink_begin(s, to, (int)W, (int)H, 4, side));
    uint8_t *const row = malloc(4 * (size_t)W);
    pf_err err = row ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a texture");
    for (int64_t y = 0; y < H && !err; y++) {
        const uint8_t *const from = (const uint8_t *)t->data + 4 * W * y;
        for (int64_t i = 0; i < 4 * W; i++)
            row[i] = from[i % 4 == 3 ? i : i / 4 * 4 + 2 - i % 4];
        err = shrink_row(s, row, (int)y);
    }
    free(row);
    return err;
}

static pf_err
from_photo(struct shrink *s, pf_image *to, const pf_photo *photo, int side)
{
    PF_TRY(shrink_begin(s, to, photo->width, photo->height, photo->channels, side));
    return pf_photo_rows(photo, shrink_row, s);
}

static pf_err
read_texture(struct shrink *s, pf_image *to, const pf_doc *doc, int number, const char *path,
             int side)
{
    char key[32], resolved[PATH_MAX];
    pf_photo photo;
    snprintf(key, sizeof key, "texture.%d", number);
    const pf_tensor *const t = pf_doc_get(doc, key);
    if (t && (t->dtype != PF_U8 || (t->ndim != 1 && t->ndim != 3)))
        return pf_fail(PF_EFORMAT, "%s is no picture", key);
    if (t && t->ndim == 3)
        return from_texels(s, to, t, side);
    if (t)
        PF_TRY(pf_photo_open_memory(&photo, t->data, pf_tensor_bytes(t), key));
    else {
        PF_TRY(pf_scene_resolve(resolved, path, pf_doc_get_meta(doc, key)));
        PF_TRY(pf_photo_open(&photo, resolved));
    }
    const pf_err err = from_photo(s, to, &photo, side);
    pf_photo_close(&photo);
    return err;
}

pf_err
pf_scene_texture(pf_image *image, const pf_doc *doc, int number, const char *path, int side)
{
    struct shrink s = {0};
    *image = (pf_image){0};
    const pf_err err = read_texture(&s, image, doc, number, path, side);
    free(s.sum);
    free(s.n);
    if (err)
        pf_image_release(image);
    return err;
}
