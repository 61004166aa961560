/* small_mlp.h - layers of a few dozen units for blocks of points: what the fast field is made of.
 * Private to kernels/field; single-threaded, one block belongs to one thread.
 *
 * A block holds PF_BLOCK points as columns: a quantity of C channels is C rows of PF_BLOCK floats,
 * so every loop runs over points and vectorises whatever the width of a layer, and a weight is
 * read once for the whole block.  Rows come in fours: buffers have pf_rows(C) of them; what the
 * spare ones hold does not matter. */
#ifndef PF_FIELD_SMALL_MLP_H
#define PF_FIELD_SMALL_MLP_H
#include <stdint.h>

#include "common/hd.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_BLOCK = 64, PF_LANES = 16 };          /* points of a block; floats of a vector */

/* Rows that a buffer of C channels needs. */
PF_HD_FN int
pf_rows(int C)
{
    return (C + 3) / 4 * 4;
}

/* y = W x + b.  All memory is the caller's. */
struct pf_small {
    int K, C;
    const float *w, *b;         /* [K, C], [K] */
    float *forward, *backward;  /* W and its transpose, four rows interleaved */
};

/* Floats that one layer's packed copies take, and its gradient accumulator (pf_small_outer). */
int64_t pf_small_packed(int K, int C);
int64_t pf_small_sums(int K, int C);
/* Bring the packed copies up to date with w; call when w may have changed. */
void pf_small_pack(struct pf_small *l);

/* y [K] = W x + b, x [C] */
void pf_small_forward(const struct pf_small *l, float *y, const float *x);
/* y [K] = W x */
void pf_small_product(const struct pf_small *l, float *y, const float *x);
/* x [C] = W^T y, y [K] */
void pf_small_transposed(const struct pf_small *l, float *x, const float *y);
/* sums += y x^T, y [K], x [C]; one partial sum per vector lane, folded by pf_small_fold. */
void pf_small_outer(const struct pf_small *l, float *sums, const float *y, const float *x);
/* sums of K channels += y (a bias's gradient); sums [pf_rows(K) * PF_LANES]. */
void pf_small_sum(float *sums, const float *y, int K);
/* to [K, C] += what pf_small_outer collected; to [K] += what pf_small_sum collected. */
void pf_small_fold(const struct pf_small *l, float *to, const float *sums);
void pf_small_fold_sum(float *to, const float *sums, int K);
/* d_y [C] = 0 where y, a layer's output after relu, is. */
void pf_small_relu_backward(float *d_y, const float *y, int C);

/* ---- points and blocks of them ---- */

/* Blocks of n points; the last one may have room for more. */
static inline int64_t
pf_small_blocks(int64_t n)
{
    return (n + PF_BLOCK - 1) / PF_BLOCK;
}

/* columns [C] = points from..from+PF_BLOCK of x [n, C]; those past the end repeat the last. */
void pf_small_columns(float *columns, const float *x, int C, int64_t from, int64_t n);
/* The same, but points past the end are 0, and all where x is NULL: cotangents. */
void pf_small_columns_or_zero(float *columns, const float *x, int C, int64_t from, int64_t n);
/* Points from..from+PF_BLOCK of x [n, C], as far as there are any, = columns [C]. */
void pf_small_from_columns(float *x, const float *columns, int C, int64_t from, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
