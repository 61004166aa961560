/* posed_views.h - every posed view of one object that pf-neus was given, from any number of
 * documents. */
#ifndef PF_POSED_VIEWS_H
#define PF_POSED_VIEWS_H
#include "kernels/field/field.h"

struct posed_views {
    int count, size, documents; /* views, pixels a side, documents they came from */
    uint8_t *image;             /* [V, S, S, 3] */
    float *alpha;               /* [V, S, S] */
    float *pose, *intrinsics;   /* [V, 3, 4] world to camera, [V, 3, 3] */
    float *elevation;           /* [documents] radians, of the first view of each */
};

/* Append the views of a document.  PF_EFORMAT, PF_ESHAPE name the tensor that is missing or odd. */
pf_err posed_views_add(struct posed_views *v, const pf_doc *doc) PF_MUST_USE;
void posed_views_release(struct posed_views *v);
struct pf_field_views posed_views_of(const struct posed_views *v);          /* borrowed from v */

#endif
