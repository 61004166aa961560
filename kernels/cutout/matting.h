/* matting.h - a photo and its trimap to alpha, by FBA matting as carvekit runs it (networks.md, 9).
 *
 *     PF_TRY(pf_matting(dev, &net, &alpha, NULL, &photo, &trimap));
 *     pf_image_release(&alpha); */
#ifndef PF_MATTING_H
#define PF_MATTING_H
#include "common/image.h"
#include "kernels/cutout/fba.h"

/* Photos larger than this on a side are shrunk for the network, and alpha is enlarged. */
enum { PF_MATTING_SIDE = 2048 };

/* alpha, the caller's, of 1 channel, as large as the photo, 3 channels, and the trimap, 1 channel:
 * 0 background, 255 object.  Pixels of colours, of the photo's size, get the object's own colour
 * where alpha is neither 0 nor 255; NULL: of none.  colours may be the photo. */
pf_err pf_matting(pf_dev *dev, const pf_fba *net, pf_image *alpha, pf_image *colours,
                  const pf_image *photo, const pf_image *trimap) PF_MUST_USE;

/* ---- its parts ---- */

/* What the network looks at, of photo and trimap of one size; sides are enlarged to multiples of
 * 8. */
pf_err pf_matting_encode(struct pf_fba_input *input, const pf_image *photo,
                         const pf_image *trimap) PF_MUST_USE;
void pf_fba_input_release(struct pf_fba_input *input);
/* d [H, W]: the Euclidean distance of each pixel, exact but for its rounding, to the nearest one
 * that is 0.  *found is whether there is one; if not, d stays as it was. */
pf_err pf_distance(float *d, bool *found, const uint8_t *pixel, int width, int height) PF_MUST_USE;
/* alpha of the trimap's size from the network's output [h, w, 7]. */
pf_err pf_matting_alpha(pf_image *alpha, const pf_tensor *output,
                        const pf_image *trimap) PF_MUST_USE;
/* The colours of the object in its output, where alpha is neither 0 nor 255. */
void pf_matting_colours(pf_image *colours, const pf_tensor *output, const pf_image *alpha);

#endif
