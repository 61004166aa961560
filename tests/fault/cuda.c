/* cuda.c - linked into a CUDA half of its own, for fault.c: lets one call of CUDA fail.  The
 * linker's --wrap hands calls of our objects over; the Makefile takes their names from the lines of
 * CALL.
 * $PF_FAULT_CUDA: "KIND N", the N-th call of that kind, from 1 on; 0: none.
 * $PF_FAULT_COUNT: the number of an open file, into which that of the kind's calls is written at
 * the end.
 *
 * A call that fails does nothing and its error becomes the runtime's last one, as it would: a
 * launch returns nothing to the code that launches, which has to ask.  Of the kind "lost" are those
 * that wait for the GPU, which fails during one of them: then every call fails from there on.
 *
 * Questions whose answer chooses between kernels are not here: another kernel may give other bytes,
 * and rightly so. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { MEMORY, LAUNCH, COPY, OTHER, LOST, KINDS };
static const struct {
    const char *name;
    cudaError_t error;
} kinds[KINDS] = {
    [MEMORY] = {"memory", cudaErrorMemoryAllocation},
    [LAUNCH] = {"launch", cudaErrorLaunchOutOfResources},
    [COPY] = {"copy", cudaErrorInvalidValue},
    [OTHER] = {"other", cudaErrorUnknown},
    [LOST] = {"lost", cudaErrorECCUncorrectable},
};

static enum kind chosen = KINDS;
static long point;
static atomic_long calls;
static atomic_bool lost;
static _Thread_local cudaError_t last;          /* the runtime has one a thread, too */
static int count_file = -1;

__attribute__((constructor)) static void
begin(void)
{
    const char *const which = getenv("PF_FAULT_CUDA"), *const file = getenv("PF_FAULT_COUNT");
    char name[16];
    if (!which || sscanf(which, "%15s %ld", name, &point) != 2)
        return;
    for (int k = 0; k < KINDS; k++)
        if (!strcmp(name, kinds[k].name))
            chosen = (enum kind)k;
    if (file)
        count_file = atoi(file);
}

__attribute__((destructor)) static void
tell(void)
{
    if (count_file >= 0 && dprintf(count_file, "%ld\n", atomic_load(&calls)) < 0)
        _exit(99);
}

/* Whether this call fails, and how. */
static cudaError_t
fault(enum kind kind)
{
    const bool is_it = kind == chosen && atomic_fetch_add(&calls, 1) + 1 == point;
    if (is_it && kind == LOST)
        atomic_store(&lost, true);
    if (atomic_load(&lost))
        return last = kinds[LOST].error;
    return is_it ? last = kinds[kind].error : cudaSuccess;
}

#define CALL(kind, name, parameters, arguments)          \
    cudaError_t __real_##name parameters;                \
    cudaError_t __wrap_##name parameters;                \
    cudaError_t __wrap_##name parameters                 \
    {                                                    \
        const cudaError_t error = fault(kind);           \
        return error ? error : __real_##name arguments;  \
    }
CALL(MEMORY, cudaMalloc, (void **p, size_t n), (p, n))
CALL(MEMORY, cudaHostAlloc, (void **p, size_t n, unsigned flags), (p, n, flags))
CALL(LAUNCH, cudaLaunchKernel, (const void *f, struct dim3 grid, struct dim3 block, void **args,
                                size_t shared, cudaStream_t s), (f, grid, block, args, shared, s))
CALL(LAUNCH, __cudaLaunchKernel, (cudaKernel_t f, struct dim3 grid, struct dim3 block, void **args,
                                  size_t shared, cudaStream_t s), (f, grid, block, args, shared, s))
CALL(LAUNCH, cudaGraphLaunch, (cudaGraphExec_t g, cudaStream_t s), (g, s))
CALL(COPY, cudaMemcpyAsync, (void *to, const void *from, size_t n, enum cudaMemcpyKind way,
                             cudaStream_t s), (to, from, n, way, s))
