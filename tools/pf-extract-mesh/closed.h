/* closed.h - whether a mesh bounds a body. */
#ifndef PF_CLOSED_H
#define PF_CLOSED_H
#include <stdbool.h>

#include "kernels/march/mesh.h"

/* Whether the mesh is watertight: it has faces, and beside each edge of a face lies exactly one
 * other, which has that edge in the other direction. */
pf_err pf_mesh_is_closed(bool *closed, const struct pf_mesh *mesh) PF_MUST_USE;

#endif
