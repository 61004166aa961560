/* components.h - a mesh without the specks beside it. */
#ifndef PF_COMPONENTS_H
#define PF_COMPONENTS_H
#include "kernels/march/mesh.h"

/* Keep the most connected components that have the most faces (of equals the first; 0: all), and
 * of these those that have at least share times the faces of the largest. */
pf_err pf_mesh_keep_components(struct pf_mesh *mesh, int most, double share) PF_MUST_USE;
/* How many connected components the mesh has. */
pf_err pf_mesh_count_components(int64_t *n, const struct pf_mesh *mesh) PF_MUST_USE;

#endif
