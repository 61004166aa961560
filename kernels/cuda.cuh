/* cuda.cuh - what the CUDA halves of the operators share.  Private to kernels/.
 *
 *     template <typename T> static __global__ void
 *     scale(T *y, const T *x, int64_t n, float by)
 *     {
 *         const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
 *         if (i < n)
 *             y[i] = pf_store<T>(by * pf_load(x[i]));
 *     }
 *     pf_err
 *     pf_scale_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, float by)
 *     {
 *         const int64_t n = pf_tensor_count(y);
 *         PF_FOR_TYPE(y->dtype, T,
 *                     scale<T><<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(dev)>>>(
 *                         (T *)y->data, (const T *)x->data, n, by));
 *         return pf_launched(dev, "pf_scale");
 *     }
 *
 * Storage is f32, f16 or bf16, of the input of some convolutions E4M3; arithmetic is f32.  Launches
 * are asynchronous on the device's one stream and may be captured in a graph: an operator must not
 * synchronise, allocate from the driver or copy to the host.  Scratch memory comes from the arena
 * (pf_dev_alloc between mark and reset). */
#ifndef PF_CUDA_CUH
#define PF_CUDA_CUH
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#include <pthread.h>

#include "kernels/dev_priv.h"
#include "kernels/ops.h"

enum { PF_WORK_BYTES = 32 << 20, PF_PINNED_BYTES = 8 << 20 };

struct pf_cuda {
    int ordinal, processors;    /* multiprocessors */
    size_t shared_bytes;        /* that one block may ask for */
    cudaStream_t stream;        /* all work is in order on this one */
    cublasLtHandle_t blas;      /* NULL until the first product; blas_load.cu */
    pthread_t blas_thread;
    bool blas_tried;            /* by a thread */
    /* PF_WORK_BYTES on the GPU: cublasLt's scratch memory, and the stage of what arrives from the
     * host in another type; the stream has one of them at a time */
    void *work;
    /* PF_PINNED_BYTES on the host: what is on its way; NULL until something is */
    void *pinned[2];
    cudaEvent_t sent[2];        /* it has arrived */
    int turn;                   /* the one that is being filled */
    int64_t filled;             /* bytes of it */
    bool wait;                  /* PF_SYNC=1: every operator waits, so that errors name it */
    void *plans;                /* blas.cu: cublasLt algorithms by shape */
};

static inline cudaStream_t
pf_cuda_stream(const pf_dev *dev)
{
    return dev->cuda->stream;
}

/* n numbers from the host to the GPU, in order with all other work; they have left the host's
 * memory on return.  Counts what pf_dev_odd says. */
pf_err pf_cuda_send(pf_dev *dev, void *to, const void *host, pf_dtype dtype, int64_t n) PF_MUST_USE;

/* After a launch: PF_EDEV "pf_scale: an illegal memory access was encountered". */
pf_err pf_launched(pf_dev *dev, const char *op) PF_MUST_USE;
pf_err pf_cuda_failed(cudaError_t e, const char *what);
#define PF_CUDA_TRY(call, what)                   \
    do {                                          \
        const cudaError_t e_ = (call);            \
        if (e_ != cudaSuccess)                    \
            return pf_cuda_failed(e_, what);      \
    } while (0)

/* Run a statement with T as the C++ type of an activation's dtype. */
#define PF_FOR_TYPE(dtype_, T, ...)                                                \
    switch (dtype_) {                                                              \
    case PF_F32: { using T = float; __VA_ARGS__; break; }                          \
    case PF_F16: { using T = __half; __VA_ARGS__; break; }                         \
    case PF_BF16: { using T = __nv_bfloat16; __VA_ARGS__; break; }                 \
    default: pf_bug("no activation has type %s", pf_dtype_name(dtype_));           \
    }

/* Blocks of a one-dimensional grid. */
static inline unsigned
pf_blocks(int64_t n, int threads)
{
    return (unsigned)((n + threads - 1) / threads);
}

/* May so many bytes be moved at once from here on? */
static inline bool
pf_is_aligned(const void *p, size_t bytes = 16)
{
    return (uintptr_t)p % bytes == 0;
}

