/* layer.cu - a layer's weight on the GPU, packed for linear.cu and conv.cu (layer.cuh).
 *
 * The weight comes as PyTorch has it, [K, C, taps] (transposed: [C, K, taps]), usually from a
 * mapped file, and goes as it is into the device's staging buffer, piece by piece; there one
 * thread takes one line, the taps of one pair of channels, converts them and writes each to its
 * place.  Neighbours in a warp have neighbouring channels, so the writes are coalesced; the
 * strided reads meet in the cache.  A full-size model is 1.65 G parameters: 3.3 GB written once,
 * a millisecond beside the bus.
 *
 * A weight of E4M3 numbers is packed as f32 first, in the arena.  One scale serves all of it, a
 * power of two by which its largest number becomes 240 to 448.  The type's precision is relative
 * down to 2^-13 of that, as is the input's: a scale for each row would tell hardly more numbers
 * apart. */
#include <cstdlib>

#include "kernels/layer.cuh"

static __device__ __forceinline__ float pf_load(double v) { return (float)v; }

// Lines first..first+n-1 of [K, C], each of taps numbers.
template <typename T, typename From> static __global__ void
pack(T *to, const From *from, int64_t first, int64_t n, int64_t C, int taps, int64_t padded)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const int64_t k = (first + i) / C, c = (first + i) % C;
    for (int t = 0; t < taps; t++)
        to[(k * taps + t) * padded + c] = pf_store<T>(pf_load(from[i * taps + t]));
}

// The same of [C, K], for a transposed convolution: to the eight parts.
template <typename T, typename From> static __global__ void
pack_parts(T *to, const From *from, int64_t first, int64_t n, int64_t K, int64_t padded)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const int64_t c = (first + i) / K, k = (first + i) % K;
    for (int t = 0; t < 27; t++) {
        const int at[3] = {t / 9, t / 3 % 3, t % 3};
        int parity = 0, taps = 1, tap = 0;
        for (int a = 0; a < 3; a++) {
            const int odd = at[a] != 1;
            parity |= odd << a;
            taps *= 1 + odd;
            tap = tap * (1 + odd) + (at[a] == 0);
        }
        to[(pf_parity_start(parity) * K + k * taps + tap) * padded + c] =
            pf_store<T>(pf_load(from[i * 27 + t]));
    }
}

// Of [K, C, 3, 3], for doubled pixels: to the four kernels that are sums of it.
template <typename T, typename From> static __global__ void
pack_doubled(T *to, const From *from, int64_t first, int64_t n, int64_t K, int64_t C,
             int64_t padded)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const int64_t k = (first + i) / C, c = (first + i) % C;
    float w[9];
#pragma unroll
    for (int t = 0; t < 9; t++)
        w[t] = pf_load(from[i * 9 + t]);
#pragma unroll
    for (int p = 0; p < PF_DOUBLED_PARITIES; p++)
#pragma unroll
        for (int t = 0; t < PF_DOUBLED_TAPS; t++)
            to[((p * K + k) * PF_DOUBLED_TAPS + t) * padded + c] =
                pf_store<T>(pf_doubled_weight(w, p, t));
}

template <typename T, typename From> static void
pack_piece(pf_dev *dev, const pf_layer *l, T *to, const From *from, int64_t first, int64_t n,
           int taps)
{
    const int64_t padded = pf_weight_of(l)->padded;
    if (l->doubled)
        pack_doubled<T, From><<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(dev)>>>(
            to, from, first, n, l->K, l->C, padded);
    else if (l->transposed)
        pack_parts<T, From><<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(dev)>>>(
            to, from, first, n, l->K, padded);
    else
        pack<T, From><<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(dev)>>>(
            to, from, first, n, l->C, taps, padded);
}

template <typename T> static void
pack_from(pf_dev *dev, const pf_layer *l, T *to, const void *from, pf_dtype type, int64_t first,
          int64_t n, int taps)
{
    if (type == PF_F64)
        pack_piece(dev, l, to, (const double *)from, first, n, taps);
    else
        PF_FOR_TYPE(type, From, pack_piece(dev, l, to, (const From *)from, first, n, taps));
}

// Rows of the weight, each of all taps and channels.
static int64_t
rows_of(const pf_layer *l)
{
    return l->depthwise ? 1 : l->K;
}

