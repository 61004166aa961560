#include "tools/pf-extract-mesh/mesh_write.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "common/opt.h"

bool
pf_mesh_format_find(enum pf_mesh_format *format, const char *name, const char *path)
{
    static const char *const names[] = {"ply", "obj", "glb"};
    const char *dot = strrchr(path, '.');
    if (strcmp(name, "auto") == 0)
        name = dot ? dot + 1 : "";
    for (int i = 0; i < 3; i++)
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

enum { PLY_VERTEX = 16, PLY_FACE = 13 };        /* bytes of a row */

static void
write_ply_rows(const struct pf_mesh *m, FILE *to)
{
    uint8_t rows[ROWS * PLY_VERTEX];
    for (int64_t v = 0; v < m->vertices; v += ROWS) {
        const size_t n = rows_from(v, m->vertices);
        uint8_t *row = rows;
        for (int64_t i = v; i < v + (int64_t)n; i++, row += PLY_VERTEX) {
            memcpy(row, m->vertex + 3 * i, 12);
            memcpy(row + 12, m->color + 3 * i, 3);
            row[15] = 255;
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
    for (int64_t f = 0; f < m->faces; f++)
        fprintf(to, "f %u %u %u\n", m->face[3 * f] + 1, m->face[3 * f + 1] + 1,
                m->face[3 * f + 2] + 1);
}

/* ---- GLB ---- */

enum {                          // numbers that glTF 2.0 gives these things
    GLTF_USHORT = 5123, GLTF_UINT = 5125, GLTF_FLOAT = 5126,
    GLTF_VERTICES = 34962, GLTF_INDICES = 34963,
};
#define GLB_MAGIC 0x46546C67u
#define GLB_JSON 0x4E4F534Au
#define GLB_BIN 0x004E4942u

/* sRGB 0..255 to linear light 0..65535. */
static void
linear_light(uint16_t linear[256])
{
    for (int v = 0; v < 256; v++) {
        const double s = v / 255.0;
        linear[v] = (uint16_t)lround(65535 * (s <= 0.04045 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4)));
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

/* The scene graph: one node, one mesh, three views of one buffer: positions, colours, indices. */
static char *
gltf(const struct pf_mesh *m)
{
    const json_int_t V = m->vertices, F = 3 * m->faces, at_color = 12 * V, at_index = 20 * V;
    double lo[3], hi[3];
    bounds(lo, hi, m);
    json_t *root = json_pack(
        "{s:{s:s, s:s}, s:i, s:[{s:[i]}], s:[{s:i, s:[f,f,f,f]}],"
        " s:[{s:[{s:{s:i, s:i}, s:i, s:i}]}], s:[{s:{s:i, s:i}}], s:[{s:I}],"
        " s:[{s:i, s:i, s:I, s:i}, {s:i, s:I, s:I, s:i}, {s:i, s:I, s:I, s:i}],"
        " s:[{s:i, s:i, s:I, s:s, s:[f,f,f], s:[f,f,f]}, {s:i, s:i, s:b, s:I, s:s},"
        " {s:i, s:i, s:I, s:s}]}",
        "asset", "version", "2.0", "generator", "pf-extract-mesh " PF_VERSION, "scene", 0, "scenes",
        "nodes", 0, "nodes", "mesh", 0, "rotation", -sqrt(0.5), 0.0, 0.0, sqrt(0.5),
        "meshes", "primitives", "attributes", "POSITION", 0, "COLOR_0", 1, "indices", 2, "material",
        0, "materials", "pbrMetallicRoughness", "metallicFactor", 0, "roughnessFactor", 1,
        "buffers", "byteLength", at_index + 4 * F,
        "bufferViews", "buffer", 0, "byteOffset", 0, "byteLength", at_color, "target", GLTF_VERTICES,
        "buffer", 0, "byteOffset", at_color, "byteLength", at_index - at_color, "target",
        GLTF_VERTICES, "buffer", 0, "byteOffset", at_index, "byteLength", 4 * F, "target",
        GLTF_INDICES, "accessors", "bufferView", 0, "componentType", GLTF_FLOAT, "count", V, "type",
        "VEC3", "min", lo[0], lo[1], lo[2], "max", hi[0], hi[1], hi[2], "bufferView", 1,
        "componentType", GLTF_USHORT, "normalized", 1, "count", V, "type", "VEC4", "bufferView", 2,
        "componentType", GLTF_UINT, "count", F, "type", "SCALAR");
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
    const int64_t binary = 20 * m->vertices + 12 * m->faces;
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
    write_glb_colors(m, to);
    fwrite(m->face, 12, (size_t)m->faces, to);
    return PF_OK;
}

pf_err
pf_mesh_write(const struct pf_mesh *mesh, enum pf_mesh_format format, FILE *to)
{
    if (format == PF_MESH_GLB)
        PF_TRY(write_glb(mesh, to));
    else if (format == PF_MESH_OBJ)
        write_obj(mesh, to);
    else
        write_ply(mesh, to);
    if (fflush(to) || ferror(to))
        return pf_fail(PF_EIO, "cannot write the mesh: %s", strerror(errno));
    return PF_OK;
}
