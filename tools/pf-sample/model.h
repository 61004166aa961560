/* model.h - all networks of pf-sample and what is shared by a run. */
#ifndef PF_SAMPLE_MODEL_H
#define PF_SAMPLE_MODEL_H
#include "tools/pf-sample/ddim.h"
#include "tools/pf-sample/unet.h"
#include "tools/pf-sample/vae.h"

struct model {
    struct run run;
    struct pf_config conf;
    struct vae vae;
    struct volume_net volume;
    struct unet unet;
    pf_layer *time0, *time2;            /* the volume's time embedding */
    pf_layer *context;                  /* cc_projection */
    float alphas_cumprod[DDIM_TIMES];   /* the checkpoint's, or the formula's */
};

/* Check the config's sizes against each other and load everything; weights must stay open until
 * the device closes. */
pf_err model_load(struct model *m, pf_dev *dev, pf_checkpoint *weights,
                  const struct pf_config *conf) PF_MUST_USE;

#endif
