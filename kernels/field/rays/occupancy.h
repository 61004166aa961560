/* occupancy.h - where along a ray a field is worth evaluating: a grid of its last known distances,
 * and the samples that follow from it.  Private to kernels/field.
 *
 *     PF_TRY(pf_occupancy_new(&o, conf));
 *     PF_TRY(pf_occupancy_update(o, net, step));                      // before every step
 *     PF_TRY(pf_occupancy_sample(o, &samples, origin, dir, rays, inv_s, true, seed, step));
 *     pf_occupancy_free(o);
 *
 * The grid holds one distance per cell of the cube [-bound, bound]^3, taken at the cell's centre.
 * A cell is "near" if a surface, or the part of the field around it that still has weight at
 * sharpness inv_s, may pass through it; it is "deep" if it lies so far inside that no light gets
 * beyond it.  A ray is sampled in near cells alone and ends at the first deep one.
 *
 * Everything is a pure function of the grid, the rays, inv_s, seed and step, so a resumed run
 * draws the same samples, whatever the number of threads. */
#ifndef PF_FIELD_OCCUPANCY_H
#define PF_FIELD_OCCUPANCY_H
#include "common/doc.h"
#include "kernels/field/net.h"
#include "kernels/field/rays/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_GRID_EVERY = 16 };    /* steps between updates */
/* Width of the surface whose area counts (trainer.c), in cells. */
#define PF_AREA_WIDTH 0.5f
/* Points that are drawn for it are no farther from the surface than this many widths. */
#define PF_AREA_REACH 5.0f

struct pf_occupancy;            /* opaque, owned by whoever made it */

/* A grid of conf->occupancy_resolution cells a side; until the first update every cell is
 * near. */
pf_err pf_occupancy_new(struct pf_occupancy **o, const struct pf_neus_config *conf) PF_MUST_USE;
void pf_occupancy_free(struct pf_occupancy *o);                 /* NULL is fine */

/* Evaluate the net at the cells' centres, if step is a multiple of PF_GRID_EVERY or negative. */
pf_err pf_occupancy_update(struct pf_occupancy *o, struct pf_net *net, int step) PF_MUST_USE;

/* Samples of rays origin [rays, 3] + t dir [rays, 3] (unit) into s, near to far, at most
 * conf->ray_samples a ray; none where a ray meets no near cell.  train: the samples of ray r
 * are shifted along it by a uniform number of (seed, step, r); otherwise by half a spacing. */
pf_err pf_occupancy_sample(struct pf_occupancy *o, struct pf_samples *s, const float *origin,
                           const float *dir, int64_t rays, float inv_s, bool train,
                           uint64_t seed, int step) PF_MUST_USE;

/* n points x [n, 3], uniform in the cells that may hold points nearer to the surface than reach,
 * and the volume of these cells: 0, and no points, if there is none. */
double pf_occupancy_near(const struct pf_occupancy *o, float *x, int64_t n, float reach,
                         uint64_t seed, int step);
/* n points x [n, 3], uniform on the faces of the cube. */
void pf_occupancy_walls(const struct pf_occupancy *o, float *x, int64_t n, uint64_t seed, int step);
float pf_occupancy_cell(const struct pf_occupancy *o);          /* side of a cell, scene units */
float *pf_occupancy_distances(struct pf_occupancy *o);          /* owned by o; of NULL: NULL */

/* The grid as train.occupancy.distance, so that a resumed run goes on byte for byte. */
pf_err pf_occupancy_save(const struct pf_occupancy *o, pf_doc *doc) PF_MUST_USE;
pf_err pf_occupancy_load(struct pf_occupancy *o, const pf_doc *doc) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
