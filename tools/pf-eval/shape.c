/* shape.c - see shape.h. */
#include "tools/pf-eval/shape.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/kind.h"
#include "common/slurp.h"
#include "common/text.h"
#include "kernels/raster/ply.h"

static const size_t MAX_FILE = (size_t)1 << 30;

const int solid_side[SOLIDS] = {64, 128};
const double solid_half[SOLIDS] = {1, 0.68};    // measures.md, 3.4

void
points_release(struct points *p)
{
    free(p->at);
    free(p->normal);
    *p = (struct points){0};
}

pf_err
points_new(struct points *p, int64_t n, bool normals)
{
    const size_t bytes = (size_t)(n ? n : 1) * 3 * sizeof *p->at;
    *p = (struct points){.n = n, .at = malloc(bytes), .normal = normals ? malloc(bytes) : NULL};
    if (p->at && (p->normal || !normals))
        return PF_OK;
    points_release(p);
    return pf_fail(PF_ENOMEM, "no memory for %lld points", (long long)n);
}

pf_err
points_copy(struct points *to, const struct points *from)
{
    PF_TRY(points_new(to, from->n, from->normal));
    const size_t bytes = (size_t)from->n * 3 * sizeof *to->at;
    memcpy(to->at, from->at, bytes);
    if (from->normal)
        memcpy(to->normal, from->normal, bytes);
    return PF_OK;
}

void
shape_release(struct shape *s)
{
    pf_mesh_release(&s->mesh);
    points_release(&s->seen);
    points_release(&s->whole);
    for (int i = 0; i < SOLIDS; i++)
        free(s->solid[i]);
    *s = (struct shape){0};
}

/* ---- for the formats ---- */

pf_err
shape_grow(void **to, int64_t n, int64_t *room, size_t row)
{
    if (n < *room)
        return PF_OK;
    const int64_t wanted = n + n / 2 + 64;
    void *const more = realloc(*to, (size_t)wanted * row);
    if (!more)
        return pf_fail(PF_ENOMEM, "no memory for %lld rows of the mesh", (long long)wanted);
    *to = more;
    *room = wanted;
    return PF_OK;
}

/* ---- reading ---- */

static pf_err
check_points(const char *what, const float *at, int64_t n)
{
    for (int64_t i = 0; i < 3 * n; i++)
        if (!(fabs((double)at[i]) <= SHAPE_REACH))
            return pf_fail(PF_EFORMAT, "%s %lld is at %c = %g, expected coordinates of at most %g",
                           what, (long long)(i / 3), "xyz"[i % 3], (double)at[i], SHAPE_REACH);
    return PF_OK;
}

static pf_err
check(const struct shape *s)
{
    const struct pf_mesh *const m = &s->mesh;
    PF_TRY(check_points("vertex", m->vertex, m->vertices));
    PF_TRY(check_points("point", s->seen.at, s->seen.n));
    PF_TRY(check_points("point", s->whole.at, s->whole.n));
    for (int64_t i = 0; i < 3 * m->faces; i++)
        if (m->face[i] >= m->vertices)
            return pf_fail(PF_EFORMAT, "face %lld has the vertex %u of %lld", (long long)(i / 3),
                           m->face[i], (long long)m->vertices);
    if (m->vertices && !m->faces)
        return pf_fail(PF_EFORMAT, "the mesh has no faces");
    if (!m->faces && !s->seen.n)
        return pf_fail(PF_EFORMAT, "there are neither faces nor points");
    return PF_OK;
}

/* A PLY file without an element of faces is points. */
static pf_err
parse_ply(struct shape *s, const uint8_t *bytes, size_t size)
{
    struct pf_mesh *const m = &s->mesh;
    bool points;
    PF_TRY(pf_ply_parse(m, &points, bytes, size));
    if (!points)
        return m->faces ? PF_OK : pf_fail(PF_EFORMAT, "the mesh has no faces");
    s->seen = (struct points){.n = m->vertices, .at = m->vertex, .normal = m->normal};
    m->vertex = m->normal = NULL;
    pf_mesh_release(m);
    return PF_OK;
}

static pf_err
parse(struct shape *s, const uint8_t *bytes, size_t size)
{
    const struct pf_kind *const kind =
        pf_kind_of(bytes, size < PF_KIND_BYTES ? size : PF_KIND_BYTES);
    const size_t line = size > 3 ? strcspn("\r\n", (char[]){(char)bytes[3], 0}) : 2;
    if (size > 4 && !memcmp(bytes, "ply", 3) && line < 2)
        return parse_ply(s, bytes, size);
    if (size > 4 && !memcmp(bytes, "glTF", 4))
        return shape_parse_glb(s, bytes, size);
    if (size > 4 && !memcmp(bytes, "PK\3\4", 4))
        return shape_parse_npz(s, bytes, size);
    if (shape_is_stl(bytes, size))
        return shape_parse_stl(s, bytes, size);
    if (kind)
        return pf_kind_fail(kind, "a mesh");
    PF_TRY(shape_parse_obj(s, bytes, size));
    return s->mesh.vertices || s->mesh.faces
               ? PF_OK
               : pf_fail(PF_EFORMAT, "is no mesh, expected PLY, OBJ, GLB, binary STL or NPZ");
}

