/* strip.h - views as pictures: strips in, masks in, masked views out. */
#ifndef PF_STRIP_H
#define PF_STRIP_H
#include "common/stream.h"

/* Make the document that pf-sample would have made from a strip: N square views side by side, taken
 * around an object at one elevation, as generate.py writes it.  An RGBA strip is composited on
 * white and its alpha becomes views.alpha. */
pf_err strip_read(pf_doc *doc, const char *path, double elevation_rad) PF_MUST_USE;

/* alpha f32 [N, H, W], owned by the caller, from folder/masked-n.png or folder/n.png: the alpha
 * channel, or the value of a grey picture. */
pf_err masks_read(pf_tensor *alpha, const char *folder, int N, int width, int height)
    PF_MUST_USE;
/* Write folder/masked-n.png, RGBA; the folder is made.  image u8 [N, H, W, 3], alpha f32 [N, H,
 * W]. */
pf_err masks_write(const char *folder, const pf_tensor *image, const pf_tensor *alpha) PF_MUST_USE;

#endif
