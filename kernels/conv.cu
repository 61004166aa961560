/* conv.cu - pf_conv on the GPU: an implicit matrix product, and pf_linear where cublasLt has no
 * such.
 *
 * y [M, K] = x' [M, R] w [K, R]^T: M output pixels, R = taps * padded channels.  x' is never made:
 * a row of it is the pixel's neighbourhood, in pieces of 16 bytes that lie in x as they are.
 *
 * One block makes BM x BN of y.  It walks over R in steps of 128 bytes: 64 numbers of 16 bits, 32
 * of f32.  In shared memory a step is BM + BN lines of 128 bytes; piece j of line r is at place j ^
 * (r % 8), which suits ldmatrix and float4 loads alike.  Two steps are on their way while one is
 * multiplied: thread t copies piece t % 8 of every LINES-th line from t / 8 on by cp.async, zeros
 * where the tap falls off x, and only counts (tap, channel) forward; taps may lie several pixels
 * apart.  The products are a machine's:
 *   by_mma   f16, bf16, tf32: 2 x 2 warps, ldmatrix and mma.sync, f32 sums;
 *   by_fma   f32 exactly: a thread has rows t/16 + 8 i, columns t%16 + 16 j, sums in order of R.
 * At last the sums go through shared memory, so that 16 bytes of y are stored at a time, after
 * bias, channel, activation and residual in f32.  Where C is no multiple of 16 bytes pieces are put
 * together from single numbers.  Small M: the steps are split among blocks, f32 parts go to the
 * arena and a second kernel adds them in order.  A transposed convolution is eight products, one
 * for each parity of the output's position, one of doubled pixels four, in one launch.
 *
 * On Hopper conv_hopper.cu does what it takes and is expected to be faster at.  What is left
 * there for by_mma has channels that are no multiple of 64 (the first convolutions of the
 * networks, of 3 or 4; the 16 and 32 of IS-Net's outer stages), rows of y that are no multiple of
 * 16 bytes (the last ones, to 1, 3 or 4), or is tiny.  One file, though long: its kernels are one
 * loop, and share its blocks and tables. */
#include <climits>

#include "kernels/conv.cuh"

enum { AHEAD = 2, STAGES = AHEAD + 1, THREADS = 128, MAX_PIXELS = 1 << 30 };
enum { FAR = -(1 << 30) };      // a place outside x whatever the tap

template <int BM, int BN> struct block {
    enum {
        // on a multiprocessor
        RESIDENT = BM * BN >= 128 * 128 ? 2 : BM * BN >= 128 * 64 ? 3 : 4,
        LINES = THREADS / PIECES,       // that its threads copy at once
        STAGE = (BM + BN) * LINE,
        TILE = BM * (BN + 8) * (int)sizeof(float),
        // offset of the table of origins
        ORIGINS = TILE > STAGES * STAGE ? TILE : STAGES * STAGE,
        BYTES = ORIGINS + BM * 16,
    };
};

namespace {

struct __align__(16) origin {    // of a row's pixel in x, at tap 0
    int z, y, x, pixel;
};

}

template <int BM> static __device__ void
find_origins(struct origin *to, const struct conv &a, int m0, int parity)
{
    for (int i = threadIdx.x; i < BM; i += blockDim.x) {
        struct origin p = {FAR, 0, 0, 0};
        if (m0 + i < a.M) {
            const int x = (m0 + i) % a.out[2], rows = (m0 + i) / a.out[2];
            const int y = rows % a.out[1], planes = rows / a.out[1];
            const int z = planes % a.out[0], b = planes / a.out[0];
            p.z = z * a.stride[0] - before_of(a, parity, 0);
            p.y = y * a.stride[1] - before_of(a, parity, 1);
            p.x = x * a.stride[2] - before_of(a, parity, 2);
            p.pixel = ((b * a.in[0] + p.z) * a.in[1] + p.y) * a.in[2] + p.x;
        }
        to[i] = p;
    }
}

