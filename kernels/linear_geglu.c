/* linear_geglu.c - pf_linear_geglu: y = a gelu(g), [a | g] = x W^T + b, the first half of a
 * transformer block's feed-forward layer (networks.md, 6.2).
 *
 *   y act [B, ..., N]   x act [B, ..., C]   W [2N, C]   b [2N]
 *
 * Here it is pf_linear, then pf_geglu; linear_geglu.cu never stores [a | g]. */
#include "kernels/ops.h"

pf_err
pf_linear_geglu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    int64_t dim[PF_MAX_DIMS];
    const int last = x->ndim - 1;
    if (last < 1)
        return pf_fail(PF_ESHAPE, "x has %d axes, a linear map needs [B, ..., %lld]", x->ndim,
                       (long long)w->C);
    if (w->spatial || w->K % 2)
        return pf_fail(PF_ESHAPE, "the layer is no linear map to an even number of channels");
    for (int i = 0; i < last; i++)
        dim[i] = x->dim[i];
    dim[last] = w->C;
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), x->ndim, dim));
    dim[last] = w->K / 2;
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), x->ndim, dim));
    return PF_DISPATCH_SCRATCH(dev, pf_linear_geglu, y, x, w);
}

/* By operators alone, so that a GPU takes this way too where its kernel does not do the sizes. */
pf_err
pf_linear_geglu_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w)
{
    int64_t dim[PF_MAX_DIMS];
    pf_tensor both;
    const size_t mark = pf_dev_mark(dev);
    for (int i = 0; i < x->ndim; i++)
        dim[i] = x->dim[i];
    dim[x->ndim - 1] = w->K;
    PF_TRY(pf_dev_alloc(dev, &both, x->dtype, x->ndim, dim));
    PF_TRY(pf_linear(dev, &both, x, w, NULL));
    PF_TRY(pf_geglu(dev, y, &both));
    pf_dev_reset(dev, mark);
    return PF_OK;
}
