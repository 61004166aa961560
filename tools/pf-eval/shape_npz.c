/* shape_npz.c - NumPy's archives: a mesh in v and f, or points in pts, their normals in nrm, points
 * of all of the surface in pts_all, and bits of the cells inside in occ and occ128. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/tensor.h"
#include "common/unzip.h"
#include "tools/pf-eval/shape.h"

enum { NPY_HEAD = 10, NPY_TEXT = 4096 };

/* ---- .npy ---- */

static bool
type_of(pf_dtype *type, const char *header)
{
    static const struct {
        const char *name;
        pf_dtype type;
    } types[] = {{"<f2", PF_F16}, {"<f4", PF_F32}, {"<f8", PF_F64}, {"|i1", PF_I8},
                 {"|u1", PF_U8},  {"<i2", PF_I16}, {"<u2", PF_U16}, {"<i4", PF_I32},
                 {"<u4", PF_U32}, {"<i8", PF_I64}, {"<u8", PF_U64}, {"|b1", PF_BOOL}};
    const char *at = strstr(header, "'descr':");
    at = at ? strchr(at + 8, '\'') : NULL;
    for (size_t i = 0; at && i < sizeof types / sizeof *types; i++)
        if (!strncmp(at + 1, types[i].name, 3) && at[4] == '\'') {
            *type = types[i].type;
            return true;
        }
    return false;
}

/* "'shape': (12, 3)," */
static bool
shape_of(int64_t dim[2], int *ndim, const char *header)
{
    const char *at = strstr(header, "'shape':");
    at = at ? strchr(at, '(') : NULL;
    *ndim = 0;
    while (at && (*at == '(' || *at == ',' || *at == ' ')) {
        char *end;
        at++;
        const long long n = strtoll(at, &end, 10);
        if (end == at)
            continue;
        if (n < 0 || *ndim == 2)
            return false;
        dim[(*ndim)++] = n;
        at = end;
    }
    return at && *at == ')' && *ndim;
}

/* The array of an entry of the archive, owned by the caller. */
static pf_err
read_npy(pf_tensor *t, const struct pf_zip_entry *e, const char *name)
{
    unsigned char head[NPY_HEAD + 2];
    char text[NPY_TEXT] = "";
    int64_t dim[2];
    size_t bytes;
    pf_dtype type;
    int ndim;
    if (e->size < sizeof head)
        return pf_fail(PF_EFORMAT, "%s is no array of NumPy", name);
    PF_TRY(pf_zip_read(e, head, 0, sizeof head));
    const int wide = head[6] > 1;               // version 2 counts its header in four bytes
    const uint64_t from = NPY_HEAD + 2 * (uint64_t)wide;
    const uint64_t length = pf_little(head + 8, wide ? 4 : 2);
    if (memcmp(head, "\x93NUMPY", 6) || length >= NPY_TEXT || from + length > e->size)
        return pf_fail(PF_EFORMAT, "%s is no array of NumPy", name);
    PF_TRY(pf_zip_read(e, text, from, length));
    if (!type_of(&type, text) || !shape_of(dim, &ndim, text) ||
        !strstr(text, "'fortran_order': False"))
        return pf_fail(PF_EFORMAT, "%s: expected an array of one or two axes of little-endian "
                       "numbers, its header is \"%.100s\"", name, text);
    if (pf_shape_bytes(&bytes, type, ndim, dim) || bytes != e->size - from - length)
        return pf_fail(PF_EFORMAT, "%s: its shape and its %llu bytes disagree", name,
                       (unsigned long long)(e->size - from - length));
    PF_TRY(pf_tensor_new_unset(t, type, ndim, dim));
    const pf_err err = pf_zip_read(e, t->data, from + length, bytes);
    if (err)
        pf_tensor_release(t);
    return err;
}

/* ---- what is wanted ---- */

/* Rows of three floats of the array name.npy; *to is NULL and *n 0 where there is none. */
static pf_err
read_rows(float **to, int64_t *n, const struct pf_zip *z, const char *name)
{
    const struct pf_zip_entry *const e = pf_zip_find(z, name);
    pf_tensor t;
    *to = NULL;
    *n = 0;
    if (!e)
        return PF_OK;
    PF_TRY(read_npy(&t, e, name));
    const int64_t count = pf_tensor_count(&t);
    pf_err err = PF_OK;
    if (t.ndim != 2 || t.dim[1] != 3)
        err = pf_fail(PF_ESHAPE, "%s: expected rows of three numbers", name);
    else if (!(*to = malloc((size_t)(count ? count : 1) * sizeof **to)))
        err = pf_fail(PF_ENOMEM, "no memory for %s", name);
    else
        pf_to_f32(*to, t.data, t.dtype, count);
    *n = err ? 0 : t.dim[0];
    pf_tensor_release(&t);
    return err;
}