// ---- loading ----

// A thread's way through the reduction.  Its piece of each line is channels c.. of one tap.
template <typename Machine, bool WHOLE> struct loader {
    typedef typename Machine::T T;
    enum { BM = Machine::BM, BN = Machine::BN, ALIGNED = WHOLE };
    enum { LINES = block<BM, BN>::LINES, STAGE = block<BM, BN>::STAGE };
    enum { EACH = PIECE / sizeof(T), STEP = LINE / sizeof(T), MX = BM / LINES, NW = BN / LINES };
    const struct origin *origins; // of this thread's first row, then every LINES-th
    const T *w;                 // this thread's piece of its first row
    int64_t w_step;             // LINES rows
    int kernel[3], left;        // numbers from this piece to the reduction's end
    int z, y, x, c;
    int pixel[MX], shift;       // at tap 0, and from there to this tap
    unsigned inside, real;      // bits: whose pixel is in x; which rows of w there are
    unsigned to;                // this thread's piece of its first line, in stage 0
};

template <typename L> static __device__ __forceinline__ void
look(L &l, const struct conv &a)
{
    const int z = l.z * a.dilation[0], y = l.y * a.dilation[1], x = l.x * a.dilation[2];
    l.inside = 0;
    l.shift = (z * a.in[1] + y) * a.in[2] + x;
    if (l.left > 0)
        for (int i = 0; i < L::MX; i++) {
            const struct origin p = l.origins[i * L::LINES];
            if ((unsigned)(p.z + z) < (unsigned)a.in[0] &&
                (unsigned)(p.y + y) < (unsigned)a.in[1] &&
                (unsigned)(p.x + x) < (unsigned)a.in[2])
                l.inside |= 1u << i;
        }
}

// w: row n0 of the weight; step: the first of this block's.
template <typename L> static __device__ __forceinline__ void
start(L &l, const struct conv &a, const struct origin *origins, const typename L::T *w, int n0,
      int step, unsigned shared)
{
    const int line = threadIdx.x / PIECES, piece = threadIdx.x % PIECES;
    const int R = l.kernel[0] * l.kernel[1] * l.kernel[2] * a.padded,
              at = step * L::STEP + piece * L::EACH;
    const int tap = at / a.padded;
    l.origins = origins + line;
    l.w = w + (int64_t)line * R + at;
    l.w_step = (int64_t)L::LINES * R;
    l.left = R - at;
    l.c = at % a.padded;
    l.x = tap % l.kernel[2];
    l.y = tap / l.kernel[2] % l.kernel[1];
    l.z = tap / l.kernel[2] / l.kernel[1];
    l.real = 0;
    for (int i = 0; i < L::NW; i++)
        l.real |= (unsigned)(n0 + line + i * L::LINES < a.K) << i;
#pragma unroll
    for (int i = 0; i < L::MX; i++)
        l.pixel[i] = l.origins[i * L::LINES].pixel;
    l.to = shared + line * LINE + (piece ^ line % 8) * PIECE;
    look(l, a);
}

// On to the next step.
template <typename L> static __device__ __forceinline__ void
advance(L &l, const struct conv &a)
{
    l.w += L::STEP;
    l.left -= L::STEP;
    l.c += L::STEP;
    if (l.c < a.padded)
        return;
    do {
        l.c -= a.padded;
        if (++l.x == l.kernel[2]) {
            l.x = 0;
            if (++l.y == l.kernel[1]) {
                l.y = 0;
                l.z++;
            }
        }
    } while (l.c >= a.padded);
    look(l, a);
}

// A piece whose numbers do not lie on 16 bytes, or are fewer.
template <typename T> static __device__ __forceinline__ void
gather(void *to, const T *from, int n)
{
    struct pf_pack<T, PIECE / sizeof(T)> p;
#pragma unroll
    for (int k = 0; k < (int)(PIECE / sizeof(T)); k++)
        p.v[k] = k < n ? from[k] : pf_store<T>(0.0f);
    *(struct pf_pack<T, PIECE / sizeof(T)> *)to = p;
}

