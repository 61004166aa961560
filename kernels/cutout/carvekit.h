/* carvekit.h - TRACER-B7 and FBA matting with what carvekit does before and behind them
 * (networks.md, 5.6 and 9). */
#ifndef PF_CARVEKIT_H
#define PF_CARVEKIT_H
#include "common/image.h"
#include "kernels/cutout/fba.h"

/* input f32 [1, S, S, 3], the caller's, from the photo, 3 channels; TRACER's S is
 * PF_TRACER_SIDE. */
pf_err pf_carvekit_prepare(pf_tensor *input, const pf_image *photo, int S) PF_MUST_USE;
/* mask of 1 channel, width x height pixels, of TRACER's f32 [S, S]. */
pf_err pf_carvekit_mask(pf_image *mask, const pf_tensor *share, int width, int height) PF_MUST_USE;

/* The mask becomes alpha: what its trimap leaves open is decided by the network.  own_colours: and
 * those pixels of the photo get the object's own colours. */
pf_err pf_carvekit_matting(pf_image *mask, pf_image *photo, pf_dev *dev, const pf_fba *net,
                           bool own_colours) PF_MUST_USE;
/* The photo's colours, in place, as carvekit writes them: with grey where alpha is not whole. */
void pf_carvekit_colours(pf_image *photo, const pf_image *alpha);

#endif
