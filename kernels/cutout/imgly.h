/* imgly.h - what @imgly/background-removal puts before and behind IS-Net: a bilinear resize of its
 * own, on bytes, and no stretch (networks.md, 4). */
#ifndef PF_CUTOUT_IMGLY_H
#define PF_CUTOUT_IMGLY_H
#include "common/image.h"
#include "common/tensor.h"

/* to f32 [S, S, 3] from the photo, 3 channels. */
pf_err pf_imgly_shrink(float *to, const pf_image *photo, int S) PF_MUST_USE;
/* alpha of 1 channel and some size, which it has already, from the mask f32 [H, W]. */
pf_err pf_imgly_enlarge(pf_image *alpha, const pf_tensor *mask) PF_MUST_USE;

#endif
