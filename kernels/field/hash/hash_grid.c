/* hash_grid.c - the multiresolution hash encoding (hash_grid.h). */
#include "kernels/field/hash/hash_grid.h"

#ifdef __GNUC__
#pragma GCC optimize("fp-contract=fast")        /* as in small_mlp.c */
#endif
#include "kernels/field/hash/hash_point.h"

pf_err
pf_hash_grid_init(struct pf_hash_grid *g, int levels, int features, int log2_table, int base,
                  int max, double bound)
{
    if (levels < 1 || levels > PF_HASH_MAX_LEVELS)
        return pf_fail(PF_EARG, "neus.levels is %d, expected 1..%d", levels, PF_HASH_MAX_LEVELS);
    if (features < 1 || features > PF_HASH_MAX_FEATURES)
        return pf_fail(PF_EARG, "neus.level_features is %d, expected 1..%d", features,
                       PF_HASH_MAX_FEATURES);
    if (log2_table < 8 || log2_table > 24)
        return pf_fail(PF_EARG, "neus.log2_table is %d, expected 8..24", log2_table);
    if (base < 2 || max < base || max > 8192)
        return pf_fail(PF_EARG, "neus.base_resolution is %d and max_resolution %d, expected "
                       "2 <= base <= max <= 8192", base, max);
    if (!(bound > 0 && bound <= 1000))
        return pf_fail(PF_EARG, "neus.bound is %g, expected more than 0 and at most 1000", bound);
    *g = (struct pf_hash_grid){.levels = levels, .features = features, .bound = (float)bound};
    const double growth = levels > 1 ? pow((double)max / base, 1.0 / (levels - 1)) : 1;
    for (int i = 0; i < levels; i++) {
        struct pf_hash_level *l = &g->level[i];
        l->scale = (float)(base * pow(growth, i) - 1);
        l->res = (int32_t)ceilf(l->scale) + 1;
        const int64_t all = (int64_t)l->res * l->res * l->res, most = (int64_t)1 << log2_table;
        l->dense = all <= most;
        l->size = (int32_t)(l->dense && (all + 7) / 8 * 8 < most ? (all + 7) / 8 * 8 : most);
        l->offset = g->entries;
        g->entries += l->size;
    }
    return PF_OK;
}

/* Where the points of a block lie in the grid of one level. */
struct place {
    int32_t cell[3][PF_BLOCK];
    float side[3][2][PF_BLOCK];         /* weight of the lower and the upper neighbour */
    float slope[3][2][PF_BLOCK];        /* its derivative */
};

static void
locate(struct place *at, const struct pf_hash_level *l, float bound, const float *x)
{
    const float scale = l->scale;
    for (int k = 0; k < 3; k++, x += PF_BLOCK) {
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++) {
            const struct pf_hash_place here = pf_hash_locate(x[p], bound, scale);
            at->cell[k][p] = here.cell;
            at->side[k][1][p] = here.side;
            at->side[k][0][p] = 1.0f - here.side;
            at->slope[k][1][p] = here.slope;
            at->slope[k][0][p] = -here.slope;
        }
    }
}

/* Table entries of one corner (bits 0..2: upper in x, y, z) of every point's cell. */
static void
corner_indices(int32_t index[PF_BLOCK], const struct place *at, const struct pf_hash_level *l,
               int corner)
{
    const int32_t i = corner & 1, j = corner >> 1 & 1, k = corner >> 2;
    const int32_t res = l->res, size = l->size;
    const int32_t *x = at->cell[0], *y = at->cell[1], *z = at->cell[2];
    if (l->dense) {
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            index[p] = pf_dense_index(x[p] + i, y[p] + j, z[p] + k, res, size);
    } else {
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            index[p] = pf_hashed_index(x[p] + i, y[p] + j, z[p] + k, size);
    }
}

struct weight {                         /* pf_hash_weight of every point */
    float value[PF_BLOCK], d[3][PF_BLOCK];
};

static void
corner_weights(struct weight *w, const struct place *at, int corner)
{
    const int i = corner & 1, j = corner >> 1 & 1, k = corner >> 2;
    const float *a = at->side[0][i], *b = at->side[1][j], *c = at->side[2][k];
    const float *da = at->slope[0][i], *db = at->slope[1][j], *dc = at->slope[2][k];
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++) {
        const struct pf_hash_weight here = pf_hash_weigh(a[p], b[p], c[p], da[p], db[p], dc[p]);
        w->value[p] = here.value;
        w->d[0][p] = here.d[0];
        w->d[1][p] = here.d[1];
        w->d[2][p] = here.d[2];
    }
}

/* One feature of one corner: added to value and, unless NULL, to its derivatives. */
static void
add_corner(float *restrict e, float *restrict jac, const float *restrict table, int F,
           const int32_t *restrict index, const struct weight *restrict w)
{
    if (jac) {
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++) {
            const float t = table[index[p] * F];
            e[p] += w->value[p] * t;
            jac[p] += w->d[0][p] * t;
            jac[PF_BLOCK + p] += w->d[1][p] * t;
            jac[2 * PF_BLOCK + p] += w->d[2][p] * t;
        }
    } else {
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            e[p] += w->value[p] * table[index[p] * F];
    }
}

void
pf_hash_encode(const struct pf_hash_grid *g, const float *table, int active, float *e, float *jac,
               const float *x)
{
    const int F = g->features;
    memset(e, 0, sizeof(float) * PF_BLOCK * (size_t)(g->levels * F));
    if (jac)
        memset(jac, 0, sizeof(float) * PF_BLOCK * (size_t)(g->levels * F) * 3);
    for (int i = 0; i < g->levels && i < active; i++) {
        const struct pf_hash_level *l = &g->level[i];
        struct place at;
        locate(&at, l, g->bound, x);
        for (int corner = 0; corner < 8; corner++) {
            int32_t index[PF_BLOCK];
            struct weight w;
            corner_indices(index, &at, l, corner);
            corner_weights(&w, &at, corner);
            for (int f = 0; f < F; f++)
                add_corner(e + (i * F + f) * PF_BLOCK,
                           jac ? jac + (int64_t)(i * F + f) * 3 * PF_BLOCK : NULL,
                           table + l->offset * F + f, F, index, &w);
        }
    }
}

void
pf_hash_scatter(const struct pf_hash_grid *g, int l, float *grad, const float *x, const float *d_e,
                const float *q, const float *d_g, int points)
{
    const int F = g->features;
    struct place at;
    locate(&at, &g->level[l], g->bound, x);
    for (int corner = 0; corner < 8; corner++) {
        int32_t index[PF_BLOCK];
        float add[PF_HASH_MAX_FEATURES][PF_BLOCK];
        struct weight w;
        corner_indices(index, &at, &g->level[l], corner);
        corner_weights(&w, &at, corner);
        for (int f = 0; f < F; f++) {
            const float *a = d_e + f * PF_BLOCK, *b = q + f * PF_BLOCK;
#pragma omp simd
            for (int p = 0; p < PF_BLOCK; p++) {
                const struct pf_hash_weight here = {w.value[p], {w.d[0][p], w.d[1][p], w.d[2][p]}};
                add[f][p] = pf_hash_share(here, a[p], b[p], d_g + p, PF_BLOCK);
            }
        }
        for (int p = 0; p < points; p++)
            for (int f = 0; f < F; f++)
                grad[(int64_t)index[p] * F + f] += add[f][p];
    }
}
