/* hash_simd.c - one block of points of the fast field, forward and backward (hash.h). */
#include "kernels/field/hash/hash.h"

#include <math.h>
#include <string.h>

#ifdef __GNUC__
#pragma GCC optimize("fp-contract=fast")        /* as in small_mlp.c */
#endif

int64_t
pf_hash_block_lay_out(struct pf_hash_block *b, float *memory, const struct pf_hash *net)
{
    const int E = features(net), H = net->layer[SDF0].K, O = net->layer[SDF1].K;
    const int C = net->layer[COLOR0].K, I = O - 1 + 3 + PF_HARMONICS;
    const struct { float **at; int rows; } arrays[] = {
        {&b->x, 3}, {&b->dir, 3}, {&b->in, 3 + E}, {&b->jac, 3 * E}, {&b->z, H}, {&b->h, H},
        {&b->s, H}, {&b->u, H}, {&b->q, 3 + E}, {&b->out, 1 + pf_rows(I)}, {&b->g, 3}, {&b->n, 3},
        {&b->r, 3}, {&b->length, 1}, {&b->c0, C}, {&b->c1, C}, {&b->color, 3},
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
pf_hash_block_encode(const struct pf_hash *net, struct pf_hash_block *b, bool derivative)
{
    const float *table = net->param[0].value;
    memcpy(b->in, b->x, sizeof(float) * 3 * PF_BLOCK);
    pf_hash_encode(&net->grid, table, net->active, row(b->in, 3), derivative ? b->jac : NULL, b->x);
    pf_small_forward(&net->layer[SDF0], b->z, b->in);
    pf_small_softplus(b->h, b->s, b->z, net->layer[SDF0].K);
}

void
pf_hash_block_sdf(const struct pf_hash *net, struct pf_hash_block *b)
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
pf_hash_block_differentiate(const struct pf_hash *net, struct pf_hash_block *b)
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

/* Real spherical harmonics of degree 0..3 of r, signs as in field.md, 9. */
static void
harmonics(float *y, const float *r)
{
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++) {
        const float a = r[p], b = r[PF_BLOCK + p], c = r[2 * PF_BLOCK + p];
        const float aa = a * a, bb = b * b, cc = c * c;
        float *o = y + p;
        o[0 * PF_BLOCK] = 0.28209479f;
        o[1 * PF_BLOCK] = -0.48860251f * b;
        o[2 * PF_BLOCK] = 0.48860251f * c;
        o[3 * PF_BLOCK] = -0.48860251f * a;
        o[4 * PF_BLOCK] = 1.09254843f * a * b;
        o[5 * PF_BLOCK] = -1.09254843f * b * c;
        o[6 * PF_BLOCK] = 0.94617470f * cc - 0.31539157f;
        o[7 * PF_BLOCK] = -1.09254843f * a * c;
        o[8 * PF_BLOCK] = 0.54627422f * (aa - bb);
        o[9 * PF_BLOCK] = 0.59004359f * b * (bb - 3.0f * aa);
        o[10 * PF_BLOCK] = 2.89061144f * a * b * c;
        o[11 * PF_BLOCK] = 0.45704580f * b * (1.0f - 5.0f * cc);
        o[12 * PF_BLOCK] = 0.37317633f * c * (5.0f * cc - 3.0f);
        o[13 * PF_BLOCK] = 0.45704580f * a * (1.0f - 5.0f * cc);
        o[14 * PF_BLOCK] = 1.44530572f * c * (aa - bb);
        o[15 * PF_BLOCK] = 0.59004359f * a * (3.0f * bb - aa);
    }
}

/* d_r [3] from d_y [16]. */
static void
harmonics_backward(float *d_r, const float *d_y, const float *r)
{
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++) {
        const float a = r[p], b = r[PF_BLOCK + p], c = r[2 * PF_BLOCK + p];
        const float aa = a * a, bb = b * b, cc = c * c;
        const float *d = d_y + p;
        const float d4 = 1.09254843f * d[4 * PF_BLOCK], d5 = 1.09254843f * d[5 * PF_BLOCK];
        const float d7 = 1.09254843f * d[7 * PF_BLOCK], d8 = 1.09254843f * d[8 * PF_BLOCK];
        const float d9 = 1.77013077f * d[9 * PF_BLOCK], d10 = 2.89061144f * d[10 * PF_BLOCK];
        const float d11 = 0.45704580f * d[11 * PF_BLOCK], d13 = 0.45704580f * d[13 * PF_BLOCK];
        const float d14 = 1.44530572f * d[14 * PF_BLOCK], d15 = 1.77013077f * d[15 * PF_BLOCK];
        d_r[p] = -0.48860251f * d[3 * PF_BLOCK] + d4 * b - d7 * c + d8 * a - 2.0f * d9 * a * b +
                 d10 * b * c + d13 * (1.0f - 5.0f * cc) + 2.0f * d14 * a * c + d15 * (bb - aa);
        d_r[PF_BLOCK + p] = -0.48860251f * d[1 * PF_BLOCK] + d4 * a - d5 * c - d8 * b +
                            d9 * (bb - aa) + d10 * a * c + d11 * (1.0f - 5.0f * cc) -
                            2.0f * d14 * b * c + 2.0f * d15 * a * b;
        d_r[2 * PF_BLOCK + p] = 0.48860251f * d[2 * PF_BLOCK] - d5 * b - d7 * a +
                                1.8923494f * d[6 * PF_BLOCK] * c + d10 * a * b -
                                10.0f * (d11 * b + d13 * a) * c +
                                0.37317633f * d[12 * PF_BLOCK] * (15.0f * cc - 3.0f) +
                                d14 * (aa - bb);
    }
}

