/* checkpoint.c - open a weights file whatever its format, and find its tensors by name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/budget.h"
#include "common/checkpoint_parts.h"
#include "common/kind.h"
#include "common/onnx.h"
#include "common/slurp.h"
#include "common/text.h"

enum { MAX_SKIPPED = 10000 };   /* lines kept */

pf_err
pf_checkpoint_no_memory(void)
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
        return pf_checkpoint_no_memory();
    memcpy(array, &bigger, sizeof bigger);
    *room = (n + 16) * 2;
    return PF_OK;
}

pf_err
pf_checkpoint_spend(pf_checkpoint *w, uint64_t cost)
{
    if (pf_budget_take(&w->budget, cost))
        return PF_OK;
    return pf_fail(PF_EFORMAT, "its tensors are far larger, or more, than a file of %zu bytes can "
                   "hold", w->size);
}

pf_err
pf_checkpoint_add(pf_checkpoint *w, const char *name, struct pf_weight **x)
{
    PF_TRY(pf_checkpoint_spend(w, sizeof **x + strlen(name)));
    PF_TRY(grow(&w->weight, &w->weight_room, w->weights, sizeof **x));
    *x = &w->weight[w->weights];
    **x = (struct pf_weight){.name = strdup(name)};
    return (*x)->name ? (w->weights++, PF_OK) : pf_checkpoint_no_memory();
}

pf_err
pf_checkpoint_skip(pf_checkpoint *w, const char *line)
{
    if (w->skips >= MAX_SKIPPED)
        return PF_OK;
    PF_TRY(grow(&w->skipped, &w->skip_room, w->skips, sizeof *w->skipped));
    w->skipped[w->skips] = strdup(line);
    return w->skipped[w->skips] ? (w->skips++, PF_OK) : pf_checkpoint_no_memory();
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct pf_weight *)a)->name, ((const struct pf_weight *)b)->name);
}

