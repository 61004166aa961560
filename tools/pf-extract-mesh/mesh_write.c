#include "tools/pf-extract-mesh/mesh_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "common/opt.h"
#include "common/output.h"
#include "common/text.h"
#include "tools/pf-extract-mesh/normals.h"

bool
pf_mesh_format_find(enum pf_mesh_format *format, const char *name, const char *path)
{
    static const char *const names[] = {"ply", "obj", "glb", "stl"};
    if (strcmp(name, "auto") == 0)
        name = pf_name_ending(path);
    for (int i = 0; i < 4; i++)
        if (strcasecmp(name, names[i]) == 0) {
            *format = (enum pf_mesh_format)i;
            return true;
        }
    return false;
}

enum { ROWS = 1 << 12 };        /* that are written at once */

static size_t
rows_from(int64_t i, int64_t n)
{
    return (size_t)(n - i < ROWS ? n - i : ROWS);
}

/* ---- PLY ---- */

enum { PLY_VERTEX = 28, PLY_FACE = 13 };        /* bytes of a row */

static void
write_ply_rows(const struct pf_mesh *m, FILE *to)
{
    uint8_t rows[ROWS * PLY_VERTEX];
    for (int64_t v = 0; v < m->vertices; v += ROWS) {
        const size_t n = rows_from(v, m->vertices);
        uint8_t *row = rows;
        for (int64_t i = v; i < v + (int64_t)n; i++, row += PLY_VERTEX) {
            memcpy(row, m->vertex + 3 * i, 12);
            memcpy(row + 12, m->normal + 3 * i, 12);
            memcpy(row + 24, m->color + 3 * i, 3);
            row[27] = 255;
        }
        fwrite(rows, PLY_VERTEX, n, to);
    }
    for (int64_t f = 0; f < m->faces; f += ROWS) {
        const size_t n = rows_from(f, m->faces);
        uint8_t *row = rows;
        for (int64_t i = f; i < f + (int64_t)n; i++, row += PLY_FACE) {
            row[0] = 3;
            memcpy(row + 1, m->face + 3 * i, 12);
        }
        fwrite(rows, PLY_FACE, n, to);
    }
}

static void
write_ply(const struct pf_mesh *m, FILE *to)
{
    fprintf(to, "ply\nformat binary_little_endian 1.0\ncomment pf-extract-mesh %s\n"
            "element vertex %lld\nproperty float x\nproperty float y\nproperty float z\n"
            "property float nx\nproperty float ny\nproperty float nz\n"
            "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
            "element face %lld\nproperty list uchar int vertex_indices\nend_header\n",
            PF_VERSION, (long long)m->vertices, (long long)m->faces);
    write_ply_rows(m, to);
}

/* ---- OBJ ---- */

static void
write_obj(const struct pf_mesh *m, FILE *to)
{
    fprintf(to, "# pf-extract-mesh %s: %lld vertices with sRGB colours, %lld faces\n", PF_VERSION,
            (long long)m->vertices, (long long)m->faces);
    for (int64_t v = 0; v < m->vertices; v++) {
        const float *p = m->vertex + 3 * v;
        const uint8_t *c = m->color + 3 * v;
        fprintf(to, "v %.9g %.9g %.9g %.4f %.4f %.4f\n", (double)p[0], (double)p[1], (double)p[2],
                c[0] / 255.0, c[1] / 255.0, c[2] / 255.0);
    }
    for (int64_t v = 0; v < m->vertices; v++) {
        const float *n = m->normal + 3 * v;
        fprintf(to, "vn %.6g %.6g %.6g\n", (double)n[0], (double)n[1], (double)n[2]);
    }
    for (int64_t f = 0; f < m->faces; f++) {
        const uint32_t a = m->face[3 * f] + 1, b = m->face[3 * f + 1] + 1,
                       c = m->face[3 * f + 2] + 1;
        fprintf(to, "f %u//%u %u//%u %u//%u\n", a, a, b, b, c, c);
    }
}

/* ---- GLB ---- */

