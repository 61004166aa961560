/* small_mlp.c - products of blocks of points (small_mlp.h). */
#include "kernels/field/hash/small_mlp.h"

#include <stddef.h>

/* The build contracts nothing on its own (-ffp-contract=off), which here would halve the speed of
 * every product; results still depend only on the machine, not on threads or runs. */
#ifdef __GNUC__
#pragma GCC optimize("fp-contract=fast")
#endif

/* A vector of 16 floats; gcc splits it where the machine's are shorter. */
typedef float lanes __attribute__((vector_size(4 * PF_LANES), may_alias));
enum { VECTORS = PF_BLOCK / PF_LANES, TILE = 4 };
#define UNROLLED _Pragma("GCC unroll 4")

int64_t
pf_small_packed(int K, int C)
{
    return (int64_t)pf_rows(K) * C + (int64_t)pf_rows(C) * K;
}

int64_t
pf_small_sums(int K, int C)
{
    return (int64_t)pf_rows(K) * pf_rows(C) * PF_LANES;
}

/* to [K / 4, C, 4] = w with row k at stride row, column c at stride column; spare rows are 0. */
static void
pack(float *to, const float *w, int K, int C, int row, int column)
{
    for (int k = 0; k < pf_rows(K); k++)
        for (int c = 0; c < C; c++)
            to[(k / TILE * C + c) * TILE + k % TILE] = k < K ? w[k * row + c * column] : 0.0f;
}

void
pf_small_pack(struct pf_small *l)
{
    pack(l->forward, l->w, l->K, l->C, l->C, 1);
    pack(l->backward, l->w, l->C, l->K, 1, l->C);
}

/* What stays in registers in a product: so many vectors as long as the machine's. */
#if defined __AVX512F__
enum { REGISTER_BYTES = 64, HELD = 4 };
#elif defined __AVX__
enum { REGISTER_BYTES = 32, HELD = 2 };
#else
enum { REGISTER_BYTES = 16, HELD = 2 };
#endif
typedef float held __attribute__((vector_size(REGISTER_BYTES), may_alias));
enum { PIECE = HELD * REGISTER_BYTES / (int)sizeof(float) };

/* Four rows of y by PIECE points: 16 sums, where there are 32 registers, for 4 loads of x and 4
 * broadcast weights. */
static inline void
tile(float *y, const float *packed, const float *b, const float *x, int rows, int C)
{
    held sum[TILE][HELD];
    UNROLLED for (int r = 0; r < TILE; r++)
        UNROLLED for (int v = 0; v < HELD; v++)
            sum[r][v] = (held){0} + (b && r < rows ? b[r] : 0.0f);
    for (int c = 0; c < C; c++) {
        const held *in = (const held *)(x + c * PF_BLOCK);
        UNROLLED for (int r = 0; r < TILE; r++)
            UNROLLED for (int v = 0; v < HELD; v++)
                sum[r][v] += packed[TILE * c + r] * in[v];
    }
    UNROLLED for (int r = 0; r < TILE; r++)
        UNROLLED for (int v = 0; v < HELD; v++)
            ((held *)(y + r * PF_BLOCK))[v] = sum[r][v];
}

/* y [K] = packed x + b. */
static void
product(float *y, const float *packed, const float *b, const float *x, int K, int C)
{
    for (int k = 0; k < K; k += TILE, packed += TILE * C)
        for (int p = 0; p < PF_BLOCK; p += PIECE)
            tile(y + k * PF_BLOCK + p, packed, b ? b + k : NULL, x + p, K - k, C);
}

void
pf_small_forward(const struct pf_small *l, float *y, const float *x)
{
    product(y, l->forward, l->b, x, l->K, l->C);
}

void
pf_small_product(const struct pf_small *l, float *y, const float *x)
{
    product(y, l->forward, NULL, x, l->K, l->C);
}

void
pf_small_transposed(const struct pf_small *l, float *x, const float *y)
{
    product(x, l->backward, NULL, y, l->C, l->K);
}

/* Tiles of 4 x 4 weights; each has a vector of partial sums, so that nothing is ever summed across
 * lanes but once, at the end. */
void
pf_small_outer(const struct pf_small *l, float *sums, const float *y, const float *x)
{
    lanes *to = (lanes *)sums;
    for (int k = 0; k < l->K; k += TILE)
        for (int c = 0; c < l->C; c += TILE, to += TILE * TILE) {
            const lanes *a = (const lanes *)(y + k * PF_BLOCK);
            const lanes *b = (const lanes *)(x + c * PF_BLOCK);
            lanes sum[TILE][TILE];
            UNROLLED for (int i = 0; i < TILE; i++)
                UNROLLED for (int j = 0; j < TILE; j++)
                    sum[i][j] = to[TILE * i + j];
            for (int v = 0; v < VECTORS; v++)
                UNROLLED for (int i = 0; i < TILE; i++)
                    UNROLLED for (int j = 0; j < TILE; j++)
                        sum[i][j] += a[VECTORS * i + v] * b[VECTORS * j + v];
            UNROLLED for (int i = 0; i < TILE; i++)
                UNROLLED for (int j = 0; j < TILE; j++)
                    to[TILE * i + j] = sum[i][j];
        }
}

void
pf_small_sum(float *sums, const float *y, int K)
{
    for (int k = 0; k < K; k++)
        for (int v = 0; v < VECTORS; v++)
            ((lanes *)sums)[k] += ((const lanes *)(y + k * PF_BLOCK))[v];
}

static float
fold(const float *sums)
{
    float total = 0.0f;
    for (int i = 0; i < PF_LANES; i++)
        total += sums[i];
    return total;
}

void
pf_small_fold(const struct pf_small *l, float *to, const float *sums)
{
    const int tiles = pf_rows(l->C) / TILE;
    for (int k = 0; k < l->K; k++)
        for (int c = 0; c < l->C; c++) {
            const int tile = k / TILE * tiles + c / TILE;
            const int at = tile * TILE * TILE + k % TILE * TILE + c % TILE;
            to[k * l->C + c] += fold(sums + (int64_t)at * PF_LANES);
        }
}

void
pf_small_fold_sum(float *to, const float *sums, int K)
{
    for (int k = 0; k < K; k++)
        to[k] += fold(sums + k * PF_LANES);
}

void
pf_small_relu_backward(float *d_y, const float *y, int C)
{
#pragma omp simd
    for (int i = 0; i < C * PF_BLOCK; i++)
        d_y[i] = y[i] > 0.0f ? d_y[i] : 0.0f;
}

void
pf_small_columns(float *columns, const float *x, int C, int64_t from, int64_t n)
{
    for (int p = 0; p < PF_BLOCK; p++) {
        const int64_t i = from + p < n ? from + p : n - 1;
        for (int c = 0; c < C; c++)
            columns[c * PF_BLOCK + p] = x[i * C + c];
    }
}

void
pf_small_columns_or_zero(float *columns, const float *x, int C, int64_t from, int64_t n)
{
    for (int p = 0; p < PF_BLOCK; p++)
        for (int c = 0; c < C; c++)
            columns[c * PF_BLOCK + p] = x && from + p < n ? x[(from + p) * C + c] : 0.0f;
}

void
pf_small_from_columns(float *x, const float *columns, int C, int64_t from, int64_t n)
{
    for (int p = 0; p < PF_BLOCK && from + p < n; p++)
        for (int c = 0; c < C; c++)
            x[(from + p) * C + c] = columns[c * PF_BLOCK + p];
}
