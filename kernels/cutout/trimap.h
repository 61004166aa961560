/* trimap.h - what of a mask is certain: 255 object, 0 background, 127 unknown (networks.md, 7).
 *
 *     PF_TRY(pf_trimap(&trimap, &mask, 231, 30, 5));           // carvekit's settings
 *     pf_image_release(&trimap); */
#ifndef PF_TRIMAP_H
#define PF_TRIMAP_H
#include "common/image.h"

enum { PF_UNKNOWN = 127 };

/* trimap, the caller's, of the mask, both of 1 channel.  Above threshold is object; the ring of
 * dilation pixels around it, erosion pixels inside it, and all values between are unknown. */
pf_err pf_trimap(pf_image *trimap, const pf_image *mask, int threshold, int dilation,
                 int erosion) PF_MUST_USE;

#endif
