/* posed_views.h - the views of a document with their cameras, each tensor held to the range that
 * pf-stream(5) states.
 *
 *     struct pf_posed_views v;
 *     PF_TRY(pf_posed_views_read(&v, &doc));
 *     PF_TRY(pf_posed_views_aim(&v, 0.6));            // they look at the cube of half side 0.6 */
#ifndef PF_POSED_VIEWS_H
#define PF_POSED_VIEWS_H
#include "common/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_VIEWS_MAX = 4096, PF_VIEW_SIDE_MAX = 4096 };

struct pf_posed_views {         /* borrowed from the document */
    int count, width, height;
    const uint8_t *image;       /* [N, H, W, 3] */
    const float *alpha;         /* [N, H, W] */
    const float *pose;          /* [N, 3, 4] world to camera, R a rotation */
    const float *intrinsics;    /* [N, 3, 3] [fx s cx; 0 fy cy; 0 0 1] */
    const float *elevation;     /* [N] radians, or NULL */
    double pixel_center;        /* column j's middle is at u = j + this: 0 or 0.5 */
};

/* PF_EFORMAT, PF_ESHAPE name the tensor that is missing or odd, and the view. */
pf_err pf_posed_views_read(struct pf_posed_views *v, const pf_doc *doc) PF_MUST_USE;
/* Whether the cameras stand outside the unit cube around the origin and look at it, or at that of
 * half side bound if it is larger: each by at least one ray, and by at least half of the rays of
 * its object's pixels.  PF_EFORMAT names the first view that does not. */
pf_err pf_posed_views_aim(const struct pf_posed_views *v, double bound) PF_MUST_USE;
/* Whether R, row major, is a rotation, as well as a table with four decimals has it. */
bool pf_is_rotation(const double R[9]);
/* Whether any pixel is object (its alpha at least 0.5). */
bool pf_posed_views_show_object(const struct pf_posed_views *v);
/* K of view n, double, for pixels whose middles are at whole numbers, as pf_camera_ray wants
 * them. */
void pf_posed_views_intrinsics(double K[9], const struct pf_posed_views *v, int n);

#ifdef __cplusplus
}
#endif
#endif
