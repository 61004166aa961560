/* attention_hopper.cu - pf_attention by wgmma: 16 bits, heads of 40, 64 or 80.
 *
 * A job is 256 queries of one head; each multiprocessor has one block, which does job blockIdx,
 * then the one gridDim further, and so on.  4 groups of 4 warps have 64 of the queries each: scores
 * of a tile of 96 (or 64) keys, weights, values.  Groups do not wait for each other: while one
 * takes powers of 2, others have the tensor cores.  Four more warps only bring queries, keys and
 * values by cp.async, up to STAGES tiles ahead and beyond the job's end.  Barriers say that a tile
 * is there (full) and that nobody reads it any more (empty).
 *
 * In shared memory there are panels of 64 columns: lines of 128 bytes whose 16-byte pieces are at
 * place j ^ (line % 8).  The first product takes steps of 16 columns: columns 40..47 of heads of 40
 * are zeros.  Behind the values stand 8 columns of ones: the second product gives the sums of
 * weights too, of the same rounded weights.  Weights stay in registers; each 16 keys' are
 * multiplied while the next ones are computed.  In f16 the output is scaled down only when a
 * maximum grows by 2^8, as in attention.cu, in bf16 by 2^80 (is_beyond()).  Masks are surveyed, as
 * there.  Where a mask is in strips, rows of queries, keys, values and results are looked up in
 * their order.
 *
 * T = Q = 1024, d = 40, B = 32, h = 8: each multiprocessor has 341 times 64 queries and 96
 * keys.  In cycles that is 3 * 48 + 6 * 24 = 288 of products, 384 of powers of 2, of which the
 * special function units make 16 a cycle, and some 230 instructions of each quarter: 131
 * k cycles, 75 us at 1.755 GHz.  185 MB of tiles come from L2 in this time; 84 MB are 18 us at
 * 4.8 TB/s.  d = 80, T = 256: 64 queries and 64 keys are 336 cycles of products, 16 times,
 * twice: 6 us.  Tried and slower (SPEED.md): powers by polynomials, 1 or 2 of each 8; scores of
 * the next half of a tile multiplied beside the weights of this one. */
#include <cmath>
#include <type_traits>

#include "kernels/attention.cuh"
#include "kernels/ptx.cuh"

enum { PANEL = 64 };            // columns of a panel
enum { GROUPS = 4, ROWS = 64, QUERIES = GROUPS * ROWS };
enum { WARPS = 4 * GROUPS, THREADS = (WARPS + 4) * PF_WARP };
enum { ROOM = 80 };             // 2^80 values of 2^10 and all their sums are far below 2^127
// Five threads, four that work and one that carries, share the 480 registers of the start.
enum { WORKERS_REGISTERS = 112, CARRIERS_REGISTERS = 32 };
enum : uint32_t { LAST = 1u << 31 };    // in a tile's register: the job's last one

namespace {

/* Shared memory of heads of D, in bytes: twice queries, then places for tiles. */
template <int D, int KEYS> struct room {
    enum {
        STAGES = D == 80 ? 3 : 4,
        STEPS = (D + 15) / 16,                          // of the first product
        PANELS = (D + PANEL - 1) / PANEL,               // of queries or keys
        SUMS = D + 8,                                   // columns of the second product
        VALUES = PANELS * KEYS * LINE,                  // offset in a tile
        TILE = VALUES + (SUMS + PANEL - 1) / PANEL * KEYS * LINE,
        QUERIES_BYTES = PANELS * QUERIES * LINE,
        TILES = 2 * QUERIES_BYTES,                      // offset
        BARRIERS = TILES + STAGES * TILE,               // offset of struct signals
    };
};

/* tile[i] is what lies in place i, as tile_at() says it.  full: it is there; empty: all warps
 * are done with it; answered: they are done with these queries. */
template <int STAGES> struct signals {
    uint64_t full[STAGES], empty[STAGES], answered[2];
    uint32_t tile[STAGES];
};

}

static __device__ __forceinline__ void
arrive(uint64_t *barrier)
{
    __syncwarp();
    if (threadIdx.x % PF_WARP == 0)
        pf_barrier_arrive(barrier);
}

static __device__ __forceinline__ void
wait_for(uint64_t *barrier, unsigned parity)
{
    pf_barrier_wait(barrier, parity);
    __syncwarp();
}

/* What lane 0 has, for the whole warp: the compiler knows that it is one number, and keeps it in
 * one register. */
