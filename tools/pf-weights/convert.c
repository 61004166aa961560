/* convert.c - a checkpoint as one safetensors document: first what becomes of each tensor, then
 * their checksums, then header and data.  Each is read again each time: none is kept. */
#include "tools/pf-weights/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/json.h"
#include "common/safetensors.h"
#include "common/stream.h"
#include "tools/pf-weights/numbers.h"

enum { MIN_F8 = 1024 };         /* numbers; what is smaller saves nothing as F8_E4M3 */

/* A tensor of the document. */
struct piece {
    char *name;
    int from;                   /* the checkpoint's tensor, or -1: the number scale */
    pf_tensor t;                /* type and shape; the data, if they are there as they are */
    float scale;                /* that F8_E4M3 numbers are made with */
    uint32_t crc;
};

struct job {
    pf_checkpoint *w;
    const char *dtype;
    struct piece *piece;        /* in name order, once all are there */
    int pieces;
};

/* ---- what becomes of each tensor ---- */

static pf_err
add(struct job *j, const char *name, const char *ending, struct piece p)
{
    char full[PF_ST_NAME_MAX + 10];
    snprintf(full, sizeof full, "%s%s", name, ending);
    p.name = strdup(full);
    j->piece[j->pieces++] = p;
    return p.name ? PF_OK : pf_fail(PF_ENOMEM, "no memory for the list of tensors");
}

/* Names without a dot are the outermost module's tables (noise schedule, cameras), not parameters:
 * they are small and half precision would spoil them. */
static bool
keeps_type(const struct job *j, int i)
{
    return !j->dtype || !pf_is_float(pf_checkpoint_shape(j->w, i)->dtype) ||
           !strchr(pf_checkpoint_name(j->w, i), '.');
}

/* Matrices and kernels, if the name of their scale is free. */
static bool
may_be_f8(const struct job *j, int i)
{
    char scale[PF_ST_NAME_MAX + 10];
    const pf_tensor *const t = pf_checkpoint_shape(j->w, i);
    const int n = snprintf(scale, sizeof scale, "%s_scale", pf_checkpoint_name(j->w, i));
    return t->ndim >= 2 && pf_tensor_count(t) >= MIN_F8 && n <= PF_ST_NAME_MAX &&
           !pf_checkpoint_has(j->w, scale);
}

/* The largest |number| as f32; NaN if one is NaN. */
static float
largest_of(const pf_tensor *t)
{
    const int64_t count = pf_tensor_count(t);
    uint32_t most = 0;                          // bits: in the order of numbers, NaN behind all
    float largest;
    for (int64_t k = 0; k < count; k += BLOCK) {
        const int64_t n = count - k < BLOCK ? count - k : BLOCK;
        const float *const wide = widen(t, k, n);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &wide[i], sizeof bits);
            bits &= 0x7fffffff;
            most = bits > most ? bits : most;
        }
    }
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

/* F8_E4M3 and a scale; but as it is if its numbers are out of reach, above or below, or not finite,
 * which shows that something is wrong with them and must go on doing so. */
static pf_err
plan_f8(struct job *j, int i)
{
    const char *const name = pf_checkpoint_name(j->w, i);
    struct piece p = {.from = i, .t = *pf_checkpoint_shape(j->w, i)};
    pf_tensor t;
    PF_TRY(pf_checkpoint_read(j->w, i, &t));
    const float largest = largest_of(&t);
    pf_checkpoint_drop(j->w, i);
    const float scale = isfinite(largest) ? pf_f8_scale(largest) : 0;
    const bool tiny = largest > 0 && largest <= PF_F8_TOP / 2 * ldexpf(1, PF_F8_SCALE_MIN);
    if (tiny || !(largest <= scale * PF_F8_TOP))
        return add(j, name, "", p);
    p.t.dtype = PF_F8;
    p.scale = scale;
    PF_TRY(add(j, name, "", p));
    return add(j, name, "_scale",
               (struct piece){.from = -1, .t = PF_VIEW(NULL, PF_F32, 1), .scale = scale});
}

