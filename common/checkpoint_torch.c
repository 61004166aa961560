/* checkpoint_torch.c - the tensors of a file that PyTorch's save wrote: a pickle of names, types
 * and shapes, and the bytes of their storages in the same zip archive or, formerly, behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/checkpoint_parts.h"
#include "common/text.h"
#include "common/unpickle.h"

enum {
    MAX_PICKLE = 1 << 28,       /* bytes of data.pkl; a big model's has one or two million */
    MAX_DEPTH = 64,             /* TorchScript modules inside each other */
    VISIT = 32,                 /* what looking at an attribute costs, besides its name */
};

/* A storage of a legacy file: named in the pickle, its bytes behind it. */
struct block {
    struct pf_py_text key;
    size_t item;
    int64_t count;
    const unsigned char *data;
};

struct reader {
    pf_checkpoint *w;
    char prefix[300];           /* zip: the folder of data.pkl, "archive/" */
    struct block *block;        /* legacy: in key order */
    size_t blocks;
};

/* ---- what a pickle holds ---- */

/* One line about a value that is no tensor: "optimizer_states: list of 1". */
static pf_err
skip(struct reader *r, const char *prefix, const pf_py *key, const pf_py *v)
{
    char line[700], what[600];
    const char *name = key->kind == PF_PY_STR ? key->text.s : "(?)";
    const size_t length = key->kind == PF_PY_STR ? key->text.length : 3;
    snprintf(line, sizeof line, "%.100s%.*s: %.500s", prefix, (int)(length < 100 ? length : 100),
             name, pf_py_describe(what, sizeof what, v));
    return pf_checkpoint_skip(r->w, pf_text_clean(line));
}

static int
by_key(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    const size_t n = x->key.length < y->key.length ? x->key.length : y->key.length;
    const int c = memcmp(x->key.s, y->key.s, n);
    return c ? c : (x->key.length > y->key.length) - (x->key.length < y->key.length);
}

static struct block *
find_block(const struct reader *r, struct pf_py_text key)
{
    const struct block wanted = {.key = key};
    return r->blocks ? bsearch(&wanted, r->block, r->blocks, sizeof wanted, by_key) : NULL;
}

/* Where the bytes of a tensor's storage are. */
static pf_err
locate(struct reader *r, struct pf_weight *x, const struct pf_py_storage *s)
{
    char path[700];
    if (r->block) {
        const struct block *b = find_block(r, s->key);
        if (!b || !b->data)
            return pf_fail(PF_EFORMAT, "tensor %s: its storage is not in the file", x->name);
        x->block = b->data;
        return PF_OK;
    }
    snprintf(path, sizeof path, "%sdata/%.*s", r->prefix,
             (int)(s->key.length < 300 ? s->key.length : 300), s->key.s);
    x->entry = pf_zip_find(&r->w->zip, path);
    if (!x->entry)
        return pf_fail(PF_EFORMAT, "tensor %s: its storage is not in the file", x->name);
    if (x->entry->size < (uint64_t)s->count * s->item)
        return pf_fail(PF_EFORMAT,
                       "tensor %s: its storage has %" PRIu64 " bytes, expected %" PRIu64, x->name,
                       x->entry->size, (uint64_t)s->count * s->item);
    if (!x->entry->deflated)
        x->block = x->entry->data;
    return PF_OK;
}

static pf_err
add_tensor(struct reader *r, const char *name, const struct pf_py_tensor *from)
{
    struct pf_weight *x;
    PF_TRY(pf_checkpoint_add(r->w, name, &x));
    x->t = from->t;
    x->first = from->first;
    memcpy(x->stride, from->stride, sizeof x->stride);
    return locate(r, x, from->storage->storage);
}

static pf_err collect(struct reader *r, const pf_py *dict, const char *prefix, int depth);

