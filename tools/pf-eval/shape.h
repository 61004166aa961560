/* shape.h - what is compared with what: triangle meshes, or points of a surface, read from PLY
 * (ASCII, binary), OBJ, GLB, STL (binary) and NPZ (measures.md, 3).
 *
 *     PF_TRY(shape_read(&s, "mesh.ply"));
 *     if (s.mesh.faces) ...
 *     shape_release(&s); */
#ifndef PF_SHAPE_H
#define PF_SHAPE_H
#include <stdbool.h>
#include <stddef.h>

#include "kernels/march/mesh.h"

struct points {                 /* zero to initialise */
    int64_t n;
    float *at, *normal;         /* [n, 3], owned; normal NULL: nobody knows */
};
void points_release(struct points *p);
/* Memory for n of them, with normals or without; what p held before is forgotten. */
pf_err points_new(struct points *p, int64_t n, bool normals) PF_MUST_USE;
pf_err points_copy(struct points *to, const struct points *from) PF_MUST_USE;   /* likewise */

/* The two grids in which insides are compared: cells of a cube around the origin. */
enum { SOLID_COARSE, SOLID_FINE, SOLIDS };
extern const int solid_side[SOLIDS];            /* cells */
extern const double solid_half[SOLIDS];         /* of the cube's edge, scene units */

struct shape {                  /* zero to initialise */
    struct pf_mesh mesh;        /* without faces: points alone */
    struct points seen, whole;  /* where there is no mesh: of the visible surface, of all of it */
    uint8_t *solid[SOLIDS];     /* [side, side, side] x y z, 1 inside, owned; NULL: not told */
};

/* Read a file; "-" is stdin.  Every coordinate is finite and at most SHAPE_REACH from the origin,
 * every index is one of a vertex, and memory is a small multiple of the file's size, which is at
 * most 1 GiB; what cannot be a mesh is not read to its end.  Errors name the file. */
#define SHAPE_REACH 10000.0
pf_err shape_read(struct shape *s, const char *path) PF_MUST_USE;
/* The same for bytes in memory; errors name nothing. */
pf_err shape_parse(struct shape *s, const void *bytes, size_t size) PF_MUST_USE;
void shape_release(struct shape *s);
/* Scale the shape to a longest edge of 1 and centre it, as the original does with true meshes. */
void shape_fit(struct shape *s);
/* Turn it about the z axis. */
void shape_turn(struct shape *s, double angle);

/* ---- the formats; each leaves what it read in s for shape_parse to check, also on failure ---- */
pf_err shape_parse_obj(struct shape *s, const uint8_t *bytes, size_t size) PF_MUST_USE;
pf_err shape_parse_glb(struct shape *s, const uint8_t *bytes, size_t size) PF_MUST_USE;
pf_err shape_parse_npz(struct shape *s, const uint8_t *bytes, size_t size) PF_MUST_USE;
size_t shape_stl_size(const uint8_t *bytes);    // as the count behind the head says
bool shape_is_stl(const uint8_t *bytes, size_t size);
pf_err shape_parse_stl(struct shape *s, const uint8_t *bytes, size_t size) PF_MUST_USE;

/* Make room in the array *to of rows of that many bytes for one row more than n. */
pf_err shape_grow(void **to, int64_t n, int64_t *room, size_t row) PF_MUST_USE;

#endif
