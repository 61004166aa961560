/* atlas.h - a closed mesh laid flat in a square picture, chart beside chart.
 *
 *     struct pf_atlas atlas;
 *     PF_TRY(pf_atlas_make(&atlas, &mesh, 2048));
 *
 * A chart is projected along its normal, seen from outside, upright and as large as it is: all have
 * the same number of texels a unit.  Charts neither overlap nor come nearer to each other than
 * twice the gutter. */
#ifndef PF_ATLAS_H
#define PF_ATLAS_H
#include "kernels/march/mesh.h"

enum { PF_ATLAS_MIN = 64, PF_ATLAS_MAX = 8192 };       /* texels a side */

struct pf_atlas {
    int size;                   /* texels a side */
    int gutter;                 /* texels around a chart that are its own */
    int charts;
    int64_t vertices;           /* those of the mesh, once for each chart that has them */
    uint32_t *of;               /* [vertices] the mesh's vertex, owned */
    float *at;                  /* [vertices, 2] texels from the left and from above, owned */
    uint32_t *face;             /* [faces, 3] vertices of the atlas, owned */
    int32_t *chart;             /* [faces], owned */
    int32_t *chart_of;          /* [vertices], owned */
    float (*right)[3];          /* [charts] unit: the direction that is to the right; owned */
    double scale;               /* texels a unit */
};

/* PF_ESHAPE if the charts do not fit. */
pf_err pf_atlas_make(struct pf_atlas *atlas, const struct pf_mesh *mesh, int size) PF_MUST_USE;
void pf_atlas_release(struct pf_atlas *atlas);

#endif
