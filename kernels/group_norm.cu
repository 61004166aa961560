/* group_norm.cu - pf_group_norm on a GPU.
 *
 * The threads of a block lie along the channels of a row, N channels of 16 bytes to each, as many
 * rows deep as fit; a thread stays in its column, so it keeps sums per channel.  What it sums is
 * the distance from the block's first row, in f32: nearly constant numbers lose nothing.  The rest
 * is in double and by fixed teams of threads, so the result does not depend on who is first:
 * channel sums over the threads, then a group's mean and squared deviations over its channels -
 * where the channel vector enters - then over blocks by Chan's formula.  y = (x - center) * scale +
 * shift per channel, with the rounding of center in shift; each channel's three numbers are found
 * once in a block: found by every thread, they would be most of the work in maps of 64 pixels.
 *
 * y may be E4M3 numbers, times the scale of the layer that reads them.
 *
 *   slab     one block per batch element and slice (whole groups, about 128 bytes of a row) keeps
 *            its numbers in shared memory between summing and writing: one launch, x is read once.
 *            All of the UNet's norms, and small volumes.
 *   measure  otherwise many blocks per batch element write moments to scratch, [merge joins them
 *   apply    where there are many,] and the second kernel reads x again: from the L2, because large
 *            batches are taken in parts that fit it, and from the end, which was read last.
 *
 * Floors at 3.35 TB/s, 16 bits, x read and y written once; 12 operations a number with SiLU:
 *   [32, 1024, 320]   42 MB, 13 us; 0.13 GFLOP, 2 us      [1, 65536, 128]     34 MB, 10 us
 *   [32, 256, 640]    21 MB,  6 us                        [16, 49152, 64]    201 MB, 60 us
 *   [32, 64, 1280]    10 MB,  3 us                        [1, 32768, 64]       8 MB,  3 us */
#include <type_traits>

#include "kernels/vector.cuh"

enum {
    THREADS = 256, MAX_THREADS = 512,
    AT_ONCE = 4,                /* loads of a thread in flight */
    TEAM = 8,                   /* threads, at least, that join the numbers of a group */
    SWEEPS = 64,                /* most rows that a thread sums up in f32, in measure */
    MERGE_FROM = 1024,          /* moments of a batch element from which merge pays */
    ROW_BYTES = 128,            /* of a slice: what a slab wants of each row */
    SECTOR = 32,                /* bytes that memory moves at least */
    /* so that a warp's sums of neighbouring channels are in different banks */
    PAD = 4,
    SLAB_BYTES = 96 << 10,      /* two such blocks on a multiprocessor */
    PART_BYTES = 26 << 20,      /* of x: what the L2 keeps from measure to apply */
};

struct moments {
    double n, mean, m2;         /* how many numbers; their mean; sum of squares around it */
};

namespace {

/* One call.  Every row of C channels is cut into tiles, and the rows of a batch element into
 * chunks; a block has one chunk of one tile.  In slab a tile is a slice of whole groups, and
 * there is one chunk. */
template <typename T> struct call {
    void *y;                    // numbers of the kernels' Y: T, or E4M3 times *factor
    const T *x;                 // may be y
    const float *gamma, *beta, *channel;        // channel NULL: none
    const float *factor;
    int64_t channel_step;       // C, or 0: one row for all of the batch
    int64_t P, C, width;        // rows of a batch element; channels; channels of a group
    int groups;
    float eps;
    enum pf_act act;
    int64_t tile, rows;         // channels of a tile, a multiple of N; rows of a chunk
    int tiles, chunks;
    moments *parts;             // [B, groups, slots, chunks]: slot s is of a group's s-th tile
    int slots;
};

struct share {                  // a block's share
    int64_t b, c0, p0, rows;    // batch element; first channel; first row, and how many
    int channels, chunk, tile;
    int64_t first;              // the first group that has channels in the tile,
    int groups;                 // and how many have
};

}

template <typename T> static __device__ __forceinline__ share
share_of(const call<T> &j, int64_t block)
{
    share at;
    at.chunk = (int)(block % j.chunks);
    at.tile = (int)(block / j.chunks % j.tiles);
    at.b = block / j.chunks / j.tiles;
    at.c0 = at.tile * j.tile;
    at.channels = (int)(j.C - at.c0 < j.tile ? j.C - at.c0 : j.tile);
    at.p0 = at.chunk * j.rows;
    at.rows = j.P - at.p0 < j.rows ? j.P - at.p0 : j.rows;
    at.first = at.c0 / j.width;
    at.groups = (int)((at.c0 + at.channels - 1) / j.width - at.first) + 1;
    return at;
}

