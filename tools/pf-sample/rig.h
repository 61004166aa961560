/* rig.h - everything that the cameras of one target elevation decide: poses, embeddings,
 * projections into the volume, Pluecker maps and epipolar masks (cameras.md). */
#ifndef PF_SAMPLE_RIG_H
#define PF_SAMPLE_RIG_H
#include "common/stream.h"
#include "tools/pf-sample/unet.h"

struct rig {
    int64_t V;
    int side;                           /* the latent's */
    /* on the host, for the stream */
    pf_tensor pose, intrinsics, elevation, azimuth;     /* [V, 3, 4] [V, 3, 3] [V] [V] */
    pf_tensor embed;                    /* [V, 4]: v (cameras.md, 3) */
    /* on the device's arena */
    pf_tensor v;                        /* act [V, 4] */
    pf_tensor proj, unproj;             /* f32 [V, 3, 4]: world to texel, texel ray to world */
    pf_tensor plucker[UNET_LEVELS];     /* act [V, 2hw, 6], token 2 * pixel + view */
    pf_tensor mask[UNET_LEVELS];        /* u32 [V, 2hw, ceil(2hw / 32)], the same order */
};

/* With spad, make the maps and masks too.  Angles are in radians. */
pf_err rig_make(struct run *r, struct rig *w, const struct pf_config *conf, bool spad,
                float elevation, float input_elevation, float input_azimuth) PF_MUST_USE;
void rig_release(struct rig *w);            /* the host's part */

#endif
