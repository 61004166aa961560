/* vector.cuh - runs of N numbers in registers: what the memory-bound operators share.
 *
 *     float v[N];
 *     pf_read(v, x + i);                              // one load of N * sizeof(T) bytes
 *     pf_activate_run<T>(v, PF_SILU);
 *     pf_write(y + i, v);
 *
 * An operator runs in vectors of 16 bytes where every row and every pointer is a multiple of that,
 * and number by number elsewhere: PF_FOR_WIDTH.  Copies (concat) move bytes in the widest
 * unit that divides all addresses and lengths: pf_unit_bytes. */
#ifndef PF_VECTOR_CUH
#define PF_VECTOR_CUH
#include "kernels/cuda.cuh"

/* Run a statement with N numbers of type T to a vector: 16 bytes if wide, else 1 number. */
#define PF_FOR_WIDTH(wide, T, N, ...)                  \
    do {                                               \
        if (wide) {                                    \
            constexpr int N = 16 / (int)sizeof(T);     \
            __VA_ARGS__;                               \
        } else {                                       \
            constexpr int N = 1;                       \
            __VA_ARGS__;                               \
        }                                              \
    } while (0)

/* The numbers of a 16-byte vector of this type. */
static inline int64_t
pf_wide(pf_dtype type)
{
    return 16 / (int64_t)pf_dtype_size(type);
}

/* The largest of 16, 8, 4, 2, 1 that divides all addresses and lengths whose bits are or-ed
 * here. */
static inline unsigned
pf_unit_bytes(uint64_t bits)
{
    bits |= 16;
    return (unsigned)(bits & (~bits + 1));
}

// ---- N numbers ----

/* N numbers as they lie in memory, N * sizeof(T) bytes, moved as one.  Kept in whole words:
 * pairs of 16-bit numbers that the compiler sees as numbers would take a register each. */
template <typename T, int N> struct alignas(N * sizeof(T)) pf_run {
    uint32_t w[N * sizeof(T) / 4];
};
template <> struct pf_run<__half, 1> { uint16_t w[1]; };
template <> struct pf_run<__nv_bfloat16, 1> { uint16_t w[1]; };
template <> struct pf_run<__nv_fp8_e4m3, 1> { uint8_t w[1]; };

/* CUDA's own vector types, because the compiler sometimes stores a struct of words word by word. */
template <typename T, int N> static __device__ __forceinline__ pf_run<T, N>
pf_read_run(const T *p)
{
    pf_run<T, N> v;
    if constexpr (sizeof v == 16) {
        const uint4 u = *(const uint4 *)p;
        v.w[0] = u.x, v.w[1] = u.y, v.w[2] = u.z, v.w[3] = u.w;
    } else if constexpr (sizeof v == 8) {
        const uint2 u = *(const uint2 *)p;
        v.w[0] = u.x, v.w[1] = u.y;
    } else {
        v = *(const pf_run<T, N> *)p;
    }
    return v;
}

template <typename T, int N> static __device__ __forceinline__ void
pf_write_run(T *p, const pf_run<T, N> &v)
{
    if constexpr (sizeof v == 16)
        *(uint4 *)p = make_uint4(v.w[0], v.w[1], v.w[2], v.w[3]);
    else if constexpr (sizeof v == 8)
        *(uint2 *)p = make_uint2(v.w[0], v.w[1]);
    else
        *(pf_run<T, N> *)p = v;
}

static __device__ __forceinline__ void
pf_unpair(float &a, float &b, uint32_t w, __half)
{
    const float2 v = __half22float2(
        __halves2half2(__ushort_as_half((uint16_t)w), __ushort_as_half((uint16_t)(w >> 16))));
    a = v.x;
    b = v.y;
}

static __device__ __forceinline__ void
pf_unpair(float &a, float &b, uint32_t w, __nv_bfloat16)
{
    a = __uint_as_float(w << 16);
    b = __uint_as_float(w & 0xffff0000u);
}

static __device__ __forceinline__ uint32_t
pf_paired(float a, float b, __half)
{
    const __half2 v = __floats2half2_rn(a, b);
    return (uint32_t)__half_as_ushort(__high2half(v)) << 16 | __half_as_ushort(__low2half(v));
}

static __device__ __forceinline__ uint32_t
pf_paired(float a, float b, __nv_bfloat16)
{
    const __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
    return (uint32_t)__bfloat16_as_ushort(__high2bfloat16(v)) << 16 |
           __bfloat16_as_ushort(__low2bfloat16(v));
}

static __device__ __forceinline__ uint32_t
pf_paired(float a, float b, __nv_fp8_e4m3)
{
    return __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
}

template <typename T, int N> static __device__ __forceinline__ void
pf_unpack(float (&v)[N], const pf_run<T, N> &from)
{
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] = __uint_as_float(from.w[k]);
    } else if constexpr (N == 1) {
        float unused;
        pf_unpair(v[0], unused, from.w[0], T());
    } else {
#pragma unroll
        for (int k = 0; k < N; k += 2)
            pf_unpair(v[k], v[k + 1], from.w[k / 2], T());
    }
}

