/* field_cuda.h - a field and its training on a GPU, for field.c and trainer.c: they call these
 * where the field's device is one (PF_CUDA && f->cuda).  Private to kernels/field.
 *
 * Parameters live on both sides.  Whichever side changed them last has the newer ones; the other
 * gets them when it asks: the device before it computes, the host before it saves. */
#ifndef PF_FIELD_FIELD_CUDA_H
#define PF_FIELD_FIELD_CUDA_H
#include "kernels/field/adam.h"
#include "kernels/field/field_priv.h"
#include "kernels/field/rays/batch.h"
#include "kernels/field/rays/composite.h"
#include "kernels/march/march.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_field_cuda;           /* of a field; opaque, owned by it */
struct pf_trainer_cuda;         /* of a trainer */

pf_err pf_field_cuda_new(pf_field *f) PF_MUST_USE;              /* sets f->cuda */
void pf_field_cuda_free(pf_field *f);
void pf_field_cuda_changed(pf_field *f);                /* the host's parameters are newer */
/* The host's parameters are the device's, if those are newer. */
pf_err pf_field_cuda_fetch(const pf_field *f) PF_MUST_USE;

/* As in field.h; host memory. */
pf_err pf_field_cuda_eval(pf_field *f, float *sdf, float *grad, float *rgb, const float *x,
                          const float *dir, int64_t n) PF_MUST_USE;
pf_err pf_field_cuda_render(pf_field *f, float *rgb, float *opacity, float *normal,
                            const float *origin, const float *dir, int64_t n) PF_MUST_USE;
/* rgb [size, size, 3], on the host: what a camera sees (field_view.h). */
pf_err pf_field_cuda_view(pf_field *f, uint8_t *rgb, const double pose[12], const double K[9],
                          int size) PF_MUST_USE;
/* As pf_field_march. */
pf_err pf_field_cuda_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_field *f,
                           const struct pf_march_options *options) PF_MUST_USE;

/* Views and pools of the batch are copied. */
pf_err pf_trainer_cuda_new(struct pf_trainer_cuda **t, pf_field *f,
                           const struct pf_neus_config *conf, const struct pf_batch *batch)
    PF_MUST_USE;
void pf_trainer_cuda_free(struct pf_trainer_cuda *t);
/* Losses of the batch of this step, and the gradient of every parameter, which stays on the device.
 * ratio: how far the cosine is annealed. */
pf_err pf_trainer_cuda_gradients(struct pf_trainer_cuda *t, struct pf_loss_weights *weights,
                                 struct pf_loss_sums *sums, float ratio, int step, uint64_t seed)
    PF_MUST_USE;
/* AdamW on all parameters, and on the views' tones; decay applies where a parameter says so.  step
 * from 1. */
pf_err pf_trainer_cuda_update(struct pf_trainer_cuda *t, const struct pf_adamw *adamw,
                              const struct pf_adamw *of_tones, int64_t step) PF_MUST_USE;
/* The last gradients, to net->param[].grad: for tests. */
pf_err pf_trainer_cuda_fetch_gradients(struct pf_trainer_cuda *t) PF_MUST_USE;
/* Moments m[i], v[i] of parameter i and the grid of distances, NULL for a field that wants none,
 * from the host (in) or to it. */
pf_err pf_trainer_cuda_exchange(struct pf_trainer_cuda *t, float *const *m, float *const *v,
                                float *distance, bool in) PF_MUST_USE;
/* The views' tones and their moments, [3, views PF_TONE], from the host (in) or to it. */
pf_err pf_trainer_cuda_exchange_tones(struct pf_trainer_cuda *t, float *tones, bool in) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
