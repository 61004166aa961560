/* cameras.h - the cameras of a document of views: the rig's, or those of another one. */
#ifndef PF_CAMERAS_H
#define PF_CAMERAS_H
#include "common/posed_views.h"
#include "kernels/raster/raster.h"

struct cameras {                /* owned */
    int count, width, height;
    pf_tensor pose, intrinsics, elevation, azimuth;     /* as in pf-stream(5); no data: not told */
};

pf_err cameras_of_rig(struct cameras *c, int count, double elevation, int size) PF_MUST_USE;
/* Those of the one document of path; pixels' middles at whole numbers afterwards. */
pf_err cameras_read(struct cameras *c, const char *path) PF_MUST_USE;
void cameras_aim(struct pf_raster_camera *camera, const struct cameras *c, int n);
pf_err cameras_put(pf_doc *doc, const struct cameras *c) PF_MUST_USE;
void cameras_release(struct cameras *c);

#endif
