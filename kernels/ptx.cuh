/* ptx.cuh - instructions that C++ has no words for: copies to shared memory, the tensor cores, and
 * barriers.  For attention*.cu, conv*.cu and linear_geglu.cu.
 *
 *     pf_copy16(address, from, inside);               // cp.async
 *     pf_load_matrices(a, address);                   // ldmatrix
 *     pf_mma<T>(d, a, b[0], b[1], d);                 // mma.sync
 *     pf_group_mma<T, 128>(d, x, w);                  // wgmma, on Hopper
 *     pf_barrier_wait(&full[i], parity);              // mbarrier, on Hopper
 *
 * Addresses in shared memory are 32 bits wide: pf_shared_address.  What only Hopper has traps
 * elsewhere. */
#ifndef PF_PTX_CUH
#define PF_PTX_CUH
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <type_traits>

/* Operands lie in shared memory as lines of 128 bytes, in pieces of 16. */
enum { LINE = 128, PIECE = 16, PIECES = LINE / PIECE };         /* bytes */

/* ---- copies ---- */

static __device__ __forceinline__ unsigned
pf_shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* 16 bytes from device to shared memory, without waiting; zeros unless inside. */
static __device__ __forceinline__ void
pf_copy16(unsigned to, const void *from, bool inside)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

/* 4 bytes, the same. */
static __device__ __forceinline__ void
pf_copy4(unsigned to, const void *from, bool inside)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 ::"r"(to), "l"(from), "r"(inside ? 4 : 0) : "memory");
}

/* What was asked for since the last commit is one group. */
static __device__ __forceinline__ void
pf_copies_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until all but the N newest groups of this thread have arrived. */
template <int N> static __device__ __forceinline__ void
pf_copies_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Until all copies of this thread have arrived. */
static __device__ __forceinline__ void
pf_copies_wait_all(void)
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* ---- tensor cores: one warp ---- */

/* Four 8 x 8 matrices of 16-bit numbers (8 x 4 of 32-bit ones); lane 8 i + r points to row r, 16
 * bytes, of matrix i.  Lane 4 g + t gets the t-th 4 bytes of row g of each. */
static __device__ __forceinline__ void
pf_load_matrices(unsigned (&r)[4], unsigned row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}

/* Two of them; lanes 0 to 15 point. */
static __device__ __forceinline__ void
pf_load_matrices(unsigned (&r)[2], unsigned row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(row) : "memory");
}

/* Matrices of 16-bit numbers, transposed: lane 4 g + t gets rows 2 t, 2 t + 1 of column g of
 * each. */
static __device__ __forceinline__ void
pf_load_transposed(unsigned (&r)[4], unsigned row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}

static __device__ __forceinline__ void
pf_load_transposed(unsigned (&r)[2], unsigned row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(row) : "memory");
}

/* d [16, 8] = a [16, 32 bytes] b [8, 32 bytes]^T + c; c may be d.  Lane 4 g + t: c and d have
 * (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1); a the t-th 4 bytes of row g, of row g+8, then of
 * their second 16 bytes; b0, b1 those of row g.  T: half, bfloat16 or, as tf32, float. */
#define PF_MMA_(instruction)                                                                    \
    asm(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"      \
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])                                        \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]),   \
          "f"(c[2]), "f"(c[3]))
template <typename T> static __device__ __forceinline__ void
pf_mma(float *d, const unsigned *a, unsigned b0, unsigned b1, const float *c)
{
    if constexpr (std::is_same_v<T, __half>)
        PF_MMA_("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32");
    else if constexpr (std::is_same_v<T, __nv_bfloat16>)
        PF_MMA_("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
    else
        PF_MMA_("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32");
}

/* d += a [16, 16 bytes] b [8, 16 bytes]^T of 16-bit numbers: the first half of the above. */
#define PF_MMA_8_(instruction)                                              \
    asm(instruction " {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"  \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b))
template <typename T> static __device__ __forceinline__ void
pf_mma_8(float *d, const unsigned *a, unsigned b)
{
    if constexpr (std::is_same_v<T, __half>)
        PF_MMA_8_("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32");
    else
        PF_MMA_8_("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32");
}

/* f32 to the nearest tf32; the tensor cores would cut it off. */
static __device__ __forceinline__ unsigned
pf_tf32(unsigned v)
{
    unsigned r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(__uint_as_float(v)));
    return r;
}

