/* hash_simd.c - one block of points of the fast field, forward and backward (hash.h). */
#include "kernels/field/hash/hash.h"

#ifdef __GNUC__
#pragma GCC optimize("fp-contract=fast")        /* as in small_mlp.c */
#endif
#include "kernels/field/hash/hash_point.h"

int64_t
pf_hash_simd_lay_out(struct pf_hash_simd *b, float *memory, const struct pf_hash *net)
{
    const int E = features(net), H = net->layer[SDF0].K, O = net->layer[SDF1].K;
    const int C = net->layer[COLOR0].K, I = O - 1 + 3 + PF_HARMONICS;
    const struct { float **at; int rows; } arrays[] = {
        {&b->x, 3}, {&b->dir, 3}, {&b->in, 3 + E}, {&b->jac, 3 * E}, {&b->z, H}, {&b->h, H},
        {&b->s, H}, {&b->u, H}, {&b->q, 3 + E}, {&b->out, 1 + pf_rows(I)}, {&b->g, 3},
        {&b->length, 1},  {&b->c0, C}, {&b->c1, C}, {&b->color, 3},
        {&b->d_out, 1 + pf_rows(I)}, {&b->d_c0, C}, {&b->d_c1, C}, {&b->d_color, 3}, {&b->d_g, 3},
        {&b->d_q, 3 + E}, {&b->d_u, H}, {&b->d_z, H}, {&b->d_in, 3 + E},
    };
    int64_t rows = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (memory)
            *arrays[i].at = memory + rows * PF_BLOCK;
        rows += pf_rows(arrays[i].rows);
    }
    return rows * PF_BLOCK;
}

void
pf_hash_simd_encode(const struct pf_hash *net, struct pf_hash_simd *b, bool derivative)
{
    const float *table = net->param[0].value;
    memcpy(b->in, b->x, sizeof(float) * 3 * PF_BLOCK);
    pf_hash_encode(&net->grid, table, net->active, row(b->in, 3), derivative ? b->jac : NULL, b->x);
    pf_small_forward(&net->layer[SDF0], b->z, b->in);
#pragma omp simd
    for (int i = 0; i < net->layer[SDF0].K * PF_BLOCK; i++)
        b->h[i] = pf_softplus_100(b->z[i], &b->s[i]);
}

void
pf_hash_simd_sdf(const struct pf_hash *net, struct pf_hash_simd *b)
{
    const struct pf_small *l = &net->layer[SDF1];
    for (int p = 0; p < PF_BLOCK; p++)
        b->out[p] = l->b[0];
    for (int k = 0; k < l->C; k++)
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            b->out[p] += l->w[k] * row(b->h, k)[p];
}

void
pf_hash_simd_differentiate(const struct pf_hash *net, struct pf_hash_simd *b)
{
    const int H = net->layer[SDF0].K, E = features(net);
    const float *first = net->layer[SDF1].w;                    /* [H] the row that makes the sdf */
    pf_small_forward(&net->layer[SDF1], b->out, b->h);
    for (int k = 0; k < H; k++)
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            row(b->u, k)[p] = first[k] * row(b->s, k)[p];
    pf_small_transposed(&net->layer[SDF0], b->q, b->u);
    memcpy(b->g, b->q, sizeof(float) * 3 * PF_BLOCK);
    for (int e = 0; e < E; e++)
        for (int k = 0; k < 3; k++)
#pragma omp simd
            for (int p = 0; p < PF_BLOCK; p++)
                row(b->g, k)[p] += row(b->q, 3 + e)[p] * row(b->jac, 3 * e + k)[p];
}

static void
relu(float *y, int C)
{
#pragma omp simd
    for (int i = 0; i < C * PF_BLOCK; i++)
        y[i] = y[i] < 0.0f ? 0.0f : y[i];                       // a NaN stays one
}

