/* refine.h - a network's mask at a photo's size, guided by its colours, and the colours that belong
 * to the object alone (networks.md, 6).
 *
 *     PF_TRY(pf_refine_new(&r, &part, &mask));         // of the same part of the photo
 *     pf_refine_row(r, alpha, rgb, width, y, height);  // row y of height rows of that part
 *     pf_refine_free(r);
 *
 * What is kept is of a fixed size, so that the photo may come and go row by row. */
#ifndef PF_REFINE_H
#define PF_REFINE_H
#include "common/image.h"
#include "common/tensor.h"

typedef struct pf_refine pf_refine;

/* part: 3 channels; mask f32 [h, w] 0..1.  Both are only read here. */
pf_err pf_refine_new(pf_refine **r, const pf_image *part, const pf_tensor *mask) PF_MUST_USE;
/* Row y of the part: alpha [width], and rgb [width, 3] becomes the object's own colours.  Several
 * threads may call it. */
void pf_refine_row(const pf_refine *r, uint8_t *alpha, uint8_t *rgb, int width, int y, int height);
void pf_refine_free(pf_refine *r);                      /* NULL is fine */

#endif