/* ---- Hopper: four warps as one group, operands in shared memory ----
 *
 * d [64, N] += a [64, 32 bytes] b [N, 32 bytes]^T; both lie in lines of 128 bytes whose 16-byte
 * pieces are at place j ^ (line % 8), line 0 on a multiple of 1024.  Warp w of the group has
 * rows 16 w.., in it d[4 j..] is tile (rows, columns 8 j..8 j + 7) as in pf_mma.  Asynchronous
 * from begin to wait. */
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define PF_ON_HOPPER_(...) __VA_ARGS__
#else
#define PF_ON_HOPPER_(...) __trap()
#endif

/* Were the instructions of sm_90a compiled into this kernel, and does this card run that code?
 * PF_WGMMA=0: no, for comparison. */
static inline bool
pf_group_compiled(const void *kernel)
{
    const char *const wanted = getenv("PF_WGMMA");
    cudaFuncAttributes f;
    return !(wanted && !strcmp(wanted, "0")) && cudaFuncGetAttributes(&f, kernel) == cudaSuccess &&
           f.ptxVersion >= 90 && f.binaryVersion / 10 == 9;
}

static __device__ __forceinline__ void
pf_group_begin(void)
{
    PF_ON_HOPPER_(asm volatile("wgmma.fence.sync.aligned;" ::: "memory"));
}