void
pf_hash_simd_shade(const struct pf_hash *net, struct pf_hash_simd *b)
{
    const int O = net->layer[SDF1].K, C = net->layer[COLOR0].K;
    float *look = row(b->out, O);
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++)
        b->length[p] = pf_hash_look(look + p, b->g + p, b->dir + p, net->view, PF_BLOCK);
    pf_small_forward(&net->layer[COLOR0], b->c0, row(b->out, 1));
    relu(b->c0, C);
    pf_small_forward(&net->layer[COLOR1], b->c1, b->c0);
    relu(b->c1, C);
    pf_small_forward(&net->layer[COLOR2], b->color, b->c1);
#pragma omp simd
    for (int i = 0; i < 3 * PF_BLOCK; i++)
        b->color[i] = pf_sigmoid_of(b->color[i]);
}

/* ---- backward of a block ---- */

void
pf_hash_sums_lay_out(struct pf_hash_sums *s, float *memory, const struct pf_hash *net)
{
    for (int i = 0; i < PF_HASH_LAYERS; i++) {
        const struct pf_small *l = &net->layer[i];
        s->w[i] = memory;
        s->b[i] = memory + pf_small_sums(l->K, l->C);
        memory = s->b[i] + pf_rows(l->K) * PF_LANES;
    }
    s->first = memory;
}

static void
add_layer(const struct pf_hash *net, struct pf_hash_sums *to, int i, const float *d_y,
          const float *x)
{
    pf_small_outer(&net->layer[i], to->w[i], d_y, x);
    pf_small_sum(to->b[i], d_y, net->layer[i].K);
}

void
pf_hash_simd_shade_backward(const struct pf_hash *net, struct pf_hash_simd *b,
                            struct pf_hash_sums *to)
{
    const int O = net->layer[SDF1].K, C = net->layer[COLOR0].K;
#pragma omp simd
    for (int i = 0; i < 3 * PF_BLOCK; i++)
        b->d_color[i] *= b->color[i] * (1.0f - b->color[i]);
    add_layer(net, to, COLOR2, b->d_color, b->c1);
    pf_small_transposed(&net->layer[COLOR2], b->d_c1, b->d_color);
    pf_small_relu_backward(b->d_c1, b->c1, C);
    add_layer(net, to, COLOR1, b->d_c1, b->c0);
    pf_small_transposed(&net->layer[COLOR1], b->d_c0, b->d_c1);
    pf_small_relu_backward(b->d_c0, b->c0, C);
    add_layer(net, to, COLOR0, b->d_c0, row(b->out, 1));
    pf_small_transposed(&net->layer[COLOR0], row(b->d_out, 1), b->d_c0);
    const float *look = row(b->out, O), *d_look = row(b->d_out, O);
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++)
        pf_hash_look_backward(b->d_g + p, d_look + p, look + p, b->dir + p, net->view, b->length[p],
                              PF_BLOCK);
}

/* field.md, 8.  The cotangent of q = W0^T u is d_q = [d_g, jac d_g]; u's is d_u = W0 d_q. */
void
pf_hash_simd_sdf_backward(const struct pf_hash *net, struct pf_hash_simd *b,
                          struct pf_hash_sums *to)
{
    const struct pf_small *l0 = &net->layer[SDF0], *l1 = &net->layer[SDF1];
    const int H = l0->K, E = features(net);
    const float *first = l1->w;
    memcpy(b->d_q, b->d_g, sizeof(float) * 3 * PF_BLOCK);
    for (int e = 0; e < E; e++)
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            row(b->d_q, 3 + e)[p] = pf_dot_3(row(b->jac, 3 * e) + p, b->d_g + p, PF_BLOCK);
    pf_small_product(l0, b->d_u, b->d_q);
    pf_small_outer(l0, to->w[SDF0], b->u, b->d_q);

    add_layer(net, to, SDF1, b->d_out, b->h);
    pf_small_transposed(l1, b->d_z, b->d_out);                  /* of h, so far */
    for (int k = 0; k < H; k++) {
        float *d_z = row(b->d_z, k), *d_u = row(b->d_u, k);
        const float *s = row(b->s, k), w = first[k];
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            pf_softplus_100_backward(&d_z[p], &d_u[p], s[p], w);
    }
    pf_small_sum(to->first, b->d_u, H);
    add_layer(net, to, SDF0, b->d_z, b->in);
    pf_small_transposed(l0, b->d_in, b->d_z);
}

