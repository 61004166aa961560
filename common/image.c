/* image.c - memory for pictures; whole pictures from files and to files. */
#include "common/image.h"

#include <stdlib.h>
#include <string.h>

#include "common/output.h"

pf_err
pf_image_new(pf_image *image, int width, int height, int channels)
{
    *image = (pf_image){0};
    if (channels != 1 && channels != 3 && channels != 4)
        return pf_fail(PF_ESHAPE, "a picture has 1, 3 or 4 channels, not %d", channels);
    if (width < 1 || height < 1 || width > PF_IMAGE_MAX_SIDE || height > PF_IMAGE_MAX_SIDE ||
        (int64_t)width * height > PF_IMAGE_MAX_PIXELS)
        return pf_fail(PF_ESHAPE, "%d x %d pixels, expected 1 to %d a side and at most %d in all",
                       width, height, PF_IMAGE_MAX_SIDE, PF_IMAGE_MAX_PIXELS);
    image->pixel = calloc((size_t)width * height, channels);
    if (!image->pixel)
        return pf_fail(PF_ENOMEM, "no memory for %d x %d pixels", width, height);
    image->width = width;
    image->height = height;
    image->channels = channels;
    return PF_OK;
}

void
pf_image_release(pf_image *image)
{
    free(image->pixel);
    *image = (pf_image){0};
}

pf_err
pf_image_turn(pf_image *image, int orientation)
{
    const int w = image->width, h = image->height, C = image->channels;
    const bool transposed = pf_orientation_transposes(orientation);
    pf_image to;

    if (orientation == 1)
        return PF_OK;
    PF_TRY(pf_image_new(&to, transposed ? h : w, transposed ? w : h, C));
    for (int y = 0; y < to.height; y++)
        for (int x = 0; x < to.width; x++) {
            int u = transposed ? y : x, v = transposed ? x : y;     /* in the stored picture */
            u = pf_orientation_mirrors_x(orientation) ? w - 1 - u : u;
            v = pf_orientation_mirrors_y(orientation) ? h - 1 - v : v;
            memcpy(to.pixel + ((size_t)y * to.width + x) * C,
                   image->pixel + ((size_t)v * w + u) * C, C);
        }
    pf_image_release(image);
    *image = to;
    return PF_OK;
}

static _Thread_local char last_note[sizeof ((pf_photo *)0)->note];
static _Thread_local bool last_lossy;

bool
pf_image_lossy(void)
{
    return last_lossy;
}

const char *
pf_image_note(void)
{
    return last_note;
}

static pf_err
keep_row(void *user, uint8_t *row, int y)
{
    const pf_image *image = user;
    const size_t stride = (size_t)image->width * image->channels;

    memcpy(image->pixel + y * stride, row, stride);
    return PF_OK;
}

pf_err
pf_photo_whole(pf_image *image, const pf_photo *photo)
{
    pf_err err;

    if ((err = pf_image_new(image, photo->width, photo->height, photo->channels)) ||
        (err = pf_photo_rows(photo, keep_row, image)) ||
        (err = pf_image_turn(image, photo->orientation)))
        pf_image_release(image);
    return err;
}

/* All of the photo, which was opened with this result and is closed. */
static pf_err
read_whole(pf_image *image, pf_photo *photo, pf_err opened)
{
    *image = (pf_image){0};
    memcpy(last_note, photo->note, sizeof last_note);
    last_lossy = photo->lossy;
    if (opened)
        return opened;
    const pf_err err = pf_photo_whole(image, photo);
    pf_photo_close(photo);
    return err;
}

static pf_err
read_file(pf_image *image, const char *path, bool upright)
{
    pf_photo photo;
    const pf_err opened = pf_photo_open(&photo, path);
    if (!opened && !upright)
        photo.orientation = 1;
    PF_TRY(read_whole(image, &photo, opened));
    if (last_note[0])
        pf_warn("%s", last_note);
    return PF_OK;
}

pf_err
pf_image_read(pf_image *image, const char *path)
{
    return read_file(image, path, true);
}

pf_err
pf_image_read_stored(pf_image *image, const char *path)
{
    return read_file(image, path, false);
}

pf_err
pf_image_read_memory(pf_image *image, const void *bytes, size_t size, const char *name)
{
    pf_photo photo;
    return read_whole(image, &photo, pf_photo_open_memory(&photo, bytes, size, name));
}

pf_err
pf_image_save_png(const pf_image *image, const char *path)
{
    pf_output *out;
    pf_err err;

    PF_TRY(pf_output_open(&out, path));
    if ((err = pf_image_write_png(image, pf_output_file(out)))) {
        pf_output_abandon(out);
        return pf_fail_in(err, "%s", path);
    }
    return pf_output_close(out);
}
