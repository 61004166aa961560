/* conv_hopper.cu - pf_conv of 16 bits, or of E4M3 numbers, on Hopper: the copy engine (TMA) brings
 * what wgmma multiplies.
 *
 * A group of 4 warps has a patch of 64 * units pixels of y, a box of width x height x depth x
 * elements of the batch whose sides are powers of 2, and BN columns.  Its x at one tap and 64
 * channels is such a box of x, which one instruction copies: lines of 128 bytes whose 16-byte
 * pieces are at place j ^ (line % 8), zeros where the box reaches over an edge.  For most
 * convolutions the box is higher by the rows from its first tap to its last one, a slab: the taps
 * along y are products with the same slab from another line on (shared).  Rows of such patches are
 * whole multiples of 8 lines.
 *
 * Of E4M3 numbers a line holds 128 channels.  All that is counted in bytes is the same, and a step,
 * which takes as long, does twice as much.  A last step of 64 channels has zeros for the others of
 * x, and for those of w what follows in its row, which is finite.  The sums are multiplied by the
 * layer's scale and y is bf16.
 *
 * A block has two groups that work, a warp that brings slabs, one that brings w.  Two blocks are a
 * pair (cluster): their patches differ, their columns do not, and each brings half of w for both.
 * Slabs and w's steps lie in two rings of places.  Barriers say that a place has arrived (full:
 * counts bytes) and that nobody reads it any more (empty; w's waits for both blocks).  A pair does
 * job after job, the rings run on.  Sums stay in registers; four threads exchange theirs so that
 * each has 16 bytes of y, which are finished as in conv.cu.  The parities of a transposed
 * convolution, most taps first, or of one of doubled pixels are jobs too.  Calls with an activation
 * have kernels of their own, so that the others, which every network's convolutions are, keep their
 * registers.  Channels that are no whole steps of 64, and rows of y that are no whole 16 bytes,
 * stay with conv.cu: its gathering and its single numbers do not fit here, and no network has such
 * a convolution that would be worth it.
 *
 * ResBlock 320 -> 320, 3 x 3, 32 x 32, batch 32: 256 tiles of 256 x 160, two for most
 * multiprocessors.  60.4 GFLOP, 0.061 ms at 990 TFLOP/s; 44 MB, 0.009 ms at 4.8 TB/s.  From L2
 * come 40 KB of slabs for three steps and 10 KB of w for each: 0.27 GB in all, 0.05 ms at 5.5
 * TB/s.  From shared memory a step reads 112 KB in its 1280 cycles of products, which could be
 * 160 KB; 33 KB arrive meanwhile.  Volumes 64 -> 64, 16 x 48 x 32 x 32: 174 GFLOP, 0.18 ms;
 * wgmma with 64 columns reads 128 bytes a cycle, all that shared memory has, so that with what
 * arrives 0.25 ms are the floor.  The ResBlock of E4M3 numbers: 0.031 ms at 1980 TFLOP/s, 0.037 of
 * 3 steps for 320 channels; 33 MB, 0.007 ms; from L2 0.16 GB, 0.03 ms.
 *
 * Doubled pixels 640 -> 640, from 16 x 16, batch 32: 107 GFLOP, 0.108 ms at 990 TFLOP/s, in 256
 * jobs of 40 steps, four for most pairs; 66 MB, 0.014 ms.  9 taps of 32 x 32 would be 242 GFLOP.
 *
 * IS-Net of one picture of 1024 x 1024, 113 convolutions, 84 in whole steps: 319 GFLOP, 0.32 ms;
 * 0.87 GB, 0.18 ms.  Each at the larger of the two, at the 540 TFLOP/s that 64 columns give, and 2
 * us at least: 0.7 ms.  Pools, resizes and pairs besides move 0.36 GB, 0.08 ms.
 *
 * One file, though long: what brings, what works and what plans agree on each place of the
 * rings. */
#include <climits>

#include "kernels/conv.cuh"
#include "kernels/tensor_map.cuh"

enum { GROUPS = 2, UNIT = 64, WARPS = 4 * GROUPS, THREADS = (WARPS + 4) * PF_WARP, PAIR = 2 };
// Three threads, two that work and one that carries, share the 504 registers of the start.
enum { WORKERS_REGISTERS = 232, CARRIERS_REGISTERS = 40 };
enum { PARITIES = 8 };

