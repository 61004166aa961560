/* product.cuh - the tensor cores' instructions.  Private to conv.cu, conv_hopper.cu and attention_hopper.cu. */
#ifndef PF_PRODUCT_CUH
#define PF_PRODUCT_CUH
#include <type_traits>

#include "kernels/cuda.cuh"

/* ---- tensor cores ---- */

static __device__ __forceinline__ unsigned
pf_shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* 16 bytes from device to shared memory, without waiting; zeros unless inside. */
static __device__ __forceinline__ void
pf_copy16(unsigned to, const void *from, bool inside)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
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

/* Four 8 x 8 matrices of 16-bit numbers (8 x 4 of 32-bit ones); lane 8 i + r points to row r, 16
 * bytes, of matrix i.  Lane 4 g + t gets the t-th 4 bytes of row g of each. */
static __device__ __forceinline__ void
pf_load_matrices(unsigned (&r)[4], unsigned row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}

/* d [16, 8] += a [16, 32 bytes] b [8, 32 bytes]^T by a warp.  Lane 4 g + t: d has (g, 2t), (g, 2t+1),
 * (g+8, 2t), (g+8, 2t+1); a the t-th 4 bytes of row g, of row g+8, then of their second 16 bytes;
 * b those of row g. */
template <typename T> static __device__ __forceinline__ void
pf_mma(float *d, const unsigned *a, const unsigned *b);

#define PF_MMA_(instruction)                                                                                \
    asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"             \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
template <> __device__ __forceinline__ void
pf_mma<__half>(float *d, const unsigned *a, const unsigned *b)
{
    PF_MMA_("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32");
}
template <> __device__ __forceinline__ void
pf_mma<__nv_bfloat16>(float *d, const unsigned *a, const unsigned *b)
{
    PF_MMA_("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
}
template <> __device__ __forceinline__ void
pf_mma<float>(float *d, const unsigned *a, const unsigned *b)
{
    PF_MMA_("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32");
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
 * d [64, N] += a [64, 32 bytes] b [N, 32 bytes]^T; both lie in lines of 128 bytes whose 16-byte pieces
 * are at place j ^ (line % 8), line 0 on a multiple of 1024.  Warp w of the group has rows 16 w.., in it
 * d[4 j..] is tile (rows, columns 8 j..8 j + 7) as in pf_mma.  Asynchronous from begin to wait. */
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define PF_ON_HOPPER_(...) __VA_ARGS__
#else
#define PF_ON_HOPPER_(...) __trap()
#endif

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

/* Lines from this address on (a multiple of 1024, plus 32 for each 32 bytes along them): swizzle of 128
 * bytes, 8 lines are 1024 bytes. */
static __device__ __forceinline__ uint64_t
pf_group_operand(unsigned address)
{
    return (uint64_t)1 << 62 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 16 | (address & 0x3ffff) >> 4;
}

#define PF_SUMS_8_(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define PF_SUMS_32_ PF_SUMS_8_(0), PF_SUMS_8_(8), PF_SUMS_8_(16), PF_SUMS_8_(24)
#define PF_SUMS_64_ PF_SUMS_32_, PF_SUMS_8_(32), PF_SUMS_8_(40), PF_SUMS_8_(48), PF_SUMS_8_(56)
#define PF_NAMES_32_                                                                    \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "            \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PF_NAMES_64_                                                                    \
    PF_NAMES_32_ ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "  \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PF_NAMES_80_                                                                    \
    PF_NAMES_64_ ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define PF_WGMMA_(shape, type, names, operands, ...)                                                                    \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {"  \
                 names "}, " operands ", p, 1, 1, 0, 0; }" : __VA_ARGS__ : "l"(a), "l"(b))
#define PF_WGMMA_64_(type) PF_WGMMA_("m64n64k16", type, PF_NAMES_32_, "%32, %33", PF_SUMS_32_)
#define PF_WGMMA_128_(type) PF_WGMMA_("m64n128k16", type, PF_NAMES_64_, "%64, %65", PF_SUMS_64_)
#define PF_WGMMA_160_(type) PF_WGMMA_("m64n160k16", type, PF_NAMES_80_, "%80, %81", PF_SUMS_64_, PF_SUMS_8_(64), PF_SUMS_8_(72))

/* instruction(type) for T, __half or __nv_bfloat16. */
#define PF_ON_HOPPER_FOR_(T, instruction)           \
    do {                                            \
        if constexpr (std::is_same_v<T, __half>)    \
            PF_ON_HOPPER_(instruction("f16"));      \
        else                                        \
            PF_ON_HOPPER_(instruction("bf16"));     \
    } while (0)

template <typename T, int N> static __device__ __forceinline__ void
pf_group_mma(float *d, uint64_t a, uint64_t b)
{
    static_assert(N == 64 || N == 128 || N == 160, "these are there");
    if constexpr (N == 64)
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_64_);
    else if constexpr (N == 128)
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_128_);
    else
        PF_ON_HOPPER_FOR_(T, PF_WGMMA_160_);
}

/* ---- Hopper: barriers in shared memory, and rings of places that they guard ---- */

static __device__ __forceinline__ void
pf_barrier_init(uint64_t *barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(pf_shared_address(barrier)), "r"(arrivals) : "memory");
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
    PF_ON_HOPPER_(asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2; "
                               "selp.u32 %0, 1, 0, p; }"
                               : "=r"(passed) : "r"(pf_shared_address(barrier)), "r"(parity) : "memory"));
    return passed;
}

static __device__ __forceinline__ void
pf_barrier_wait(uint64_t *barrier, unsigned parity)
{
    while (!pf_barrier_passed(barrier, parity))
        ;
}

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
/* ---- end of tensor cores ---- */

#endif
