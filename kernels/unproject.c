/* unproject.c - pf_unproject: sample every view's feature map at every vertex of the volume.
 *
 *   vertex (k, j, i) has world position X = (g_i, g_j, g_k), g = linspace(-length, length, S)
 *   p = proj_v (X, 1);   depth = max(p_z, 1e-4);   (u, v) = (p_x, p_y) / depth, in texels
 *   y[0, k, j, i, v*C + c] = bilinear sample of x[v, ..., c] at (u, v); corners outside are 0
 *
 *   y f32 [1, S, S, S, V*C]   x f32 [V, H, W, C]   proj f32 [V, 3, 4]
 *
 * The reference's grid_sample(align_corners=True, padding "zeros") with its normalisation undone:
 * texel k's centre is at coordinate k (networks.md, 5.2). */
#include <math.h>
#include <string.h>

#include "kernels/ops.h"

pf_err
pf_unproject(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *proj, float length)
{
    PF_TRY(pf_tensor_expect(x, "x", pf_dev_dtype(dev), 4, (int64_t[]){-1, -1, -1, -1}));
    PF_TRY(pf_tensor_expect(y, "y", pf_dev_dtype(dev), 5,
                            (int64_t[]){1, -1, -1, -1, x->dim[0] * x->dim[3]}));
    PF_TRY(
        pf_tensor_expect(y, "y", pf_dev_dtype(dev), 5,
                         (int64_t[]){1, y->dim[1], y->dim[1], y->dim[1], x->dim[0] * x->dim[3]}));
    PF_EXPECT(proj, PF_F32, x->dim[0], 3, 4);
    return PF_DISPATCH(dev, pf_unproject, y, x, proj, length);
}

/* The two texels of an axis of n that coordinate u lies between, and their weights: 0 for one that
 * is outside, whose index is then any valid one. */
static void
neighbours(int64_t index[2], float weight[2], double u, int64_t n)
{
    const double low = floor(u);
    for (int i = 0; i < 2; i++) {
        const bool inside = low + i >= 0 && low + i < (double)n;
        index[i] = inside ? (int64_t)low + i : 0;
        weight[i] = inside ? (float)(1 - fabs(u - low - i)) : 0;
    }
}

/* out [C] = map [H, W, C] at (u, v). */
static void
sample(float *restrict out, const float *restrict map, int64_t H, int64_t W, int64_t C, double u,
       double v)
{
    int64_t i[2], j[2];
    float wi[2], wj[2];
    if (!(u > -1 && u < (double)W && v > -1 && v < (double)H)) {
        memset(out, 0, (size_t)C * sizeof *out);
        return;
    }
    neighbours(j, wj, u, W);
    neighbours(i, wi, v, H);
    const float w00 = wi[0] * wj[0], w01 = wi[0] * wj[1], w10 = wi[1] * wj[0], w11 = wi[1] * wj[1];
    const float *const p00 = map + (i[0] * W + j[0]) * C, *const p01 = map + (i[0] * W + j[1]) * C;
    const float *const p10 = map + (i[1] * W + j[0]) * C, *const p11 = map + (i[1] * W + j[1]) * C;
#pragma omp simd
    for (int64_t c = 0; c < C; c++)
        out[c] = w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c];
}

pf_err
pf_unproject_cpu(pf_dev *dev, pf_tensor *y, const pf_tensor *x, const pf_tensor *proj, float length)
{
    const int64_t V = x->dim[0], H = x->dim[1], W = x->dim[2], C = x->dim[3], S = y->dim[1];
    const double step = S > 1 ? 2.0 * length / (double)(S - 1) : 0;
    (void)dev;
#pragma omp parallel for
    for (int64_t row = 0; row < S * S; row++)
        for (int64_t i = 0; i < S; i++) {
            const double X[3] = {-length + step * (double)i, -length + step * (double)(row % S),
                                 -length + step * (double)(row / S)};
            for (int64_t v = 0; v < V; v++) {
                const float *const P = (const float *)proj->data + v * 12;
                double p[3];
                for (int k = 0; k < 3; k++)
                    p[k] =
                        P[4 * k] * X[0] + P[4 * k + 1] * X[1] + P[4 * k + 2] * X[2] + P[4 * k + 3];
                const double depth = p[2] > 1e-4 ? p[2] : 1e-4;
                sample((float *)y->data + ((row * S + i) * V + v) * C,
                       (const float *)x->data + v * H * W * C, H, W, C, p[0] / depth, p[1] / depth);
            }
        }
    return PF_OK;
}
