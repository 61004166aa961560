/* shape_glb.c - GLB (glTF 2.0 in one file): the triangles of its scene, turned so that z is up.
 * What lies in other files, is compressed or quantised is refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/bytes.h"
#include "kernels/raster/ply.h"
#include "tools/pf-eval/shape.h"

enum { GLB_HEAD = 12, CHUNK_HEAD = 8, DEPTH = 64 };
enum { GLTF_UBYTE = 5121, GLTF_USHORT = 5123, GLTF_UINT = 5125, GLTF_FLOAT = 5126,
       GLTF_TRIANGLES = 4 };
#define CHUNK_JSON 0x4E4F534Au
#define CHUNK_BIN 0x004E4942u

struct glb {
    json_t *root;
    const uint8_t *data;        /* the BIN chunk */
    size_t size, file;
    bool *visited;              /* [nodes] */
    struct pf_mesh *mesh;
    int64_t vertex_room, face_room;
};
struct accessor {               /* count elements, stride bytes apart */
    const uint8_t *at;
    int64_t count, stride;
    int component;
};

/* ---- JSON ---- */

/* root.NAME[i]; NULL if there is none. */
static json_t *
item(const struct glb *g, const char *name, int64_t i)
{
    return i < 0 ? NULL : json_array_get(json_object_get(g->root, name), (size_t)i);
}

/* A whole number that is not negative; missing where there is none, -2 if it is something else. */
static int64_t
whole(const json_t *object, const char *key, int64_t missing)
{
    const json_t *const v = json_object_get(object, key);
    if (!v)
        return missing;
    return json_is_integer(v) && json_integer_value(v) >= 0 ? json_integer_value(v) : -2;
}

/* n numbers; false if there is no such array, or it is another. */
static bool
numbers(double *to, int n, const json_t *object, const char *key)
{
    const json_t *const v = json_object_get(object, key);
    if ((int64_t)json_array_size(v) != n)
        return false;
    for (int i = 0; i < n; i++) {
        const json_t *const number = json_array_get(v, (size_t)i);
        if (!json_is_number(number))
            return false;
        to[i] = json_number_value(number);
    }
    return true;
}

/* ---- accessors ---- */

static int
component_bytes(int component)
{
    return component == GLTF_UBYTE    ? 1
           : component == GLTF_USHORT ? 2
           : component == GLTF_UINT || component == GLTF_FLOAT ? 4 : 0;
}

static pf_err
open_accessor(struct accessor *a, const struct glb *g, int64_t number, const char *type, int width)
{
    const json_t *const j = item(g, "accessors", number);
    const json_t *const view = item(g, "bufferViews", whole(j, "bufferView", -1));
    const char *const what = json_string_value(json_object_get(j, "type"));
    a->component = (int)(whole(j, "componentType", 0) & 0xffff);
    a->count = whole(j, "count", -1);
    const int64_t bytes = width * component_bytes(a->component);
    const int64_t begin = whole(view, "byteOffset", 0), length = whole(view, "byteLength", -1);
    const int64_t offset = whole(j, "byteOffset", 0);
    a->stride = whole(view, "byteStride", bytes);
    if (!j || !view || json_object_get(j, "sparse") || whole(view, "buffer", -1) != 0)
        return pf_fail(PF_EFORMAT, "accessor %lld of the glTF has no plain data in this file",
                       (long long)number);
    if (!what || strcmp(what, type) || !bytes)
        return pf_fail(PF_EFORMAT, "accessor %lld of the glTF is not a %s of a known type",
                       (long long)number, type);
    if (a->count < 0 || begin < 0 || length < 0 || offset < 0 || a->stride < bytes ||
        begin > (int64_t)g->size || length > (int64_t)g->size - begin || offset > length ||
        (a->count && (length - offset < bytes ||
                      a->count - 1 > (length - offset - bytes) / a->stride)))
        return pf_fail(PF_EFORMAT, "accessor %lld of the glTF does not lie within its buffer",
                       (long long)number);
    a->at = g->data + begin + offset;
    return PF_OK;
}

/* ---- triangles ---- */

/* Positions, moved by M [3, 4] and turned from glTF's axes, y up and z the front, to the scene's, z
 * up and x the front. */
