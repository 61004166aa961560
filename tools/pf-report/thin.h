/* thin.h - a mesh small enough for a page: fewer vertices, and few bytes for each. */
#ifndef PF_REPORT_THIN_H
#define PF_REPORT_THIN_H
#include <stddef.h>

#include "kernels/march/mesh.h"

/* Join vertices that share a cell of the finest grid that leaves at most `most` of them; faces that
 * lose a corner so are dropped.  Nothing happens to a mesh that is small enough. */
pf_err thin_mesh(struct pf_mesh *mesh, int64_t most) PF_MUST_USE;

enum { THIN_VERTEX = 12 };
struct thin_bytes {
    float low[3], size[3];      /* the box that coordinates of 0 to 65535 fill */
    uint8_t *bytes;             /* owned: vertices, then faces */
    size_t n;
    int index;                  /* bytes of an index: 2 or 4 */
};
/* Little-endian.  A vertex: x y z u16, normal s8 [3], colour u8 [3] (grey without colours); a face:
 * three indices. */
pf_err thin_pack(struct thin_bytes *packed, const struct pf_mesh *mesh) PF_MUST_USE;

#endif