enum {                          // numbers that glTF 2.0 gives these things
    GLTF_USHORT = 5123, GLTF_UINT = 5125, GLTF_FLOAT = 5126,
    GLTF_VERTICES = 34962, GLTF_INDICES = 34963,
};
enum { GLB_VERTEX = 32 };       // bytes: position, normal, colour
#define GLB_MAGIC 0x46546C67u
#define GLB_JSON 0x4E4F534Au
#define GLB_BIN 0x004E4942u

/* sRGB 0..255 to linear light 0..65535. */
static void
linear_light(uint16_t linear[256])
{
    for (int v = 0; v < 256; v++) {
        const double s = v / 255.0;
        linear[v] =
            (uint16_t)lround(65535 * (s <= 0.04045 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4)));
    }
}

static void
write_glb_colors(const struct pf_mesh *m, FILE *to)
{
    uint16_t linear[256], rows[ROWS][4];
    linear_light(linear);
    for (int64_t v = 0; v < m->vertices; v += ROWS) {
        const size_t n = rows_from(v, m->vertices);
        for (size_t i = 0; i < n; i++) {
            for (int k = 0; k < 3; k++)
                rows[i][k] = linear[m->color[3 * (v + (int64_t)i) + k]];
            rows[i][3] = UINT16_MAX;
        }
        fwrite(rows, sizeof *rows, n, to);
    }
}

static void
bounds(double low[3], double high[3], const struct pf_mesh *m)
{
    for (int k = 0; k < 3; k++)
        low[k] = high[k] = m->vertices ? m->vertex[k] : 0;
    for (int64_t v = 1; v < m->vertices; v++)
        for (int k = 0; k < 3; k++) {
            const double at = m->vertex[3 * v + k];
            low[k] = at < low[k] ? at : low[k];
            high[k] = at > high[k] ? at : high[k];
        }
}

static json_t *
view(int64_t at, int64_t bytes, int target)
{
    return json_pack("{s:i, s:I, s:I, s:i}", "buffer", 0, "byteOffset", (json_int_t)at,
                     "byteLength", (json_int_t)bytes, "target", target);
}

static json_t *
accessor(int buffer_view, int component, int64_t count, const char *type)
{
    return json_pack("{s:i, s:i, s:I, s:s}", "bufferView", buffer_view, "componentType", component,
                     "count", (json_int_t)count, "type", type);
}

/* The scene's z is glTF's y, upwards, and its x, which the photo looks at, is glTF's z, the front:
 * a third of a turn about the diagonal of the axes. */
static json_t *
node(void)
{
    return json_pack("{s:i, s:[f,f,f,f]}", "mesh", 0, "rotation", -0.5, -0.5, -0.5, 0.5);
}

static json_t *
primitive(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:i, s:i}", "attributes", "POSITION", 0, "NORMAL", 1,
                     "COLOR_0", 2, "indices", 3, "material", 0);
}

/* The scene graph: one node, one mesh, four views of one buffer: positions, normals, colours,
 * indices. */