static __device__ __forceinline__ void
pf_group_commit(void)
{
    PF_ON_HOPPER_(asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"));
}

/* Until all but the N newest groups of products are done. */
template <int N> static __device__ __forceinline__ void
pf_group_wait(void)
{
    PF_ON_HOPPER_(asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"));
}

/* Before the barrier between a thread's arrived copies and the products that read them. */
static __device__ __forceinline__ void
pf_group_sees_copies(void)
{
    PF_ON_HOPPER_(asm volatile("fence.proxy.async.shared::cta;" ::: "memory"));
}

/* For the compiler: v is read after what stands before. */
static __device__ __forceinline__ void
pf_group_own(float &v)
{
    asm volatile("" : "+f"(v)::"memory");
}

/* Lines from this address on (a multiple of 1024, plus 32 for each 32 bytes along them): swizzle
 * of 128 bytes, 8 lines are 1024 bytes. */
static __device__ __forceinline__ uint64_t
pf_group_operand(unsigned address)
{
    return (uint64_t)1 << 62 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 16 |
           (address & 0x3ffff) >> 4;
}

#define PF_SUMS_4_(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define PF_SUMS_8_(i) PF_SUMS_4_(i), PF_SUMS_4_(i + 4)
#define PF_SUMS_24_ PF_SUMS_8_(0), PF_SUMS_8_(8), PF_SUMS_8_(16)
#define PF_SUMS_32_ PF_SUMS_8_(0), PF_SUMS_8_(8), PF_SUMS_8_(16), PF_SUMS_8_(24)
#define PF_SUMS_64_ PF_SUMS_32_, PF_SUMS_8_(32), PF_SUMS_8_(40), PF_SUMS_8_(48), PF_SUMS_8_(56)
#define PF_NAMES_24_                                                            \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "    \
    "%16, %17, %18, %19, %20, %21, %22, %23"
#define PF_NAMES_32_ PF_NAMES_24_ ", %24, %25, %26, %27, %28, %29, %30, %31"
#define PF_NAMES_36_ PF_NAMES_32_ ", %32, %33, %34, %35"
#define PF_NAMES_44_ PF_NAMES_36_ ", %36, %37, %38, %39, %40, %41, %42, %43"
#define PF_NAMES_48_ PF_NAMES_44_ ", %44, %45, %46, %47"
#define PF_NAMES_64_    \
    PF_NAMES_48_ ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PF_NAMES_80_    \
    PF_NAMES_64_ ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define PF_NAMES_128_                                                                   \
    PF_NAMES_80_ ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, "       \
    "%92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, "                  \
    "%104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, "          \
    "%116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define PF_WGMMA_(shape, type, modes, names, operands, ...)                         \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, 1, 0; "                            \
                 "wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {"   \
                 names "}, " operands ", p, 1, 1" modes "; }"                       \
                 : __VA_ARGS__ : "l"(a), "l"(b))
#define PF_WGMMA_64_(k, type, modes)    \
    PF_WGMMA_("m64n64" k, type, modes, PF_NAMES_32_, "%32, %33", PF_SUMS_32_)
#define PF_WGMMA_128_(k, type, modes)   \
    PF_WGMMA_("m64n128" k, type, modes, PF_NAMES_64_, "%64, %65", PF_SUMS_64_)
#define PF_WGMMA_160_(k, type, modes)                                                           \
    PF_WGMMA_("m64n160" k, type, modes, PF_NAMES_80_, "%80, %81", PF_SUMS_64_, PF_SUMS_8_(64),  \
              PF_SUMS_8_(72))
#define PF_WGMMA_256_(k, type, modes)                                                           \
    PF_WGMMA_("m64n256" k, type, modes, PF_NAMES_128_, "%128, %129", PF_SUMS_64_,               \
              PF_SUMS_8_(64), PF_SUMS_8_(72), PF_SUMS_8_(80), PF_SUMS_8_(88), PF_SUMS_8_(96),   \
              PF_SUMS_8_(104), PF_SUMS_8_(112), PF_SUMS_8_(120))

/* instruction(type) for T, __half or __nv_bfloat16. */
#define PF_ON_HOPPER_FOR_(T, instruction)           \
    do {                                            \
        if constexpr (std::is_same_v<T, __half>)    \
            PF_ON_HOPPER_(instruction("f16"));      \
        else                                        \
            PF_ON_HOPPER_(instruction("bf16"));     \
    } while (0)

/* instruction(numbers in 32 bytes, type, modes) for T, E4M3 among them: whose operands cannot be
 * transposed, and of whose sums the tensor cores keep some 14 bits from one product to the next. */
#define PF_ON_HOPPER_FOR_ANY_(T, instruction)                   \
    do {                                                        \
        if constexpr (std::is_same_v<T, __nv_fp8_e4m3>)         \
            PF_ON_HOPPER_(instruction("k32", "e4m3", ""));      \
        else if constexpr (std::is_same_v<T, __half>)           \
            PF_ON_HOPPER_(instruction("k16", "f16", ", 0, 0")); \
        else                                                    \
            PF_ON_HOPPER_(instruction("k16", "bf16", ", 0, 0"));\
    } while (0)

template <typename T, int N> static __device__ __forceinline__ void
pf_group_mma(float *d, uint64_t a, uint64_t b)
{
    static_assert(N == 64 || N == 128 || N == 160 || N == 256, "these are there");
    if constexpr (N == 64)
        PF_ON_HOPPER_FOR_ANY_(T, PF_WGMMA_64_);
    else if constexpr (N == 128)
        PF_ON_HOPPER_FOR_ANY_(T, PF_WGMMA_128_);
    else if constexpr (N == 160)
        PF_ON_HOPPER_FOR_ANY_(T, PF_WGMMA_160_);
    else
        PF_ON_HOPPER_FOR_ANY_(T, PF_WGMMA_256_);
}

/* The same, or d = a b^T if add is 0, else 1. */
#define PF_WGMMA_IF_(shape, type, names, operands, add_, ...)                   \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, " add_ ", 0; "                 \
                 "wgmma.mma_async.sync.aligned." shape ".f32." type "." type    \
                 " {" names "}, " operands ", p, 1, 1, 0, 0; }"                 \
                 : __VA_ARGS__ : "l"(a), "l"(b), "r"(add))
