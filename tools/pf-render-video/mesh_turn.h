/* mesh_turn.h - what a camera of the rig sees of a mesh (raster.md). */
#ifndef PF_MESH_TURN_H
#define PF_MESH_TURN_H
#include <stdbool.h>

#include "common/image.h"
#include "kernels/raster/raster.h"

enum show { SHOW_COLOR, SHOW_NORMAL, SHOW_DEPTH };
struct mesh_show {
    enum show what;
    enum pf_light light;
    bool keep_frame;            /* it stays where it is, and as large */
};

struct mesh_turn;               /* opaque, owned by whoever opened it */
/* Unless its frame is kept the mesh is put into the cube, and made so small that frames of this
 * side show all of it. */
pf_err mesh_turn_open(struct mesh_turn **m, pf_dev *dev, const char *path, int size,
                      const struct mesh_show *show) PF_MUST_USE;
/* image: [size, size, 3], allocated by the caller.  Normals -1 to 1 are 0 to 1 of red, green and
 * blue; depth is from black to light grey over all that the film can show. */
pf_err mesh_turn_view(pf_image *image, struct mesh_turn *m, double elevation,
                      double azimuth) PF_MUST_USE;
void mesh_turn_close(struct mesh_turn *m);      /* NULL is fine */

#endif
