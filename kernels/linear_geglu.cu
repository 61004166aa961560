/* linear_geglu.cu - pf_linear_geglu on a GPU: on Hopper, in 16 bits, one of two kernels; else
 * pf_linear and pf_geglu.
 *
 * Up to 320 channels: gate().  A block keeps the weights of 256 columns of [a | g] in shared
 * memory, all channels of them: 128 columns of a and those of g that gate them.  Rows of x stream
 * past, 64 in a tile, brought by the copy engine (TMA) step by step of 64 channels into a ring of
 * places.  Two groups of 4 warps take tiles in turn: while one multiplies (wgmma), the other gates
 * the sums in its registers and stores.  Sums begin with the biases, which lie in shared memory.  A
 * turn goes to the other group with the last step's products still under way.  Barriers say that a
 * step has arrived (full), that it is read (empty), whose turn it is.
 *
 * More channels: gate_streams().  Weights stream past too: a step of 64 channels of 128 rows and
 * 256 columns is one place of a ring of four.  Two blocks are a pair (cluster) of the same columns;
 * each brings half of the weights, a's or g's, for both.  Both groups multiply by the same weights,
 * each its 64 rows, the second a step behind the first, so that one has products while the other
 * begins to gate.  A job's biases come while the one before it is multiplied.
 *
 * A thread's sums of a product are pairs of columns 8 apart.  The weights' lines lie in such an
 * order that these pairs follow each other in y: line 32 q + 8 j + 2 t + i of a half is column 32 q
 * + 8 t + 2 j + i.  The map of the weights has an axis for each of these letters; so 8 numbers of
 * y, 16 bytes, are one thread's.
 *
 * M = 32768, K = 320, N = 1280: 53.7 GFLOP, 0.054 ms at 990 TFLOP/s; 21.0 + 83.9 + 1.6 MB, 0.022
 * ms at 4.8 TB/s.  Two kernels move 358 MB and take 0.164 ms.  A tile of 64 x 256 is 2560 cycles
 * of products; its epilogue is 64 numbers of y a thread at 11 instructions, as compiled, 704
 * cycles of each quarter's scheduler, and 512 of its special function unit, in the other group's
 * turn.  Shared memory gives 80 bytes a cycle to products and takes 16, of 128.  From the L2 come
 * 0.21 GB, 0.04 ms at 5.5 TB/s.  13 blocks for each of 10 times 256 columns: 40 tiles a block,
 * 0.059 ms.  Filling 160 KB with weights takes 4 us.  With 640 channels and half of the columns in
 * a block x comes 40 times from the L2, which took longer than two kernels (SPEED.md).
 * M = 2048, K = 1280, N = 5120: 53.7 GFLOP again; 320 jobs of 20480 cycles for 66 pairs, 5 each,
 * 0.058 ms, and 5 times some 2000 cycles in which both groups gate, 0.006 ms.  From the L2 come 32
 * KB in 1024 cycles, 7.2 TB/s at full rate, of which it has 5.5: 0.070 ms; measured 0.072. */
#include <climits>
#include <cstdlib>
#include <cstring>

#include "kernels/layer.cuh"
#include "kernels/ptx.cuh"
#include "kernels/tensor_map.cuh"
#include "kernels/vector.cuh"

enum { GROUPS = 2, WARPS = 4 * GROUPS, THREADS = (WARPS + 4) * PF_WARP };
// Three threads, two that work and one that carries, share the 504 registers of the start.
enum { WORKERS_REGISTERS = 240, CARRIERS_REGISTERS = 24 };
enum {
    ROWS = 64,                  // of a group's tile
    COLUMNS = 128,              // of a tile, of a and of g
    LINES = 2 * COLUMNS,        // of the weights of a tile
    CHANNELS = 64,              // of a step: a line
    RUN = 32,                   // columns whose lines are in another order
};