// This thread's pieces of the present step into a stage; base: shared memory.
template <typename L> static __device__ __forceinline__ void
load(const L &l, const struct conv &a, int stage, unsigned char *base, unsigned base_address)
{
    typedef typename L::T T;
    const T *const x = (const T *)a.x;
    const unsigned to = l.to + stage * L::STAGE;
#pragma unroll
    for (int i = 0; i < L::MX; i++) {
        const bool inside = l.inside >> i & 1;
        const T *const from = inside ? x + (int64_t)(l.pixel[i] + l.shift) * a.C + l.c : x;
        if (L::ALIGNED)
            pf_copy16(to + i * L::LINES * LINE, from, inside);
        else
            gather(base + (to - base_address) + i * L::LINES * LINE, from, inside ? a.C - l.c : 0);
    }
#pragma unroll
    for (int i = 0; i < L::NW; i++) {
        const bool inside = l.left > 0 && l.real >> i & 1;
        pf_copy16(to + (L::BM + i * L::LINES) * LINE, inside ? l.w + i * l.w_step : (const T *)a.w,
                  inside);
    }
}

// ---- the machines: how a step is multiplied, and where the sums lie ----

// Tensor cores.  Warp w has rows (w / 2) * BM/2.. and columns (w % 2) * BN/2.. in tiles of 16 x 8;
// sum[(i * NT + j) * 4 ..] is tile (i, j).
template <typename Type, int BM_, int BN_> struct by_mma {
    typedef Type T;
    enum { BM = BM_, BN = BN_, SUMS = BM * BN / THREADS, MT = BM / 32, NT = BN / 16 };

    static __device__ __forceinline__ void
    multiply(float (&sum)[SUMS], const unsigned char *x_lines, const unsigned char *w_lines)
    {
        const int lane = threadIdx.x % PF_WARP, warp = threadIdx.x / PF_WARP;
        const unsigned x = pf_shared_address(x_lines) + (warp / 2 * (BM / 2) + lane % 16) * LINE;
        const unsigned w = pf_shared_address(w_lines) +
                           (warp % 2 * (BN / 2) + lane % 8 + lane / 16 * 8) * LINE;
#pragma unroll
        for (int k = 0; k < LINE / 32; k++) {
            const unsigned x_piece = ((2 * k + lane / 16) ^ lane % 8) * PIECE;
            const unsigned w_piece = ((2 * k + lane / 8 % 2) ^ lane % 8) * PIECE;
            unsigned fx[MT][4], fw[NT / 2][4];
#pragma unroll
            for (int i = 0; i < MT; i++)
                pf_load_matrices(fx[i], x + i * 16 * LINE + x_piece);
#pragma unroll
            for (int j = 0; j < NT / 2; j++)
                pf_load_matrices(fw[j], w + j * 16 * LINE + w_piece);
            if (sizeof(T) == 4) {
#pragma unroll
                for (int q = 0; q < 4 * MT; q++)
                    fx[q / 4][q % 4] = pf_tf32(fx[q / 4][q % 4]);
#pragma unroll
                for (int q = 0; q < 2 * NT; q++)
                    fw[q / 4][q % 4] = pf_tf32(fw[q / 4][q % 4]);
            }
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    float *const s = &sum[(i * NT + j) * 4];
                    pf_mma<T>(s, fx[i], fw[j / 2][j % 2 * 2], fw[j / 2][j % 2 * 2 + 1], s);
                }
        }
    }

    // The sums as a matrix [BM, BN + 8] in shared memory.
    static __device__ __forceinline__ void
    spread(float *to, const float (&sum)[SUMS])
    {
        enum { ROW = BN + 8 };
        const int lane = threadIdx.x % PF_WARP, warp = threadIdx.x / PF_WARP;
        to += (warp / 2 * (BM / 2) + lane / 4) * ROW + warp % 2 * (BN / 2) + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const float *const s = &sum[(i * NT + j) * 4];
                *(float2 *)(to + i * 16 * ROW + j * 8) = make_float2(s[0], s[1]);
                *(float2 *)(to + (i * 16 + 8) * ROW + j * 8) = make_float2(s[2], s[3]);
            }
    }
};

