/* ply.h - read a triangle mesh as pf-extract-mesh writes it: binary PLY, x y z, perhaps colours. */
#ifndef PF_REPORT_PLY_H
#define PF_REPORT_PLY_H
#include "kernels/march/mesh.h"

enum { PLY_FACES_MAX = 10000000 };      /* what a report takes the time for */

/* mesh: owned, without normals; without colours if the file has none.  Every index is one of a
 * vertex and every number finite. */
pf_err ply_read(struct pf_mesh *mesh, const char *path) PF_MUST_USE;

#endif
