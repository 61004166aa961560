/* sheet.h - pictures that a tensor holds, side by side. */
#ifndef PF_SHEET_H
#define PF_SHEET_H
#include "common/image.h"
#include "common/stream.h"

/* Tensor name of doc, [3, H, W], [H, W, 3], [H, W], or several of those, as a strip.  u8 as stored;
 * floats as -1..1 if any is negative, else 0..1.  name NULL: views.image with views.alpha, or
 * input.image with input.alpha.  strip: owned by the caller. */
pf_err pf_sheet_strip(pf_image *strip, const pf_doc *doc, const char *name) PF_MUST_USE;
/* Put a strip, released by this, under the sheet; of one width and number of channels. */
pf_err pf_sheet_append(pf_image *sheet, pf_image *strip) PF_MUST_USE;

#endif
