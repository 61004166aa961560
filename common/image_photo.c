/* image_photo.c - pictures from files and pipes, row by row, whatever their format. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/image_format.h"
#include "common/kind.h"
#include "common/slurp.h"
#include "common/text.h"

static const size_t MAX_FILE = (size_t)1 << 30;

/* ---- formats ---- */

static bool
has(const pf_photo *photo, size_t at, const char *bytes, size_t n)
{
    return photo->size >= at + n && !memcmp(photo->bytes + at, bytes, n);
}

/* As a word of the shell: 'it'\''s'.  A name that is too long is cut. */
static void
quote(char *to, size_t size, const char *name)
{
    size_t n = 0;

    to[n++] = '\'';
    for (; *name && n + 6 < size; name++) {
        if (*name == '\'')
            n += (size_t)sprintf(to + n, "'\\'");
        to[n++] = *name;
    }
    strcpy(to + n, "'");
}

/* A file that is none of ours: named if it can be, with the command that helps. */
static pf_err
refuse(const pf_photo *photo)
{
    const struct pf_kind *const kind = pf_kind_of(photo->bytes, photo->size);
    char quoted[512], command[600];
    const char *const name = strcmp(photo->name, "stdin") ? photo->name : "photo";

    if (!photo->size)
        return pf_fail_empty(photo->name);
    if (!kind)
        return pf_fail(PF_EFORMAT, "%s is neither a PNG nor a JPEG nor a WebP picture",
                       photo->name);
    if (!kind->command) {
        const pf_err err = pf_kind_fail(kind, "a picture");
        return pf_fail(err, "%s %s", photo->name, pf_error());
    }
    quote(quoted, sizeof quoted, name);
    snprintf(command, sizeof command, kind->command, quoted);
    return pf_fail(PF_EFORMAT, "%s is %s%s; PNG, JPEG and WebP are read: %s", photo->name,
                   kind->what, kind->advice ? ", not a picture" : "", command);
}

static const struct pf_image_format *
format_of(const pf_photo *photo)
{
    if (has(photo, 0, "\x89PNG\r\n\x1a\n", 8))
        return &pf_image_png;
    if (has(photo, 0, "\xff\xd8\xff", 3))
        return &pf_image_jpeg;
    return has(photo, 0, "RIFF", 4) && has(photo, 8, "WEBP", 4) ? &pf_image_webp : NULL;
}

/* ---- open ---- */

static bool
may_be_picture(const uint8_t *bytes, size_t size)
{
    return format_of(&(pf_photo){.bytes = bytes, .size = size});
}

pf_err
pf_photo_check_promise(const pf_photo *photo, uint64_t width, uint64_t height, uint64_t per_byte)
{
    enum { FREE = 1 << 22 };
    if (width * height <= FREE + per_byte * photo->size)
        return PF_OK;
    return pf_fail(PF_EFORMAT, "the file is truncated: %llu x %llu pixels do not fit in %zu bytes",
                   (unsigned long long)width, (unsigned long long)height, photo->size);
}

void
pf_photo_remark(pf_photo *photo, const char *clause)
{
    const size_t n = strlen(photo->note);

    if (n)
        snprintf(photo->note + n, sizeof photo->note - n, "; %s", clause);
    else        /* a long name is cut, so that the clause is not */
        snprintf(photo->note, sizeof photo->note, "%.100s: %s", photo->name, clause);
}

/* The head of a photo whose bytes are there.  On failure it is closed. */
static pf_err
open_bytes(pf_photo *photo)
{
    pf_err err;

    if (photo->size > MAX_FILE)
        err = pf_fail(PF_EFORMAT, "%s is larger than %zu bytes, too large for a picture",
                      photo->name, MAX_FILE);
    else if (!(photo->format = format_of(photo)))
        err = refuse(photo);
    else if ((err = photo->format->head(photo)))
        err = pf_fail_in(err, "%s", photo->name);
    else if (photo->width < 1 || photo->height < 1 || photo->width > PF_IMAGE_MAX_SIDE ||
             photo->height > PF_IMAGE_MAX_SIDE ||
             (int64_t)photo->width * photo->height > PF_IMAGE_MAX_PIXELS)
        err = pf_fail(PF_EFORMAT, "%s: %d x %d pixels, expected 1 to %d a side and at most %d in "
                      "all", photo->name, photo->width, photo->height, PF_IMAGE_MAX_SIDE,
                      PF_IMAGE_MAX_PIXELS);
    if (err)
        pf_photo_close(photo);
    return err;
}