static __device__ __forceinline__ uint32_t
of_lane_0(uint32_t v)
{
    return __shfl_sync(PF_WHOLE_WARP, v, 0);
}

/* What no copy writes: zeros beside queries and keys, and ones behind the values. */
template <typename T, int D, int KEYS> static __device__ __forceinline__ void
fill_constants(unsigned char *shared)
{
    typedef room<D, KEYS> R;
    const uint32_t one = packed(1.0f, 1.0f, T());
    const uint4 zeros = {}, ones = {one, one, one, one};
    const auto put = [&](int at, int lines, int piece, uint4 v) {
        for (int r = threadIdx.x; r < lines; r += THREADS)
            *(uint4 *)(shared + at + piece / PIECES * lines * LINE + r * LINE +
                       (piece % PIECES ^ r % 8) * PIECE) = v;
    };
    for (int i = 0; i < 2 && D % 16; i++)
        put(i * R::QUERIES_BYTES, QUERIES, D / 8, zeros);
    for (int i = 0; i < R::STAGES; i++) {
        if (D % 16)
            put(R::TILES + i * R::TILE, KEYS, D / 8, zeros);
        put(R::TILES + i * R::TILE + R::VALUES, KEYS, D / 8, ones);
    }
    pf_group_sees_copies();
}

// ---- bringing ----

/* Start copying N rows of D columns from row `first` on and, unless behind is 0, so many bytes
 * behind them the values of these keys.  from: this thread's piece of row 0; a row is `step`
 * bytes.  Rows beyond the last one are it again: nobody sees them.  order: NULL, or which row is
 * meant by a number. */
template <int D, int N> static __device__ __forceinline__ void
fetch(unsigned to, const unsigned char *from, unsigned step, int first, int last, int behind,
      const int *order)
{
    const int line = threadIdx.x % 128 / PIECES, piece = threadIdx.x % PIECES;
    to += line * LINE + (piece ^ line % 8) * PIECE;
    first += line;
#pragma unroll 4
    for (int r = 0; r < N; r += 128 / PIECES) {
        const int at = min(first + r, last);
        const unsigned char *const row = from + (uint64_t)(unsigned)(order ? order[at] : at) * step;
#pragma unroll
        for (int c = 0; c < D; c += PANEL)
            if (c + PANEL <= D || piece < D % PANEL / 8) {
                pf_copy16(to + (c / PANEL * N + r) * LINE, row + 2 * c, true);
                if (behind)
                    pf_copy16(to + behind + (c / PANEL * N + r) * LINE, row + step / 3 + 2 * c,
                              true);
            }
    }
}

/* Four warps bring what the others work on, as far ahead as there are places.  A tile is full
 * when the next one is on its way: with the first of a job its queries are there.  A job of no
 * tiles has one that nobody sees. */
template <typename T, int D, int KEYS> static __device__ __forceinline__ void
bring(const call<T> &j, unsigned base, signals<room<D, KEYS>::STAGES> *s, unsigned jobs)
{
    typedef room<D, KEYS> R;
    const unsigned E = (unsigned)sizeof(T) * j.heads * D, step = 3 * E;         // bytes
    pf_turn<R::STAGES> t = {0, 0};
    pf_turn<2> asked = {0, 0};
    uint64_t *before = nullptr;                 // the barrier of the tile before this one
    bool again = false, asked_again = false;    // places have been used
#pragma unroll 1
    for (unsigned n = blockIdx.x; n < jobs; n += gridDim.x) {
        const job p = job_of(j, n, QUERIES, D);
        const int count = tiles_in(j, p.list);
        const unsigned char *const from = (const unsigned char *)j.qkv + p.b * j.tokens * step +
                                          p.head * D * sizeof(T) + threadIdx.x % PIECES * PIECE;
        if (asked_again)
            wait_for(&s->answered[asked.at], asked.odd ^ 1);
        fetch<D, QUERIES>(base + asked.at * R::QUERIES_BYTES, from, step, p.q0, j.queries - 1, 0,
                          j.order);
        asked_again |= asked.at == 1;
        pf_advance(asked);
#pragma unroll 1
        for (int i = 0; i == 0 || i < count; i++) {
            const uint32_t tile = i < count ? tile_at<KEYS>(j, p.list, i) : 0;
            const unsigned to = base + R::TILES + t.at * R::TILE;
            if (again)
                wait_for(&s->empty[t.at], t.odd ^ 1);
            if (i < count)
                fetch<D, KEYS>(to, from + E, step, number_of(tile) * KEYS, j.tokens - 1, R::VALUES,
                               j.order);
            pf_copies_commit();
            if (threadIdx.x == WARPS * PF_WARP)
                s->tile[t.at] = tile | (i + 1 < count ? 0 : LAST);
            pf_copies_wait<1>();
            pf_group_sees_copies();
            if (before)
                arrive(before);
            before = &s->full[t.at];
            again |= t.at == R::STAGES - 1;
            pf_advance(t);
        }
    }
    pf_copies_wait<0>();
    pf_group_sees_copies();
    if (before)
        arrive(before);
}

