/* mesh.h - an indexed triangle mesh: welded vertices, faces counter-clockwise seen from outside. */
#ifndef PF_MESH_H
#define PF_MESH_H
#include <stdint.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_mesh {                /* zero to initialise */
    int64_t vertices, faces;
    float *vertex;              /* [vertices, 3] scene units, owned */
    uint32_t *face;             /* [faces, 3] indices of vertices, owned */
    uint8_t *color;             /* [vertices, 3] sRGB, owned; NULL: none yet */
    float *normal;              /* [vertices, 3] unit, outward, owned; NULL: none yet */
};

void pf_mesh_release(struct pf_mesh *mesh);     /* back to the empty mesh */
/* Memory for a mesh of this size, without colours and normals; what mesh held before is forgotten.
 * PF_ESHAPE if there are more vertices than a PLY file can count. */
pf_err pf_mesh_new(struct pf_mesh *mesh, int64_t vertices, int64_t faces) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
