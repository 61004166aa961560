/* raster.h - depth maps of a mesh from a camera of the rig. */
#ifndef PF_RASTER_H
#define PF_RASTER_H
#include <stdbool.h>

#include "common/camera.h"
#include "kernels/march/mesh.h"

struct raster {
    int size;                   /* pixels a side; the focal length is 280 at 256 */
    bool original;              /* as the original does it (measures.md, 4) */
};
/* depth [size, size] along the camera's z of the nearest face, 0 where there is none. */
void raster_depth(float *depth, const struct pf_mesh *mesh, const double pose[12],
                  const struct raster *r);

static inline double
raster_focal(int size)
{
    double K[9];
    pf_camera_intrinsics(K, size);
    return K[0];
}

/* p in the camera's axes. */
static inline void
raster_camera(double to[3], const double pose[12], const float p[3])
{
    for (int k = 0; k < 3; k++)
        to[k] = pose[4 * k] * p[0] + pose[4 * k + 1] * p[1] + pose[4 * k + 2] * p[2] +
                pose[4 * k + 3];
}

#endif
