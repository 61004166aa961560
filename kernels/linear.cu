/* linear.cu - pf_linear on the GPU: cublasLt where its epilogue is ours, else conv.cu's kernel.
 *
 * cublasLt sees y^T [K, M] = W [K, C] x^T [C, M], columns contiguous.  It adds the bias and, as its
 * C matrix, the residual, both in f32 before the one rounding; an activation (its GELU is not
 * exact), a channel, and rows that do not lie on 16 bytes go to conv.cu's kernel, which does all of
 * these in one pass.  f32 is f32 throughout, never tf32, unless the device was opened so; parts of
 * a split sum stay f32.
 *
 * q, k, v of the UNet's first level, 32768 x 960 x 320: 20.1 GFLOP, 0.020 ms at 990 TFLOP/s;
 * 21.0 + 62.9 + 0.6 MB, 0.025 ms at 3.35 TB/s.  GEGLU's 32768 x 2560 x 320: 53.7 GFLOP, 0.054
 * ms; 189 MB, 0.057 ms. */
#include "kernels/layer.cuh"

// Does cublasLt's epilogue do this, and do all rows lie on 16 bytes?
static bool
suits(const pf_tensor *y, const pf_tensor *x, const pf_layer *w, const struct pf_epilogue *e)
{
    const int64_t size = (int64_t)pf_dtype_size(y->dtype);
    return !(e && (e->act != PF_NONE || e->channel)) && w->C * size % 16 == 0 &&
           w->K * size % 16 == 0 && pf_is_aligned(y->data) && pf_is_aligned(x->data) &&
           !(e && e->residual && !pf_is_aligned(e->residual->data));
}

pf_err
pf_linear_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w,
               const struct pf_epilogue *e)
{
    const struct pf_weight *const weight = pf_weight_of(w);
    const struct pf_blas_shape s = pf_blas_linear(dev, pf_tensor_count(y) / w->K, w->K, w->C,
                                                  weight->padded, weight->bias != NULL);
    bool possible = suits(y, x, w, e);
    if (s.m == 0)
        return PF_OK;
    if (possible)
        PF_TRY(pf_blas_product(dev, &s, y->data, x->data, weight->data, weight->bias,
                               e && e->residual ? e->residual->data : NULL, &possible));
    return possible ? PF_OK : pf_linear_kernel(dev, y, x, w, e);
}
