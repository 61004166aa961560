#include "tools/pf-extract-mesh/simplify.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <meshoptimizer.h>

/* ---- vertices with several fans ---- */

/* The faces around each vertex: corner [3 faces] lists corners (3 face + k) by vertex, those of
 * vertex v from first[v] on, in order. */
struct fans {
    int64_t *first;             /* [vertices + 1] */
    uint32_t *corner;           /* [3 faces] */
};

static pf_err
find_fans(struct fans *fans, const struct pf_mesh *m)
{
    const int64_t V = m->vertices, n = 3 * m->faces;
    fans->first = calloc((size_t)V + 2, sizeof *fans->first);
    fans->corner = malloc((size_t)(n + 1) * sizeof *fans->corner);
    if (!fans->first || !fans->corner)
        return pf_fail(PF_ENOMEM, "no memory for the neighbours of %lld faces",
                       (long long)m->faces);
    int64_t *const at = fans->first + 1;        // one ahead, and at last where the next one begins
    for (int64_t i = 0; i < n; i++)
        if (m->face[i] + 1 < V)
            at[m->face[i] + 1]++;
    for (int64_t v = 1; v < V; v++)
        at[v] += at[v - 1];
    for (int64_t i = 0; i < n; i++)
        fans->corner[at[m->face[i]]++] = (uint32_t)i;
    return PF_OK;
}

/* The vertex of the corner's face that follows the corner's, by so many. */
static uint32_t
after(const struct pf_mesh *m, uint32_t corner, int by)
{
    return m->face[corner - corner % 3 + (corner % 3 + (uint32_t)by) % 3];
}

/* The corners of one vertex, cut into fans. */
struct cut {
    uint32_t *path;             /* corners of the walk, each beginning where the last one ended */
    bool *used;                 /* whether a corner has been walked over */
    int room;
    int64_t vertices, most;     /* of the mesh, and those there is room for */
    uint32_t *of;               /* [most] the vertex that a vertex was split off from */
};

static pf_err
make_room(struct cut *cut, int corners)
{
    if (corners > cut->room) {
        free(cut->path);
        free(cut->used);
        cut->room = 2 * corners;
        cut->path = malloc((size_t)cut->room * sizeof *cut->path);
        cut->used = malloc((size_t)cut->room * sizeof *cut->used);
    }
    if (cut->vertices + corners > cut->most) {
        cut->most = cut->vertices + cut->vertices / 8 + corners;
        uint32_t *const more = realloc(cut->of, (size_t)cut->most * sizeof *more);
        if (!more)
            return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)cut->most);
        cut->of = more;
    }
    return cut->path && cut->used ? PF_OK
                                  : pf_fail(PF_ENOMEM, "no memory for %d faces", corners);
}

/* The corner among those of a vertex, unused, whose face begins at this neighbour; -1: none. */
static int
from(const struct pf_mesh *m, const uint32_t *corner, const bool *used, int n, uint32_t neighbour)
{
    for (int i = 0; i < n; i++)
        if (!used[i] && after(m, corner[i], 1) == neighbour)
            return i;
    return -1;
}

/* Walk around vertex v from neighbour to neighbour, a face each.  Whenever a neighbour is met again
 * the walk since then is a fan that closes: the first one keeps the vertex, others get their own.
 * No neighbour is twice in a fan, so no edge has more than two faces then. */
static pf_err
split(struct cut *cut, struct pf_mesh *m, uint32_t v, const uint32_t *corner, int n)
{
    bool first = true;
    PF_TRY(make_room(cut, n));
    memset(cut->used, 0, (size_t)n * sizeof *cut->used);
    for (int i = 0; i < n; i++) {
        int length = 0, next = cut->used[i] ? -1 : i;
        while (next >= 0) {
            cut->used[next] = true;
            cut->path[length++] = corner[next];
            const uint32_t to = after(m, corner[next], 2);
            int back = length - 1;
            while (back >= 0 && after(m, cut->path[back], 1) != to)
                back--;
            if (back >= 0) {
                if (!first)
                    cut->of[cut->vertices] = cut->of[v];
                for (int k = back; k < length && !first; k++)
                    m->face[cut->path[k]] = (uint32_t)cut->vertices;
                cut->vertices += !first;
                first = false;
                length = back;
            }
            next = from(m, corner, cut->used, n, to);
        }
    }
    return PF_OK;
}