namespace {

/* Shared memory, in bytes: places for slabs, for w's steps, then struct signals. */
template <int UNITS, int BN> struct room {
    enum {
        LINES = 80 * UNITS,             // of a slab at most
        SLAB = LINES * LINE,
        SLABS = UNITS == 2 ? 3 : 5,     // for both groups
        STEP = BN * LINE,
        STEPS = BN == 160 ? 5 : BN == 128 ? 6 : 8,
        W = SLABS * GROUPS * SLAB,      // offset
        SIGNALS = W + STEPS * STEP,
    };
};

template <typename Room> struct signals {
    uint64_t slab_full[Room::SLABS], slab_empty[Room::SLABS];
    uint64_t w_full[Room::STEPS], w_empty[Room::STEPS];
};

struct call {
    CUtensorMap x, w[PARITIES];
    struct conv c;
    int shift[3];               // log2 of a patch's depth, height, width
    int across[3];              // patches along these
    int lines, unit;            // of a slab; from its first 64 pixels to the next
    int rows;                   // lines from one tap of a slab to the next
    int pairs, split, slabs;    // slabs of one part
    int batch;                  // elements
    int count;                  // of jobs
    int blocks;                 // steps for all channels at a tap; the last may have fewer
    bool shared;
};

/* One job, or this block's share in it. */
struct job {
    int parity, part, n0, patch;
    int kernel[3];              // taps along depth, height, width
    int taps;                   // of a slab
    int first, slabs;
};

}

template <int N> static __device__ __forceinline__ int
before(const pf_turn<N> &t)
{
    return t.at ? t.at - 1 : N - 1;
}

/* Which block of its pair this is. */
static __device__ __forceinline__ int
rank(void)
{
    return blockIdx.x % PAIR;
}

/* This block's share in job i.  Neighbours have the same pixels: columns are fastest. */
template <int BN> static __device__ __forceinline__ job
job_of(const call &j, int i)
{
    job t;
    t.n0 = i % j.c.columns * BN;
    i /= j.c.columns;
    t.patch = (i % j.pairs * PAIR + rank()) * GROUPS;
    i /= j.pairs;
    t.part = i % j.split;
    t.parity = parity_of(j.c, i / j.split);
    for (int k = 0; k < 3; k++)
        t.kernel[k] = taps_of(j.c, t.parity, k);
    t.taps = j.shared ? t.kernel[1] : 1;
    const int all = t.kernel[0] * (t.kernel[1] / t.taps) * t.kernel[2] * j.blocks;
    t.first = t.part * j.slabs;
    t.slabs = min(all - t.first, j.slabs);
    return t;
}

/* A slab's tap, of those that are not in slabs, and channels. */
struct tap {
    int z, y, x, c;
};

static __device__ __forceinline__ tap
tap_of(const call &j, const job &t, int slab)
{
    const int at = slab / j.blocks, rows = t.kernel[1] / t.taps;
    return {at / t.kernel[2] / rows, at / t.kernel[2] % rows, at % t.kernel[2],
            slab % j.blocks * j.c.line};
}

static __device__ __forceinline__ void
pf_advance(tap &p, const call &j, const job &t)
{
    if ((p.c += j.c.line) < j.c.C)
        return;
    p.c = 0;
    if (++p.x < t.kernel[2])
        return;
    p.x = 0;
    if (++p.y < t.kernel[1] / t.taps)
        return;
    p.y = 0;
    p.z++;
}

namespace {

/* Where a patch begins in y. */
struct corner {
    int z, y, x, b;
};

}

static __device__ __forceinline__ corner
corner_of(const call &j, int patch)
{
    const int x = patch % j.across[2], rows = patch / j.across[2];
    const int y = rows % j.across[1], planes = rows / j.across[1];
    return {planes % j.across[0] << j.shift[0], y << j.shift[1], x << j.shift[2],
            planes / j.across[0]};
}

