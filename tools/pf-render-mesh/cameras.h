/* cameras.h - the cameras of a document of views: the rig's, or somebody's. */
#ifndef PF_CAMERAS_H
#define PF_CAMERAS_H
#include "common/posed_views.h"
#include "kernels/raster/raster.h"

struct cameras {                /* owned */
    int count, width, height;
    pf_tensor pose, intrinsics, elevation, azimuth;     /* as in pf-stream(5); no data: not told */
    bool in_cube;               /* poses are the cube's, not those of the mesh's world */
    bool placed;                /* world says where the cube is */
    struct pf_world world;
};

pf_err cameras_of_rig(struct cameras *c, int count, double elevation, int size) PF_MUST_USE;
/* Those of the one document of path, or of a transforms.json or a folder of COLMAP's texts, which
 * are of the world; pixels' middles at whole numbers afterwards.  size: side of the pictures where
 * nothing says it. */
pf_err cameras_read(struct cameras *c, const char *path, int size) PF_MUST_USE;
/* Poses of the world become those of the cube that lies there so. */
void cameras_move(struct cameras *c, const struct pf_world *world);
void cameras_aim(struct pf_raster_camera *camera, const struct cameras *c, int n);
pf_err cameras_put(pf_doc *doc, const struct cameras *c) PF_MUST_USE;
void cameras_release(struct cameras *c);

#endif
