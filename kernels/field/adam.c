/* adam.c - AdamW (adam.h). */
#include "kernels/field/adam.h"

#include <math.h>

void
pf_adamw(float *value, const float *grad, float *m, float *v, int64_t n, int64_t step,
         const struct pf_adamw *how)
{
    const float keep = (float)(1 - how->lr * how->decay), eps = (float)how->eps;
    const float b1 = (float)how->beta1, b2 = (float)how->beta2;
    const float c1 = (float)(1 - how->beta1), c2 = (float)(1 - how->beta2);
    const float rate = (float)(how->lr / (1 - pow(how->beta1, (double)step)));
    const float root = (float)(1 / sqrt(1 - pow(how->beta2, (double)step)));
#pragma omp parallel for simd schedule(static) if (n > 1 << 15)
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * grad[i];
        v[i] = b2 * v[i] + c2 * grad[i] * grad[i];
        value[i] = value[i] * keep - rate * m[i] / (sqrtf(v[i]) * root + eps);
    }
}
