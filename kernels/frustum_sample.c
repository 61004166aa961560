/* frustum_sample.c - pf_frustum_sample: resample the volume along the pixels of each view.
 *
 *   z = near + (far - near) k / (D - 1);   X = unproj_v (j z, i z, z, 1)   at depth k, row i,
 *   column j
 *   y[v, k, i, j] = trilinear sample of x at index (X / length + 1) (S - 1) / 2, axes (z, y, x);
 *   corners outside are 0
 *
 *   y f32 [V, D, H, W, C]   x f32 [1, S, S, S, C]   unproj f32 [V, 3, 4]
 *
 * The reference's grid_sample(align_corners=True, padding "zeros"): networks.md, 5.4. */
#include <math.h>
#include <string.h>

#include "kernels/ops.h"

pf_err
pf_frustum_sample(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *unproj,
                  float length, float near, float far)
{
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 5, (int64_t[]){1, -1, -1, -1, -1}));
    const int64_t S = x->dim[1], C = x->dim[4];
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 5, (int64_t[]){1, S, S, S, C}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 5, (int64_t[]){-1, -1, -1, -1, C}));
    PF_EXPECT(unproj, PF_F32, y->dim[0], 3, 4);
    if (!(length > 0))
        return pf_fail(PF_EARG, "frustum_sample: half edge %g, expected a positive number",
                       (double)length);
    return PF_DISPATCH(dev, pf_frustum_sample, y, x, unproj, length, near, far);
}

/* out [C] = volume [S, S, S, C] at index p[0], p[1], p[2] on the axes last to first. */
static void
sample(float *out, const float *volume, int64_t S, int64_t C, const double p[3])
{
    double low[3];
    memset(out, 0, (size_t)C * sizeof *out);
    for (int a = 0; a < 3; a++) {
        if (!(p[a] > -1 && p[a] < (double)S))
            return;
        low[a] = floor(p[a]);
    }
    for (int corner = 0; corner < 8; corner++) {
        double weight = 1;
        int64_t at[3];
        bool inside = true;
        for (int a = 0; a < 3; a++) {
            const double index = low[a] + (corner >> a & 1);
            inside = inside && index >= 0 && index < (double)S;
            weight *= 1 - fabs(p[a] - index);
            at[a] = (int64_t)index;
        }
        if (!inside)
            continue;
        const float w = (float)weight, *const voxel =
                                           volume + ((at[2] * S + at[1]) * S + at[0]) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++)
            out[c] += w * voxel[c];
    }
}

pf_err
pf_frustum_sample_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *unproj,
                      float length, float near, float far)
{
    const int64_t V = y->dim[0], D = y->dim[1], H = y->dim[2], W = y->dim[3], C = y->dim[4],
                  S = x->dim[1];
    (void)dev;
#pragma omp parallel for
    for (int64_t row = 0; row < V * D * H; row++) {
        const int64_t i = row % H, k = row / H % D;
        const float *const M = (const float *)unproj->data + row / (D * H) * 12;
        const double z = near + ((double)far - near) * (D > 1 ? (double)k / (double)(D - 1) : 0);
        for (int64_t j = 0; j < W; j++) {
            double p[3];
            for (int a = 0; a < 3; a++) {
                const double X =
                    (M[4 * a] * (double)j + M[4 * a + 1] * (double)i + M[4 * a + 2]) * z +
                    M[4 * a + 3];
                p[a] = (X / length + 1) * (double)(S - 1) / 2;
            }
            sample((float *)y->data + (row * W + j) * C, x->data, S, C, p);
        }
    }
    return PF_OK;
}