static pf_err
plan_tensor(struct job *j, int i)
{
    const char *const name = pf_checkpoint_name(j->w, i);
    const bool f8 = j->dtype && !strcmp(j->dtype, "f8"), keeps = keeps_type(j, i);
    struct piece p = {.from = i, .t = *pf_checkpoint_shape(j->w, i)}, scale = {.from = i};
    pf_tensor numbers;
    if ((keeps || f8) && pf_checkpoint_f8(j->w, i, &numbers, &scale.t)) {
        p.t = numbers;
        PF_TRY(add(j, name, "", p));
        return add(j, name, "_scale", scale);
    }
    if (f8 && !keeps && may_be_f8(j, i))
        return plan_f8(j, i);
    if (!f8 && !keeps)
        p.t.dtype = !strcmp(j->dtype, "f32") ? PF_F32 : !strcmp(j->dtype, "f16") ? PF_F16 : PF_BF16;
    return add(j, name, "", p);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct piece *)a)->name, ((const struct piece *)b)->name);
}

static pf_err
plan(struct job *j)
{
    const int n = pf_checkpoint_count(j->w);
    j->piece = calloc(2 * (size_t)n + 1, sizeof *j->piece);
    if (!j->piece)
        return pf_fail(PF_ENOMEM, "no memory for the list of tensors");
    for (int i = 0; i < n; i++) {
        PF_TRY(pf_checkpoint_verify(j->w, i));  // what is written gets a checksum that holds
        PF_TRY(plan_tensor(j, i));
    }
    qsort(j->piece, (size_t)j->pieces, sizeof *j->piece, by_name);
    for (int i = 1; i < j->pieces; i++)
        if (!strcmp(j->piece[i].name, j->piece[i - 1].name))
            return pf_fail(PF_EFORMAT, "%s: tensor %s is there twice, once as a scale",
                           pf_checkpoint_path(j->w), j->piece[i].name);
    return PF_OK;
}

/* ---- data ---- */

/* Elements k .. k + n of t as what p holds, in buf.  A finite number must stay finite. */
static pf_err
convert_block(void *buf, const pf_tensor *t, const struct piece *p, int64_t k, int64_t n)
{
    // From here on rounding gives infinity: half a step above the largest number of the type.
    const pf_dtype to = p->t.dtype;
    const float limit = to == PF_F16 ? 65520.0f : to == PF_BF16 ? 0x1.ffp127f : INFINITY;
    float *const wide = widen(t, k, n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(wide[i]) < limit) && isfinite(number(t, k + i)))
            return pf_fail(PF_EARG, "%g is too large for %s", number(t, k + i), pf_dtype_name(to));
    for (int64_t i = 0; to == PF_F8 && i < n; i++)
        wide[i] *= 1 / p->scale;                // powers of two: exact
    pf_from_f32(buf, wide, to, n);
    return PF_OK;
}

/* What the converted bytes of a tensor go through: a checksum, or also a file. */
struct sink {
    uLong crc;
    FILE *file;
};

static pf_err
take(struct sink *to, const void *bytes, size_t n)
{
    to->crc = crc32_z(to->crc, bytes, n);
    if (to->file && n && fwrite(bytes, 1, n, to->file) != n)
        return pf_fail(PF_EIO, "cannot write the weights: %s", strerror(errno));
    return PF_OK;
}

static pf_err
convert_tensor(struct sink *to, const struct piece *p, const pf_tensor *t)
{
    static char buf[BLOCK * sizeof(float)];
    const size_t item = pf_dtype_size(p->t.dtype);
    const int64_t count = pf_tensor_count(t);
    for (int64_t k = 0; k < count; k += BLOCK) {
        const int64_t n = count - k < BLOCK ? count - k : BLOCK;
        const void *from = (const char *)t->data + (size_t)k * item;
        if (p->t.dtype != t->dtype) {
            PF_TRY(convert_block(buf, t, p, k, n));
            from = buf;
        }
        PF_TRY(take(to, from, (size_t)n * item));
    }
    return PF_OK;
}

