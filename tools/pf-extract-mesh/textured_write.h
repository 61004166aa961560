/* textured_write.h - meshes with a texture: GLB with the pictures inside, OBJ with an MTL file and
 * the pictures beside it. */
#ifndef PF_TEXTURED_WRITE_H
#define PF_TEXTURED_WRITE_H
#include "tools/pf-extract-mesh/texture.h"

/* Positions, normals, texture coordinates, tangents if there is a map of normals, and the pictures
 * as PNG.  Vertices at the seams of charts are there once for each chart. */
pf_err pf_textured_write_glb(const struct pf_mesh *mesh, const struct pf_texture *texture,
                             FILE *to) PF_MUST_USE;
/* The OBJ to an open file; beside path NAME.obj, which the file will have, it writes NAME.mtl,
 * NAME.png and NAME-normal.png.  Vertices are shared, with texture coordinates of their own. */
pf_err pf_textured_write_obj(const struct pf_mesh *mesh, const struct pf_texture *texture,
                             const char *path, FILE *to) PF_MUST_USE;
/* Fail now as the writing of the files beside path would fail later. */
pf_err pf_textured_try_obj(const char *path, bool normals) PF_MUST_USE;

#endif
