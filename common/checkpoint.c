/* checkpoint.c - find the tensors of a weights file, whatever its format, and hand them out. */
#include "common/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/safetensors.h"
#include "common/unpickle.h"
#include "common/unzip.h"

enum {
    MOST_PICKLE = 1 << 28,      /* bytes of data.pkl; a big model's has one or two million */
    MOST_DEPTH = 64,            /* TorchScript modules inside each other */
    MOST_VISITS = 1 << 20,      /* attributes looked at; shared modules could make it endless */
    MOST_SKIPPED = 10000,       /* lines kept */
    DROP_LEAST = 1 << 20,       /* smaller mapped tensors are not worth a system call */
};

struct weight {
    char *name;
    pf_tensor t;                        /* type and shape; data is NULL */
    int64_t stride[PF_MAX_DIMS], first; /* elements from the start of the block */
    const unsigned char *block;         /* in memory, or NULL: packed in entry */
    const struct pf_zip_entry *entry;   /* zip only */
    void *data;                         /* what was handed out, or NULL */
    void *owned;                        /* data, if it is a copy */
    uint32_t crc;                       /* of pf.crc32 */
    bool has_crc;
};

/* A storage of a legacy file: named in the pickle, its bytes behind it. */
struct block {
    struct pf_py_text key;
    size_t item;
    int64_t count;
    const unsigned char *data;
};

struct pf_checkpoint {
    char *path;
    const char *format;
    const unsigned char *bytes;
    size_t size;
    enum { BORROWED, MAPPED, ALLOCATED } kept;
    struct weight *weight;
    int weights, weight_room, visits;
    char **skipped;
    int skips, skip_room;
    struct pf_st_header header;         /* safetensors */
    struct pf_zip zip;
    char prefix[300];                   /* zip: "archive/" */
    struct block *block;                /* legacy, in key order, while it is read */
    size_t blocks;
};

static pf_err
no_memory(void)
{
    return pf_fail(PF_ENOMEM, "out of memory for the list of tensors");
}

/* Make room for one more of size bytes each. */
static pf_err
grow(void *array, int *room, int n, size_t size)
{
    void *old, *bigger;
    memcpy(&old, array, sizeof old);
    if (n < *room)
        return PF_OK;
    if (n > INT32_MAX / 4 || !(bigger = realloc(old, (size_t)(n + 16) * 2 * size)))
        return no_memory();
    memcpy(array, &bigger, sizeof bigger);
    *room = (n + 16) * 2;
    return PF_OK;
}

static struct weight *
new_weight(pf_checkpoint *w, const char *name)
{
    if (grow(&w->weight, &w->weight_room, w->weights, sizeof *w->weight))
        return NULL;
    struct weight *x = &w->weight[w->weights];
    *x = (struct weight){.name = strdup(name)};
    if (!x->name)
        return no_memory(), NULL;
    w->weights++;
    return x;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct weight *)a)->name, ((const struct weight *)b)->name);
}

static pf_err
sort_weights(pf_checkpoint *w)
{
    if (w->weights == 0)
        return pf_fail(PF_EFORMAT, "holds no tensors; expected a dictionary of tensors, or one with "
                                   "a state_dict");
    qsort(w->weight, (size_t)w->weights, sizeof *w->weight, by_name);
    for (int i = 1; i < w->weights; i++)
        if (by_name(&w->weight[i - 1], &w->weight[i]) == 0)
            return pf_fail(PF_EFORMAT, "tensor %s is there twice", w->weight[i].name);
    return PF_OK;
}

/* ---- safetensors ---- */

/* pf.crc32 is a JSON object, tensor name to 8 hex digits. */
static pf_err
read_checksums(pf_checkpoint *w, const char *text)
{
    pf_err err = PF_OK;
    json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(all))
        err = pf_fail(PF_EFORMAT, "its pf.crc32 is not a JSON object");
    for (int i = 0; i < w->weights && !err; i++) {
        struct weight *x = &w->weight[i];
        const json_t *crc = json_object_get(all, x->name);
        char *end = "";
        if (!crc)
            continue;
        x->has_crc = true;
        if (json_is_string(crc) && json_string_length(crc) == 8)
            x->crc = (uint32_t)strtoul(json_string_value(crc), &end, 16);
        if (!json_is_string(crc) || json_string_length(crc) != 8 || *end)
            err = pf_fail(PF_EFORMAT, "tensor %s: its pf.crc32 is not 8 hex digits", x->name);
    }
    json_decref(all);
    return err;
}

