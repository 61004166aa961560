/* group_norm.c - pf_group_norm: y = act((x + channel - mean) / sqrt(var + eps) * gamma + beta),
 * mean and biased variance over a group's C / groups channels and all positions of one batch
 * element.
 *
 *   y, x f32 [B, ..., C]   gamma, beta f32 [C]   channel f32 [B, C], [1, C] or NULL   y may be x
 *
 * The reference's nn.GroupNorm with the SiLU or ReLU behind it, and in the volume networks the
 * time and view embeddings before it (networks.md, 5.3 and 5.5).  Sums are made per channel in
 * double over parts of a fixed size, then over parts and channels in order: accurate for 65536
 * nearly constant values (torch's f32 is off by 0.06 there: golden/README), and the same for any
 * number of threads.  The channel vector v enters through the sums: S1 + n v, and S2 + 2 v S1 +
 * n v^2. */
#include <math.h>
#include <string.h>

#include "kernels/ops.h"
#include "kernels/vmath.h"

enum { PART = 32768 };          /* numbers per part */

pf_err
pf_group_norm(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
              const pf_tensor *beta, int groups, float eps, enum pf_act act,
              const pf_tensor *channel, const pf_tensor *scale)
{
    if (x->ndim < 2 || pf_tensor_count(x) == 0)
        return pf_fail(PF_ESHAPE, "group_norm: x needs the shape [B, ..., C], none of them 0");
    const int64_t B = x->dim[0], C = x->dim[x->ndim - 1];
    if (groups < 1 || C % groups)
        return pf_fail(PF_ESHAPE, "group_norm: %lld channels do not divide into %d groups",
                       (long long)C, groups);
    if (act < PF_NONE || act > PF_ACT_LAST)
        return pf_fail(PF_EARG, "there is no activation number %d", (int)act);
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), x->ndim, x->dim));
    PF_TRY(pf_tensor_expect(y, "y", pf_scaled_dtype(dev, scale), x->ndim, x->dim));
    PF_EXPECT(gamma, PF_F32, C);
    PF_EXPECT(beta, PF_F32, C);
    if (scale)
        PF_EXPECT(scale, PF_F32, 2);
    if (channel && channel->ndim == 2 && channel->dim[0] != 1)
        PF_EXPECT(channel, PF_F32, B, C);
    else if (channel)
        PF_EXPECT(channel, PF_F32, 1, C);
    return PF_DISPATCH_SCRATCH(dev, pf_group_norm, y, x, gamma, beta, groups, eps, act, channel,
                               scale);
}

/* sums[2][C]: sum of x and of x^2 over these rows. */
static void
sum_rows(double *sums, const float *x, int64_t rows, int64_t C)
{
    double *const s1 = sums, *const s2 = sums + C;
    memset(sums, 0, (size_t)(2 * C) * sizeof *sums);
    for (int64_t r = 0; r < rows; r++)
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            const double v = x[r * C + c];
            s1[c] += v;
            s2[c] += v * v;
        }
}

/* What is done to a channel: y = (x - middle) * scale + shift.  middle is the mean in f32; what the
 * rounding took goes into shift, so that a large mean costs no accuracy. */
static void
find_affine(float *affine, const double *sums, int64_t P, int64_t C, int groups, float eps,
            const float *gamma, const float *beta, const float *channel)
{
    float *const middle = affine, *const scale = affine + C, *const shift = affine + 2 * C;
    const int64_t width = C / groups;
    const double n = (double)P;
    for (int64_t first = 0; first < C; first += width) {
        double s1 = 0, s2 = 0;
        for (int64_t c = first; c < first + width; c++) {
            const double v = channel ? channel[c] : 0;
            s1 += sums[c] + n * v;
            s2 += sums[C + c] + 2 * v * sums[c] + n * v * v;
        }
        const double mean = s1 / (n * (double)width), var = s2 / (n * (double)width) - mean * mean;
        const double factor = 1 / sqrt((var > 0 ? var : 0) + (double)eps);
        for (int64_t c = first; c < first + width; c++) {
            const double m = mean - (channel ? channel[c] : 0), k = factor * gamma[c];
            middle[c] = (float)m;
            scale[c] = (float)k;
            shift[c] = (float)(beta[c] + ((double)middle[c] - m) * k);
        }
    }
}

static void
apply_rows(float *y, const float *x, const float *affine, int64_t rows, int64_t C, enum pf_act act)
{
    const float *const middle = affine, *const scale = affine + C, *const shift = affine + 2 * C;
    for (int64_t r = 0; r < rows; r++, x += C, y += C) {
        if (act == PF_SILU) {
#pragma omp simd
            for (int64_t c = 0; c < C; c++) {
                const float v = (x[c] - middle[c]) * scale[c] + shift[c];
                y[c] = v * pf_sigmoid(v);
            }
            continue;
        }
#pragma omp simd
        for (int64_t c = 0; c < C; c++)
            y[c] = (x[c] - middle[c]) * scale[c] + shift[c];
        if (act != PF_NONE)
            pf_act_row(y, y, C, act);
    }
}

pf_err
pf_group_norm_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *gamma,
                  const pf_tensor *beta, int groups, float eps, enum pf_act act,
                  const pf_tensor *channel, const pf_tensor *scale)
{
    const int64_t B = x->dim[0], C = x->dim[x->ndim - 1], P = pf_tensor_count(x) / (B * C);
    const int64_t rows = C < PART ? PART / C : 1, parts = (P + rows - 1) / rows;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor sums, affine;
    (void)scale;                /* layers of E4M3 are a GPU's alone */
    PF_TRY(PF_ALLOC(dev, &sums, PF_F64, B * parts, 2, C));
    PF_TRY(PF_ALLOC(dev, &affine, PF_F32, B, 3, C));
    if (pf_dev_is_dry(dev)) {
        pf_dev_reset(dev, mark);
        return PF_OK;
    }
    double *const s = sums.data;
    float *const a = affine.data;
#pragma omp parallel
    {
#pragma omp for
        for (int64_t k = 0; k < B * parts; k++) {
            const int64_t p = k % parts * rows, n = P - p < rows ? P - p : rows;
            sum_rows(s + k * 2 * C, (const float *)x->data + (k / parts * P + p) * C, n, C);
        }
#pragma omp for
        for (int64_t b = 0; b < B; b++) {
            double *const total = s + b * parts * 2 * C;
            for (int64_t k = 1; k < parts; k++)
                for (int64_t c = 0; c < 2 * C; c++)
                    total[c] += total[k * 2 * C + c];
            const int64_t row = channel && channel->dim[0] > 1 ? b : 0;
            find_affine(a + b * 3 * C, total, P, C, groups, eps, gamma->data, beta->data,
                        channel ? (const float *)channel->data + row * C : NULL);
        }
#pragma omp for
        for (int64_t k = 0; k < B * parts; k++) {
            const int64_t p = k % parts * rows, n = P - p < rows ? P - p : rows;
            const int64_t at = (k / parts * P + p) * C;
            apply_rows((float *)y->data + at, (const float *)x->data + at, a + k / parts * 3 * C, n,
                       C, act);
        }
    }
    pf_dev_reset(dev, mark);
    return PF_OK;
}
