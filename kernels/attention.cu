/* attention.cu - pf_attention on the GPU; attention.c has the contract.
 *
 * 16 bits, heads of 40, 64 and 80 on Hopper: attention_hopper.cu.  Else, up to 160 wide: attend().
 * A block of 4 warps takes 128 (or 64) queries of one head and walks over tiles of 64 keys and
 * values, which cp.async brings one tile ahead.  A warp owns ROWS = 32 (or 16) queries: scores and
 * output live in registers as fragments of mma.m16n8k16, and the fragment of the weights is at once
 * the A operand of the second product.  ROWS = 32 because a warp reads the whole tile from shared
 * memory: 16 queries would need 80 cycles of reading for 57 of products at d = 40.  Sums of weights
 * are one more product, by a column of ones: it takes the same rounded weights and the tensor cores
 * have the time.  The output is scaled down only when a maximum grows by 2^8: until then weights
 * are at most 2^8 and lose nothing.  Wider heads: attend_wide(), a block for each 128 columns of
 * the output; scores are computed by each.  f32, and tf32 too, which is allowed to be exact:
 * attend_f32(), plain multiplications and additions.
 *
 * Masks: survey() first lists, for each block of queries, the tiles of which some warp sees
 * something, and who sees all and who nothing of them; the rest is neither loaded nor multiplied.
 * Where a mask is in strips (strips.h), attention_hopper.cu picks rows in that order; the others
 * are given a copy of q, k and v that has it.
 *
 * T = Q = 1024, d = 40, B = 32, h = 8: 42.9 GFLOP, 43 us at 990 TFLOP/s (mma.sync reaches about
 * 2/3 of it: 65; measured on an H100: 203); 84 MB, 25 us at 3.35 TB/s; 268 M powers of 2, 16 a
 * cycle and multiprocessor: 72 us.  T = Q = 64, d = 160: 0.7 GFLOP, 1 us; 21 MB, 6 us.
 *
 * One file, though long: three ways through the same tiles, masks and softmax. */
#include <cmath>

#include "kernels/attention.cuh"
#include "kernels/ptx.cuh"
#include "kernels/strips.h"

static __device__ __forceinline__ bool
needs_bits(uint32_t tile)
{
    return tile & ~(tile >> ALL) & EVERYONE;
}

/* One block for each mask and block of queries, SPLIT warps for each group of `rows` of them.  A
 * lane takes one tile and its warp every SPLIT-th row, so that a warp reads pieces of rows and
 * all of them are on their way at once; warp 0 joins what the warps found and appends the tiles
 * that are alive to the list, which begins with their count.  All write the order of strips down,
 * where there is one. */
enum { SPLIT = 8 };

static __global__ void __launch_bounds__(32 * PF_WARP)
survey(uint32_t *lists, int *order, const uint32_t *mask, int tokens, int queries, int rows,
       int tile_words, int blocks, int side)
{
    __shared__ uint32_t found[32][PF_WARP];
    const int warps = blockDim.x / PF_WARP, warp = threadIdx.x / PF_WARP,
              lane = threadIdx.x % PF_WARP;
    const int words = (tokens + WORD - 1) / WORD, tiles = (words + tile_words - 1) / tile_words;
    const int groups = warps / SPLIT, group = warp / SPLIT;
    const int q0 = (blockIdx.x % blocks * groups + group) * rows, q1 = min(q0 + rows, queries);
    const uint32_t *const bits = mask + (int64_t)(blockIdx.x / blocks) * tokens * words;
    uint32_t *const list = lists + (int64_t)blockIdx.x * (1 + tiles);
    int count = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; order && i < tokens;
         i += gridDim.x * blockDim.x)
        order[i] = pf_strip_token(i, side);
    for (int first = 0; first < tiles; first += PF_WARP) {
        uint32_t any = 0, all = ~0u;
        for (int w = (first + lane) * tile_words; w < (first + lane + 1) * tile_words; w++) {
            uint32_t a = 0, b = ~0u;
#pragma unroll 8
            for (int q = q0 + warp % SPLIT; q < q1; q += SPLIT) {
                const uint32_t v = w < words ? bits[(int64_t)q * words + w] : 0;
                a |= v;
                b &= v;
            }
            any |= a & keys_in(tokens, w);
            all &= b & keys_in(tokens, w);
        }
        found[warp][lane] = (any ? 1u << group : 0) | (all == ~0u ? 0 : 1u << ALL << group);
        __syncthreads();
        if (warp == 0) {
            uint32_t joined = 0;                // who sees some, and who does not see all
            for (int i = 0; i < warps; i++)
                joined |= found[i][lane];
            const uint32_t entry = (uint32_t)(first + lane) << NUMBER | (joined ^ EVERYONE << ALL);
            const bool alive = entry & EVERYONE;
            const unsigned who = __ballot_sync(PF_WHOLE_WARP, alive);
            if (alive)
                list[1 + count + __popc(who & ((1u << lane) - 1))] = entry;
            count += __popc(who);
        }
        __syncthreads();
    }
    if (threadIdx.x == 0)
        list[0] = count;
}