/* ---- the new mesh ---- */

/* Whether face f has only one neighbour, which lies back to back with it. */
static bool
is_pillow(const struct pf_mesh *m, const struct fans *fans, int64_t f)
{
    for (int k = 0; k < 3; k++) {
        const uint32_t v = m->face[3 * f + k];
        if (fans->first[v + 1] - fans->first[v] != 2)
            return false;
    }
    return true;
}

static void
drop_pillows(struct pf_mesh *m, const struct fans *fans)
{
    int64_t faces = 0;
    for (int64_t f = 0; f < m->faces; f++)
        if (!is_pillow(m, fans, f))
            memmove(m->face + 3 * faces++, m->face + 3 * f, 3 * sizeof *m->face);
    m->faces = faces;
}

/* m's faces are of vertices each of which is a copy of one of old's (of NULL: of the same number):
 * give it those that are used, in order, with what they have. */
static pf_err
gather(struct pf_mesh *m, const struct pf_mesh *old, const uint32_t *of, int64_t copies)
{
    uint32_t *const index = calloc((size_t)copies + 1, sizeof *index);
    struct pf_mesh to = {0};
    int64_t n = 0;
    if (!index)
        return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)copies);
    for (int64_t i = 0; i < 3 * m->faces; i++)
        index[m->face[i]] = 1;
    for (int64_t v = 0; v < copies; v++)
        n += index[v];
    pf_err err = pf_mesh_new(&to, n, m->faces);
    if (!err && ((old->color && !(to.color = malloc(3 * (size_t)n + 1))) ||
                 (old->normal && !(to.normal = malloc(12 * (size_t)n + 1)))))
        err = pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)n);
    n = 0;
    for (int64_t v = 0; !err && v < copies; v++)
        if (index[v]) {
            const int64_t from = of ? of[v] : v;
            memcpy(to.vertex + 3 * n, old->vertex + 3 * from, 12);
            if (to.color)
                memcpy(to.color + 3 * n, old->color + 3 * from, 3);
            if (to.normal)
                memcpy(to.normal + 3 * n, old->normal + 3 * from, 12);
            index[v] = (uint32_t)n++;
        }
    for (int64_t i = 0; !err && i < 3 * m->faces; i++)
        to.face[i] = index[m->face[i]];
    free(index);
    if (err)
        pf_mesh_release(&to);
    else
        *m = to;
    return err;
}

/* Split and gather; faces [3 faces], which is used up, are those of mesh from now on. */
static pf_err
rebuild(struct pf_mesh *mesh, uint32_t *face, int64_t faces)
{
    struct pf_mesh m = {.vertices = mesh->vertices, .faces = faces, .face = face};
    struct cut cut = {.vertices = mesh->vertices};
    struct fans fans = {0}, after_cut = {0};
    pf_err err = make_room(&cut, 8);
    for (int64_t v = 0; !err && v < mesh->vertices; v++)
        cut.of[v] = (uint32_t)v;
    if (!err)
        err = find_fans(&fans, &m);
    for (int64_t v = 0; !err && v < mesh->vertices; v++)
        err = split(&cut, &m, (uint32_t)v, fans.corner + fans.first[v],
                    (int)(fans.first[v + 1] - fans.first[v]));
    m.vertices = cut.vertices;
    if (!err)
        err = find_fans(&after_cut, &m);
    if (!err) {
        drop_pillows(&m, &after_cut);
        err = gather(&m, mesh, cut.of, cut.vertices);
    }
    if (!err) {
        pf_mesh_release(mesh);
        *mesh = m;
    }
    free(cut.path);
    free(cut.used);
    free(cut.of);
    free(fans.first);
    free(fans.corner);
    free(after_cut.first);
    free(after_cut.corner);
    return err;
}

pf_err
pf_mesh_split_pinches(struct pf_mesh *mesh)
{
    const size_t size = 3 * (size_t)mesh->faces * sizeof *mesh->face;
    uint32_t *const face = malloc(size + 1);
    if (!face)
        return pf_fail(PF_ENOMEM, "no memory for %lld faces", (long long)mesh->faces);
    memcpy(face, mesh->face, size);
    const pf_err err = rebuild(mesh, face, mesh->faces);
    free(face);
    return err;
}