/* ---- matrix products by cublasLt: blas.cu ----
 *
 * c [m, n] = a [m, k] b [k, n] (+ bias [n]) (+ add [m, n]), all row-major and at multiples of 16
 * bytes. */
struct pf_blas_shape {          // compared as bytes
    int64_t m, n, k;
    int64_t ta, tb;             // a is stored [k, m]; b is stored [n, k]
    int64_t ldb;                // from a row of b, as it is stored, to the next
    int64_t bias;               // there is one
    int64_t type, compute;      // cudaDataType_t; cublasComputeType_t
    int64_t in_f32;             // the parts of a split sum are added in f32, in order
    int64_t to_f32;             // c is f32 whatever a and b are
};

/* cublasLt, if it has not been started (blas_load.cu).  begin lets a thread do it, once; start and
 * wait wait for that. */
void pf_blas_begin(pf_dev *dev);
void pf_blas_wait(struct pf_cuda *cuda);
pf_err pf_blas_start(struct pf_cuda *cuda) PF_MUST_USE;
/* Let cublasLt choose an algorithm for some product, whatever it says. */
void pf_blas_choose_any(pf_dev *dev);
/* What pf_linear asks of y [m, n], of x [m, k] and n rows of weights, ldb numbers apart. */
struct pf_blas_shape pf_blas_linear(const pf_dev *dev, int64_t m, int64_t n, int64_t k, int64_t ldb,
                                    bool bias);
/* bias and add may be NULL, add may be c.  *possible: cublasLt knows how; else nothing is done.  A
 * shape's description and algorithm are found once.  On a dry device cublasLt records its launch,
 * by which it loads the kernel, and what it says of that does not matter. */
pf_err pf_blas_product(pf_dev *dev, const struct pf_blas_shape *s, void *c, const void *a,
                       const void *b, const void *bias, const void *add,
                       bool *possible) PF_MUST_USE;

/* ---- numbers ---- */

static __device__ __forceinline__ float pf_load(float v) { return v; }
static __device__ __forceinline__ float pf_load(__half v) { return __half2float(v); }
static __device__ __forceinline__ float pf_load(__nv_bfloat16 v) { return __bfloat162float(v); }
template <typename T> static __device__ __forceinline__ T pf_store(float v);
template <> __device__ __forceinline__ float pf_store(float v) { return v; }
template <> __device__ __forceinline__ __half pf_store(float v) { return __float2half_rn(v); }
template <> __device__ __forceinline__ __nv_bfloat16
pf_store(float v)
{
    return __float2bfloat16_rn(v);
}

template <> __device__ __forceinline__ __nv_fp8_e4m3
pf_store(float v)
{
    return __nv_fp8_e4m3(v);            // to nearest even, what is too large to the largest
}

/* N consecutive numbers, moved as one: N * sizeof(T) is 2, 4, 8 or 16, the address a multiple. */
template <typename T, int N> struct alignas(N * sizeof(T)) pf_pack {
    T v[N];
};

static __device__ __forceinline__ float
pf_activated(float x, enum pf_act act)
{
    switch (act) {
    case PF_SILU: return x / (1.0f + expf(-x));
    case PF_RELU: return x < 0 ? 0.0f : x;      // fmaxf would make a NaN 0
    case PF_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case PF_QUICK_GELU: return x / (1.0f + expf(-1.702f * x));
    case PF_LEAKY_RELU: return x > 0.0f ? x : PF_LEAKY_SLOPE * x;
    case PF_SELU: return PF_SELU_SCALE * (x > 0.0f ? x : PF_SELU_ALPHA * expm1f(x));
    case PF_SIGMOID: return 1.0f / (1.0f + expf(-x));
    default: return x;
    }
}

/* ---- warps ---- */

enum { PF_WARP = 32 };
#define PF_WHOLE_WARP 0xffffffffu

template <typename T> static __device__ __forceinline__ T
pf_warp_sum(T v)
{
    for (int d = PF_WARP / 2; d; d /= 2)
        v += __shfl_xor_sync(PF_WHOLE_WARP, v, d);
    return v;
}

#endif