/* The sum over a team of threads, a power of two, for all of them. */
static __device__ __forceinline__ double
team_sum(double v, int team)
{
    for (int d = team / 2; d; d /= 2)
        v += __shfl_xor_sync(PF_WHOLE_WARP, v, d);
    return v;
}

// ---- sums ----

/* Sums over a thread's rows of x - base and its square, base being row 0 of the share: to
 * sums[2 N][threads + PAD].  slab, if not NULL, keeps the vectors, in the order [rows][columns]. */
template <typename T, int N> static __device__ __forceinline__ void
sum_rows(float *sums, T *slab, const T *x, int64_t C, const share &at)
{
    const int columns = at.channels / N, deep = blockDim.x / columns, row = threadIdx.x / columns,
              column = threadIdx.x % columns;
    float base[N], s1[N] = {}, s2[N] = {};
    x += column * N;
    pf_read(base, x);
    for (int64_t p = row < deep ? row : at.rows; p < at.rows; p += AT_ONCE * deep) {
        pf_run<T, N> v[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            if (p + u * deep < at.rows)
                v[u] = pf_read_run<T, N>(x + (p + u * deep) * C);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++) {
            if (p + u * deep >= at.rows)
                break;
            if (slab)
                pf_write_run(slab + ((p + u * deep) * columns + column) * N, v[u]);
            float f[N];
            pf_unpack(f, v[u]);
#pragma unroll
            for (int k = 0; k < N; k++) {
                const float d = f[k] - base[k];
                s1[k] += d;
                s2[k] += d * d;
            }
        }
    }
#pragma unroll
    for (int k = 0; k < N; k++) {
        sums[k * (blockDim.x + PAD) + threadIdx.x] = s1[k];
        sums[(N + k) * (blockDim.x + PAD) + threadIdx.x] = s2[k];
    }
}

/* Mean and squared deviations of each channel of the share, from the threads' sums.  x as above. */
template <typename T, int N> static __device__ __forceinline__ void
join_threads(double *mean, double *m2, const float *sums, const T *x, const float *channel,
             const share &at)
{
    const int columns = at.channels / N, deep = blockDim.x / columns, threads = blockDim.x;
    const double n = (double)at.rows;
    int team = 1;
    while (team < PF_WARP && 2 * team <= deep && 2 * team * at.channels <= threads)
        team *= 2;
    const int lane = threadIdx.x % team, step = threads / team;
    for (int first = 0; first < at.channels; first += step) {
        const int c = first + threadIdx.x / team;
        const float *const from = sums + c % N * (threads + PAD) + c / N;
        double s1 = 0, s2 = 0;
        for (int r = lane; r < deep && c < at.channels; r += team) {
            s1 += from[r * columns];
            s2 += from[N * (threads + PAD) + r * columns];
        }
        s1 = team_sum(s1, team);
        s2 = team_sum(s2, team);
        if (lane || c >= at.channels)
            continue;               // first is the same for all: nobody is missed in the next round
        mean[c] = pf_load(x[c]) + s1 / n + (channel ? channel[c] : 0.0);
        m2[c] = s2 - s1 * s1 / n;
    }
}

/* Moments of what each group has in the share; put(group of the share, moments) takes them. */
template <typename Put> static __device__ __forceinline__ void
join_channels(const double *mean, const double *m2, int64_t width, const share &at, Put put)
{
    const int lane = threadIdx.x % TEAM, step = blockDim.x / TEAM;
    const double n = (double)at.rows;
    for (int first = 0; first < at.groups; first += step) {
        const int g = first + threadIdx.x / TEAM;
        const int64_t from = (at.first + g) * width - at.c0, to = from + width;
        const int c0 = from > 0 ? (int)from : 0;
        const int c1 = g >= at.groups ? c0 : to < at.channels ? (int)to : at.channels;
        const double count = c1 - c0;
        double sum = 0, squares = 0;
        for (int c = c0 + lane; c < c1; c += TEAM)
            sum += mean[c];
        const double middle = team_sum(sum, TEAM) / (count > 0 ? count : 1);
        for (int c = c0 + lane; c < c1; c += TEAM)
            squares += m2[c] + n * (mean[c] - middle) * (mean[c] - middle);
        squares = team_sum(squares, TEAM);
        if (lane == 0 && g < at.groups)
            put(g, moments{count * n, middle, squares});
    }
}

