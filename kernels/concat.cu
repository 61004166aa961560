/* concat.cu - pf_concat and pf_slice on a GPU.
 *
 * Copies of bytes, so one kernel for all types: y in units of 16 bytes, or of the largest power of
 * two that divides every row and address; a thread moves four, a block's width apart, and has all
 * four loads in flight.  Floor for [32, 1024, 640 + 320] in 16 bits: 126 MB read and written, 38 us
 * at 3.35 TB/s; no arithmetic. */
#include "kernels/vector.cuh"

enum { THREADS = 256, EACH = 4 };

/* Row r of y: A units of a's row r, whose rows are a_step apart, then B units of b's. */
template <typename U> static __global__ void
gather(U *y, const U *a, int64_t a_step, int64_t A, const U *b, int64_t B, int64_t count)
{
    const int64_t first = blockIdx.x * (int64_t)(EACH * THREADS) + threadIdx.x;
    U v[EACH];
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        const int64_t i = first + e * THREADS, row = i / (A + B), c = i - row * (A + B);
        if (i < count)
            v[e] = c < A ? a[row * a_step + c] : b[row * B + c - A];
    }
#pragma unroll
    for (int e = 0; e < EACH; e++)
        if (first + e * THREADS < count)
            y[first + e * THREADS] = v[e];
}

/* All lengths in bytes; U is the unit. */
template <typename U> static void
launch_as(pf_dev *dev, void *y, const void *a, int64_t a_step, int64_t A, const void *b, int64_t B,
          int64_t bytes)
{
    const int64_t u = sizeof(U);
    gather<<<pf_blocks(bytes / u, EACH * THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(
        (U *)y, (const U *)a, a_step / u, A / u, (const U *)b, B / u, bytes / u);
}

static void
launch(pf_dev *dev, void *y, const void *a, int64_t a_step, int64_t A, const void *b, int64_t B,
       int64_t bytes)
{
    const uint64_t bits = (uintptr_t)y | (uintptr_t)a | (uintptr_t)b | (uint64_t)(a_step | A | B);
    switch (pf_unit_bytes(bits)) {
    case 16: launch_as<uint4>(dev, y, a, a_step, A, b, B, bytes); break;
    case 8: launch_as<uint2>(dev, y, a, a_step, A, b, B, bytes); break;
    case 4: launch_as<uint32_t>(dev, y, a, a_step, A, b, B, bytes); break;
    default: launch_as<uint16_t>(dev, y, a, a_step, A, b, B, bytes); break;
    }
}

static int64_t
row_bytes(const pf_tensor *t)
{
    return t->dim[t->ndim - 1] * (int64_t)pf_dtype_size(t->dtype);
}

pf_err
pf_concat_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    const int64_t bytes = (int64_t)pf_tensor_bytes(y);
    if (bytes == 0)
        return PF_OK;
    launch(dev, y->data, a->data, row_bytes(a), row_bytes(a), b->data, row_bytes(b), bytes);
    return pf_launched(dev, "pf_concat");
}

pf_err
pf_slice_cuda(pf_dev *dev, pf_tensor *y, const pf_tensor *x, int64_t c0, int64_t c1)
{
    const int64_t bytes = (int64_t)pf_tensor_bytes(y), size = (int64_t)pf_dtype_size(y->dtype);
    (void)c1;
    if (bytes == 0)
        return PF_OK;
    launch(dev, y->data, (const char *)x->data + c0 * size, row_bytes(x), row_bytes(y), NULL, 0,
           bytes);
    return pf_launched(dev, "pf_slice");
}
