/* all_views.h - every posed view of one object that pf-neus was given, from any number of
 * documents. */
#ifndef PF_ALL_VIEWS_H
#define PF_ALL_VIEWS_H
#include "kernels/field/field.h"

struct all_views {
    int count, width, height;   /* all of one size */
    char *world;                /* pf.world of the first document, or NULL */
    int documents, elevations;  /* documents they came from; those of them that say an elevation */
    bool object;                /* whether a view shows one */
    uint8_t *image;             /* [V, H, W, 3] */
    float *alpha;               /* [V, H, W] */
    float *pose;                /* [V, 3, 4] world to camera */
    float *intrinsics;          /* [V, 3, 3] for pixels at whole numbers */
    float *elevation;           /* [elevations] radians, of the first view of each */
};

/* Append the views of a document, which must look at the cube (posed_views.h).  PF_EFORMAT,
 * PF_ESHAPE name the tensor that is missing or odd. */
pf_err all_views_add(struct all_views *v, const pf_doc *doc, double bound) PF_MUST_USE;
void all_views_release(struct all_views *v);
struct pf_field_views all_views_posed(const struct all_views *v);           /* borrowed from v */

#endif