/* All of the above.  work: floats [2 N][threads + PAD] and, behind them, doubles [2][channels of
 * a tile]. */
template <typename T, int N, typename Put> static __device__ __forceinline__ void
find_moments(float *work, T *slab, const call<T> &j, const share &at, Put put)
{
    const T *const x = j.x + (at.b * j.P + at.p0) * j.C + at.c0;
    double *const mean = (double *)(work + 2 * N * (blockDim.x + PAD));
    double *const m2 = mean + at.channels;
    sum_rows<T, N>(work, slab, x, j.C, at);
    __syncthreads();
    join_threads<T, N>(mean, m2, work, x,
                       j.channel ? j.channel + at.b * j.channel_step + at.c0 : NULL, at);
    __syncthreads();
    join_channels(mean, m2, j.width, at, put);
}

template <int N> static __host__ __device__ size_t
work_bytes(int threads, int64_t channels)
{
    return 2 * N * (threads + PAD) * sizeof(float) + 2 * (size_t)channels * sizeof(double);
}

// ---- writing ----

struct scaling {
    double mean, factor;        // of a group: 1 / sqrt(var + eps)
};

static __device__ __forceinline__ scaling
scaling_of(const moments &m, float eps)
{
    const double var = m.m2 / m.n;
    return scaling{m.mean, 1.0 / sqrt((var > 0 ? var : 0) + (double)eps)};
}

template <int N> struct affine {
    float center[N], scale[N], shift[N];
};

/* The three numbers of all channels of the tile, once for each: to[3][channels]; of: the scalings
 * of the share's groups.  Then for a thread's N from c on. */
template <typename T> static __device__ __forceinline__ void
find_affine(float *to, const scaling *of, const call<T> &j, const share &at)
{
    for (int c = threadIdx.x; c < at.channels; c += blockDim.x) {
        const int64_t channel = at.c0 + c;
        const scaling s = of[(int)channel / (int)j.width - at.first];
        const double m = s.mean - (j.channel ? j.channel[at.b * j.channel_step + channel] : 0.0);
        const double scale = s.factor * j.gamma[channel];
        const float center = (float)m;
        to[c] = center;
        to[at.channels + c] = (float)scale;
        to[2 * at.channels + c] = (float)(j.beta[channel] + ((double)center - m) * scale);
    }
}

template <int N> static __device__ __forceinline__ void
read_affine(affine<N> &a, const float *from, int channels, int c)
{
    pf_read(a.center, from + c);
    pf_read(a.scale, from + channels + c);
    pf_read(a.shift, from + 2 * channels + c);
}

template <typename T, typename Y, int N> static __device__ __forceinline__ void
write_normalised(Y *y, const pf_run<T, N> &x, const affine<N> &a, const call<T> &j)
{
    float v[N];
    pf_unpack(v, x);
#pragma unroll
    for (int k = 0; k < N; k++)
        v[k] = (v[k] - a.center[k]) * a.scale[k] + a.shift[k];
    pf_activate_run<T>(v, j.act);
    if constexpr (sizeof(Y) == 1) {
        const float factor = __ldg(j.factor);
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] *= factor;
    }
    pf_write(y, v);
}

// ---- one kernel ----

/* Shared memory: work, later the affine map; then scalings of the slice's groups, then the slab. */
template <typename T, typename Y, int N> static __global__ void __launch_bounds__(MAX_THREADS)
slab(const call<T> j)
{
    extern __shared__ __align__(32) char shared[];
    const share at = share_of(j, blockIdx.x);
    const int columns = at.channels / N, deep = blockDim.x / columns, row = threadIdx.x / columns,
              column = threadIdx.x % columns;
    scaling *const of = (scaling *)(shared + work_bytes<N>(blockDim.x, at.channels));
    T *const kept = (T *)(of + at.groups);
    find_moments<T, N>((float *)shared, kept, j, at,
                       [&](int g, const moments &m) { of[g] = scaling_of(m, j.eps); });
    __syncthreads();
    find_affine((float *)shared, of, j, at);
    __syncthreads();
    if (row >= deep)
        return;
    affine<N> a;
    read_affine(a, (const float *)shared, at.channels, column * N);
    Y *const y = (Y *)j.y + at.b * j.P * j.C + at.c0 + column * N;
    for (int64_t p = row; p < at.rows; p += deep)
        write_normalised(y + p * j.C, pf_read_run<T, N>(kept + (p * columns + column) * N), a, j);
}

