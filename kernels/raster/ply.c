/* ply.c - PLY: a header that describes rows of numbers, and the rows, as text or binary of either
 * byte order.  Elements and properties that are not wanted are stepped over. */
#include "kernels/raster/ply.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/text.h"

enum { ELEMENTS = 16, PROPERTIES = 64, WORD = 64, CORNERS = 4096 };
enum type { I8, U8, I16, U16, I32, U32, F32, F64, TYPES };
enum role { X, Y, Z, NX, NY, NZ, RED, GREEN, BLUE, INDICES, UNKNOWN };
enum format { ASCII, LITTLE, BIG, FORMATS };
enum kind { VERTEX, FACE, OTHER };

struct property {
    enum type type, count;      /* count: of a list's length */
    bool list;
    enum role role;
};
struct element {
    enum kind kind;
    int64_t rows;
    int properties;
    struct property property[PROPERTIES];
};
struct reader {
    const uint8_t *at, *end;
    enum format format;
    bool bad;                   /* the data ended, or a word was no number */
    int elements;
    struct element element[ELEMENTS];
};

static const int bytes_of[TYPES] = {1, 1, 2, 2, 4, 4, 4, 8};

/* ---- the header ---- */

static int
find(const char *word, const char *const *names, int n)
{
    int i = 0;
    while (i < n && strcmp(word, names[i]))
        i++;
    return i;
}

static bool
type_of(enum type *type, const char *word)
{
    static const char *const names[] = {"char", "uchar", "short", "ushort", "int", "uint", "float",
                                        "double", "int8", "uint8", "int16", "uint16", "int32",
                                        "uint32", "float32", "float64"};
    const int i = find(word, names, 2 * TYPES);
    *type = (enum type)(i % TYPES);
    return i < 2 * TYPES;
}

static enum role
role_of(enum kind kind, const char *name, bool list)
{
    static const char *const names[] = {"x", "y", "z", "nx", "ny", "nz", "red", "green", "blue"};
    if (kind == VERTEX && !list) {
        const int i = find(name, names, INDICES);
        return i < INDICES ? (enum role)i : UNKNOWN;
    }
    if (kind == FACE && list && (!strcmp(name, "vertex_indices") || !strcmp(name, "vertex_index")))
        return INDICES;
    return UNKNOWN;
}

static pf_err
add_element(struct reader *r, char word[5][WORD], int words)
{
    struct element *const e = &r->element[r->elements];
    if (r->elements == ELEMENTS)
        return pf_fail(PF_EFORMAT, "the PLY header has more than %d elements", ELEMENTS);
    if (words != 3 || !pf_parse_int(&e->rows, word[2]) || e->rows < 0)
        return pf_fail(PF_EFORMAT, "the PLY header says element %s without a number", word[1]);
    e->kind = !strcmp(word[1], "vertex") ? VERTEX : !strcmp(word[1], "face") ? FACE : OTHER;
    r->elements++;
    return PF_OK;
}

static pf_err
add_property(struct reader *r, char word[5][WORD], int words)
{
    if (!r->elements)
        return pf_fail(PF_EFORMAT, "the PLY header has a property before any element");
    struct element *const e = &r->element[r->elements - 1];
    if (e->properties == PROPERTIES)
        return pf_fail(PF_EFORMAT, "a PLY element has more than %d properties", PROPERTIES);
    struct property *const p = &e->property[e->properties];
    p->list = !strcmp(word[1], "list");
    if (words != (p->list ? 5 : 3) || !type_of(&p->type, word[p->list ? 3 : 1]) ||
        (p->list && !type_of(&p->count, word[2])))
        return pf_fail(PF_EFORMAT, "the PLY header has a property of no known type");
    p->role = role_of(e->kind, word[words - 1], p->list);
    for (int i = 0; i < e->properties && p->role != UNKNOWN; i++)
        if (e->property[i].role == p->role)
            return pf_fail(PF_EFORMAT, "the PLY header has the property %s twice", word[words - 1]);
    e->properties++;
    return PF_OK;
}

/* The words of one line, at most five of them; false where no line ends. */
static bool
read_line(struct reader *r, char word[5][WORD], int *words)
{
    const uint8_t *const end = memchr(r->at, '\n', (size_t)(r->end - r->at));
    bool inside = false;
    size_t length = 0;
    *words = 0;
    memset(word, 0, 5 * WORD);
    for (const uint8_t *p = r->at; end && p < end; p++) {
        const bool space = *p == ' ' || *p == '\t' || *p == '\r';
        if (!space && !inside) {
            length = 0;
            ++*words;
        }
        inside = !space;
        if (!space && *words <= 5 && length < WORD - 1)
            word[*words - 1][length++] = (char)*p;
    }
    r->at = end ? end + 1 : r->end;
    return end;
}

