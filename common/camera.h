/* camera.h - the rig, Pluecker maps and epipolar masks (spec 01).
 *
 * World: right-handed, z up, the object in a unit cube around the origin, cameras 1.5 from it and
 * looking at it.  Cameras: x right, y down, z forward.  Angles in radians.  Poses are world to
 * camera, X_cam = R X_world + t.  Pixel (column j, row i) has coordinates (j, i), no half pixel,
 * except in Pluecker maps and masks (spec 01, 1 and 5). */
#ifndef PF_CAMERA_H
#define PF_CAMERA_H
#include <stdbool.h>
#include <stdint.h>

#include "common/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_RIG_DISTANCE 1.5
#define PF_PI 3.14159265358979323846

/* Azimuth of view n of N: float32(2 pi n / N) exactly as the original rounds it. */
float pf_rig_azimuth(int n, int N);
/* pose [3][4], row major: the camera at this elevation and azimuth (spec 01, 1). */
void pf_camera_pose(double pose[12], double elevation, double azimuth);
/* K [3][3] for square images of this side: focal length 280 px at 256. */
void pf_camera_intrinsics(double K[9], int image_size);
/* Fill the stream's tensors for N views at one elevation, host f32 [N,3,4] [N,3,3] [N] [N]; owned
 * by the caller, any of them may be NULL. */
pf_err pf_rig_tensors(pf_tensor *pose, pf_tensor *intrinsics, pf_tensor *elevations,
                      pf_tensor *azimuths, int N, double elevation, int image_size) PF_MUST_USE;
/* v[4] of view n (spec 01, 3). */
void pf_viewpoint_embed(float v[4], float elevation_input, float elevation_target,
                        float azimuth, float azimuth_input);

/* Origin and unit direction of the ray through pixel (j, i) (spec 04, 2). */
void pf_camera_ray(float origin[3], float dir[3], const double pose[12], const double K[9],
                   double j, double i);

/* SPAD's camera: "elevation" used as a polar angle (spec 01, 4; quirk Q2: the network was trained
 * so).  Elevation 0 takes the limit from above (Q4). */
struct pf_spad_camera {
    double center[3], right[3], up[3], forward[3];
};
void pf_spad_camera(struct pf_spad_camera *c, double elevation, double azimuth);
/* map [6, n, n] channels first, f32 (spec 01, 5). */
void pf_plucker(float *map, const struct pf_spad_camera *c, int n);
/* The [2n*n, 2n*n] mask of (target, input): row p is ceil(2n*n/32) words, bit q%32 (from the
 * least) of word q/32 says whether query p sees key q (spec 01, 6).  Identical cameras get empty
 * cross blocks (Q5). */
void pf_epipolar_mask(uint32_t *bits, const struct pf_spad_camera *target,
                      const struct pf_spad_camera *input, int n);
/* The mask at feature side h of one made for side n, h divides n: nearest on the flattened index
 * (spec 01, 7; Q6).  to: [2h*h, ceil(2h*h/32)]. */
void pf_epipolar_mask_shrink(uint32_t *to, int h, const uint32_t *from, int n);
/* Pluecker map at side h of one made for side n: 2x2 mean (spec 01, 5). */
void pf_plucker_shrink(float *to, int h, const float *from, int n);

#ifdef __cplusplus
}
#endif
#endif