namespace {

/* Shared memory of gate(), in bytes: the weights, places for x, then struct signals. */
struct room {
    enum {
        STEPS = 5,                      // at most
        PLACES = 8,                     // a power of 2
        STEP = LINES * LINE,
        PLACE = ROWS * LINE,
        X = STEPS * STEP,               // offset
        SIGNALS = X + PLACES * PLACE,
    };
};

struct signals {
    __align__(16) float bias[LINES];    // of a's columns, then of those that gate them
    uint64_t w_full[room::STEPS], x_full[room::PLACES], x_empty[room::PLACES], turn[GROUPS];
};

template <typename T> struct call {
    CUtensorMap x, w;
    T *y;
    const float *bias;          // [2N], or NULL
    int M, N;                   // rows and columns of y
    int steps, tiles, columns;  // tiles down and across
    int parts;                  // gate(): blocks that share a column of tiles
};

}

/* One thread brings the weights, and x as far ahead as there are places. */
template <typename T> static __device__ __forceinline__ void
bring(const call<T> &j, unsigned base, signals *s)
{
    const int run = blockIdx.x % j.columns * (COLUMNS / RUN);
    unsigned n = 0;
#pragma unroll 1
    for (int tile = blockIdx.x / j.columns; tile < j.tiles; tile += j.parts)
#pragma unroll 1
        for (int k = 0; k < j.steps; k++, n++) {
            const int at = n % room::PLACES, c = k * CHANNELS;
            if (n < (unsigned)j.steps) {
                const unsigned to = base + k * room::STEP;
                pf_barrier_expect(&s->w_full[k], room::STEP);
                pf_bring_box(to, &j.w, &s->w_full[k], c, 0, 0, 0, run);
                pf_bring_box(to + room::STEP / 2, &j.w, &s->w_full[k], c, 0, 0, 0, j.N / RUN + run);
            }
            pf_barrier_wait(&s->x_empty[at], n / room::PLACES & 1 ^ 1);
            pf_barrier_expect(&s->x_full[at], room::PLACE);
            pf_bring_box(base + room::X + at * room::PLACE, &j.x, &s->x_full[at], c, tile * ROWS, 0,
                         0, 0);
        }
}

static __device__ __forceinline__ void
arrive(uint64_t *barrier)
{
    __syncwarp();
    if (threadIdx.x % PF_WARP == 0)
        pf_barrier_arrive(barrier);
}

/* sum [64, LINES] += 64 channels. */
template <typename T> static __device__ __forceinline__ void
multiply(float (&sum)[LINES / 2], unsigned x, unsigned w)
{
    pf_group_begin();
#pragma unroll
    for (int i = 0; i < LINE / 32; i++)
        pf_group_mma<T, LINES>(sum, pf_group_operand(x + i * 32), pf_group_operand(w + i * 32));
    pf_group_commit();
}

/* Biases number i of a and of what gates it, of the columns from n on; 0 where there are none. */
template <typename T> static __device__ __forceinline__ float2
bias_at(const call<T> &j, int n, int i)
{
    if (!j.bias || n + i >= j.N)
        return {0, 0};
    return {__ldg(j.bias + n + i), __ldg(j.bias + j.N + n + i)};
}

static __device__ __forceinline__ void
keep_bias(float *to, float2 v, int i)
{
    to[i] = v.x;
    to[COLUMNS + i] = v.y;
}

/* sum [64, LINES] = the biases of its columns. */
static __device__ __forceinline__ void
begin(float (&sum)[LINES / 2], const float *bias)
{
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int q = 0; q < LINES / RUN; q++) {
        float v[8];
        pf_read(v, bias + q * RUN + 8 * t);
#pragma unroll
        for (int k = 0; k < 8; k++)
            sum[16 * q + k / 2 * 4 + k % 2] = sum[16 * q + k / 2 * 4 + 2 + k % 2] = v[k];
    }
}

/* All products are done: the sums are there. */
static __device__ __forceinline__ void
take(float (&sum)[LINES / 2])
{
    pf_group_wait<0>();
#pragma unroll
    for (int i = 0; i < LINES / 2; i++)
        pf_group_own(sum[i]);
}