/* Take the tensor, enter the TorchScript module, or note that the value is skipped. */
static pf_err
collect_value(struct reader *r, const char *prefix, const pf_py *key, const pf_py *v, int depth)
{
    char name[PF_ST_NAME_MAX + 2];
    const bool module = v->kind == PF_PY_OBJECT && v->object.state &&
                        v->object.state->kind == PF_PY_DICT && depth > 0;
    if (depth > 0 && v->kind <= PF_PY_BOOL)             // every module has flags like "training"
        return PF_OK;
    if (key->kind != PF_PY_STR || (v->kind != PF_PY_TENSOR && !module))
        return skip(r, prefix, key, v);
    const size_t before = strlen(prefix), length = before + key->text.length;
    if (length > PF_ST_NAME_MAX || depth > MAX_DEPTH)
        return pf_fail(PF_EFORMAT,
                       "a tensor's name is too long, or its modules are nested too deep");
    memcpy(name, prefix, before);
    memcpy(name + before, key->text.s, key->text.length);
    name[length] = 0;
    if (!pf_st_name_ok(name, length))
        return pf_fail(PF_EFORMAT, "a tensor's name is empty, not UTF-8 or has control characters");
    if (v->kind == PF_PY_TENSOR)
        return add_tensor(r, name, v->tensor);
    memcpy(name + length, ".", 2);
    return collect(r, v->object.state, name, depth + 1);
}

/* depth 0: a state_dict, whose values are tensors; 1 and more: the attributes of a module. */
static pf_err
collect(struct reader *r, const pf_py *dict, const char *prefix, int depth)
{
    const size_t before = strlen(prefix);
    for (size_t i = 0; i + 1 < dict->list.n; i += 2) {
        PF_TRY(pf_checkpoint_spend(r->w, before + VISIT));      // shared modules: again each time
        PF_TRY(collect_value(r, prefix, dict->list.item[i], dict->list.item[i + 1], depth));
    }
    return PF_OK;
}

/* Under which keys trainers put a model's tensors, the likeliest first, its average's last. */
static const char *const wrappers[] = {
    "state_dict", "model_state_dict", "model", "module", "params",
    "params_ema", "ema_state_dict", "model_ema", "ema",
};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers, AVERAGES = 5, MAX_WRAPPED = 4 };

static bool
has_tensors(const pf_py *dict)
{
    for (size_t i = 1; i < dict->list.n; i += 2)
        if (dict->list.item[i]->kind == PF_PY_TENSOR)
            return true;
    return false;
}

/* The dictionary of the average, if it has tensors or what it wraps has them; else NULL. */
static const pf_py *
find_average(const pf_py *dict)
{
    for (int i = AVERAGES; i < WRAPPERS; i++) {
        const pf_py *const v = pf_py_get(dict, wrappers[i]);
        const pf_py *inner = v && v->kind == PF_PY_DICT ? v : NULL;
        for (int k = 0; inner && !has_tensors(inner) && k < AVERAGES; k++) {
            const pf_py *const in = pf_py_get(v, wrappers[k]);
            if (in && in->kind == PF_PY_DICT && has_tensors(in))
                inner = in;
        }
        if (inner && has_tensors(inner))
            return v;
    }
    return NULL;
}

/* The dictionary under one of these keys, rather one with tensors; NULL: dict is not wrapped. */
static const pf_py *
find_wrapped(const pf_py *dict, bool ema)
{
    const pf_py *first = NULL;
    if (ema && (first = find_average(dict)))
        return first;
    for (int i = 0; i < WRAPPERS; i++) {
        const pf_py *v = pf_py_get(dict, wrappers[i]);
        if (!v || v->kind != PF_PY_DICT || (i > 0 && has_tensors(dict)))
            continue;
        if (has_tensors(v))
            return v;
        first = first ? first : v;
    }
    return first;
}

static pf_err
collect_root(struct reader *r, const pf_py *root)
{
    char what[600];
    const pf_py *inner;
    if (root->kind == PF_PY_OBJECT && root->object.state && root->object.state->kind == PF_PY_DICT)
        return collect(r, root->object.state, "", 1);
    if (root->kind != PF_PY_DICT)
        return pf_fail(PF_EFORMAT, "holds %s, expected a dictionary of tensors",
                       pf_py_describe(what, sizeof what, root));
    for (int depth = 0; depth < MAX_WRAPPED; depth++, root = inner) {
        if (!(inner = find_wrapped(root, r->w->ema)))
            break;
        const pf_py *const average = find_average(root);
        r->w->ema_entered |= average == inner;
        r->w->ema_beside |= average && average != inner;
        for (size_t i = 0; i + 1 < root->list.n; i += 2)
            if (root->list.item[i + 1] != inner)
                PF_TRY(skip(r, "", root->list.item[i], root->list.item[i + 1]));
    }
    return collect(r, root, "", 0);
}

/* ---- zip: data.pkl names storages data/KEY ---- */

