/* attention.c - pf_attention: y = softmax(q k^T * scale + mask) v, each head on its own.
 *
 *   y    f32 [B, Q, h*d]           qkv f32 [B, T, 3*h*d]: q heads, k heads, v heads
 *   mask u32 [M, T, ceil(T/32)]
 *
 * The reference's CrossAttention with one source (networks.md, 6.2), the joint attention of two
 * views under an epipolar mask (6.3: -1e9 there, exactly 0 after the exponential, as -inf here),
 * the VAE's and the ViT's.
 *
 * Where rows and columns of the mask are in strips (strips.h), queries, keys and values are picked
 * in that order when they are packed, and results are put back.
 *
 * Never [T, T]: a block of queries walks over the keys and keeps maximum, sum and weighted values
 * of what it has seen; when the maximum grows, the rest is scaled down.  Keys are packed once,
 * [d, 32] for each word of the mask, values into rows padded to HALF, so that both products are the
 * same small kernel with ROWS x 2 HALF sums in registers.  Scores are in units of ln 2: weights are
 * powers of 2.  Half a word that none of ROWS queries may see is skipped: at a feature side of 32
 * that is 42 % of an epipolar block, 9 % of whose bits are set (whole words: 12 %).  Blocks have
 * fixed sizes: threads do not change the result. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/ops.h"
#include "kernels/strips.h"
#include "kernels/vmath.h"

#ifdef __AVX512F__              /* 32 registers of 16: measured 255 GFLOP/s on one core of Zen 5 */
enum { ROWS = 8 };
#else
enum { ROWS = 4 };
#endif
enum {
    WORD = 32,    /* keys in a word of the mask */
    HALF = 16,    /* keys in half a word: what is skipped or done */
    QUERIES = 64, /* in a block */
    WORDS = 8,    /* that are looked at together */
    SPAN = WORDS * WORD +
           HALF, /* a row of their scores; not 1 KB, whose fourth aliases in the cache */
    HALVES = WORDS * WORD / HALF,
    PACKED_FLOATS = 4 << 20, /* room for packed keys and values: heads are done in groups */
};

/* One head's problem, packed. */
struct head {
    const float *q;             /* first query; rows are step apart */
    int64_t step, T, d, dp;     /* dp: d rounded up to HALF */
    const float *keys;          /* [words, d, WORD], already scaled */
    const float *values;        /* [words * WORD, dp] */
    const uint32_t *mask;       /* [T, words], or NULL */
    int64_t words;
    int side;                   /* of strips, or 0 */
};

/* A block of queries on its way, in a thread's scratch. */
struct block {
    float *q;                   /* [QUERIES, d] */
    float *sum;                 /* [QUERIES, dp] weighted values */
    float *score;               /* [ROWS, SPAN] */
    float *top;                 /* [QUERIES] maximum */
    float *total;               /* [QUERIES, HALF] sum of weights, still in lanes */
};

pf_err
pf_attention(pf_dev *dev, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
             const pf_tensor *mask, int side)
{
    PF_TRY(pf_tensor_expect(qkv, "qkv", pf_dev_dtype(dev), 3, (int64_t[]){-1, -1, -1}));
    const int64_t B = qkv->dim[0], T = qkv->dim[1], E = qkv->dim[2];
    if (heads < 1 || E < 1 || E % (3 * (int64_t)heads))
        return pf_fail(PF_ESHAPE, "attention: %lld channels are not q, k and v of %d heads",
                       (long long)E, heads);
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 3, (int64_t[]){B, -1, E / 3}));
    if (y->dim[1] > T)
        return pf_fail(PF_ESHAPE, "attention: %lld queries of %lld tokens", (long long)y->dim[1],
                       (long long)T);
    if (mask)
        PF_EXPECT(mask, PF_U32, -1, T, (T + WORD - 1) / WORD);
    if (mask && mask->dim[0] < 1)
        return pf_fail(PF_ESHAPE, "attention: the mask is empty");
    if (side < 0 || (side && (!mask || y->dim[1] != T || T != 2 * (int64_t)side * side)))
        return pf_fail(PF_ESHAPE, "attention: %lld tokens in strips of side %d, or no mask",
                       (long long)T, side);
    if (!pf_in_strips(side))
        side = 0;
    return PF_DISPATCH_SCRATCH(dev, pf_attention, y, qkv, heads, scale, mask, side);
}

/* Which token the mask calls number i. */
static int64_t
token_at(const struct head *h, int64_t i)
{
    return h->side ? pf_strip_token((int)i, h->side) : i;
}