// ---- 16 bits ----

/* Elements from row to row in shared memory: an odd number of 16 bytes, so that the 8 rows of a
 * matrix lie in different banks. */
template <int D> constexpr int step_of = (D / 8 | 1) * 8;

/* Copy ROWS rows of D numbers; beyond the first `rows` and `columns` zeros.  A thread keeps to
 * its 8 columns and goes down the rows. */
template <typename T, int D, int ROWS, int THREADS> static __device__ __forceinline__ void
fetch(T *to, const T *from, int step, int rows, int columns, bool sixteen)
{
    constexpr int CHUNKS = D / 8, PASS = THREADS / CHUNKS;      // rows at a time
    if (sixteen) {
        const int first = threadIdx.x / CHUNKS, c = threadIdx.x % CHUNKS * 8;
        const T *row = from + first * step + c;
        to += first * step_of<D> + c;
#pragma unroll
        for (int r = 0; r < ROWS; r += PASS, row += PASS * step) {
            const bool in = first + r < rows && c < columns;
            if (first < PASS && first + r < ROWS)
                pf_copy16(pf_shared_address(to + r * step_of<D>), in ? row : from, in);
        }
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < ROWS * D; i += THREADS) {
            const int r = i / D, c = i % D;
            to[r * step_of<D> + c] =
                r < rows && c < columns ? from[r * step + c] : pf_store<T>(0.0f);
        }
    }
}

/* Copy the mask's words for ROWS queries from q0 and the tile that begins at key `first`. */
template <int KEYS, int ROWS, int THREADS, typename T> static __device__ __forceinline__ void
fetch_bits(uint32_t *to, const call<T> &j, const job &p, int first)
{
    constexpr int W = KEYS / WORD;
    const uint32_t *const bits = j.mask + (p.mask * j.tokens + p.q0) * j.words + first / WORD;
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * W; i += THREADS) {
        const int r = i / W, w = i % W;
        const bool in = p.q0 + r < j.queries && first / WORD + w < j.words;
        pf_copy4(pf_shared_address(to + i), in ? bits + r * j.words + w : bits, in);
    }
}

/* D columns of a warp's 16 M queries, as A operands. */
template <int D, int M> struct queries {
    uint32_t a[M][D / 16 ? D / 16 : 1][4], last[M][2];      // last: 8 columns, if D is odd times 8
};

template <typename T, int D, int M> static __device__ __forceinline__ void
load_queries(queries<D, M> &q, const T *rows, bool negative)
{
    const int lane = threadIdx.x % PF_WARP;
    const uint32_t flip = negative ? 0x80008000u : 0;
#pragma unroll
    for (int m = 0; m < M; m++) {
        const T *const row = rows + (16 * m + lane % 16) * step_of<D>;
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            pf_load_matrices(q.a[m][k], pf_shared_address(row + 16 * k + lane / 16 * 8));
#pragma unroll
            for (int i = 0; i < 4; i++)
                q.a[m][k][i] ^= flip;
        }
        if (D % 16) {
            pf_load_matrices(q.last[m], pf_shared_address(row + D - 8));
            q.last[m][0] ^= flip;
            q.last[m][1] ^= flip;
        }
    }
}

/* s [16 M, KEYS] += q [16 M, D] k [KEYS, D]^T, or = if FRESH. */
template <typename T, int D, int M, int KEYS, bool FRESH> static __device__ __forceinline__ void
add_scores(float (&s)[M][KEYS / 8][4], const queries<D, M> &q, const T *keys)
{
    const int lane = threadIdx.x % PF_WARP;
    const float none[4] = {};
    uint32_t b[4];
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        // matrices: keys 0-7, 0-7, 8-15, 8-15; columns 0, 8, 0, 8
        for (int n = 0; n < KEYS / 8; n += 2) {
            const T *const row = keys + (8 * n + lane % 8 + lane / 16 * 8) * step_of<D>;
            pf_load_matrices(b, pf_shared_address(row + 16 * k + lane / 8 % 2 * 8));
#pragma unroll
            for (int m = 0; m < M; m++) {
                pf_mma<T>(s[m][n], q.a[m][k], b[0], b[1], FRESH && k == 0 ? none : s[m][n]);
                pf_mma<T>(s[m][n + 1], q.a[m][k], b[2], b[3], FRESH && k == 0 ? none : s[m][n + 1]);
            }
        }
    if (D % 16)
#pragma unroll
        for (int n = 0; n < KEYS / 8; n += 4) {            // matrices: keys 0-7, 8-15, 16-23, 24-31
            pf_load_matrices(b, pf_shared_address(keys + (8 * n + lane) * step_of<D> + D - 8));
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int m = 0; m < M; m++)
                    pf_mma_8<T>(s[m][n + i], q.last[m], b[i]);
        }
}

/* Scores of keys that a query does not see become -inf; bits: the warp's rows of the tile, or
 * NULL. */
