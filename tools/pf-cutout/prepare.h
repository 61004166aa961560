/* prepare.h - what stands before and behind a network that cuts out: the picture as it was trained
 * on, and its mask at the photo's size (networks.md, 4). */
#ifndef PF_PREPARE_H
#define PF_PREPARE_H
#include "common/image.h"
#include "kernels/cutout/cutout.h"

/* Whose rules: those of tests/reference/train_cutout.py, of the network's authors, of rembg, of
 * carvekit, of @imgly/background-removal. */
enum preset { OWN, AUTHOR, REMBG, CARVEKIT, IMGLY };

/* The rules that weights want: OWN where their metadata say that they were trained here, else
 * AUTHOR. */
enum preset preset_of(const pf_checkpoint *weights);
/* PF_EARG if nobody runs that network by these rules. */
pf_err preset_check(enum preset preset, enum pf_cutout_kind kind) PF_MUST_USE;

/* input f32 [1, S, S, 3], the caller's, from the photo, 3 channels; S is pf_cutout_side's. */
pf_err prepare(pf_tensor *input, pf_dev *dev, const pf_image *photo, int S,
               enum pf_cutout_kind kind, enum preset preset) PF_MUST_USE;
/* alpha of 1 channel, width x height pixels, from the network's mask f32 [S, S]. */
pf_err finish(pf_image *alpha, pf_dev *dev, const pf_tensor *mask, int width, int height,
              enum pf_cutout_kind kind, enum preset preset) PF_MUST_USE;

#endif