/* sum [64, LINES] = a tile; n: its first step, counted over all of the block's.  next: the barrier
 * of who multiplies after this. */
template <typename T> static __device__ __forceinline__ void
add_up(float (&sum)[LINES / 2], int steps, unsigned n, unsigned base, signals *s, uint64_t *next)
{
    begin(sum, s->bias);
#pragma unroll 1
    for (int k = 0; k < steps; k++, n++) {
        const unsigned x = base + room::X + n % room::PLACES * room::PLACE,
                       w = base + k * room::STEP;
        pf_barrier_wait(&s->w_full[k], 0);      // of the first tile; then it has come
        pf_barrier_wait(&s->x_full[n % room::PLACES], n / room::PLACES & 1);
        __syncwarp();
        multiply<T>(sum, x, w);
        if (k == steps - 1)
            arrive(next);
        pf_group_wait<1>();                     // the step before is done with
        if (k > 0)
            arrive(&s->x_empty[(n - 1) % room::PLACES]);
    }
    take(sum);
    arrive(&s->x_empty[(n - 1) % room::PLACES]);
}

/* y from the sums of a tile: rows row and row + 8, of each 32 columns 8 from n on. */
template <typename T> static __device__ __forceinline__ void
store(const float (&sum)[LINES / 2], const call<T> &j, int row, int n)
{
#pragma unroll
    for (int q = 0; q < COLUMNS / RUN; q++, n += RUN) {
        if (n >= j.N)
            return;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float v[8];
#pragma unroll
            for (int k = 0; k < 8; k++) {
                const int at = 16 * q + k / 2 * 4 + 2 * half + k % 2;
                v[k] = sum[at] * pf_activated_as<T>(sum[LINES / 4 + at], PF_GELU);
            }
            if (row + 8 * half < j.M)
                pf_write(j.y + (int64_t)(row + 8 * half) * j.N + n, v);
        }
    }
}

/* A group's tiles: every second one of the block's. */
template <typename T> static __device__ __forceinline__ void
work(const call<T> &j, unsigned base, signals *s)
{
    const int group = threadIdx.x / 128, lane = threadIdx.x % PF_WARP;
    const int row = threadIdx.x % 128 / PF_WARP * 16 + lane / 4,
              column = blockIdx.x % j.columns * COLUMNS + lane % 4 * 8;
    unsigned n = group * j.steps, odd = group == 0;     // the first group need not wait at first
    float sum[LINES / 2];
#pragma unroll 1
    for (int tile = blockIdx.x / j.columns + group * j.parts; tile < j.tiles;
         tile += GROUPS * j.parts) {
        pf_barrier_wait(&s->turn[group], odd);
        add_up<T>(sum, j.steps, n, base, s, &s->turn[1 - group]);
        store<T>(sum, j, tile * ROWS + row, column);
        n += GROUPS * j.steps;
        odd ^= 1;
    }
}

static __device__ __forceinline__ void
set_up(signals *s)
{
    for (int i = 0; i < room::STEPS; i++)
        pf_barrier_init(&s->w_full[i], 1);
    for (int i = 0; i < room::PLACES; i++) {
        pf_barrier_init(&s->x_full[i], 1);
        pf_barrier_init(&s->x_empty[i], WARPS / GROUPS);
    }
    for (int i = 0; i < GROUPS; i++)
        pf_barrier_init(&s->turn[i], WARPS / GROUPS);
}

template <typename T> static __global__ void __launch_bounds__(THREADS, 1)
gate(const __grid_constant__ call<T> j)
{
    extern __shared__ __align__(1024) unsigned char shared[];
    signals *const s = (signals *)(shared + room::SIGNALS);
    const unsigned base = pf_shared_address(shared);
    if (base % 1024)
        __trap();               // the places of pieces count on it
    if (threadIdx.x == 0) {
        set_up(s);
        pf_group_sees_copies(); // the copy engine sees the barriers
    }
    if (threadIdx.x < COLUMNS)
        keep_bias(s->bias, bias_at(j, blockIdx.x % j.columns * COLUMNS, threadIdx.x), threadIdx.x);
    __syncthreads();
    if (threadIdx.x / PF_WARP >= WARPS) {
        pf_registers_fewer<CARRIERS_REGISTERS>();
        if (threadIdx.x == WARPS * PF_WARP)
            bring(j, base, s);
    } else {
        pf_registers_more<WORKERS_REGISTERS>();
        work(j, base, s);
    }
}

