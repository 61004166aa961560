/* fba.h - FBA matting, the network that finds alpha, foreground and background where a trimap does
 * not say (networks.md, 8).
 *
 *     pf_fba net;
 *     PF_TRY(pf_fba_load(&net, dev, weights));         // layers are the device's
 *     PF_TRY(pf_fba_run(dev, &net, &output, &input, NULL)); */
#ifndef PF_FBA_H
#define PF_FBA_H
#include "kernels/cutout/cutout.h"

enum { PF_FBA_BLOCKS = 16, PF_FBA_POOLS = 4 };

struct pf_fba_norm {            /* a group norm, f32 [C] each */
    pf_tensor gamma, beta;
};

struct pf_fba_block {           /* a bottleneck */
    pf_layer *conv[3], *shortcut;               /* NULL: the input itself */
    struct pf_fba_norm norm[3], shortcut_norm;
};

typedef struct pf_fba {
    pf_layer *conv1;
    struct pf_fba_norm norm1;
    struct pf_fba_block block[PF_FBA_BLOCKS];
    pf_layer *pool[PF_FBA_POOLS];
    struct pf_fba_norm pool_norm[PF_FBA_POOLS];
    /* A convolution of several inputs side by side is one of each, added up. */
    pf_layer *up1[1 + PF_FBA_POOLS], *up1_again, *up2[2], *up3[2], *up4[2], *up4_again, *out;
    struct pf_fba_norm up1_norm[2], up2_norm, up3_norm;
} pf_fba;

/* What it looks at, f32 in the host's memory; H and W are multiples of 8. */
struct pf_fba_input {
    pf_tensor image;            /* [H, W, 3] 0..1: blue, green, red */
    pf_tensor certain;          /* [H, W, 2] 1 where certainly background; certainly object */
    pf_tensor distance;         /* [H, W, 6] near these: matting.h */
};

/* Whether a file holds it, by the names of its tensors. */
bool pf_fba_recognise(const pf_checkpoint *weights);
/* A file that holds anything else besides is refused.  Weights are standardised here and may be
 * closed afterwards. */
pf_err pf_fba_load(pf_fba *net, pf_dev *dev, pf_checkpoint *weights) PF_MUST_USE;
/* output f32 [H, W, 7] 0..1, the caller's: alpha, the object's colour, the background's, both blue
 * first.  watch may be NULL; what it sees is f32 in the host's memory. */
pf_err pf_fba_run(pf_dev *dev, const pf_fba *net, pf_tensor *output,
                  const struct pf_fba_input *input,
                  const struct pf_cutout_watch *watch) PF_MUST_USE;

#endif
