/* linear.c - pf_linear: y = act(x W^T + b + channel) + residual over the last axis.
 *
 *   y, residual f32 [B, ..., K]   x f32 [B, ..., C]   channel f32 [B, K] or [1, K]   W [K, C]
 *   b [K]
 *
 * The reference's nn.Linear and its 1x1 convolutions.  A oneDNN matrix product: twice as fast here
 * as OpenBLAS, and the fastest of oneDNN's three ways at nearly every size (SPEED.md). */
#include "kernels/onednn.h"

pf_err
pf_epilogue_check(const struct pf_epilogue *e, const pf_tensor *y)
{
    if (!e)
        return PF_OK;
    if (e->act < PF_NONE || e->act > PF_ACT_LAST)
        return pf_fail(PF_EARG, "there is no activation number %d", (int)e->act);
    if (e->residual)
        PF_TRY(pf_tensor_expect(e->residual, "residual", y->dtype, y->ndim, y->dim));
    if (!e->channel)
        return PF_OK;
    const int64_t K = y->dim[y->ndim - 1];
    if (e->channel->ndim == 2 && e->channel->dim[0] == 1)
        return pf_tensor_expect(e->channel, "channel", PF_F32, 2, (int64_t[]){1, K});
    return pf_tensor_expect(e->channel, "channel", PF_F32, 2, (int64_t[]){y->dim[0], K});
}

pf_err
pf_linear(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w,
          const struct pf_epilogue *e)
{
    int64_t dim[PF_MAX_DIMS];
    const int last = x->ndim - 1;
    if (last < 1)
        return pf_fail(PF_ESHAPE, "x has %d axes, a linear map needs [B, ..., %lld]", x->ndim,
                       (long long)w->C);
    if (w->spatial)
        return pf_fail(PF_ESHAPE, "the layer is a convolution, not a linear map");
    for (int i = 0; i < last; i++)
        dim[i] = x->dim[i];
    dim[last] = w->C;
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), x->ndim, dim));
    dim[last] = w->K;
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), x->ndim, dim));
    PF_TRY(pf_epilogue_check(e, y));
    return PF_DISPATCH_SCRATCH(dev, pf_linear, y, x, w, e);
}

pf_err
pf_linear_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w,
              const struct pf_epilogue *e)
{
    const int64_t rows = pf_tensor_count(x) / w->C;
    const struct pf_product shape = {.src = {rows, w->C}, .dst = {rows, w->K}};
    return pf_onednn_run(dev, w, &shape, y, x, e);
}
