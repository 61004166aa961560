/* field_march.h - the surface of a field as a mesh, found where the field lives.
 *
 *     struct pf_march_options opt = {.resolution = 512, .bound = pf_field_bound(field)};
 *     PF_TRY(pf_field_march(&mesh, NULL, field, &opt)); */
#ifndef PF_FIELD_MARCH_H
#define PF_FIELD_MARCH_H
#include "kernels/field/field.h"
#include "kernels/march/march.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As pf_march (march.h).  Distances are as the original's grid has them: 1 outside the unit ball,
 * which in its cube of half side 0.6 are the corners alone (field.md, 11). */
pf_err pf_field_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_field *f,
                      const struct pf_march_options *options) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
