/* image.h - 8-bit pictures: PNG in and out, JPEG and WebP in, and PIL's exact bicubic resize.
 * sRGB values, rows top to bottom, host memory.
 *
 *     pf_image photo = {0}, small = {0};
 *     pf_must(pf_image_read(&photo, "alarm.png"));             // [H, W, 3 or 4]
 *     pf_must(pf_image_resize(&small, &photo, 256, 256));      // [256, 256, 3 or 4]
 *     pf_must(pf_image_save_png(&small, "small.png"));
 *     pf_image_release(&small);
 *     pf_image_release(&photo); */
#ifndef PF_IMAGE_H
#define PF_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_image {
    int width, height;
    int channels;               /* 1 grey, 3 RGB, 4 RGBA (straight alpha) */
    uint8_t *pixel;             /* [height, width, channels], owned */
} pf_image;

enum { PF_IMAGE_MAX_SIDE = 32768, PF_IMAGE_MAX_PIXELS = 1 << 28 };

/* Zeroed pixels.  image is overwritten: release what it owned before.  PF_ESHAPE outside the
 * limits above, checked before memory is taken. */
pf_err pf_image_new(pf_image *image, int width, int height, int channels) PF_MUST_USE;
void pf_image_release(pf_image *image);                         /* zeroes *image */
static inline size_t
pf_image_bytes(const pf_image *image)
{
    return (size_t)image->height * image->width * image->channels;
}

/* Read PNG (8/16 bit, grey, palette, RGB, RGBA, interlaced), JPEG or WebP by content, not by
 * name; "-" is stdin.  Result has 3 channels, or 4 if the file has transparency.  16 bits keep
 * their high byte, as PIL's do.  The picture stands upright, whatever its EXIF orientation, and
 * its colours are sRGB's, whatever its profile.  A damaged or truncated file is PF_EFORMAT,
 * never half a picture.  What a person should know of it (pf_image_note) is said. */
pf_err pf_image_read(pf_image *image, const char *path) PF_MUST_USE;
/* The same not set upright: for pictures whose cameras belong to the pixels as they are stored. */
pf_err pf_image_read_stored(pf_image *image, const char *path) PF_MUST_USE;
/* As pf_image_read for bytes in memory; name is for errors, and nothing is said. */
pf_err pf_image_read_memory(pf_image *image, const void *bytes, size_t size, const char *name)
    PF_MUST_USE;
/* What a person should know about the picture that this thread read last: one sentence, or "". */
const char *pf_image_note(void);

/* Whether the picture that this thread read last was stored with loss. */
bool pf_image_lossy(void);

/* A picture whose pixels are decoded row by row, as often as needed, for what is too large to hold:
 *
 *     pf_must(pf_photo_open(&photo, "12000x9000.png"));
 *     pf_must(pf_photo_rows(&photo, find_box, &box));
 *     pf_must(pf_photo_rows(&photo, crop_row, &crop));
 *     pf_photo_close(&photo);
 *
 * Interlaced PNG and WebP are decoded as often as it takes to hold no more than 150 MB of pixels at
 * a time.  Held whole nevertheless: the bytes of the file, and what the libraries hold, which is 4
 * bytes a pixel of lossless WebP, 2 of a lossy one's alpha, and 3 to 6 of progressive JPEG. */
typedef struct pf_photo {
    int width, height;          /* as stored: the orientation is for the caller, who turns less */
    int channels;               /* 3, or 4 if the file can be transparent */
    int orientation;            /* EXIF's: 1 to 8 */
    bool lossy;                 /* colours waver around edges: JPEG, most WebP */
    char note[256];             /* as pf_image_note */
    /* private to common/image*.c */
    const char *name;           /* borrowed; "stdin" for "-" */
    const struct pf_image_format *format;
    uint8_t *owned;             /* the file, if it was read here */
    const uint8_t *bytes;
    size_t size;
    void *color;                /* to sRGB, or NULL */
} pf_photo;

/* Row y of the photo, [width, channels], in sRGB; the row may be changed.  An error ends the
 * reading. */
typedef pf_err pf_photo_sink(void *user, uint8_t *row, int y);

/* Errors name the file.  path and name are borrowed until pf_photo_close. */
pf_err pf_photo_open(pf_photo *photo, const char *path) PF_MUST_USE;
pf_err pf_photo_open_memory(pf_photo *photo, const void *bytes, size_t size, const char *name)
    PF_MUST_USE;
/* All rows, top to bottom as stored. */
pf_err pf_photo_rows(const pf_photo *photo, pf_photo_sink *sink, void *user) PF_MUST_USE;
/* All of it, upright, as pf_image_read gives it. */
pf_err pf_photo_whole(pf_image *image, const pf_photo *photo) PF_MUST_USE;
/* The photo's file, if that is an undamaged PNG whose pixels are upright and sRGB as they are
 * stored; else NULL. */
const void *pf_photo_as_png(const pf_photo *photo, size_t *size);
void pf_photo_close(pf_photo *photo);                           /* zeroes *photo */

/* EXIF's orientation: the stored picture is transposed first, if it is, and then mirrored. */
static inline bool
pf_orientation_transposes(int orientation)
{
    return orientation >= 5;
}
/* Whether columns of the stored picture run from right to left of the transposed one ... */
static inline bool
pf_orientation_mirrors_x(int orientation)
{
    return orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
}
/* ... and rows from bottom to top. */
static inline bool
pf_orientation_mirrors_y(int orientation)
{
    return orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
}
/* Set a picture upright that is stored in this orientation; on failure it stays as it was. */
pf_err pf_image_turn(pf_image *image, int orientation) PF_MUST_USE;

/* Write a PNG (channels 1, 3, 4) to an open file; or to a path through pf_output (output.h). */
pf_err pf_image_write_png(const pf_image *image, FILE *to) PF_MUST_USE;
pf_err pf_image_save_png(const pf_image *image, const char *path) PF_MUST_USE;
/* The same for a picture that is made row by row: source gives row y, from 0 on, [width, channels].
 * Its failure ends the writing. */
typedef pf_err pf_image_source(void *user, uint8_t *row, int y);
pf_err pf_image_write_png_rows(FILE *to, int width, int height, int channels,
                               pf_image_source *source, void *user) PF_MUST_USE;

/* Pillow's Image.resize(BICUBIC), bit for bit; RGBA through premultiplied alpha (crop.md, 2).
 * to is overwritten and must not be from. */
pf_err pf_image_resize(pf_image *to, const pf_image *from, int width, int height) PF_MUST_USE;
/* The same by another of Pillow's filters. */
enum pf_filter { PF_BICUBIC, PF_BILINEAR, PF_LANCZOS };
pf_err pf_image_resize_by(pf_image *to, const pf_image *from, int width, int height,
                          enum pf_filter filter) PF_MUST_USE;
/* pf_image_resize for a picture that comes row by row, in any order; a row that does not come is
 * 0.  Columns are scaled first for one that is to be transposed: that gives the bytes of the
 * transposed one.  Memory is that of height rows of the new width; columns first, of four times
 * to_height rows. */
typedef struct pf_resize pf_resize;
pf_err pf_resize_begin(pf_resize **r, int width, int height, int channels, int to_width,
                       int to_height, bool columns_first) PF_MUST_USE;
/* From several threads at once only if not columns_first. */
void pf_resize_row(pf_resize *r, const uint8_t *row, int y);
/* to is owned by the caller.  r is freed. */
void pf_resize_end(pf_image *to, pf_resize *r);

#ifdef __cplusplus
}
#endif
#endif
