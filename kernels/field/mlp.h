/* mlp.h - what the two files of the original's field share: its layers and where their activations
 * lie.  Private to mlp.c, which runs it, and mlp_new.c, which makes it. */
#ifndef PF_FIELD_MLP_H
#define PF_FIELD_MLP_H
#include "kernels/field/net.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_LAYERS = 17, BLOCK = 64, TILE = 64, CHUNK = 4096 };

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

extern const struct pf_net_ops pf_mlp_ops;
void pf_mlp_free(struct pf_net *net);           /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
