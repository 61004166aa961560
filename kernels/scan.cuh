/* scan.cuh - running sums: where each begins, from how many there are.  Private to kernels. */
#ifndef PF_SCAN_CUH
#define PF_SCAN_CUH
#include "kernels/cuda.cuh"

// first [n + 1] = 0 and the running sums of count [n].
pf_err pf_cuda_scan(pf_dev *dev, int64_t *first, const int32_t *count, int64_t n) PF_MUST_USE;

#endif