// f32 by fused multiply-adds, in the same order whatever the tile.
template <int BM_, int BN_> struct by_fma {
    typedef float T;
    enum { BM = BM_, BN = BN_, SUMS = BM * BN / THREADS, MI = BM / 8, NJ = BN / 16 };

    static __device__ __forceinline__ void
    multiply(float (&sum)[SUMS], const unsigned char *x, const unsigned char *w)
    {
        const int row = threadIdx.x / 16, column = threadIdx.x % 16;
        x += row * LINE;
        w += column * LINE;
#pragma unroll 1
        for (int k = 0; k < PIECES; k++) {
            float4 fw[NJ];
#pragma unroll
            for (int j = 0; j < NJ; j++)
                fw[j] = *(const float4 *)(w + j * 16 * LINE + (k ^ column % 8) * PIECE);
#pragma unroll
            for (int i = 0; i < MI; i++) {
                const float4 fx = *(const float4 *)(x + i * 8 * LINE + (k ^ row) * PIECE);
#pragma unroll
                for (int j = 0; j < NJ; j++) {
                    float &s = sum[i * NJ + j];
                    s = fmaf(fx.x, fw[j].x, s);
                    s = fmaf(fx.y, fw[j].y, s);
                    s = fmaf(fx.z, fw[j].z, s);
                    s = fmaf(fx.w, fw[j].w, s);
                }
            }
        }
    }

    static __device__ __forceinline__ void
    spread(float *to, const float (&sum)[SUMS])
    {
        enum { ROW = BN + 8 };
        to += threadIdx.x / 16 * ROW + threadIdx.x % 16;
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
            for (int j = 0; j < NJ; j++)
                to[i * 8 * ROW + j * 16] = sum[i * NJ + j];
    }
};

// ---- storing ----

template <typename T, int BM, int BN> static __device__ __forceinline__ void
store(const struct conv &a, const float *tile, int m0, int n0, int parity)
{
    enum { ROW = BN + 8, EACH = PIECE / sizeof(T), ACROSS = BN / EACH };
#pragma unroll 1
    for (int i = threadIdx.x; i < BM * ACROSS; i += blockDim.x) {
        const int m = m0 + i / ACROSS, n = n0 + i % ACROSS * EACH;
        float v[EACH];
        if (m >= a.M)
            return;                             // rows only grow
        if (n >= a.K)
            continue;
#pragma unroll
        for (int k = 0; k < EACH; k += 4)
            *(float4 *)(v + k) = *(const float4 *)(tile + i / ACROSS * ROW + i % ACROSS * EACH + k);
        if (!a.part) {
            finish<T>(a, v, m, row_of(a, m, parity) + n, n);
            continue;
        }
        float *const part = a.part + ((int64_t)blockIdx.y * a.M + m) * a.K + n;
        if (a.whole)
#pragma unroll
            for (int k = 0; k < EACH; k += 4)
                *(float4 *)(part + k) = *(const float4 *)(v + k);
        else
            for (int k = 0; k < EACH && n + k < a.K; k++)
                part[k] = v[k];
    }
}

// ---- the kernel ----

