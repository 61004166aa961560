/* volume.h - SpatialVolumeNet: the latents of all views into one volume, and that volume back into
 * the frustum of every view (networks.md, 5). */
#ifndef PF_SAMPLE_VOLUME_H
#define PF_SAMPLE_VOLUME_H
#include "common/config.h"
#include "tools/pf-sample/network.h"

enum { VOLUME_LEVELS = 4 };

/* Every block of the three networks is conv(silu(norm(x + t_conv(t) + v_conv(v)))). */
struct volume_block {
    struct norm norm;
    pf_layer *conv;
    pf_layer *view;             /* NULL: does not depend on the view */
    int64_t time;               /* where its part of the stacked time map begins */
    int64_t C;
    int stride;
    pf_tensor v;                /* f32 [V, C]: v_conv(v), by volume_prepare */
    pf_tensor channel;          /* f32 [V, C] or [1, C]: t + v of this step */
};
struct target_encoder {
    pf_layer *init, *conv2[3];
    struct volume_block block[3];
    struct norm mid[3];         /* between block and conv2 */
    struct norm final_norm;
    pf_layer *final_conv;
};
struct volume_net {
    struct target_encoder target;
    pf_layer *spatial_init, *frustum_init;
    struct volume_block spatial[13];    /* conv0 1 2_0 2_1 3 4_0 4_1 5 6_0 6_1 7 8 9 */
    struct volume_block frustum[9];     /* conv1..6, up0 1 2 */
    pf_layer *time;             /* all t_convs of the three networks in one product */
    int size, depth, dim;       /* side of the volume, depth of the frustum, target_dim */
    float length, near, far;
};

/* n is the prefix "spatial_volume.". */
pf_err volume_load(struct volume_net *w, const struct scope *n, const struct pf_config *conf)
    PF_MUST_USE;
/* Compute what depends on the views alone, v act [V, 4]; it stays on the arena. */
pf_err volume_prepare(struct run *r, struct volume_net *w, const pf_tensor *v) PF_MUST_USE;
/* Compute what depends on the time alone, t_embed act [1, E]; it stays on the arena. */
pf_err volume_time(struct run *r, struct volume_net *w, const pf_tensor *t_embed) PF_MUST_USE;
/* Make volume [1, S, S, S, dims[0]] of the noisy latents x [V, h, w, z]; proj f32 [V, 3, 4]. */
pf_err volume_spatial(struct run *r, pf_tensor *volume, const struct volume_net *w,
                      const pf_tensor *x, const pf_tensor *proj) PF_MUST_USE;
/* Make level[i] [n, D >> i, h >> i, h >> i, dims[i]] for the chunk's views; side is h, unproj f32
 * [V, 3, 4] that of all views. */
pf_err volume_frustum(struct run *r, pf_tensor level[VOLUME_LEVELS], const struct volume_net *w,
                      const pf_tensor *volume, const pf_tensor *unproj, const struct chunk *c,
                      int side) PF_MUST_USE;

#endif