template <int M, int KEYS> static __device__ __forceinline__ void
hide(float (&s)[M][KEYS / 8][4], const uint32_t *bits, int tokens, int first)
{
    const int g = threadIdx.x % PF_WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int w = 0; w < KEYS / WORD; w++) {
                const uint32_t row = bits ? bits[(16 * m + 8 * half + g) * (KEYS / WORD) + w] : ~0u,
                               see = (row & keys_in(tokens, first / WORD + w)) >> 2 * t;
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    float *const pair = s[m][4 * w + n] + 2 * half;
                    pair[0] = see & 1u << 8 * n ? pair[0] : -INFINITY;
                    pair[1] = see & 2u << 8 * n ? pair[1] : -INFINITY;
                }
            }
}

namespace {

/* A warp's output on its way: values weighted and summed, the sums of weights (twice the same), and
 * the exponent that weights are relative to; [2]: rows g and g + 8. */
template <int D, int M> struct output {
    float sum[M][D / 8][4], total[M][4], top[M][2];
};

}

template <int D, int M> static __device__ __forceinline__ void
begin(output<D, M> &o)
{
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            o.total[m][i] = 0;
            o.top[m][i / 2] = -INFINITY;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
                o.sum[m][n][i] = 0;
        }
    }
}

/* Rows whose maximum is far beyond the last one start from it. */
template <int D, int M, int KEYS> static __device__ __forceinline__ void
raise(output<D, M> &o, const float (&s)[M][KEYS / 8][4], float scale)
{
    float most[M][2];
    bool grow = false;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = s[m][0][2 * half];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
                x = fmaxf(x, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            x = fmaxf(x, __shfl_xor_sync(PF_WHOLE_WARP, x, 1));
            x = fmaxf(x, __shfl_xor_sync(PF_WHOLE_WARP, x, 2));
            most[m][half] = x * scale;
            grow |= most[m][half] > o.top[m][half] + 8.0f;
        }
    if (!__any_sync(PF_WHOLE_WARP, grow))
        return;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float before = o.top[m][half], now = most[m][half];
            const float shrink = now > before + 8.0f ? power(before - now) : 1.0f;
            o.top[m][half] = now > before + 8.0f ? now : before;
            o.total[m][2 * half] *= shrink;
            o.total[m][2 * half + 1] *= shrink;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                o.sum[m][n][2 * half] *= shrink;
                o.sum[m][n][2 * half + 1] *= shrink;
            }
        }
}

/* Scores become weights; who has seen nothing yet has none. */
template <int D, int M, int KEYS> static __device__ __forceinline__ void
weigh(output<D, M> &o, float (&s)[M][KEYS / 8][4], float scale)
{
    raise<D, M, KEYS>(o, s, scale);
#pragma unroll
    for (int m = 0; m < M; m++) {
        const float zero[2] = {o.top[m][0] == -INFINITY ? 0.0f : o.top[m][0],
                               o.top[m][1] == -INFINITY ? 0.0f : o.top[m][1]};
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[m][n][i] = power(fmaf(s[m][n][i], scale, -zero[i / 2]));
    }
}

/* o [16 M, D] += s [16 M, KEYS] v [KEYS, D]. */
template <typename T, int D, int M, int KEYS> static __device__ __forceinline__ void
add_values(output<D, M> &o, const float (&s)[M][KEYS / 8][4], const T *values)
{
    const int lane = threadIdx.x % PF_WARP;
    const uint32_t ones = packed(1.0f, 1.0f, T());
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        const T *const row = values + (16 * k + lane % 16) * step_of<D>;
        uint32_t a[M][4], b[4];
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[m][i] =
                    packed(s[m][2 * k + i / 2][i % 2 * 2], s[m][2 * k + i / 2][i % 2 * 2 + 1], T());
            pf_mma<T>(o.total[m], a[m], ones, ones, o.total[m]);
        }
#pragma unroll
        // matrices: keys 0-7, 8-15, 0-7, 8-15; columns 0, 0, 8, 8
        for (int n = 0; n + 1 < D / 8; n += 2) {
            pf_load_transposed(b, pf_shared_address(row + 8 * n + lane / 16 * 8));
#pragma unroll
            for (int m = 0; m < M; m++) {
                pf_mma<T>(o.sum[m][n], a[m], b[0], b[1], o.sum[m][n]);
                pf_mma<T>(o.sum[m][n + 1], a[m], b[2], b[3], o.sum[m][n + 1]);
            }
        }
        if (D % 16) {
            uint32_t last[2];
            pf_load_transposed(last, pf_shared_address(row + D - 8));
#pragma unroll
            for (int m = 0; m < M; m++)
                pf_mma<T>(o.sum[m][D / 8 - 1], a[m], last[0], last[1], o.sum[m][D / 8 - 1]);
        }
    }
}