/* n = g / |g|, and r = 2 (v.n) n - v for v = -dir; r = n where we look along -n. */
static void
reflect(struct pf_hash_block *b, bool from_normal)
{
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++) {
        const float *g = b->g + p, *d = b->dir + p;
        const float square = g[0] * g[0] + g[PF_BLOCK] * g[PF_BLOCK] +
                             g[2 * PF_BLOCK] * g[2 * PF_BLOCK];
        const float length = sqrtf(square), scale = 1.0f / (length > 1e-12f ? length : 1e-12f);
        const float x = g[0] * scale, y = g[PF_BLOCK] * scale, z = g[2 * PF_BLOCK] * scale;
        const float twice = -2.0f * (d[0] * x + d[PF_BLOCK] * y + d[2 * PF_BLOCK] * z);
        b->length[p] = length > 1e-12f ? length : 1e-12f;
        b->n[p] = x;
        b->n[PF_BLOCK + p] = y;
        b->n[2 * PF_BLOCK + p] = z;
        b->r[p] = from_normal ? x : twice * x + d[0];
        b->r[PF_BLOCK + p] = from_normal ? y : twice * y + d[PF_BLOCK];
        b->r[2 * PF_BLOCK + p] = from_normal ? z : twice * z + d[2 * PF_BLOCK];
    }
}

/* d_g += what the cotangents of n and r mean; d_n is overwritten. */
static void
reflect_backward(struct pf_hash_block *b, float *d_n, const float *d_r, bool from_normal)
{
#pragma omp simd
    for (int p = 0; p < PF_BLOCK; p++) {
        const float *n = b->n + p, *d = b->dir + p, *dr = d_r + p;
        const float nx = n[0], ny = n[PF_BLOCK], nz = n[2 * PF_BLOCK];
        const float vn = -(d[0] * nx + d[PF_BLOCK] * ny + d[2 * PF_BLOCK] * nz);
        const float rn = dr[0] * nx + dr[PF_BLOCK] * ny + dr[2 * PF_BLOCK] * nz;
        const float a = from_normal ? 1.0f : 2.0f * vn, c = from_normal ? 0.0f : -2.0f * rn;
        const float x = d_n[p] + a * dr[0] + c * d[0];
        const float y = d_n[PF_BLOCK + p] + a * dr[PF_BLOCK] + c * d[PF_BLOCK];
        const float z = d_n[2 * PF_BLOCK + p] + a * dr[2 * PF_BLOCK] + c * d[2 * PF_BLOCK];
        const float along = x * nx + y * ny + z * nz, scale = 1.0f / b->length[p];
        b->d_g[p] += (x - along * nx) * scale;
        b->d_g[PF_BLOCK + p] += (y - along * ny) * scale;
        b->d_g[2 * PF_BLOCK + p] += (z - along * nz) * scale;
    }
}