static pf_err
put(struct sink *to, struct job *j, const struct piece *p)
{
    pf_tensor t = p->t;
    if (p->from < 0)
        return take(to, &p->scale, sizeof p->scale);
    if (!t.data)
        PF_TRY(pf_checkpoint_read(j->w, p->from, &t));
    const pf_err err = convert_tensor(to, p, &t);
    pf_checkpoint_drop(j->w, p->from);
    return err ? pf_fail_in(err, "%s: tensor %s", pf_checkpoint_path(j->w), p->name) : PF_OK;
}

/* pf.crc32 of what will be written.  This pass also finds numbers that are too large, before
 * anything is written. */
static pf_err
sum_up(pf_doc *meta, struct job *j)
{
    json_t *all = json_object();
    pf_err err = PF_OK;
    int bad = 0;
    for (int i = 0; i < j->pieces && !err; i++) {
        struct sink to = {.crc = crc32(0, NULL, 0)};
        char hex[9];
        if ((err = put(&to, j, &j->piece[i])))
            break;
        snprintf(hex, sizeof hex, "%08" PRIx32, (uint32_t)to.crc);
        bad |= json_object_set_new(all, j->piece[i].name, json_string(hex));
    }
    char *text = err || bad ? NULL : pf_json_text(all, JSON_COMPACT);
    json_decref(all);
    if (!err)
        err = text ? pf_doc_set_meta(meta, "pf.crc32", text) : pf_fail(PF_ENOMEM, "no memory");
    free(text);
    return err;
}

/* ---- the document ---- */

/* The source's metadata, but for what was true of the source only, and ours. */
static pf_err
describe(pf_doc *meta, struct job *j)
{
    const char *key, *value;
    for (int i = 0; pf_checkpoint_meta(j->w, i, &key, &value); i++)
        if (strcmp(key, "pf.index") != 0 && strcmp(key, "pf.count") != 0)
            PF_TRY(pf_doc_set_meta(meta, key, value));
    PF_TRY(pf_doc_set_meta(meta, "pf.format", "1"));
    PF_TRY(pf_doc_set_meta(meta, "pf.kind", "weights"));
    PF_TRY(pf_doc_add_history(meta));
    return sum_up(meta, j);
}

static pf_err
write_header(FILE *to, const pf_doc *meta, const struct job *j)
{
    struct pf_st_header h = {
        .entries = j->pieces, .meta = meta->meta, .metas = meta->metas,
        .entry = calloc((size_t)j->pieces + 1, sizeof *h.entry),
    };
    char *bytes = NULL;
    size_t size;
    if (!h.entry)
        return pf_fail(PF_ENOMEM, "no memory for the header");
    for (int i = 0; i < j->pieces; i++) {       // names and metadata stay with their owners
        h.entry[i].name = j->piece[i].name;
        h.entry[i].t = j->piece[i].t;
    }
    pf_err err = pf_st_print(&bytes, &size, &h);
    if (!err && fwrite(bytes, 1, size, to) != size)
        err = pf_fail(PF_EIO, "cannot write the weights: %s", strerror(errno));
    free(bytes);
    free(h.entry);
    return err;
}

pf_err
convert_all(FILE *to, pf_checkpoint *w, const char *dtype)
{
    struct job j = {.w = w, .dtype = dtype};
    struct sink sink = {.file = to};
    pf_doc meta = {0};
    pf_err err = plan(&j);
    if (!err && !(err = describe(&meta, &j)))
        err = write_header(to, &meta, &j);
    for (int i = 0; i < j.pieces && !err; i++)
        err = put(&sink, &j, &j.piece[i]);
    for (int i = 0; i < j.pieces; i++)
        free(j.piece[i].name);
    free(j.piece);
    pf_doc_release(&meta);
    return err;
}
