/* hull.h - which cells of the cube are empty because views disagree on their colour (field.md, 10;
 * Kutulakos and Seitz 2000, "A theory of shape by space carving").  Private to kernels/field.
 *
 * A surface cell looks alike in all views that see it, if light does not change with the direction;
 * one that does not is no surface.  It is taken away, and the cells behind it are looked at. */
#ifndef PF_FIELD_HULL_H
#define PF_FIELD_HULL_H
#include "kernels/field/field.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Cells of a grid of side^3 over the cube; z, y, x. */
struct pf_hull {
    int side;
    float bound;
    int64_t n;
    int32_t *empty;             /* [n] owned */
};

/* The cells that colours say are empty, and whose neighbours too are: what a view does not show
 * inside its mask is empty as well, but that is for the masks to say.  Colours 0..1 that differ by
 * up to tolerance agree. */
pf_err pf_hull_carve(struct pf_hull *h, const struct pf_field_views *views, double bound,
                     double tolerance) PF_MUST_USE;
void pf_hull_release(struct pf_hull *h);

#ifdef __cplusplus
}
#endif
#endif
