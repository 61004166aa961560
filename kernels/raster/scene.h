/* scene.h - a mesh with its materials, as the rasteriser draws it (raster.md).  Host memory.
 *
 *     PF_TRY(pf_scene_read(&scene, "chair.glb", 4 * 256));
 *     pf_scene_place(&scene, &(struct pf_scene_place){.up = scene.up, .scale = 1}, &world);
 *     PF_TRY(pf_raster_open(&raster, dev, &scene));
 *     pf_scene_release(&scene);
 *
 * Corners of a triangle are counter-clockwise seen from its front.  Colours are linear light. */
#ifndef PF_SCENE_H
#define PF_SCENE_H
#include <stdbool.h>

#include "common/doc.h"
#include "common/world.h"
#include "kernels/march/mesh.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_SCENE_LARGEST 1e9f    /* of coordinates: more is no mesh of anything */

enum pf_wrap { PF_WRAP_REPEAT, PF_WRAP_CLAMP, PF_WRAP_MIRROR };
struct pf_material {
    float color[4];             /* times the vertex' colour and the texture's */
    float cutoff;               /* what has less alpha is not there; 0: all of it is */
    int32_t texture;            /* -1: none */
    int32_t wrap[2];            /* enum pf_wrap, along u and v */
    int32_t two_sided;
};
struct pf_texture {
    int32_t width, height;
    int64_t first;              /* its texels begin at texel + 4 first */
};

enum pf_up { PF_UP_Y, PF_UP_Z };
typedef struct pf_scene {       /* zero to initialise; all is owned */
    int64_t vertices, triangles, materials, textures;
    float *position;            /* [vertices, 3] */
    float *normal;              /* [vertices, 3] unit, or 0: that of the triangle; NULL: all 0 */
    float *uv;                  /* [vertices, 2] v upwards; NULL: no texture */
    float *color;               /* [vertices, 4]; NULL: all 1 */
    uint32_t *index;            /* [triangles, 3] */
    uint32_t *material_of;      /* [triangles] */
    struct pf_material *material;
    struct pf_texture *texture;
    uint8_t *texel;             /* RGBA, sRGB, rows top to bottom, one texture after the other */
    enum pf_up up;              /* what the file's format says */
} pf_scene;

/* Read GLB, glTF, OBJ, PLY, STL, COLLADA or FBX, told by the name's ending.  Textures are halved
 * until no side is longer than texture_side.  Only files in path's folder are opened.  PF_EIO,
 * PF_EFORMAT, PF_ENOMEM: one sentence that names the file. */
pf_err pf_scene_read(pf_scene *scene, const char *path, int texture_side) PF_MUST_USE;
void pf_scene_release(pf_scene *scene);         /* back to the empty scene */

struct pf_scene_place {
    enum pf_up up;              /* y: turned so that z is up and what was in front, z, is at +x */
    bool keep;                  /* lengths and the origin stay, but for within */
    const struct pf_world *within;      /* with keep: the cube of somebody else; or NULL */
    double scale;               /* unless keep: of the longest edge of the box around it */
    bool fit;                   /* less, if some pictures of the rig would not show all of it */
    double yaw;                 /* radians about z, afterwards */
};
/* Put the scene into the cube.  *world: where the cube lies in the z-up world of the file. */
void pf_scene_place(pf_scene *scene, const struct pf_scene_place *place, struct pf_world *world);

/* The scene as a mesh, owned by the caller, with the colour that its surface has at each vertex;
 * normals of 0 where nobody knows them. */
pf_err pf_scene_mesh(struct pf_mesh *mesh, const pf_scene *scene) PF_MUST_USE;

/* ---- private to kernels/raster/ and its tests ---- */

/* What a process of its own makes of the file: a document (raster.md, 2), in memory that is the
 * caller's, *bytes NULL on failure. */
pf_err pf_scene_import(uint8_t **bytes, size_t *size, const char *path) PF_MUST_USE;
/* The same of a PLY file, whose numbers are not checked either. */
pf_err pf_scene_ply(pf_doc *doc, const char *path) PF_MUST_USE;
/* The scene of such a document, of which nothing is believed. */
pf_err pf_scene_take(pf_scene *scene, const pf_doc *doc, const char *path, int texture_side)
    PF_MUST_USE;
/* The texture of that number: a file in path's folder, or bytes in the document. */
struct pf_image;
pf_err pf_scene_texture(struct pf_image *image, const pf_doc *doc, int number, const char *path,
                        int texture_side) PF_MUST_USE;
/* resolved [4096]: the true name of the file that path's mesh calls name.  PF_EFORMAT if that is
 * not in path's folder or below it, PF_EIO if there is none. */
pf_err pf_scene_resolve(char *resolved, const char *path, const char *name) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
