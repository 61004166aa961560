/* surface.h - the surface of a mesh as points: samples of all of it, those that the cameras of a
 * rig see, and what the original takes for them (measures.md, 2). */
#ifndef PF_SURFACE_H
#define PF_SURFACE_H
#include "tools/pf-eval/shape.h"

/* count points with normals, evenly over the area.  PF_EFORMAT: the mesh has none. */
pf_err surface_sample(struct points *p, const struct pf_mesh *mesh, int64_t count, uint64_t seed)
    PF_MUST_USE;
/* Keep those points of the mesh that one of the 16 cameras at this elevation sees. */
pf_err surface_keep_seen(struct points *p, const struct pf_mesh *mesh, double elevation)
    PF_MUST_USE;
/* The original's points: the 16 depth maps of 256 x 256 pixels, back in the world.  No normals. */
pf_err surface_depths(struct points *p, const struct pf_mesh *mesh, double elevation) PF_MUST_USE;
/* One point, the mean, for each cell of this side; normals become unit ones. */
pf_err surface_thin(struct points *p, double side) PF_MUST_USE;

#endif
