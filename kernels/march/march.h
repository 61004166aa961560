/* march.h - marching cubes: the surface where a function in a cube, a signed distance, is 0, as a
 * closed mesh.
 *
 *     struct pf_march_options opt = {.resolution = 512, .bound = 0.6};
 *     PF_TRY(pf_march(&mesh, NULL, sdf, ctx, &opt));
 *
 * Not Bourke's tables, which leave holes where neighbours disagree about a face with two opposite
 * corners inside: here such corners are always apart, which each side of the face sees alike, and
 * no triangle has a diagonal in a face of its cell.  So every edge has exactly two triangles, in
 * opposite directions, whatever the numbers are.
 *
 * The outermost layer of the grid counts as outside, so a surface that the cube cuts is capped.
 *
 * The grid is never held whole.  An octree starts at blocks of 8 cells: a block is divided while
 * its corners differ in sign or one of them is nearer to the surface than slope x half its
 * diagonal.  The surface of a function that nowhere changes faster than slope per unit is thus
 * found completely; the cells that the surface leaves into are then added until there are none, so
 * that what was touched anywhere is found completely in any case.
 *
 * The mesh and its order are those of the dense grid, on every device.  The grid is cut into bricks
 * of 8 x 8 x 8 points; in bricks and among them x changes fastest, then y.  Vertices are sorted by
 * brick, point and axis of the grid's edge that begins at the point and that they lie on; faces by
 * brick, cell (as its lowest point) and their order in march_cases.h. */
#ifndef PF_MARCH_H
#define PF_MARCH_H
#include "kernels/dev.h"
#include "kernels/march/mesh.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_MARCH_MIN = 2, PF_MARCH_MAX = 2048 };

/* Signed distances out [n] at x [n, 3], negative inside. */
typedef pf_err pf_sdf_fn(void *ctx, float *out, const float *x, int64_t n);

struct pf_march_options {
    int resolution;             /* points along an axis, from -bound to bound */
    double bound;
    double slope;               /* 0: PF_MARCH_SLOPE */
    bool dense;                 /* evaluate every point, for comparison */
};
/* Trained fields have |gradient| 1 +- some tenths near the surface but more around specks beside
 * it: a hash field of 400 steps lost one of 22 vertices at 2 and none at 3 (256 points a side). */
#define PF_MARCH_SLOPE 4.0

struct pf_march_stats {
    int64_t evaluations, cells; /* points evaluated; cells that hold surface */
};

/* mesh: owned, without colours; no faces if there is no surface.  stats may be NULL.  PF_EFORMAT
 * if a distance is not finite, PF_EARG for a resolution out of range, PF_ESHAPE for too many
 * vertices. */
pf_err pf_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_sdf_fn *sdf, void *ctx,
                const struct pf_march_options *options) PF_MUST_USE;
/* The same on a GPU: sdf works on the GPU's memory and on dev's stream, and need not wait. */
pf_err pf_march_cuda(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_dev *dev,
                     pf_sdf_fn *sdf, void *ctx, const struct pf_march_options *options) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
