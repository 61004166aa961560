/* checkpoint_index.c - weights in several files, and the *.index.json beside them that says which
 * tensor is in which: {"weight_map": {"tensor": "file", ...}}, as Hugging Face writes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/budget.h"
#include "common/checkpoint_parts.h"

enum { MAX_FILES = 1000 };

bool
pf_checkpoint_is_index(const pf_checkpoint *w)
{
    /* A safetensors header of this length, text read as a number, would have exabytes. */
    const size_t looked = w->size < PF_ST_HEADER_MAX ? w->size : PF_ST_HEADER_MAX;
    return w->size >= 8 && w->bytes[7] && memchr("{ \t\r\n", w->bytes[0], 5) &&
           memmem(w->bytes, looked, "\"weight_map\"", 12);
}

/* A name beside the index: files elsewhere are none of its business. */
static bool
is_beside(const char *name)
{
    return *name && strlen(name) < 256 && !strchr(name, '/') && !strchr(name, '\\') &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the files, each once, borrowed from the map; *n of them. */
static pf_err
list_files(const char ***files, size_t *n, json_t *map)
{
    const char *key;
    json_t *value;
    size_t all = 0;
    const char **const list = calloc(json_object_size(map) + 1, sizeof *list);
    if (!(*files = list))
        return pf_checkpoint_no_memory();
    json_object_foreach(map, key, value) {
        const char *const file = json_string_value(value);
        if (!file || !is_beside(file))
            return pf_fail(PF_EFORMAT, "tensor %.100s: \"%.100s\" is not the name of a file beside "
                           "the index", key, file ? file : "(no text)");
        list[all++] = file;
    }
    qsort(list, all, sizeof *list, by_text);
    for (size_t i = 0; i < all; i++)
        if (!*n || strcmp(list[*n - 1], list[i]) != 0)
            list[(*n)++] = list[i];
    if (*n > MAX_FILES)
        return pf_fail(PF_EFORMAT, "names more than %d files", (int)MAX_FILES);
    return PF_OK;
}

/* Move the tensors and what was skipped of one file over; the file itself stays open. */
static pf_err
take_over(pf_checkpoint *w, pf_checkpoint *part)
{
    w->budget += pf_budget(part->size);
    for (int i = 0; i < part->weights; i++) {
        struct pf_weight *const from = &part->weight[i];
        struct pf_weight *to;
        PF_TRY(pf_checkpoint_add(w, from->name, &to));
        char *const name = to->name;
        *to = *from;
        to->name = name;
        from->owned = NULL;
    }
    for (int i = 0; i < part->skips; i++)
        PF_TRY(pf_checkpoint_skip(w, part->skipped[i]));
    return PF_OK;
}

/* The map must not send anybody to a file that lacks the tensor.  file: the n names, sorted, of the
 * files in w->part. */
static pf_err
check_map(const pf_checkpoint *w, json_t *map, const char *const *file, size_t n)
{
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value) {
        const char *const name = json_string_value(value);
        const char *const *const at = bsearch(&name, file, n, sizeof *file, by_text);
        if (!pf_checkpoint_knows(w->part[at - file], key))
            return pf_fail(PF_EFORMAT, "tensor %.200s is not in %s", key, name);
    }
    return PF_OK;
}

static pf_err
add_files(pf_checkpoint *w, json_t *map, const char *const *file, size_t n, const char *folder)
{
    if (!(w->part = calloc(n + 1, sizeof *w->part)))
        return pf_checkpoint_no_memory();
    for (size_t i = 0; i < n; i++) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s%s", folder, file[i]) >= (int)sizeof path)
            return pf_fail(PF_EFORMAT, "the name of its folder is too long");
        PF_TRY(pf_checkpoint_open_part(&w->part[i], path));
        w->parts++;
    }
    PF_TRY(check_map(w, map, file, n));
    for (size_t i = 0; i < n; i++)
        PF_TRY(take_over(w, w->part[i]));
    return PF_OK;
}

pf_err
pf_checkpoint_list_index(pf_checkpoint *w, const char *path)
{
    json_error_t why;
    const char **file = NULL;
    char folder[4096] = "";
    size_t n = 0;
    const char *const slash = path ? strrchr(path, '/') : NULL;
    w->format = "index";
    if (slash && (size_t)(slash - path) + 2 > sizeof folder)
        return pf_fail(PF_EFORMAT, "the name of its folder is too long");
    if (slash)
        memcpy(folder, path, (size_t)(slash - path) + 1);
    if (w->size > PF_ST_HEADER_MAX)
        return pf_fail(PF_EFORMAT, "is an index of %zu bytes, over the limit of %d", w->size,
                       (int)PF_ST_HEADER_MAX);
    json_t *const root = json_loadb((const char *)w->bytes, w->size, JSON_REJECT_DUPLICATES, &why);
    json_t *const map = json_object_get(root, "weight_map");
    pf_err err;
    if (!root)
        err = pf_fail(PF_EFORMAT, "is an index that is not valid JSON: %s", why.text);
    else if (!json_is_object(map))
        err = pf_fail(PF_EFORMAT, "its weight_map is not an object");
    else if (!(err = list_files(&file, &n, map)) && !path)
        err = pf_fail(PF_EFORMAT, "is an index of several files: give its name, they are looked "
                      "for beside it");
    else if (!err)
        err = add_files(w, map, file, n, folder);
    free(file);
    json_decref(root);
    return err;
}
