/* simplify.h - a mesh of fewer faces, by meshoptimizer.
 *
 *     pf_must(pf_mesh_simplify(&mesh, 50000)); */
#ifndef PF_SIMPLIFY_H
#define PF_SIMPLIFY_H
#include "kernels/march/mesh.h"

/* At most target faces, or as few as edges can be collapsed to.  Vertices stay where they are, and
 * keep their colours and normals; most of them go.  A closed mesh stays closed, each edge with two
 * faces and each vertex with one fan of them, see pf_mesh_split_pinches. */
pf_err pf_mesh_simplify(struct pf_mesh *mesh, int64_t target) PF_MUST_USE;

/* Where parts of a closed mesh touch in a vertex or an edge, which then has four faces or more,
 * each part gets vertices of its own.  Collapsing edges makes such places of necks that are thinner
 * than their edges are long.  Two faces back to back that come off so are dropped. */
pf_err pf_mesh_split_pinches(struct pf_mesh *mesh) PF_MUST_USE;

#endif
