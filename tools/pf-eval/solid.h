/* solid.h - which nodes of a grid are inside a mesh, and how much of two solids is common
 * (measures.md, 2.3). */
#ifndef PF_SOLID_H
#define PF_SOLID_H
#include <stdbool.h>

#include "kernels/march/mesh.h"

struct grid {                   /* node i of an axis is at -half + 2 half (i + offset) / side */
    int side;
    double half, offset;
    int axis;                   /* along which crossings are counted */
};
/* inside u8 [side, side, side] x y z, owned by the caller: what lies behind an odd number of
 * faces. */
pf_err solid_of_mesh(uint8_t **inside, const struct pf_mesh *mesh, const struct grid *grid)
    PF_MUST_USE;
/* Nodes that no path of outside nodes joins to the border become inside: paths of the whole cube,
 * or in each slice of one z alone. */
pf_err solid_fill(uint8_t *inside, int side, bool slices) PF_MUST_USE;
/* Intersection over union; 0 of two empty ones. */
double solid_iou(const uint8_t *a, const uint8_t *b, int side);

#endif
