/* crop.h - put the object of a photo into a square view, as the original's prepare_inputs does
 * (crop.md, 1).  With an alpha threshold of 0, bit for bit the same pixels and the same floats. */
#ifndef PF_CROP_H
#define PF_CROP_H
#include "common/image.h"
#include "common/tensor.h"

struct fit {
    int crop_px;                /* longer side of the object; -1: the whole photo, in a square */
    int side;                   /* of the view */
    double alpha_threshold;     /* 0..1: pixels whose alpha is above are the object */
    bool opaque;                /* a photo without transparency is all object; else it is refused */
};

/* view [side, side, 4]: the object's box, or the whole photo, upright in the middle of a
 * transparent square.  touches: the object reaches the border of the view, or beyond
 * it.  PF_ESHAPE if there is no object, or nothing but object and not opaque.  view is owned by
 * the caller. */
pf_err fit_view(pf_image *view, bool *touches, const pf_photo *photo, const struct fit *fit)
    PF_MUST_USE;
/* image f32 [3, S, S]: over white, -1..1.  alpha f32 [S, S]: 0..1.  Both owned by the caller. */
pf_err composite_view(pf_tensor *image, pf_tensor *alpha, const pf_image *view) PF_MUST_USE;

#endif
