#include "tools/pf-extract-mesh/mesh_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/opt.h"
#include "common/output.h"
#include "common/text.h"
#include "tools/pf-extract-mesh/glb.h"
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

enum { ROWS = 1 << 16 };        /* that are written at once */

static int64_t
rows_from(int64_t i, int64_t n)
{
    return n - i < ROWS ? n - i : ROWS;
}

/* ---- PLY ---- */

enum { PLY_VERTEX = 28, PLY_FACE = 13 };        /* bytes of a row */

static void
put_vertex(uint8_t *row, const struct pf_mesh *m, int64_t v)
{
    memcpy(row, m->vertex + 3 * v, 12);
    memcpy(row + 12, m->normal + 3 * v, 12);
    memcpy(row + 24, m->color + 3 * v, 3);
    row[27] = 255;
}

static void
put_face(uint8_t *row, const struct pf_mesh *m, int64_t f)
{
    row[0] = 3;
    memcpy(row + 1, m->face + 3 * f, 12);
}

static pf_err
write_ply_rows(const struct pf_mesh *m, FILE *to)
{
    uint8_t *const rows = malloc((size_t)ROWS * PLY_VERTEX);
    if (!rows)
        return pf_fail(PF_ENOMEM, "no memory to write %lld vertices", (long long)m->vertices);
    for (int64_t v = 0; v < m->vertices; v += ROWS) {
        const int64_t n = rows_from(v, m->vertices);
#pragma omp parallel for
        for (int64_t i = 0; i < n; i++)
            put_vertex(rows + i * PLY_VERTEX, m, v + i);
        fwrite(rows, PLY_VERTEX, (size_t)n, to);
    }
    for (int64_t f = 0; f < m->faces; f += ROWS) {
        const int64_t n = rows_from(f, m->faces);
#pragma omp parallel for
        for (int64_t i = 0; i < n; i++)
            put_face(rows + i * PLY_FACE, m, f + i);
        fwrite(rows, PLY_FACE, (size_t)n, to);
    }
    free(rows);
    return PF_OK;
}

static pf_err
write_ply(const struct pf_mesh *m, FILE *to)
{
    fprintf(to, "ply\nformat binary_little_endian 1.0\ncomment pf-extract-mesh %s\n"
            "element vertex %lld\nproperty float x\nproperty float y\nproperty float z\n"
            "property float nx\nproperty float ny\nproperty float nz\n"
            "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
            "element face %lld\nproperty list uchar int vertex_indices\nend_header\n",
            PF_VERSION, (long long)m->vertices, (long long)m->faces);
    return write_ply_rows(m, to);
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

static pf_err
write_glb(const struct pf_mesh *m, FILE *to)
{
    const int64_t V = m->vertices, F = m->faces;
    uint16_t linear[256], (*const color)[4] = malloc(((size_t)V + 1) * sizeof *color);
    if (!color)
        return pf_fail(PF_ENOMEM, "no memory for the colours of %lld vertices", (long long)V);
    linear_light(linear);
    for (int64_t v = 0; v < V; v++) {
        for (int k = 0; k < 3; k++)
            color[v][k] = linear[m->color[3 * v + k]];
        color[v][3] = UINT16_MAX;
    }
    json_t *const position = pf_glb_accessor(0, PF_GLTF_FLOAT, V, "VEC3"),
           *const colors = pf_glb_accessor(2, PF_GLTF_USHORT, V, "VEC4");
    pf_glb_bound(position, m->vertex, V);
    json_object_set_new(colors, "normalized", json_true());
    json_t *const root = pf_glb_scene(
        json_pack("{s:{s:i, s:i, s:i}, s:i, s:i}", "attributes", "POSITION", 0, "NORMAL", 1,
                  "COLOR_0", 2, "indices", 3, "material", 0),
        json_pack("{s:{s:i, s:i}}", "pbrMetallicRoughness", "metallicFactor", 0, "roughnessFactor",
                  1),
        json_pack("[o,o,o,o]", position, pf_glb_accessor(1, PF_GLTF_FLOAT, V, "VEC3"), colors,
                  pf_glb_accessor(3, PF_GLTF_UINT, 3 * F, "SCALAR")));
    const struct pf_glb_part parts[] = {
        {m->vertex, 12 * V, PF_GLTF_VERTICES}, {m->normal, 12 * V, PF_GLTF_VERTICES},
        {color, 8 * V, PF_GLTF_VERTICES}, {m->face, 12 * F, PF_GLTF_INDICES},
    };
    const pf_err err = pf_glb_write(root, parts, 4, to);
    free(color);
    return err;
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
    const uint32_t faces = (uint32_t)m->faces;
    fwrite(&faces, sizeof faces, 1, to);
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
        PF_TRY(write_ply(mesh, to));
    return pf_output_flush(to, "the mesh");
}