// ---- weights that stream ----

enum { PAIR = 2 };              // blocks

namespace {

/* Shared memory, in bytes: places, each x and then the weights of a step; then struct streams. */
struct stream_room {
    enum {
        PLACES = 4,
        W = GROUPS * ROWS * LINE,       // offset in a place
        PLACE = W + LINES * LINE,
        SIGNALS = PLACES * PLACE,
    };
};

struct streams {
    __align__(16) float bias[GROUPS][2][LINES];         // as in signals; of this job and the next
    uint64_t full[stream_room::PLACES], empty[stream_room::PLACES], ahead;
};

}

/* pf_bring_box to the same place of several blocks of the cluster, a bit for each. */
static __device__ __forceinline__ void
bring_to_blocks(unsigned to, const void *map, uint64_t *barrier, int c, int x, int y, int z, int b,
                unsigned short blocks)
{
    PF_ON_HOPPER_(asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.tile"
                               ".mbarrier::complete_tx::bytes.multicast::cluster "
                               "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;"
                               ::"r"(to), "l"(map), "r"(pf_shared_address(barrier)), "r"(c), "r"(x),
                               "r"(y), "r"(z), "r"(b), "h"(blocks) : "memory"));
}

/* Jobs are rows of a pair and columns; rows are fastest, as neighbours share weights. */
template <typename T> static __device__ __forceinline__ void
bring_streams(const call<T> &j, unsigned base, streams *s, int rank)
{
    typedef stream_room R;
    pf_turn<R::PLACES> at = {0, 0};
#pragma unroll 1
    for (int i = blockIdx.x / PAIR; i < j.tiles * j.columns; i += gridDim.x / PAIR) {
        const int row = (i % j.tiles * PAIR + rank) * GROUPS * ROWS,
                  run = i / j.tiles * (COLUMNS / RUN) + (rank ? j.N / RUN : 0);
#pragma unroll 1
        for (int k = 0; k < j.steps; k++) {
            const unsigned to = base + at.at * R::PLACE;
            uint64_t *const full = &s->full[at.at];
            pf_barrier_wait(&s->empty[at.at], at.odd ^ 1);
            pf_barrier_expect(full, R::PLACE);
            pf_bring_box(to, &j.x, full, k * CHANNELS, row, 0, 0, 0);
            bring_to_blocks(to + R::W + rank * (COLUMNS * LINE), &j.w, full, k * CHANNELS, 0,
                            0, 0, run, (1 << PAIR) - 1);
            pf_advance(at);
        }
    }
}

/* This warp has read a place, for both blocks that fill it. */
static __device__ __forceinline__ void
leave(streams *s, int place)
{
    __syncwarp();
    if (threadIdx.x % PF_WARP < PAIR)
        pf_barrier_arrive_at(&s->empty[place], threadIdx.x % PF_WARP);
}