/* How the sums of a small product begin: at c, at 0, or at what the mask's bits say, 0 or -inf. */
enum start { ADD, FRESH, MASKED };

/* c [ROWS, width] (+)= a [ROWS, n] b [n, width]; width is HALF or twice that. */
static inline __attribute__((always_inline)) void
multiply(float *restrict c, int64_t ldc, const float *restrict a, int64_t lda,
         const float *restrict b, int64_t ldb, int64_t n, const int width, const enum start start,
         const uint32_t *restrict bits)
{
    float acc[ROWS][2 * HALF];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma omp simd
        for (int j = 0; j < width; j++)
            acc[r][j] = start == ADD                         ? c[r * ldc + j]
                        : start == FRESH || bits[r] >> j & 1 ? 0
                                                             : -INFINITY;
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            const float v = a[r * lda + k];
#pragma omp simd
            for (int j = 0; j < width; j++)
                acc[r][j] = pf_madd(v, b[k * ldb + j], acc[r][j]);
        }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma omp simd
        for (int j = 0; j < width; j++)
            c[r * ldc + j] = acc[r][j];
}

/* score [ROWS, HALF or WORD] = queries [ROWS, d] keys [d, ...]; bits [ROWS]: who sees whom. */
static __attribute__((noinline)) void
score_half(float *score, const float *queries, const float *keys, int64_t d, const uint32_t *bits)
{
    multiply(score, SPAN, queries, d, keys, WORD, d, HALF, MASKED, bits);
}

static __attribute__((noinline)) void
score_word(float *score, const float *queries, const float *keys, int64_t d)
{
    multiply(score, SPAN, queries, d, keys, WORD, d, WORD, FRESH, NULL);
}

static __attribute__((noinline)) void
score_some(float *score, const float *queries, const float *keys, int64_t d, const uint32_t *bits)
{
    multiply(score, SPAN, queries, d, keys, WORD, d, WORD, MASKED, bits);
}

/* sum [ROWS, dp] += weights [ROWS, n] values [n, dp]. */
static __attribute__((noinline)) void
add_values(float *sum, const float *weights, const float *values, int64_t n, int64_t dp)
{
    int64_t c = 0;
    for (; c + 2 * HALF <= dp; c += 2 * HALF)
        multiply(sum + c, dp, weights, SPAN, values + c, dp, n, 2 * HALF, ADD, NULL);
    if (c < dp)
        multiply(sum + c, dp, weights, SPAN, values + c, dp, n, HALF, ADD, NULL);
}

/* Pack a word of the keys and values of a head; what is beyond T is 0. */
static void
pack_word(float *keys, float *values, const float *k, const float *v, const struct head *h,
          int64_t w, float scale)
{
    const int64_t first = w * WORD, n = h->T - first < WORD ? h->T - first : WORD;
    float *const to = keys + first * h->d, *const rows = values + first * h->dp;
    if (n < WORD)
        memset(to, 0, (size_t)(WORD * h->d) * sizeof *to);
    memset(rows, 0, (size_t)(WORD * h->dp) * sizeof *rows);
    int64_t at[WORD];
    for (int64_t j = 0; j < n; j++)
        at[j] = token_at(h, first + j) * h->step;
    for (int64_t c = 0; c < h->d; c++)
        for (int64_t j = 0; j < n; j++)
            to[c * WORD + j] = k[at[j] + c] * scale;
    for (int64_t j = 0; j < n; j++)
        memcpy(rows + j * h->dp, v + at[j], (size_t)h->d * sizeof *rows);
}

/* Bits of word w that stand for keys: the last word may be short. */
static uint32_t
keys_in(const struct head *h, int64_t w)
{
    const int64_t left = h->T - w * WORD;
    return left >= WORD ? UINT32_MAX : (UINT32_C(1) << left) - 1;
}

/* The mask's row of query q; the rows that fill a last group of ROWS take the last one. */
static const uint32_t *
mask_row(const struct head *h, int64_t q)
{
    return h->mask + (q < h->T ? q : h->T - 1) * h->words;
}

/* any, all [n]: what some and what each of ROWS queries from q may see of the words from w. */
static void
survey(const struct head *h, uint32_t *any, uint32_t *all, int64_t q, int64_t w, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        any[i] = h->mask ? 0 : UINT32_MAX;
        all[i] = UINT32_MAX;
    }
    for (int r = 0; r < ROWS && h->mask; r++) {
        const uint32_t *const bits = mask_row(h, q + r) + w;
        for (int64_t i = 0; i < n; i++) {
            any[i] |= bits[i];
            all[i] &= bits[i];
        }
    }
    any[n - 1] &= keys_in(h, w + n - 1);
    all[n - 1] &= keys_in(h, w + n - 1);
}