void
pf_hash_block_shade(const struct pf_hash *net, struct pf_hash_block *b, bool from_normal)
{
    const int O = net->layer[SDF1].K, C = net->layer[COLOR0].K;
    reflect(b, from_normal);
    memcpy(row(b->out, O), b->n, sizeof(float) * 3 * PF_BLOCK);
    harmonics(row(b->out, O + 3), b->r);
    pf_small_forward(&net->layer[COLOR0], b->c0, row(b->out, 1));
    pf_small_relu(b->c0, b->c0, C);
    pf_small_forward(&net->layer[COLOR1], b->c1, b->c0);
    pf_small_relu(b->c1, b->c1, C);
    pf_small_forward(&net->layer[COLOR2], b->color, b->c1);
    pf_small_sigmoid(b->color, b->color, 3);
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

static void
relu_backward(float *d_y, const float *y, int C)
{
#pragma omp simd
    for (int i = 0; i < C * PF_BLOCK; i++)
        d_y[i] = y[i] > 0.0f ? d_y[i] : 0.0f;
}

void
pf_hash_block_shade_backward(const struct pf_hash *net, struct pf_hash_block *b,
                             struct pf_hash_sums *to, bool from_normal)
{
    const int O = net->layer[SDF1].K, C = net->layer[COLOR0].K;
#pragma omp simd
    for (int i = 0; i < 3 * PF_BLOCK; i++)
        b->d_color[i] *= b->color[i] * (1.0f - b->color[i]);
    add_layer(net, to, COLOR2, b->d_color, b->c1);
    pf_small_transposed(&net->layer[COLOR2], b->d_c1, b->d_color);
    relu_backward(b->d_c1, b->c1, C);
    add_layer(net, to, COLOR1, b->d_c1, b->c0);
    pf_small_transposed(&net->layer[COLOR1], b->d_c0, b->d_c1);
    relu_backward(b->d_c0, b->c0, C);
    add_layer(net, to, COLOR0, b->d_c0, row(b->out, 1));
    pf_small_transposed(&net->layer[COLOR0], row(b->d_out, 1), b->d_c0);
    float d_r[3 * PF_BLOCK];
    harmonics_backward(d_r, row(b->d_out, O + 3), b->r);
    reflect_backward(b, row(b->d_out, O), d_r, from_normal);
}

/* field.md, 8.  The cotangent of q = W0^T u is d_q = [d_g, jac d_g]; u's is d_u = W0 d_q. */
void
pf_hash_block_sdf_backward(const struct pf_hash *net, struct pf_hash_block *b,
                           struct pf_hash_sums *to)
{
    const struct pf_small *l0 = &net->layer[SDF0], *l1 = &net->layer[SDF1];
    const int H = l0->K, E = features(net);
    const float *first = l1->w;
    memcpy(b->d_q, b->d_g, sizeof(float) * 3 * PF_BLOCK);
    for (int e = 0; e < E; e++)
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++)
            row(b->d_q, 3 + e)[p] = row(b->jac, 3 * e)[p] * b->d_g[p] +
                                    row(b->jac, 3 * e + 1)[p] * b->d_g[PF_BLOCK + p] +
                                    row(b->jac, 3 * e + 2)[p] * b->d_g[2 * PF_BLOCK + p];
    pf_small_product(l0, b->d_u, b->d_q);
    pf_small_outer(l0, to->w[SDF0], b->u, b->d_q);

    add_layer(net, to, SDF1, b->d_out, b->h);
    pf_small_transposed(l1, b->d_z, b->d_out);                  /* of h, so far */
    for (int k = 0; k < H; k++) {
        float *d_z = row(b->d_z, k), *d_u = row(b->d_u, k);
        const float *s = row(b->s, k), bend = 100.0f * first[k];
#pragma omp simd
        for (int p = 0; p < PF_BLOCK; p++) {
            d_u[p] *= s[p];                                     /* now W1[0]'s */
            d_z[p] = s[p] * d_z[p] + bend * (1.0f - s[p]) * d_u[p];
        }
    }
    pf_small_sum(to->first, b->d_u, H);
    add_layer(net, to, SDF0, b->d_z, b->in);
    pf_small_transposed(l0, b->d_in, b->d_z);
}

