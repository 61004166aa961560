/* nerf.h - the original's other renderer: a hash grid, a small network for the density, a small one
 * for the colour, and a grid of what is occupied (field.md, 14).  Private to nerf*.c; the others
 * see net.h and density.h.
 *
 *   e       [L F, then ones]    the point's grid features
 *   out     [1 + G]             S1 relu(S0 e);  no biases
 *   density                     10 softplus(out[0] + 10 (1 - |x| / 0.25))
 *   in      [16 + G, then ones] spherical harmonics of the direction, out[1..]
 *   color   [3]                 sigmoid(A2 relu(A1 relu(A0 in)))
 *
 * nerf_init.c makes one, nerf.c implements net.h on all points, nerf_simd.c does the mathematics of
 * one block of them (small_mlp.h), nerf_grid.c keeps the grid. */
#ifndef PF_FIELD_NERF_H
#define PF_FIELD_NERF_H
#include "kernels/field/hash/hash_grid.h"
#include "kernels/field/net.h"
#include "kernels/field/rays/density.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_NERF_HARMONICS = 16, PF_NERF_LAYERS = 5, PF_NERF_SLICES = 16 };
/* Layers; the parameters are the table, the weights of each, then the grid of densities. */
enum { SIGMA0, SIGMA1, COLOR0, COLOR1, COLOR2 };
enum { PF_NERF_TABLE, PF_NERF_WEIGHTS, PF_NERF_GRID = PF_NERF_WEIGHTS + PF_NERF_LAYERS,
       PF_NERF_PARAMS };

struct pf_nerf {
    struct pf_net net;          /* first: a pf_net is one of these */
    struct pf_hash_grid grid;
    struct pf_param param[PF_NERF_PARAMS];
    struct pf_small layer[PF_NERF_LAYERS];      /* the rows that count */
    int R, most;                /* cells a side of the grid of densities; samples of a ray */
    float *memory;              /* parameters, gradients, packed copies; owned */

    float *work;                /* [threads, block_floats + sum_floats]; owned */
    int threads;
    int64_t block_floats, sum_floats;
    float *part;                /* [PF_NERF_SLICES, weights] the networks' gradients; owned */
    int64_t weights;            /* parameters of the networks, padding too */

    /* The points of the last forward with a tape; owned. */
    float *tape;                /* [blocks, tape rows, PF_BLOCK] */
    int64_t points, room;       /* room: blocks */
};

/* Layers are as wide as tiny-cuda-nn makes them. */
static inline int
pf_nerf_padded(int n)
{
    return (n + 15) / 16 * 16;
}

/* Rows of PF_BLOCK floats, one thread's.  Names as above; d_: cotangents. */
struct pf_nerf_simd {
    float *x, *dir;             /* [3] */
    float *e, *h, *out;
    float *density, *slope;     /* [1] slope: d density / d out[0] */
    float *in, *c0, *c1, *color;
    float *d_out, *d_h, *d_e, *d_density, *d_in, *d_c0, *d_c1, *d_color;
};

/* Lay the arrays of a block out over memory; NULL counts.  Returns floats. */
int64_t pf_nerf_simd_lay_out(struct pf_nerf_simd *b, float *memory, const struct pf_nerf *net);
/* From x: e. */
void pf_nerf_simd_encode(const struct pf_nerf *net, struct pf_nerf_simd *b);
/* From x and e: h, out, density, slope. */
void pf_nerf_simd_density(const struct pf_nerf *net, struct pf_nerf_simd *b);
/* After that, from dir: in, c0, c1, color. */
void pf_nerf_simd_shade(const struct pf_nerf *net, struct pf_nerf_simd *b);
/* After both, from d_density and d_color (lost): d_e; sums [layers] are added to, laid out one
 * after the other as pf_small_outer wants them. */
void pf_nerf_simd_backward(const struct pf_nerf *net, struct pf_nerf_simd *b, float *sums);

/* What rays are marched through, but for the threshold. */
static inline struct pf_density_grid
pf_nerf_grid_of(const struct pf_nerf *net, const float *density)
{
    struct pf_density_grid g;
    g.density = density;
    g.threshold = 0;
    g.R = net->R;
    g.bound = net->grid.bound;
    g.step = (float)(2 * sqrt(3.0) / net->most);
    g.most = net->most;
    return g;
}

/* Before step number step of a training run, if that is a multiple of 16: densities anew in all
 * cells or, from the 17th time on, in some.  In any case g is what rays are marched through. */
pf_err pf_nerf_density_grid(struct pf_net *net, struct pf_density_grid *g, bool train,
                            uint64_t seed, int step) PF_MUST_USE;

extern const struct pf_net_ops pf_nerf_ops;
pf_err pf_nerf_new(struct pf_net **net, const struct pf_neus_config *conf, uint64_t seed)
    PF_MUST_USE;
pf_err pf_nerf_cuda_new(struct pf_net_cuda **net, pf_dev *dev, struct pf_net *host) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
