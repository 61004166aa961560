/* adam.c - AdamW (adam.h). */
#include "kernels/field/adam.h"

void
pf_adamw(float *value, const float *grad, float *m, float *v, int64_t n, int64_t step,
         const struct pf_adamw *adamw)
{
    const struct pf_adamw_factors a = pf_adamw_factors(adamw, adamw->decay, step);
#pragma omp parallel for simd schedule(static) if (n > 1 << 15)
    for (int64_t i = 0; i < n; i++) {
        m[i] = a.b1 * m[i] + a.c1 * grad[i];
        v[i] = a.b2 * v[i] + a.c2 * grad[i] * grad[i];
        value[i] = value[i] * a.keep - a.rate * m[i] / (sqrtf(v[i]) * a.root + a.eps);
    }
}
