/* hull.h - what the masks of posed pictures leave of a cube: the visual hull, on a grid, and how
 * it looks from a camera (scores.md, 1 and 2).
 *
 *     PF_TRY(hull_new(&h, 64, 0.6));
 *     for (int n = 0; n < pictures; n++)
 *         hull_carve(&h, &picture[n]);
 *     hull_look(&h, &picture[0], cover, depth);               // [LOOK, LOOK] each */
#ifndef PF_HULL_H
#define PF_HULL_H
#include <stdint.h>

#include "common/error.h"

enum { LOOK = 48 };             /* a silhouette is compared on so many places a side */

struct picture {                /* borrowed from a document but for what the camera is */
    int width, height;
    const float *alpha;         /* [H, W] 0..1 */
    const float *rgb;           /* [H, W, 3] 0..1, before white */
    double pose[12], K[9];      /* world to camera; pixel (j, i) has its middle there */
};

struct hull {
    int side;
    double half;                /* the cube is -half to half */
    float *occupancy;           /* [x, y, z] 0..1, owned; cells' middles */
    double low[3], high[3];     /* the box of what is not 0, a cell wider on each side; low is above
                                   high if everything is 0 */
};

/* A full cube. */
pf_err hull_new(struct hull *h, int side, double half) PF_MUST_USE;
void hull_release(struct hull *h);
/* A copy of `from`, of the same side. */
void hull_copy(struct hull *h, const struct hull *from);
/* Each cell becomes at most what the mask has where the cell is seen; 0 outside the picture. */
void hull_carve(struct hull *h, const struct picture *p);
/* How h looks to p's camera, on LOOK x LOOK places spread over p: cover is the most that the ray
 * meets; depth, along z, is where it first meets 0.5, and 0 where it does not.  depth may be
 * NULL. */
void hull_look(const struct hull *h, const struct picture *p, float *cover, float *depth);
/* The column or row of p, of this size, that is place k of LOOK. */
double look_at(int k, int size);
/* The value of a map [H, W, channels] of p's size at (u, v), bilinear; `outside` beyond the middles
 * of the outermost pixels. */
float picture_at(const struct picture *p, const float *map, int channels, int channel, double u,
                 double v, float outside);

#endif