/* The length of the folder in which an entry lies that is a data.pkl: of "archive/data.pkl" 8; or
 * -1. */
static int
folder_of_pickle(const struct reader *r, const struct pf_zip_entry *e)
{
    static const char name[] = "data.pkl";
    const size_t n = sizeof name - 1, folder = e->name_length - n;
    if (e->name_length < n || memcmp(e->name + folder, name, n) != 0 || folder >= sizeof r->prefix)
        return -1;
    const char *const slash = memchr(e->name, '/', e->name_length);
    return !folder || (slash && (size_t)(slash - e->name) == folder - 1) ? (int)folder : -1;
}

/* The one data.pkl, NULL if there is none, and its folder. */
static pf_err
find_pickle(struct reader *r, struct pf_zip_entry **pickle)
{
    *pickle = NULL;
    for (size_t i = 0; i < r->w->zip.entries; i++) {
        struct pf_zip_entry *const e = &r->w->zip.entry[i];
        const int folder = folder_of_pickle(r, e);
        if (folder < 0)
            continue;
        if (*pickle)
            return pf_fail(PF_EFORMAT, "holds two models: %.*s and %.*s",
                           (int)(*pickle)->name_length, (*pickle)->name, (int)e->name_length,
                           e->name);
        memcpy(r->prefix, e->name, (size_t)folder);
        r->prefix[folder] = 0;
        *pickle = e;
    }
    return PF_OK;
}

static struct pf_zip_entry *
find_beside_pickle(const struct reader *r, const char *name)
{
    char path[sizeof r->prefix + 50];
    snprintf(path, sizeof path, "%s%s", r->prefix, name);
    return pf_zip_find(&r->w->zip, path);
}

/* Some other zip archive: the first name in it shows what it is. */
static pf_err
without_pickle(const struct pf_zip *zip)
{
    char name[100] = "nothing";
    if (zip->entries)
        snprintf(name, sizeof name, "%.*s",
                 zip->entry->name_length < 90 ? (int)zip->entry->name_length : 90,
                 zip->entry->name);
    return pf_fail(PF_EFORMAT, "is a zip archive without data.pkl, so not one of PyTorch; in it is "
                   "%s: if that is a weights file, unpack it", name);
}

static pf_err
check_byte_order(const struct reader *r)
{
    char order[7] = "";
    struct pf_zip_entry *const e = find_beside_pickle(r, "byteorder");
    if (!e)
        return PF_OK;
    PF_TRY(pf_zip_verify(e));
    PF_TRY(pf_zip_read(e, order, 0, e->size < 6 ? e->size : 6));
    if (strcmp(order, "little") != 0)
        return pf_fail(PF_EFORMAT, "its byte order is \"%.6s\", only \"little\" is supported",
                       strcmp(order, "big") == 0 ? "big" : "?");
    return PF_OK;
}

pf_err
pf_checkpoint_list_zip(pf_checkpoint *w)
{
    struct reader r = {.w = w};
    pf_err err;
    pf_pickle *p = NULL;
    unsigned char *unpacked = NULL;
    struct pf_zip_entry *e;

    w->format = "zip";
    PF_TRY(pf_zip_open(&w->zip, w->bytes, w->size));
    PF_TRY(find_pickle(&r, &e));
    if (!e)
        return without_pickle(&w->zip);
    if (find_beside_pickle(&r, "constants.pkl"))
        w->format = "torchscript";
    PF_TRY(check_byte_order(&r));
    if (e->size > MAX_PICKLE)
        return pf_fail(PF_EFORMAT, "its data.pkl has %" PRIu64 " bytes, over the limit of %d",
                       e->size, (int)MAX_PICKLE);
    PF_TRY(pf_zip_verify(e));
    if (e->deflated && !(unpacked = malloc(e->size + 1)))
        return pf_checkpoint_no_memory();
    if (e->deflated && (err = pf_zip_read(e, unpacked, 0, e->size)))
        goto out;
    if ((err = pf_unpickle(&p, unpacked ? unpacked : e->data, e->size, NULL)))
        goto out;
    err = collect_root(&r, pf_pickle_root(p));
out:
    pf_pickle_free(p);
    free(unpacked);
    return err;
}

/* ---- legacy: magic, protocol, machine, object, keys (five pickles), then the storages ---- */

enum { MAGIC, PROTOCOL, MACHINE, OBJECT, KEYS, PICKLES };