// ---- working ----

/* The mask of a thread's two rows: words of the first, or NULL, and how far behind it the second
 * is.  Rows beyond the queries see what the last one sees. */
struct sight {
    const uint32_t *row;
    int behind;
};

static __device__ __forceinline__ sight
sight_of(const attention_sizes &s, const job &p, int row)
{
    const int q = min(p.q0 + row, s.queries - 1), r = min(p.q0 + row + 8, s.queries - 1);
    return {s.mask ? s.mask + (p.mask * s.tokens + q) * s.words : nullptr, (r - q) * s.words};
}

/* What the two rows see of a tile. */
template <int KEYS> static __device__ __forceinline__ void
look(uint32_t (&see)[2][KEYS / WORD], const attention_sizes &s, const sight &mask, int tile)
{
    const int first = tile * (KEYS / WORD);
#pragma unroll
    for (int i = 0; i < KEYS / WORD; i++) {
        const int w = min(first + i, s.words - 1);
        see[0][i] = mask.row ? mask.row[w] : ~0u;
        see[1][i] = mask.row ? mask.row[w + mask.behind] : ~0u;
    }
    if ((tile + 1) * KEYS <= s.tokens)
        return;
#pragma unroll
    for (int i = 0; i < KEYS / WORD; i++) {
        see[0][i] &= keys_in(s.tokens, first + i);
        see[1][i] &= keys_in(s.tokens, first + i);
    }
}

/* s [64, KEYS]: of a thread s[4 n + i] is row g + i / 2 * 8 of its warp's, column 8 n + 2 t + i
 * % 2. */
template <int KEYS> static __device__ __forceinline__ void
hide(float (&s)[KEYS / 2], const uint32_t (&see)[2][KEYS / WORD])
{
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int w = 0; w < KEYS / WORD; w++) {
            const uint32_t bits = see[half][w] >> 2 * t;
#pragma unroll
            for (int n = 0; n < 4; n++) {
                float *const pair = s + 4 * (4 * w + n) + 2 * half;
                pair[0] = bits & 1u << 8 * n ? pair[0] : -INFINITY;
                pair[1] = bits & 2u << 8 * n ? pair[1] : -INFINITY;
            }
        }
}

namespace {

/* A group's output on its way: values weighted and summed, then sums of weights, as the scores
 * are laid out; and the exponents that weights are relative to, of rows g and g + 8. */
template <int D> struct output {
    float sum[(D + 8) / 2], top[2];
    float limit;                // is_beyond(): a score that is 2^ROOM beyond the lesser one
};

}

/* Rows whose maximum is far beyond the last one start from it. */
template <int D, int KEYS> static __device__ __forceinline__ void
raise(output<D> &o, const float (&s)[KEYS / 2], float scale)
{
    float x[4] = {s[0], s[1], s[2], s[3]}, most[2];
    bool grow = false;
#pragma unroll
    for (int n = 1; n < KEYS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i] = fmaxf(x[i], s[4 * n + i]);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float a = fmaxf(x[2 * half], x[2 * half + 1]);
        a = fmaxf(a, __shfl_xor_sync(PF_WHOLE_WARP, a, 1));
        a = fmaxf(a, __shfl_xor_sync(PF_WHOLE_WARP, a, 2));
        most[half] = a * scale;
        grow |= most[half] > o.top[half] + 8.0f;
    }
    if (!__any_sync(PF_WHOLE_WARP, grow))
        return;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float before = o.top[half], now = most[half];
        const float shrink = now > before + 8.0f ? power(before - now) : 1.0f;
        o.top[half] = now > before + 8.0f ? now : before;
#pragma unroll
        for (int n = 0; n <= D / 8; n++) {
            o.sum[4 * n + 2 * half] *= shrink;
            o.sum[4 * n + 2 * half + 1] *= shrink;
        }
    }
    o.limit = (fminf(o.top[0], o.top[1]) + ROOM) / scale;
}

