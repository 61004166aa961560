/* field_march.cu - a field's distances on a GPU, for march.cu (field_march.h). */
#include "kernels/field/net.cuh"

static __global__ void
cut_ball(float *sdf, const float *x, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n && pf_point_outside_ball(x + 3 * i))
        sdf[i] = 1;
}

static pf_err
distance(void *field, float *out, const float *x, int64_t n)
{
    struct pf_net_cuda *const net = pf_field_cuda_net((pf_field *)field);
    PF_TRY(net->ops->sdf(net, out, x, n));
    cut_ball<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(net->dev)>>>(out, x, n);
    return pf_launched(net->dev, "distances of the grid");
}

pf_err
pf_field_cuda_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_field *f,
                    const struct pf_march_options *options)
{
    PF_TRY(pf_field_cuda_fresh(f));
    return pf_march_cuda(mesh, stats, f->dev, distance, f, options);
}
