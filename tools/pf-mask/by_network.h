/* by_network.h - the masks of views by a network that cuts objects out. */
#ifndef PF_BY_NETWORK_H
#define PF_BY_NETWORK_H
#include "common/stream.h"
#include "kernels/cutout/cutter.h"

/* views.alpha of every view of image u8 [N, H, W, 3], and views.image before white. */
pf_err mask_by_network(pf_doc *doc, const pf_tensor *image, pf_cutter *cutter) PF_MUST_USE;

#endif