/* One thread brings the slabs of both groups. */
template <typename R, int UNITS, int BN> static __device__ __forceinline__ void
bring_slabs(const call &j, unsigned base, signals<R> *s)
{
    const int log_patch = UNITS == 2 ? 7 : 6,
              log_batch = log_patch - j.shift[0] - j.shift[1] - j.shift[2];
    pf_turn<R::SLABS> at = {0, 0};
#pragma unroll 1
    for (int i = blockIdx.x / PAIR; i < j.count; i += gridDim.x / PAIR) {
        const job t = job_of<BN>(j, i);
        tap p = tap_of(j, t, t.first);
        corner from[GROUPS];
        for (int g = 0; g < GROUPS; g++) {
            const corner k = corner_of(j, t.patch + g);
            from[g] = {k.z * j.c.stride[0] - before_of(j.c, t.parity, 0),
                       k.y * j.c.stride[1] - before_of(j.c, t.parity, 1),
                       k.x * j.c.stride[2] - before_of(j.c, t.parity, 2), k.b << log_batch};
        }
#pragma unroll 1
        for (int q = 0; q < t.slabs; q++) {
            pf_barrier_wait(&s->slab_empty[at.at], at.odd ^ 1);
            pf_barrier_expect(&s->slab_full[at.at], GROUPS * j.lines * LINE);
#pragma unroll
            for (int g = 0; g < GROUPS; g++)
                pf_bring_box(base + (at.at * GROUPS + g) * R::SLAB, &j.x, &s->slab_full[at.at], p.c,
                             from[g].x + p.x * j.c.dilation[2], from[g].y + p.y * j.c.dilation[1],
                             from[g].z + p.z * j.c.dilation[0], from[g].b);
            pf_advance(p, j, t);
            pf_advance(at);
        }
    }
}

/* One thread brings half of each step's w, to both blocks. */
template <typename R, int BN> static __device__ __forceinline__ void
bring_w(const call &j, unsigned base, signals<R> *s)
{
    const unsigned half = base + R::W + rank() * (R::STEP / PAIR);
    pf_turn<R::STEPS> at = {0, 0};
#pragma unroll 1
    for (int i = blockIdx.x / PAIR; i < j.count; i += gridDim.x / PAIR) {
        const job t = job_of<BN>(j, i);
        const int row = t.n0 + rank() * (BN / PAIR), down = t.kernel[2] * j.c.C;
        tap p = tap_of(j, t, t.first);
#pragma unroll 1
        for (int q = 0; q < t.slabs; q++) {
            int r = ((p.z * t.kernel[1] + p.y) * t.kernel[2] + p.x) * j.c.C + p.c;
#pragma unroll 1
            for (int y = 0; y < t.taps; y++) {
                pf_barrier_wait(&s->w_empty[at.at], at.odd ^ 1);
                pf_barrier_expect(&s->w_full[at.at], R::STEP);
                pf_bring_to_blocks(half + at.at * R::STEP, &j.w[t.parity], &s->w_full[at.at], r,
                                   row, (1 << PAIR) - 1);
                r += down;
                pf_advance(at);
            }
            pf_advance(p, j, t);
        }
    }
}

// ---- working ----

/* This warp is done with a slab, or with a step of w. */
template <typename R> static __device__ __forceinline__ void
leave_slab(signals<R> *s, int place)
{
    __syncwarp();
    if (threadIdx.x % PF_WARP == 0)
        pf_barrier_arrive(&s->slab_empty[place]);
}

template <typename R> static __device__ __forceinline__ void
leave_w(signals<R> *s, int place)
{
    __syncwarp();
    if (threadIdx.x % PF_WARP < PAIR)
        pf_barrier_arrive_at(&s->w_empty[place], threadIdx.x % PF_WARP);
}

/* sum [64 * UNITS, BN] += one tap and a line of channels; unit: bytes from the first 64 pixels to
 * the next. */
template <typename In, int UNITS, int BN> static __device__ __forceinline__ void
multiply(float (&sum)[UNITS * BN / 2], unsigned x, unsigned w, unsigned unit)
{
    pf_group_begin();
#pragma unroll
    for (int k = 0; k < LINE / 32; k++)
#pragma unroll
        for (int i = 0; i < UNITS; i++)
            pf_group_mma<In, BN>(&sum[i * BN / 2], pf_group_operand(x + i * unit + k * 32),
                                 pf_group_operand(w + k * 32));
    pf_group_commit();
}

