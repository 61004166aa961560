/* blas_load.cu - cublasLt, which is loaded and started with the first product: what runs when its
 * 540 MB are loaded takes as long as everything else that a GPU needs to start, and a hash field or
 * the rasteriser multiplies no matrices by it.  A thread begins that with the first layer of a
 * linear map, while the weights of the others are on their way; it lets cublasLt choose once, too,
 * for the first choice takes 0.1 s.
 *
 * So libpf-cuda.so is not linked with it.  Its functions are defined here, and call those that the
 * loader found, along libpf-cuda.so's own run path. */
#include <dlfcn.h>

#include <atomic>

#include "kernels/cuda.cuh"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define LIBRARY "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)
#define CALLS(X)                                                                                \
    X(cublasLtCreate) X(cublasLtDestroy) X(cublasLtGetStatusString) X(cublasLtMatmul)           \
    X(cublasLtMatmulAlgoGetHeuristic) X(cublasLtMatmulDescInit_internal)                        \
    X(cublasLtMatmulDescSetAttribute) X(cublasLtMatmulPreferenceInit_internal)                  \
    X(cublasLtMatmulPreferenceSetAttribute) X(cublasLtMatrixLayoutInit_internal)

#define POINTER(name) decltype(&::name) name;
static struct {
    CALLS(POINTER)
} found;

static const char *
find(void *library)
{
#define FIND(name)                                                                              \
    if (!(found.name = (decltype(found.name))dlsym(library, #name)))                            \
        return #name;
    CALLS(FIND)
    return NULL;
}

/* Find all functions; NULL, or the one that the library, if there is one, has not. */
static const char *
load(void **library)
{
    static pthread_mutex_t finding = PTHREAD_MUTEX_INITIALIZER;
    static bool complete;               // nobody writes to found any more
    if (!(*library = dlopen(LIBRARY, RTLD_NOW)))
        return "";
    pthread_mutex_lock(&finding);
    const char *const lacking = complete ? NULL : find(*library);
    complete = !lacking;
    pthread_mutex_unlock(&finding);
    return lacking;
}

static bool
create(struct pf_cuda *cuda)
{
    if (cublasLtCreate(&cuda->blas) != CUBLAS_STATUS_SUCCESS)
        cuda->blas = NULL;
    return cuda->blas;
}

/* What fails here fails once more in pf_blas_start, which says why. */
static void *
begin(void *ctx)
{
    pf_dev *const dev = (pf_dev *)ctx;
    void *library;
    if (cudaSetDevice(dev->cuda->ordinal) == cudaSuccess && !load(&library) && create(dev->cuda))
        pf_blas_choose_any(dev);
    return NULL;
}

static std::atomic<struct pf_cuda *> at_work;   // whose thread has begun

/* A tool that fails ends without closing its device, and what exit tears down the thread would
 * still use: atexit would be too late, for cublasLt's own handlers are younger. */
static void
wait_for_it(void)
{
    if (at_work)
        pf_blas_wait(at_work);
}

void
pf_blas_begin(pf_dev *dev)
{
    struct pf_cuda *const cuda = dev->cuda;
    if (cuda->blas || cuda->blas_tried || at_work)
        return;
    cuda->blas_tried = true;
    pf_before_end(wait_for_it);
    if (pthread_create(&cuda->blas_thread, NULL, begin, dev) == 0)
        at_work = cuda;
}

void
pf_blas_wait(struct pf_cuda *cuda)
{
    if (at_work != cuda)
        return;
    pthread_join(cuda->blas_thread, NULL);
    at_work = NULL;
}

pf_err
pf_blas_start(struct pf_cuda *cuda)
{
    void *library;
    pf_blas_wait(cuda);
    if (cuda->blas)
        return PF_OK;
    const char *const lacking = load(&library);
    if (lacking && !library)
        return pf_fail(PF_EDEV, "matrix products on a GPU need cublasLt: %s; use -d cpu",
                       dlerror());
    if (lacking)
        return pf_fail(PF_EDEV, LIBRARY " has no %s; use -d cpu", lacking);
    return create(cuda) ? PF_OK : pf_fail(PF_EDEV, "cublasLt cannot be started");
}

// ---- the functions; their parameters are those of cublasLt.h ----

cublasStatus_t CUBLASWINAPI
cublasLtCreate(cublasLtHandle_t *handle)
{
    return found.cublasLtCreate(handle);
}

cublasStatus_t CUBLASWINAPI
cublasLtDestroy(cublasLtHandle_t handle)
{
    return found.cublasLtDestroy(handle);
}

const char *CUBLASWINAPI
cublasLtGetStatusString(cublasStatus_t status)
{
    return found.cublasLtGetStatusString(status);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha,
               const void *a, cublasLtMatrixLayout_t of_a, const void *b,
               cublasLtMatrixLayout_t of_b, const void *beta, const void *c,
               cublasLtMatrixLayout_t of_c, void *d, cublasLtMatrixLayout_t of_d,
               const cublasLtMatmulAlgo_t *algorithm, void *work, size_t bytes, cudaStream_t stream)
{
    return found.cublasLtMatmul(handle, product, alpha, a, of_a, b, of_b, beta, c, of_c, d, of_d,
                                algorithm, work, bytes, stream);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                               cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                               cublasLtMatmulPreference_t wish, int most,
                               cublasLtMatmulHeuristicResult_t result[], int *n)
{
    return found.cublasLtMatmulAlgoGetHeuristic(handle, product, a, b, c, d, wish, most, result, n);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t product, size_t size,
                                cublasComputeType_t compute, cudaDataType_t scale)
{
    return found.cublasLtMatmulDescInit_internal(product, size, compute, scale);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                               cublasLtMatmulDescAttributes_t attribute, const void *value,
                               size_t size)
{
    return found.cublasLtMatmulDescSetAttribute(product, attribute, value, size);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t wish, size_t size)
{
    return found.cublasLtMatmulPreferenceInit_internal(wish, size);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t wish,
                                     cublasLtMatmulPreferenceAttributes_t attribute,
                                     const void *value, size_t size)
{
    return found.cublasLtMatmulPreferenceSetAttribute(wish, attribute, value, size);
}

cublasStatus_t CUBLASWINAPI
cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t size, cudaDataType type,
                                  uint64_t rows, uint64_t columns, int64_t step)
{
    return found.cublasLtMatrixLayoutInit_internal(layout, size, type, rows, columns, step);
}