/* Write the rows from query q on, divided by their sums of weights. */
template <typename T, int D, int M> static __device__ __forceinline__ void
finish(const output<D, M> &o, const call<T> &j, const job &p, int q)
{
    const int g = threadIdx.x % PF_WARP / 4, t = threadIdx.x % 4, columns = j.d - p.column;
    const int64_t E = (int64_t)j.heads * j.d;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = q + 16 * m + 8 * half + g;
            const float total = o.total[m][2 * half], by = total > 0 ? 1.0f / total : 0;
            T *const to = j.y + (p.b * j.queries + row) * E + (int64_t)p.head * j.d + p.column;
            if (row >= j.queries)
                continue;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                const int c = 8 * n + 2 * t;
                const float a = o.sum[m][n][2 * half] * by, b = o.sum[m][n][2 * half + 1] * by;
                if (j.pairs && c < columns) {
                    *(uint32_t *)(to + c) = packed(a, b, T());
                } else {
                    if (c < columns)
                        to[c] = pf_store<T>(a);
                    if (c + 1 < columns)
                        to[c + 1] = pf_store<T>(b);
                }
            }
        }
}

namespace {

/* Shared memory: queries; twice a tile of keys and one of values; twice the tile's bits. */
template <int D, int M, int KEYS, int WARPS> struct room {
    enum {
        QUERIES = 16 * M * WARPS,
        BITS = QUERIES * KEYS / WORD,
        BYTES = (QUERIES + 4 * KEYS) * step_of<D> * 2 + 2 * BITS * 4,
    };
};

}

template <typename T, int D, int M, int KEYS, int WARPS, int BLOCKS> static __global__ void
__launch_bounds__(WARPS * PF_WARP, BLOCKS)
attend(const call<T> j)
{
    constexpr int THREADS = WARPS * PF_WARP, QUERIES = room<D, M, KEYS, WARPS>::QUERIES,
                  TILE = KEYS * step_of<D>;
    extern __shared__ uint4 shared[];
    T *const q = (T *)shared, *const tiles = q + QUERIES * step_of<D>;
    uint32_t *const bits = (uint32_t *)(tiles + 4 * TILE);
    const job p = job_of(j, blockIdx.x, QUERIES, j.d);
    const int warp = threadIdx.x / PF_WARP, own = warp * 16 * M;        // first row of the warp
    const int E = j.heads * j.d, count = tiles_in(j, p.list);
    const T *const from = j.qkv + p.b * j.tokens * 3 * E + p.head * j.d;
    const auto fetch_tile = [&](uint32_t t, int buffer) {
        const int first = number_of(t) * KEYS;
        const T *const keys = from + (int64_t)first * 3 * E + E;
        T *const to = tiles + buffer * 2 * TILE;
        fetch<T, D, KEYS, THREADS>(to, keys, 3 * E, j.tokens - first, j.d, j.sixteen);
        fetch<T, D, KEYS, THREADS>(to + TILE, keys + E, 3 * E, j.tokens - first, j.d, j.sixteen);
        if (p.list && needs_bits(t))
            fetch_bits<KEYS, QUERIES, THREADS>(bits + buffer * room<D, M, KEYS, WARPS>::BITS, j, p,
                                               first);
    };
    queries<D, M> mine;
    output<D, M> o;
    uint32_t now = 0, next = 0;
    if (count > 0)
        fetch_tile(next = tile_at<KEYS>(j, p.list, 0), 0);
    fetch<T, D, QUERIES, THREADS>(q, from + (int64_t)p.q0 * 3 * E, 3 * E, j.queries - p.q0, j.d,
                                  j.sixteen);
    pf_copies_wait_all();
    __syncthreads();
    load_queries<T>(mine, q + own * step_of<D>, j.negative);
    begin(o);
#pragma unroll 1
    for (int i = 0; i < count; i++) {
        now = next;
        pf_copies_wait_all();
        __syncthreads();                    // tile i is there, and nobody reads tile i - 1 any more
        if (i + 1 < count)
            fetch_tile(next = tile_at<KEYS>(j, p.list, i + 1), (i + 1) % 2);
        if (p.q0 + own >= j.queries || !seen_by(now, warp))
            continue;
        const T *const keys = tiles + i % 2 * 2 * TILE;
        float s[M][KEYS / 8][4];
        add_scores<T, D, M, KEYS, true>(s, mine, keys);
        if (!all_seen_by(now, warp))
            hide<M, KEYS>(s,
                          p.list
                              ? bits + i % 2 * room<D, M, KEYS, WARPS>::BITS + own * (KEYS / WORD)
                              : nullptr,
                          j.tokens, number_of(now) * KEYS);
        weigh<D, M, KEYS>(o, s, j.scale);
        add_values<T, D, M, KEYS>(o, s, keys + TILE);
    }
    finish(o, j, p, p.q0 + own);
}

/* Heads of any width: a block computes WIDE columns of the output.  For each tile of keys the
 * scores come in steps of PART columns of queries and keys; the last step is for the values.
 * Each step's data are brought while the one before is worked on. */