/* All steps of a job.  A place is left when the next step's products are on their way. */
template <typename In, typename R, int UNITS, int BN> static __device__ __forceinline__ void
add_up(float (&sum)[UNITS * BN / 2], const call &j, const job &t, unsigned base, signals<R> *s,
       pf_turn<R::SLABS> &slab, pf_turn<R::STEPS> &w)
{
    const unsigned x = base + threadIdx.x / 128 * R::SLAB, unit = j.unit * LINE,
                   down = j.rows * LINE;
    const int steps = t.slabs * t.taps;
    int y = 0;
#pragma unroll
    for (int i = 0; i < UNITS * BN / 2; i++)
        sum[i] = 0;
#pragma unroll 1
    for (int n = 0; n < steps; n++) {
        if (y == 0)
            pf_barrier_wait(&s->slab_full[slab.at], slab.odd);
        pf_barrier_wait(&s->w_full[w.at], w.odd);
        __syncwarp();
        multiply<In, UNITS, BN>(sum, x + slab.at * GROUPS * R::SLAB + y * down,
                                base + R::W + w.at * R::STEP, unit);
        pf_group_wait<1>();     // the step before is done with
        if (n > 0)
            leave_w(s, before(w));
        if (n > 0 && y == 0)
            leave_slab(s, before(slab));
        pf_advance(w);
        if (++y == t.taps) {
            y = 0;
            pf_advance(slab);
        }
    }
    pf_group_wait<0>();
#pragma unroll
    for (int i = 0; i < UNITS * BN / 2; i++)
        pf_group_own(sum[i]);
    leave_w(s, before(w));
    leave_slab(s, before(slab));
}

/* The pixel of y, or of a parity, that is number r of a patch; -1: none. */
template <int UNITS> static __device__ __forceinline__ int
pixel_of(const call &j, const corner &k, int r)
{
    const int log_patch = UNITS == 2 ? 7 : 6,
              log_batch = log_patch - j.shift[0] - j.shift[1] - j.shift[2];
    const int x = k.x + (r & ((1 << j.shift[2]) - 1)), rows = r >> j.shift[2];
    const int y = k.y + (rows & ((1 << j.shift[1]) - 1)), planes = rows >> j.shift[1];
    const int z = k.z + (planes & ((1 << j.shift[0]) - 1));
    const int b = (k.b << log_batch) + (planes >> j.shift[0]);
    return x < j.c.out[2] && y < j.c.out[1] && z < j.c.out[0] && b < j.batch
               ? ((b * j.c.out[0] + z) * j.c.out[1] + y) * j.c.out[2] + x : -1;
}

/* Four threads have tiles j of 8 columns, thread t columns 2t, 2t + 1 of each: s[4 j..].  After:
 * thread t has tile t. */
static __device__ __forceinline__ void
exchange(float (&v)[8], const float *s)
{
    const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
    float mine[2][4];           // of two tiles, those of my two threads: even one's, odd one's
#pragma unroll
    for (int p = 0; p < 2; p++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float even_tile = s[8 * p + i], odd_tile = s[8 * p + 4 + i];
            const float got = __shfl_xor_sync(PF_WHOLE_WARP, odd ? even_tile : odd_tile, 1);
            mine[p][i] = odd ? got : even_tile;
            mine[p][2 + i] = odd ? odd_tile : got;
        }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float got = __shfl_xor_sync(PF_WHOLE_WARP, high ? mine[0][i] : mine[1][i], 2);
        v[i] = high ? got : mine[0][i];
        v[4 + i] = high ? mine[1][i] : got;
    }
}

/* Row m of y, of which this thread gets 8 columns from n on, 8 that are 32 further, and so on;
 * s: its sums of the first 8 columns, 4 further those of the next, all to be multiplied by scale.
 * m = -1: there is no such row, but others want its sums. */
template <typename T, int BN, bool ACTS> static __device__ __forceinline__ void
store_row(const float *s, const struct conv &a, const job &t, int m, int n, float scale)
{
    const int64_t at = m < 0 ? 0 : row_of(a, m, t.parity) + n;
    const bool add = m >= 0 && a.residual && !a.part;
    struct pf_pack<T, 8> residual[BN / 32];
#pragma unroll
    for (int q = 0; q < BN / 32; q++)
        if (add && n + 32 * q < a.K)
            residual[q] = *(const struct pf_pack<T, 8> *)((const T *)a.residual + at + 32 * q);
#pragma unroll
    for (int q = 0; q < BN / 32; q++) {
        float v[8];
        exchange(v, s + 16 * q);
#pragma unroll
        for (int k = 0; k < 8; k++)
            v[k] *= scale;
        if (m < 0 || n + 32 * q >= a.K)
            continue;
        if (a.part) {
            float *const part = a.part + (int64_t)t.part * a.M * a.K + at + 32 * q;
            *(float4 *)part = make_float4(v[0], v[1], v[2], v[3]);
            *(float4 *)(part + 4) = make_float4(v[4], v[5], v[6], v[7]);
        } else {
            *(struct pf_pack<T, 8> *)((T *)a.y + at + 32 * q) =
                finished<ACTS, T>(a, v, residual[q], m, n + 32 * q);
        }
    }
}

