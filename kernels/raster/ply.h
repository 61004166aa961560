/* ply.h - read PLY: text, or binary of either byte order.  Polygons become fans of triangles.
 *
 *     PF_TRY(pf_ply_parse(&mesh, &points, bytes, size));
 *     pf_mesh_release(&mesh); */
#ifndef PF_PLY_H
#define PF_PLY_H
#include <stdbool.h>
#include <stddef.h>

#include "kernels/march/mesh.h"

/* mesh: owned, with colours and normals if the file has them; empty on failure.  *points: the file
 * has vertices and no element of faces.  Memory is a small multiple of size, whatever the header
 * promises; what the numbers are, the caller checks: coordinates may be NaN, indices too large. */
pf_err pf_ply_parse(struct pf_mesh *mesh, bool *points, const uint8_t *bytes, size_t size)
    PF_MUST_USE;

/* Add the triangles of a polygon, a fan around its first corner; *room is that of mesh->face. */
pf_err pf_mesh_add_polygon(struct pf_mesh *mesh, int64_t *room, const uint32_t *corner, int corners)
    PF_MUST_USE;

#endif
