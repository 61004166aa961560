/* png_strips.h - a large picture as PNG, compressed by all threads: a texture of 2048 texels a side
 * takes one of them 0.3 s, as long as everything else that is done for it. */
#ifndef PF_PNG_STRIPS_H
#define PF_PNG_STRIPS_H
#include "common/image.h"

/* An RGB picture.  The bytes do not depend on the number of threads. */
pf_err pf_png_strips_write(const pf_image *image, FILE *to) PF_MUST_USE;

#endif