/* Stores all sums of this thread in job i.  Of the job nothing else is kept until here: registers
 * are scarce. */
template <typename In, typename T, int UNITS, int BN, bool ACTS>
static __device__ __forceinline__ void
store(const float (&sum)[UNITS * BN / 2], const call &j, int i)
{
    asm volatile("" : "+r"(i));
    const job t = job_of<BN>(j, i);
    const corner k = corner_of(j, t.patch + threadIdx.x / 128);
    const int row = threadIdx.x % 128 / PF_WARP * 16 + threadIdx.x % PF_WARP / 4,
              n = t.n0 + threadIdx.x % 4 * 8;
    const float scale = sizeof(In) == 1 ? __ldg(j.c.scale) : 1.0f;
#pragma unroll
    for (int r = 0; r < 2 * UNITS; r++)         // rows row, row + 8, row + 64, row + 72
        store_row<T, BN, ACTS>(&sum[r / 2 * (BN / 2) + r % 2 * 2], j.c, t,
                               pixel_of<UNITS>(j, k, row + r / 2 * UNIT + r % 2 * 8), n, scale);
}

template <typename In, typename T, typename R, int UNITS, int BN, bool ACTS>
static __device__ __forceinline__ void
work(const call &j, unsigned base, signals<R> *s)
{
    pf_turn<R::SLABS> slab = {0, 0};
    pf_turn<R::STEPS> w = {0, 0};
    float sum[UNITS * BN / 2];
#pragma unroll 1
    for (int i = blockIdx.x / PAIR; i < j.count; i += gridDim.x / PAIR) {
        add_up<In, R, UNITS, BN>(sum, j, job_of<BN>(j, i), base, s, slab, w);
        store<In, T, UNITS, BN, ACTS>(sum, j, i);
    }
}

template <typename R> static __device__ __forceinline__ void
set_up(signals<R> *s)
{
    for (int i = 0; i < R::SLABS; i++) {
        pf_barrier_init(&s->slab_full[i], 1);
        pf_barrier_init(&s->slab_empty[i], WARPS);
    }
    for (int i = 0; i < R::STEPS; i++) {
        pf_barrier_init(&s->w_full[i], 1);
        pf_barrier_init(&s->w_empty[i], PAIR * WARPS);
    }
}

#if defined __CUDA_ARCH__ && __CUDA_ARCH__ < 900
#define IN_PAIRS
#else
#define IN_PAIRS __cluster_dims__(PAIR, 1, 1)
#endif
/* x and w of In, y of T. */
template <typename In, typename T, int UNITS, int BN, bool ACTS>
static __global__ void IN_PAIRS __launch_bounds__(THREADS, 1)
convolve(const __grid_constant__ struct call j)
{
    typedef room<UNITS, BN> R;
    extern __shared__ __align__(1024) unsigned char shared[];
    signals<R> *const s = (signals<R> *)(shared + R::SIGNALS);
    const unsigned base = pf_shared_address(shared);
    if (base % 1024)
        __trap();               // the places of pieces count on it
    if (threadIdx.x == 0)
        set_up(s);
    pf_cluster_sync();
    if (threadIdx.x / PF_WARP >= WARPS) {
        pf_registers_fewer<CARRIERS_REGISTERS>();
        if (threadIdx.x == WARPS * PF_WARP)
            bring_slabs<R, UNITS, BN>(j, base, s);
        else if (threadIdx.x == (WARPS + 1) * PF_WARP)
            bring_w<R, BN>(j, base, s);
        __syncwarp();
    } else {
        pf_registers_more<WORKERS_REGISTERS>();
        work<In, T, R, UNITS, BN, ACTS>(j, base, s);
    }
    pf_cluster_sync();            // nobody leaves whose barriers or memory the other one still uses
}

// ---- maps ----

