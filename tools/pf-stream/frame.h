/* frame.h - how the unit cube of the scene is laid around the object that cameras look at
 * (world.h). */
#ifndef PF_FRAME_H
#define PF_FRAME_H
#include "common/error.h"

/* What is known of one view: its camera in the world, and its picture's mask or NULL. */
struct sight {
    double R[9], t[3];          /* world to camera */
    double fx, fy, cx, cy;      /* pixels, middles of pixels at whole numbers */
    int width, height;
    const float *alpha;         /* [height, width] */
};

/* The point that is nearest to all axes, in the sense of least squares.  A view's axis is the ray
 * through the middle of its mask's bounding box; without masks, of all views, the optical axis.
 * Fails where the axes are so nearly parallel that this says nothing. */
pf_err frame_center(double center[3], const struct sight *view, int views) PF_MUST_USE;
/* With masks half of one over the largest distance between the center and a ray of an object's
 * pixel, so that the object's ball touches the unit cube; without, 1.5 over the mean distance of
 * the cameras, where the rig's stand. */
pf_err frame_scale(double *scale, const double center[3], const struct sight *view, int views)
    PF_MUST_USE;

#endif
