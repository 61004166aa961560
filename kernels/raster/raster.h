/* raster.h - what cameras see of a scene: picture, alpha, depth and normals (raster.md).
 *
 *     PF_TRY(pf_raster_open(&r, dev, &scene));
 *     pf_raster_aim(&camera, pose, K);
 *     PF_TRY(pf_raster_view(r, &view, &camera, PF_LIGHT_SOFT));
 *     pf_raster_close(r);
 *
 * 4 x 4 samples a pixel; depth and normals are those of the pixel's middle.  All devices and any
 * number of threads give the same bits. */
#ifndef PF_RASTER_H
#define PF_RASTER_H
#include "kernels/dev.h"
#include "kernels/raster/scene.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_RASTER_SS = 4 };      /* samples of a pixel, along either side */

enum pf_light { PF_LIGHT_SOFT, PF_LIGHT_FLAT, PF_LIGHT_STUDIO };
/* "soft", "flat" or "studio". */
enum pf_light pf_light_find(const char *name);

struct pf_raster_camera {
    double P[12];               /* [3, 4] world to (u w, v w, w), w along the camera's z */
};
void pf_raster_aim(struct pf_raster_camera *c, const double pose[12], const double K[9]);

struct pf_raster_view {         /* the host's memory, the caller's */
    int width, height;          /* at most PF_VIEW_SIDE_MAX */
    uint8_t *image;             /* [H, W, 3] on white */
    float *alpha;               /* [H, W] */
    float *depth;               /* [H, W] along the camera's z, 0: nothing; or NULL */
    float *normal;              /* [H, W, 3] unit, of the world, towards the camera; or NULL */
};

typedef struct pf_raster pf_raster;             /* opaque, owned by whoever opened it */
/* A GPU gets a copy of the scene; a CPU borrows it. */
pf_err pf_raster_open(pf_raster **r, pf_dev *dev, const pf_scene *scene) PF_MUST_USE;
pf_err pf_raster_view(pf_raster *r, const struct pf_raster_view *view,
                      const struct pf_raster_camera *camera, enum pf_light light) PF_MUST_USE;
void pf_raster_close(pf_raster *r);             /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
