/* ddim_step.c - pf_ddim_step: guidance and one step of DDIM in one pass, in place.
 *
 *   out = uncond + cfg (cond - uncond), or cond where there is no uncond
 *   eps = eps_of_out out + eps_of_x x
 *   x0  = (x - sqrt(1-a) eps) / sqrt(a)
 *   x   = sqrt(a_prev) x0 + dir eps + sigma noise
 *
 *   x, noise f32, cond, uncond f32, all of one shape; noise NULL: none
 *
 * networks.md, 7 and 8.  The order of operations is the reference's. */
#include "kernels/ops.h"

pf_err
pf_ddim_step(pf_dev *dev, pf_tensor *x, const pf_tensor *cond, const pf_tensor *uncond, float cfg,
             const struct pf_ddim_coefficients *c, const pf_tensor *noise)
{
    PF_TRY(pf_tensor_expect(x, "x", PF_F32, x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(cond, "cond", pf_dev_dtype(dev), x->ndim, x->dim));
    if (uncond)
        PF_TRY(pf_tensor_expect(uncond, "uncond", pf_dev_dtype(dev), x->ndim, x->dim));
    if (noise)
        PF_TRY(pf_tensor_expect(noise, "noise", PF_F32, x->ndim, x->dim));
    return PF_DISPATCH(dev, pf_ddim_step, x, cond, uncond, cfg, c, noise);
}

pf_err
pf_ddim_step_cpu(pf_dev *dev, pf_tensor *x, const pf_tensor *cond, const pf_tensor *uncond,
                 float cfg, const struct pf_ddim_coefficients *c, const pf_tensor *noise)
{
    const int64_t n = pf_tensor_count(x);
    float *const p = x->data;
    const float *const a = cond->data, *const b = uncond ? uncond->data : NULL;
    const float *const z = noise ? noise->data : NULL;
    const struct pf_ddim_coefficients k = *c;
    (void)dev;
    if (!(k.sqrt_a > 0))
        return pf_fail(PF_EARG, "ddim_step: sqrt_a is %g, expected a positive number",
                       (double)k.sqrt_a);
#pragma omp parallel for simd if (parallel : n > 8192)
    for (int64_t i = 0; i < n; i++) {
        const float out = b ? b[i] + cfg * (a[i] - b[i]) : a[i];
        const float eps = k.eps_of_out * out + k.eps_of_x * p[i];
        const float x0 = (p[i] - k.sqrt_one_minus_a * eps) / k.sqrt_a;
        const float mean = k.sqrt_a_prev * x0 + k.dir * eps;
        p[i] = z ? mean + k.sigma * z[i] : mean;
    }
    return PF_OK;
}
