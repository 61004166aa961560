/* turntable.h - what a camera of the rig sees of a field (field.md, 12). */
#ifndef PF_TURNTABLE_H
#define PF_TURNTABLE_H
#include "common/image.h"
#include "kernels/field/field.h"

struct turntable;               /* opaque, owned by whoever opened it */
/* field is borrowed until close; size: pixels a side of the frames. */
pf_err turntable_open(struct turntable **t, pf_field *field, int size) PF_MUST_USE;
/* image: [size, size, 3], allocated by the caller.  Rays that miss the field's cube are white. */
pf_err turntable_view(pf_image *image, struct turntable *t, double elevation, double azimuth)
    PF_MUST_USE;
void turntable_close(struct turntable *t);      /* NULL is fine */

#endif