/* Scores of ROWS queries from q0 + row for the words w..w+n-1; the halves that someone sees are put
 * side by side in score and listed in live.  Returns how many. */
static int
find_scores(const struct head *h, const struct block *b, int64_t q0, int64_t row, int64_t w,
            int64_t n, int64_t *live)
{
    const float *const queries = b->q + row * h->d;
    uint32_t any[WORDS], all[WORDS], bits[ROWS];
    int count = 0;
    survey(h, any, all, q0 + row, w, n);
    for (int64_t i = 0; i < n; i++) {
        const float *const keys = h->keys + (w + i) * WORD * h->d;
        float *const score = b->score + count * HALF;
        const bool low = any[i] << HALF, high = any[i] >> HALF;
        if (all[i] == UINT32_MAX)
            score_word(score, queries, keys, h->d);
        else if (low || high) {
            for (int r = 0; r < ROWS; r++) {
                bits[r] = h->mask ? mask_row(h, q0 + row + r)[w + i] & keys_in(h, w + i)
                                  : keys_in(h, w + i);
                bits[r] = low ? bits[r] : bits[r] >> HALF;
            }
            if (low && high)
                score_some(score, queries, keys, h->d, bits);
            else
                score_half(score, queries, low ? keys : keys + HALF, h->d, bits);
        }
        if (low)
            live[count++] = 2 * (w + i);
        if (high)
            live[count++] = 2 * (w + i) + 1;
    }
    return count;
}

/* The largest of n scores, a multiple of HALF. */
static float
largest(const float *score, int64_t n)
{
    float lane[HALF], eight[8], four[4];
    memcpy(lane, score, sizeof lane);
    for (int64_t j = HALF; j < n; j += HALF)
#pragma omp simd
        for (int l = 0; l < HALF; l++)
            lane[l] = score[j + l] > lane[l] ? score[j + l] : lane[l];
    for (int l = 0; l < 8; l++)
        eight[l] = lane[l] > lane[l + 8] ? lane[l] : lane[l + 8];
    for (int l = 0; l < 4; l++)
        four[l] = eight[l] > eight[l + 4] ? eight[l] : eight[l + 4];
    const float x = four[0] > four[2] ? four[0] : four[2],
                y = four[1] > four[3] ? four[1] : four[3];
    return x > y ? x : y;
}

/* Turn one query's n scores into weights, and scale what it has gathered to the new maximum. */
static void
weigh(const struct head *h, const struct block *b, float *score, int64_t row, int64_t n)
{
    const float before = b->top[row], here = largest(score, n), top = here > before ? here : before;
    const float zero = top == -INFINITY ? 0 : top; /* nothing seen yet: weights are 0 */
    const float shrink = pf_exp2(before - zero);
    float *const sum = b->sum + row * h->dp, *const total = b->total + row * HALF;
    float lane[HALF];
#pragma omp simd
    for (int l = 0; l < HALF; l++)
        lane[l] = total[l] * shrink;
    for (int64_t j = 0; j < n; j += HALF)
#pragma omp simd
        for (int l = 0; l < HALF; l++) {
            const float e = pf_exp2(score[j + l] - zero);
            score[j + l] = e;
            lane[l] += e;
        }
    memcpy(total, lane, sizeof lane);
    b->top[row] = top;
    if (top == before)
        return;
#pragma omp simd
    for (int64_t c = 0; c < h->dp; c++)
        sum[c] *= shrink;
}

