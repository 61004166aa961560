/* raster.c - see raster.h. */
#include "tools/pf-eval/raster.h"

#include <math.h>

/* Faces that come nearer to the camera's plane are left out; the original's near plane is farther
 * away than that. */
static const double nearest_face = 1e-3, nearest_original = 0.1;
/* A pixel on an edge belongs to both faces: no crack between them. */
static const double on_edge = 1e-9;

struct corner {
    double u, v, z;             /* pixels, depth */
    double near;                /* what is linear in the picture, and larger the nearer it is */
};

static double
least(double a, double b, double c)
{
    return a < b ? (a < c ? a : c) : b < c ? b : c;
}

static double
most(double a, double b, double c)
{
    return a > b ? (a > c ? a : c) : b > c ? b : c;
}

static int
clamped(double v, int high)
{
    return v > 0 ? v < high ? (int)v : high : 0;
}

/* Twice the area of a, b and the point. */
static double
edge(const struct corner *a, const struct corner *b, double u, double v)
{
    return (b->u - a->u) * (v - a->v) - (b->v - a->v) * (u - a->u);
}

/* The pixels of one face. */
static void
draw(float *nearest, const struct corner c[3], const struct raster *r)
{
    const double middle = r->original ? 0.5 : 0, slack = r->original ? 0 : on_edge;
    const double area = edge(&c[0], &c[1], c[2].u, c[2].v);
    const double low = r->original ? nearest_original : nearest_face;
    if (area == 0 || !(least(c[0].z, c[1].z, c[2].z) > low) ||
        most(c[0].u, c[1].u, c[2].u) < 0 || most(c[0].v, c[1].v, c[2].v) < 0)
        return;
    const int j0 = clamped(ceil(least(c[0].u, c[1].u, c[2].u) - middle - slack), r->size);
    const int j1 = clamped(floor(most(c[0].u, c[1].u, c[2].u) - middle + slack), r->size - 1);
    const int i0 = clamped(ceil(least(c[0].v, c[1].v, c[2].v) - middle - slack), r->size);
    const int i1 = clamped(floor(most(c[0].v, c[1].v, c[2].v) - middle + slack), r->size - 1);
    for (int i = i0; i <= i1; i++)
        for (int j = j0; j <= j1; j++) {
            const double a = edge(&c[1], &c[2], j + middle, i + middle) * (1 / area);
            const double b = edge(&c[2], &c[0], j + middle, i + middle) * (1 / area);
            const double g = 1 - a - b;
            float *const at = nearest + (int64_t)i * r->size + j;
            const float near = (float)(a * c[0].near + b * c[1].near + g * c[2].near);
            if (a >= -slack && b >= -slack && g >= -slack && near > *at)
                *at = near;
        }
}

/* The original takes the depth itself to be linear, for everybody else its inverse is. */
static double
near_of(double z, const struct raster *r)
{
    return r->original ? -z : 1 / z;
}

void
raster_depth(float *depth, const struct pf_mesh *mesh, const double pose[12],
             const struct raster *r)
{
    const double focal = raster_focal(r->size);
    const int64_t pixels = (int64_t)r->size * r->size;
    for (int64_t i = 0; i < pixels; i++)
        depth[i] = -INFINITY;
    for (int64_t f = 0; f < mesh->faces; f++) {
        struct corner corner[3];
        for (int k = 0; k < 3; k++) {
            double c[3];
            raster_camera(c, pose, mesh->vertex + 3 * (int64_t)mesh->face[3 * f + k]);
            corner[k] = (struct corner){focal * c[0] / c[2] + 0.5 * r->size,
                                        focal * c[1] / c[2] + 0.5 * r->size, c[2],
                                        near_of(c[2], r)};
        }
        draw(depth, corner, r);
    }
    for (int64_t i = 0; i < pixels; i++)
        depth[i] = depth[i] == -INFINITY ? 0 : r->original ? -depth[i] : 1 / depth[i];
}
