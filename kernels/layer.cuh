/* layer.cuh - a layer's weight on the GPU.  Private to layer.cu, which packs it, and to
 * linear.cu, conv.cu, conv_hopper.cu and depthwise.cu, which multiply by it. */
#ifndef PF_LAYER_CUH
#define PF_LAYER_CUH
#include "kernels/cuda.cuh"
#include "kernels/doubled.h"

/* A layer's weight on the GPU, in the device's type T or E4M3.  data is [K, taps, padded]: channels
 * fastest, padded with zeros to whole 16 bytes; taps row-major.  A linear map has one tap; a
 * depthwise layer has [taps, padded].  A transposed convolution's 27 taps are in eight such arrays,
 * one for each parity of the output's position: parity's bit a says that the position is odd on
 * axis a; taps_a = 1 + bit.  On an even axis the tap is W[1], on an odd one the taps are W[2] for
 * x[i], then W[0] for x[i + 1].  A layer of doubled pixels has four arrays, of 2 x 2 taps, for even
 * and for odd rows of even columns, then of odd ones (doubled.h). */
struct pf_weight {
    void *data, *bias;          /* bias: T [K], or NULL; layer->bias is the same in f32 */
    int64_t padded;
};

static inline const struct pf_weight *
pf_weight_of(const pf_layer *l)
{
    return (const struct pf_weight *)l->priv;
}

/* Taps of all parities before this one: 0 1 3 5 9 11 15 19. */
static inline __host__ __device__ int
pf_parity_start(int parity)
{
    return (int)(0x130f0b0905030100ull >> 8 * parity & 0xff);
}

/* conv.cu's kernel as y = act(x W^T + b + channel) + residual, for what cublasLt does not do. */
pf_err pf_linear_kernel(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_layer *w,
                        const struct pf_epilogue *e);

#endif
