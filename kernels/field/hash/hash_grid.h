/* hash_grid.h - the multiresolution hash encoding of a point (field.md, 9; Mueller et al. 2022),
 * its derivative in space, and the gradient of both.  Private to kernels/field.
 *
 * Level l is a grid of res^3 vertices over the cube [-bound, bound]^3 with F features at each; a
 * level with more vertices than the table has entries shares them by a hash.  A point gets the
 * features of its cell's 8 corners, trilinearly.  Blocks of points are columns (small_mlp.h). */
#ifndef PF_FIELD_HASH_GRID_H
#define PF_FIELD_HASH_GRID_H
#include <stdbool.h>

#include "common/error.h"
#include "kernels/field/hash/small_mlp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_HASH_MAX_LEVELS = 16, PF_HASH_MAX_FEATURES = 8 };     /* the second: of one level */

struct pf_hash_level {
    float scale;                /* grid units in the whole cube */
    int32_t res, size;          /* vertices a side; entries of the table */
    bool dense;
    int64_t offset;             /* of its first entry in the table of all levels */
};
struct pf_hash_grid {
    int levels, features;       /* L, F */
    float bound;
    int64_t entries;            /* of all levels */
    struct pf_hash_level level[PF_HASH_MAX_LEVELS];
};

/* Sizes as tiny-cuda-nn has them; resolutions grow geometrically from base to max.  PF_EARG for a
 * size that makes no sense. */
pf_err pf_hash_grid_init(struct pf_hash_grid *g, int levels, int features, int log2_table, int base,
                         int max, double bound) PF_MUST_USE;

/* e [L F] of points x [3] from table [entries, F], and unless NULL their derivatives jac [L F, 3].
 * Levels from `active` on give 0.  Outside the cube the nearest point of it counts. */
void pf_hash_encode(const struct pf_hash_grid *g, const float *table, int active, float *e,
                    float *jac, const float *x);
/* grad [size, F] of level l, += what the first `points` points of a block contribute, in their
 * order: for each, a loss that changes with its features like d_e [F] and through g = sum over
 * features of q [F] times their derivative in space like d_g [3]. */
void pf_hash_scatter(const struct pf_hash_grid *g, int l, float *grad, const float *x,
                     const float *d_e, const float *q, const float *d_g, int points);

#ifdef __cplusplus
}
#endif
#endif
