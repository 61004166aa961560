/* field_priv.h - the inside of a field: what a trainer needs of field.c, and tests of trainer.c.
 * Private to kernels/field; net.h is what a network and a sampler may know. */
#ifndef PF_FIELD_PRIV_H
#define PF_FIELD_PRIV_H
#include "kernels/field/field.h"
#include "kernels/field/net.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_occupancy;
struct pf_samples;
struct pf_field_cuda;

/* The network, how sharp its surface is, and what it was made from. */
struct pf_field {
    pf_dev *dev;                /* borrowed */
    struct pf_net *net;
    float variance;             /* inv_s = exp(10 variance) (field.md, 4) */
    int step;                   /* training steps it has had */
    struct pf_neus_config conf;      /* gives kind and sizes */
    struct pf_occupancy *occupancy;     /* to render by, if its kind wants_grid; made on demand */
    struct pf_field_cuda *cuda; /* the field on its GPU; NULL: it lives on the host */
};

/* ---- field.c, for a trainer ---- */

float pf_field_inv_s(const pf_field *f);
/* Parameters and variance from a document whose field has f's very sizes. */
pf_err pf_field_read(pf_field *f, const pf_doc *doc) PF_MUST_USE;
/* A finite f32 tensor of this shape from a document. */
pf_err pf_field_read_tensor(float *to, const pf_doc *doc, const char *name, int ndim,
                            const int64_t *dim) PF_MUST_USE;
/* Samples of rays by the field's own way; o: the grid of a field that wants one, else NULL.
 * offset [rays] moves the original's depths in training, NULL: test mode. */
pf_err pf_field_sample(pf_field *f, struct pf_occupancy *o, struct pf_samples *s,
                       const float *origin, const float *dir, int64_t rays, const float *offset,
                       uint64_t seed, int step) PF_MUST_USE;
/* The parameters are others now: forget what was derived from them. */
void pf_field_changed(pf_field *f);

/* ---- trainer.c, for tests; a header of its own would hold these three alone ---- */

/* Factor of the learning rate at a step (field.md, 7): warm-up, then what the kind says. */
double pf_neus_rate(const struct pf_neus_config *conf, int step);
/* The losses of the next step, and the gradients, which stay where the parameters are. */
pf_err pf_trainer_gradients(pf_trainer *t, struct pf_field_losses *losses, float *d_variance)
    PF_MUST_USE;
/* After that: the gradients to the host, param[].grad, wherever they are. */
pf_err pf_trainer_fetch_gradients(pf_trainer *t) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
