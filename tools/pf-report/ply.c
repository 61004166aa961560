#include "tools/pf-report/ply.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

struct header {
    int64_t vertices, faces;    /* -1: the element is not there */
    int stride;                 /* bytes of a vertex */
    int at[6];                  /* of x y z red green blue in it, or -1 */
    bool list;                  /* the faces are lists of uchar int */
};

static int
type_size(const char *type)
{
    static const struct {
        const char *name;
        int size;
    } types[] = {{"char", 1},  {"uchar", 1},  {"int8", 1},    {"uint8", 1},   {"short", 2},
                 {"ushort", 2}, {"int16", 2}, {"uint16", 2},  {"int", 4},     {"uint", 4},
                 {"int32", 4}, {"uint32", 4}, {"float", 4},   {"float32", 4}, {"double", 8},
                 {"float64", 8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i].name))
            return types[i].size;
    return 0;
}

static pf_err
vertex_property(struct header *h, const char *type, const char *name)
{
    static const char *const names[] = {"x", "y", "z", "red", "green", "blue"};
    const int size = type_size(type);
    if (!size || h->stride > 4096)
        return pf_fail(PF_EFORMAT, "a vertex has a property of type %s", type);
    for (int i = 0; i < 6; i++)
        if (!strcmp(name, names[i])) {
            if (i < 3 ? strcmp(type, "float") && strcmp(type, "float32")
                      : strcmp(type, "uchar") && strcmp(type, "uint8"))
                return pf_fail(PF_EFORMAT, "%s is %s, expected %s", name, type,
                               i < 3 ? "float" : "uchar");
            h->at[i] = h->stride;
        }
    h->stride += size;
    return PF_OK;
}

/* One line behind the format's; element is the one that properties belong to. */
static pf_err
header_line(struct header *h, char *element, const char *line)
{
    char a[32], b[32], c[32], d[32];
    int64_t n;
    const int words = sscanf(line, "element %31s %31s", a, b);
    if (words == 2) {
        if (!pf_parse_int(&n, b) || n < 0 || n > INT32_MAX)
            return pf_fail(PF_EFORMAT, "the number of %s elements is \"%s\"", a, b);
        if (!strcmp(a, "vertex") && h->vertices < 0 && h->faces < 0)
            h->vertices = n;
        else if (!strcmp(a, "face") && h->vertices >= 0 && h->faces < 0)
            h->faces = n;
        else
            return pf_fail(PF_EFORMAT, "expected an element vertex and then an element face");
        snprintf(element, 32, "%s", a);
        return PF_OK;
    }
    if (sscanf(line, "property list %31s %31s %31s", b, c, d) == 3) {
        if (strcmp(element, "face") || h->list || type_size(b) != 1 || type_size(c) != 4)
            return pf_fail(PF_EFORMAT, "expected faces that are lists of uchar int alone");
        h->list = true;
        return PF_OK;
    }
    if (sscanf(line, "property %31s %31s", a, b) == 2)
        return strcmp(element, "vertex") ? pf_fail(PF_EFORMAT, "a face has the property %s", b)
                                         : vertex_property(h, a, b);
    if (!strncmp(line, "comment", 7) || !strncmp(line, "obj_info", 8))
        return PF_OK;
    return pf_fail(PF_EFORMAT, "a line of its header begins with \"%.16s\"", line);
}