template <typename T, int N> static __device__ __forceinline__ void
pf_read(float (&v)[N], const T *p)
{
    pf_unpack(v, pf_read_run<T, N>(p));
}

template <typename T, int N> static __device__ __forceinline__ void
pf_write(T *p, const float (&v)[N])
{
    pf_run<T, N> to;
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int k = 0; k < N; k++)
            to.w[k] = __float_as_uint(v[k]);
    } else if constexpr (N == 1) {
        to.w[0] = pf_paired(v[0], 0.0f, T()) & ((1u << 8 * sizeof(T)) - 1);
    } else if constexpr (sizeof(T) == 1) {
#pragma unroll
        for (int k = 0; k < N; k += 4)
            to.w[k / 4] = pf_paired(v[k], v[k + 1], T()) | pf_paired(v[k + 2], v[k + 3], T()) << 16;
    } else {
#pragma unroll
        for (int k = 0; k < N; k += 2)
            to.w[k / 2] = pf_paired(v[k], v[k + 1], T());
    }
    pf_write_run(p, to);
}

/* The same to device memory for certain in one store: the compiler splits some in deep loops. */
template <typename T, int N> static __device__ __forceinline__ void
pf_write_whole(T *p, const float (&v)[N])
{
    if constexpr (N * sizeof(T) == 16) {
        pf_run<T, N> to;
        pf_write((T *)to.w, v);
        __stwb((uint4 *)p, make_uint4(to.w[0], to.w[1], to.w[2], to.w[3]));
    } else {
        pf_write(p, v);
    }
}

/* N floats of a parameter vector at a multiple of N, in loads of 16 bytes (N is 1 or a multiple
 * of 4); through the read-only path, so that they need not wait for what the thread has written. */
template <int N> static __device__ __forceinline__ void
pf_read_floats(float (&v)[N], const float *p)
{
    if constexpr (N == 1) {
        v[0] = __ldg(p);
    } else {
#pragma unroll
        for (int k = 0; k < N; k += 4) {
            const float4 part = __ldg((const float4 *)(p + k));
            v[k] = part.x, v[k + 1] = part.y, v[k + 2] = part.z, v[k + 3] = part.w;
        }
    }
}

// ---- elementary functions, as exact as the type that holds the result ----

/* e^x: 16 bits of result are far coarser than the 2^-21 of the fast one. */
template <typename T> static __device__ __forceinline__ float
pf_exp_as(float x)
{
    return sizeof(T) == 4 ? expf(x) : __expf(x);
}

/* x Phi(x) = max(x, 0) - |x| Phi(-|x|) for results of 16 bits, in 9 instructions: log2 Phi(-z) is
 * a polynomial of z, our minimax fit on 0..5, and falls beyond.  Relative error 1.6e-4 down to x =
 * -5, where halves keep 5e-4; beyond, at most 2e-9 in all. */
static __device__ __forceinline__ float
pf_gelu_16(float x)
{
    const float z = fabsf(x);
    float e, p = fmaf(z, -2.69917549e-4f, 5.29734775e-3f);
    p = fmaf(p, z, -4.63193469e-2f);
    p = fmaf(p, z, -4.66907413e-1f);
    p = fmaf(p, z, -1.14778896f);
    p = fmaf(p, z, -1.00022832f);
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(p));
    return fmaf(-z, e, fmaxf(x, 0.0f));
}

template <typename T> static __device__ __forceinline__ float
pf_activated_as(float x, enum pf_act act)
{
    if (sizeof(T) == 2 && act == PF_GELU)
        return pf_gelu_16(x);
    if (sizeof(T) == 2 && act == PF_SILU)
        return __fdividef(x, 1.0f + __expf(-x));
    if (sizeof(T) == 2 && act == PF_QUICK_GELU)
        return __fdividef(x, 1.0f + __expf(-1.702f * x));
    if (sizeof(T) == 2 && act == PF_SELU)
        return PF_SELU_SCALE * (x > 0.0f ? x : PF_SELU_ALPHA * (__expf(x) - 1.0f));
    if (sizeof(T) == 2 && act == PF_SIGMOID)
        return __fdividef(1.0f, 1.0f + __expf(-x));
    return pf_activated(x, act);
}

/* The switch stands outside the loop: act is the same for all threads. */
template <typename T, int N> static __device__ __forceinline__ void
pf_activate_run(float (&v)[N], enum pf_act act)
{
#define PF_ACTIVATE_(which)                              \
    case which:                                          \
        _Pragma("unroll") for (int k = 0; k < N; k++)    \
            v[k] = pf_activated_as<T>(v[k], which);      \
        break
    switch (act) {
    PF_ACTIVATE_(PF_SILU);
    PF_ACTIVATE_(PF_RELU);
    PF_ACTIVATE_(PF_GELU);
    PF_ACTIVATE_(PF_QUICK_GELU);
    PF_ACTIVATE_(PF_LEAKY_RELU);
    PF_ACTIVATE_(PF_SELU);
    PF_ACTIVATE_(PF_SIGMOID);
    default: break;
    }
#undef PF_ACTIVATE_
}

#endif