static pf_err
add_positions(struct glb *g, const struct accessor *a, const double M[12])
{
    struct pf_mesh *const m = g->mesh;
    if (a->count > (int64_t)g->file - m->vertices)
        return pf_fail(PF_EFORMAT, "the scene of the glTF has more vertices than the file's %zu "
                       "bytes", g->file);
    for (int64_t i = 0; i < a->count; i++) {
        float v[3];
        memcpy(v, a->at + i * a->stride, sizeof v);
        PF_TRY(shape_grow((void **)&m->vertex, m->vertices, &g->vertex_room, sizeof v));
        for (int k = 0; k < 3; k++) {
            const double *const row = M + 4 * k;
            m->vertex[3 * m->vertices + (k + 1) % 3] =
                (float)(row[0] * v[0] + row[1] * v[1] + row[2] * v[2] + row[3]);
        }
        m->vertices++;
    }
    return PF_OK;
}

static pf_err
add_triangles(struct glb *g, const struct accessor *a, int64_t first)
{
    const int bytes = component_bytes(a->component);
    const int64_t vertices = g->mesh->vertices - first;
    if (a->count / 3 > (int64_t)g->file - g->mesh->faces)
        return pf_fail(PF_EFORMAT, "the scene of the glTF has more faces than the file's %zu bytes",
                       g->file);
    for (int64_t i = 0; i + 2 < a->count; i += 3) {
        uint32_t corner[3];
        for (int k = 0; k < 3; k++) {
            const uint64_t v = a->at ? pf_little(a->at + (i + k) * a->stride, bytes)
                                     : (uint64_t)(i + k);
            if (v >= (uint64_t)vertices)
                return pf_fail(PF_EFORMAT, "face %lld of a primitive has the vertex %llu of %lld",
                               (long long)(i / 3), (unsigned long long)v, (long long)vertices);
            corner[k] = (uint32_t)(first + (int64_t)v);
        }
        PF_TRY(pf_mesh_add_polygon(g->mesh, &g->face_room, corner, 3));
    }
    return PF_OK;
}

static pf_err
add_primitive(struct glb *g, const json_t *p, const double M[12])
{
    const json_t *const attributes = json_object_get(p, "attributes");
    const json_t *const extensions = json_object_get(p, "extensions");
    const int64_t first = g->mesh->vertices, indices = whole(p, "indices", -1);
    struct accessor position, index = {.stride = 0};
    if (whole(p, "mode", GLTF_TRIANGLES) != GLTF_TRIANGLES)
        return pf_fail(PF_EFORMAT, "a primitive of the glTF is not made of single triangles");
    if (json_object_get(extensions, "KHR_draco_mesh_compression"))
        return pf_fail(PF_EFORMAT, "the glTF is compressed by Draco, which is not read");
    PF_TRY(open_accessor(&position, g, whole(attributes, "POSITION", -1), "VEC3", 3));
    if (position.component != GLTF_FLOAT)
        return pf_fail(PF_EFORMAT, "the glTF has positions that are not floats");
    PF_TRY(add_positions(g, &position, M));
    index.count = position.count;
    if (indices != -1)
        PF_TRY(open_accessor(&index, g, indices, "SCALAR", 1));
    if (index.component == GLTF_FLOAT)
        return pf_fail(PF_EFORMAT, "the glTF has indices that are floats");
    return add_triangles(g, &index, first);
}

static pf_err
add_mesh(struct glb *g, int64_t number, const double M[12])
{
    const json_t *const primitives = json_object_get(item(g, "meshes", number), "primitives");
    if (!json_array_size(primitives))
        return pf_fail(PF_EFORMAT, "the glTF has no mesh %lld", (long long)number);
    for (size_t i = 0; i < json_array_size(primitives); i++)
        PF_TRY(add_primitive(g, json_array_get(primitives, i), M));
    return PF_OK;
}

/* ---- nodes ---- */

/* M [3, 4] of a node: its matrix, or translation, rotation and scale. */
static void
local_transform(double M[12], const json_t *node)
{
    double m[16], t[3] = {0}, q[4] = {0, 0, 0, 1}, s[3] = {1, 1, 1};
    if (numbers(m, 16, node, "matrix")) {
        for (int i = 0; i < 12; i++)
            M[i] = m[4 * (i % 4) + i / 4];      // glTF's is column by column
        return;
    }
    numbers(t, 3, node, "translation");
    numbers(q, 4, node, "rotation");
    numbers(s, 3, node, "scale");
    const double x = q[0], y = q[1], z = q[2], w = q[3];
    const double R[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                         2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                         2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)};
    for (int i = 0; i < 12; i++)
        M[i] = i % 4 == 3 ? t[i / 4] : R[3 * (i / 4) + i % 4] * s[i % 4];
}