#define PF_WGMMA_IF_64_(type)   \
    PF_WGMMA_IF_("m64n64k16", type, PF_NAMES_32_, "%32, %33", "%34", PF_SUMS_32_)
#define PF_WGMMA_IF_96_(type)                                                                      \
    PF_WGMMA_IF_("m64n96k16", type, PF_NAMES_48_, "%48, %49", "%50", PF_SUMS_32_, PF_SUMS_8_(32),  \
                 PF_SUMS_8_(40))

template <typename T, int N> static __device__ __forceinline__ void
pf_group_mma_if(float (&d)[N / 2], uint64_t a, uint64_t b, int add)
{
    if constexpr (N == 64)
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_IF_64_);
    else
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_IF_96_);
}

/* d [64, N] += a [64, 16] b [16, N]; a in registers, as pf_mma's, b in shared memory. */
#define PF_WGMMA_A_(shape, type, names, operands, ...)                          \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, 1, 0; "                        \
                 "wgmma.mma_async.sync.aligned." shape ".f32." type "." type    \
                 " {" names "}, " operands ", p, 1, 1, 1; }" : __VA_ARGS__      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define PF_WGMMA_A_48_(type)    \
    PF_WGMMA_A_("m64n48k16", type, PF_NAMES_24_, "{%24, %25, %26, %27}, %28", PF_SUMS_24_)
#define PF_WGMMA_A_72_(type)                                                                \
    PF_WGMMA_A_("m64n72k16", type, PF_NAMES_36_, "{%36, %37, %38, %39}, %40", PF_SUMS_32_,  \
                PF_SUMS_4_(32))
#define PF_WGMMA_A_88_(type)                                                                \
    PF_WGMMA_A_("m64n88k16", type, PF_NAMES_44_, "{%44, %45, %46, %47}, %48", PF_SUMS_32_,  \
                PF_SUMS_8_(32), PF_SUMS_4_(40))

template <typename T, int N> static __device__ __forceinline__ void
pf_group_mma_registers(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b)
{
    if constexpr (N == 48)
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_A_48_);
    else if constexpr (N == 72)
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_A_72_);
    else
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_A_88_);
}

/* The operand b [16, N] of these: its rows are lines.  8 of them are 1024 bytes, as in
 * pf_group_operand(), and columns go on `panel` bytes further.  An operand plus n / 16 begins n
 * bytes later: addresses are its lowest bits. */
static __device__ __forceinline__ uint64_t
pf_group_columns(unsigned address, int panel)
{
    return pf_group_operand(address) + ((uint64_t)(panel / 16 - 1) << 16);
}

/* All 128 threads of a group, and what they wrote to shared memory; id: 1 to 15, its own. */
static __device__ __forceinline__ void
pf_group_sync(int id)
{
    asm volatile("bar.sync %0, 128;" ::"r"(id) : "memory");
}

/* ---- Hopper: registers of a group ---- */

/* Each thread of these four warps gives registers back until it has N, or takes some. */
template <int N> static __device__ __forceinline__ void
pf_registers_fewer(void)
{
    PF_ON_HOPPER_(asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)));
}

template <int N> static __device__ __forceinline__ void
pf_registers_more(void)
{
    PF_ON_HOPPER_(asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)));
}

/* ---- Hopper: barriers in shared memory ---- */

static __device__ __forceinline__ void
pf_barrier_init(uint64_t *barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
                 ::"r"(pf_shared_address(barrier)), "r"(arrivals) : "memory");
}

