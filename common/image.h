/* image.h - 8-bit pictures: PNG in and out, JPEG and WebP in, and PIL's exact bicubic resize.
 * sRGB values as stored (colour profiles and EXIF orientation are ignored, as the original does);
 * rows top to bottom; host memory.
 *
 *     pf_image photo = {0}, small = {0};
 *     pf_must(pf_image_read(&photo, "alarm.png"));             // [H, W, 3 or 4]
 *     pf_must(pf_image_resize(&small, &photo, 256, 256));      // [256, 256, 3 or 4]
 *     pf_must(pf_image_save_png(&small, "small.png"));
 *     pf_image_release(&small);
 *     pf_image_release(&photo); */
#ifndef PF_IMAGE_H
#define PF_IMAGE_H
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

/* Read PNG (8/16 bit, grey, palette, RGB, RGBA, interlaced), JPEG or WebP by content, not by name;
 * "-" is stdin.  Result has 3 channels, or 4 if the file has transparency.  16 bits keep their
 * high byte, as PIL's do.  A damaged or truncated file is PF_EFORMAT, never half a picture. */
pf_err pf_image_read(pf_image *image, const char *path) PF_MUST_USE;
/* The same for bytes in memory; name is for errors. */
pf_err pf_image_read_memory(pf_image *image, const void *bytes, size_t size, const char *name)
    PF_MUST_USE;
/* One decoder per format; their errors do not name the file, pf_image_read_memory does. */
pf_err pf_image_decode_png(pf_image *image, const void *bytes, size_t size) PF_MUST_USE;
pf_err pf_image_decode_jpeg(pf_image *image, const void *bytes, size_t size) PF_MUST_USE;
pf_err pf_image_decode_webp(pf_image *image, const void *bytes, size_t size) PF_MUST_USE;

/* Write a PNG (channels 1, 3, 4) to an open file; or to a path through pf_output (output.h). */
pf_err pf_image_write_png(const pf_image *image, FILE *to) PF_MUST_USE;
pf_err pf_image_save_png(const pf_image *image, const char *path) PF_MUST_USE;

/* Pillow's Image.resize(BICUBIC), bit for bit; RGBA through premultiplied alpha (crop.md, 2).
 * to is overwritten and must not be from. */
pf_err pf_image_resize(pf_image *to, const pf_image *from, int width, int height) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