/* In bf16, which has the exponents of f32, a weight may be 2^ROOM: a row keeps the maximum of its
 * first tile until a score says that this is too little.  To ask that takes half as many
 * instructions as the maximum, and no shuffles: what is above 0 is in the order of its bits. */
template <int D, int KEYS> static __device__ __forceinline__ bool
is_beyond(const output<D> &o, const float (&s)[KEYS / 2])
{
    int most = __float_as_int(s[0]);
#pragma unroll
    for (int i = 1; i + 1 < KEYS / 2; i += 2)
        most = __vimax3_s32(most, __float_as_int(s[i]), __float_as_int(s[i + 1]));
    most = max(most, __float_as_int(s[KEYS / 2 - 1]));
    return !(o.limit > 0) || most > __float_as_int(o.limit);
}

/* o += weights of the scores s, by `values`, 16 keys at a time.  Who has seen nothing yet has
 * weights of 0. */
template <typename T, int D, int KEYS> static __device__ __forceinline__ void
add_values(output<D> &o, const float (&s)[KEYS / 2], float scale, uint64_t values)
{
    float zero[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
        zero[half] = o.top[half] == -INFINITY ? 0.0f : o.top[half];
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        float w[8];
        uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 8; i++)
            w[i] = power(fmaf(s[8 * k + i], scale, -zero[i / 2 % 2]));
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = packed(w[2 * i], w[2 * i + 1], T());
        pf_group_begin();
        pf_group_mma_registers<T, D + 8>(o.sum, a, values + k * (16 * LINE / 16));
    }
    pf_group_commit();
}

/* Write the rows from query q on, divided by their sums of weights. */
template <typename T, int D> static __device__ __forceinline__ void
finish(const output<D> &o, const call<T> &j, const job &p, int q)
{
    const int64_t E = (int64_t)j.heads * D;
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float total = o.sum[4 * (D / 8) + 2 * half],
                    by = o.top[half] > -INFINITY ? 1.0f / total : 0.0f;
        if (q + 8 * half >= j.queries)
            continue;
        const int row = j.order ? j.order[q + 8 * half] : q + 8 * half;
        T *const to = j.y + (p.b * j.queries + row) * E + (int64_t)p.head * D + 2 * t;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            *(uint32_t *)(to + 8 * n) =
                packed(o.sum[4 * n + 2 * half] * by, o.sum[4 * n + 2 * half + 1] * by, T());
    }
}

/* o += what this group's queries, at `queries`, see of a tile, at `tile`; all: each sees each
 * key. */
template <typename T, int D, int KEYS> static __device__ __forceinline__ void
add_tile(output<D> &o, const call<T> &j, unsigned queries, unsigned tile, uint32_t now, bool all,
         const sight &mask)
{
    typedef room<D, KEYS> R;
    const uint64_t a = pf_group_operand(queries), b = pf_group_operand(tile);
    float s[KEYS / 2];
    uint32_t see[2][KEYS / WORD];
    if (!all)
        look<KEYS>(see, j, mask, number_of(now & ~LAST));
    pf_group_begin();
#pragma unroll
    for (int k = 0; k < R::STEPS; k++)
        pf_group_mma_if<T, KEYS>(s, a + (k / 4 * QUERIES * LINE + k % 4 * 32) / 16,
                                 b + (k / 4 * KEYS * LINE + k % 4 * 32) / 16, k > 0);
    pf_group_commit();
    pf_group_wait<0>();
#pragma unroll
    for (int n = 0; n < KEYS / 2; n++)
        pf_group_own(s[n]);
    if (!all)
        hide<KEYS>(s, see);
    constexpr bool wide = std::is_same_v<T, __nv_bfloat16>;
    if (!wide || __any_sync(PF_WHOLE_WARP, is_beyond<D, KEYS>(o, s)))
        raise<D, KEYS>(o, s, j.scale);
    add_values<T, D, KEYS>(o, s, j.scale, pf_group_columns(tile + R::VALUES, KEYS * LINE));
    pf_group_wait<0>();
#pragma unroll
    for (int n = 0; n < (D + 8) / 2; n++)
        pf_group_own(o.sum[n]);
}