/* The block of queries that begins at q0, of Q in all. */
static void
attend(const struct head *h, const struct block *b, float *y, int64_t ldy, int64_t q0, int64_t Q)
{
    const int64_t n = Q - q0 < QUERIES ? Q - q0 : QUERIES, rows = (n + ROWS - 1) / ROWS * ROWS;
    for (int64_t i = 0; i < rows; i++) {
        if (i < n)
            memcpy(b->q + i * h->d, h->q + token_at(h, q0 + i) * h->step,
                   (size_t)h->d * sizeof *b->q);
        else
            memset(b->q + i * h->d, 0, (size_t)h->d * sizeof *b->q);
        b->top[i] = -INFINITY;
    }
    memset(b->total, 0, (size_t)(rows * HALF) * sizeof *b->total);
    memset(b->sum, 0, (size_t)(rows * h->dp) * sizeof *b->sum);
    for (int64_t w = 0; w < h->words; w += WORDS)
        for (int64_t row = 0; row < rows; row += ROWS) {
            int64_t live[HALVES];
            const int count =
                find_scores(h, b, q0, row, w, h->words - w < WORDS ? h->words - w : WORDS, live);
            for (int r = 0; r < ROWS && count; r++)
                weigh(h, b, b->score + r * SPAN, row + r, count * HALF);
            for (int i = 0, j; i < count; i = j) {      /* runs of neighbours in one go */
                for (j = i + 1; j < count && live[j] == live[j - 1] + 1;)
                    j++;
                add_values(b->sum + row * h->dp, b->score + i * HALF,
                           h->values + live[i] * HALF * h->dp, (j - i) * HALF, h->dp);
            }
        }
    for (int64_t i = 0; i < n; i++) {
        float total = 0;
        for (int l = 0; l < HALF; l++)
            total += b->total[i * HALF + l];
        const float scale = total > 0 ? 1.0f / total : 0;
        float *const row = y + token_at(h, q0 + i) * ldy;
#pragma omp simd
        for (int64_t c = 0; c < h->d; c++)
            row[c] = b->sum[i * h->dp + c] * scale;
    }
}

/* The sizes that all heads share. */
static struct head
shape_of(const pf_tensor *qkv, int heads, int side)
{
    struct head h = {.step = qkv->dim[2], .T = qkv->dim[1], .d = qkv->dim[2] / 3 / heads,
                     .side = side};
    h.dp = (h.d + HALF - 1) / HALF * HALF;
    h.words = (h.T + WORD - 1) / WORD;
    return h;
}

/* A thread's part of the scratch, cut into the arrays of a block. */
static int64_t
block_floats(const struct head *h)
{
    return ROWS * SPAN +
           QUERIES * (h->dp + HALF + 1 + h->d); /* a multiple of 16: rows stay aligned */
}

static struct block
block_in(float *scratch, const struct head *h)
{
    struct block b = {.score = scratch, .sum = scratch + ROWS * SPAN};
    b.top = b.sum + QUERIES * h->dp;
    b.total = b.top + QUERIES;
    b.q = b.total + QUERIES * HALF;
    return b;
}

pf_err
pf_attention_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
                 const pf_tensor *mask, int side)
{
    const struct head shape = shape_of(qkv, heads, side);
    const int64_t B = qkv->dim[0], T = shape.T, d = shape.d, E = heads * d, Q = y->dim[1],
                  all = B * heads;
    const int64_t packed = shape.words * WORD * (d + shape.dp),
                  blocks = (Q + QUERIES - 1) / QUERIES;
    if (all * Q == 0)
        return PF_OK;
    const int64_t room = PACKED_FLOATS / packed, group = room < 1 ? 1 : room < all ? room : all;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor panels, scratch;
    PF_TRY(PF_ALLOC(dev, &panels, PF_F32, group, packed));
    PF_TRY(PF_ALLOC(dev, &scratch, PF_F32, omp_get_max_threads(), block_floats(&shape)));
    if (pf_dev_is_dry(dev)) {
        pf_dev_reset(dev, mark);
        return PF_OK;
    }
#pragma omp parallel
    for (int64_t g = 0; g < all; g += group) {
        const int64_t n = all - g < group ? all - g : group;
        const struct block block =
            block_in((float *)scratch.data + omp_get_thread_num() * scratch.dim[1], &shape);
#pragma omp for
        for (int64_t i = 0; i < n * shape.words; i++) {
            const int64_t b = (g + i / shape.words) / heads, head = (g + i / shape.words) % heads;
            float *const keys = (float *)panels.data + i / shape.words * packed;
            const float *const from = (const float *)qkv->data + b * T * 3 * E + head * d;
            pack_word(keys, keys + shape.words * WORD * d, from + E, from + 2 * E, &shape,
                      i % shape.words, scale * 1.44269504f);
        }
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n * blocks; i++) {
            const int64_t b = (g + i / blocks) / heads, head = (g + i / blocks) % heads;
            struct head h = shape;
            h.q = (const float *)qkv->data + b * T * 3 * E + head * d;
            h.keys = (const float *)panels.data + i / blocks * packed;
            h.values = h.keys + shape.words * WORD * d;
            h.mask =
                mask ? (const uint32_t *)mask->data + b % mask->dim[0] * T * shape.words : NULL;
            attend(&h, &block, (float *)y->data + b * Q * E + head * d, E, i % blocks * QUERIES, Q);
        }
    }
    pf_dev_reset(dev, mark);
    return PF_OK;
}
