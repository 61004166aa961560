/* adam.h - AdamW, as the original trains with (field.md, 7).  Private to kernels/field. */
#ifndef PF_FIELD_ADAM_H
#define PF_FIELD_ADAM_H
#include <math.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pf_adamw {
    double lr, beta1, beta2, eps;
    double decay;               /* decoupled weight decay; 0 for none */
};

struct pf_adamw_factors {       /* of one step, as the CPU and the GPU multiply with them */
    float keep, eps, b1, b2, c1, c2, rate, root;
};
static inline struct pf_adamw_factors
pf_adamw_factors(const struct pf_adamw *adamw, double decay, int64_t step)
{
    struct pf_adamw_factors a;
    a.keep = (float)(1 - adamw->lr * decay);
    a.eps = (float)adamw->eps;
    a.b1 = (float)adamw->beta1;
    a.b2 = (float)adamw->beta2;
    a.c1 = (float)(1 - adamw->beta1);
    a.c2 = (float)(1 - adamw->beta2);
    a.rate = (float)(adamw->lr / (1 - pow(adamw->beta1, (double)step)));
    a.root = (float)(1 / sqrt(1 - pow(adamw->beta2, (double)step)));
    return a;
}

/* Step number step (from 1) of n numbers, with their gradients and the two moments, zero at first:
 *   value *= 1 - lr decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   value -= lr / (1 - b1^step) m / (sqrt(v / (1 - b2^step)) + eps) */
void pf_adamw(float *value, const float *grad, float *m, float *v, int64_t n, int64_t step,
              const struct pf_adamw *adamw);

#ifdef __cplusplus
}
#endif
#endif