enum { WIDE = 128, PART = 64, WIDE_KEYS = 64, WIDE_WARPS = 4, WIDE_QUERIES = 16 * WIDE_WARPS };
enum { WIDE_BUFFER = (WIDE_QUERIES + WIDE_KEYS) * step_of<PART> };   // as large as a tile of values
enum { WIDE_BYTES = 2 * WIDE_BUFFER * 2 + WIDE_QUERIES * WIDE_KEYS / WORD * 4 };
static_assert(WIDE_BUFFER >= WIDE_KEYS * step_of<WIDE>, "values do not fit");

template <typename T> static __global__ void __launch_bounds__(WIDE_WARPS * PF_WARP)
attend_wide(const call<T> j)
{
    constexpr int THREADS = WIDE_WARPS * PF_WARP, KEYS = WIDE_KEYS;
    extern __shared__ uint4 shared[];
    T *const buffers = (T *)shared;
    uint32_t *const bits = (uint32_t *)(buffers + 2 * WIDE_BUFFER);
    const job p = job_of(j, blockIdx.x, WIDE_QUERIES, WIDE);
    const int warp = threadIdx.x / PF_WARP, own = warp * 16, parts = (j.d + PART - 1) / PART;
    const int E = j.heads * j.d, count = tiles_in(j, p.list);
    const T *const from = j.qkv + p.b * j.tokens * 3 * E + p.head * j.d;
    const auto fetch_part = [&](uint32_t t, int part, int buffer) {
        const int first = number_of(t) * KEYS, c = part * PART, rows = j.tokens - first;
        const T *const keys = from + (int64_t)first * 3 * E + E;
        T *const to = buffers + buffer * WIDE_BUFFER;
        if (part == 0 && p.list && needs_bits(t))
            fetch_bits<KEYS, WIDE_QUERIES, THREADS>(bits, j, p, first);
        if (part == parts) {
            fetch<T, WIDE, KEYS, THREADS>(to, keys + E + p.column, 3 * E, rows, j.d - p.column,
                                          j.sixteen);
            return;
        }
        fetch<T, PART, WIDE_QUERIES, THREADS>(to, from + (int64_t)p.q0 * 3 * E + c, 3 * E,
                                              j.queries - p.q0, j.d - c, j.sixteen);
        fetch<T, PART, KEYS, THREADS>(to + WIDE_QUERIES * step_of<PART>, keys + c, 3 * E, rows,
                                      j.d - c, j.sixteen);
    };
    output<WIDE, 1> o;
    uint32_t now = 0, next = 0;
    int buffer = 0;
    if (count > 0)
        fetch_part(next = tile_at<KEYS>(j, p.list, 0), 0, 0);
    begin(o);
#pragma unroll 1
    for (int i = 0; i < count; i++) {
        float s[1][KEYS / 8][4] = {};
        now = next;
#pragma unroll 1
        for (int part = 0; part <= parts; part++, buffer ^= 1) {
            pf_copies_wait_all();
            __syncthreads();           // this part is there, and nobody reads the last one any more
            if (part < parts)
                fetch_part(now, part + 1, buffer ^ 1);
            else if (i + 1 < count)
                fetch_part(next = tile_at<KEYS>(j, p.list, i + 1), 0, buffer ^ 1);
            if (p.q0 + own >= j.queries || !seen_by(now, warp))
                continue;
            const T *const data = buffers + buffer * WIDE_BUFFER;
            if (part < parts) {
                queries<PART, 1> mine;
                load_queries<T>(mine, data + own * step_of<PART>, j.negative);
                add_scores<T, PART, 1, KEYS, false>(s, mine, data + WIDE_QUERIES * step_of<PART>);
            } else
                add_values<T, WIDE, 1, KEYS>(o, s, data);
            if (part + 1 == parts) {            // the next step overwrites the bits
                if (!all_seen_by(now, warp))
                    hide<1, KEYS>(s, p.list ? bits + own * (KEYS / WORD) : nullptr, j.tokens,
                                  number_of(now) * KEYS);
                weigh<WIDE, 1, KEYS>(o, s, j.scale);
            }
        }
    }
    finish(o, j, p, p.q0 + own);
}

// ---- f32 ----

/* A block of 16 x 16 threads takes 64 queries of one head and 16 N columns of its output.
 * Thread (x, y) has scores of queries 4y.. and keys 4x.., and of the output the same queries and
 * columns x, x + 16, ...  Queries and keys come in steps of 32 columns, transposed, whose
 * products are summed on their own, as are a tile's values: shorter chains of roundings.  Then
 * the weights take their place; what a thread reads of them its own warp has written. */
enum { F32_ROWS = 64, F32_PART = 32, F32_STEP = F32_ROWS + 4 };

/* to [F32_PART, F32_STEP] = the transpose of `rows` rows and `columns` columns; else zeros.  A warp
 * reads 8 columns of 4 rows and writes to 32 banks. */
static __device__ __forceinline__ void
fetch_transposed(float *to, const float *from, int64_t step, int rows, int columns)
{
#pragma unroll 4
    for (int i = threadIdx.x; i < F32_ROWS * F32_PART; i += 256) {
        const int c = i % 8 + i / 512 * 8, r = i / 8 % F32_ROWS;
        to[c * F32_STEP + r] = r < rows && c < columns ? from[r * step + c] : 0.0f;
    }
}

