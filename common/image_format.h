/* image_format.h - what the readers of single formats give common/image_photo.c, and what it
 * gives them.  Their errors do not name the file; it does. */
#ifndef PF_IMAGE_FORMAT_H
#define PF_IMAGE_FORMAT_H
#include "common/image.h"

struct pf_image_format {
    /* Width, height, channels, orientation, note and color of a photo whose bytes are known. */
    pf_err (*head)(pf_photo *photo);
    pf_err (*rows)(const pf_photo *photo, pf_photo_sink *sink, void *user);
};
extern const struct pf_image_format pf_image_png, pf_image_jpeg, pf_image_webp;

/* The orientation that an EXIF block, with or without its "Exif" mark, states; 1 if it states
 * none. */
int pf_exif_orientation(const uint8_t *exif, size_t size);

/* The photo has an embedded profile: from now on its rows become sRGB.  grey: it is stored so.  A
 * profile that cannot be used gives a note. */
void pf_color_from_icc(pf_photo *photo, const void *icc, size_t size, bool grey);
/* The photo states what a PNG can without a profile: the exponent of its encoding, 0 if not
 * stated, and x and y of white, red, green and blue, NULL if not stated. */
void pf_color_from_chromaticities(pf_photo *photo, double exponent, const double (*xy)[2]);
void pf_color_apply(const pf_photo *photo, uint8_t *row);
void pf_color_release(pf_photo *photo);

/* Whether so many pixels can be in a file of this size, of which a byte holds per_byte at most; a
 * small one may hold flat pictures that no byte tells of.  PF_EFORMAT. */
pf_err pf_photo_check_promise(const pf_photo *photo, uint64_t width, uint64_t height,
                              uint64_t per_byte) PF_MUST_USE;
/* Add a clause to the note: "its colour profile is damaged". */
void pf_photo_remark(pf_photo *photo, const char *clause);
/* Where rows do not come one by one, as in an interlaced PNG or a WebP, so many bytes of them are
 * held at a time, and the file is decoded again for the next; tests lower it. */
extern size_t pf_photo_band;
/* The rows from y on that may be held of a photo this wide; at least one. */
int pf_photo_band_rows(const pf_photo *photo, int y);

#endif
