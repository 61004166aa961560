/* prepare.h - what stands before and behind a network that cuts out: the picture as it was trained
 * on, and its mask at the photo's size (networks.md, 4). */
#ifndef PF_CUTOUT_PREPARE_H
#define PF_CUTOUT_PREPARE_H
#include "common/image.h"
#include "kernels/cutout/cutout.h"

/* Whose rules: those of tests/reference/train_cutout.py, of the network's authors, of rembg, of
 * carvekit, of @imgly/background-removal. */
enum pf_preset { PF_OWN, PF_AUTHOR, PF_REMBG, PF_CARVEKIT, PF_IMGLY };

/* The rules that weights want: PF_OWN where their metadata say that they were trained here, else
 * PF_AUTHOR. */
enum pf_preset pf_preset_of(const pf_checkpoint *weights);
/* PF_EARG if nobody runs that network by these rules. */
pf_err pf_preset_check(enum pf_preset preset, enum pf_cutout_kind kind) PF_MUST_USE;

/* input f32 [1, S, S, 3], the caller's, from the photo, 3 channels; S is pf_cutout_side's. */
pf_err pf_cutout_prepare(pf_tensor *input, const pf_image *photo, int S, enum pf_cutout_kind kind,
                         enum pf_preset preset) PF_MUST_USE;
/* The mask as its author takes it, still of the network's size: stretched, or as it is. */
void pf_cutout_settle(pf_tensor *mask, enum pf_preset preset);
/* alpha of 1 channel, width x height pixels, from the network's mask f32 [S, S]. */
pf_err pf_cutout_finish(pf_image *alpha, const pf_tensor *mask, int width, int height,
                        enum pf_cutout_kind kind, enum pf_preset preset) PF_MUST_USE;

#endif
