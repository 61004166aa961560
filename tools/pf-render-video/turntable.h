/* turntable.h - what a camera of the rig sees of a field (field.md, 12). */
#ifndef PF_TURNTABLE_H
#define PF_TURNTABLE_H
#include "common/image.h"
#include "kernels/field/field.h"

/* image: [size, size, 3], allocated by the caller.  Rays that miss the field's cube are white. */
pf_err pf_render_view(pf_image *image, pf_field *field, double elevation, double azimuth)
    PF_MUST_USE;

#endif