// ---- two kernels ----

/* A group's tiles: most have one. */
template <typename T> static __device__ __forceinline__ int64_t
first_tile(const call<T> &j, int64_t group)
{
    return group * j.width / j.tile;
}

template <typename T> static __device__ __forceinline__ int
tiles_of(const call<T> &j, int64_t group)
{
    return (int)(((group + 1) * j.width - 1) / j.tile - first_tile(j, group)) + 1;
}

template <typename T, int N> static __global__ void __launch_bounds__(THREADS)
measure(const call<T> j)
{
    extern __shared__ __align__(32) char shared[];
    const share at = share_of(j, blockIdx.x);
    find_moments<T, N>((float *)shared, (T *)NULL, j, at, [&](int g, const moments &m) {
        const int64_t group = at.first + g, slot = at.tile - first_tile(j, group);
        j.parts[((at.b * j.groups + group) * j.slots + slot) * j.chunks + at.chunk] = m;
    });
}

/* The moments of n together, for the whole team. */
static __device__ __forceinline__ moments
merged(const moments *parts, int n, int team)
{
    const int lane = threadIdx.x % team;
    moments all = {0, 0, 0};
    for (int i = lane; i < n; i += team) {
        all.n += parts[i].n;
        all.mean += parts[i].n * parts[i].mean;
    }
    all.n = team_sum(all.n, team);
    all.mean = team_sum(all.mean, team) / (all.n > 0 ? all.n : 1);
    for (int i = lane; i < n; i += team) {
        const double d = parts[i].mean - all.mean;
        all.m2 += parts[i].m2 + parts[i].n * d * d;
    }
    all.m2 = team_sum(all.m2, team);
    return all;
}

/* A warp per group of a batch element: its moments go to the first place of `to`, [B, groups]. */
template <typename T> static __global__ void
merge(moments *to, const call<T> j, int64_t count)
{
    const int64_t i = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    if (i >= count)
        return;
    const moments m =
        merged(j.parts + i * j.slots * j.chunks, tiles_of(j, i % j.groups) * j.chunks, PF_WARP);
    if (threadIdx.x % PF_WARP == 0)
        to[i] = m;
}

static __host__ __device__ size_t
map_bytes(int64_t channels)
{
    return (3 * (size_t)channels * sizeof(float) + 15) / 16 * 16;
}