static char *
gltf(const struct pf_mesh *m)
{
    const int64_t V = m->vertices, F = m->faces;
    double lo[3], hi[3];
    bounds(lo, hi, m);
    json_t *position = accessor(0, GLTF_FLOAT, V, "VEC3"),
           *color = accessor(2, GLTF_USHORT, V, "VEC4");
    json_object_set_new(position, "min", json_pack("[f,f,f]", lo[0], lo[1], lo[2]));
    json_object_set_new(position, "max", json_pack("[f,f,f]", hi[0], hi[1], hi[2]));
    json_object_set_new(color, "normalized", json_true());
    json_t *root = json_pack(
        "{s:{s:s, s:s}, s:i, s:[{s:[i]}], s:[o], s:[{s:[o]}], s:[{s:{s:i, s:i}}], s:[{s:I}],"
        " s:[o,o,o,o], s:[o,o,o,o]}",
        "asset", "version", "2.0", "generator", "pf-extract-mesh " PF_VERSION, "scene", 0,
        "scenes", "nodes", 0, "nodes", node(), "meshes", "primitives", primitive(),
        "materials", "pbrMetallicRoughness", "metallicFactor", 0, "roughnessFactor", 1,
        "buffers", "byteLength", (json_int_t)(GLB_VERTEX * V + 12 * F),
        "bufferViews", view(0, 12 * V, GLTF_VERTICES), view(12 * V, 12 * V, GLTF_VERTICES),
        view(24 * V, 8 * V, GLTF_VERTICES), view(GLB_VERTEX * V, 12 * F, GLTF_INDICES),
        "accessors", position, accessor(1, GLTF_FLOAT, V, "VEC3"), color,
        accessor(3, GLTF_UINT, 3 * F, "SCALAR"));
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static void
write_u32(uint32_t v, FILE *to)
{
    fwrite(&v, sizeof v, 1, to);
}

static pf_err
write_glb(const struct pf_mesh *m, FILE *to)
{
    const int64_t binary = GLB_VERTEX * m->vertices + 12 * m->faces;
    char *text = gltf(m);
    if (!text)
        return pf_fail(PF_ENOMEM, "no memory for a glTF header");
    const int length = (int)strlen(text), padded = (length + 3) / 4 * 4;
    const int64_t total = 12 + 8 + padded + 8 + binary;
    if (total > UINT32_MAX) {
        free(text);
        return pf_fail(PF_ESHAPE, "a mesh of %lld faces does not fit into a GLB file of 4 GiB",
                       (long long)m->faces);
    }
    write_u32(GLB_MAGIC, to);
    write_u32(2, to);
    write_u32((uint32_t)total, to);
    write_u32((uint32_t)padded, to);
    write_u32(GLB_JSON, to);
    fprintf(to, "%-*s", padded, text);
    free(text);
    write_u32((uint32_t)binary, to);
    write_u32(GLB_BIN, to);
    fwrite(m->vertex, 12, (size_t)m->vertices, to);
    fwrite(m->normal, 12, (size_t)m->vertices, to);
    write_glb_colors(m, to);
    fwrite(m->face, 12, (size_t)m->faces, to);
    return PF_OK;
}

/* ---- STL ---- */

enum { STL_TITLE = 80, STL_FACE = 50 };         /* bytes */

static pf_err
write_stl(const struct pf_mesh *m, FILE *to)
{
    const char title[STL_TITLE] = "pf-extract-mesh " PF_VERSION;        // not "solid": that is text
    uint8_t row[STL_FACE] = {0};                // normal, three corners, two bytes of nothing
    float normal[3];
    if (m->faces > UINT32_MAX)
        return pf_fail(PF_ESHAPE, "a mesh of %lld faces does not fit into an STL file",
                       (long long)m->faces);
    fwrite(title, sizeof title, 1, to);
    write_u32((uint32_t)m->faces, to);
    for (int64_t f = 0; f < m->faces; f++) {
        pf_mesh_face_normal(normal, m, f);
        const float length = sqrtf(normal[0] * normal[0] + normal[1] * normal[1] +
                                   normal[2] * normal[2]);
        for (int k = 0; k < 3; k++) {
            normal[k] = length > 0 ? normal[k] / length : 0;
            memcpy(row + 12 + 12 * k, m->vertex + 3 * (int64_t)m->face[3 * f + k], 12);
        }
        memcpy(row, normal, 12);
        fwrite(row, sizeof row, 1, to);
    }
    return PF_OK;
}

pf_err
pf_mesh_write(const struct pf_mesh *mesh, enum pf_mesh_format format, FILE *to)
{
    if (format == PF_MESH_GLB)
        PF_TRY(write_glb(mesh, to));
    else if (format == PF_MESH_STL)
        PF_TRY(write_stl(mesh, to));
    else if (format == PF_MESH_OBJ)
        write_obj(mesh, to);
    else
        write_ply(mesh, to);
    return pf_output_flush(to, "the mesh");
}