template <int N> static __device__ __forceinline__ void
fetch_values(float *to, const float *from, int64_t step, int rows, int columns)
{
#pragma unroll 4
    for (int i = threadIdx.x; i < F32_ROWS * 16 * N; i += 256) {
        const int r = i / (16 * N), c = i % (16 * N);
        to[i] = r < rows && c < columns ? from[r * step + c] : 0.0f;
    }
}

/* s [4, 4] += q^T k of n columns. */
static __device__ __forceinline__ void
add_products(float (&s)[4][4], const float *q, const float *k, int n)
{
    float part[4][4] = {};
#pragma unroll 4
    for (int c = 0; c < n; c++) {
        const float4 a4 = *(const float4 *)(q + c * F32_STEP),
                     b4 = *(const float4 *)(k + c * F32_STEP);
        const float a[4] = {a4.x, a4.y, a4.z, a4.w}, b[4] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
        for (int i = 0; i < 16; i++)
            part[i / 4][i % 4] = fmaf(a[i / 4], b[i % 4], part[i / 4][i % 4]);
    }
#pragma unroll
    for (int i = 0; i < 16; i++)
        s[i / 4][i % 4] += part[i / 4][i % 4];
}

/* What happens over the 16 threads of a row: x is the low half of the lane. */
static __device__ __forceinline__ float
row_max(float v)
{
    for (int d = 1; d < 16; d *= 2)
        v = fmaxf(v, __shfl_xor_sync(PF_WHOLE_WARP, v, d));
    return v;
}

static __device__ __forceinline__ float
row_sum(float v)
{
    for (int d = 1; d < 16; d *= 2)
        v += __shfl_xor_sync(PF_WHOLE_WARP, v, d);
    return v;
}

/* Queries q.. see of the keys k.. what the mask says and what there is. */
static __device__ __forceinline__ void
hide_f32(float (&s)[4][4], const call<float> &j, const job &p, int q, int k)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const bool in = p.list && q + i < j.queries && k < j.tokens;
        const uint32_t row = in ? j.mask[(p.mask * j.tokens + q + i) * j.words + k / WORD] : ~0u,
                       see = (row & keys_in(j.tokens, k / WORD)) >> k % WORD;
#pragma unroll
        for (int n = 0; n < 4; n++)
            s[i][n] = see & 1u << n ? s[i][n] : -INFINITY;
    }
}

/* One row's 4 of 64 scores become weights; the factor for what was gathered before. */
static __device__ __forceinline__ float
weigh_f32(float (&s)[4], float &top, float &total)
{
    const float most = fmaxf(top, row_max(fmaxf(fmaxf(s[0], s[1]), fmaxf(s[2], s[3]))));
    const float zero = most == -INFINITY ? 0 : most, shrink = exp2f(top - zero);
#pragma unroll
    for (int n = 0; n < 4; n++)
        s[n] = exp2f(s[n] - zero);
    top = most;
    total = total * shrink + ((s[0] + s[1]) + (s[2] + s[3]));
    return shrink;
}

