/* mlp.h - what the files of the original's field share: its layers, where their activations lie,
 * and what happens at one point on any device.  Private to this folder: mlp_init.c makes a field,
 * mlp.c, mlp.cu, the two mlp_backward and mlp_half.cu run it. */
#ifndef PF_FIELD_MLP_H
#define PF_FIELD_MLP_H
#include <math.h>

#include "common/hd.h"
#include "kernels/field/net.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_LAYERS = 17, BLOCK = 64, TILE = 64, CHUNK = 4096 };
#define PF_ROOT_HALF 0.70710678f                /* scale of the skip layer's input */

/* One array of the tape: [points, width], at points * at from its start. */
struct slot {
    int64_t at, width;
};

struct layer {
    int64_t in, out;
    struct pf_param *g, *v, *b; /* [out, 1] [out, in] [out]: w = g v / |v| by rows */
    float *w, *wt;              /* [out, in] and its transpose */
    double *length;             /* [out] |v| */
    struct slot x;              /* input */
    struct slot slope;          /* phi'(z), z = w x + b */
    struct slot u;              /* d sdf / d z */
    struct slot p_bar;          /* cotangent of w^T u */
    struct slot z_bar;          /* cotangent of z */
};

struct mlp {
    struct pf_net net;
    int sdf_layers, color_layers;       /* matrices: one more than hidden layers */
    struct layer sdf[MAX_LAYERS], color[MAX_LAYERS];
    int skip;                   /* the sdf layer whose input is [h, encoding] / sqrt 2 */
    int sdf_freq, color_freq;
    int64_t encoded, color_encoded, feature, widest;
    struct slot frame, rgb;     /* unit normal, |grad|, view, view . normal; colour */
    int64_t forward_width, width;       /* floats a point: what forward needs; all */
    float *weights;             /* what the w, wt of all layers point into */
    double *lengths;
    char (*name)[48];
    float *tape;
    int64_t tape_points, tape_room;
    bool tape_color;
    float *scratch;             /* [threads, scratch_width] */
    int64_t scratch_width;
    int threads;
};

static inline int
matrices(const struct mlp *m)
{
    return m->sdf_layers + m->color_layers;
}

static inline struct layer *
matrix(struct mlp *m, int i)
{
    return i < m->sdf_layers ? &m->sdf[i] : &m->color[i - m->sdf_layers];
}

/* log(1 + e) for 0 <= e <= 1: twice the inverse hyperbolic tangent of e / (2 + e). */
PF_FN float
pf_log_1p(float e)
{
    const float s = e / (2 + e), z = s * s;
    float p = 1.0f / 13;
    p = p * z + 1.0f / 11;
    p = p * z + 1.0f / 9;
    p = p * z + 1.0f / 7;
    p = p * z + 0.2f;
    p = p * z + 1.0f / 3;
    return 2 * s * (p * z + 1);
}

/* Softplus with beta 100 and its slope; the identity above 20 / 100, as torch has it.  e: exp(-|100
 * z|), for which each device has its own way. */
PF_FN float
pf_softplus(float z, float e, float *slope)
{
    const float x = 100 * z, big = x > 0 ? x : 0;
    const float s = (x >= 0 ? 1 : e) / (1 + e);
    *slope = x <= 20 ? s : 1;
    return x <= 20 ? (big + pf_log_1p(e)) / 100 : z;    /* a NaN stays one */
}

/* Number c of J^T q: from a cotangent of the encoding to one of x.  code is the encoding of x. */
PF_FN float
pf_encoded_transposed(const float *q, const float *code, int frequencies, int c)
{
    float to = q[c];
    for (int k = 0; k < frequencies; k++) {
        const int sine = 3 + 6 * k + c, cosine = sine + 3;
        to += (float)(1 << k) * (code[cosine] * q[sine] - code[sine] * q[cosine]);
    }
    return to;
}

/* What the colour network looks at: unit normal, |g|, view, view . normal.  dir NULL looks along
 * -normal. */
PF_FN void
pf_frame(float frame[8], const float g[3], const float *dir)
{
    const float length = sqrtf(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
    float *const normal = frame, *const view = frame + 4, size = 1;
    frame[3] = length > 1e-12f ? length : 1e-12f;
    for (int k = 0; k < 3; k++)
        normal[k] = g[k] / frame[3];
    if (dir) {
        size = sqrtf(dir[0] * dir[0] + dir[1] * dir[1] + dir[2] * dir[2]);
        size = size > 1e-12f ? size : 1e-12f;
    }
    for (int k = 0; k < 3; k++)
        view[k] = dir ? -dir[k] / size : normal[k];
    frame[7] = view[0] * normal[0] + view[1] * normal[1] + view[2] * normal[2];
}

/* Adds to g_bar what the colour says of the normal.  x_bar: cotangent of the colour network's input
 * from the reflection on, code: that reflection's encoding. */
PF_FN void
pf_frame_backward(float g_bar[3], const float *x_bar, const float *code, const float frame[8],
                  int frequencies)
{
    const float *const normal = frame, *const view = frame + 4;
    const float *const direct = x_bar + 3 + 6 * frequencies;
    float r_bar[3], n_bar[3];
    for (int k = 0; k < 3; k++)
        r_bar[k] = pf_encoded_transposed(x_bar, code, frequencies, k);
    const float rn = r_bar[0] * normal[0] + r_bar[1] * normal[1] + r_bar[2] * normal[2];
    for (int k = 0; k < 3; k++)                 /* reflected = 2 (view . normal) normal - view */
        n_bar[k] = direct[k] + 2 * (rn * view[k] + frame[7] * r_bar[k]);
    const float along = n_bar[0] * normal[0] + n_bar[1] * normal[1] + n_bar[2] * normal[2];
    for (int k = 0; k < 3; k++)
        g_bar[k] += (n_bar[k] - along * normal[k]) / frame[3];
}

extern const struct pf_net_ops pf_mlp_ops;
pf_err pf_mlp_new(struct pf_net **net, const struct pf_neus_config *conf, uint64_t seed)
    PF_MUST_USE;
pf_err pf_mlp_cuda_new(struct pf_net_cuda **net, pf_dev *dev, struct pf_net *host) PF_MUST_USE;
void pf_mlp_free(struct pf_net *net);           /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
