/* normals.h - normals of vertices out of gradients of the distance. */
#ifndef PF_NORMALS_H
#define PF_NORMALS_H
#include "kernels/march/mesh.h"

/* The normal of face f, as long as twice its area. */
void pf_mesh_face_normal(float normal[3], const struct pf_mesh *mesh, int64_t f);
/* mesh->normal holds gradients: make them unit and outward (field.md, 11).  A gradient that is
 * nothing or points into the object gives way to the mean of the faces around its vertex. */
pf_err pf_mesh_set_normals(struct pf_mesh *mesh) PF_MUST_USE;

#endif