/* o [4, N] = o shrink + w [4, 64] v [64, N], in one or two halves of the columns. */
template <int N> static __device__ __forceinline__ void
add_values_f32(float (&o)[4][N], const float (&shrink)[4], const float *weights,
               const float *values)
{
    constexpr int PART = N > 5 ? N / 2 : N;
#pragma unroll
    for (int first = 0; first < N; first += PART) {
        float part[4][PART] = {};
#pragma unroll 2
        for (int k = 0; k < F32_ROWS; k += 4) {
            float w[4][4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                *(float4 *)w[i] = *(const float4 *)(weights + i * F32_STEP + k);
#pragma unroll
            for (int kk = 0; kk < 4; kk++)
#pragma unroll
                for (int n = 0; n < PART; n++) {
                    const float v = values[((k + kk) * N + first + n) * 16];
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        part[i][n] = fmaf(w[i][kk], v, part[i][n]);
                }
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int n = 0; n < PART; n++)
                o[i][first + n] = fmaf(o[i][first + n], shrink[i], part[i][n]);
    }
}

template <int N> static __global__ void __launch_bounds__(256, N > 5 ? 1 : 2)
attend_f32(const call<float> j)
{
    extern __shared__ uint4 shared[];
    float *const qs = (float *)shared, *const ks = qs + F32_PART * F32_STEP;
    float *const vs = ks + F32_PART * F32_STEP, *const ws = qs;         // ws [F32_ROWS, F32_STEP]
    const job p = job_of(j, blockIdx.x, F32_ROWS, 16 * N);
    const int x = threadIdx.x % 16, y = threadIdx.x / 16, count = tiles_in(j, p.list);
    const int64_t E = (int64_t)j.heads * j.d, step = 3 * E;
    const float *const from = j.qkv + p.b * j.tokens * step + (int64_t)p.head * j.d;
    float o[4][N] = {}, top[4], total[4] = {};
    for (int i = 0; i < 4; i++)
        top[i] = -INFINITY;
#pragma unroll 1
    for (int i = 0; i < count; i++) {
        const uint32_t t = tile_at<F32_ROWS>(j, p.list, i);
        const int first = number_of(t) * F32_ROWS, rows = j.tokens - first;
        const float *const keys = from + first * step + E;
        float s[4][4] = {}, shrink[4];
#pragma unroll 1
        for (int c = 0; c < j.d; c += F32_PART) {
            __syncthreads();               // nobody reads the last part, weights or values any more
            fetch_transposed(qs, from + p.q0 * step + c, step, j.queries - p.q0, j.d - c);
            fetch_transposed(ks, keys + c, step, rows, j.d - c);
            if (c == 0)
                fetch_values<N>(vs, keys + E + p.column, step, rows, j.d - p.column);
            __syncthreads();
            add_products(s, qs + 4 * y, ks + 4 * x, min(F32_PART, j.d - c));
        }
        __syncthreads();                        // nobody reads queries or keys any more
#pragma unroll
        for (int r = 0; r < 16; r++)
            s[r / 4][r % 4] *= j.scale;
        if (!all_seen_by(t, 0))
            hide_f32(s, j, p, p.q0 + 4 * y, first + 4 * x);
#pragma unroll
        for (int r = 0; r < 4; r++) {
            shrink[r] = weigh_f32(s[r], top[r], total[r]);
            *(float4 *)(ws + (4 * y + r) * F32_STEP + 4 * x) =
                make_float4(s[r][0], s[r][1], s[r][2], s[r][3]);
        }
        __syncwarp();
        add_values_f32<N>(o, shrink, ws + 4 * y * F32_STEP, vs + x);
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int q = p.q0 + 4 * y + r;
        const float all = row_sum(total[r]), by = all > 0 ? 1.0f / all : 0;
        float *const to = j.y + (p.b * j.queries + q) * E + (int64_t)p.head * j.d + p.column;
#pragma unroll
        for (int n = 0; n < N; n++)
            if (q < j.queries && x + 16 * n < j.d - p.column)
                to[x + 16 * n] = o[r][n] * by;
    }
}

// ---- launches ----

pf_err
pf_attention_survey(pf_dev *dev, struct attention_sizes *s, int64_t B, int rows, int groups,
                    int keys, int columns, unsigned *grid)
{
    const int queries = rows * groups;
    s->blocks = (s->queries + queries - 1) / queries;
    s->tiles = (s->tokens + keys - 1) / keys;
    const int64_t masks = s->masks < B ? s->masks : B, dim[] = {masks, s->blocks, 1 + s->tiles};
    const int64_t blocks = B * s->heads * ((s->d + columns - 1) / columns) * s->blocks;
    if (blocks > INT32_MAX || masks * s->blocks > INT32_MAX)
        return pf_fail(PF_EDEV, "attention: %lld blocks are too many for one launch",
                       (long long)blocks);
    *grid = (unsigned)blocks;
    if (!s->mask)
        return PF_OK;
    const int64_t count = s->tokens;
    pf_tensor lists, order = {};
    PF_TRY(pf_dev_alloc(dev, &lists, PF_U32, 3, dim));
    s->lists = (const uint32_t *)lists.data;
    if (s->side)
        PF_TRY(pf_dev_alloc(dev, &order, PF_I32, 1, &count));
    s->order = (const int *)order.data;
    survey<<<(unsigned)(masks * s->blocks), groups * SPLIT * PF_WARP, 0, pf_cuda_stream(dev)>>>(
        (uint32_t *)lists.data, (int *)order.data, s->mask, s->tokens, s->queries, rows,
        keys / WORD, s->blocks, s->side);
    return pf_launched(dev, "pf_attention");
}

template <typename T> static pf_err
start(pf_dev *dev, void (*kernel)(call<T>), call<T> j, int64_t B, int rows, int groups, int keys,
      int columns, int threads, int bytes)
{
    unsigned grid = 0;
    PF_TRY(pf_attention_survey(dev, &j, B, rows, groups, keys, columns, &grid));
    PF_CUDA_TRY(cudaFuncSetAttribute((const void *)kernel,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
                "pf_attention");
    kernel<<<grid, threads, bytes, pf_cuda_stream(dev)>>>(j);
    return pf_launched(dev, "pf_attention");
}

/* Heads of at most D columns; 4 warps of 16 M queries, BLOCKS of them on a multiprocessor. */
template <int D, int M, int KEYS, int BLOCKS, typename T> static pf_err
start_narrow(pf_dev *dev, const call<T> &j, int64_t B)
{
    return start(dev, attend<T, D, M, KEYS, 4, BLOCKS>, j, B, 16 * M, 4, KEYS, j.d, 4 * PF_WARP,
                 room<D, M, KEYS, 4>::BYTES);
}

template <typename T> static pf_err
start_for(pf_dev *dev, const call<T> &j, int64_t B)
{
    if (pf_attention_hopper_takes(&j))
        return pf_attention_hopper(dev, j, B);
    if (j.d <= 40)
        return start_narrow<40, 2, 64, 3>(dev, j, B);
    if (j.d <= 80)
        return start_narrow<80, 2, 64, 2>(dev, j, B);
    if (j.d <= 160)
        return start_narrow<160, 1, 64, 2>(dev, j, B);
    return start(dev, attend_wide<T>, j, B, 16, WIDE_WARPS, WIDE_KEYS, WIDE, WIDE_WARPS * PF_WARP,
                 WIDE_BYTES);
}

template <int N> static pf_err
start_f32(pf_dev *dev, const call<float> &j, int64_t B)
{
    return start(dev, attend_f32<N>, j, B, F32_ROWS, 1, F32_ROWS, 16 * N, 256,
                 (F32_ROWS * F32_STEP + F32_ROWS * 16 * N) * (int)sizeof(float));
}

static pf_err
start_for(pf_dev *dev, const call<float> &j, int64_t B)
{
    if (j.d <= 16)
        return start_f32<1>(dev, j, B);
    if (j.d <= 48)
        return start_f32<3>(dev, j, B);
    if (j.d <= 80)
        return start_f32<5>(dev, j, B);
    if (j.d > 128 && j.d <= 160)
        return start_f32<10>(dev, j, B);
    return start_f32<8>(dev, j, B);
}

/* to = from in the order of strips, or back; a block for each row of `width`, `tokens` to a batch
 * element. */
template <typename T> static __global__ void
reorder(T *to, const T *from, int tokens, int width, int side, bool back)
{
    const int place = blockIdx.x % tokens, first = blockIdx.x - place;
    const int64_t i = (int64_t)blockIdx.x * width,
                  j = (int64_t)(first + pf_strip_token(place, side)) * width;
    for (int c = threadIdx.x; c < width; c += blockDim.x)
        to[(back ? j : i) + c] = from[(back ? i : j) + c];
}

template <typename T> static pf_err
attention(pf_dev *dev, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
          const pf_tensor *mask, int side);

/* The same by copies in the order of strips. */
template <typename T> static pf_err
attention_of_copies(pf_dev *dev, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
                    const pf_tensor *mask, int side)
{
    const int tokens = (int)qkv->dim[1], width = (int)qkv->dim[2];
    const unsigned rows = (unsigned)(qkv->dim[0] * tokens);
    pf_tensor in, out;
    PF_TRY(pf_dev_alloc(dev, &in, qkv->dtype, 3, qkv->dim));
    PF_TRY(pf_dev_alloc(dev, &out, y->dtype, 3, y->dim));
    reorder<<<rows, 256, 0, pf_cuda_stream(dev)>>>((T *)in.data, (const T *)qkv->data, tokens,
                                                   width, side, false);
    PF_TRY(attention<T>(dev, &out, &in, heads, scale, mask, 0));
    reorder<<<rows, 256, 0, pf_cuda_stream(dev)>>>((T *)y->data, (const T *)out.data, tokens,
                                                   width / 3, side, true);
    return pf_launched(dev, "pf_attention");
}

template <typename T> static pf_err
attention(pf_dev *dev, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
          const pf_tensor *mask, int side)
{
    const int64_t B = qkv->dim[0], E = qkv->dim[2] / 3;
    call<T> j = {};
    j.y = (T *)y->data;
    j.qkv = (const T *)qkv->data;
    j.tokens = (int)qkv->dim[1];
    j.queries = (int)y->dim[1];
    j.heads = heads;
    j.d = (int)(E / heads);
    j.words = (j.tokens + WORD - 1) / WORD;
    j.scale = scale * 1.44269504f;
    if (mask) {
        j.mask = (const uint32_t *)mask->data;
        j.masks = (int)mask->dim[0];
    }
    if (sizeof(T) == 2) {           // maxima are of scores before the scale; -inf * 0 is not wanted
        j.negative = j.scale < 0;
        j.scale = fmaxf(fabsf(j.scale), 1e-30f);
    }
    j.sixteen = j.d % 8 == 0 && (uintptr_t)qkv->data % 16 == 0;
    j.pairs = j.d % 2 == 0 && (uintptr_t)y->data % 4 == 0;
    j.side = side;
    if (side && !(sizeof(T) == 2 && pf_attention_hopper_takes(&j)))
        return attention_of_copies<T>(dev, y, qkv, heads, scale, mask, side);
    return start_for(dev, j, B);
}

pf_err
pf_attention_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *qkv, int heads, float scale,
                  const pf_tensor *mask, int side)
{
    const size_t mark = pf_dev_mark(dev);
    pf_err err = PF_OK;
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (qkv->dim[1] >= 1 << 21 || qkv->dim[2] >= 1 << 24)           // tile_at(), fetch()
        return pf_fail(PF_ESHAPE, "attention: %lld tokens of %lld numbers are too many",
                       (long long)qkv->dim[1], (long long)qkv->dim[2]);
    PF_FOR_TYPE(y->dtype, T, err = attention<T>(dev, y, qkv, heads, scale, mask, side));
    pf_dev_reset(dev, mark);
    return err;
}