/* ---- parts ----
 *
 * meshoptimizer works with one thread, in time that grows with the mesh.  So a large mesh is first
 * cut into parts that threads simplify on their own, but for their borders, until some times as
 * many faces are left as are wanted; then all of it is simplified once more, borders too.  So a
 * part with details can keep as many times its share, and none loses its inner vertices before its
 * border can follow. */

#define ANY_ERROR 1e9f          /* of the simplified surface, in lengths of the mesh */
enum { PART = 1 << 15 };        /* faces of a part */
enum { SPARE = 3 };             /* times the faces that are wanted are left by parts, at least */
enum { FEWEST = 8 };            /* and one of so many of a part's */
enum { GRID = 4 };              /* bits of a cell's place along each axis */
enum { CELLS = 1 << 3 * GRID };
enum { CHUNKS = 32 };           /* of faces that a thread sorts on its own */

/* The place of a face's cell along a curve that keeps near ones together (Morton's). */
static uint32_t
cell_of(const struct pf_mesh *m, int64_t f, const float low[3], float scale)
{
    const float *const p = m->vertex + 3 * (int64_t)m->face[3 * f];
    uint32_t cell = 0;
    for (int k = 0; k < 3; k++) {
        const uint32_t at = (uint32_t)((p[k] - low[k]) * scale);
        for (int bit = 0; bit < GRID; bit++)
            cell |= (at >> bit & 1) << (3 * bit + k);
    }
    return cell;
}

/* The mesh's corner and how many cells a unit has. */
static float
measure(float low[3], const struct pf_mesh *m)
{
    float high[3], side = 0;
    for (int k = 0; k < 3; k++) {
        float least = INFINITY, most = -INFINITY;
#pragma omp parallel for reduction(min : least) reduction(max : most)
        for (int64_t v = 0; v < m->vertices; v++) {
            const float at = m->vertex[3 * v + k];
            least = at < least ? at : least;
            most = at > most ? at : most;
        }
        low[k] = least;
        high[k] = most;
    }
    for (int k = 0; k < 3; k++)
        side = high[k] - low[k] > side ? high[k] - low[k] : side;
    return side > 0 ? ((1 << GRID) - 0.5f) / side : 0;
}

/* Where the faces of each chunk and cell begin in a list of all that is sorted by cells, and in
 * these by chunks: from counts [CHUNKS, CELLS] of faces, in place. */
static void
add_up(int64_t (*at)[CELLS])
{
    int64_t first[CELLS] = {0}, sum = 0;
    for (int chunk = 0; chunk < CHUNKS; chunk++)
        for (int cell = 0; cell < CELLS; cell++)
            first[cell] += at[chunk][cell];
    for (int cell = 0; cell < CELLS; cell++) {
        const int64_t n = first[cell];
        first[cell] = sum;
        sum += n;
    }
    for (int chunk = 0; chunk < CHUNKS; chunk++)
        for (int cell = 0; cell < CELLS; cell++) {
            const int64_t n = at[chunk][cell];
            at[chunk][cell] = first[cell];
            first[cell] += n;
        }
}

/* Copy the mesh's faces so that parts of the list are parts of the mesh. */
static pf_err
sort_faces(uint32_t *face, const struct pf_mesh *m)
{
    float low[3];
    const float scale = measure(low, m);
    const int64_t F = m->faces;
    uint16_t *const cell = malloc((size_t)F * sizeof *cell);
    int64_t(*const at)[CELLS] = calloc(CHUNKS, sizeof *at);
    const bool enough = cell && at;
    if (enough) {
#pragma omp parallel for
        for (int i = 0; i < CHUNKS; i++)
            for (int64_t f = i * F / CHUNKS; f < (i + 1) * F / CHUNKS; f++) {
                cell[f] = (uint16_t)cell_of(m, f, low, scale);
                at[i][cell[f]]++;
            }
        add_up(at);
#pragma omp parallel for
        for (int i = 0; i < CHUNKS; i++)
            for (int64_t f = i * F / CHUNKS; f < (i + 1) * F / CHUNKS; f++)
                memcpy(face + 3 * at[i][cell[f]]++, m->face + 3 * f, 3 * sizeof *face);
    }
    free(cell);
    free(at);
    return enough ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %lld faces", (long long)F);
}

