/* cutout.h - the networks that tell an object from its background: U^2-Net, U^2-Net-p and IS-Net
 * (networks.md).
 *
 *     pf_cutout net;
 *     PF_TRY(pf_cutout_load(&net, dev, weights));      // layers are the device's
 *     PF_TRY(pf_cutout_run(dev, &net, &mask, &input, NULL)); */
#ifndef PF_CUTOUT_H
#define PF_CUTOUT_H
#include "common/checkpoint.h"
#include "kernels/ops.h"

enum { PF_CUTOUT_STAGES = 11, PF_CUTOUT_SIDES = 6, PF_CUTOUT_DEPTH_MAX = 7 };

enum pf_cutout_kind { PF_U2NET, PF_U2NETP, PF_ISNET };

struct pf_cutout_stage {        /* a residual U-block (networks.md, 2) */
    pf_layer *in, *down[PF_CUTOUT_DEPTH_MAX], *up[PF_CUTOUT_DEPTH_MAX];
};

typedef struct pf_cutout {
    enum pf_cutout_kind kind;
    pf_layer *conv_in;          /* of IS-Net */
    struct pf_cutout_stage stage[PF_CUTOUT_STAGES];
    pf_layer *side[PF_CUTOUT_SIDES];
    pf_layer *outconv;          /* of U^2-Net and U^2-Net-p */
} pf_cutout;

/* Who wants to see what the parts of a network give: "stage1.rebnconv3d", "stage1", "side1". */
struct pf_cutout_watch {
    /* output f32 [1, H, W, C] in the host's memory */
    pf_err (*see)(void *user, const char *name, const pf_tensor *output);
    void *user;
};

/* Which network a file holds, by the names and sizes of its tensors; PF_EFORMAT if it is none. */
pf_err pf_cutout_recognise(enum pf_cutout_kind *kind, pf_checkpoint *weights) PF_MUST_USE;
const char *pf_cutout_name(enum pf_cutout_kind kind);           /* "U^2-Net-p" */
/* The side of the square picture that it was trained with: 320 or 1024. */
int pf_cutout_side(enum pf_cutout_kind kind);

/* Batch norms are folded into the convolutions before them; where the file has none, whoever wrote
 * it has done so.  weights may be closed afterwards. */
pf_err pf_cutout_load(pf_cutout *net, pf_dev *dev, pf_checkpoint *weights) PF_MUST_USE;
/* mask f32 [H, W] 0..1, the caller's, from the prepared picture f32 [1, H, W, 3], both in the
 * host's memory.  Any size.  watch may be NULL. */
pf_err pf_cutout_run(pf_dev *dev, const pf_cutout *net, pf_tensor *mask, const pf_tensor *input,
                     const struct pf_cutout_watch *watch) PF_MUST_USE;

#endif
