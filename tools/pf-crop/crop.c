/* crop.c - see crop.h.  Boxes have PIL's meaning: right and bottom are exclusive.  The photo is
 * read as it is stored, a row at a time, so that a large one takes little memory; what is left
 * of it after scaling is turned upright. */
#include "tools/pf-crop/crop.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct box {
    int left, top, right, bottom;
};

static int
width_of(struct box b)
{
    return b.right - b.left;
}

static int
height_of(struct box b)
{
    return b.bottom - b.top;
}

/* Half of n, rounded down also below zero: Python's n // 2. */
static int
half(int n)
{
    return (n - (n & 1)) / 2;
}

/* ---- orientation ---- */

static struct box
transpose(struct box b, const pf_photo *photo)
{
    if (pf_orientation_transposes(photo->orientation))
        return (struct box){b.top, b.left, b.bottom, b.right};
    return b;
}

static struct box
mirror(struct box b, const pf_photo *photo)
{
    struct box m = b;

    if (pf_orientation_mirrors_x(photo->orientation)) {
        m.left = photo->width - b.right;
        m.right = photo->width - b.left;
    }
    if (pf_orientation_mirrors_y(photo->orientation)) {
        m.top = photo->height - b.bottom;
        m.bottom = photo->height - b.top;
    }
    return m;
}

/* A box of the stored photo in the upright one, and back. */
static struct box
upright(struct box b, const pf_photo *photo)
{
    return transpose(mirror(b, photo), photo);
}

static struct box
stored(struct box b, const pf_photo *photo)
{
    return mirror(transpose(b, photo), photo);
}

/* ---- the object ---- */

struct search {
    const pf_photo *photo;
    int threshold;              /* of alpha in bytes: the object is above */
    struct box box;             /* of the object, as stored */
    int least;                  /* alpha of any pixel */
    int most;
};

static pf_err
search_row(void *user, uint8_t *row, int y)
{
    struct search *s = user;
    struct box *b = &s->box;

    for (int x = 0; x < s->photo->width; x++) {
        const int a = row[4 * x + 3];
        s->least = a < s->least ? a : s->least;
        s->most = a > s->most ? a : s->most;
        if (a <= s->threshold)
            continue;
        b->left = x < b->left ? x : b->left;
        b->right = x >= b->right ? x + 1 : b->right;
        b->top = y < b->top ? y : b->top;
        b->bottom = y + 1;
    }
    return PF_OK;
}

/* The box of all pixels that belong to the object, in the upright photo. */
static pf_err
find_object(struct box *object, const pf_photo *photo, const struct fit *fit)
{
    struct search s = {.photo = photo, .threshold = (int)(fit->alpha_threshold * 255),
                       .box = {INT_MAX, INT_MAX, 0, 0}, .least = 255};

    if (photo->channels == 4)
        PF_TRY(pf_photo_rows(photo, search_row, &s));
    if (photo->channels == 3 || (s.least > s.threshold && s.least > 127)) {     /* 255 or nearly */
        if (!fit->opaque)
            return pf_fail(PF_ESHAPE, "%s has no transparency: cut the object out first with "
                           "pf-cutout, or say --opaque to take the whole frame", photo->name);
        s.box = (struct box){0, 0, photo->width, photo->height};
    } else if (!s.most) {
        return pf_fail(PF_ESHAPE, "%s: the alpha channel is 0 everywhere, so there is no object",
                       photo->name);
    } else if (!s.box.right) {
        return pf_fail(PF_ESHAPE, "%s: alpha is nowhere above %g, so there is no object; the "
                       "highest is %.3f: --alpha-threshold", photo->name, fit->alpha_threshold,
                       s.most / 255.0);
    }
    *object = upright(s.box, photo);
    return PF_OK;
}

/* ---- the view ---- */

struct cut {
    const pf_photo *photo;
    struct box box;             /* as stored; what reaches out of the photo is transparent */
    uint8_t *row;               /* [width of the box, 4] */
    pf_resize *resize;
};

static pf_err
cut_row(void *user, uint8_t *row, int y)
{
    const struct cut *c = user;
    const int C = c->photo->channels;
    const int x0 = c->box.left > 0 ? c->box.left : 0;
    const int x1 = c->box.right < c->photo->width ? c->box.right : c->photo->width;

    if (y < c->box.top || y >= c->box.bottom)
        return PF_OK;
    for (int x = x0; x < x1; x++) {
        uint8_t *to = c->row + 4 * (size_t)(x - c->box.left);
        memcpy(to, row + (size_t)C * x, C);
        if (C == 3)
            to[3] = 255;
    }
    pf_resize_row(c->resize, c->row, y - c->box.top);
    return PF_OK;
}

