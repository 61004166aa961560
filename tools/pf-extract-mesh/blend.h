/* blend.h - colours of a surface out of the views that see it.
 *
 *     PF_TRY(pf_blend_new(&blend));
 *     PF_TRY(pf_blend_add(blend, &views, &mesh));              // as often as there are documents
 *     PF_TRY(pf_blend_colors(blend, rgb, point, normal, n));
 *     pf_blend_free(blend); */
#ifndef PF_BLEND_H
#define PF_BLEND_H
#include "common/posed_views.h"
#include "kernels/march/mesh.h"

typedef struct pf_blend pf_blend;               /* opaque, owned by whoever made it */

pf_err pf_blend_new(pf_blend **blend) PF_MUST_USE;
/* More views, which are copied; mesh, in their space, is what hides points. */
pf_err pf_blend_add(pf_blend *blend, const struct pf_posed_views *views,
                    const struct pf_mesh *mesh) PF_MUST_USE;
/* rgb [n, 3] sRGB 0..1 of points [n, 3] of the surface with unit normals [n, 3].  What the views
 * that see a point say of it replaces what rgb held, the more the better they see it; a point that
 * none sees keeps it.  All points of a surface at once: together they are to look like the views.
 */
pf_err pf_blend_colors(const pf_blend *blend, float *rgb, const float *point, const float *normal,
                       int64_t n) PF_MUST_USE;
void pf_blend_free(pf_blend *blend);

#endif
