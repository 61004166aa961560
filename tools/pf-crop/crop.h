/* crop.h - put the object of a photo into a square view, as the original's prepare_inputs does
 * (crop.md, 1).  Bit for bit the same pixels and the same floats. */
#ifndef PF_CROP_H
#define PF_CROP_H
#include "common/image.h"
#include "common/tensor.h"

/* view [side, side, C]: with crop_px > 0 the box of the object (alpha > 0; C = 4) scaled so that
 * its longer side has crop_px pixels, in the middle of a transparent square; with crop_px -1 the
 * whole photo, padded to a square.  PF_ESHAPE if crop_px is given and there is no alpha channel,
 * if all of the photo is transparent, or if the object is too thin to scale.  view is owned by
 * the caller. */
pf_err fit_view(pf_image *view, const pf_image *photo, int crop_px, int side) PF_MUST_USE;
/* image f32 [3, S, S]: over white, -1..1.  alpha f32 [S, S]: 0..1, all 1 for an RGB view.  Both
 * owned by the caller. */
pf_err composite_view(pf_tensor *image, pf_tensor *alpha, const pf_image *view) PF_MUST_USE;

#endif
