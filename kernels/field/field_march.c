/* field_march.c - a field's distances on the CPU, for march.c (field_march.h). */
#include "kernels/field/field_march.h"

#include "kernels/field/field_cuda.h"
#include "kernels/field/rays/ray.h"

static pf_err
distance(void *field, float *out, const float *x, int64_t n)
{
    PF_TRY(pf_field_sdf(field, out, x, n));
    for (int64_t i = 0; i < n; i++)
        if (pf_point_outside_ball(x + 3 * i))
            out[i] = 1;
    return PF_OK;
}

pf_err
pf_field_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_field *f,
               const struct pf_march_options *options)
{
    PF_TRY(pf_field_need_surface(f));
    if (PF_CUDA && f->cuda)
        return pf_field_cuda_march(mesh, stats, f, options);
    return pf_march(mesh, stats, distance, f, options);
}
