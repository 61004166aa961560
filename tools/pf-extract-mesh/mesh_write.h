/* mesh_write.h - meshes as PLY (binary, little-endian, uchar RGBA), OBJ (with the usual extension
 * of colours behind the coordinates), GLB (glTF 2.0; colours made linear) and STL (binary; faces
 * alone).  All but STL have the vertices' normals.
 *
 * Vertices are at scene coordinates in all of them; glTF's y axis is up and its z axis the front,
 * so a GLB's only node turns the scene's z and x axes there. */
#ifndef PF_MESH_WRITE_H
#define PF_MESH_WRITE_H
#include <stdbool.h>
#include <stdio.h>

#include "kernels/march/mesh.h"

enum pf_mesh_format { PF_MESH_PLY, PF_MESH_OBJ, PF_MESH_GLB, PF_MESH_STL };

/* "ply", "obj", "glb" or "stl", or "auto" for what path ends in; false if that says nothing. */
bool pf_mesh_format_find(enum pf_mesh_format *format, const char *name, const char *path);
/* mesh must have colours and normals.  PF_EIO, or PF_ESHAPE for a GLB of 4 GiB or more. */
pf_err pf_mesh_write(const struct pf_mesh *mesh, enum pf_mesh_format format, FILE *to) PF_MUST_USE;

#endif
