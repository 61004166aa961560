/* elementwise.c - pf_activate, pf_add, pf_multiply, pf_geglu: one number in, one number out.
 *
 *   activate  y = act(x)             SiLU x sigmoid(x), ReLU, GELU x Phi(x) (exact, erf form),
 *                                    quick GELU x sigmoid(1.702 x), sigmoid;
 *                                    leaky ReLU x, or 0.01 x below 0;
 *                                    SELU 1.0507 x, or 1.0507 1.6733 (e^x - 1) below 0
 *   add       y = a + scale * b      b of batch 1 is added to every element of the batch
 *   multiply  y = a b                b of 1 on an axis serves all of that axis
 *   geglu     y = a gelu(g)          x [..., 2C] = [a | g]: networks.md, 6.2; the reference's GEGLU
 *
 * Each is one pass over memory, in parts that fit a core's cache. */
#include "kernels/ops.h"
#include "kernels/vmath.h"

enum { PART = 8192 };

static int64_t
part_size(int64_t n, int64_t i)
{
    return n - i < PART ? n - i : PART;
}

pf_err
pf_activate(pf_dev *dev, pf_tensor *y, const pf_tensor *x, enum pf_act act)
{
    if (act < PF_NONE || act > PF_ACT_LAST)
        return pf_fail(PF_EARG, "there is no activation number %d", (int)act);
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), x->ndim, x->dim));
    return PF_DISPATCH(dev, pf_activate, y, x, act);
}

pf_err
pf_activate_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, enum pf_act act)
{
    const int64_t n = pf_tensor_count(x);
    const float *const from = x->data;
    float *const to = y->data;
    (void)dev;
#pragma omp parallel for if (n > PART)
    for (int64_t i = 0; i < n; i += PART)
        pf_act_row(to + i, from + i, part_size(n, i), act);
    return PF_OK;
}

pf_err
pf_add(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b, float scale)
{
    const pf_dtype dtype = a->dtype == PF_F32 ? PF_F32 : pf_dev_dtype(dev);
    int64_t dim[PF_MAX_DIMS] = {0};
    PF_TRY(pf_tensor_expect(a, "a", dtype, a->ndim, a->dim));
    for (int i = 0; i < a->ndim; i++)
        dim[i] = a->dim[i];
    if (b->ndim == a->ndim && b->ndim > 0 && b->dim[0] == 1)
        dim[0] = 1;
    PF_TRY(pf_tensor_expect(b, "b", dtype, a->ndim, dim));
    PF_TRY(pf_tensor_expect(y, "y", dtype, a->ndim, a->dim));
    return PF_DISPATCH(dev, pf_add, y, a, b, scale);
}

pf_err
pf_add_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b, float scale)
{
    const int64_t n = pf_tensor_count(b);                       /* of one round */
    const int64_t rounds = n ? pf_tensor_count(a) / n : 0, parts = (n + PART - 1) / PART;
    (void)dev;
#pragma omp parallel for if (rounds * n > PART)
    for (int64_t k = 0; k < rounds * parts; k++) {
        const int64_t i = k % parts * PART, at = k / parts * n + i, m = part_size(n, i);
        const float *const p = (const float *)a->data + at, *const q = (const float *)b->data + i;
        float *const out = (float *)y->data + at;
#pragma omp simd
        for (int64_t j = 0; j < m; j++)
            out[j] = p[j] + scale * q[j];
    }
    return PF_OK;
}

pf_err
pf_multiply(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    int64_t dim[4];
    PF_TRY(pf_tensor_expect(a, "a", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    for (int i = 0; i < 4; i++)
        dim[i] = b->ndim == 4 && b->dim[i] == 1 ? 1 : a->dim[i];
    PF_TRY(pf_tensor_expect(b, "b", pf_dev_dtype(dev), 4, dim));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4, a->dim));
    return PF_DISPATCH(dev, pf_multiply, y, a, b);
}

pf_err
pf_multiply_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    const int64_t H = a->dim[1], W = a->dim[2], C = a->dim[3], rows = a->dim[0] * H;
    int64_t step[4], n = 1;     /* of b on each axis: 0 where it has one for all */
    (void)dev;
    for (int i = 3; i >= 0; i--) {
        step[i] = b->dim[i] == 1 ? 0 : n;
        n *= b->dim[i];
    }
#pragma omp parallel for if (rows * W * C > PART)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < W; j++) {
            const int64_t at = (r * W + j) * C;
            const float *const p = (const float *)a->data + at;
            const float *const q =
                (const float *)b->data + r / H * step[0] + r % H * step[1] + j * step[2];
            float *const out = (float *)y->data + at;
            if (step[3] == 0) {
                const float v = *q;
#pragma omp simd
                for (int64_t c = 0; c < C; c++)
                    out[c] = p[c] * v;
                continue;
            }
#pragma omp simd
            for (int64_t c = 0; c < C; c++)
                out[c] = p[c] * q[c];
        }
    return PF_OK;
}

pf_err
pf_geglu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    int64_t dim[PF_MAX_DIMS] = {0};
    const int last = x->ndim - 1;
    if (last < 0 || x->dim[last] % 2)
        return pf_fail(PF_ESHAPE, "geglu: x needs an even number of channels, [..., 2C]");
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), x->ndim, x->dim));
    for (int i = 0; i <= last; i++)
        dim[i] = x->dim[i];
    dim[last] /= 2;
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), x->ndim, dim));
    return PF_DISPATCH(dev, pf_geglu, y, x);
}

pf_err
pf_geglu_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t C = y->dim[y->ndim - 1], rows = C ? pf_tensor_count(y) / C : 0;
    (void)dev;
#pragma omp parallel for if (rows * C > PART)
    for (int64_t r = 0; r < rows; r++) {
        const float *const a = (const float *)x->data + 2 * r * C, *const g = a + C;
        float *const out = (float *)y->data + r * C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++)
            out[c] = a[c] * pf_gelu_of(g[c]);
    }
    return PF_OK;
}
