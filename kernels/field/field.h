/* field.h - a neural field, distance or density with colour: what pf-neus trains and what
 * pf-extract-mesh and pf-render-video look at (field.md).
 *
 *     PF_TRY(pf_field_new(&field, dev, &pf_conf.neus, seed));
 *     PF_TRY(pf_field_load(&field, dev, &doc, &pf_conf.neus));
 *     PF_TRY(pf_field_sdf(field, sdf, x, n));
 *
 * Three kinds: "mlp" is the original's (field.md, 5: 8x256 SDF, 4x256 colour, weight norm) and
 * "hash" is ours (multiresolution hash grid, small SDF and colour MLPs).  Both are distances in
 * scene units, negative inside.  "nerf" is the original's other renderer (field.md, 14), a density,
 * which can be rendered and trained alone.  Colours are sRGB 0..1.
 * Bulk data are plain f32 host arrays here; on a GPU the whole loop stays on the device behind the
 * same calls. */
#ifndef PF_FIELD_H
#define PF_FIELD_H
#include "common/neus_config.h"
#include "common/doc.h"
#include "kernels/dev.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_field pf_field;               /* opaque, owned by whoever made it */

/* Initialised as a sphere, or a ball of haze; conf gives kind and sizes. */
pf_err pf_field_new(pf_field **f, pf_dev *dev, const struct pf_neus_config *conf, uint64_t seed)
    PF_MUST_USE;
/* From the field.* tensors and metadata of a document; kind and sizes come from there and are
 * checked.  conf: the rest. */
pf_err pf_field_load(pf_field **f, pf_dev *dev, const pf_doc *doc,
                     const struct pf_neus_config *conf) PF_MUST_USE;
/* Adds field.* and the metadata (pf.kind "field", field.config: JSON). */
pf_err pf_field_save(const pf_field *f, pf_doc *doc) PF_MUST_USE;
void pf_field_free(pf_field *f);
const char *pf_field_kind(const pf_field *f);   /* "mlp", "hash", "nerf" */
double pf_field_bound(const pf_field *f);       /* half side of the cube that holds the object */

/* ---- looking at it ---- */
/* PF_EARG for a field that is a density: the next two and pf_field_march say the same of it. */
pf_err pf_field_need_surface(const pf_field *f) PF_MUST_USE;
/* sdf [n] at x [n, 3]. */
pf_err pf_field_sdf(pf_field *f, float *sdf, const float *x, int64_t n) PF_MUST_USE;
/* sdf [n], its gradient [n, 3] (not normalised), and the colour [n, 3] seen from direction dir
 * [n, 3] (unit, from the eye into the scene).  dir NULL: as if looked at along -normal (field.md,
 * 11: mesh colours).  Any output may be NULL. */
pf_err pf_field_eval(pf_field *f, float *sdf, float *grad, float *rgb, const float *x,
                     const float *dir, int64_t n) PF_MUST_USE;
/* Volume-rendered colour on white [n, 3], opacity [n], normal [n, 3] (0 of a density) of rays; test
 * mode.  Any output may be NULL. */
pf_err pf_field_render(pf_field *f, float *rgb, float *opacity, float *normal, const float *origin,
                       const float *dir, int64_t n) PF_MUST_USE;

/* ---- training ---- */
/* What it is trained on: pixels of posed views, host memory, borrowed for the trainer's life. */
struct pf_field_views {
    int views, width, height;   /* all of one size */
    const uint8_t *image;       /* [V, H, W, 3] */
    const float *alpha;         /* [V, H, W] */
    const float *pose;          /* [V, 3, 4] world to camera */
    const float *intrinsics;    /* [V, 3, 3] */
};
struct pf_field_losses {
    float total, rgb, mask, eikonal, psnr;
    int64_t rays;               /* of this step */
};
typedef struct pf_trainer pf_trainer;           /* the field plus optimiser state, step, pools */

pf_err pf_trainer_new(pf_trainer **t, pf_field *f, const struct pf_field_views *views,
                      const struct pf_neus_config *conf, uint64_t seed) PF_MUST_USE;
void pf_trainer_free(pf_trainer *t);            /* the field lives on */
/* If the total loss is not finite the field stays as it was, and no step is counted. */
pf_err pf_trainer_step(pf_trainer *t, struct pf_field_losses *losses) PF_MUST_USE;
int pf_trainer_steps_done(const pf_trainer *t);
double pf_trainer_rate(const pf_trainer *t);    /* learning rate of the next step */
/* Everything that a resumed run needs to go on byte for byte: field.*, train.* . */
pf_err pf_trainer_save(const pf_trainer *t, pf_doc *doc) PF_MUST_USE;
pf_err pf_trainer_load(pf_trainer *t, const pf_doc *doc) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
