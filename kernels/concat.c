/* concat.c - pf_concat and pf_slice: put channels side by side and take some of them.
 *
 *   concat  y [..., A + B] = a [..., A], b [..., B]
 *   slice   y [..., c1 - c0] = channels c0..c1-1 of x [..., C]
 *
 * The reference's torch.cat and chunk on axis 1; here channels are the last axis. */
#include <string.h>

#include "kernels/ops.h"

/* Rows of n floats, from rows of from_width to rows of to_width. */
static void
copy_rows(float *to, int64_t to_width, const float *from, int64_t from_width, int64_t n,
          int64_t rows)
{
#pragma omp parallel for if (rows * n > 32768)
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * to_width, from + r * from_width, (size_t)n * sizeof *to);
}

static int64_t
channels(const pf_tensor *t)
{
    return t->ndim ? t->dim[t->ndim - 1] : 0;
}

/* t is like x, but for its number of channels. */
static pf_err
expect_channels(pf_dev *dev, const pf_tensor *t, const char *name, const pf_tensor *x, int64_t C)
{
    int64_t dim[PF_MAX_DIMS] = {0};
    for (int i = 0; i < x->ndim; i++)
        dim[i] = x->dim[i];
    if (x->ndim < 1)
        return pf_fail(PF_ESHAPE, "%s has no channels", name);
    dim[x->ndim - 1] = C;
    return pf_tensor_expect(t, name, pf_dev_dtype(dev), x->ndim, dim);
}

pf_err
pf_concat(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    PF_TRY(expect_channels(dev, a, "a", a, channels(a)));
    PF_TRY(expect_channels(dev, b, "b", a, channels(b)));
    PF_TRY(expect_channels(dev, y, "y", a, channels(a) + channels(b)));
    return PF_DISPATCH(dev, pf_concat, y, a, b);
}

pf_err
pf_concat_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    const int64_t A = channels(a), B = channels(b), rows = A + B ? pf_tensor_count(y) / (A + B) : 0;
    float *const out = y->data;
    (void)dev;
    copy_rows(out, A + B, a->data, A, A, rows);
    copy_rows(out + A, A + B, b->data, B, B, rows);
    return PF_OK;
}

pf_err
pf_slice(pf_dev *dev, pf_tensor *y, const pf_tensor *x, int64_t c0, int64_t c1)
{
    PF_TRY(expect_channels(dev, x, "x", x, channels(x)));
    if (c0 < 0 || c1 <= c0 || c1 > channels(x))
        return pf_fail(PF_ESHAPE, "slice: channels %lld..%lld are not among the %lld of x",
                       (long long)c0, (long long)c1 - 1, (long long)channels(x));
    PF_TRY(expect_channels(dev, y, "y", x, c1 - c0));
    return PF_DISPATCH(dev, pf_slice, y, x, c0, c1);
}

pf_err
pf_slice_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, int64_t c0, int64_t c1)
{
    const int64_t C = channels(x);
    (void)dev;
    copy_rows(y->data, c1 - c0, (const float *)x->data + c0, C, c1 - c0, pf_tensor_count(x) / C);
    return PF_OK;
}
