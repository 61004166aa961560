/* raster.h - which texels have their middle in a triangle: each one in exactly one of the triangles
 * that share an edge or a corner. */
#ifndef PF_RASTER_H
#define PF_RASTER_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { PF_RASTER_ONE = 256 };   /* parts of a texel that corners are rounded to */

struct pf_raster {
    int64_t ax[3], ay[3], dx[3], dy[3], bias[3];        /* of the edge opposite to each corner */
    int64_t area;               /* twice, in parts squared; 0: covers nothing */
    int x0, y0, x1, y1;         /* the texels that it can touch, ends excluded */
};

static inline int64_t
pf_raster_parts(float texels)
{
    return llroundf(texels * PF_RASTER_ONE);
}

/* A triangle whose corners run counter-clockwise to the eye, y downwards; margin: texels around its
 * box. */
static inline void
pf_raster_begin(struct pf_raster *r, const float *const corner[3], int margin)
{
    int64_t x[3], y[3], low[2], high[2];
    for (int k = 0; k < 3; k++) {
        x[k] = pf_raster_parts(corner[k][0]);
        y[k] = pf_raster_parts(corner[k][1]);
    }
    r->area = (x[2] - x[0]) * (y[1] - y[0]) - (x[1] - x[0]) * (y[2] - y[0]);
    low[0] = high[0] = x[0];
    low[1] = high[1] = y[0];
    for (int k = 0; k < 3; k++) {
        const int a = (k + 2) % 3, b = (k + 1) % 3;
        r->ax[k] = x[a];
        r->ay[k] = y[a];
        r->dx[k] = x[b] - x[a];
        r->dy[k] = y[b] - y[a];
        // A middle on an edge belongs to the triangle whose upper or left edge it is.
        r->bias[k] = r->dy[k] < 0 || (r->dy[k] == 0 && r->dx[k] > 0) ? 0 : -1;
        low[0] = x[k] < low[0] ? x[k] : low[0];
        high[0] = x[k] > high[0] ? x[k] : high[0];
        low[1] = y[k] < low[1] ? y[k] : low[1];
        high[1] = y[k] > high[1] ? y[k] : high[1];
    }
    r->x0 = (int)floor((double)low[0] / PF_RASTER_ONE) - margin;
    r->y0 = (int)floor((double)low[1] / PF_RASTER_ONE) - margin;
    r->x1 = (int)floor((double)high[0] / PF_RASTER_ONE) + 1 + margin;
    r->y1 = (int)floor((double)high[1] / PF_RASTER_ONE) + 1 + margin;
}

/* Whether the middle of a texel is inside; weight [3]: of the corners there, whose sum is area,
 * also outside. */
static inline bool
pf_raster_covers(int64_t weight[3], const struct pf_raster *r, int x, int y)
{
    const int64_t px = (int64_t)x * PF_RASTER_ONE + PF_RASTER_ONE / 2,
                  py = (int64_t)y * PF_RASTER_ONE + PF_RASTER_ONE / 2;
    bool in = r->area > 0;
    for (int k = 0; k < 3; k++) {
        weight[k] = r->dx[k] * (py - r->ay[k]) - r->dy[k] * (px - r->ax[k]);
        in &= weight[k] + r->bias[k] >= 0;
    }
    return in;
}

#endif