// Blocks: x: column of y's tiles, fastest, then row; y: part of the reduction; z: parity, the one
// with the most taps first.
template <typename Machine, bool ALIGNED>
static __global__ void
__launch_bounds__(THREADS, (block<Machine::BM, Machine::BN>::RESIDENT))
convolve(const __grid_constant__ struct conv a)
{
    enum { BM = Machine::BM, BN = Machine::BN };
    typedef typename Machine::T T;
    typedef block<BM, BN> B;
    extern __shared__ __align__(1024) unsigned char shared[];
    struct origin *const origins = (struct origin *)(shared + B::ORIGINS);
    const int n0 = blockIdx.x % a.columns * BN, m0 = blockIdx.x / a.columns * BM;
    const int parity = parity_of(a, blockIdx.z);
    const T *const w = (const T *)a.w + start_of(a, parity);
    struct loader<Machine, ALIGNED> l;
    float sum[Machine::SUMS];
    for (int i = 0; i < 3; i++)
        l.kernel[i] = taps_of(a, parity, i);
    const int R = l.kernel[0] * l.kernel[1] * l.kernel[2] * a.padded;
    const int all = (R + l.STEP - 1) / l.STEP, first = blockIdx.y * a.steps;
    const int steps = all - first < a.steps ? all - first : a.steps;
    const unsigned address = pf_shared_address(shared);
    find_origins<BM>(origins, a, m0, parity);
    __syncthreads();
    start(l, a, origins, w + (int64_t)n0 * R, n0, first, address);
#pragma unroll
    for (int i = 0; i < Machine::SUMS; i++)
        sum[i] = 0;
    for (int s = 0; s < AHEAD; s++) {
        if (s < steps) {
            load(l, a, s, shared, address);
            advance(l, a);
        }
        pf_copies_commit();
    }
    for (int s = 0; s < steps; s++) {
        const unsigned char *const stage = shared + s % STAGES * B::STAGE;
        pf_copies_wait<AHEAD - 1>();
        __syncthreads();        // all threads' copies of step s are there; step s - 1 is done with
        if (s + AHEAD < steps) {
            load(l, a, (s + AHEAD) % STAGES, shared, address);
            advance(l, a);
        }
        pf_copies_commit();
        Machine::multiply(sum, stage, stage + BM * LINE);
    }
    pf_copies_wait<0>();
    __syncthreads();
    Machine::spread((float *)shared, sum);
    __syncthreads();
    store<T, BM, BN>(a, (const float *)shared, m0, n0, parity);
}

// y from the parts, added in order; a thread has 16 bytes of y.
template <typename T> static __global__ void
add_parts(const __grid_constant__ struct conv a, int split)
{
    enum { EACH = PIECE / sizeof(T) };
    const int across = (a.K + EACH - 1) / EACH;
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, m = i / across;
    const int n = (int)(i % across) * EACH;
    float v[EACH] = {0};
    if (m >= a.M)
        return;
    for (int s = 0; s < split; s++) {
        const float *const part = a.part + ((int64_t)s * a.M + m) * a.K + n;
#pragma unroll
        for (int k = 0; k < EACH; k++)
            if (n + k < a.K)
                v[k] += part[k];
    }
    finish<T>(a, v, (int)m, m * a.K + n, n);
}

// ---- choosing ----

template <typename Machine, bool ALIGNED> static pf_err
launch(pf_dev *dev, struct conv *a, int split)
{
    enum { BM = Machine::BM, BN = Machine::BN, BYTES = block<BM, BN>::BYTES };
    void (*const kernel)(struct conv) = convolve<Machine, ALIGNED>;
    const int64_t rows = (a->M + BM - 1) / BM;
    a->columns = (a->K + BN - 1) / BN;
    if (rows * a->columns > INT_MAX)
        return pf_fail(PF_ESHAPE,
                       "convolution: %d pixels of %d channels are too many for one launch", a->M,
                       a->K);
    PF_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES),
                "convolution");
    const dim3 grid((unsigned)(rows * a->columns), (unsigned)split, a->parities);
    kernel<<<grid, THREADS, BYTES, pf_cuda_stream(dev)>>>(*a);
    return pf_launched(dev, "pf_conv");
}

