/* carvekit.h - what carvekit does before and behind TRACER-B7 and FBA matting (networks.md, 5.6
 * and 8). */
#ifndef PF_CARVEKIT_H
#define PF_CARVEKIT_H
#include "common/image.h"
#include "common/tensor.h"

/* input f32 [1, S, S, 3], the caller's, from the photo, 3 channels; S is PF_TRACER_SIDE. */
pf_err carvekit_prepare(pf_tensor *input, const pf_image *photo, int S) PF_MUST_USE;
/* mask of 1 channel, width x height pixels, from TRACER's f32 [S, S]. */
pf_err carvekit_mask(pf_image *mask, const pf_tensor *probability, int width,
                     int height) PF_MUST_USE;
/* The photo with this alpha, of 1 channel and its size; what is not certain is mixed with grey. */
pf_err carvekit_rgba(pf_image *rgba, const pf_image *photo, const pf_image *alpha) PF_MUST_USE;

#endif
