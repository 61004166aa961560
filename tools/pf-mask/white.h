/* white.h - the mask of an object that stands before white (field.md, 1): what no path of white
 * pixels joins to the border. */
#ifndef PF_WHITE_H
#define PF_WHITE_H
#include <stdint.h>

#include "common/config.h"

/* Compute alpha f32 [S, S], 0..1, of the view rgb u8 [S, S, 3], S = side.  Uses conf->mask:
 * threshold, open, close, soft. */
pf_err white_alpha(float *alpha, const uint8_t *rgb, int side, const struct pf_config *conf)
    PF_MUST_USE;

#endif
