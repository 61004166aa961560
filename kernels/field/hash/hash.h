/* hash.h - the fast field: hash grid, a small SDF network, a small colour network (field.md, 9 with
 * sizes of our own).  Private to hash*.c; the others see net.h.
 *
 *   in    [3 + L F]   the point and its grid features
 *   z     [H]         W0 in + b0;  h = softplus_100(z)
 *   out   [1 + G]     W1 h + b1: sdf, then G features for the colour net
 *   g     [3]         d sdf / d point = the first 3 rows of q = W0^T (W1[0] * softplus'(z)), plus
 *                     the grid's derivatives weighted by its other rows
 *   color [3]         sigmoid(A2 relu(A1 relu(A0 [features, n, SH(r)]))), n = g / |g|, r the
 *                     viewing direction reflected at n, SH spherical harmonics up to degree 3
 *
 * hash_init.c makes one, hash.c implements net.h on all points, hash_simd.c does the mathematics of
 * one block of them (small_mlp.h). */
#ifndef PF_FIELD_HASH_H
#define PF_FIELD_HASH_H
#include "kernels/field/hash/hash_grid.h"
#include "kernels/field/net.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_HARMONICS = 16, PF_HASH_LAYERS = 5, PF_HASH_SLICES = 16 };
enum { PF_VIEW_STEPS = 100 };   /* in which the harmonics come in, from view_start on */
/* Layers; the parameters are the table, then weight and bias of each. */
enum { SDF0, SDF1, COLOR0, COLOR1, COLOR2 };

struct pf_hash {
    struct pf_net net;          /* first: a pf_net is one of these */
    struct pf_hash_grid grid;
    struct pf_param param[1 + 2 * PF_HASH_LAYERS];
    struct pf_small layer[PF_HASH_LAYERS];
    int active, start_levels, level_steps;      /* levels in use; the schedule */
    int view_start;
    float view;                 /* 0..1: how much the harmonics of the direction count */
    float *memory;              /* parameters, gradients, packed copies; owned */

    float *work;                /* [threads, block_floats + sum_floats]; owned */
    int threads;
    int64_t block_floats, sum_floats;
    float *part;                /* [PF_HASH_SLICES, weights] the networks' gradients; owned */
    int64_t weights;            /* parameters but the table */

    /* The points of the last forward with a tape, and what backward hands from the blocks to the
     * grid; owned. */
    float *tape;                /* [blocks, tape_rows, PF_BLOCK] */
    int64_t points, room;       /* room: blocks */
};

static inline float *
row(float *rows, int i)
{
    return rows + (int64_t)i * PF_BLOCK;
}

static inline int
features(const struct pf_hash *net)
{
    return net->grid.levels * net->grid.features;
}

/* Rows of PF_BLOCK floats, one thread's.  Names as above; d_: cotangents. */
struct pf_hash_simd {
    float *x, *dir;             /* [3] */
    float *in, *jac;            /* [3 + L F], [L F, 3] */
    float *z, *h, *s;           /* [H] z; softplus and its derivative */
    float *u, *q;               /* [H] W1[0] * s; [3 + L F] */
    float *out;                 /* [1 + G | 3 | 16]: the colour net's input is out + one row */
    float *g, *length;          /* [3]; [1] |g| */
    float *c0, *c1, *color;     /* [C], [C], [3] */
    /* backward */
    float *d_out;               /* as out */
    float *d_c0, *d_c1, *d_color;
    float *d_g, *d_q, *d_u;     /* [3], [3 + L F], [H] */
    float *d_z, *d_in;          /* [H], [3 + L F] */
};

/* One thread's gradient sums, laid out as pf_small_outer and pf_small_sum want them. */
struct pf_hash_sums {
    float *w[PF_HASH_LAYERS], *b[PF_HASH_LAYERS];
    float *first;               /* what d_u adds to W1[0] */
};

/* Lay the arrays of a block out over memory; NULL counts.  Returns floats. */
int64_t pf_hash_simd_lay_out(struct pf_hash_simd *b, float *memory, const struct pf_hash *net);
void pf_hash_sums_lay_out(struct pf_hash_sums *s, float *memory, const struct pf_hash *net);

/* From x: in, z, h, s, and where a gradient will be wanted jac. */
void pf_hash_simd_encode(const struct pf_hash *net, struct pf_hash_simd *b, bool derivative);
/* After it: out's sdf alone. */
void pf_hash_simd_sdf(const struct pf_hash *net, struct pf_hash_simd *b);
/* Or: out's sdf and features, u, q, g. */
void pf_hash_simd_differentiate(const struct pf_hash *net, struct pf_hash_simd *b);
/* After that: color, seen along dir; where that is 0, against the normal. */
void pf_hash_simd_shade(const struct pf_hash *net, struct pf_hash_simd *b);

/* Backward of shade, from d_color: d_out's features; d_g and the colour net's sums are added to. */
void pf_hash_simd_shade_backward(const struct pf_hash *net, struct pf_hash_simd *b,
                                 struct pf_hash_sums *to);
/* Backward of the others, from d_out (sdf and features) and d_g: d_in; the SDF net's sums are added
 * to. */
void pf_hash_simd_sdf_backward(const struct pf_hash *net, struct pf_hash_simd *b,
                               struct pf_hash_sums *to);

extern const struct pf_net_ops pf_hash_ops;
pf_err pf_hash_new(struct pf_net **net, const struct pf_neus_config *conf,
                   uint64_t seed) PF_MUST_USE;
pf_err pf_hash_cuda_new(struct pf_net_cuda **net, pf_dev *dev, struct pf_net *host) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