/* whole: what merge made, or NULL: every block joins the parts of its groups itself. */
template <typename T, typename Y, int N> static __global__ void __launch_bounds__(THREADS)
apply(const call<T> j, const moments *whole)
{
    extern __shared__ __align__(32) char shared[];
    float *const map = (float *)shared;             // affine, [3][channels of a tile]
    scaling *const of = (scaling *)(shared + map_bytes(j.tile));
    const share at = share_of(j, (int64_t)gridDim.x - 1 - blockIdx.x);
    const int columns = at.channels / N, deep = THREADS / columns, row = threadIdx.x / columns,
              column = threadIdx.x % columns;
    int team = TEAM;
    while (team < PF_WARP && 2 * team * at.groups <= THREADS)
        team *= 2;
    for (int first = 0; first < at.groups; first += THREADS / team) {
        const int g = first + threadIdx.x / team;
        const int64_t group = at.b * j.groups + at.first + g;
        const moments *const from = whole ? whole + group : j.parts + group * j.slots * j.chunks;
        const int n = g >= at.groups ? 0 : whole ? 1 : tiles_of(j, at.first + g) * j.chunks;
        const moments m = merged(from, n, team);
        if (threadIdx.x % team == 0 && g < at.groups)
            of[g] = scaling_of(m, j.eps);
    }
    __syncthreads();
    find_affine(map, of, j, at);
    __syncthreads();
    if (row >= deep)
        return;
    affine<N> a;
    read_affine(a, map, at.channels, column * N);
    const int64_t offset = (at.b * j.P + at.p0) * j.C + at.c0 + column * N;
    const T *const x = j.x + offset;
    Y *const y = (Y *)j.y + offset;
    for (int64_t p = row; p < at.rows; p += AT_ONCE * deep) {
        pf_run<T, N> v[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            if (p + u * deep < at.rows)
                v[u] = pf_read_run<T, N>(x + (p + u * deep) * j.C);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            if (p + u * deep < at.rows)
                write_normalised(y + (p + u * deep) * j.C, v[u], a, j);
    }
}

// ---- host ----

static int64_t
ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

struct slab_plan {
    int64_t channels;           // of a slice; 0: a slab does not do
    int threads;
    size_t shared;
};

template <typename T, int N> static slab_plan
plan_slab(const pf_dev *dev, const call<T> &j, int64_t B)
{
    slab_plan plan = {};
    for (int64_t groups = 1; groups <= j.groups; groups++) {
        const int64_t channels = groups * j.width, blocks = B * (j.groups / groups),
                      row = channels * (int64_t)sizeof(T);
        const size_t bytes = (size_t)(j.P * row);
        const int threads = bytes > SLAB_BYTES ? MAX_THREADS : THREADS;
        const size_t all = work_bytes<N>(threads, channels) + groups * sizeof(scaling) + bytes;
        const bool few = blocks < dev->cuda->processors,
                   alone = 2 * blocks < dev->cuda->processors && 2 * bytes > SLAB_BYTES;
        if (j.groups % groups || channels % N)
            continue;
        if (channels / N > threads || all > dev->cuda->shared_bytes || alone)
            break;                      // it does not fit, or a few blocks would do everything
        if (plan.channels &&
            (few || (bytes > SLAB_BYTES && plan.channels * (int64_t)sizeof(T) >= ROW_BYTES / 2)))
            break;
        if (row < SECTOR && bytes > SLAB_BYTES / 8 && groups < j.groups)
            continue;
        plan = slab_plan{channels, threads, all};
        if (row >= ROW_BYTES)
            break;
    }
    return plan;
}

template <typename T, typename Y, int N> static pf_err
run_slab(pf_dev *dev, call<T> j, int64_t B, const slab_plan &plan)
{
    j.tile = plan.channels;
    j.tiles = (int)(j.C / plan.channels);
    j.rows = j.P;
    j.chunks = 1;
    // always the same limit: a graph that was captured keeps its launches
    if (plan.shared > 48 << 10)
        PF_CUDA_TRY(cudaFuncSetAttribute(slab<T, Y, N>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         (int)dev->cuda->shared_bytes),
                    "pf_group_norm");
    slab<T, Y, N><<<(unsigned)(B * j.tiles), plan.threads, plan.shared, pf_cuda_stream(dev)>>>(j);
    return pf_launched(dev, "pf_group_norm");
}

/* Channels of a tile: all of them if a block is wide enough, else whole groups if they are. */
static int64_t
tile_channels(int64_t C, int64_t width, int N)
{
    const int64_t most = (int64_t)THREADS * N;
    if (C <= most)
        return C;
    for (int64_t c = most / width * width; c; c -= width)
        if (c % N == 0)
            return c;
    return most;
}

/* Chunks: enough blocks, but each of several rounds of AT_ONCE, and none that sums for too long. */
template <typename T, int N> static void
cut(const pf_dev *dev, call<T> &j, int64_t B)
{
    j.tile = tile_channels(j.C, j.width, N);
    j.tiles = (int)ceil_div(j.C, j.tile);
    j.slots = j.tile % j.width == 0 ? 1 : (int)((j.width - 1) / j.tile) + 2;
    const int64_t deep = THREADS / (j.tile / N);
    int64_t sweeps = ceil_div(B * j.tiles * j.P, deep * 3 * dev->cuda->processors);
    sweeps = sweeps < 2 * AT_ONCE ? 2 * AT_ONCE : sweeps > SWEEPS ? SWEEPS : sweeps;
    const int64_t chunks = ceil_div(j.P, deep * sweeps);
    j.rows = ceil_div(ceil_div(j.P, chunks), deep) * deep;
    j.chunks = (int)ceil_div(j.P, j.rows);
}

template <typename T, typename Y, int N> static pf_err
run_parts(pf_dev *dev, call<T> j, int64_t B)
{
    const int64_t element = j.P * j.C, fit = PART_BYTES / (element * (int64_t)sizeof(T));
    const int64_t part = fit >= B ? B : fit < 1 ? 1 : fit;
    pf_tensor scratch, joined;
    cut<T, N>(dev, j, part);
    const size_t mark = pf_dev_mark(dev), most_groups = (size_t)(j.tile / j.width) + 2;
    const int64_t each = (int64_t)j.groups * j.slots * j.chunks;
    const int64_t dim[] = {part * each, 3}, one[] = {part * j.groups, 3};
    PF_TRY(pf_dev_alloc(dev, &scratch, PF_F64, 2, dim));
    PF_TRY(pf_dev_alloc(dev, &joined, PF_F64, 2, one));
    j.parts = (moments *)scratch.data;
    moments *const whole = each > MERGE_FROM ? (moments *)joined.data : NULL;
    const size_t work = work_bytes<N>(THREADS, j.tile);
    if (work > 48 << 10)
        PF_CUDA_TRY(cudaFuncSetAttribute(measure<T, N>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         (int)dev->cuda->shared_bytes),
                    "pf_group_norm");
    for (int64_t b = 0; b < B; b += part) {
        const int64_t n = B - b < part ? B - b : part;
        const unsigned blocks = (unsigned)(n * j.tiles * j.chunks);
        measure<T, N><<<blocks, THREADS, work, pf_cuda_stream(dev)>>>(j);
        if (whole)
            merge<T><<<pf_blocks(n * j.groups * PF_WARP, THREADS), THREADS, 0,
                       pf_cuda_stream(dev)>>>(whole, j, n * j.groups);
        apply<T, Y, N><<<blocks, THREADS, map_bytes(j.tile) + most_groups * sizeof(scaling),
                         pf_cuda_stream(dev)>>>(j, whole);
        j.x += n * element;
        j.y = (Y *)j.y + n * element;
        j.channel = j.channel ? j.channel + n * j.channel_step : NULL;
    }
    pf_dev_reset(dev, mark);
    return pf_launched(dev, "pf_group_norm");
}

/* In vectors of 16 bytes, or where only that makes a slab small enough 8; else number by number. */
template <typename T, typename Y> static pf_err
run(pf_dev *dev, const call<T> &j, int64_t B)
{
    constexpr int N = 16 / (int)sizeof(T);
    slab_plan plan;
    if (j.C % N || !pf_is_aligned(j.x) || !pf_is_aligned(j.y)) {
        plan = plan_slab<T, 1>(dev, j, B);
        return plan.channels ? run_slab<T, Y, 1>(dev, j, B, plan) : run_parts<T, Y, 1>(dev, j, B);
    }
    plan = plan_slab<T, N>(dev, j, B);
    if (plan.channels)
        return run_slab<T, Y, N>(dev, j, B, plan);
    plan = plan_slab<T, N / 2>(dev, j, B);
    return plan.channels ? run_slab<T, Y, N / 2>(dev, j, B, plan)
                         : run_parts<T, Y, N>(dev, j, B);
}

pf_err
pf_group_norm_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
                   const pf_tensor *beta, int groups, float eps, enum pf_act act,
                   const pf_tensor *channel, const pf_tensor *scale)
{
    const int64_t B = x->dim[0], C = x->dim[x->ndim - 1], P = pf_tensor_count(x) / (B * C);
    PF_FOR_TYPE(x->dtype, T, {
        const call<T> j = {y->data, (const T *)x->data, (const float *)gamma->data,
                          (const float *)beta->data, channel ? (const float *)channel->data : NULL,
                          scale ? (const float *)scale->data : NULL,
                          channel && channel->dim[0] > 1 ? C : 0, P, C, C / groups, groups, eps,
                          act, 0, 0, 0, 0, NULL, 1};
        if constexpr (std::is_same_v<T, __nv_bfloat16>)
            if (scale)
                return run<T, __nv_fp8_e4m3>(dev, j, B);
        return run<T, T>(dev, j, B);
    });
    return PF_OK;
}