/* The box of the upright photo, scaled to width x height: part [height, width, 4]. */
static pf_err
cut_out(pf_image *part, const pf_photo *photo, struct box b, int width, int height)
{
    const bool swap = pf_orientation_transposes(photo->orientation);
    struct cut c = {.photo = photo, .box = stored(b, photo)};
    pf_err err;

    if (!(c.row = calloc(width_of(c.box), 4)))
        return pf_fail(PF_ENOMEM, "no memory for a row of %d pixels", width_of(c.box));
    err = pf_resize_begin(&c.resize, width_of(c.box), height_of(c.box), 4, swap ? height : width,
                          swap ? width : height, swap);
    if (!err) {
        err = pf_photo_rows(photo, cut_row, &c);
        pf_resize_end(part, c.resize);
        if (!err)
            err = pf_image_turn(part, photo->orientation);
        if (err)
            pf_image_release(part);
    }
    free(c.row);
    return err;
}

/* Into the middle of a transparent square; what does not fit is clipped. */
static pf_err
center(pf_image *view, const pf_image *part, int side)
{
    const int left = half(side - part->width), top = half(side - part->height);
    const int x0 = left > 0 ? left : 0;
    const int x1 = left + part->width < side ? left + part->width : side;

    PF_TRY(pf_image_new(view, side, side, 4));
    for (int y = 0; y < side; y++)
        if (y >= top && y < top + part->height)
            memcpy(view->pixel + ((size_t)y * side + x0) * 4,
                   part->pixel + ((size_t)(y - top) * part->width + x0 - left) * 4,
                   (size_t)(x1 - x0) * 4);
    return PF_OK;
}

/* The object alone, its longer side crop_px pixels.  Its last row and column are cut off
 * (crop.md, 1): with them every pixel of the view would move by a fraction against what the
 * network was trained on. */
static pf_err
cut_object(pf_image *part, const pf_photo *photo, struct box b, int crop_px)
{
    if (width_of(b) == 1 && height_of(b) == 1)
        return pf_fail(PF_ESHAPE, "%s: the object covers 1 x 1 pixels, too few to be scaled to %d",
                       photo->name, crop_px);
    b.right -= width_of(b) > 1;
    b.bottom -= height_of(b) > 1;
    const int w = width_of(b), h = height_of(b);
    const double scale = (double)crop_px / (w > h ? w : h);
    const int width = (int)(scale * w), height = (int)(scale * h);  /* int(), as the original */
    return cut_out(part, photo, b, width > 1 ? width : 1, height > 1 ? height : 1);
}

/* The whole photo in the middle of a square of its longer side. */
static struct box
square_around(const pf_photo *photo)
{
    const struct box all = upright((struct box){0, 0, photo->width, photo->height}, photo);
    const int L = all.right > all.bottom ? all.right : all.bottom;
    const int left = -half(L - all.right), top = -half(L - all.bottom);

    return (struct box){left, top, left + L, top + L};
}

pf_err
fit_view(pf_image *view, bool *touches, const pf_photo *photo, const struct fit *fit)
{
    const int side = fit->side;
    pf_image part = {0};
    struct box object;

    *view = (pf_image){0};
    PF_TRY(find_object(&object, photo, fit));
    if (fit->crop_px > 0) {
        PF_TRY(cut_object(&part, photo, object, fit->crop_px));         // [h', w', 4]
        *touches = part.width >= side || part.height >= side;
    } else {
        const struct box frame = square_around(photo);
        PF_TRY(cut_out(&part, photo, frame, side, side));               // [S, S, 4]
        *touches = !fit->opaque && (object.left <= frame.left || object.right >= frame.right ||
                                    object.top <= frame.top || object.bottom >= frame.bottom);
    }
    const pf_err err = center(view, &part, side);                       // [S, S, 4]
    pf_image_release(&part);
    return err;
}

pf_err
composite_view(pf_tensor *image, pf_tensor *alpha, const pf_image *view)
{
    const int64_t H = view->height, W = view->width;
    pf_err err;

    *alpha = (pf_tensor){0};
    PF_TRY(PF_TENSOR_NEW(image, PF_F32, 3, H, W));
    if ((err = PF_TENSOR_NEW(alpha, PF_F32, H, W))) {
        pf_tensor_release(image);
        return err;
    }
    float *rgb = image->data, *a = alpha->data;
    for (int64_t i = 0; i < H * W; i++) {
        a[i] = view->pixel[i * 4 + 3] / 255.0f;
        for (int c = 0; c < 3; c++) {
            /* In this order: float32 as the original's. */
            const float v = view->pixel[i * 4 + c] / 255.0f * a[i] + 1.0f - a[i];
            rgb[c * H * W + i] = v * 2.0f - 1.0f;
        }
    }
    return PF_OK;
}