// Lines first..first+lines-1 of the layer's weight through the staging buffer; the copies have left
// host memory when this returns.
static pf_err
upload_lines(pf_dev *dev, const pf_layer *l, const pf_tensor *to, const pf_tensor *from,
             int64_t first, int64_t lines)
{
    const int64_t taps = l->kernel[0] * l->kernel[1] * l->kernel[2];
    const int64_t bytes = taps * (int64_t)pf_dtype_size(from->dtype),
                  most = PF_WORK_BYTES / bytes;
    if (most < 1 || taps > INT32_MAX)
        return pf_fail(PF_ESHAPE, "a kernel of %lld taps is too large", (long long)taps);
    for (int64_t i = 0; i < lines; i += most) {
        const int64_t n = lines - i < most ? lines - i : most;
        PF_TRY(pf_cuda_send(dev, dev->cuda->work, (const char *)from->data + i * bytes,
                            from->dtype, n * taps));
        PF_FOR_TYPE(to->dtype, T,
                    pack_from(dev, l, (T *)to->data, dev->cuda->work, from->dtype, first + i, n,
                              (int)taps));
        PF_TRY(pf_launched(dev, "packing of a weight"));
    }
    return PF_OK;
}

enum { TILE = 64, DEEP = 16, EACH = TILE / DEEP };      // of multiply(), by DEEP x DEEP threads

// to [K, padded] = a [K, M] b [M, C], summed in the order of M.  A thread has EACH x EACH numbers.
template <typename T> static __global__ void
multiply(T *to, const float *a, const float *b, int K, int M, int C, int64_t padded)
{
    __shared__ float as[DEEP][TILE + 1], bs[DEEP][TILE];
    const int x = threadIdx.x % DEEP, y = threadIdx.x / DEEP, k0 = blockIdx.y * TILE,
              c0 = blockIdx.x * TILE;
    float sum[EACH][EACH] = {};
    for (int m = 0; m < M; m += DEEP) {
        for (int i = threadIdx.x; i < TILE * DEEP; i += DEEP * DEEP) {
            const int k = k0 + i / DEEP, am = m + i % DEEP, c = c0 + i % TILE, bm = m + i / TILE;
            as[i % DEEP][i / DEEP] = k < K && am < M ? a[(int64_t)k * M + am] : 0;
            bs[i / TILE][i % TILE] = c < C && bm < M ? b[(int64_t)bm * C + c] : 0;
        }
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEEP; d++)
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++)
                    sum[i][j] = fmaf(as[d][y + i * DEEP], bs[d][x + j * DEEP], sum[i][j]);
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const int k = k0 + y + i * DEEP, c = c0 + x + j * DEEP;
            if (k < K && c < C)
                to[k * padded + c] = pf_store<T>(sum[i][j]);
        }
}

// The layer's weight from its factors, which pass through the arena as f32.
static pf_err
upload_product(pf_dev *dev, const pf_layer *l, const pf_tensor *to)
{
    const size_t mark = pf_dev_mark(dev);
    pf_tensor f[2];
    for (int i = 0; i < 2; i++) {
        PF_TRY(pf_dev_alloc(dev, &f[i], PF_F32, 2, l->factors[i].dim));
        PF_TRY(pf_dev_put(dev, &f[i], &l->factors[i]));
    }
    const dim3 blocks((unsigned)((l->C + TILE - 1) / TILE), (unsigned)((l->K + TILE - 1) / TILE));
    PF_FOR_TYPE(to->dtype, T, multiply<T><<<blocks, DEEP * DEEP, 0, pf_cuda_stream(dev)>>>(
        (T *)to->data, (const float *)f[0].data, (const float *)f[1].data, (int)l->K,
        (int)f[1].dim[0], (int)l->C, pf_weight_of(l)->padded));
    pf_dev_reset(dev, mark);
    return pf_launched(dev, "a product of weights");
}

static pf_err
upload(pf_dev *dev, const pf_layer *l, const pf_tensor *to)
{
    if (l->factors)
        return upload_product(dev, l, to);
    if (!l->parts)
        return upload_lines(dev, l, to, &l->weight, 0, rows_of(l) * l->C);
    for (int64_t k = 0, i = 0; k < l->K; k += l->parts[i++].dim[0])
        PF_TRY(upload_lines(dev, l, to, &l->parts[i], k * l->C, l->parts[i].dim[0] * l->C));
    return PF_OK;
}

// ---- E4M3 ----

// *to = the largest |w|, beginning with 0: bits of positive numbers are in the numbers' order.
static __global__ void
find_largest(float *to, const float *w, int64_t n)
{
    float most = 0;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n;
         i += gridDim.x * (int64_t)blockDim.x)
        most = fmaxf(most, fabsf(w[i]));
    for (int d = PF_WARP / 2; d; d /= 2)
        most = fmaxf(most, __shfl_xor_sync(PF_WHOLE_WARP, most, d));
    if (threadIdx.x % PF_WARP == 0)
        atomicMax((unsigned *)to, __float_as_uint(most));
}

// One over pf_f8_scale: a power of two, so that numbers which came from a file of E4M3 numbers are
// not rounded a second time.
static __device__ float
factor_for(float largest)
{
    const float most = fminf(PF_F8_TOP / largest, 0x1p124f);
    return largest > 0 ? __uint_as_float(__float_as_uint(most) & 0x7f800000) : 1;
}