static pf_err
read_header(struct header *h, FILE *from)
{
    char line[256], element[32] = "";
    *h = (struct header){.vertices = -1, .faces = -1, .at = {-1, -1, -1, -1, -1, -1}};
    if (!fgets(line, sizeof line, from) || strcmp(line, "ply\n"))
        return pf_fail(PF_EFORMAT, "is no PLY file");
    if (!fgets(line, sizeof line, from) || strcmp(line, "format binary_little_endian 1.0\n"))
        return pf_fail(PF_EFORMAT, "is no little-endian binary PLY, as pf-extract-mesh writes it");
    for (;;) {
        if (!fgets(line, sizeof line, from) || !strchr(line, '\n'))
            return pf_fail(PF_EFORMAT, "the header has no end");
        line[strcspn(line, "\n")] = '\0';
        if (!strcmp(line, "end_header"))
            break;
        PF_TRY(header_line(h, element, line));
    }
    if (h->vertices < 1 || h->faces < 1 || !h->list)
        return pf_fail(PF_EFORMAT, "there are no vertices, or no faces");
    if (h->at[0] < 0 || h->at[1] < 0 || h->at[2] < 0)
        return pf_fail(PF_EFORMAT, "a vertex has not x, y and z");
    if (h->faces > PLY_FACES_MAX || h->vertices > 3 * (int64_t)PLY_FACES_MAX)
        return pf_fail(PF_ESHAPE, "%lld faces are too many for a page, which takes at most %d",
                       (long long)h->faces, PLY_FACES_MAX);
    return PF_OK;
}

/* Whether the file is as long as its header says: tried before memory is taken. */
static bool
is_whole(const struct header *h, FILE *from)
{
    const long start = ftell(from);
    if (start < 0 || fseek(from, 0, SEEK_END))
        return false;
    const long end = ftell(from);
    return fseek(from, start, SEEK_SET) == 0 &&
           end - start >= h->vertices * h->stride + 13 * h->faces;
}

static pf_err
read_vertices(struct pf_mesh *m, const struct header *h, FILE *from)
{
    uint8_t row[4096 + 8];
    for (int64_t v = 0; v < m->vertices; v++) {
        if (fread(row, (size_t)h->stride, 1, from) != 1)
            return pf_fail(PF_EIO, "cannot read vertex %lld", (long long)v);
        for (int k = 0; k < 3; k++) {
            memcpy(m->vertex + 3 * v + k, row + h->at[k], 4);
            if (!isfinite(m->vertex[3 * v + k]))
                return pf_fail(PF_EFORMAT, "vertex %lld is not finite", (long long)v);
            if (m->color)
                m->color[3 * v + k] = row[h->at[3 + k]];
        }
    }
    return PF_OK;
}

static pf_err
read_faces(struct pf_mesh *m, FILE *from)
{
    uint8_t row[13];
    for (int64_t f = 0; f < m->faces; f++) {
        if (fread(row, sizeof row, 1, from) != 1)
            return pf_fail(PF_EIO, "cannot read face %lld", (long long)f);
        memcpy(m->face + 3 * f, row + 1, 12);
        if (row[0] != 3)
            return pf_fail(PF_EFORMAT, "face %lld has %d corners, not 3", (long long)f, row[0]);
        for (int k = 0; k < 3; k++)
            if (m->face[3 * f + k] >= m->vertices)
                return pf_fail(PF_EFORMAT, "face %lld has vertex %lld of %lld", (long long)f,
                               (long long)m->face[3 * f + k], (long long)m->vertices);
    }
    return PF_OK;
}

static pf_err
read_file(struct pf_mesh *mesh, FILE *from)
{
    struct header h;
    PF_TRY(read_header(&h, from));
    if (!is_whole(&h, from))
        return pf_fail(PF_EFORMAT, "is shorter than its header says");
    PF_TRY(pf_mesh_new(mesh, h.vertices, h.faces));
    if (h.at[3] >= 0 && h.at[4] >= 0 && h.at[5] >= 0 &&
        !(mesh->color = malloc(3 * (size_t)h.vertices)))
        return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)h.vertices);
    PF_TRY(read_vertices(mesh, &h, from));
    return read_faces(mesh, from);
}

pf_err
ply_read(struct pf_mesh *mesh, const char *path)
{
    FILE *from = fopen(path, "rb");
    *mesh = (struct pf_mesh){0};
    if (!from)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const pf_err err = read_file(mesh, from);
    fclose(from);
    if (err)
        pf_mesh_release(mesh);
    return err ? pf_fail_in(err, "%s", path) : PF_OK;
}