static pf_err
check_magic(pf_pickle *const *p)
{
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const pf_py *is = pf_pickle_root(p[MAGIC]);
    if (is->kind != PF_PY_BIG_INT || is->text.length != 10 || memcmp(is->text.s, magic, 10) != 0)
        return pf_fail(PF_EFORMAT, "is a pickle, but not one that PyTorch's save wrote");
    return PF_OK;
}

static pf_err
check_machine(pf_pickle *const *p)
{
    const pf_py *version = pf_pickle_root(p[PROTOCOL]);
    const pf_py *little_endian = pf_py_get(pf_pickle_root(p[MACHINE]), "little_endian");
    if (version->kind != PF_PY_INT || version->i != 1001)
        return pf_fail(PF_EFORMAT, "its format version is not 1001");
    if (!little_endian || little_endian->kind != PF_PY_BOOL || !little_endian->i)
        return pf_fail(PF_EFORMAT, "was written on a big-endian machine; only little-endian files "
                                   "are supported");
    return PF_OK;
}

/* All storages that the pickle names, each once. */
static pf_err
list_blocks(struct reader *r, const pf_py *storages)
{
    size_t n = 0;
    for (const pf_py *v = storages; v; v = v->storage->next)
        n++;
    if (!(r->block = calloc(n + 1, sizeof *r->block)))
        return pf_checkpoint_no_memory();
    for (const pf_py *v = storages; v; v = v->storage->next)
        r->block[r->blocks++] =
            (struct block){v->storage->key, v->storage->item, v->storage->count, NULL};
    qsort(r->block, n, sizeof *r->block, by_key);
    r->blocks = 0;
    for (size_t i = 0; i < n; i++) {
        const struct block *b = &r->block[i], *last = r->blocks ? &r->block[r->blocks - 1] : NULL;
        if (!last || by_key(last, b) != 0)
            r->block[r->blocks++] = *b;
        else if (last->item != b->item || last->count != b->count)
            return pf_fail(PF_EFORMAT, "a storage is described in two different ways");
    }
    return PF_OK;
}

/* Behind the pickles: for each key a u64 number of elements, then the elements. */
static pf_err
place_blocks(struct reader *r, const pf_py *keys, size_t at)
{
    if (keys->kind != PF_PY_LIST)
        return pf_fail(PF_EFORMAT, "its list of storages is malformed");
    for (size_t i = 0; i < keys->list.n; i++) {
        const pf_py *key = keys->list.item[i];
        struct block *b = key->kind == PF_PY_STR ? find_block(r, key->text) : NULL;
        if (!b)
            return pf_fail(PF_EFORMAT, "storage %zu is not described by its pickle", i);
        if (r->w->size - at < 8)
            return pf_fail(PF_EFORMAT, "ends before storage %zu of %zu", i + 1, keys->list.n);
        if (pf_little(r->w->bytes + at, 8) != (uint64_t)b->count)
            return pf_fail(PF_EFORMAT, "storage %zu has %" PRIu64 " elements, expected %" PRId64, i,
                           pf_little(r->w->bytes + at, 8), b->count);
        at += 8;
        if (r->w->size - at < (uint64_t)b->count * b->item)
            return pf_fail(PF_EFORMAT, "ends in the middle of storage %zu of %zu", i + 1,
                           keys->list.n);
        b->data = r->w->bytes + at;
        at += (uint64_t)b->count * b->item;
    }
    return PF_OK;
}

pf_err
pf_checkpoint_list_legacy(pf_checkpoint *w)
{
    struct reader r = {.w = w};
    pf_err err = PF_OK;
    pf_pickle *p[PICKLES] = {0};
    size_t at = 0, used;

    w->format = "legacy";
    for (int i = 0; i < PICKLES; i++) {
        if ((err = pf_unpickle(&p[i], w->bytes + at, w->size - at, &used)) ||
            (i == MAGIC && (err = check_magic(p))))
            goto out;
        at += used;
    }
    if ((err = check_machine(p)) || (err = list_blocks(&r, pf_pickle_storages(p[OBJECT]))) ||
        (err = place_blocks(&r, pf_pickle_root(p[KEYS]), at)))
        goto out;
    err = collect_root(&r, pf_pickle_root(p[OBJECT]));
out:
    free(r.block);
    for (int i = 0; i < PICKLES; i++)
        pf_pickle_free(p[i]);
    return err;
}