template <typename T> static __device__ __forceinline__ void
work_on_streams(const call<T> &j, unsigned base, streams *s, int rank)
{
    typedef stream_room R;
    const int group = threadIdx.x / 128, lane = threadIdx.x % PF_WARP;
    const int row = (rank * GROUPS + group) * ROWS + threadIdx.x % 128 / PF_WARP * 16 + lane / 4;
    const int jobs = j.tiles * j.columns, step = gridDim.x / PAIR, own = threadIdx.x % COLUMNS;
    unsigned odd = 0;
    pf_turn<R::PLACES> at = {0, 0};
    float sum[LINES / 2];
    keep_bias(s->bias[group][0], bias_at(j, blockIdx.x / PAIR / j.tiles * COLUMNS, own), own);
    pf_group_sync(1 + group);
#pragma unroll 1
    for (int i = blockIdx.x / PAIR; i < jobs; i += step) {
        const float2 next = bias_at(j, (i + step) / j.tiles * COLUMNS, own);
        begin(sum, s->bias[group][odd]);
        if (group)
            pf_barrier_wait(&s->ahead, odd);
        odd ^= 1;
#pragma unroll 1
        for (int k = 0; k < j.steps; k++) {
            const unsigned x = base + at.at * R::PLACE + group * (ROWS * LINE),
                           w = base + at.at * R::PLACE + R::W;
            pf_barrier_wait(&s->full[at.at], at.odd);
            __syncwarp();
            multiply<T>(sum, x, w);
            if (group == 0 && k == 0)
                arrive(&s->ahead);
            pf_group_wait<1>();                 // the step before is done with
            if (k > 0)
                leave(s, at.at ? at.at - 1 : R::PLACES - 1);
            pf_advance(at);
        }
        take(sum);
        leave(s, at.at ? at.at - 1 : R::PLACES - 1);
        keep_bias(s->bias[group][odd], next, own);
        pf_group_sync(1 + group);       // nobody reads these of the job before any more
        store(sum, j, i % j.tiles * (PAIR * GROUPS * ROWS) + row,
              i / j.tiles * COLUMNS + lane % 4 * 8);
    }
}

#if defined __CUDA_ARCH__ && __CUDA_ARCH__ < 900
#define IN_PAIRS
#else
#define IN_PAIRS __cluster_dims__(PAIR, 1, 1)
#endif
template <typename T> static __global__ void IN_PAIRS __launch_bounds__(THREADS, 1)
gate_streams(const __grid_constant__ call<T> j)
{
    extern __shared__ __align__(1024) unsigned char shared[];
    streams *const s = (streams *)(shared + stream_room::SIGNALS);
    const unsigned base = pf_shared_address(shared);
    const int rank = blockIdx.x % PAIR;
    if (base % 1024)
        __trap();               // the places of pieces count on it
    if (threadIdx.x == 0) {
        for (int i = 0; i < stream_room::PLACES; i++) {
            pf_barrier_init(&s->full[i], 1);
            pf_barrier_init(&s->empty[i], PAIR * WARPS);
        }
        pf_barrier_init(&s->ahead, WARPS / GROUPS);
    }
    pf_cluster_sync();
    if (threadIdx.x / PF_WARP >= WARPS) {
        pf_registers_fewer<CARRIERS_REGISTERS>();
        if (threadIdx.x == WARPS * PF_WARP)
            bring_streams(j, base, s, rank);
        __syncwarp();
    } else {
        pf_registers_more<WORKERS_REGISTERS>();
        work_on_streams(j, base, s, rank);
    }
    pf_cluster_sync();          // nobody leaves whose barriers or memory the other one still uses
}

// ---- launches ----

/* Boxes of x have so many rows, those of the weights COLUMNS lines. */
template <typename T> static pf_err
make_maps(call<T> *j, pf_dtype type, const pf_tensor *x, const pf_layer *w, int rows)
{
    const cuuint64_t C = (cuuint64_t)w->C, M = (cuuint64_t)j->M, line = C * sizeof(T);
    const cuuint32_t ones[] = {1, 1, 1, 1, 1};
    const cuuint64_t x_dim[] = {C, M, 1, 1, 1}, x_stride[] = {line, M * line, M * line, M * line};
    const cuuint64_t w_dim[] = {C, 2, 4, 4, (cuuint64_t)w->K / RUN},    // i, t, j, q
                     w_stride[] = {line, 8 * line, 2 * line, RUN * line};
    const cuuint32_t x_box[] = {CHANNELS, (cuuint32_t)rows, 1, 1, 1},
                     w_box[] = {CHANNELS, 2, 4, 4, COLUMNS / RUN};
    PF_TRY(pf_tensor_map(&j->x, type, x->data, 5, x_dim, x_stride, x_box, ones));
    return pf_tensor_map(&j->w, type, pf_weight_of(w)->data, 5, w_dim, w_stride, w_box, ones);
}

