/* matmul.cuh - products of row-major matrices by cublasLt, for mlp*.cu and nerf.cu. */
#ifndef PF_FIELD_MATMUL_CUH
#define PF_FIELD_MATMUL_CUH
#include "kernels/cuda.cuh"

// c [m, n] = a [m, k] b [k, n], plus c if add.  ta: a is stored [k, m]; tb: b is stored [n, k].  m,
// n and k are multiples of 4 and the matrices start at multiples of 16 bytes.  rough: by tensor
// cores, which take the factors' upper 10 bits of mantissa (tf32); sums are f32 in any case.
pf_err pf_matmul(pf_dev *dev, bool rough, float *c, const float *a, bool ta, const float *b,
                 bool tb, int64_t m, int64_t n, int64_t k, bool add) PF_MUST_USE;
// c [m, n] += a^T b, a [k, m] and b [k, n] halves; m, n and k are multiples of 8.
pf_err pf_matmul_halves(pf_dev *dev, float *c, const __half *a, const __half *b, int64_t m,
                        int64_t n, int64_t k) PF_MUST_USE;

#endif
