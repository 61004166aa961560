/* nerf_simd.c - one block of points of a nerf field, forward and backward (nerf.h). */
#include "kernels/field/nerf/nerf.h"

#ifdef __GNUC__
#pragma GCC optimize("fp-contract=fast")        /* as in small_mlp.c */
#endif
#include "kernels/field/nerf/nerf_point.h"

static inline float *
row(float *rows, int i)
{
    return rows + (int64_t)i * PF_BLOCK;
}

int64_t
pf_nerf_simd_lay_out(struct pf_nerf_simd *b, float *memory, const struct pf_nerf *net)
{
    const int E = net->layer[SIGMA0].C, H = net->layer[SIGMA0].K, O = net->layer[SIGMA1].K;
    const int I = net->layer[COLOR0].C, C = net->layer[COLOR0].K;
    const struct { float **at; int rows; } arrays[] = {
        {&b->x, 3}, {&b->dir, 3}, {&b->e, E}, {&b->h, H}, {&b->out, O}, {&b->density, 1},
        {&b->slope, 1}, {&b->in, I}, {&b->c0, C}, {&b->c1, C}, {&b->color, 3},
        {&b->d_out, O}, {&b->d_h, H}, {&b->d_e, E}, {&b->d_density, 1}, {&b->d_in, I},
        {&b->d_c0, C}, {&b->d_c1, C}, {&b->d_color, 3},
    };
    int64_t rows = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (memory)
            *arrays[i].at = memory + rows * PF_BLOCK;
        rows += pf_rows(arrays[i].rows);
    }
    return rows * PF_BLOCK;
}

/* Rows from..to-1 are 1: what a layer has more inputs than there is to tell. */
static void
pad(float *rows, int from, int to)
{
    for (int i = from * PF_BLOCK; i < to * PF_BLOCK; i++)
        rows[i] = 1.0f;
}

static void
relu(float *y, int C)
{
#pragma omp simd
    for (int i = 0; i < C * PF_BLOCK; i++)
        y[i] = y[i] < 0.0f ? 0.0f : y[i];                       // a NaN stays one
}

void
pf_nerf_simd_encode(const struct pf_nerf *net, struct pf_nerf_simd *b)
{
    const struct pf_hash_grid *g = &net->grid;
    pf_hash_encode(g, net->param[PF_NERF_TABLE].value, g->levels, b->e, NULL, b->x);
    pad(b->e, g->levels * g->features, net->layer[SIGMA0].C);
}

void
pf_nerf_simd_density(const struct pf_nerf *net, struct pf_nerf_simd *b)
{
    const float *x = b->x, *y = row(b->x, 1), *z = row(b->x, 2);
    pf_small_product(&net->layer[SIGMA0], b->h, b->e);
    relu(b->h, net->layer[SIGMA0].K);
    pf_small_product(&net->layer[SIGMA1], b->out, b->h);
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++)
        b->density[p] = pf_nerf_density(&b->slope[p], b->out[p], x[p], y[p], z[p]);
}

void
pf_nerf_simd_shade(const struct pf_nerf *net, struct pf_nerf_simd *b)
{
    const int G = net->layer[SIGMA1].K - 1, C = net->layer[COLOR0].K;
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++) {
        const float d[3] = {b->dir[p], b->dir[PF_BLOCK + p], b->dir[2 * PF_BLOCK + p]};
        pf_harmonics(b->in + p, PF_BLOCK, d);
    }
    memcpy(row(b->in, PF_NERF_HARMONICS), row(b->out, 1), sizeof(float) * PF_BLOCK * (size_t)G);
    pad(b->in, PF_NERF_HARMONICS + G, net->layer[COLOR0].C);
    pf_small_product(&net->layer[COLOR0], b->c0, b->in);
    relu(b->c0, C);
    pf_small_product(&net->layer[COLOR1], b->c1, b->c0);
    relu(b->c1, C);
    pf_small_product(&net->layer[COLOR2], b->color, b->c1);
#pragma omp simd
    for (int i = 0; i < 3 * PF_BLOCK; i++)
        b->color[i] = pf_sigmoid_of(b->color[i]);
}

/* d_x of a layer y = W x, and what its weights get. */
static float *
layer_backward(const struct pf_nerf *net, int i, float *d_x, const float *d_y, const float *x,
               float *sums)
{
    const struct pf_small *l = &net->layer[i];
    pf_small_outer(l, sums, d_y, x);
    pf_small_transposed(l, d_x, d_y);
    return sums + pf_small_sums(l->K, l->C);
}

void
pf_nerf_simd_backward(const struct pf_nerf *net, struct pf_nerf_simd *b, float *sums)
{
    const int H = net->layer[SIGMA0].K, G = net->layer[SIGMA1].K - 1, C = net->layer[COLOR0].K;
#pragma omp simd
    for (int i = 0; i < 3 * PF_BLOCK; i++)
        b->d_color[i] *= b->color[i] * (1.0f - b->color[i]);
    sums = layer_backward(net, COLOR2, b->d_c1, b->d_color, b->c1, sums);
    pf_small_relu_backward(b->d_c1, b->c1, C);
    sums = layer_backward(net, COLOR1, b->d_c0, b->d_c1, b->c0, sums);
    pf_small_relu_backward(b->d_c0, b->c0, C);
    sums = layer_backward(net, COLOR0, b->d_in, b->d_c0, b->in, sums);
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++)
        b->d_out[p] = b->d_density[p] * b->slope[p];
    memcpy(row(b->d_out, 1), row(b->d_in, PF_NERF_HARMONICS),
           sizeof(float) * PF_BLOCK * (size_t)G);
    sums = layer_backward(net, SIGMA1, b->d_h, b->d_out, b->h, sums);
    pf_small_relu_backward(b->d_h, b->h, H);
    layer_backward(net, SIGMA0, b->d_e, b->d_h, b->e, sums);
}