pf_err
shape_parse(struct shape *s, const void *bytes, size_t size)
{
    *s = (struct shape){0};
    pf_err err = parse(s, bytes, size);
    if (!err)
        err = check(s);
    if (err)
        shape_release(s);
    return err;
}

/* Whether a file that begins so may be a mesh: a pipe of zeros or of one word has no end. */
static bool
goes_on(const uint8_t *bytes, size_t size)
{
    enum { HEAD = 1 << 16 };
    const size_t head = size < HEAD ? size : HEAD;
    if (size < PF_KIND_BYTES || !memcmp(bytes, "PK\3\4", 4))
        return true;
    if (!memcmp(bytes, "glTF", 4))
        return size <= pf_little(bytes + 8, 4);
    if (!memcmp(bytes, "ply", 3))
        return size < HEAD || memmem(bytes, head, "end_header", 10);
    if (memchr(bytes, 0, PF_KIND_BYTES))
        return size <= shape_stl_size(bytes) && shape_stl_size(bytes) <= MAX_FILE;
    return size < HEAD || *bytes == 'v' || memmem(bytes, head, "\nv", 2);
}

pf_err
shape_read(struct shape *s, const char *path)
{
    const bool standard = !strcmp(path, "-");
    uint8_t *bytes = NULL;
    size_t size;
    FILE *const f = standard ? stdin : fopen(path, "rb");
    *s = (struct shape){0};
    if (!f)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    pf_err err = pf_slurp(&bytes, &size, f, MAX_FILE, goes_on);
    if (!standard)
        fclose(f);
    if (!err && size > MAX_FILE)
        err = pf_fail(PF_EFORMAT, "is larger than %zu bytes, too large for a mesh", MAX_FILE);
    if (!err)
        err = size ? shape_parse(s, bytes, size) : pf_fail(PF_EFORMAT, "is empty");
    free(bytes);
    return err ? pf_fail_in(err, "%s", pf_file_title(path)) : PF_OK;
}

/* ---- where it is ---- */

/* x' = M x for all that is in the shape, and the directions of normals. */
static void
transform(struct shape *s, const double M[9], const double shift[3])
{
    static const double nowhere[3];
    struct {
        float *v;
        int64_t n;
        const double *shift;
    } all[] = {{s->mesh.vertex, s->mesh.vertices, shift}, {s->seen.at, s->seen.n, shift},
               {s->whole.at, s->whole.n, shift}, {s->seen.normal, s->seen.n, nowhere},
               {s->whole.normal, s->whole.n, nowhere}};
    for (size_t a = 0; a < sizeof all / sizeof *all; a++)
        for (int64_t i = 0; all[a].v && i < all[a].n; i++) {
            float *const v = all[a].v + 3 * i;
            const double x = v[0], y = v[1], z = v[2];
            for (int k = 0; k < 3; k++)
                v[k] = (float)(M[3 * k] * x + M[3 * k + 1] * y + M[3 * k + 2] * z +
                               all[a].shift[k]);
        }
    for (int i = 0; i < SOLIDS; i++) {          // a grid does not turn: it tells nothing any more
        free(s->solid[i]);
        s->solid[i] = NULL;
    }
}

void
shape_turn(struct shape *s, double angle)
{
    const double c = cos(angle), t = sin(angle);
    transform(s, (double[]){c, -t, 0, t, c, 0, 0, 0, 1}, (double[]){0, 0, 0});
}

void
shape_fit(struct shape *s)
{
    const float *const v = s->mesh.faces ? s->mesh.vertex : s->seen.at;
    const int64_t n = s->mesh.faces ? s->mesh.vertices : s->seen.n;
    double low[3], high[3], edge = 0, shift[3];
    for (int k = 0; k < 3; k++) {
        low[k] = high[k] = v[k];
        for (int64_t i = 1; i < n; i++) {
            low[k] = fmin(low[k], v[3 * i + k]);
            high[k] = fmax(high[k], v[3 * i + k]);
        }
        edge = fmax(edge, high[k] - low[k]);
    }
    const double scale = edge > 0 ? 1 / edge : 1;
    for (int k = 0; k < 3; k++)
        shift[k] = -0.5 * scale * (low[k] + high[k]);
    transform(s, (double[]){scale, 0, 0, 0, scale, 0, 0, 0, scale}, shift);
}
