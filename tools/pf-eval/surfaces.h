/* surfaces.h - how much two shapes differ (measures.md, 2). */
#ifndef PF_SURFACES_H
#define PF_SURFACES_H
#include "tools/pf-eval/shape.h"

/* The columns.  Of the visible surface, then of solids, then of the whole surface. */
enum shape_measure {
    CHAMFER, F_FINE, F_COARSE, NORMALS, IOU_COARSE, IOU_FINE,
    WHOLE_CHAMFER, WHOLE_F_FINE, WHOLE_F_COARSE, WHOLE_NORMALS,
    SHAPE_MEASURES
};
struct shape_options {
    double elevation;           /* of the cameras that tell what is visible, radians */
    int64_t samples;            /* of each mesh */
    uint64_t seed;
    bool original;              /* points and grid of the original's script */
};
/* value [SHAPE_MEASURES]; NAN where a measure does not apply.  The shapes may be changed. */
pf_err shapes_compare(double *value, struct shape *truth, struct shape *made,
                      const struct shape_options *opt) PF_MUST_USE;

#endif
