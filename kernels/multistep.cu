/* multistep.cu - pf_multistep on a GPU: four numbers to a thread.
 *
 * The coefficients are read from device memory, so that a captured graph can be replayed with
 * others.  Floors for [16, 32, 32, 4] in 16 bits: 2.4 MB (x, y, m1, m2 twice, cond, uncond), 0.7 us
 * at 3.35 TB/s, and 1 MFLOP: it is the launch that takes time. */
#include "kernels/vector.cuh"

enum { THREADS = 256 };

struct state {
    float *x, *y, *m1, *m2;
    float cfg;
    const struct pf_multistep_coefficients *c;
};

/* The state at i; N numbers. */
template <typename T, int N> static __device__ __forceinline__ void
advance(const struct state &s, const struct pf_multistep_coefficients &c, const T *cond,
        const T *uncond, int64_t i)
{
    float x[N], y[N], m[N], m1[N], m2[N], out[N], other[N];
    pf_read(x, s.x + i);
    pf_read(y, s.y + i);
    pf_read(m1, s.m1 + i);
    pf_read(m2, s.m2 + i);
    pf_read(out, cond + i);
    if (uncond) {
        pf_read(other, uncond + i);
#pragma unroll
        for (int k = 0; k < N; k++)
            out[k] = other[k] + s.cfg * (out[k] - other[k]);
    }
#pragma unroll
    for (int k = 0; k < N; k++) {
        m[k] = c.m_of_x * x[k] + c.m_of_out * out[k];
        y[k] = c.y_of_x * x[k] + c.y_of_y * y[k] + c.y_of_m * m[k] + c.y_of_m1 * m1[k] +
               c.y_of_m2 * m2[k];
        x[k] = c.x_of_y * y[k] + c.x_of_m * m[k] + c.x_of_m1 * m1[k];
    }
    pf_write(s.x + i, x);
    pf_write(s.y + i, y);
    pf_write(s.m1 + i, m);
    pf_write(s.m2 + i, m1);
}

template <typename T, int N> static __global__ void
update(struct state s, const T *cond, const T *uncond, int64_t n)
{
    const int64_t i = N * (blockIdx.x * (int64_t)THREADS + threadIdx.x);
    const struct pf_multistep_coefficients c = *s.c;
    if (i + N <= n) {
        advance<T, N>(s, c, cond, uncond, i);
        return;
    }
    for (int64_t k = i; k < n; k++)
        advance<T, 1>(s, c, cond, uncond, k);
}

pf_err
pf_multistep_cuda(pf_dev *dev, pf_tensor *x, pf_tensor *y, pf_tensor *m1, pf_tensor *m2,
                  const pf_tensor *cond, const pf_tensor *uncond, float cfg,
                  const struct pf_multistep_coefficients *c)
{
    const struct state s = {(float *)x->data, (float *)y->data, (float *)m1->data,
                            (float *)m2->data, cfg, c};
    const void *const u = uncond ? uncond->data : NULL;
    const int64_t n = pf_tensor_count(x);
    const size_t four = 4 * pf_dtype_size(cond->dtype);
    const bool wide = pf_is_aligned(s.x) && pf_is_aligned(s.y) && pf_is_aligned(s.m1) &&
                      pf_is_aligned(s.m2) && pf_is_aligned(cond->data, four) &&
                      pf_is_aligned(u, four);
    if (n == 0)
        return PF_OK;
    if (wide)
        PF_FOR_TYPE(cond->dtype, T,
                    update<T, 4><<<pf_blocks(n, 4 * THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(
                        s, (const T *)cond->data, (const T *)u, n))
    else
        PF_FOR_TYPE(cond->dtype, T,
                    update<T, 1><<<pf_blocks(n, THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(
                        s, (const T *)cond->data, (const T *)u, n))
    return pf_launched(dev, "pf_multistep");
}