namespace {

struct plan {
    int rows, columns, split;
    double time;
};

// What a block makes of y.  cost: of a step, in units of conv.cuh; least: blocks that a
// multiprocessor needs to be busy.  Both are fitted.
struct tile {
    int rows, columns;
    double cost, least;
};

}

// Costs are against that of FULL.
static const struct tile FULL = {128, 128, 1, 1.6}, HALF = {128, 64, 0.6, 2},
                         QUARTER = {64, 64, 0.36, 2.5};
// A step of FULL in 16 bits takes by_mma so long where wgmma takes 1; fitted.
static const double MMA_COST = 1.7;
static const double FILL_STEPS = 4;     // as long as a block's beginning and end take; fitted

// Blocks are dealt out evenly.  unit: cost of a step of FULL.
static double
time_of(const pf_dev *dev, const struct conv *a, int steps, const struct tile &t, double unit,
        int split)
{
    const double tiles =
        (double)((a->M + t.rows - 1) / t.rows) * ((a->K + t.columns - 1) / t.columns);
    const double turns = ceil(tiles * split * a->parities / dev->cuda->processors);
    const double each = t.cost * unit * ((steps + split - 1) / split + FILL_STEPS);
    return (turns > t.least ? turns : t.least) * each + time_of_parts(dev, a, split);
}

// Parts have about four steps at least, and at most 256 MB in all.
static void
try_tile(const pf_dev *dev, struct plan *best, const struct conv *a, int steps,
         const struct tile &t, double unit)
{
    enum { MAX_PARTS = 32, MIN_STEPS = 4, MAX_SUMS = 64 << 20 };
    for (int split = 1; split <= MAX_PARTS && split <= (steps + MIN_STEPS - 1) / MIN_STEPS;
         split++) {
        const double time = time_of(dev, a, steps, t, unit, split);
        if ((split == 1 || (a->parities == 1 && (int64_t)split * a->M * a->K < MAX_SUMS)) &&
            time < best->time)
            *best = {t.rows, t.columns, split, time};
    }
}

template <typename T> static pf_err
launch_best(pf_dev *dev, struct conv *a, const struct plan *p, bool aligned, bool exact)
{
    if (!aligned)
        return exact ? launch<by_fma<128, 64>, false>(dev, a, p->split)
                     : launch<by_mma<T, 128, 64>, false>(dev, a, p->split);
    if (exact)
        return p->columns == 64 ? launch<by_fma<128, 64>, true>(dev, a, p->split)
                                : launch<by_fma<128, 128>, true>(dev, a, p->split);
    return p->columns == 128 ? launch<by_mma<T, 128, 128>, true>(dev, a, p->split)
           : p->rows == 128  ? launch<by_mma<T, 128, 64>, true>(dev, a, p->split)
                             : launch<by_mma<T, 64, 64>, true>(dev, a, p->split);
}

// The present kernel's best way; steps: of the reduction.
static struct plan
best_plan(const pf_dev *dev, const struct conv *a, int steps, bool aligned, bool exact, double unit)
{
    struct plan p = {0, 0, 1, HUGE_VAL};
    try_tile(dev, &p, a, steps, HALF, unit);
    if (aligned)
        try_tile(dev, &p, a, steps, FULL, unit);
    if (aligned && !exact)
        try_tile(dev, &p, a, steps, QUARTER, unit);
    return p;
}

// Memory for parts of the sums, if there are any.
static pf_err
take_parts(pf_dev *dev, struct conv *a, int split)
{
    const int64_t dim[] = {split, a->M, a->K};
    pf_tensor part;
    if (split == 1)
        return PF_OK;
    PF_TRY(pf_dev_alloc(dev, &part, PF_F32, 3, dim));
    a->part = (float *)part.data;
    return PF_OK;
}

