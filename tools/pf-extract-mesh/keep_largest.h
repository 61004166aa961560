/* keep_largest.h - a mesh without the specks beside it. */
#ifndef PF_KEEP_LARGEST_H
#define PF_KEEP_LARGEST_H
#include "kernels/march/mesh.h"

/* Drop all but the connected component that has the most faces (of equals the first). */
pf_err pf_mesh_keep_largest(struct pf_mesh *mesh) PF_MUST_USE;

#endif
