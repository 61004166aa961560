/* linear.cu - pf_linear on the GPU: cublasLt where its epilogue is ours, else conv.cu's kernel.
 *
 * cublasLt sees y^T [K, M] = W [K, C] x^T [C, M], columns contiguous.  It adds the bias and, as its C
 * matrix, the residual, both in f32 before the one rounding; an activation (its GELU is not exact), a
 * channel, and rows that do not lie on 16 bytes go to conv.cu's kernel, which does all of these in one
 * pass.  f32 is f32 throughout, never tf32, unless the device was opened so; parts of a split sum stay
 * f32.  Descriptions and the algorithm of each shape are found once and kept in dev->cuda->plans, one
 * piece of memory that pf_dev_close frees.
 *
 * q, k, v of the UNet's first level, 32768 x 960 x 320: 20.1 GFLOP, 0.020 ms at 990 TFLOP/s; 21.0 + 62.9 +
 * 0.6 MB, 0.025 ms at 3.35 TB/s.  GEGLU's 32768 x 2560 x 320: 53.7 GFLOP, 0.054 ms; 189 MB, 0.057 ms. */
#include <cstdlib>
#include <cstring>

#include "kernels/layer.cuh"

namespace {

struct shape {                  // compared as bytes
    int64_t M, K, C, padded;
    int64_t bias, residual;     // is there one
};

struct plan {
    struct shape shape;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t w, x, y;
    cublasLtMatmulAlgo_t algorithm;
    bool possible;              // cublasLt knows how
};

struct plans {
    int n, room;
    struct plan plan[1];        // room of them
};

}

static pf_err
failed(cublasStatus_t s, const char *what)
{
    return pf_fail(s == CUBLAS_STATUS_ALLOC_FAILED ? PF_ENOMEM : PF_EDEV, "pf_linear: cublasLt cannot %s (%s)", what,
                   cublasLtGetStatusString(s));
}

#define TRY_BLAS(call, what)                        \
    do {                                            \
        const cublasStatus_t s_ = (call);           \
        if (s_ != CUBLAS_STATUS_SUCCESS)            \
            return failed(s_, what);                \
    } while (0)

static cudaDataType_t
type_of(const pf_dev *dev)
{
    return pf_dev_dtype(dev) == PF_F16 ? CUDA_R_16F : pf_dev_dtype(dev) == PF_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static pf_err
describe(pf_dev *dev, struct plan *p)
{
    const struct shape *const s = &p->shape;
    const cublasOperation_t transpose = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = s->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const char *const what = "describe a product";
    cublasLtMatmulDescOpaque_t *const d = &p->product;
    const cublasComputeType_t type = pf_dev_tf32(dev) ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    TRY_BLAS(cublasLtMatmulDescInit(d, type, CUDA_R_32F), what);
    TRY_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose), what);
    TRY_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue), what);
    TRY_BLAS(cublasLtMatrixLayoutInit(&p->w, type_of(dev), (uint64_t)s->C, (uint64_t)s->K, s->padded), what);
    TRY_BLAS(cublasLtMatrixLayoutInit(&p->x, type_of(dev), (uint64_t)s->C, (uint64_t)s->M, s->C), what);
    TRY_BLAS(cublasLtMatrixLayoutInit(&p->y, type_of(dev), (uint64_t)s->K, (uint64_t)s->M, s->K), what);
    return PF_OK;
}