template <typename T> static pf_err
join_parts(pf_dev *dev, const struct conv *a, int split)
{
    const int64_t pieces = a->M * ((a->K * (int64_t)sizeof(T) + PIECE - 1) / PIECE);
    if (split == 1)
        return PF_OK;
    add_parts<T><<<pf_blocks(pieces, 256), 256, 0, pf_cuda_stream(dev)>>>(*a, split);
    return pf_launched(dev, "pf_conv");
}

// One that conv_hopper.cu does, with numbers of this type in x.
template <typename T> static pf_err
product_on_hopper(pf_dev *dev, struct conv *a, const struct hopper_plan *h, pf_dtype type)
{
    PF_TRY(take_parts(dev, a, h->split));
    PF_TRY(pf_conv_hopper(dev, a, h, type));
    return join_parts<T>(dev, a, h->split);
}

// One of E4M3 numbers, which nothing else does.
static pf_err
product_of_f8(pf_dev *dev, struct conv *a)
{
    const struct hopper_plan h = pf_conv_hopper_plan(dev, a, PF_F8);
    if (h.time == HUGE_VAL)
        return pf_fail(PF_EDEV, "products in f8 need a library with code for sm_90a, and sizes "
                       "that it suits; use --precision bf16");
    return product_on_hopper<__nv_bfloat16>(dev, a, &h, PF_F8);
}

// Run a product whose sizes and pointers are set.
template <typename T> static pf_err
product(pf_dev *dev, struct conv *a, pf_dtype type)
{
    const int R = a->kernel[0] * a->kernel[1] * a->kernel[2] * a->padded;
    const int steps = ((a->transposed ? R * 8 / 27 : R) + a->line - 1) / a->line;
    const bool aligned = a->C == a->padded && pf_is_aligned(a->x),
               exact = sizeof(T) == 4 && !pf_dev_tf32(dev);
    const double unit = sizeof(T) == 2 ? MMA_COST : 1;
    struct plan p = best_plan(dev, a, steps, aligned, exact, unit);
    const struct hopper_plan h = pf_conv_hopper_plan(dev, a, type);
    if (h.time < p.time)
        return product_on_hopper<T>(dev, a, &h, type);
    a->steps = a->transposed ? INT_MAX : (steps + p.split - 1) / p.split;
    if (p.split > 1)
        p.split = (steps + a->steps - 1) / a->steps;    // as many as have something to do
    PF_TRY(take_parts(dev, a, p.split));
    PF_TRY(launch_best<T>(dev, a, &p, aligned, exact));
    return join_parts<T>(dev, a, p.split);
}

static pf_err
run_product(pf_dev *dev, struct conv *a, pf_tensor *y, const pf_tensor *x, const pf_layer *l,
            const struct pf_epilogue *e)
{
    const size_t mark = pf_dev_mark(dev);
    const struct pf_weight *const w = pf_weight_of(l);
    const int64_t pixels = (int64_t)a->in[0] * a->in[1] * a->in[2] * x->dim[0];
    const int64_t R = l->kernel[0] * l->kernel[1] * l->kernel[2] * w->padded;
    pf_err err = PF_OK;
    if (pf_tensor_count(y) == 0)
        return PF_OK;
    if (pixels > MAX_PIXELS || pf_tensor_count(y) / l->K > MAX_PIXELS || R > MAX_PIXELS ||
        l->K > MAX_PIXELS)
        return pf_fail(
            PF_ESHAPE,
            "convolution: sizes above 2^30 pixels or weights of a channel are not done on a GPU");
    a->x = x->data;
    a->y = y->data;
    a->w = w->data;
    a->bias = (const float *)l->bias.data;
    a->C = (int)l->C;
    a->padded = (int)w->padded;
    a->K = (int)l->K;
    a->line = LINE / (int)pf_dtype_size(x->dtype);
    a->scale = x->dtype == PF_F8 ? (const float *)l->scale.data + 1 : NULL;
    a->whole = l->K * (int64_t)pf_dtype_size(y->dtype) % PIECE == 0 && l->K % 4 == 0 &&
               pf_is_aligned(y->data);
    if (e) {
        a->act = e->act;
        a->residual = e->residual ? e->residual->data : NULL;
        a->channel = e->channel ? (const float *)e->channel->data : NULL;
        a->channel_step = e->channel && e->channel->dim[0] > 1 ? l->K : 0;
        a->whole = a->whole && pf_is_aligned(a->residual) && pf_is_aligned(a->channel);
    }
    if (l->depthwise)
        return pf_conv_depthwise(dev, a, y->dtype);
    if (x->dtype == PF_F8)
        err = product_of_f8(dev, a);
    else
        PF_FOR_TYPE(y->dtype, T, err = product<T>(dev, a, y->dtype));
    pf_dev_reset(dev, mark);
    return err;
}

