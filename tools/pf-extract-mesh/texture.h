/* texture.h - pictures for an atlas: the colours of the surface, and its normals.
 *
 *     PF_TRY(pf_texture_make(&texture, &mesh, field, views, &options)); */
#ifndef PF_TEXTURE_H
#define PF_TEXTURE_H
#include "common/image.h"
#include "kernels/field/field.h"
#include "tools/pf-extract-mesh/atlas.h"
#include "tools/pf-extract-mesh/blend.h"

struct pf_texture {             /* zero to initialise */
    struct pf_atlas atlas;
    pf_image color;             /* [size, size, 3] sRGB */
    pf_image normal;            /* the same, of the surface's normals; no pixels: not wanted */
};

/* size texels a side for a mesh with unit normals.  Colours are the field's, seen along its normal,
 * or out of the views if there is a blend.  With normals, a texel has the field's normal in the
 * frame of the mesh there: red to the right, green up, blue along the mesh's own normal. */
pf_err pf_texture_make(struct pf_texture *texture, const struct pf_mesh *mesh, int size,
                       pf_field *field, const pf_blend *blend, bool normals) PF_MUST_USE;
void pf_texture_release(struct pf_texture *texture);
/* The frame's first axis at a vertex of the mesh's normal, in a chart whose right is this: unit.
 * The second is normal x tangent. */
void pf_texture_tangent(float tangent[3], const float normal[3], const float right[3]);

#endif