/* A call of tiles of so many rows. */
template <typename T> static call<T>
call_of(pf_tensor *y, const pf_layer *w, int rows)
{
    call<T> j = {};
    j.y = (T *)y->data;
    j.bias = (const float *)w->bias.data;
    j.N = (int)(w->K / 2);
    j.M = (int)(pf_tensor_count(y) / j.N);
    j.steps = (int)((w->C + CHANNELS - 1) / CHANNELS);
    j.tiles = (j.M + rows - 1) / rows;
    j.columns = (j.N + COLUMNS - 1) / COLUMNS;
    return j;
}

template <typename T> static pf_err
launch(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    enum { BYTES = (int)room::SIGNALS + (int)sizeof(signals) };
    call<T> j = call_of<T>(y, w, ROWS);
    const int most = dev->cuda->processors / j.columns;
    j.parts = most < 1 ? 1 : most < j.tiles ? most : j.tiles;
    PF_TRY(make_maps(&j, y->dtype, x, w, ROWS));
    PF_CUDA_TRY(cudaFuncSetAttribute(gate<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES),
                "pf_linear_geglu");
    gate<T><<<j.columns * j.parts, THREADS, BYTES, pf_cuda_stream(dev)>>>(j);
    return pf_launched(dev, "pf_linear_geglu");
}

template <typename T> static pf_err
launch_streams(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    enum { BYTES = (int)stream_room::SIGNALS + (int)sizeof(streams) };
    call<T> j = call_of<T>(y, w, PAIR * GROUPS * ROWS);
    const int most = dev->cuda->processors / PAIR, jobs = j.tiles * j.columns,
              pairs = jobs < most ? jobs : most;
    PF_TRY(make_maps(&j, y->dtype, x, w, GROUPS * ROWS));
    PF_CUDA_TRY(cudaFuncSetAttribute(gate_streams<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     BYTES),
                "pf_linear_geglu");
    gate_streams<T><<<pairs * PAIR, THREADS, BYTES, pf_cuda_stream(dev)>>>(j);
    return pf_launched(dev, "pf_linear_geglu");
}

static bool
stays(const pf_layer *w)                // do the weights of a tile fit a block?
{
    return w->C <= room::STEPS * CHANNELS;
}

template <typename T> static pf_err
launch_for(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    return stays(w) ? launch<T>(dev, y, x, w) : launch_streams<T>(dev, y, x, w);
}

/* Does this card run the kernel?  PF_GEGLU=old: no, for comparison. */
static bool
is_usable(void)
{
    static int known = -1;
    const char *const wanted = getenv("PF_GEGLU");
    if (known < 0)
        known = pf_group_compiled((const void *)gate<__nv_bfloat16>) &&
                pf_tensor_maps_encoder();
    return known && !(wanted && !strcmp(wanted, "old"));
}

/* Streams do not pay for few rows: 512 have 80 jobs for 66 pairs. */
enum { STREAMED_ROWS = 2048 };

static bool
suits(const pf_dev *dev, const pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    const int64_t rows = pf_tensor_count(y) / (w->K / 2);
    return pf_dtype_size(y->dtype) == 2 && w->C % 8 == 0 && w->K % (2 * RUN) == 0 &&
           pf_tensor_count(y) <= INT_MAX && w->K <= INT_MAX / 2 && w->C <= INT_MAX / 2 &&
           (stays(w) || (rows >= STREAMED_ROWS && dev->cuda->processors >= PAIR)) &&
           pf_is_aligned(y->data) && pf_is_aligned(x->data) && is_usable();
}

pf_err
pf_linear_geglu_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (!suits(dev, y, x, w))
        return pf_linear_geglu_cpu(dev, y, x, w);
    if (dev->dry)               // its memory has no addresses
        return PF_OK;
    return y->dtype == PF_F16 ? launch_for<__half>(dev, y, x, w)
                              : launch_for<__nv_bfloat16>(dev, y, x, w);
}
