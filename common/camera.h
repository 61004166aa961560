/* camera.h - the rig and its cameras (cameras.md; spad.h: Pluecker maps and epipolar lines).
 *
 * World: right-handed, z up, the object in a unit cube around the origin, cameras 1.5 from it and
 * looking at it.  Cameras: x right, y down, z forward.  Angles in radians.  Poses are world to
 * camera, X_cam = R X_world + t.  Pixel (column j, row i) has coordinates (j, i), no half pixel,
 * except in spad.h (cameras.md, 1 and 5). */
#ifndef PF_CAMERA_H
#define PF_CAMERA_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/hd.h"
#include "common/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_RIG_DISTANCE 1.5
#define PF_PI 3.14159265358979323846

/* Azimuth of view n of N: float32(2 pi n / N) exactly as the original rounds it. */
float pf_rig_azimuth(int n, int N);
/* pose [3][4], row major: the camera at this elevation and azimuth (cameras.md, 1). */
void pf_camera_pose(double pose[12], double elevation, double azimuth);
/* K [3][3] for square images of this side: focal length 280 px at 256. */
void pf_camera_intrinsics(double K[9], int image_size);
/* Fill the stream's tensors for N views at one elevation, host f32 [N,3,4] [N,3,3] [N] [N]; owned
 * by the caller, any of them may be NULL. */
pf_err pf_rig_tensors(pf_tensor *pose, pf_tensor *intrinsics, pf_tensor *elevations,
                      pf_tensor *azimuths, int N, double elevation, int image_size) PF_MUST_USE;
/* v[4] of view n (cameras.md, 3). */
void pf_viewpoint_embed(float v[4], float elevation_input, float elevation_target,
                        float azimuth, float azimuth_input);

static inline PF_HD double
pf_dot3(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static inline PF_HD void
pf_cross3(double to[3], const double a[3], const double b[3])
{
    to[0] = a[1] * b[2] - a[2] * b[1];
    to[1] = a[2] * b[0] - a[0] * b[2];
    to[2] = a[0] * b[1] - a[1] * b[0];
}

/* Origin and unit direction of the ray through pixel (j, i) (field.md, 2). */
static inline PF_HD void
pf_camera_ray(float origin[3], float dir[3], const double pose[12], const double K[9], double j,
              double i)
{
    const double y = (i - K[5]) / K[4], x = (j - K[2] - K[1] * y) / K[0];
    double d[3], o[3];
    for (int k = 0; k < 3; k++) {               // columns of R, so R^T
        d[k] = pose[k] * x + pose[4 + k] * y + pose[8 + k];
        o[k] = -(pose[k] * pose[3] + pose[4 + k] * pose[7] + pose[8 + k] * pose[11]);
    }
    const double length = sqrt(pf_dot3(d, d));
    for (int k = 0; k < 3; k++) {
        origin[k] = (float)o[k];
        dir[k] = (float)(d[k] / length);
    }
}

/* SPAD's camera: "elevation" used as a polar angle (cameras.md, 4: the network was trained
 * so).  Elevation 0 takes the limit from above (the pole). */
struct pf_spad_camera {
    double center[3], right[3], up[3], forward[3];
};
void pf_spad_camera(struct pf_spad_camera *c, double elevation, double azimuth);

#ifdef __cplusplus
}
#endif
#endif
