/* mlp_block.h - what forward (mlp.c) and backward (mlp_backward.c) share on the CPU: a block of
 * points, its arrays and its work space. */
#ifndef PF_FIELD_MLP_BLOCK_H
#define PF_FIELD_MLP_BLOCK_H
#include "kernels/field/mlp/mlp.h"

/* Some points of a tape: array s of the points from row on is at rows(t, s). */
struct rows {
    float *base;
    int64_t points, row;
};

static inline float *
rows(const struct rows *t, struct slot s)
{
    return t->base + s.at * t->points + t->row * s.width;
}

/* Work space of one thread: four matrices of [BLOCK, widest], then a tape of one block. */
struct work {
    float *z, *p, *q, *extra, *tape;
};

static inline struct work
work_of(const struct mlp *m, int thread)
{
    float *base = m->scratch + thread * m->scratch_width;
    const int64_t step = BLOCK * m->widest;
    return (struct work){base, base + step, base + 2 * step, base + 3 * step, base + 4 * step};
}

/* c [m, n] = a b (+ c if add), single-threaded; ta: a is stored [k, m].  oneDNN's sgemm is 1.6 to
 * 3 times OpenBLAS's at these sizes where it generates code for the machine: x86-64. */
void pf_mlp_matmul(float *c, int64_t ldc, const float *a, int64_t lda, bool ta, const float *b,
                   int64_t ldb, int64_t m, int64_t n, int64_t k, bool add);

/* Cotangents of one block of n points: what pf_mlp_layer_gradient needs is left in the tape. */
void pf_mlp_backward_block(const struct mlp *m, const struct rows *t, const float *d_sdf,
                           const float *d_grad, const float *d_rgb, int64_t n,
                           const struct work *w);
/* Adds to the gradients of the parameters: rows from..to-1 of a layer, summed over the whole tape.
 * dw [to - from, in]: work space. */
void pf_mlp_layer_gradient(const struct mlp *m, const struct layer *a, int64_t from, int64_t to,
                           float *dw);

#endif