/* A map of a tensor of n axes, fastest first, without gaps. */
static pf_err
make_map(CUtensorMap *map, pf_dtype type, const void *data, int n, const cuuint64_t *dim,
         const cuuint32_t *box, const cuuint32_t *step)
{
    cuuint64_t stride[4];
    for (int i = 0; i + 1 < n; i++)
        stride[i] = (i ? stride[i - 1] : pf_dtype_size(type)) * dim[i];
    return pf_tensor_map(map, type, data, n, dim, stride, box, step);
}

/* Taps of a slab at most. */
static int
taps_down(const struct conv *a)
{
    return a->transposed ? 2 : a->kernel[1];
}

/* Rows of a slab for so many of y. */
static int
rows_for(const struct conv *a, int height)
{
    return height + (taps_down(a) - 1) * a->dilation[1];
}

static int64_t
batch_of(const struct conv *a)
{
    return a->M / ((int64_t)a->out[0] * a->out[1] * a->out[2]);
}

static int
log_batch(const struct hopper_plan *p)
{
    return (p->units == 2 ? 7 : 6) - p->shift[0] - p->shift[1] - p->shift[2];
}

static pf_err
make_maps(struct call *j, const struct hopper_plan *p, pf_dtype type)
{
    const struct conv *const a = &j->c;
    const cuuint64_t dim[] = {(cuuint64_t)a->C, (cuuint64_t)a->in[2], (cuuint64_t)a->in[1],
                              (cuuint64_t)a->in[0], (cuuint64_t)batch_of(a)};
    const cuuint32_t high =
        (cuuint32_t)(p->shared ? rows_for(a, 1 << p->shift[1]) : 1 << p->shift[1]);
    const cuuint32_t step[] = {1, (cuuint32_t)a->stride[2], (cuuint32_t)a->stride[1],
                               (cuuint32_t)a->stride[0], 1};
    const cuuint32_t box[] = {(cuuint32_t)a->line, step[1] << p->shift[2], step[2] * high,
                              step[3] << p->shift[0], 1u << log_batch(p)};
    PF_TRY(make_map(&j->x, type, a->x, 5, dim, box, step));
    for (int i = 0; i < a->parities; i++) {
        const int parity = parity_of(*a, i);
        int64_t R = a->C;
        for (int k = 0; k < 3; k++)
            R *= taps_of(*a, parity, k);
        const cuuint64_t w_dim[] = {(cuuint64_t)R, (cuuint64_t)a->K};
        const cuuint32_t w_box[] = {(cuuint32_t)a->line, (cuuint32_t)p->columns / PAIR},
                         ones[] = {1, 1};
        const char *const w =
            (const char *)a->w + start_of(*a, parity) * (int64_t)pf_dtype_size(type);
        PF_TRY(make_map(&j->w[parity], type, w, 2, w_dim, w_box, ones));
    }
    return PF_OK;
}

// ---- choosing ----

/* Does this card run what was compiled for sm_90a, and has the driver such maps? */
static bool
is_usable(void)
{
    static int known = -1;
    if (known < 0)
        known =
            pf_group_compiled(
                (const void *)convolve<__nv_bfloat16, __nv_bfloat16, 2, 160, false>) &&
            pf_tensor_maps_encoder();
    return known;
}

/* Lines of a plan's slab; 0: there is none, as places would not do or a group's 64 pixels would
 * not follow. */
static int
lines_of(const struct conv *a, const struct hopper_plan *p)
{
    const int width = 1 << p->shift[2], height = 1 << p->shift[1],
              images = 1 << (p->shift[0] + log_batch(p));
    if (!p->shared)
        return UNIT * p->units;
    const int64_t lines = (int64_t)width * rows_for(a, height) * images;
    const bool fits = (width == 8 || width == 16) && width * height >= UNIT;
    return fits && lines <= 80 * p->units ? (int)lines : 0;
}

static int64_t
across(const struct conv *a, const struct hopper_plan *p, int axis)
{
    return (a->out[axis] + (1 << p->shift[axis]) - 1) >> p->shift[axis];
}

/* Fill in the patch that makes the fewest, of these the widest.  False: there is none.  Deeper than
 * y it never makes fewer, and is not tried: a network that is not replayed waits for this. */
