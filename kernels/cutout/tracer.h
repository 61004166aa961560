/* tracer.h - TRACER-B7, the network by which carvekit finds an object (networks.md, 5).
 *
 *     pf_tracer net;
 *     PF_TRY(pf_tracer_load(&net, dev, weights));      // layers are the device's
 *     PF_TRY(pf_tracer_run(dev, &net, &mask, &input, NULL));
 *     pf_tracer_release(&net); */
#ifndef PF_TRACER_H
#define PF_TRACER_H
#include "kernels/cutout/cutout.h"

enum {
    PF_TRACER_SIDE = 640,       /* of the square picture that it was trained with */
    PF_TRACER_BLOCKS = 55, PF_TRACER_UNION = 224
};

struct pf_tracer_block {        /* an inverted residual with squeeze and excitation */
    pf_layer *expand;           /* NULL: none */
    pf_layer *depthwise, *reduce, *excite, *project;
};

struct pf_tracer_field {        /* a receptive field block; branches 1 to 3 have four steps */
    pf_layer *branch[4][4], *cat, *residual;
};

struct pf_tracer_object {       /* an object attention */
    pf_layer *depthwise, *point, *branch[4][2], *out;
};

typedef struct pf_tracer {
    pf_layer *stem;
    struct pf_tracer_block block[PF_TRACER_BLOCKS];
    struct pf_tracer_field field[3];
    pf_layer *upsample[5], *concat[2];
    pf_layer *spatial;          /* q, k and v of the union attention's maps, stacked */
    struct pf_tracer_object object[2];
    /* The union attention's vectors are computed by the host: owned, see pf_tracer_release. */
    pf_tensor channel[4];       /* q, k, v, fc [C, C] */
    float norm[2][PF_TRACER_UNION], bn[2][PF_TRACER_UNION];     /* scale and shift */
    float map[3][PF_TRACER_UNION];                              /* spatial_q, _k, _v */
} pf_tracer;

/* Whether a file holds it, by the names of its tensors. */
bool pf_tracer_recognise(const pf_checkpoint *weights);
/* Batch norms are folded into the convolutions before them.  What else the file holds, such as an
 * edge detector, is ignored.  weights may be closed afterwards. */
pf_err pf_tracer_load(pf_tracer *net, pf_dev *dev, pf_checkpoint *weights) PF_MUST_USE;
void pf_tracer_release(pf_tracer *net);
/* mask f32 [H, W] 0..1, the caller's, from the prepared picture f32 [1, H, W, 3], both in the
 * host's memory; H and W are multiples of 32.  watch may be NULL; what it sees is f32 in the host's
 * memory. */
pf_err pf_tracer_run(pf_dev *dev, const pf_tracer *net, pf_tensor *mask, const pf_tensor *input,
                     const struct pf_cutout_watch *watch) PF_MUST_USE;

#endif
