/* image.c - memory for pictures, and reading them from files and pipes whatever their format. */
#include "common/image.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/output.h"
#include "common/text.h"

static const size_t MAX_FILE = (size_t)1 << 30;

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

/* Everything up to the end of the file; *bytes is owned by the caller, also on failure. */
static pf_err
slurp(uint8_t **bytes, size_t *size, FILE *from)
{
    size_t room = 0;

    do {
        if (*size == room) {
            if (room >= MAX_FILE)
                return pf_fail(PF_EFORMAT, "larger than %zu bytes, too large for a picture",
                               MAX_FILE);
            room = room ? 2 * room : 1 << 16;
            uint8_t *more = realloc(*bytes, room);
            if (!more)
                return pf_fail(PF_ENOMEM, "no memory for %zu bytes of picture", room);
            *bytes = more;
        }
        *size += fread(*bytes + *size, 1, room - *size, from);
    } while (!feof(from) && !ferror(from));
    return ferror(from) ? pf_fail(PF_EIO, "%s", strerror(errno)) : PF_OK;
}

pf_err
pf_image_read(pf_image *image, const char *path)
{
    const bool standard = !strcmp(path, "-");
    const char *name = pf_file_title(path);
    uint8_t *bytes = NULL;
    size_t size = 0;
    FILE *from = standard ? stdin : fopen(path, "rb");
    pf_err err;

    *image = (pf_image){0};
    if (!from)
        return pf_fail(PF_EIO, "%s: %s", name, strerror(errno));
    if ((err = slurp(&bytes, &size, from)))
        err = pf_fail_in(err, "%s", name);
    else
        err = pf_image_read_memory(image, bytes, size, name);
    if (!standard)
        fclose(from);
    free(bytes);
    return err;
}

static bool
starts_with(const void *bytes, size_t size, const char *magic, size_t n)
{
    return size >= n && !memcmp(bytes, magic, n);
}

pf_err
pf_image_read_memory(pf_image *image, const void *bytes, size_t size, const char *name)
{
    pf_err err;

    *image = (pf_image){0};
    if (size > MAX_FILE)
        return pf_fail(PF_EFORMAT, "%s is larger than %zu bytes, too large for a picture", name,
                       MAX_FILE);
    if (starts_with(bytes, size, "\x89PNG\r\n\x1a\n", 8))
        err = pf_image_decode_png(image, bytes, size);
    else if (starts_with(bytes, size, "\xff\xd8\xff", 3))
        err = pf_image_decode_jpeg(image, bytes, size);
    else if (starts_with(bytes, size, "RIFF", 4) && size >= 12 &&
             !memcmp((const char *)bytes + 8, "WEBP", 4))
        err = pf_image_decode_webp(image, bytes, size);
    else
        return pf_fail(PF_EFORMAT, "%s is %s", name,
                       size ? "neither a PNG nor a JPEG nor a WebP picture" : "empty");
    return err ? pf_fail_in(err, "%s", name) : PF_OK;
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