static pf_err
read_faces(struct pf_mesh *mesh, const struct pf_zip *z)
{
    const struct pf_zip_entry *const e = pf_zip_find(z, "f.npy");
    pf_tensor t;
    if (!e)
        return pf_fail(PF_EFORMAT, "the archive has vertices in v and no faces in f");
    PF_TRY(read_npy(&t, e, "f.npy"));
    const size_t size = pf_dtype_size(t.dtype);
    const int64_t count = pf_tensor_count(&t);
    pf_err err = PF_OK;
    if (t.ndim != 2 || t.dim[1] != 3 || t.dtype < PF_U8 || t.dtype == PF_BOOL)
        err = pf_fail(PF_ESHAPE, "f.npy: expected rows of three whole numbers");
    else if (!(mesh->face = malloc((size_t)(count ? count : 1) * sizeof *mesh->face)))
        err = pf_fail(PF_ENOMEM, "no memory for f.npy");
    for (int64_t i = 0; i < count && !err; i++) {
        const uint64_t v = pf_little((unsigned char *)t.data + size * (size_t)i, (int)size);
        mesh->face[i] = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;      // none has that number
    }
    mesh->faces = err ? 0 : t.dim[0];
    pf_tensor_release(&t);
    return err;
}

static pf_err
read_solid(uint8_t **to, const struct pf_zip *z, const char *name, int side)
{
    const struct pf_zip_entry *const e = pf_zip_find(z, name);
    const int64_t cells = (int64_t)side * side * side;
    pf_tensor t;
    if (!e)
        return PF_OK;
    PF_TRY(read_npy(&t, e, name));
    pf_err err = PF_OK;
    if (t.dtype != PF_U8 || t.ndim != 1 || t.dim[0] != cells / 8)
        err = pf_fail(PF_ESHAPE, "%s: expected the %lld bits of %d^3 cells in bytes", name,
                      (long long)cells, side);
    else if (!(*to = malloc((size_t)cells)))
        err = pf_fail(PF_ENOMEM, "no memory for %s", name);
    for (int64_t i = 0; i < cells && !err; i++)
        (*to)[i] = ((const uint8_t *)t.data)[i / 8] >> (7 - i % 8) & 1;
    pf_tensor_release(&t);
    return err;
}

/* An int8 normal is a unit vector times 127. */
static pf_err
read_normals(struct points *p, const struct pf_zip *z)
{
    int64_t n;
    PF_TRY(read_rows(&p->normal, &n, z, "nrm.npy"));
    if (p->normal && n != p->n)
        return pf_fail(PF_ESHAPE, "nrm.npy has %lld rows, pts.npy %lld", (long long)n,
                       (long long)p->n);
    for (int64_t i = 0; i < 3 * n; i++)
        p->normal[i] /= 127;
    return PF_OK;
}

static pf_err
read_arrays(struct shape *s, const struct pf_zip *z)
{
    static const char *const solids[SOLIDS] = {"occ.npy", "occ128.npy"};
    PF_TRY(read_rows(&s->mesh.vertex, &s->mesh.vertices, z, "v.npy"));
    if (s->mesh.vertex)
        return read_faces(&s->mesh, z);
    PF_TRY(read_rows(&s->seen.at, &s->seen.n, z, "pts.npy"));
    if (!s->seen.at)
        return pf_fail(PF_EFORMAT, "the archive has neither a mesh in v and f nor points in pts");
    PF_TRY(read_normals(&s->seen, z));
    PF_TRY(read_rows(&s->whole.at, &s->whole.n, z, "pts_all.npy"));
    for (int i = 0; i < SOLIDS; i++)
        PF_TRY(read_solid(&s->solid[i], z, solids[i], solid_side[i]));
    return PF_OK;
}

pf_err
shape_parse_npz(struct shape *s, const uint8_t *bytes, size_t size)
{
    struct pf_zip z;
    PF_TRY(pf_zip_open(&z, bytes, size));
    const pf_err err = read_arrays(s, &z);
    pf_zip_close(&z);
    return err;
}
