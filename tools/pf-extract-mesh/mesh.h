/* mesh.h - an indexed triangle mesh: welded vertices, faces counter-clockwise seen from outside. */
#ifndef PF_MESH_H
#define PF_MESH_H
#include <stdint.h>

#include "common/error.h"

struct pf_mesh {                /* zero to initialise */
    int64_t vertices, faces;
    float *vertex;              /* [vertices, 3] scene units, owned */
    uint32_t *face;             /* [faces, 3] indices of vertices, owned */
    uint8_t *color;             /* [vertices, 3] sRGB, owned; NULL: none yet */
};

void pf_mesh_release(struct pf_mesh *mesh);     /* back to the empty mesh */
/* Drop all but the connected component that has the most faces (of equals the first). */
pf_err pf_mesh_keep_largest(struct pf_mesh *mesh) PF_MUST_USE;

#endif