static void
multiply(double to[12], const double a[12], const double b[12])
{
    for (int i = 0; i < 12; i++) {
        const double *const row = a + i / 4 * 4;
        to[i] = row[0] * b[i % 4] + row[1] * b[4 + i % 4] + row[2] * b[8 + i % 4] +
                (i % 4 == 3 ? row[3] : 0);
    }
}

static pf_err
add_node(struct glb *g, int64_t number, const double parent[12], int depth)
{
    const json_t *const node = item(g, "nodes", number);
    const json_t *const children = json_object_get(node, "children");
    double local[12], M[12];
    if (!node || g->visited[number] || depth == DEPTH)
        return pf_fail(PF_EFORMAT, "node %lld of the glTF is missing, comes twice or lies deeper "
                       "than %d", (long long)number, DEPTH);
    g->visited[number] = true;
    local_transform(local, node);
    multiply(M, parent, local);
    if (json_object_get(node, "mesh"))
        PF_TRY(add_mesh(g, whole(node, "mesh", -1), M));
    for (size_t i = 0; i < json_array_size(children); i++) {
        const json_t *const child = json_array_get(children, i);
        PF_TRY(add_node(g, json_is_integer(child) ? json_integer_value(child) : -1, M, depth + 1));
    }
    return PF_OK;
}

/* The nodes of the scene; of a file without scenes, its meshes as they are. */
static pf_err
add_scene(struct glb *g)
{
    static const double unmoved[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    const size_t meshes = json_array_size(json_object_get(g->root, "meshes"));
    const size_t nodes = json_array_size(json_object_get(g->root, "nodes"));
    const json_t *const scene = item(g, "scenes", whole(g->root, "scene", 0));
    const json_t *const roots = json_object_get(scene, "nodes");
    if (!(g->visited = calloc(nodes + 1, sizeof *g->visited)))
        return pf_fail(PF_ENOMEM, "no memory for the nodes of a glTF");
    for (size_t i = 0; !scene && i < meshes; i++)
        PF_TRY(add_mesh(g, (int64_t)i, unmoved));
    for (size_t i = 0; i < json_array_size(roots); i++) {
        const json_t *const root = json_array_get(roots, i);
        PF_TRY(add_node(g, json_is_integer(root) ? json_integer_value(root) : -1, unmoved, 0));
    }
    if (!g->mesh->faces)
        return pf_fail(PF_EFORMAT, "the scene of the glTF has no triangles");
    return PF_OK;
}

/* ---- the file ---- */

/* The next chunk of this type, its bytes and their number; false if the next one is another, or
 * does not lie within the file. */
static bool
read_chunk(const uint8_t **data, size_t *size, const uint8_t **at, const uint8_t *end,
           uint32_t type)
{
    if (end - *at < CHUNK_HEAD || pf_little(*at + 4, 4) != type ||
        pf_little(*at, 4) > (uint64_t)(end - *at - CHUNK_HEAD))
        return false;
    *size = pf_little(*at, 4);
    *data = *at + CHUNK_HEAD;
    *at = *data + *size;
    return true;
}

pf_err
shape_parse_glb(struct shape *s, const uint8_t *bytes, size_t size)
{
    struct glb g = {.mesh = &s->mesh, .file = size};
    const uint8_t *at = bytes + GLB_HEAD, *text;
    size_t length;
    if (size < GLB_HEAD || pf_little(bytes + 4, 4) != 2 || pf_little(bytes + 8, 4) > size ||
        !read_chunk(&text, &length, &at, bytes + size, CHUNK_JSON))
        return pf_fail(PF_EFORMAT, "the GLB file is truncated, or not of version 2");
    read_chunk(&g.data, &g.size, &at, bytes + size, CHUNK_BIN);        // without it: no data
    if (!(g.root = json_loadb((const char *)text, length, JSON_REJECT_DUPLICATES, NULL)))
        return pf_fail(PF_EFORMAT, "the GLB file's scene is no JSON");
    const pf_err err = add_scene(&g);
    free(g.visited);
    json_decref(g.root);
    return err;
}