/* A group's part in all of the block's jobs. */
template <typename T, int D, int KEYS> static __device__ __forceinline__ void
work(const call<T> &j, unsigned base, signals<room<D, KEYS>::STAGES> *s, unsigned jobs)
{
    typedef room<D, KEYS> R;
    const int lane = threadIdx.x % PF_WARP, warp = of_lane_0(threadIdx.x / PF_WARP),
              group = warp / 4;
    const int row = warp * 16 + lane / 4;       // this thread's first one
    pf_turn<R::STAGES> t = {0, 0};
    pf_turn<2> asked = {0, 0};
#pragma unroll 1
    for (unsigned n = blockIdx.x; n < jobs; n += gridDim.x) {
        const job p = job_of(j, n, QUERIES, D);
        const sight mask = sight_of(j, p, row);
        const unsigned queries = base + asked.at * R::QUERIES_BYTES + group * ROWS * LINE;
        output<D> o = {};
        uint32_t now;
        o.top[0] = o.top[1] = -INFINITY;
#pragma unroll 1
        do {
            wait_for(&s->full[t.at], t.odd);
            // who reads it is who will say that the place is free
            now = of_lane_0(lane ? 0 : s->tile[t.at]);
            if (seen_by(now, group))
                add_tile<T, D, KEYS>(o, j, queries, base + R::TILES + t.at * R::TILE, now,
                                     all_seen_by(now, group), mask);
            arrive(&s->empty[t.at]);
            pf_advance(t);
        } while (!(now & LAST));
        arrive(&s->answered[asked.at]);
        pf_advance(asked);
        finish<T, D>(o, j, p, p.q0 + row);
    }
}

template <typename T, int D, int KEYS> static __global__ void __launch_bounds__(THREADS, 1)
attend(const __grid_constant__ call<T> j, const unsigned jobs)
{
    typedef room<D, KEYS> R;
    extern __shared__ __align__(1024) unsigned char shared[];
    signals<R::STAGES> *const s = (signals<R::STAGES> *)(shared + R::BARRIERS);
    const unsigned base = pf_shared_address(shared);
    if (base % 1024)
        __trap();               // the places of pieces count on it
    if (threadIdx.x == 0) {
        for (int i = 0; i < R::STAGES; i++) {
            pf_barrier_init(&s->full[i], 4);
            pf_barrier_init(&s->empty[i], WARPS);
        }
        pf_barrier_init(&s->answered[0], WARPS);
        pf_barrier_init(&s->answered[1], WARPS);
    }
    fill_constants<T, D, KEYS>(shared);
    __syncthreads();
    if (threadIdx.x / PF_WARP >= WARPS) {
        pf_registers_fewer<CARRIERS_REGISTERS>();
        bring<T, D, KEYS>(j, base, s, jobs);
    } else {
        pf_registers_more<WORKERS_REGISTERS>();
        work<T, D, KEYS>(j, base, s, jobs);
    }
}

// ---- launches ----

bool
pf_attention_hopper_takes(const struct attention_sizes *s)
{
    static int known = -1;
    if (known < 0)
        known = pf_group_compiled((const void *)attend<__nv_bfloat16, 40, 96>);
    return (s->d == 40 || s->d == 64 || s->d == 80) && s->sixteen && s->pairs && !s->negative &&
           known;
}

template <typename T, int D, int KEYS> static pf_err
start(pf_dev *dev, call<T> j, int64_t B)
{
    enum { BYTES = room<D, KEYS>::BARRIERS + sizeof(signals<room<D, KEYS>::STAGES>) };
    unsigned jobs = 0;
    PF_TRY(pf_attention_survey(dev, &j, B, ROWS, GROUPS, KEYS, D, &jobs));
    const unsigned processors = dev->cuda->processors, grid = jobs < processors ? jobs : processors;
    PF_CUDA_TRY(cudaFuncSetAttribute(attend<T, D, KEYS>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES),
                "pf_attention");
    attend<T, D, KEYS><<<grid, THREADS, BYTES, pf_cuda_stream(dev)>>>(j, jobs);
    return pf_launched(dev, "pf_attention");
}

template <typename T> static pf_err
start_for(pf_dev *dev, const call<T> &j, int64_t B)
{
    return j.d == 64   ? start<T, 64, 64>(dev, j, B)
           : j.d == 80 ? start<T, 80, 64>(dev, j, B)
           : j.mask    ? start<T, 40, 64>(dev, j, B)    // smaller tiles are more often empty
                       : start<T, 40, 96>(dev, j, B);
}

pf_err
pf_attention_hopper(pf_dev *dev, const call<__half> &j, int64_t B)
{
    return start_for(dev, j, B);
}

pf_err
pf_attention_hopper(pf_dev *dev, const call<__nv_bfloat16> &j, int64_t B)
{
    return start_for(dev, j, B);
}