/* What this thread did before is seen by who waits (release). */
static __device__ __forceinline__ void
pf_barrier_arrive(uint64_t *barrier)
{
    PF_ON_HOPPER_(asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];"
                               ::"r"(pf_shared_address(barrier)) : "memory"));
}

/* Has the phase of this parity ended (acquire)?  May wait a while before it says no. */
static __device__ __forceinline__ bool
pf_barrier_passed(uint64_t *barrier, unsigned parity)
{
    unsigned passed = 0;
    PF_ON_HOPPER_(asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2; "
        "selp.u32 %0, 1, 0, p; }"
        : "=r"(passed)
        : "r"(pf_shared_address(barrier)), "r"(parity)
        : "memory"));
    return passed;
}

static __device__ __forceinline__ void
pf_barrier_wait(uint64_t *barrier, unsigned parity)
{
    while (!pf_barrier_passed(barrier, parity))
        ;
}

/* ---- Hopper: clusters and the copy engine ---- */

/* All threads of a cluster of blocks; barriers that were set up before are seen after. */
static __device__ __forceinline__ void
pf_cluster_sync(void)
{
    PF_ON_HOPPER_(asm volatile("fence.mbarrier_init.release.cluster; "
                               "barrier.cluster.arrive.release; "
                               "barrier.cluster.wait.acquire;" ::: "memory"));
}

/* pf_barrier_arrive at the same barrier of block `rank` of the cluster. */
static __device__ __forceinline__ void
pf_barrier_arrive_at(uint64_t *barrier, unsigned rank)
{
    PF_ON_HOPPER_(asm volatile("{ .reg .b32 there; mapa.shared::cluster.u32 there, %0, %1; "
                               "mbarrier.arrive.shared::cluster.b64 _, [there]; }"
                               ::"r"(pf_shared_address(barrier)), "r"(rank) : "memory"));
}

/* Arrive, and let the phase end only when so many bytes have come. */
static __device__ __forceinline__ void
pf_barrier_expect(uint64_t *barrier, unsigned bytes)
{
    PF_ON_HOPPER_(asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                               ::"r"(pf_shared_address(barrier)), "r"(bytes) : "memory"));
}

/* The box at this place of a CUtensorMap's tensor to this block, by the copy engine (TMA); its
 * bytes are counted by the barrier. */
static __device__ __forceinline__ void
pf_bring_box(unsigned to, const void *map, uint64_t *barrier, int c, int x, int y, int z, int b)
{
    PF_ON_HOPPER_(asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.tile"
                               ".mbarrier::complete_tx::bytes "
                               "[%0], [%1, {%3, %4, %5, %6, %7}], [%2];"
                               ::"r"(to), "l"(map), "r"(pf_shared_address(barrier)), "r"(c), "r"(x),
                               "r"(y), "r"(z), "r"(b) : "memory"));
}

/* The same to the same place of several blocks of the cluster, a bit for each, counted by the
 * barrier of each. */
static __device__ __forceinline__ void
pf_bring_to_blocks(unsigned to, const void *map, uint64_t *barrier, int r, int k,
                   unsigned short blocks)
{
    PF_ON_HOPPER_(asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile"
                               ".mbarrier::complete_tx::bytes.multicast::cluster "
                               "[%0], [%1, {%3, %4}], [%2], %5;"
                               ::"r"(to), "l"(map), "r"(pf_shared_address(barrier)), "r"(r), "r"(k),
                               "h"(blocks) : "memory"));
}

/* ---- rings ---- */

/* A place in a ring of N, and whether the ring is gone round for an odd time. */
template <int N> struct pf_turn {
    int at;
    unsigned odd;
};

template <int N> static __device__ __forceinline__ void
pf_advance(pf_turn<N> &t)
{
    if (++t.at == N) {
        t.at = 0;
        t.odd ^= 1;
    }
}

#endif