static bool
choose_patch(const struct conv *a, struct hopper_plan *p)
{
    const int all = p->units == 2 ? 7 : 6;
    struct hopper_plan best = *p;
    int deepest = 0;
    while (1 << deepest < a->out[0])
        deepest++;
    int64_t least = INT_MAX;
    for (int x = all; x >= 0; x--)
        for (int y = all - x; y >= 0; y--)
            for (int z = all - x - y < deepest ? all - x - y : deepest; z >= 0; z--) {
                p->shift[0] = z, p->shift[1] = y, p->shift[2] = x;
                const int64_t images = (batch_of(a) + (1 << log_batch(p)) - 1) >> log_batch(p);
                const int64_t n = across(a, p, 0) * across(a, p, 1) * across(a, p, 2) * images;
                const bool box = a->stride[2] << x <= 256 && a->stride[1] << y <= 256 &&
                                 a->stride[0] << z <= 256;
                if (n >= least || !box || !lines_of(a, p))
                    continue;
                least = n;
                best = *p;
                best.patches = (int)n;
            }
    *p = best;
    return least < INT_MAX;
}

/* Steps for all channels at a tap. */
static int
blocks_of(const struct conv *a)
{
    return (a->C + a->line - 1) / a->line;
}

/* Slabs of the whole reduction: a slab is a line of channels at as many taps. */
static int
slabs_of(const struct conv *a, int taps)
{
    return a->kernel[0] * a->kernel[1] * a->kernel[2] / taps * blocks_of(a);
}

/* What a multiprocessor does in a unit of conv.cuh, 0.48 us. */
// What shared memory gives in a unit: 217 GB/s, about its 128 bytes a cycle.
static const double SHARED_BYTES = 104e3;
// What the L2 cache gives one multiprocessor in a unit: all together get 5.5 TB/s.
static const double L2_BYTES = 20e3;
/* Units that wgmma takes for 128 x 128 of y and a line of channels: 0.58 at 990 TFLOP/s of 16 bits,
 * 1980 of E4M3; fitted to the former. */
static const double PRODUCTS = 0.74;
static const double STORE = 2.5;         // units for each 64 rows of a group at a job's end; fitted

/* One step, one tap and a line of channels of a block's tile: as long as its products, shared
 * memory or L2 need. */
static double
time_of_step(const struct conv *a, const struct hopper_plan *p)
{
    const int taps = p->shared ? taps_down(a) : 1, BN = p->columns;
    const double slabs =
        GROUPS * LINE * (double)lines_of(a, p) / (a->transposed && p->shared ? 1.5 : taps);
    const double reads = GROUPS * p->units * 4 * (2048.0 + BN * 32), w = BN * LINE;
    const double products = GROUPS * p->units * UNIT * BN / 16384.0 * PRODUCTS;
    const double memory = (reads + slabs + w) / SHARED_BYTES, l2 = (slabs + w / PAIR) / L2_BYTES;
    return fmax(products, fmax(memory, l2));
}

/* In units of conv.cuh.  Jobs are dealt out to pairs evenly; each has a step more than its
 * products, in which nothing is multiplied, and ends with storing. */
static double
time_of(const pf_dev *dev, const struct conv *a, const struct hopper_plan *p)
{
    const int taps = p->shared ? taps_down(a) : 1, BN = p->columns;
    const int64_t pairs = (p->patches + PAIR * GROUPS - 1) / (PAIR * GROUPS);
    const int64_t jobs = pairs * ((a->K + BN - 1) / BN) * p->split * a->parities;
    const double all = a->transposed ? 27.0 / 8 * blocks_of(a) : slabs_of(a, taps) * taps;
    const double turns = ceil((double)jobs / (dev->cuda->processors / PAIR));
    return turns * (time_of_step(a, p) * (all / p->split + 1) + STORE * p->units) +
           time_of_parts(dev, a, p->split);
}

static void
try_plan(const pf_dev *dev, const struct conv *a, struct hopper_plan *best, int units, int columns,
         bool shared)
{
    struct hopper_plan p = {units, columns, 1, {0, 0, 0}, 0, shared, 0};
    const int slabs = slabs_of(a, shared ? taps_down(a) : 1);
    if (!choose_patch(a, &p))
        return;
    for (int split = 1; split <= 16 && (split == 1 || (split <= slabs && a->parities == 1));
         split++) {
        p.split = split;
        if (split > 1 && (int64_t)split * a->M * a->K >= 64 << 20)
            break;
        p.time = time_of(dev, a, &p);
        if (p.time < best->time)
            *best = p;
    }
}

