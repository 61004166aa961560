/* matmul.cu - products of row-major f32 matrices by cublasLt: a shape's description and algorithm
 * are found once.
 *
 * A layer of the original's field over 32768 points, 32768 x 256 x 256: 4.3 GFLOP, 0.064 ms at 67
 * TFLOP/s of f32 or 0.009 ms at 495 of tf32; 67 MB, 0.014 ms at 4.8 TB/s. */
#include <cstdlib>
#include <cstring>

#include "kernels/field/mlp/matmul.cuh"

struct shape {                  // compared as bytes
    int64_t m, n, k;
    int64_t ta, tb, rough;
};

struct pf_matmul_plan {
    struct shape shape;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
};

void
pf_matmul_release(struct pf_matmul_plans *plans)
{
    free(plans->plan);
    memset(plans, 0, sizeof *plans);
}

static bool
is_done(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_SUCCESS;
}

static bool
describe(struct pf_matmul_plan *p)
{
    const struct shape *const s = &p->shape;
    const uint64_t m = (uint64_t)s->m, n = (uint64_t)s->n, k = (uint64_t)s->k;
    // Row-major c [m, n] = a b is column-major c^T [n, m] = b^T a^T: b comes first.
    const cublasOperation_t first = s->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = s->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtMatmulDescOpaque_t *const d = &p->product;
    return is_done(cublasLtMatmulDescInit(
               d, s->rough ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
           is_done(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &first,
                                                  sizeof first)) &&
           is_done(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                                  sizeof second)) &&
           is_done(cublasLtMatrixLayoutInit(&p->b, CUDA_R_32F, s->tb ? k : n, s->tb ? n : k,
                                            s->tb ? s->k : s->n)) &&
           is_done(cublasLtMatrixLayoutInit(&p->a, CUDA_R_32F, s->ta ? m : k, s->ta ? k : m,
                                            s->ta ? s->m : s->k)) &&
           is_done(cublasLtMatrixLayoutInit(&p->c, CUDA_R_32F, n, m, s->n));
}

static bool
choose(const struct pf_cuda *cuda, struct pf_matmul_plan *p)
{
    static const cublasLtMatmulPreferenceAttributes_t alignment[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t bytes = 16;
    cublasLtMatmulPreferenceOpaque_t wish;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    bool ok = is_done(cublasLtMatmulPreferenceInit(&wish)) &&
              is_done(cublasLtMatmulPreferenceSetAttribute(
                  &wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &cuda->blas_bytes,
                  sizeof cuda->blas_bytes));
    for (int i = 0; ok && i < 4; i++)
        ok = is_done(
            cublasLtMatmulPreferenceSetAttribute(&wish, alignment[i], &bytes, sizeof bytes));
    ok = ok &&
         is_done(cublasLtMatmulAlgoGetHeuristic(cuda->blas, &p->product, &p->b, &p->a, &p->c, &p->c,
                                                &wish, 1, &found, &n)) &&
         n > 0;
    if (ok)
        p->algorithm = found.algo;
    return ok;
}

/* The plan of a shape, from the list or new at its end; NULL: cublasLt has none, or there is no
 * memory. */
static struct pf_matmul_plan *
find_plan(const struct pf_cuda *cuda, struct pf_matmul_plans *all, const struct shape *s)
{
    for (int i = 0; i < all->n; i++)
        if (!memcmp(&all->plan[i].shape, s, sizeof *s))
            return &all->plan[i];
    if (all->n == all->room) {
        const int room = all->room ? 2 * all->room : 64;
        struct pf_matmul_plan *const more =
            (struct pf_matmul_plan *)realloc(all->plan, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        all->plan = more;
        all->room = room;
    }
    struct pf_matmul_plan *const p = &all->plan[all->n];
    *p = {};
    p->shape = *s;
    if (!describe(p) || !choose(cuda, p))
        return NULL;
    all->n++;
    return p;
}

pf_err
pf_matmul(pf_dev *dev, struct pf_matmul_plans *plans, bool rough, float *c, const float *a, bool ta,
          const float *b, bool tb, int64_t m, int64_t n, int64_t k, bool add)
{
    const struct pf_cuda *const cuda = dev->cuda;
    const struct shape s = {m, n, k, ta, tb, rough};
    const float one = 1, beta = add ? 1 : 0;
    struct pf_matmul_plan *const p = find_plan(cuda, plans, &s);
    if (!p || !is_done(cublasLtMatmul(cuda->blas, &p->product, &one, b, &p->b, a, &p->a, &beta, c,
                                      &p->c, c, &p->c, &p->algorithm, cuda->blas_work,
                                      cuda->blas_bytes, cuda->stream)))
        return pf_fail(PF_EDEV, "cublasLt refused a product of [%lld, %lld] and [%lld, %lld]",
                       (long long)m, (long long)k, (long long)k, (long long)n);
    return pf_launched(dev, "product");
}