// Addresses are multiples of 16; the parts of a sum are added in f32, in order.
static pf_err
choose(pf_dev *dev, struct plan *p)
{
    static const cublasLtMatmulPreferenceAttributes_t alignment[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t bytes = 16, in_f32 = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const char *const what = "choose an algorithm";
    cublasLtMatmulPreferenceOpaque_t wish;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    TRY_BLAS(cublasLtMatmulPreferenceInit(&wish), what);
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(&wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &dev->cuda->blas_bytes, sizeof dev->cuda->blas_bytes), what);
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(&wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &in_f32,
                                                  sizeof in_f32), what);
    for (int i = 0; i < 4; i++)
        TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(&wish, alignment[i], &bytes, sizeof bytes), what);
    const cublasStatus_t s = cublasLtMatmulAlgoGetHeuristic(dev->cuda->blas, &p->product, &p->w, &p->x, &p->y, &p->y,
                                                            &wish, 1, &found, &n);
    if (s != CUBLAS_STATUS_SUCCESS && s != CUBLAS_STATUS_NOT_SUPPORTED)
        return failed(s, what);
    p->possible = s == CUBLAS_STATUS_SUCCESS && n == 1 && found.state == CUBLAS_STATUS_SUCCESS;
    if (p->possible)
        p->algorithm = found.algo;
    return PF_OK;
}

static pf_err
find_plan(pf_dev *dev, const struct shape *s, struct plan **out)
{
    struct plans *all = (struct plans *)dev->cuda->plans;
    for (int i = 0; all && i < all->n; i++)
        if (!memcmp(&all->plan[i].shape, s, sizeof *s)) {
            *out = &all->plan[i];
            return PF_OK;
        }
    if (!all || all->n == all->room) {
        const int n = all ? all->n : 0, room = n ? 2 * n : 32;
        all = (struct plans *)realloc(all, sizeof *all + (size_t)room * sizeof all->plan[0]);
        if (!all)
            return pf_fail(PF_ENOMEM, "no memory for cublasLt's plans");
        all->n = n;
        all->room = room;
        dev->cuda->plans = all;
    }
    struct plan *const p = &all->plan[all->n];
    *p = {};
    p->shape = *s;
    PF_TRY(describe(dev, p));
    PF_TRY(choose(dev, p));
    all->n++;
    *out = p;
    return PF_OK;
}

static pf_err
multiply(pf_dev *dev, struct plan *p, pf_tensor *y, const pf_tensor *x, const struct pf_weight *w,
         const void *residual)
{
    const float one = 1, beta = residual ? 1 : 0;
    if (p->shape.bias)
        TRY_BLAS(cublasLtMatmulDescSetAttribute(&p->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &w->bias,
                                                sizeof w->bias), "take a bias");
    TRY_BLAS(cublasLtMatmul(dev->cuda->blas, &p->product, &one, w->data, &p->w, x->data, &p->x, &beta,
                            residual ? residual : y->data, &p->y, y->data, &p->y, &p->algorithm, dev->cuda->blas_work,
                            dev->cuda->blas_bytes, pf_cuda_stream(dev)), "multiply");
    return pf_launched(dev, "pf_linear");
}

// Does cublasLt's epilogue do this, and do all rows lie on 16 bytes?
static bool
suits(const pf_tensor *y, const pf_tensor *x, const pf_layer *w, const struct pf_epilogue *e)
{
    const int64_t size = (int64_t)pf_dtype_size(y->dtype);
    return !(e && (e->act != PF_NONE || e->channel)) && w->C * size % 16 == 0 && w->K * size % 16 == 0 &&
           pf_is_aligned(y->data) && pf_is_aligned(x->data) && !(e && e->residual && !pf_is_aligned(e->residual->data));
}

pf_err
pf_linear_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w, const struct pf_epilogue *e)
{
    const struct pf_weight *const weight = pf_weight_of(w);
    const void *const residual = e && e->residual ? e->residual->data : NULL;
    const struct shape s = {pf_tensor_count(y) / w->K, w->K, w->C, weight->padded, weight->bias != NULL,
                            residual != NULL};
    struct plan *p = NULL;
    if (s.M == 0)
        return PF_OK;
    if (!suits(y, x, w, e))
        return pf_linear_kernel(dev, y, x, w, e);
    PF_TRY(find_plan(dev, &s, &p));
    if (!p->possible)
        return pf_linear_kernel(dev, y, x, w, e);
    return dev->dry ? PF_OK : multiply(dev, p, y, x, weight, residual);
}