static pf_err
read_header(struct reader *r)
{
    static const char *const formats[] = {"ascii", "binary_little_endian", "binary_big_endian"};
    char word[5][WORD];
    int words;
    r->format = FORMATS;
    while (read_line(r, word, &words)) {
        if (!words)
            continue;
        if (!strcmp(word[0], "format"))
            r->format = (enum format)find(word[1], formats, FORMATS);
        else if (!strcmp(word[0], "element"))
            PF_TRY(add_element(r, word, words));
        else if (!strcmp(word[0], "property"))
            PF_TRY(add_property(r, word, words));
        else if (!strcmp(word[0], "end_header"))
            return r->format < FORMATS
                       ? PF_OK
                       : pf_fail(PF_EFORMAT, "the PLY header names no format that is known");
    }
    return pf_fail(PF_EFORMAT, "the PLY header has no end");
}

/* ---- the rows ---- */

static double
text_number(struct reader *r)
{
    char word[WORD];
    size_t n = 0;
    double v;
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
    while (r->at < r->end && *r->at && !strchr(" \t\r\n", *r->at) && n < WORD - 1)
        word[n++] = (char)*r->at++;
    word[n] = 0;
    if (pf_parse_real(&v, word))
        return v;
    // What is not finite, or wrong, is said by whoever needs the number.
    if (!strcasecmp(word, "nan") || !strcasecmp(word, "-nan"))
        return NAN;
    r->bad = true;
    return 0;
}

static double
number(struct reader *r, enum type type)
{
    const int n = bytes_of[type];
    uint64_t bits = 0;
    float f;
    double d;
    if (r->format == ASCII)
        return text_number(r);
    if (r->end - r->at < n) {
        r->bad = true;
        return 0;
    }
    for (int i = 0; i < n; i++)
        bits |= (uint64_t)r->at[r->format == LITTLE ? i : n - 1 - i] << (8 * i);
    r->at += n;
    switch (type) {
    case I8: return (int8_t)bits;
    case I16: return (int16_t)bits;
    case I32: return (int32_t)bits;
    case F32: return memcpy(&f, &(uint32_t){(uint32_t)bits}, 4), (double)f;
    case F64: return memcpy(&d, &bits, 8), d;
    default: return (double)bits;
    }
}

/* A list's length: no list is longer than the data that are left. */
static int64_t
length_of(struct reader *r, enum type type)
{
    const double n = number(r, type);
    if (!(n >= 0 && n <= (double)(r->end - r->at) && n == floor(n)))
        r->bad = true;
    return r->bad ? 0 : (int64_t)n;
}

pf_err
pf_mesh_add_polygon(struct pf_mesh *mesh, int64_t *room, const uint32_t *corner, int corners)
{
    if (mesh->faces + corners > *room) {
        const int64_t wanted = mesh->faces + mesh->faces / 2 + corners + 64;
        uint32_t *const more = realloc(mesh->face, (size_t)wanted * 3 * sizeof *more);
        if (!more)
            return pf_fail(PF_ENOMEM, "no memory for %lld faces of the mesh", (long long)wanted);
        mesh->face = more;
        *room = wanted;
    }
    for (int k = 2; k < corners; k++) {
        const uint32_t triangle[3] = {corner[0], corner[k - 1], corner[k]};
        memcpy(mesh->face + 3 * mesh->faces++, triangle, sizeof triangle);
    }
    return PF_OK;
}

static pf_err
read_indices(struct reader *r, const struct property *p, struct pf_mesh *mesh, int64_t *room)
{
    uint32_t corner[CORNERS];
    const int64_t n = length_of(r, p->count);
    if (!r->bad && (n < 3 || n > CORNERS))
        return pf_fail(PF_EFORMAT, "a face has %lld corners, expected 3 to %d", (long long)n,
                       CORNERS);
    for (int64_t k = 0; k < n && !r->bad; k++) {
        const double v = number(r, p->type);
        if (!(v >= 0 && v < UINT32_MAX && v == floor(v)))
            return pf_fail(PF_EFORMAT, "a face has the vertex %g", v);
        corner[k] = (uint32_t)v;
    }
    return r->bad ? PF_OK : pf_mesh_add_polygon(mesh, room, corner, (int)n);
}

static void
skip_list(struct reader *r, const struct property *p)
{
    const int64_t n = length_of(r, p->count);
    for (int64_t k = 0; k < n && !r->bad; k++)
        number(r, p->type);
}

/* What a colour of 255 is as a number of this type. */
static double
brightest(enum type type)
{
    return type == F32 || type == F64 ? 1 : type == U16 ? 65535 : 255;
}

