/* half_product.cuh - products of halves whose results are worked on before they are stored, for
 * mlp_half.cu.
 *
 * y [M, N] = a [M, K] b [N, K]^T; M is a multiple of 128, N and K of 64.  A block has 128 rows and
 * 128 or 64 columns, brings 64 of K at a time by cp.async into a ring of three, and multiplies by
 * mma.sync; f32 sums.  The rows of b are taken in an order that leaves eight neighbouring columns
 * in one lane: column 32 q + 8 t + 2 j + e of a warp is number 2 t + e of the instruction's group
 * 4 q + j.  So what comes after the product reads and writes 16 bytes at a time, four lanes 64.
 *
 * A layer of the original's field over 131072 points, 131072 x 256 x 256: 17.2 GFLOP, 0.017 ms at
 * 990 TFLOP/s; 134 MB for a and y alone, 0.028 ms at 4.8 TB/s, 335 MB with three more arrays,
 * 0.070.  Seen: 0.060 and 0.093.  wgmma with b resident in shared memory, two groups of four warps
 * that take turns: 0.061 and 0.104, for 8 warps wait longer for memory than 16. */
#ifndef PF_FIELD_HALF_PRODUCT_CUH
#define PF_FIELD_HALF_PRODUCT_CUH
#include "kernels/ptx.cuh"
#include "kernels/vector.cuh"

namespace half_product {

enum { BM = 128, BK = 64, RING = 3, THREADS = 256, RUN = 8 };

/* Rows of a lie with piece p of 16 bytes at p ^ (row % 8); those of b so that the eight which one
 * ldmatrix takes have different places. */
static __device__ __forceinline__ unsigned
place_of_a(int row, int piece)
{
    return (unsigned)(row * LINE + ((piece ^ (row & 7)) * PIECE));
}

static __device__ __forceinline__ unsigned
place_of_b(int row, int piece)
{
    return (unsigned)(row * LINE + ((piece ^ ((row >> 2 & 6) | (row & 1))) * PIECE));
}

template <int BN> constexpr int RING_BYTES = RING * (BM + BN) * LINE;

/* Columns BK s.. of a's and b's rows of this block to place s % RING. */
template <int BN> static __device__ __forceinline__ void
bring(unsigned ring, const __half *a, const __half *b, int64_t k, int s)
{
    const unsigned to = ring + (unsigned)(s % RING * (BM + BN) * LINE);
#pragma unroll
    for (int i = 0; i < BM * PIECES / THREADS; i++) {
        const int at = i * THREADS + (int)threadIdx.x, row = at / PIECES, piece = at % PIECES;
        pf_copy16(to + place_of_a(row, piece), a + row * k + s * BK + piece * RUN, true);
    }
#pragma unroll
    for (int i = 0; i < BN * PIECES / THREADS; i++) {
        const int at = i * THREADS + (int)threadIdx.x, row = at / PIECES, piece = at % PIECES;
        pf_copy16(to + BM * LINE + place_of_b(row, piece), b + row * k + s * BK + piece * RUN,
                  true);
    }
}

/* Then, of each run of eight columns: held = e.fetch(row, column), e.finish(row, column, y, held).
 * A warp has 64 columns. */
template <int BN, typename E> static __global__ void __launch_bounds__(THREADS, 2)
product(const __half *a, const __half *b, int64_t k, const __grid_constant__ E e)
{
    constexpr int ACROSS = BN / 64, TILES = ACROSS;     // warps beside each other; 16 rows each
    extern __shared__ __align__(1024) char shared[];
    const unsigned ring = pf_shared_address(shared);
    const int warp = (int)threadIdx.x / PF_WARP, lane = (int)threadIdx.x % PF_WARP;
    const int wm = warp / ACROSS * 16 * TILES, wn = warp % ACROSS * 64;
    const int64_t row = blockIdx.y * (int64_t)BM;
    const int column = (int)blockIdx.x * BN;
    const int steps = (int)(k / BK);
    float sum[TILES][2][4][4] = {};
    a += row * k;
    b += column * k;
#pragma unroll
    for (int s = 0; s < RING - 1; s++) {
        if (s < steps)
            bring<BN>(ring, a, b, k, s);
        pf_copies_commit();
    }
    for (int s = 0; s < steps; s++) {
        pf_copies_wait<RING - 2>();
        __syncthreads();
        if (s + RING - 1 < steps)
            bring<BN>(ring, a, b, k, s + RING - 1);
        pf_copies_commit();
        const unsigned at = ring + (unsigned)(s % RING * (BM + BN) * LINE), of_b = at + BM * LINE;
#pragma unroll
        for (int piece = 0; piece < PIECES; piece += 2) {
            unsigned fa[TILES][4];
#pragma unroll
            for (int i = 0; i < TILES; i++)
                pf_load_matrices(fa[i], at + place_of_a(wm + 16 * i + lane % 16,
                                                        piece + lane / 16));
#pragma unroll
            for (int q = 0; q < 2; q++)
#pragma unroll
                for (int j = 0; j < 4; j += 2) {
                    const int r = lane % 8, from = 32 * q + 4 * (r & 6) + 2 * (j + lane / 16);
                    unsigned fb[4];
                    pf_load_matrices(fb, of_b + place_of_b(wn + from + (r & 1),
                                                           piece + lane / 8 % 2));
#pragma unroll
                    for (int i = 0; i < TILES; i++) {
                        pf_mma<__half>(sum[i][q][j], fa[i], fb[0], fb[1], sum[i][q][j]);
                        pf_mma<__half>(sum[i][q][j + 1], fa[i], fb[2], fb[3], sum[i][q][j + 1]);
                    }
                }
        }
    }
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        const int64_t r = row + wm + 16 * i + lane / 4;
        const int c = column + wn + 8 * (lane % 4);
        typename E::held held[2][2];
#pragma unroll
        for (int h = 0; h < 4; h++)
            held[h / 2][h % 2] = e.fetch(r + 8 * (h / 2), c + 32 * (h % 2));
#pragma unroll
        for (int h = 0; h < 4; h++) {
            float y[RUN];
#pragma unroll
            for (int l = 0; l < RUN; l++)
                y[l] = sum[i][h % 2][l / 2][2 * (h / 2) + l % 2];
            e.finish(r + 8 * (h / 2), c + 32 * (h % 2), y, held[h / 2][h % 2]);
        }
    }
}

template <int BN, typename E> static pf_err
launch(pf_dev *dev, const __half *a, const __half *b, int64_t m, int64_t n, int64_t k, const E &e)
{
    PF_CUDA_TRY(cudaFuncSetAttribute(product<BN, E>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     RING_BYTES<BN>),
                "a product of halves");
    product<BN, E><<<dim3((unsigned)(n / BN), (unsigned)(m / BM)), THREADS, RING_BYTES<BN>,
                     pf_cuda_stream(dev)>>>(a, b, k, e);
    return pf_launched(dev, "a product of halves");
}

/* a [m, k], b [n, k] on multiples of 16 bytes. */
template <typename E> static pf_err
run(pf_dev *dev, const __half *a, const __half *b, int64_t m, int64_t n, int64_t k, const E &e)
{
    return n % 128 ? launch<64>(dev, a, b, m, n, k, e) : launch<128>(dev, a, b, m, n, k, e);
}

}

#endif
