/* glb.h - a glTF 2.0 scene of one mesh in one file: the JSON and the binary parts behind it. */
#ifndef PF_GLB_H
#define PF_GLB_H
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "common/error.h"

enum {                          /* numbers that glTF 2.0 gives these things */
    PF_GLTF_USHORT = 5123, PF_GLTF_UINT = 5125, PF_GLTF_FLOAT = 5126,
    PF_GLTF_VERTICES = 34962, PF_GLTF_INDICES = 34963, PF_GLTF_NEAREST = 9728,
    PF_GLTF_LINEAR = 9729, PF_GLTF_CLAMP = 33071,
};

struct pf_glb_part {            /* a buffer view: its number is its place in the list */
    const void *data;
    int64_t bytes;
    int target;                 /* 0: a picture */
};

json_t *pf_glb_accessor(int part, int component, int64_t count, const char *type);
/* "min" and "max" of points [n, 3], for the accessor that holds them. */
void pf_glb_bound(json_t *accessor, const float *point, int64_t n);
/* The scene of one primitive with its material; all three are taken.  The scene's z is glTF's y,
 * upwards, and its x, which the photo looks at, is glTF's z, the front. */
json_t *pf_glb_scene(json_t *primitive, json_t *material, json_t *accessors);
/* root, which is taken, gets the buffer and its views; NULL: memory ran out before.  PF_ESHAPE if
 * the file would have 4 GiB or more. */
pf_err pf_glb_write(json_t *root, const struct pf_glb_part *part, int parts, FILE *to) PF_MUST_USE;

#endif