static pf_err
read_row(struct reader *r, const struct element *e, float value[INDICES], struct pf_mesh *mesh,
         int64_t *room)
{
    for (int i = 0; i < e->properties && !r->bad; i++) {
        const struct property *const p = &e->property[i];
        if (p->role == INDICES)
            PF_TRY(read_indices(r, p, mesh, room));
        else if (p->list)
            skip_list(r, p);
        else if (p->role >= RED && p->role <= BLUE)
            value[p->role] = (float)(255 / brightest(p->type) * number(r, p->type));
        else if (p->role <= NZ)
            value[p->role] = (float)number(r, p->type);
        else
            number(r, p->type);
    }
    return PF_OK;
}

/* The bytes that every row has at least; of text, a digit and what parts it from the next. */
static int64_t
least_bytes(const struct reader *r, const struct element *e)
{
    int64_t n = 0;
    for (int i = 0; i < e->properties; i++)
        n += r->format == ASCII ? 2 : bytes_of[e->property[i].list ? e->property[i].count
                                                                   : e->property[i].type];
    return n;
}

static bool
has(const struct element *e, enum role role)
{
    for (int i = 0; i < e->properties; i++)
        if (e->property[i].role == role)
            return true;
    return false;
}

/* Whether the element has this role and the two behind it. */
static bool
has_three(const struct element *e, enum role first)
{
    return has(e, first) && has(e, first + 1) && has(e, first + 2);
}

static pf_err
new_vertices(struct pf_mesh *m, const struct element *e)
{
    const size_t n = 3 * (size_t)e->rows + 1;
    m->vertices = e->rows;
    m->vertex = malloc(n * sizeof *m->vertex);
    m->normal = has_three(e, NX) ? malloc(n * sizeof *m->normal) : NULL;
    m->color = has_three(e, RED) ? malloc(n) : NULL;
    return m->vertex && (m->normal || !has_three(e, NX)) && (m->color || !has_three(e, RED))
               ? PF_OK
               : pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)e->rows);
}

static pf_err
read_vertices(struct reader *r, const struct element *e, struct pf_mesh *m)
{
    if (m->vertex)
        return pf_fail(PF_EFORMAT, "the PLY header has two elements vertex");
    if (!has_three(e, X))
        return pf_fail(PF_EFORMAT, "the PLY file's vertices have no x, y and z");
    PF_TRY(new_vertices(m, e));
    for (int64_t i = 0; i < e->rows && !r->bad; i++) {
        float value[INDICES] = {0};
        PF_TRY(read_row(r, e, value, NULL, NULL));
        memcpy(m->vertex + 3 * i, value, 3 * sizeof *value);
        if (m->normal)
            memcpy(m->normal + 3 * i, value + NX, 3 * sizeof *value);
        for (int k = 0; k < 3 && m->color; k++)
            m->color[3 * i + k] = (uint8_t)(fminf(fmaxf(value[RED + k], 0), 255) + 0.5f);
    }
    return PF_OK;
}

static pf_err
read_element(struct reader *r, const struct element *e, struct pf_mesh *m, int64_t *room)
{
    const int64_t least = least_bytes(r, e);
    float value[INDICES];
    if (!least)
        return PF_OK;
    if (e->rows > (r->end - r->at + 1) / least)
        return pf_fail(PF_EFORMAT, "the PLY file ends early: %lld rows do not fit into %lld bytes",
                       (long long)e->rows, (long long)(r->end - r->at));
    if (e->kind == VERTEX)
        return read_vertices(r, e, m);
    for (int64_t i = 0; i < e->rows && !r->bad; i++)
        PF_TRY(read_row(r, e, value, m, room));
    return PF_OK;
}

static pf_err
read_elements(struct reader *r, struct pf_mesh *m, bool *points)
{
    int64_t room = 0;
    *points = true;
    PF_TRY(read_header(r));
    for (int i = 0; i < r->elements; i++) {
        PF_TRY(read_element(r, &r->element[i], m, &room));
        if (r->bad)
            return pf_fail(PF_EFORMAT, "the PLY file ends early, or has a word that is no number");
        *points &= r->element[i].kind != FACE;
    }
    return PF_OK;
}

pf_err
pf_ply_parse(struct pf_mesh *mesh, bool *points, const uint8_t *bytes, size_t size)
{
    static const struct reader empty;
    struct reader r = empty;
    *mesh = (struct pf_mesh){0};
    r.at = bytes;
    r.end = bytes + size;
    const pf_err err = read_elements(&r, mesh, points);
    if (err)
        pf_mesh_release(mesh);
    return err;
}