static uint64_t
little(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static pf_err
read_safetensors(pf_checkpoint *w)
{
    const uint64_t length = little(w->bytes);
    struct pf_st_header *h = &w->header;
    w->format = "safetensors";
    if (length > w->size - 8)
        return pf_fail(PF_EFORMAT, "its header should have %" PRIu64 " bytes, but the file ends after "
                                   "%zu", length, w->size - 8);
    PF_TRY(pf_st_parse(h, (const char *)w->bytes + 8, length));
    if (h->data_size != w->size - 8 - length)
        return pf_fail(PF_EFORMAT, "has %" PRIu64 " bytes of data, expected %" PRIu64,
                       w->size - 8 - length, h->data_size);
    for (int i = 0; i < h->entries; i++) {
        struct weight *x = new_weight(w, h->entry[i].name);
        if (!x)
            return PF_ENOMEM;
        x->t = h->entry[i].t;
        x->block = w->bytes + 8 + length + h->entry[i].begin;
        int64_t stride = 1;
        for (int k = x->t.ndim - 1; k >= 0; k--) {
            x->stride[k] = stride;
            stride *= x->t.dim[k] ? x->t.dim[k] : 1;
        }
    }
    for (int i = 0; i < h->metas; i++)
        if (strcmp(h->meta[i].key, "pf.crc32") == 0)
            PF_TRY(read_checksums(w, h->meta[i].value));
    return PF_OK;
}

/* ---- what a pickle holds ---- */

/* One line about a value that is no tensor: "optimizer_states: list of 1". */
static pf_err
skip(pf_checkpoint *w, const char *prefix, const pf_py *key, const pf_py *v)
{
    char line[700], what[600];
    const int shown = key->kind == PF_PY_STR ? (int)(key->text.length < 100 ? key->text.length : 100) : 0;
    if (w->skips >= MOST_SKIPPED)
        return PF_OK;
    snprintf(line, sizeof line, "%.100s%.*s: %.500s", prefix, shown ? shown : 3,
             shown ? key->text.s : "(?)", pf_py_describe(what, sizeof what, v));
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    PF_TRY(grow(&w->skipped, &w->skip_room, w->skips, sizeof *w->skipped));
    w->skipped[w->skips] = strdup(line);
    return w->skipped[w->skips] ? (w->skips++, PF_OK) : no_memory();
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
find_block(const pf_checkpoint *w, struct pf_py_text key)
{
    const struct block wanted = {.key = key};
    return w->blocks ? bsearch(&wanted, w->block, w->blocks, sizeof wanted, by_key) : NULL;
}

/* Where the bytes of a tensor's storage are. */
static pf_err
locate(pf_checkpoint *w, struct weight *x, const struct pf_py_storage *s)
{
    char path[700];
    if (w->block) {
        const struct block *b = find_block(w, s->key);
        if (!b || !b->data)
            return pf_fail(PF_EFORMAT, "tensor %s: its storage is not in the file", x->name);
        x->block = b->data;
        return PF_OK;
    }
    snprintf(path, sizeof path, "%sdata/%.*s", w->prefix,
             (int)(s->key.length < 300 ? s->key.length : 300), s->key.s);
    x->entry = pf_zip_find(&w->zip, path);
    if (!x->entry)
        return pf_fail(PF_EFORMAT, "tensor %s: its storage is not in the file", x->name);
    if (x->entry->size < (uint64_t)s->count * s->item)
        return pf_fail(PF_EFORMAT, "tensor %s: its storage has %" PRIu64 " bytes, expected %" PRIu64,
                       x->name, x->entry->size, (uint64_t)s->count * s->item);
    if (!x->entry->deflated)
        x->block = x->entry->data;
    return PF_OK;
}

static pf_err
add_tensor(pf_checkpoint *w, const char *name, const struct pf_py_tensor *from)
{
    struct weight *x = new_weight(w, name);
    if (!x)
        return PF_ENOMEM;
    x->t = from->t;
    x->first = from->first;
    memcpy(x->stride, from->stride, sizeof x->stride);
    return locate(w, x, from->storage->storage);
}

static pf_err collect(pf_checkpoint *w, const pf_py *dict, const char *prefix, int depth);

/* Take the tensor, enter the TorchScript module, or note that the value is skipped. */
static pf_err
collect_value(pf_checkpoint *w, const char *prefix, const pf_py *key, const pf_py *v, int depth)
{
    char name[PF_ST_NAME_MAX + 2];
    const bool module = v->kind == PF_PY_OBJECT && v->object.state &&
                        v->object.state->kind == PF_PY_DICT && depth > 0;
    if (depth > 0 && v->kind <= PF_PY_BOOL)             // every module has flags like "training"
        return PF_OK;
    if (key->kind != PF_PY_STR || (v->kind != PF_PY_TENSOR && !module))
        return skip(w, prefix, key, v);
    const size_t before = strlen(prefix), length = before + key->text.length;
    if (length > PF_ST_NAME_MAX || depth > MOST_DEPTH)
        return pf_fail(PF_EFORMAT, "a tensor's name is too long, or its modules are nested too deep");
    memcpy(name, prefix, before);
    memcpy(name + before, key->text.s, key->text.length);
    name[length] = 0;
    if (!pf_st_name_ok(name, length))
        return pf_fail(PF_EFORMAT, "a tensor's name is empty, not UTF-8 or has control characters");
    if (v->kind == PF_PY_TENSOR)
        return add_tensor(w, name, v->tensor);
    memcpy(name + length, ".", 2);
    return collect(w, v->object.state, name, depth + 1);
}

/* depth 0: a state_dict, whose values are tensors; 1 and more: the attributes of a module. */
static pf_err
collect(pf_checkpoint *w, const pf_py *dict, const char *prefix, int depth)
{
    for (size_t i = 0; i + 1 < dict->list.n; i += 2) {
        if (++w->visits > MOST_VISITS)
            return pf_fail(PF_EFORMAT, "has more than %d entries", (int)MOST_VISITS);
        PF_TRY(collect_value(w, prefix, dict->list.item[i], dict->list.item[i + 1], depth));
    }
    return PF_OK;
}

static pf_err
collect_root(pf_checkpoint *w, const pf_py *root)
{
    char what[600];
    const pf_py *inner = pf_py_get(root, "state_dict");
    if (root->kind == PF_PY_OBJECT && root->object.state && root->object.state->kind == PF_PY_DICT)
        return collect(w, root->object.state, "", 1);
    if (root->kind != PF_PY_DICT)
        return pf_fail(PF_EFORMAT, "holds %s, expected a dictionary of tensors",
                       pf_py_describe(what, sizeof what, root));
    if (!inner || inner->kind != PF_PY_DICT)
        return collect(w, root, "", 0);
    for (size_t i = 0; i + 1 < root->list.n; i += 2)
        if (root->list.item[i + 1] != inner)
            PF_TRY(skip(w, "", root->list.item[i], root->list.item[i + 1]));
    return collect(w, inner, "", 0);
}

/* ---- zip: data.pkl names storages data/KEY ---- */

/* The folder in which data.pkl lies: "archive/", or "" if it lies in none. */
static const struct pf_zip_entry *
find_pickle(pf_checkpoint *w)
{
    static const char name[] = "data.pkl";
    const size_t n = sizeof name - 1;
    for (size_t i = 0; i < w->zip.entries; i++) {
        const struct pf_zip_entry *e = &w->zip.entry[i];
        const size_t folder = e->name_length - n;
        if (e->name_length < n || memcmp(e->name + folder, name, n) != 0 || folder >= sizeof w->prefix)
            continue;
        const char *slash = memchr(e->name, '/', e->name_length);
        if (folder && (!slash || (size_t)(slash - e->name) != folder - 1))
            continue;
        memcpy(w->prefix, e->name, folder);
        w->prefix[folder] = 0;
        return e;
    }
    return NULL;
}

static const struct pf_zip_entry *
find_beside_pickle(const pf_checkpoint *w, const char *name)
{
    char path[sizeof w->prefix + 50];
    snprintf(path, sizeof path, "%s%s", w->prefix, name);
    return pf_zip_find(&w->zip, path);
}

static pf_err
check_byte_order(const pf_checkpoint *w)
{
    char order[7] = "";
    const struct pf_zip_entry *e = find_beside_pickle(w, "byteorder");
    if (!e)
        return PF_OK;
    PF_TRY(pf_zip_read(e, order, 0, e->size < 6 ? e->size : 6));
    if (strcmp(order, "little") != 0)
        return pf_fail(PF_EFORMAT, "its byte order is \"%.6s\", only \"little\" is supported",
                       strcmp(order, "big") == 0 ? "big" : "?");
    return PF_OK;
}

static pf_err
read_zip(pf_checkpoint *w)
{
    pf_err err;
    pf_pickle *p = NULL;
    unsigned char *unpacked = NULL;
    const struct pf_zip_entry *e;

    w->format = "zip";
    PF_TRY(pf_zip_open(&w->zip, w->bytes, w->size));
    if (!(e = find_pickle(w)))
        return pf_fail(PF_EFORMAT, "is a zip archive without data.pkl, so not one of PyTorch");
    if (find_beside_pickle(w, "constants.pkl"))
        w->format = "torchscript";
    PF_TRY(check_byte_order(w));
    if (e->size > MOST_PICKLE)
        return pf_fail(PF_EFORMAT, "its data.pkl has %" PRIu64 " bytes, over the limit of %d", e->size,
                       (int)MOST_PICKLE);
    if (e->deflated && !(unpacked = malloc(e->size + 1)))
        return no_memory();
    if (e->deflated && (err = pf_zip_read(e, unpacked, 0, e->size)))
        goto out;
    if ((err = pf_unpickle(&p, unpacked ? unpacked : e->data, e->size, NULL)))
        goto out;
    err = collect_root(w, pf_pickle_root(p));
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
list_blocks(pf_checkpoint *w, const pf_py *storages)
{
    size_t n = 0;
    for (const pf_py *v = storages; v; v = v->storage->next)
        n++;
    if (!(w->block = calloc(n + 1, sizeof *w->block)))
        return no_memory();
    for (const pf_py *v = storages; v; v = v->storage->next)
        w->block[w->blocks++] = (struct block){v->storage->key, v->storage->item, v->storage->count, NULL};
    qsort(w->block, n, sizeof *w->block, by_key);
    w->blocks = 0;
    for (size_t i = 0; i < n; i++) {
        const struct block *b = &w->block[i], *last = w->blocks ? &w->block[w->blocks - 1] : NULL;
        if (!last || by_key(last, b) != 0)
            w->block[w->blocks++] = *b;
        else if (last->item != b->item || last->count != b->count)
            return pf_fail(PF_EFORMAT, "a storage is described in two different ways");
    }
    return PF_OK;
}

/* Behind the pickles: for each key a u64 number of elements, then the elements. */
static pf_err
place_blocks(pf_checkpoint *w, const pf_py *keys, size_t at)
{
    if (keys->kind != PF_PY_LIST)
        return pf_fail(PF_EFORMAT, "its list of storages is malformed");
    for (size_t i = 0; i < keys->list.n; i++) {
        const pf_py *key = keys->list.item[i];
        struct block *b = key->kind == PF_PY_STR ? find_block(w, key->text) : NULL;
        if (!b)
            return pf_fail(PF_EFORMAT, "storage %zu is not described by its pickle", i);
        if (w->size - at < 8)
            return pf_fail(PF_EFORMAT, "ends before storage %zu of %zu", i + 1, keys->list.n);
        if (little(w->bytes + at) != (uint64_t)b->count)
            return pf_fail(PF_EFORMAT, "storage %zu has %" PRIu64 " elements, expected %" PRId64, i,
                           little(w->bytes + at), b->count);
        at += 8;
        if (w->size - at < (uint64_t)b->count * b->item)
            return pf_fail(PF_EFORMAT, "ends in the middle of storage %zu of %zu", i + 1, keys->list.n);
        b->data = w->bytes + at;
        at += (uint64_t)b->count * b->item;
    }
    return PF_OK;
}

static pf_err
read_legacy(pf_checkpoint *w)
{
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
    if ((err = check_machine(p)) || (err = list_blocks(w, pf_pickle_storages(p[OBJECT]))) ||
        (err = place_blocks(w, pf_pickle_root(p[KEYS]), at)))
        goto out;
    err = collect_root(w, pf_pickle_root(p[OBJECT]));
out:
    free(w->block);
    w->block = NULL;
    w->blocks = 0;
    for (int i = 0; i < PICKLES; i++)
        pf_pickle_free(p[i]);
    return err;
}

/* ---- open and close ---- */

/* A pipe: all of it, into memory. */
static pf_err
read_pipe(pf_checkpoint *w, int fd)
{
    unsigned char *bytes = NULL;
    size_t size = 0, room = 0;
    ssize_t n;
    w->kept = ALLOCATED;
    do {
        if (room - size < 1 << 20) {
            room = 2 * room + (1 << 22);
            unsigned char *bigger = realloc(bytes, room);
            if (!bigger) {
                free(bytes);
                return pf_fail(PF_ENOMEM, "out of memory after %zu bytes of the pipe", size);
            }
            bytes = bigger;
        }
        n = read(fd, bytes + size, room - size);
        if (n > 0)
            size += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    w->bytes = bytes;
    w->size = size;
    return n == 0 ? PF_OK : pf_fail(PF_EIO, "cannot be read: %s", strerror(errno));
}

static pf_err
map_file(pf_checkpoint *w, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return pf_fail(PF_EIO, "cannot be read: %s", strerror(errno));
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
        return read_pipe(w, fd);
    if (!S_ISREG(st.st_mode))
        return pf_fail(PF_EIO, "is neither a file nor a pipe");
    if (st.st_size == 0)
        return pf_fail(PF_EFORMAT, "is empty");
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return pf_fail(PF_EIO, "cannot be mapped: %s", strerror(errno));
    w->kept = MAPPED;
    w->bytes = bytes;
    w->size = (size_t)st.st_size;
    return PF_OK;
}

static pf_err
load(pf_checkpoint *w, const char *path)
{
    const bool standard = strcmp(path, "-") == 0;
    const int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pf_fail(PF_EIO, "cannot be opened: %s", strerror(errno));
    const pf_err err = map_file(w, fd);
    if (!standard)
        close(fd);
    return err;
}

static pf_err
parse(pf_checkpoint *w)
{
    pf_err err;
    if (w->size >= 4 && memcmp(w->bytes, "PK\3\4", 4) == 0)
        err = read_zip(w);
    else if (w->size >= 9 && w->bytes[8] == '{')
        err = read_safetensors(w);
    else if (w->size >= 2 && w->bytes[0] == 0x80)
        err = read_legacy(w);
    else
        return pf_fail(PF_EFORMAT, "is not a weights file (.safetensors, or a .ckpt or .pt of PyTorch)");
    return err ? err : sort_weights(w);
}

static pf_err
new_checkpoint(pf_checkpoint **w, const char *name)
{
    *w = calloc(1, sizeof **w);
    if (!*w)
        return no_memory();
    (*w)->path = strdup(strcmp(name, "-") == 0 ? "stdin" : name);
    if ((*w)->path)
        return PF_OK;
    free(*w);
    *w = NULL;
    return no_memory();
}

/* Put the file's name in front of the error, and leave nothing behind. */
static pf_err
finish_open(pf_checkpoint **w, pf_err err)
{
    if (!err)
        return PF_OK;
    err = pf_fail_in(err, "%s", (*w)->path);
    pf_checkpoint_close(*w);
    *w = NULL;
    return err;
}

pf_err
pf_checkpoint_open(pf_checkpoint **w, const char *path)
{
    PF_TRY(new_checkpoint(w, path));
    pf_err err = load(*w, path);
    if (!err)
        err = parse(*w);
    return finish_open(w, err);
}

pf_err
pf_checkpoint_open_memory(pf_checkpoint **w, const void *bytes, size_t size, const char *name)
{
    PF_TRY(new_checkpoint(w, name));
    (*w)->kept = BORROWED;
    (*w)->bytes = bytes;
    (*w)->size = size;
    return finish_open(w, parse(*w));
}

void
pf_checkpoint_close(pf_checkpoint *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->weights; i++) {
        free(w->weight[i].name);
        free(w->weight[i].owned);
    }
    for (int i = 0; i < w->skips; i++)
        free(w->skipped[i]);
    free(w->weight);
    free(w->skipped);
    pf_st_release(&w->header);
    pf_zip_close(&w->zip);
    if (w->kept == MAPPED)
        munmap((void *)w->bytes, w->size);
    if (w->kept == ALLOCATED)
        free((void *)w->bytes);
    free(w->path);
    free(w);
}

/* ---- data ---- */

static bool
is_contiguous(const struct weight *x)
{
    int64_t stride = 1;
    for (int i = x->t.ndim - 1; i >= 0; i--) {
        if (x->t.dim[i] != 1 && x->stride[i] != stride)
            return false;
        stride *= x->t.dim[i];
    }
    return true;
}

/* n elements of item bytes that are stride elements apart. */
static void
copy_row(unsigned char *to, const unsigned char *from, int64_t n, int64_t stride, size_t item)
{
    if (stride == 1) {
        memcpy(to, from, (size_t)n * item);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * item, from + (size_t)(i * stride) * item, item);
}

/* All elements in row-major order; from: the tensor's first element. */
static void
copy_strided(unsigned char *to, const unsigned char *from, const struct weight *x)
{
    const int last = x->t.ndim - 1;
    const size_t item = pf_dtype_size(x->t.dtype);
    const int64_t n = last >= 0 ? x->t.dim[last] : 1, rows = pf_tensor_count(&x->t) / n;
    int64_t at[PF_MAX_DIMS] = {0}, offset = 0;
    for (int64_t r = 0; r < rows; r++, to += (size_t)n * item) {
        copy_row(to, from + (size_t)offset * item, n, last >= 0 ? x->stride[last] : 1, item);
        for (int i = last - 1; i >= 0; i--) {           // the next row, like an odometer
            offset += x->stride[i];
            if (++at[i] < x->t.dim[i])
                break;
            offset -= x->stride[i] * at[i];
            at[i] = 0;
        }
    }
}

/* Unpack the part of a deflated block that the tensor reaches, then put it in order. */
static pf_err
unpack(void *to, const struct weight *x)
{
    const size_t item = pf_dtype_size(x->t.dtype);
    int64_t reach = 1;
    for (int i = 0; i < x->t.ndim; i++)
        reach += (x->t.dim[i] - 1) * x->stride[i];
    if (is_contiguous(x))
        return pf_zip_read(x->entry, to, (uint64_t)x->first * item, (size_t)reach * item);
    unsigned char *part = malloc((size_t)reach * item);
    if (!part)
        return no_memory();
    const pf_err err = pf_zip_read(x->entry, part, (uint64_t)x->first * item, (size_t)reach * item);
    if (!err)
        copy_strided(to, part, x);
    free(part);
    return err;
}

/* A contiguous, aligned copy of what cannot be used where it lies. */
static pf_err
copy_weight(struct weight *x)
{
    pf_tensor t;
    pf_err err = PF_OK;
    PF_TRY(pf_tensor_new(&t, x->t.dtype, x->t.ndim, x->t.dim));
    if (pf_tensor_count(&t) == 0)
        ;
    else if (x->block)
        copy_strided(t.data, x->block + (size_t)x->first * pf_dtype_size(t.dtype), x);
    else
        err = unpack(t.data, x);
    if (err)
        pf_tensor_release(&t);
    else
        x->data = x->owned = t.data;
    return err;
}

pf_err
pf_checkpoint_read(pf_checkpoint *w, int i, pf_tensor *t)
{
    struct weight *x = &w->weight[i];
    const size_t item = pf_dtype_size(x->t.dtype);
    if (!x->data && x->block && is_contiguous(x) && pf_tensor_count(&x->t) > 0 &&
        ((uintptr_t)x->block + (size_t)x->first * item) % item == 0)
        x->data = (void *)(x->block + (size_t)x->first * item);
    if (!x->data) {
        const pf_err err = copy_weight(x);
        if (err)
            return pf_fail_in(err, "%s: tensor %s", w->path, x->name);
    }
    *t = x->t;
    t->data = x->data;
    return PF_OK;
}

void
pf_checkpoint_drop(pf_checkpoint *w, int i)
{
    struct weight *x = &w->weight[i];
    const size_t bytes = pf_tensor_bytes(&x->t), page = (size_t)sysconf(_SC_PAGESIZE);
    if (x->data && !x->owned && w->kept == MAPPED && bytes >= DROP_LEAST) {
        const uintptr_t first = ((uintptr_t)x->data + page - 1) / page * page;
        const uintptr_t end = ((uintptr_t)x->data + bytes) / page * page;
        madvise((void *)first, end - first, MADV_DONTNEED);     // read again when it is needed
    }
    free(x->owned);
    x->data = x->owned = NULL;
}

pf_err
pf_checkpoint_verify(pf_checkpoint *w, int i)
{
    const struct weight *x = &w->weight[i];
    pf_tensor t;
    if (x->entry) {
        const pf_err err = pf_zip_verify(x->entry);
        return err ? pf_fail_in(err, "%s: tensor %s", w->path, x->name) : PF_OK;
    }
    if (!x->has_crc)
        return PF_OK;
    PF_TRY(pf_checkpoint_read(w, i, &t));
    const uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), t.data, pf_tensor_bytes(&t));
    if (crc != x->crc)
        return pf_fail(PF_EFORMAT, "%s: tensor %s: checksum %08" PRIx32 ", expected %08" PRIx32, w->path,
                       x->name, crc, x->crc);
    return PF_OK;
}

static int
find(const pf_checkpoint *w, const char *name)
{
    const struct weight key = {.name = (char *)name};
    const struct weight *x =
        w->weights ? bsearch(&key, w->weight, (size_t)w->weights, sizeof key, by_name) : NULL;
    return x ? (int)(x - w->weight) : -1;
}

bool
pf_checkpoint_get(pf_checkpoint *w, const char *name, pf_tensor *t)
{
    const int i = find(w, name);
    return i >= 0 && pf_checkpoint_read(w, i, t) == PF_OK;
}

static bool
fits(const pf_tensor *t, int ndim, const int64_t *dim)
{
    if (t->ndim != ndim || !(t->dtype == PF_F32 || t->dtype == PF_F16 || t->dtype == PF_BF16 ||
                             t->dtype == PF_F64))
        return false;
    for (int i = 0; i < ndim; i++)
        if (dim[i] >= 0 && dim[i] != t->dim[i])
            return false;
    return true;
}

pf_err
pf_checkpoint_need(pf_checkpoint *w, const char *name, pf_tensor *t, int ndim, const int64_t *dim)
{
    char is[128], want[128];
    const int i = find(w, name);
    if (i < 0)
        return pf_fail(PF_EFORMAT, "%s: has no tensor %s", w->path, name);
    if (!fits(&w->weight[i].t, ndim, dim)) {
        const pf_tensor wanted = pf_tensor_view(NULL, PF_F32, ndim, dim);
        return pf_fail(PF_ESHAPE, "%s: tensor %s is %s, expected %s (or another float type)", w->path,
                       name, pf_tensor_describe(is, sizeof is, &w->weight[i].t),
                       pf_tensor_describe(want, sizeof want, &wanted));
    }
    return pf_checkpoint_read(w, i, t);
}

/* ---- what there is ---- */

const char *
pf_checkpoint_path(const pf_checkpoint *w)
{
    return w->path;
}

const char *
pf_checkpoint_format(const pf_checkpoint *w)
{
    return w->format;
}

int
pf_checkpoint_count(const pf_checkpoint *w)
{
    return w->weights;
}

const char *
pf_checkpoint_name(const pf_checkpoint *w, int i)
{
    return w->weight[i].name;
}

const pf_tensor *
pf_checkpoint_shape(const pf_checkpoint *w, int i)
{
    return &w->weight[i].t;
}

int
pf_checkpoint_skipped(const pf_checkpoint *w)
{
    return w->skips;
}

const char *
pf_checkpoint_skipped_name(const pf_checkpoint *w, int i)
{
    return w->skipped[i];
}

bool
pf_checkpoint_meta(const pf_checkpoint *w, int i, const char **key, const char **value)
{
    if (i < 0 || i >= w->header.metas)
        return false;
    *key = w->header.meta[i].key;
    *value = w->header.meta[i].value;
    return true;
}
