/* shape_obj.c - OBJ's vertices and faces, and binary STL's triangles.  Everything else in them is
 * stepped over. */
#include <string.h>

#include "common/bytes.h"
#include "common/text.h"
#include "kernels/raster/ply.h"
#include "tools/pf-eval/shape.h"

/* ---- OBJ ---- */

enum { WORD = 64, CORNERS = 4096 };
struct line {
    const uint8_t *at, *end;
};

static bool
read_word(char word[WORD], struct line *l)
{
    size_t n = 0;
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\t' || *l->at == '\r'))
        l->at++;
    while (l->at < l->end && *l->at != ' ' && *l->at != '\t' && *l->at != '\r') {
        if (n < WORD - 1)
            word[n++] = (char)*l->at;
        l->at++;
    }
    word[n] = 0;
    return n > 0;
}

static pf_err
read_vertex(struct line *l, struct pf_mesh *mesh, int64_t *room, int64_t number)
{
    char word[WORD];
    PF_TRY(shape_grow((void **)&mesh->vertex, mesh->vertices, room, 3 * sizeof *mesh->vertex));
    for (int k = 0; k < 3; k++) {
        double v;
        if (!read_word(word, l) || !pf_parse_real(&v, word))
            return pf_fail(PF_EFORMAT, "line %lld: a vertex of OBJ needs three numbers",
                           (long long)number);
        mesh->vertex[3 * mesh->vertices + k] = (float)v;
    }
    mesh->vertices++;
    return PF_OK;
}

/* "7", "7/1", "7//2", "7/1/2", counted from 1; "-1" is the last vertex so far. */
static pf_err
read_face(struct line *l, struct pf_mesh *mesh, int64_t *room, int64_t number)
{
    uint32_t corner[CORNERS];
    char word[WORD];
    int n = 0;
    for (; read_word(word, l); n++) {
        int64_t v;
        word[strcspn(word, "/")] = 0;
        if (n == CORNERS || !pf_parse_int(&v, word))
            return pf_fail(PF_EFORMAT, "line %lld: a face of OBJ needs 3 to %d numbers of vertices",
                           (long long)number, CORNERS);
        v = v < 0 ? v + mesh->vertices : v - 1;
        if (v < 0 || v >= UINT32_MAX)
            return pf_fail(PF_EFORMAT, "line %lld: the face has a vertex that is not there",
                           (long long)number);
        corner[n] = (uint32_t)v;
    }
    if (n < 3)
        return pf_fail(PF_EFORMAT, "line %lld: a face of OBJ needs 3 to %d numbers of vertices",
                       (long long)number, CORNERS);
    return pf_mesh_add_polygon(mesh, room, corner, n);
}

pf_err
shape_parse_obj(struct shape *s, const uint8_t *bytes, size_t size)
{
    const uint8_t *const end = bytes + size, *next;
    int64_t vertex_room = 0, face_room = 0, number = 1;
    char word[WORD];
    for (const uint8_t *p = bytes; p < end; p = next, number++) {
        const uint8_t *const stop = memchr(p, '\n', (size_t)(end - p));
        struct line l = {p, stop ? stop : end};
        next = stop ? stop + 1 : end;
        if (!read_word(word, &l))
            continue;
        if (!strcmp(word, "v"))
            PF_TRY(read_vertex(&l, &s->mesh, &vertex_room, number));
        else if (!strcmp(word, "f"))
            PF_TRY(read_face(&l, &s->mesh, &face_room, number));
    }
    return PF_OK;
}

/* ---- STL ---- */

enum { STL_HEAD = 84, STL_FACE = 50, STL_CORNERS = 12 };        // bytes; where the corners begin

size_t
shape_stl_size(const uint8_t *bytes)
{
    return STL_HEAD + STL_FACE * (size_t)pf_little(bytes + STL_HEAD - 4, 4);
}

bool
shape_is_stl(const uint8_t *bytes, size_t size)
{
    return size >= STL_HEAD && size == shape_stl_size(bytes);
}

pf_err
shape_parse_stl(struct shape *s, const uint8_t *bytes, size_t size)
{
    const int64_t faces = (int64_t)((size - STL_HEAD) / STL_FACE);
    PF_TRY(pf_mesh_new(&s->mesh, 3 * faces, faces));
    for (int64_t f = 0; f < faces; f++)
        memcpy(s->mesh.vertex + 9 * f, bytes + STL_HEAD + STL_FACE * f + STL_CORNERS, 36);
    for (int64_t i = 0; i < 3 * faces; i++)
        s->mesh.face[i] = (uint32_t)i;
    return PF_OK;
}
