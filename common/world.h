/* world.h - where the scene's cube lies in the world of the user's cameras, pf.world of
 * pf-stream(5):
 *
 *     cube = scale (world - center) */
#ifndef PF_WORLD_H
#define PF_WORLD_H
#include "common/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_world {
    double center[3], scale;
};
pf_err pf_world_put(pf_doc *doc, const struct pf_world *w) PF_MUST_USE;
/* PF_EFORMAT if the document does not say it, or says nonsense. */
pf_err pf_world_need(struct pf_world *w, const pf_doc *doc) PF_MUST_USE;
/* n points [n, 3] of the cube, to the world. */
void pf_world_points(float *point, int64_t n, const struct pf_world *w);

#ifdef __cplusplus
}
#endif
#endif