struct hopper_plan
pf_conv_hopper_plan(const pf_dev *dev, const struct conv *a, pf_dtype type)
{
    static const int units[] = {2, 2, 2, 1}, columns[] = {160, 128, 64, 160};
    struct hopper_plan best = {};
    best.split = 1;
    best.time = HUGE_VAL;
    if (type == PF_F32 || a->C % 64 || !a->whole || !pf_is_aligned(a->x))
        return best;
    if (!is_usable() || dev->cuda->processors < PAIR)
        return best;
    for (int k = 0; k < 3; k++)
        if (a->stride[k] > 8)
            return best;                        // more than a map can have
    for (int i = 0; i < 4; i++) {
        try_plan(dev, a, &best, units[i], columns[i], false);
        if (a->stride[1] == 1 && taps_down(a) > 1)
            try_plan(dev, a, &best, units[i], columns[i], true);
    }
    if (best.split > 1) {                       // as many as have something to do
        const int all = slabs_of(a, best.shared ? taps_down(a) : 1),
                  each = (all + best.split - 1) / best.split;
        best.split = (all + each - 1) / each;
    }
    return best;
}

static struct call
call_of(const struct conv *a, const struct hopper_plan *p)
{
    struct call j = {};
    j.c = *a;
    j.c.columns = (a->K + p->columns - 1) / p->columns;
    j.blocks = blocks_of(a);
    j.shared = p->shared;
    for (int i = 0; i < 3; i++) {
        j.shift[i] = p->shift[i];
        j.across[i] = (int)across(a, p, i);
    }
    j.lines = lines_of(a, p);
    j.rows = a->dilation[1] << p->shift[2];
    j.unit = 1 << (p->shift[1] + p->shift[2]) >= UNIT * p->units ? UNIT : j.lines / p->units;
    j.pairs = (p->patches + PAIR * GROUPS - 1) / (PAIR * GROUPS);
    j.split = p->split;
    j.batch = (int)batch_of(a);
    const int all = slabs_of(a, p->shared ? taps_down(a) : 1);
    j.slabs = a->transposed ? INT_MAX : (all + p->split - 1) / p->split;
    return j;
}

template <typename In, typename T, int UNITS, int BN> static pf_err
launch(pf_dev *dev, const struct call *j)
{
    typedef room<UNITS, BN> R;
    enum { BYTES = (int)R::SIGNALS + (int)sizeof(signals<R>) };
    const int most = dev->cuda->processors / PAIR, pairs = j->count < most ? j->count : most;
    void (*const kernel)(struct call) =
        j->c.act == PF_NONE ? convolve<In, T, UNITS, BN, false> : convolve<In, T, UNITS, BN, true>;
    PF_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES),
                "convolution");
    kernel<<<pairs * PAIR, THREADS, BYTES, pf_cuda_stream(dev)>>>(*j);
    return pf_launched(dev, "pf_conv");
}

template <typename In, typename T> static pf_err
launch_for(pf_dev *dev, const struct call *j, const struct hopper_plan *p)
{
    return p->units == 1        ? launch<In, T, 1, 160>(dev, j)
           : p->columns == 160 ? launch<In, T, 2, 160>(dev, j)
           : p->columns == 128 ? launch<In, T, 2, 128>(dev, j)
                               : launch<In, T, 2, 64>(dev, j);
}

pf_err
pf_conv_hopper(pf_dev *dev, const struct conv *a, const struct hopper_plan *p, pf_dtype type)
{
    struct call j = call_of(a, p);
    const int64_t count =
        (int64_t)j.pairs * j.c.columns * p->split * a->parities;
    if (count > INT_MAX / 2)
        return pf_fail(PF_ESHAPE,
                       "convolution: %d pixels of %d channels are too many for one launch", a->M,
                       a->K);
    j.count = (int)count;
    if (dev->dry)               // its memory has no addresses
        return PF_OK;
    PF_TRY(make_maps(&j, p, type));
    return type == PF_F8    ? launch_for<__nv_fp8_e4m3, __nv_bfloat16>(dev, &j, p)
           : type == PF_F16 ? launch_for<__half, __half>(dev, &j, p)
                            : launch_for<__nv_bfloat16, __nv_bfloat16>(dev, &j, p);
}
