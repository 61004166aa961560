/* matmul.cuh - products of row-major f32 matrices by cublasLt, for mlp.cu. */
#ifndef PF_FIELD_MATMUL_CUH
#define PF_FIELD_MATMUL_CUH
#include "kernels/cuda.cuh"

// c [m, n] = a [m, k] b [k, n], plus c if add.  ta: a is stored [k, m]; tb: b is stored [n, k].  m,
// n and k are multiples of 4 and the matrices start at multiples of 16 bytes.  rough: by tensor
// cores, which
// take the factors' upper 10 bits of mantissa (tf32); sums are f32 in any case.
pf_err pf_matmul(pf_dev *dev, bool rough, float *c, const float *a, bool ta, const float *b,
                 bool tb, int64_t m, int64_t n, int64_t k, bool add) PF_MUST_USE;

#endif
