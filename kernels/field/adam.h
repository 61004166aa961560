/* adam.h - AdamW, as the original trains with (field.md, 7).  Private to kernels/field. */
#ifndef PF_FIELD_ADAM_H
#define PF_FIELD_ADAM_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pf_adamw {
    double lr, beta1, beta2, eps;
    double decay;               /* decoupled weight decay; 0 for none */
};

/* Step number step (from 1) of n numbers, with their gradients and the two moments, zero at first:
 *   value *= 1 - lr decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   value -= lr / (1 - b1^step) m / (sqrt(v / (1 - b2^step)) + eps) */
void pf_adamw(float *value, const float *grad, float *m, float *v, int64_t n, int64_t step,
              const struct pf_adamw *how);

#ifdef __cplusplus
}
#endif
#endif
