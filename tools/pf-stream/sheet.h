/* sheet.h - pictures that a tensor holds, side by side. */
#ifndef PF_SHEET_H
#define PF_SHEET_H
#include "common/image.h"
#include "common/stream.h"

/* Make a strip, owned by the caller, of doc's tensor `name`: [3, H, W], [H, W, 3], [H, W], or
 * several of those.  u8 counts as stored; floats as -1..1 if any is negative, else as 0..1.  Where
 * name is NULL it is views.image with views.alpha, or input.image with input.alpha. */
pf_err pf_sheet_strip(pf_image *strip, const pf_doc *doc, const char *name) PF_MUST_USE;
/* Put a strip of the sheet's width and channels under the sheet; the strip is released. */
pf_err pf_sheet_append(pf_image *sheet, pf_image *strip) PF_MUST_USE;

#endif
