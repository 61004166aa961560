/* mesh_turn.h - what a camera of the rig sees of a mesh (raster.md). */
#ifndef PF_MESH_TURN_H
#define PF_MESH_TURN_H
#include "common/image.h"
#include "kernels/raster/raster.h"

struct mesh_turn;               /* opaque, owned by whoever opened it */
/* The mesh is put into the cube, and made so small that frames of this side show all of it. */
pf_err mesh_turn_open(struct mesh_turn **m, pf_dev *dev, const char *path, int size) PF_MUST_USE;
/* image: [size, size, 3], allocated by the caller. */
pf_err mesh_turn_view(pf_image *image, struct mesh_turn *m, double elevation,
                      double azimuth) PF_MUST_USE;
void mesh_turn_close(struct mesh_turn *m);      /* NULL is fine */

#endif
