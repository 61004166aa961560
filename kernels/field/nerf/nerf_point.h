/* nerf_point.h - what happens at one point of a nerf field, and in one cell of its grid of
 * densities, on a CPU and on a GPU alike; nerf.h has the formulas.  Private to kernels/field/nerf.
 * Include it as hash_point.h, which it includes. */
#ifndef PF_FIELD_NERF_POINT_H
#define PF_FIELD_NERF_POINT_H
#include "common/rng.h"
#include "kernels/field/hash/hash_point.h"

/* The original overwrites its scale of densities with the height of the blob that it starts from,
 * so both are 10 (field.md, 14). */
#define PF_NERF_BLOB 10.0f
#define PF_NERF_BLOB_RADIUS 0.25f
#define PF_NERF_SCALE 10.0f
#define PF_NERF_FADE 0.95f              /* a cell keeps so much from one update to the next */
#define PF_NERF_THRESHOLD 0.01f
enum { PF_NERF_EVERY = 16, PF_NERF_WHOLE = 16 };        /* steps; updates of all cells */

/* The density at x from the network's first output; slope is its derivative by that. */
PF_FN float
pf_nerf_density(float *slope, float out, float x, float y, float z)
{
    const float length = sqrtf(x * x + y * y + z * z);
    const float raw = out + (1.0f - length * (1 / PF_NERF_BLOB_RADIUS)) * PF_NERF_BLOB;
    const float e = pf_exp_negative(-fabsf(raw)), right = 1.0f / (1.0f + e);
    *slope = PF_NERF_SCALE * (raw > 0.0f ? right : e * right);
    return PF_NERF_SCALE * ((raw > 0.0f ? raw : 0.0f) + pf_log_one_plus(e));
}

/* The point of cell number c at which an update asks for the density: anywhere in it. */
PF_FN void
pf_nerf_cell_point(float x[3], int64_t c, int32_t R, float bound, const uint32_t random[3])
{
    const int32_t at[3] = {(int32_t)(c % R), (int32_t)(c / R % R), (int32_t)(c / R / R)};
    const double half = (double)bound / R;
    PF_UNROLL for (int k = 0; k < 3; k++) {
        const double u = (double)(random[k] >> 8) * 0x1p-23 - 1;
        x[k] = (float)((2.0 * at[k] / (R - 1) - 1) * (bound - half) + u * half);
    }
}

/* Draw number i of an update of the grid: its cell, and a point in that.  Of an update of the whole
 * grid draw i is cell i; else the first `cells` / 4 are any cells and the others are of the list of
 * those that are occupied. */
PF_FN int64_t
pf_nerf_draw(float x[3], int64_t i, int64_t update, int32_t R, float bound, const int32_t *occupied,
             int64_t listed, uint64_t seed)
{
    const int64_t cells = (int64_t)R * R * R, any = cells / 4;
    const uint64_t stream = PF_RNG_OCCUPANCY | UINT64_C(2) << 32;
    const struct pf_rng4 r = pf_philox(seed, stream, (uint64_t)(update * cells + i));
    const int64_t c = update < PF_NERF_WHOLE ? i
                      : i < any              ? (int64_t)(r.v[0] * (uint64_t)cells >> 32)
                                : occupied[r.v[0] * (uint64_t)listed >> 32];
    pf_nerf_cell_point(x, c, R, bound, r.v + 1);
    return c;
}

/* How many draws an update makes. */
PF_HD_FN int64_t
pf_nerf_draws(int64_t update, int64_t cells, int64_t listed)
{
    return update < PF_NERF_WHOLE ? cells : cells / 4 * (listed ? 2 : 1);
}

/* What a cell holds after an update that found `fresh` in it; a negative number is left alone on
 * either side: nothing was drawn, or the cell is none. */
PF_FN float
pf_nerf_faded(float density, float fresh)
{
    const float faded = PF_NERF_FADE * density;
    return fresh < 0 || density < 0 ? density : fresh > faded ? fresh : faded;
}

#endif
