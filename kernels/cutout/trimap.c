/* trimap.c - see trimap.h. */
#include "kernels/cutout/trimap.h"

#include <stdlib.h>
#include <string.h>

struct map {
    int width, height;
    uint8_t *pixel;             /* [H, W], 0 or 1 */
};

/* to[i] = 1 where any of from[i - radius .. i + radius] is; the window's sum is kept up to date. */
static void
grow_row(uint8_t *to, const uint8_t *from, int n, int radius)
{
    int inside = 0;
    for (int i = 0; i < n && i < radius; i++)
        inside += from[i];
    for (int i = 0; i < n; i++) {
        if (i + radius < n)
            inside += from[i + radius];
        if (i - radius - 1 >= 0)
            inside -= from[i - radius - 1];
        to[i] = inside > 0;
    }
}

static void
count_row(int *inside, const uint8_t *row, int width, int sign)
{
    for (int j = 0; j < width; j++)
        inside[j] += sign * row[j];
}

/* The same down the columns, all of them at once. */
static void
grow_columns(const struct map *to, const uint8_t *from, int *inside, int radius)
{
    const int W = to->width, H = to->height;
    memset(inside, 0, (size_t)W * sizeof *inside);
    for (int i = 0; i < H && i < radius; i++)
        count_row(inside, from + (size_t)i * W, W, 1);
    for (int i = 0; i < H; i++) {
        if (i + radius < H)
            count_row(inside, from + (size_t)(i + radius) * W, W, 1);
        if (i - radius - 1 >= 0)
            count_row(inside, from + (size_t)(i - radius - 1) * W, W, -1);
        for (int j = 0; j < W; j++)
            to->pixel[(size_t)i * W + j] = inside[j] > 0;
    }
}

/* Dilate by a square of 2 radius + 1 pixels; what is outside the picture is 0. */
static pf_err
grow(const struct map *map, int radius)
{
    const int W = map->width, H = map->height;
    uint8_t *const rows = malloc((size_t)W * H);
    int *const inside = malloc((size_t)W * sizeof *inside);
    const bool there = rows && inside;
    for (int i = 0; i < H && there; i++)
        grow_row(rows + (size_t)i * W, map->pixel + (size_t)i * W, W, radius);
    if (there)
        grow_columns(map, rows, inside, radius);
    free(rows);
    free(inside);
    return there ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a trimap of %d x %d pixels", W, H);
}

/* The dilated object becomes unknown, then what is neither 0 nor above the threshold, then what is
 * of the object but near a pixel that is not: eroding is dilating the rest. */
static pf_err
fill(pf_image *trimap, const struct map *map, const pf_image *mask, int threshold, int dilation,
     int erosion)
{
    const size_t n = pf_image_bytes(mask);
    uint8_t *const t = trimap->pixel;
    for (size_t i = 0; i < n; i++)
        map->pixel[i] = mask->pixel[i] > threshold;
    PF_TRY(grow(map, dilation));
    for (size_t i = 0; i < n; i++) {
        const bool object = mask->pixel[i] > threshold;
        t[i] = object ? 255 : map->pixel[i] || mask->pixel[i] > 0 ? PF_UNKNOWN : 0;
        map->pixel[i] = !object;
    }
    PF_TRY(grow(map, erosion));
    for (size_t i = 0; i < n; i++)
        if (t[i] == 255 && map->pixel[i])
            t[i] = PF_UNKNOWN;
    return PF_OK;
}

pf_err
pf_trimap(pf_image *trimap, const pf_image *mask, int threshold, int dilation, int erosion)
{
    if (mask->channels != 1 || dilation < 0 || erosion < 0)
        return pf_fail(PF_EARG, "a trimap is made of one channel, with sizes of 0 or more");
    PF_TRY(pf_image_new(trimap, mask->width, mask->height, 1));
    const struct map map = {mask->width, mask->height, malloc(pf_image_bytes(mask))};
    const pf_err err = map.pixel ? fill(trimap, &map, mask, threshold, dilation, erosion)
                                 : pf_fail(PF_ENOMEM, "no memory for a trimap");
    free(map.pixel);
    if (err)
        pf_image_release(trimap);
    return err;
}
