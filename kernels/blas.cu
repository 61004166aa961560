/* blas.cu - matrix products by cublasLt: a shape's description and algorithm are found once and
 * kept in dev->cuda->plans, one piece of memory that pf_dev_close frees.
 *
 * cublasLt's matrices are column-major: c^T [n, m] = b^T a^T, so b comes first. */
#include <cstdlib>
#include <cstring>

#include "kernels/cuda.cuh"

namespace {

struct plan {
    struct pf_blas_shape shape;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
    bool possible;              // cublasLt knows how
};

struct plans {
    int n, max;
    struct plan plan[1];        // max of them
};

}

static pf_err
failed(cublasStatus_t s, const char *what)
{
    return pf_fail(s == CUBLAS_STATUS_ALLOC_FAILED ? PF_ENOMEM : PF_EDEV,
                   "matrix product: cublasLt cannot %s (%s)", what, cublasLtGetStatusString(s));
}

#define TRY_BLAS(call, what)                        \
    do {                                            \
        const cublasStatus_t s_ = (call);           \
        if (s_ != CUBLAS_STATUS_SUCCESS)            \
            return failed(s_, what);                \
    } while (0)

template <typename T> static pf_err
set(struct plan *p, cublasLtMatmulDescAttributes_t attribute, T value)
{
    TRY_BLAS(cublasLtMatmulDescSetAttribute(&p->product, attribute, &value, sizeof value),
             "describe a product");
    return PF_OK;
}

// rows x columns as they are stored, `step` numbers from a row to the next.
static pf_err
lay_out(cublasLtMatrixLayoutOpaque_t *to, int64_t type, int64_t rows, int64_t columns, int64_t step)
{
    TRY_BLAS(cublasLtMatrixLayoutInit(to, (cudaDataType_t)type, (uint64_t)columns, (uint64_t)rows,
                                      step), "describe a matrix");
    return PF_OK;
}

static pf_err
describe(struct plan *p)
{
    const struct pf_blas_shape *const s = &p->shape;
    TRY_BLAS(cublasLtMatmulDescInit(&p->product, (cublasComputeType_t)s->compute, CUDA_R_32F),
             "describe a product");
    PF_TRY(set(p, CUBLASLT_MATMUL_DESC_TRANSA, s->tb ? CUBLAS_OP_T : CUBLAS_OP_N));
    PF_TRY(set(p, CUBLASLT_MATMUL_DESC_TRANSB, s->ta ? CUBLAS_OP_T : CUBLAS_OP_N));
    PF_TRY(set(p, CUBLASLT_MATMUL_DESC_EPILOGUE,
               s->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT));
    PF_TRY(lay_out(&p->b, s->type, s->tb ? s->n : s->k, s->tb ? s->k : s->n, s->ldb));
    PF_TRY(lay_out(&p->a, s->type, s->ta ? s->k : s->m, s->ta ? s->m : s->k,
                   s->ta ? s->m : s->k));
    return lay_out(&p->c, s->to_f32 ? (int64_t)CUDA_R_32F : s->type, s->m, s->n, s->n);
}

static pf_err
choose(const struct pf_cuda *cuda, struct plan *p)
{
    static const cublasLtMatmulPreferenceAttributes_t alignment[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t bytes = 16, in_f32 = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const size_t work_bytes = PF_WORK_BYTES;
    const char *const what = "choose an algorithm";
    cublasLtMatmulPreferenceOpaque_t wish;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    TRY_BLAS(cublasLtMatmulPreferenceInit(&wish), what);
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(&wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &work_bytes, sizeof work_bytes),
             what);
    if (p->shape.in_f32)
        TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(
                     &wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &in_f32, sizeof in_f32),
                 what);
    for (int i = 0; i < 4; i++)
        TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(&wish, alignment[i], &bytes, sizeof bytes),
                 what);
    const cublasStatus_t s = cublasLtMatmulAlgoGetHeuristic(
        cuda->blas, &p->product, &p->b, &p->a, &p->c, &p->c, &wish, 1, &found, &n);
    if (s != CUBLAS_STATUS_SUCCESS && s != CUBLAS_STATUS_NOT_SUPPORTED)
        return failed(s, what);
    p->possible = s == CUBLAS_STATUS_SUCCESS && n == 1 && found.state == CUBLAS_STATUS_SUCCESS;
    if (p->possible)
        p->algorithm = found.algo;
    return PF_OK;
}

static pf_err
find_plan(struct pf_cuda *cuda, const struct pf_blas_shape *s, struct plan **out)
{
    struct plans *all = (struct plans *)cuda->plans;
    for (int i = 0; all && i < all->n; i++)
        if (!memcmp(&all->plan[i].shape, s, sizeof *s)) {
            *out = &all->plan[i];
            return PF_OK;
        }
    if (!all || all->n == all->max) {
        const int n = all ? all->n : 0, max = n ? 2 * n : 32;
        all = (struct plans *)realloc(all, sizeof *all + (size_t)max * sizeof all->plan[0]);
        if (!all)
            return pf_fail(PF_ENOMEM, "no memory for cublasLt's plans");
        all->n = n;
        all->max = max;
        cuda->plans = all;
    }
    struct plan *const p = &all->plan[all->n];
    *p = {};
    p->shape = *s;
    PF_TRY(describe(p));
    PF_TRY(choose(cuda, p));
    all->n++;
    *out = p;
    return PF_OK;
}

struct pf_blas_shape
pf_blas_linear(const pf_dev *dev, int64_t m, int64_t n, int64_t k, int64_t ldb, bool bias)
{
    const pf_dtype type = pf_dev_dtype(dev);
    return {.m = m, .n = n, .k = k, .ta = false, .tb = true, .ldb = ldb, .bias = bias,
            .type = type == PF_F16 ? CUDA_R_16F : type == PF_BF16 ? CUDA_R_16BF : CUDA_R_32F,
            .compute = pf_dev_tf32(dev) ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
            .in_f32 = true};
}

void
pf_blas_choose_any(pf_dev *dev)
{
    struct plan p = {};
    p.shape = pf_blas_linear(dev, 1024, 1024, 1024, 1024, false);
    pf_err err = describe(&p);
    err = err ? err : choose(dev->cuda, &p);
}

pf_err
pf_blas_product(pf_dev *dev, const struct pf_blas_shape *s, void *c, const void *a, const void *b,
                const void *bias, const void *add, bool *possible)
{
    struct pf_cuda *const cuda = dev->cuda;
    const float one = 1, beta = add ? 1 : 0;
    struct plan *p = NULL;
    PF_TRY(pf_blas_start(cuda));
    PF_TRY(find_plan(cuda, s, &p));
    *possible = p->possible;
    if (!p->possible)
        return PF_OK;
    if (s->bias)
        PF_TRY(set(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
    const cublasStatus_t status = cublasLtMatmul(
        cuda->blas, &p->product, &one, b, &p->b, a, &p->a, &beta, add ? add : c, &p->c, c, &p->c,
        &p->algorithm, dev->dry ? c : cuda->work, PF_WORK_BYTES, cuda->stream);
    if (dev->dry) {
        cudaGetLastError();
        return PF_OK;
    }
    TRY_BLAS(status, "multiply");
    return pf_launched(dev, "matrix product");
}