CALL(COPY, cudaMemsetAsync, (void *p, int byte, size_t n, cudaStream_t s), (p, byte, n, s))
CALL(OTHER, cudaGetDeviceCount, (int *n), (n))
CALL(OTHER, cudaSetDevice, (int ordinal), (ordinal))
CALL(OTHER, cudaStreamCreateWithFlags, (cudaStream_t *s, unsigned flags), (s, flags))
CALL(OTHER, cudaStreamBeginCapture, (cudaStream_t s, enum cudaStreamCaptureMode mode), (s, mode))
CALL(OTHER, cudaGraphInstantiate, (cudaGraphExec_t *to, cudaGraph_t g, unsigned long long flags),
     (to, g, flags))
CALL(OTHER, cudaEventCreate, (cudaEvent_t *e), (e))
CALL(OTHER, cudaEventCreateWithFlags, (cudaEvent_t *e, unsigned flags), (e, flags))
CALL(OTHER, cudaEventRecord, (cudaEvent_t e, cudaStream_t s), (e, s))
CALL(OTHER, cudaEventElapsedTime, (float *ms, cudaEvent_t a, cudaEvent_t b), (ms, a, b))
CALL(OTHER, cudaFuncSetAttribute, (const void *f, enum cudaFuncAttribute a, int value),
     (f, a, value))
CALL(OTHER, cudaOccupancyMaxActiveBlocksPerMultiprocessor, (int *n, const void *f, int threads,
                                                            size_t shared), (n, f, threads, shared))
CALL(LOST, cudaStreamSynchronize, (cudaStream_t s), (s))
CALL(LOST, cudaEventSynchronize, (cudaEvent_t e), (e))

#undef CALL
#define CALL(kind, name, parameters, arguments)                                       \
    cublasStatus_t __real_##name parameters;                                          \
    cublasStatus_t __wrap_##name parameters;                                          \
    cublasStatus_t __wrap_##name parameters                                           \
    {                                                                                 \
        return fault(kind) ? CUBLAS_STATUS_INTERNAL_ERROR : __real_##name arguments;  \
    }
CALL(OTHER, cublasLtCreate, (cublasLtHandle_t *h), (h))
CALL(OTHER, cublasLtMatmulAlgoGetHeuristic,
     (cublasLtHandle_t h, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
      cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
      cublasLtMatmulPreference_t wish, int wanted, cublasLtMatmulHeuristicResult_t *found, int *n),
     (h, product, a, b, c, d, wish, wanted, found, n))
CALL(LAUNCH, cublasLtMatmul,
     (cublasLtHandle_t h, cublasLtMatmulDesc_t product, const void *alpha, const void *a,
      cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb, const void *beta,
      const void *c, cublasLtMatrixLayout_t lc, void *d, cublasLtMatrixLayout_t ld,
      const cublasLtMatmulAlgo_t *algorithm, void *work, size_t bytes, cudaStream_t s),
     (h, product, alpha, a, la, b, lb, beta, c, lc, d, ld, algorithm, work, bytes, s))

#undef CALL
#define CALL(kind, name, parameters)       \
    cudaError_t __real_##name parameters;  \
    cudaError_t __wrap_##name parameters;  \
    cudaError_t __wrap_##name parameters
/* Recording ends even where it fails. */
CALL(OTHER, cudaStreamEndCapture, (cudaStream_t s, cudaGraph_t *graph))
{
    const cudaError_t real = __real_cudaStreamEndCapture(s, graph), error = fault(OTHER);
    return error ? error : real;
}
/* A call's error is the last one until somebody has asked; a GPU that is lost stays so. */
CALL(OTHER, cudaGetLastError, (void))
{
    const cudaError_t real = __real_cudaGetLastError(), error = last;
    last = atomic_load(&lost) ? kinds[LOST].error : cudaSuccess;
    return error ? error : real;
}
