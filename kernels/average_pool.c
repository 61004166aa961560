/* average_pool.c - pf_average_pool: means of the cells of a grid.
 *
 *   y[b, i, j] = mean of x[b, floor(i H / H') .. ceil((i + 1) H / H') - 1, the same of columns]
 *   y f32 [B, H', W', C]   x f32 [B, H, W, C]
 *
 * The reference's AdaptiveAvgPool2d; H' = W' = 1 is its mean over H and W.  In double each row is
 * summed over the columns of every cell, then each cell over its rows: no pixel is read twice where
 * cells lie one below the other, and the result does not depend on the number of threads. */
#include <string.h>

#include "kernels/ops.h"

pf_err
pf_average_pool(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 4,
                            (int64_t[]){x->dim[0], -1, -1, x->dim[3]}));
    for (int i = 1; i < 3; i++)
        if (y->dim[i] < 1 || x->dim[i] < 1)
            return pf_fail(PF_ESHAPE, "average_pool: %lld pixels do not make %lld cells",
                           (long long)x->dim[i], (long long)y->dim[i]);
    return PF_DISPATCH_SCRATCH(dev, pf_average_pool, y, x);
}

struct span {                   /* pixels first .. end - 1 of an axis */
    int64_t first, end;
};

static struct span
cell(int64_t i, int64_t cells, int64_t pixels)
{
    return (struct span){i * pixels / cells, ((i + 1) * pixels + cells - 1) / cells};
}

/* sum[w][C] of a row [W][C]: of the columns of each cell. */
static void
sum_columns(double *sum, const float *row, int64_t w, int64_t W, int64_t C)
{
    memset(sum, 0, (size_t)(w * C) * sizeof *sum);
    for (int64_t j = 0; j < w; j++, sum += C) {
        const struct span u = cell(j, w, W);
        for (int64_t k = u.first; k < u.end; k++)
#pragma omp simd
            for (int64_t c = 0; c < C; c++)
                sum[c] += row[k * C + c];
    }
}

/* y [w][C] of the rows' sums [H][w][C]: those of the cells' rows, over the number of pixels. */
static void
mean_rows(float *y, const double *sum, struct span v, int64_t w, int64_t W, int64_t C)
{
    for (int64_t j = 0; j < w; j++) {
        const struct span u = cell(j, w, W);
        const double n = (double)((v.end - v.first) * (u.end - u.first));
#pragma omp simd
        for (int64_t c = j * C; c < (j + 1) * C; c++) {
            double all = 0;
            for (int64_t r = v.first; r < v.end; r++)
                all += sum[r * w * C + c];
            y[c] = (float)(all / n);
        }
    }
}

pf_err
pf_average_pool_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    const int64_t B = x->dim[0], H = x->dim[1], W = x->dim[2], C = x->dim[3];
    const int64_t h = y->dim[1], w = y->dim[2];
    const size_t mark = pf_dev_mark(dev);
    pf_tensor sums;
    PF_TRY(PF_ALLOC(dev, &sums, PF_F64, B * H, w, C));
    double *const sum = sums.data;
    if (!pf_dev_is_dry(dev)) {
#pragma omp parallel for
        for (int64_t r = 0; r < B * H; r++)
            sum_columns(sum + r * w * C, (const float *)x->data + r * W * C, w, W, C);
#pragma omp parallel for
        for (int64_t r = 0; r < B * h; r++)
            mean_rows((float *)y->data + r * w * C, sum + r / h * H * w * C, cell(r % h, h, H), w,
                      W, C);
    }
    pf_dev_reset(dev, mark);
    return PF_OK;
}