static __global__ void
round_weight(__nv_fp8_e4m3 *to, const float *w, const float *largest, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        to[i] = pf_store<__nv_fp8_e4m3>(w[i] * factor_for(*largest));
}

// scale[1] is the largest |w|, and becomes the product's factor.
static __global__ void
set_scale(float *scale, float input)
{
    scale[0] = input;
    scale[1] = 1 / (factor_for(scale[1]) * input);
}

// Bounds are in the middle of the range where the type's precision is relative, at a quarter of the
// largest number: what is beyond some has room.
static const float AT_BOUND = PF_F8_MAX / 4;

// w: the weight, packed as f32.
static pf_err
round_to_f8(pf_dev *dev, const pf_layer *l, pf_tensor *to, const float *w)
{
    const int64_t n = pf_tensor_count(to);
    const cudaStream_t stream = pf_cuda_stream(dev);
    float *const scale = (float *)l->scale.data;
    PF_CUDA_TRY(cudaMemsetAsync(scale, 0, 2 * sizeof *scale, stream), "clearing a scale");
    find_largest<<<4 * dev->cuda->processors, 256, 0, stream>>>(scale + 1, w, n);
    round_weight<<<pf_blocks(n, 256), 256, 0, stream>>>((__nv_fp8_e4m3 *)to->data, w, scale + 1, n);
    set_scale<<<1, 1, 0, stream>>>(scale, AT_BOUND / l->bound);
    return pf_launched(dev, "rounding of a weight");
}

static pf_err
new_f8(pf_dev *dev, pf_layer *l, struct pf_weight *w)
{
    const size_t mark = pf_dev_mark(dev);
    const int64_t dim[] = {l->K, l->kernel[0] * l->kernel[1] * l->kernel[2], l->C}, two = 2;
    pf_tensor packed, exact;
    PF_TRY(pf_dev_keep(dev, &packed, PF_F8, 3, dim));
    PF_TRY(pf_dev_keep(dev, &l->scale, PF_F32, 1, &two));
    PF_TRY(pf_dev_alloc(dev, &exact, PF_F32, 3, dim));
    w->data = packed.data;
    w->padded = l->C;
    if (!dev->dry) {
        PF_TRY(upload(dev, l, &exact));
        PF_TRY(round_to_f8(dev, l, &packed, (const float *)exact.data));
    }
    pf_dev_reset(dev, mark);
    return PF_OK;
}

// ---- layers ----

static pf_err
new_bias(pf_dev *dev, pf_layer *l, struct pf_weight *w)
{
    pf_tensor bias, same;
    if (!l->bias.data)
        return PF_OK;
    PF_TRY(pf_dev_vector(dev, &bias, &l->bias));
    PF_TRY(pf_dev_keep(dev, &same, pf_dev_dtype(dev), 1, bias.dim));
    PF_TRY(pf_dev_cast(dev, &same, &bias));
    l->bias = bias;
    w->bias = same.data;
    return PF_OK;
}

static pf_err
new_weight(pf_dev *dev, const pf_layer *l, struct pf_weight *w)
{
    const int64_t whole = 16 / (int64_t)pf_dtype_size(pf_dev_dtype(dev));
    pf_tensor packed;
    w->padded = (l->C + whole - 1) / whole * whole;
    const int64_t dim[] = {rows_of(l),
                           l->doubled ? PF_DOUBLED_PARITIES * PF_DOUBLED_TAPS
                                      : l->kernel[0] * l->kernel[1] * l->kernel[2],
                           w->padded};
    PF_TRY(pf_dev_keep(dev, &packed, pf_dev_dtype(dev), 3, dim));
    w->data = packed.data;
    if (w->padded > l->C)
        PF_TRY(pf_dev_zero(dev, &packed));
    // a dry device has nothing to fill, but counts what factors take of the arena
    return dev->dry && !l->factors ? PF_OK : upload(dev, l, &packed);
}

pf_err
pf_cuda_layer_new(pf_dev *dev, pf_layer *layer)
{
    struct pf_weight *const w = (struct pf_weight *)calloc(1, sizeof *w);
    if (!w)
        return pf_fail(PF_ENOMEM, "no memory for a layer");
    layer->priv = w;
    if (!layer->spatial && !dev->dry)
        pf_blas_begin(dev);
    pf_err err = layer->bound > 0 ? new_f8(dev, layer, w) : new_weight(dev, layer, w);
    err = err ? err : new_bias(dev, layer, w);
    if (err)
        pf_cuda_layer_free(layer);
    return err;
}

void
pf_cuda_layer_free(pf_layer *layer)
{
    free(layer->priv);
    layer->priv = NULL;
}
