/* multistep.c - pf_multistep: guidance and one step of a multistep solver in one pass, in place.
 *
 *   out = uncond + cfg (cond - uncond), or cond where there is no uncond
 *   m   = m_of_x x + m_of_out out
 *   y   = y_of_x x + y_of_y y + y_of_m m + y_of_m1 m1 + y_of_m2 m2
 *   x   = x_of_y y + x_of_m m + x_of_m1 m1
 *   m2  = m1;  m1 = m
 *
 *   x, y, m1, m2 f32, cond, uncond act, all of one shape
 *
 * networks.md, 7 and 8. */
#include "kernels/ops.h"

pf_err
pf_multistep(pf_dev *dev, pf_tensor *x, pf_tensor *y, pf_tensor *m1, pf_tensor *m2,
             const pf_tensor *cond, const pf_tensor *uncond, float cfg,
             const struct pf_multistep_coefficients *c)
{
    PF_TRY(pf_tensor_expect(x, "x", PF_F32, x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(y, "y", PF_F32, x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(m1, "m1", PF_F32, x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(m2, "m2", PF_F32, x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(cond, "cond", pf_dev_dtype(dev), x->ndim, x->dim));
    if (uncond)
        PF_TRY(pf_tensor_expect(uncond, "uncond", pf_dev_dtype(dev), x->ndim, x->dim));
    return PF_DISPATCH(dev, pf_multistep, x, y, m1, m2, cond, uncond, cfg, c);
}

pf_err
pf_multistep_cpu(pf_dev *dev, pf_tensor *x, pf_tensor *y, pf_tensor *m1, pf_tensor *m2,
                 const pf_tensor *cond, const pf_tensor *uncond, float cfg,
                 const struct pf_multistep_coefficients *c)
{
    const int64_t n = pf_tensor_count(x);
    float *const px = x->data, *const py = y->data, *const p1 = m1->data, *const p2 = m2->data;
    const float *const a = cond->data, *const b = uncond ? uncond->data : NULL;
    const struct pf_multistep_coefficients k = *c;
    (void)dev;
#pragma omp parallel for simd if (parallel : n > 8192)
    for (int64_t i = 0; i < n; i++) {
        const float out = b ? b[i] + cfg * (a[i] - b[i]) : a[i];
        const float m = k.m_of_x * px[i] + k.m_of_out * out;
        py[i] = k.y_of_x * px[i] + k.y_of_y * py[i] + k.y_of_m * m + k.y_of_m1 * p1[i] +
                k.y_of_m2 * p2[i];
        px[i] = k.x_of_y * py[i] + k.x_of_m * m + k.x_of_m1 * p1[i];
        p2[i] = p1[i];
        p1[i] = m;
    }
    return PF_OK;
}
