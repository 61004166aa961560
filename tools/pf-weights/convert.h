/* convert.h - a checkpoint as one safetensors document. */
#ifndef PF_CONVERT_H
#define PF_CONVERT_H
#include <stdio.h>

#include "common/checkpoint.h"

/* Write all tensors of w, floats as "f32", "f16", "bf16", "f8", or as they are (NULL).  Nothing is
 * written before all that can be wrong with them has been looked for. */
pf_err convert_all(FILE *to, pf_checkpoint *w, const char *dtype) PF_MUST_USE;

#endif
