/* charts.h - a closed mesh cut into pieces, charts, each of which lies over a plane without folds.
 */
#ifndef PF_CHARTS_H
#define PF_CHARTS_H
#include "kernels/march/mesh.h"

struct pf_charts {              /* zero to initialise */
    int32_t *of;                /* [faces] the chart of each face, owned */
    int count;
    float (*normal)[3];         /* [count] unit, of the chart's plane; owned */
    int64_t *first;             /* [count + 1] where a chart's faces begin in face; owned */
    uint32_t *face;             /* [faces] by chart, rising; owned */
};

/* Connected charts all of whose faces have normals within less than a right angle of the chart's,
 * most of them within FACING of charts.c.  Faces without area go with their neighbours. */
pf_err pf_charts_grow(struct pf_charts *charts, const struct pf_mesh *mesh) PF_MUST_USE;
/* of has changed: count becomes this, and the rest follows. */
pf_err pf_charts_settle(struct pf_charts *charts, const struct pf_mesh *mesh, int count)
    PF_MUST_USE;
void pf_charts_release(struct pf_charts *charts);
/* The face beyond each edge, [faces, 3]: edge k of a face goes from its corner k to the next.
 * Owned by the caller.  UINT32_MAX: none. */
pf_err pf_mesh_neighbours(uint32_t **beyond, const struct pf_mesh *mesh) PF_MUST_USE;

#endif