pf_err
pf_photo_open(pf_photo *photo, const char *path)
{
    const bool standard = !strcmp(path, "-");
    FILE *from = standard ? stdin : fopen(path, "rb");
    pf_err err;

    *photo = (pf_photo){.name = pf_file_title(path), .orientation = 1};
    if (!from)
        return pf_fail(PF_EIO, "%s: %s", photo->name, strerror(errno));
    err = pf_slurp(&photo->owned, &photo->size, from, MAX_FILE, may_be_picture);
    photo->bytes = photo->owned;
    if (err) {
        err = pf_fail_in(err, "%s", photo->name);
        pf_photo_close(photo);
    } else {
        err = open_bytes(photo);
    }
    if (!standard)
        fclose(from);
    return err;
}

pf_err
pf_photo_open_memory(pf_photo *photo, const void *bytes, size_t size, const char *name)
{
    *photo = (pf_photo){.name = name, .orientation = 1, .bytes = bytes, .size = size};
    return open_bytes(photo);
}

void
pf_photo_close(pf_photo *photo)
{
    pf_color_release(photo);
    free(photo->owned);
    *photo = (pf_photo){0};
}

/* ---- rows ---- */

struct colored {
    const pf_photo *photo;
    pf_photo_sink *sink;
    void *user;
    pf_err sunk;                /* what the sink said: its sentence is not about the file */
};

static pf_err
color_row(void *user, uint8_t *row, int y)
{
    struct colored *c = user;

    if (c->photo->color)
        pf_color_apply(c->photo, row);
    return c->sunk = c->sink(c->user, row, y);
}

pf_err
pf_photo_rows(const pf_photo *photo, pf_photo_sink *sink, void *user)
{
    struct colored c = {.photo = photo, .sink = sink, .user = user};
    const pf_err err = photo->format->rows(photo, color_row, &c);

    return err && !c.sunk ? pf_fail_in(err, "%s", photo->name) : err;
}

size_t pf_photo_band = 150000000;

int
pf_photo_band_rows(const pf_photo *photo, int y)
{
    const size_t fit = pf_photo_band / ((size_t)photo->width * photo->channels) + 1;
    const int left = photo->height - y;
    return fit < (size_t)left ? (int)fit : left;
}

/* ---- EXIF ---- */

static uint32_t
number(const uint8_t *p, int n, bool big)
{
    uint32_t v = 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | p[big ? i : n - 1 - i];
    return v;
}

int
pf_exif_orientation(const uint8_t *exif, size_t size)
{
    enum { ORIENTATION = 0x112, SHORT = 3, LONG = 4, ENTRY = 12 };

    if (size >= 6 && !memcmp(exif, "Exif\0", 5)) {
        exif += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(exif, "II*\0", 4) && memcmp(exif, "MM\0*", 4)))
        return 1;
    const bool big = exif[0] == 'M';
    const size_t ifd = number(exif + 4, 4, big);
    if (ifd > size - 2)
        return 1;
    const int entries = (int)number(exif + ifd, 2, big);
    for (int i = 0; i < entries && ifd + 2 + (i + 1) * (size_t)ENTRY <= size; i++) {
        const uint8_t *p = exif + ifd + 2 + i * (size_t)ENTRY;
        const uint32_t type = number(p + 2, 2, big);
        if (number(p, 2, big) != ORIENTATION || (type != SHORT && type != LONG))
            continue;
        const uint32_t v = number(p + 8, type == SHORT ? 2 : 4, big);
        return v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}