// Sizes of y, x and w; steps of 1 and no padding.
static pf_err
take_sizes(struct conv *a, const pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    for (int i = 0; i < 3; i++) {
        const int axis = i - (3 - w->spatial);      // among the layer's own; depth of a 2-D one: -1
        if (axis >= 0 && (x->dim[1 + axis] > MAX_PIXELS || y->dim[1 + axis] > MAX_PIXELS))
            return pf_fail(PF_ESHAPE,
                           "convolution: an axis of more than 2^30 is not done on a GPU");
        a->in[i] = axis >= 0 ? (int)x->dim[1 + axis] : 1;
        a->out[i] = axis < 0                        ? 1
                    : w->transposed || w->doubled ? a->in[i]
                                                  : (int)y->dim[1 + axis];
        a->kernel[i] = w->doubled && axis >= 0 ? 2 : (int)w->kernel[i];
        a->stride[i] = a->dilation[i] = 1;
    }
    set_parities(a, w->transposed, w->doubled);
    const int64_t pixels = (int64_t)a->out[0] * a->out[1] * a->out[2];
    if (pixels * x->dim[0] > MAX_PIXELS)
        return pf_fail(PF_ESHAPE, "convolution: more than 2^30 pixels are not done on a GPU");
    a->pixels = (int)pixels;
    a->M = (int)(pixels * x->dim[0]);
    return PF_OK;
}

pf_err
pf_conv_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int stride,
             int before, int after, const struct pf_epilogue *e)
{
    struct conv a = {};
    (void)after;                // follows from y's size
    PF_TRY(take_sizes(&a, y, x, w));
    for (int i = 3 - w->spatial; i < 3 && !w->transposed; i++) {
        a.stride[i] = stride;
        a.before[i] = before;
    }
    return run_product(dev, &a, y, x, w, e);
}

pf_err
pf_conv_dilated_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int dilation,
                     const struct pf_epilogue *e)
{
    struct conv a = {};
    PF_TRY(take_sizes(&a, y, x, w));
    for (int i = 3 - w->spatial; i < 3; i++) {
        // As far apart as x is long, all taps but the middle one are outside already.
        a.dilation[i] = dilation < a.in[i] ? dilation : a.in[i];
        a.before[i] = a.dilation[i] * (a.kernel[i] / 2);
    }
    return run_product(dev, &a, y, x, w, e);
}

pf_err
pf_linear_kernel(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w,
                 const struct pf_epilogue *e)
{
    const int64_t rows = pf_tensor_count(y) / w->K;
    struct conv a = {};
    set_parities(&a, false, false);
    if (rows > MAX_PIXELS)
        return pf_fail(PF_ESHAPE, "linear map: more than 2^30 rows are not done on a GPU");
    for (int i = 0; i < 3; i++)
        a.in[i] = a.out[i] = a.kernel[i] = a.stride[i] = a.dilation[i] = 1;
    a.M = (int)rows;
    a.pixels = y->dim[0] ? (int)(rows / y->dim[0]) : 1;
    return run_product(dev, &a, y, x, w, e);
}