/* Simplify a list of faces [n, 3], in place, to about target, borders excepted; returns how many
 * are left, -1: no memory. */
static int64_t
simplify_part(uint32_t *face, int64_t n, int64_t target, const struct pf_mesh *m)
{
    uint32_t *const index = calloc((size_t)m->vertices, sizeof *index);     // and one, from 1
    uint32_t *const local = malloc(6 * (size_t)n * sizeof *local);
    uint32_t *const of = malloc(3 * (size_t)n * sizeof *of);
    float *const vertex = malloc(9 * (size_t)n * sizeof *vertex);
    uint32_t vertices = 0;
    int64_t left = -1;
    if (index && local && of && vertex) {
        uint32_t *const to = local + 3 * n;
        for (int64_t i = 0; i < 3 * n; i++) {
            if (!index[face[i]]) {
                memcpy(vertex + 3 * (size_t)vertices, m->vertex + 3 * (size_t)face[i], 12);
                of[vertices] = face[i];
                index[face[i]] = ++vertices;
            }
            local[i] = index[face[i]] - 1;
        }
        left = (int64_t)meshopt_simplify(to, local, 3 * (size_t)n, vertex, vertices,
                                         3 * sizeof *vertex, 3 * (size_t)target, ANY_ERROR,
                                         meshopt_SimplifyLockBorder, NULL) / 3;
        for (int64_t i = 0; i < 3 * left; i++)
            face[i] = of[to[i]];
    }
    free(index);
    free(local);
    free(of);
    free(vertex);
    return left;
}

/* Simplify the parts of a list of faces, to a share of them; *faces: how many are left. */
static pf_err
simplify_parts(uint32_t *face, int64_t *faces, double share, const struct pf_mesh *m)
{
    const int64_t all = *faces, parts = (all + PART - 1) / PART;
    int64_t *const left = malloc((size_t)parts * sizeof *left);
    bool enough = left != NULL;
#pragma omp parallel for schedule(dynamic) reduction(&& : enough)
    for (int64_t i = 0; i < parts; i++) {
        const int64_t from = i * all / parts, n = (i + 1) * all / parts - from;
        if (enough)
            left[i] = simplify_part(face + 3 * from, n, (int64_t)(share * (double)n), m);
        enough = enough && left[i] >= 0;
    }
    *faces = 0;
    for (int64_t i = 0; enough && i < parts; i++) {
        memmove(face + 3 * *faces, face + 3 * (i * all / parts), 12 * (size_t)left[i]);
        *faces += left[i];
    }
    free(left);
    return enough ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %lld faces", (long long)all);
}

/* The mesh with about this many faces; face [mesh's faces, 3] is scratch. */
static pf_err
simplify_roughly(struct pf_mesh *mesh, uint32_t *face, int64_t target)
{
    struct pf_mesh m = {.vertices = mesh->vertices, .faces = mesh->faces, .face = face};
    PF_TRY(sort_faces(face, mesh));
    PF_TRY(simplify_parts(face, &m.faces, (double)target / (double)mesh->faces, mesh));
    PF_TRY(gather(&m, mesh, NULL, mesh->vertices));
    pf_mesh_release(mesh);
    *mesh = m;
    return PF_OK;
}

/* ---- the whole ---- */

pf_err
pf_mesh_simplify(struct pf_mesh *mesh, int64_t target)
{
    if (mesh->faces <= target)
        return PF_OK;
    uint32_t *const face = malloc(3 * (size_t)mesh->faces * sizeof *face);
    pf_err err = PF_OK;
    if (!face)
        return pf_fail(PF_ENOMEM, "no memory for %lld faces", (long long)mesh->faces);
    const int64_t spare = SPARE * target, fewest = mesh->faces / FEWEST;
    const int64_t rough = spare > fewest ? spare : fewest;
    if (mesh->faces > 2 * PART && mesh->faces > 2 * rough)
        err = simplify_roughly(mesh, face, rough);
    const size_t n = err ? 0 : meshopt_simplify(face, mesh->face, 3 * (size_t)mesh->faces,
                                                mesh->vertex, (size_t)mesh->vertices,
                                                3 * sizeof *mesh->vertex, 3 * (size_t)target,
                                                ANY_ERROR, 0, NULL);
    if (!err)
        err = rebuild(mesh, face, (int64_t)n / 3);
    free(face);
    return err;
}