static int
by_line(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static pf_err
sort_weights(pf_checkpoint *w)
{
    if (w->skips)
        qsort(w->skipped, (size_t)w->skips, sizeof *w->skipped, by_line);
    if (w->weights)
        qsort(w->weight, (size_t)w->weights, sizeof *w->weight, by_name);
    for (int i = 1; i < w->weights; i++)
        if (by_name(&w->weight[i - 1], &w->weight[i]) == 0)
            return pf_fail(PF_EFORMAT, "tensor %s is there twice", w->weight[i].name);
    return PF_OK;
}

/* ---- open and close ---- */

/* A header's length is no text: those eight letters would be exabytes. */
static bool
is_text(const pf_checkpoint *w)
{
    for (int i = 0; i < 8; i++)
        if (w->bytes[i] < 0x20 && !memchr("\t\r\n", w->bytes[i], 3))
            return false;
    return true;
}

/* The reader of the format that the bytes begin like. */
static pf_err (*list_of(const pf_checkpoint *w))(pf_checkpoint *)
{
    if (w->size >= 4 && memcmp(w->bytes, "PK\3\4", 4) == 0)
        return pf_checkpoint_list_zip;
    if (w->size >= 9 && w->bytes[8] == '{' && !is_text(w))
        return pf_checkpoint_list_safetensors;
    if (w->size >= 2 && w->bytes[0] == 0x80)
        return pf_checkpoint_list_legacy;
    return pf_onnx_is(w->bytes, w->size) ? pf_checkpoint_list_onnx : pf_checkpoint_other_kind;
}

/* Whether a pipe that began with w->bytes is worth reading on: it may hold weights, and an index
 * does not grow without end. */
static bool
goes_on(const pf_checkpoint *w)
{
    if (w->size < PF_KIND_BYTES)
        return true;
    if (!is_text(w))
        return list_of(w) != pf_checkpoint_other_kind;
    size_t blanks = 0;
    while (blanks < PF_KIND_BYTES - 1 && memchr(" \t\r\n", w->bytes[blanks], 4))
        blanks++;
    return w->bytes[blanks] == '{' && w->size <= PF_ST_HEADER_MAX;
}

/* Read a pipe into memory, to its end or until it can be no weights file. */
static pf_err
read_pipe(pf_checkpoint *w, int fd)
{
    size_t room = 0;
    ssize_t n;
    w->kept = PF_ALLOCATED;
    do {
        if (w->size > pf_slurp_most())
            return pf_fail(PF_ENOMEM, "the pipe has more than half as many bytes as the memory of "
                           "this machine; give the name of a file");
        if (room - w->size < 1 << 20) {
            room = 2 * room + (1 << 22);
            unsigned char *const bigger = realloc((void *)w->bytes, room);
            if (!bigger)
                return pf_fail(PF_ENOMEM, "out of memory after %zu bytes of the pipe", w->size);
            w->bytes = bigger;
        }
        n = read(fd, (unsigned char *)w->bytes + w->size, room - w->size);
        if (n > 0)
            w->size += (size_t)n;
    } while ((n > 0 && goes_on(w)) || (n < 0 && errno == EINTR));
    return n >= 0 ? PF_OK : pf_fail(PF_EIO, "cannot be read: %s", strerror(errno));
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
    if (!pf_map(&w->map, fd, (size_t)st.st_size))
        return pf_fail(PF_EIO, "cannot be mapped: %s", strerror(errno));
    w->kept = PF_MAPPED;
    w->bytes = w->map.bytes;
    w->size = w->map.size;
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

/* What all tensors take together, and what unpacking them does: each is unpacked from the start of
 * its storage, which many of them may share. */
static pf_err
spend_on_data(pf_checkpoint *w)
{
    for (int i = 0; i < w->weights; i++) {
        const struct pf_weight *const x = &w->weight[i];
        const size_t bytes = pf_tensor_bytes(&x->t);
        PF_TRY(pf_checkpoint_spend(w, bytes));
        if (bytes && !x->block)
            PF_TRY(pf_checkpoint_spend(w, (uint64_t)(x->first + pf_weight_reach(x)) *
                                              pf_dtype_size(x->t.dtype)));
    }
    return PF_OK;
}

/* Add the tensors of one file, in name order. */
static pf_err
list_file(pf_checkpoint *w)
{
    w->budget = pf_budget(w->size);
    PF_TRY(list_of(w)(w));
    PF_TRY(spend_on_data(w));
    return sort_weights(w);
}

/* path: where the files of an index lie, or NULL. */
static pf_err
parse(pf_checkpoint *w, const char *path)
{
    PF_TRY(pf_checkpoint_is_index(w) ? pf_checkpoint_list_index(w, path) : list_file(w));
    PF_TRY(sort_weights(w));
    PF_TRY(pf_checkpoint_take_scales(w));
    if (w->weights == 0)
        return pf_checkpoint_without_tensors(w);
    pf_checkpoint_trim_names(w);
    PF_TRY(sort_weights(w));
    if (!w->ema)
        return PF_OK;
    PF_TRY(pf_checkpoint_take_ema(w));
    return sort_weights(w);
}

static pf_err
new_checkpoint(pf_checkpoint **w, const char *name)
{
    *w = calloc(1, sizeof **w);
    if (!*w)
        return pf_checkpoint_no_memory();
    (*w)->path = strdup(pf_file_title(name));
    if ((*w)->path)
        return PF_OK;
    free(*w);
    *w = NULL;
    return pf_checkpoint_no_memory();
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

static pf_err
open_file(pf_checkpoint **w, const char *path, bool ema)
{
    PF_TRY(new_checkpoint(w, path));
    (*w)->ema = ema;
    pf_err err = load(*w, path);
    if (!err)
        err = parse(*w, strcmp(path, "-") == 0 ? NULL : path);
    return finish_open(w, err);
}

pf_err
pf_checkpoint_open(pf_checkpoint **w, const char *path)
{
    return open_file(w, path, false);
}

pf_err
pf_checkpoint_open_ema(pf_checkpoint **w, const char *path)
{
    return open_file(w, path, true);
}

pf_err
pf_checkpoint_open_part(pf_checkpoint **w, const char *path)
{
    PF_TRY(new_checkpoint(w, path));
    pf_err err = load(*w, path);
    if (!err && (*w)->kept != PF_MAPPED)
        err = pf_fail(PF_EFORMAT, "is not a regular file");
    else if (!err && pf_checkpoint_is_index(*w))
        err = pf_fail(PF_EFORMAT, "is an index, in an index");
    if (!err)
        err = list_file(*w);
    return finish_open(w, err);
}

pf_err
pf_checkpoint_open_memory(pf_checkpoint **w, const void *bytes, size_t size, const char *name)
{
    PF_TRY(new_checkpoint(w, name));
    (*w)->kept = PF_BORROWED;
    (*w)->bytes = bytes;
    (*w)->size = size;
    return finish_open(w, parse(*w, NULL));
}

void
pf_weight_release(struct pf_weight *x)
{
    free(x->name);
    free(x->owned);
    pf_tensor_release(&x->scale);
}

void
pf_checkpoint_close(pf_checkpoint *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->weights; i++)
        pf_weight_release(&w->weight[i]);
    for (int i = 0; i < w->skips; i++)
        free(w->skipped[i]);
    for (int i = 0; i < w->parts; i++)
        pf_checkpoint_close(w->part[i]);
    free(w->part);
    free(w->weight);
    free(w->skipped);
    pf_st_release(&w->header);
    pf_zip_close(&w->zip);
    pf_unmap(&w->map);
    if (w->kept == PF_ALLOCATED)
        free((void *)w->bytes);
    free(w->path);
    free(w);
}

/* ---- what there is ---- */

int
pf_checkpoint_find(const pf_checkpoint *w, const char *name)
{
    const struct pf_weight key = {.name = (char *)name};
    const struct pf_weight *x =
        w->weights ? bsearch(&key, w->weight, (size_t)w->weights, sizeof key, by_name) : NULL;
    return x ? (int)(x - w->weight) : -1;
}

/* The same for the average where it stands for the model. */
static int
find(const pf_checkpoint *w, const char *name)
{
    char ema[PF_ST_NAME_MAX + 20];
    const bool other = w->ema_alone && pf_checkpoint_ema_name(ema, name);
    return pf_checkpoint_find(w, other ? ema : name);
}

bool
pf_checkpoint_has(const pf_checkpoint *w, const char *prefix)
{
    char ema[PF_ST_NAME_MAX + 20];
    if (w->ema_alone && pf_checkpoint_ema_name(ema, prefix))
        prefix = ema;
    int from = 0, to = w->weights;              // the first name that is not before the prefix
    while (from < to) {
        const int middle = from + (to - from) / 2;
        if (strcmp(w->weight[middle].name, prefix) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < w->weights && !strncmp(w->weight[from].name, prefix, strlen(prefix));
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
    if (t->ndim != ndim || !pf_is_float(t->dtype))
        return false;
    for (int i = 0; i < ndim; i++)
        if (dim[i] >= 0 && dim[i] != t->dim[i])
            return false;
    return true;
}

/* What is said of a tensor that was skipped, " tensor of type F8_E5M2", or NULL. */
static const char *
find_skipped(const pf_checkpoint *w, const char *name)
{
    const size_t n = strlen(name);
    int from = 0, to = w->skips;                // the first line that is not before "name:"
    while (from < to) {
        const int middle = from + (to - from) / 2;
        const int c = strncmp(w->skipped[middle], name, n);
        if (c < 0 || (c == 0 && (unsigned char)w->skipped[middle][n] < ':'))
            from = middle + 1;
        else
            to = middle;
    }
    if (from == w->skips || strncmp(w->skipped[from], name, n) || w->skipped[from][n] != ':')
        return NULL;
    return w->skipped[from] + n + 1;
}

bool
pf_checkpoint_knows(const pf_checkpoint *w, const char *name)
{
    return find(w, name) >= 0 || find_skipped(w, name);
}

/* There is no such tensor, or it was skipped: a type that cannot be computed with.  Where there is
 * nothing of that part of a model at all, the names that are there show why. */
static pf_err
is_missing(const pf_checkpoint *w, const char *name)
{
    char ema[PF_ST_NAME_MAX + 20], part[100];
    const char *const skipped = find_skipped(w, name);
    const int n = (int)strcspn(name, ".");
    if (skipped)
        return pf_fail(PF_EFORMAT, "%s: tensor %s is%s, which cannot be used", w->path, name,
                       skipped);
    if (!w->ema && pf_checkpoint_ema_name(ema, name) && pf_checkpoint_find(w, ema) >= 0)
        return pf_fail(PF_EFORMAT, "%s: has no tensor %s, but its EMA weights: --ema takes them",
                       w->path, name);
    snprintf(part, sizeof part, "%.*s.", n, name);
    if (!name[n] || pf_checkpoint_has(w, part))
        return pf_fail(PF_EFORMAT, "%s: has no tensor %s", w->path, name);
    return pf_fail(PF_EFORMAT, "%s: has no tensor %s, nor any other of %s; it has %s%s%s", w->path,
                   name, part, w->weight[0].name, w->weights > 1 ? " to " : "",
                   w->weights > 1 ? w->weight[w->weights - 1].name : "");
}

pf_err
pf_checkpoint_expect(const pf_checkpoint *w, const char *name, pf_tensor *t, int ndim,
                     const int64_t *dim)
{
    char is[128], want[128];
    const int i = find(w, name);
    if (i < 0)
        return is_missing(w, name);
    if (!fits(&w->weight[i].t, ndim, dim)) {
        const pf_tensor wanted = pf_tensor_view(NULL, PF_F32, ndim, dim);
        return pf_fail(PF_ESHAPE, "%s: tensor %s is %s, expected %s (or another float type)",
                       w->path, name, pf_tensor_describe(is, sizeof is, &w->weight[i].t),
                       pf_tensor_describe(want, sizeof want, &wanted));
    }
    *t = w->weight[i].t;
    return PF_OK;
}

pf_err
pf_checkpoint_need(pf_checkpoint *w, const char *name, pf_tensor *t, int ndim, const int64_t *dim)
{
    PF_TRY(pf_checkpoint_expect(w, name, t, ndim, dim));
    return pf_checkpoint_read(w, find(w, name), t);
}

int
pf_checkpoint_index(const pf_checkpoint *w, const char *name)
{
    return find(w, name);
}

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

const char *
pf_checkpoint_cut(const pf_checkpoint *w)
{
    return w->cut;
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
