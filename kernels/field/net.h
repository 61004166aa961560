/* net.h - what a renderer and a trainer need of a network; mlp.c and hash.c implement it.  Private
 * to kernels/field.  Networks and samplers know no more of a field than this.
 *
 *     PF_TRY(pf_net_kind(conf->field)->create(&net, conf, seed));
 *     PF_TRY(net->ops->sdf(net, sdf, x, n));
 *     net->ops->free(net); */
#ifndef PF_FIELD_NET_H
#define PF_FIELD_NET_H
#include <stddef.h>

#include "common/neus_config.h"
#include "kernels/dev.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One trainable tensor: value, gradient and AdamW's moments have the same n elements. */
struct pf_param {
    const char *name;           /* "field.sdf.lin0.weight_v": as in streams */
    int ndim;
    int64_t dim[3];
    int64_t n;
    float *value, *grad;        /* owned by the net */
    bool decay;                 /* AdamW's weight decay applies */
};

struct pf_net;
struct pf_net_cuda;
struct pf_density_grid;

/* A size that a field's document must hold, so that its network can be made again. */
struct pf_net_key {
    const char *name;           /* of the member, and in the document; NULL ends a list */
    size_t at;                  /* in struct pf_neus_config; an int */
    int lo, hi;
    bool late;                  /* older documents lack it: 0 there */
};
#define PF_NET_KEY(name, lo, hi) {#name, offsetof(struct pf_neus_config, name), lo, hi, false}
#define PF_NET_LATE_KEY(name, lo, hi) {#name, offsetof(struct pf_neus_config, name), lo, hi, true}

/* A kind of network: how one is made, what is particular about it, and what one does.  All kinds
 * stand in kinds.c. */
struct pf_net_ops {
    const char *kind;           /* neus.field */
    pf_err (*create)(struct pf_net **net, const struct pf_neus_config *conf, uint64_t seed);
    /* The same on a GPU, of the one on the host; NULL without CUDA. */
    pf_err (*cuda_new)(struct pf_net_cuda **net, pf_dev *dev, struct pf_net *host);
    const struct pf_net_key *keys;
    /* The numbers of its largest tensor at least, so that sizes in a small file cannot ask for much
     * memory; keys are in range. */
    int64_t (*least_numbers)(const struct pf_neus_config *conf);

    /* A kind whose sdf is a density (rays/density.h): it has no gradient, grad is NULL everywhere,
     * and no surface.  Says what rays are marched through, brought up to date before step number
     * step of a training run.  NULL: a distance. */
    pf_err (*density_grid)(struct pf_net *net, struct pf_density_grid *g, bool train, uint64_t seed,
                           int step);
    bool wants_grid;            /* rays are sampled through a grid of distances (occupancy.h) */
    int64_t (*samples_a_ray)(const struct pf_neus_config *conf);     /* at most */
    /* Factor of the learning rate after the warm-up (field.md, 7). */
    double (*rate)(const struct pf_neus_config *conf, int step);
    double adam_eps;
    bool variance_rate;         /* the sharpness learns at lr_variance times the rate */

    /* sdf alone, any n. */
    pf_err (*sdf)(struct pf_net *net, float *sdf, const float *x, int64_t n);
    /* Values and what backward needs of these n points (the tape; one at a time, kept in net).
     * sdf [n], grad [n, 3], rgb [n, 3]; dir [n, 3] into the scene, NULL: -normal.  rgb may be NULL.
     * tape: false when no backward follows. */
    pf_err (*forward)(struct pf_net *net, float *sdf, float *grad, float *rgb, const float *x,
                      const float *dir, int64_t n, bool tape);
    /* Add d loss / d parameters to param[].grad, given cotangents of the last forward's outputs.
     * Includes the second-order terms through grad (field.md, 8). */
    pf_err (*backward)(struct pf_net *net, const float *d_sdf, const float *d_grad,
                       const float *d_rgb);
    /* Called before step number step of a training run: coarse-to-fine levels and the like. */
    void (*set_step)(struct pf_net *net, int step);
    void (*free)(struct pf_net *net);
};

struct pf_net {
    const struct pf_net_ops *ops;
    double bound;
    int64_t chunk;              /* points that a forward with tape is best given: its memory */
    struct pf_param *param;     /* all trainable tensors but the variance */
    int params;
};

/* ---- kinds.c ---- */
/* The kind of this name; NULL: none, or no name. */
const struct pf_net_ops *pf_net_kind(const char *name);
/* All names, quoted: "hash" or "mlp".  Returns text. */
const char *pf_net_kind_names(char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
