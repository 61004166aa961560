/* field_view.h - what a camera sees of a field, as bytes (field.md, 12).
 *
 *     PF_TRY(pf_field_view_open(&view, field, 256));
 *     PF_TRY(pf_field_view_see(view, image.pixel, elevation, azimuth)); */
#ifndef PF_FIELD_VIEW_H
#define PF_FIELD_VIEW_H
#include "kernels/field/field.h"

typedef struct pf_field_view pf_field_view;     /* opaque, owned by whoever opened it */
/* field is borrowed until close; size: pixels a side of the pictures. */
pf_err pf_field_view_open(pf_field_view **v, pf_field *field, int size) PF_MUST_USE;
/* rgb: [size, size, 3], of the rig's camera at these angles in radians.  What misses the field's
 * cube is white. */
pf_err pf_field_view_see(pf_field_view *v, uint8_t *rgb, double elevation,
                         double azimuth) PF_MUST_USE;
void pf_field_view_close(pf_field_view *v);     /* NULL is fine */

#endif
