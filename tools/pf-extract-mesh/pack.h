/* pack.h - charts are laid into a strip, each as high up as it goes in above those before it. */
#ifndef PF_PACK_H
#define PF_PACK_H
#include "tools/pf-extract-mesh/atlas.h"

struct pf_chart_place {
    int x, y;                   /* of the chart's lower corner in both directions, texels */
};

/* Places [charts] for the charts of an atlas whose vertices' at are in units, each chart's lowest
 * ones 0, at so many texels a unit.  rim [n]: corners of the atlas' faces at which edges begin
 * that charts end at.  height: of the strip, atlas->size wide, that they take; or INT_MAX if one is
 * wider than that. */
pf_err pf_atlas_pack(struct pf_chart_place *place, int *height, const struct pf_atlas *atlas,
                     const uint32_t *rim, int64_t n, double scale) PF_MUST_USE;

#endif
