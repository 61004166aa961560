/* matmul.cu - products of row-major f32 matrices.
 *
 * A layer of the original's field over 32768 points, 32768 x 256 x 256: 4.3 GFLOP, 0.064 ms at 67
 * TFLOP/s of f32; 67 MB, 0.014 ms at 4.8 TB/s.  Its gradient from 131072 points in halves: 17.2
 * GFLOP, 0.017 ms at 990 TFLOP/s; 134 MB, 0.028 ms; seen 0.032. */
#include "kernels/field/mlp/matmul.cuh"

static pf_err
multiply(pf_dev *dev, const struct pf_blas_shape *s, float *c, const void *a, const void *b,
         const float *add)
{
    bool possible;
    PF_TRY(pf_blas_product(dev, s, c, a, b, NULL, add, &possible));
    if (!possible)
        return pf_fail(PF_EDEV, "cublasLt refused a product of [%lld, %lld] and [%lld, %lld]",
                       (long long)s->m, (long long)s->k, (long long)s->k, (long long)s->n);
    return PF_OK;
}

pf_err
pf_matmul(pf_dev *dev, bool rough, float *c, const float *a, bool ta, const float *b, bool tb,
          int64_t m, int64_t n, int64_t k, bool add)
{
    const struct pf_blas_shape s = {
        .m = m, .n = n, .k = k, .ta = ta, .tb = tb, .ldb = tb ? k : n, .bias = false,
        .type = CUDA_R_32F,
        .compute = rough ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, .in_f32 = false};
    return multiply(dev, &s, c, a, b, add ? c : NULL);
}

pf_err
pf_matmul_halves(pf_dev *dev, float *c, const __half *a, const __half *b, int64_t m, int64_t n,
                 int64_t k)
{
    const struct pf_blas_shape s = {
        .m = m, .n = n, .k = k, .ta = true, .tb = false, .ldb = n, .bias = false,
        .type = CUDA_R_16F, .compute = CUBLAS_COMPUTE_32F, .in_f32 = true, .to_f32 = true};
    return multiply(dev, &s, c, a, b, c);
}
