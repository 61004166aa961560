/* doc.c - a document's tensors and metadata, each kept sorted. */
#include "common/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/opt.h"
#include "common/text.h"

void
pf_doc_release(pf_doc *doc)
{
    for (int i = 0; i < doc->tensors; i++) {
        free(doc->tensor[i].name);
        pf_tensor_release(&doc->tensor[i].t);
    }
    for (int i = 0; i < doc->metas; i++) {
        free(doc->meta[i].key);
        free(doc->meta[i].value);
    }
    free(doc->tensor);
    free(doc->meta);
    memset(doc, 0, sizeof *doc);
}

/* An array that has room for one more than n: it is doubled whenever n is a power of two, so that n
 * elements cost n steps.  NULL: no memory, and the array is as it was. */
static void *
room_for_one(void *array, int n, size_t size)
{
    if (n & (n - 1))
        return array;
    return realloc(array, (n ? 2 * (size_t)n : 1) * size);
}

/* First tensor whose name is not below this one. */
static int
tensor_position(const pf_doc *doc, const char *name)
{
    int lo = 0, hi = doc->tensors;
    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        if (strcmp(doc->tensor[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool
tensor_at(const pf_doc *doc, int i, const char *name)
{
    return i < doc->tensors && strcmp(doc->tensor[i].name, name) == 0;
}

const pf_tensor *
pf_doc_get(const pf_doc *doc, const char *name)
{
    const int i = tensor_position(doc, name);
    return tensor_at(doc, i, name) ? &doc->tensor[i].t : NULL;
}

static const char *
maker_of(const char *name)
{
    static const struct {
        const char *prefix, *tool;
    } makers[] = {
        {"input.clip", "pf-clip-embed"}, {"input.", "pf-crop"},  {"views.alpha", "pf-mask"},
        {"views.latent", "pf-sample --latents"}, {"views.", "pf-sample"},
        {"train.", "pf-neus --checkpoint"}, {"field.", "pf-neus"},
    };
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (strncmp(name, makers[i].prefix, strlen(makers[i].prefix)) == 0)
            return makers[i].tool;
    return NULL;
}

pf_err
pf_doc_need(const pf_doc *doc, const char *name, pf_dtype dtype, int ndim, const int64_t *dim,
            pf_tensor *t)
{
    const pf_tensor *found = pf_doc_get(doc, name);
    const char *tool = maker_of(name);

    if (!found)
        return pf_fail(PF_EFORMAT, "the stream has no tensor %s%s%s", name,
                       tool ? "; it is made by " : "", tool ? tool : "");
    PF_TRY(pf_tensor_expect(found, name, dtype, ndim, dim));
    *t = *found;
    return PF_OK;
}

pf_err
pf_doc_take(pf_doc *doc, const char *name, const pf_tensor *t)
{
    const int i = tensor_position(doc, name);
    struct pf_doc_tensor *grown;
    char *copy;

    if (tensor_at(doc, i, name)) {
        pf_tensor_release(&doc->tensor[i].t);
        doc->tensor[i].t = *t;
        return PF_OK;
    }
    copy = strdup(name);
    grown = room_for_one(doc->tensor, doc->tensors, sizeof *grown);
    if (grown)
        doc->tensor = grown;
    if (!copy || !grown) {
        free(copy);
        return pf_fail(PF_ENOMEM, "no memory");
    }
    memmove(grown + i + 1, grown + i, (size_t)(doc->tensors - i) * sizeof *grown);
    grown[i] = (struct pf_doc_tensor){copy, *t};
    doc->tensors++;
    return PF_OK;
}

pf_err
pf_doc_put(pf_doc *doc, const char *name, const pf_tensor *t)
{
    pf_tensor copy;
    pf_err err;

    PF_TRY(pf_tensor_copy(&copy, t));
    if ((err = pf_doc_take(doc, name, &copy)))
        pf_tensor_release(&copy);
    return err;
}

void
pf_doc_drop(pf_doc *doc, const char *name)
{
    const int i = tensor_position(doc, name);

    if (!tensor_at(doc, i, name))
        return;
    free(doc->tensor[i].name);
    pf_tensor_release(&doc->tensor[i].t);
    doc->tensors--;
    memmove(doc->tensor + i, doc->tensor + i + 1,
            (size_t)(doc->tensors - i) * sizeof *doc->tensor);
}

/* First metadata whose key is not below this one. */
static int
meta_position(const pf_doc *doc, const char *key)
{
    int lo = 0, hi = doc->metas;
    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        if (strcmp(doc->meta[mid].key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const char *
pf_doc_get_meta(const pf_doc *doc, const char *key)
{
    const int i = meta_position(doc, key);
    return i < doc->metas && strcmp(doc->meta[i].key, key) == 0 ? doc->meta[i].value : NULL;
}

pf_err
pf_doc_set_meta(pf_doc *doc, const char *key, const char *value)
{
    char *k = strdup(key), *v = strdup(value);
    struct pf_st_meta *grown;
    const int i = meta_position(doc, key);

    if (k && v && i < doc->metas && strcmp(doc->meta[i].key, key) == 0) {
        free(k);
        free(doc->meta[i].value);
        doc->meta[i].value = v;
        return PF_OK;
    }
    grown = k && v ? room_for_one(doc->meta, doc->metas, sizeof *grown) : NULL;
    if (!grown) {
        free(k);
        free(v);
        return pf_fail(PF_ENOMEM, "no memory");
    }
    doc->meta = grown;
    memmove(grown + i + 1, grown + i, (size_t)(doc->metas - i) * sizeof *grown);
    grown[i] = (struct pf_st_meta){k, v};
    doc->metas++;
    return PF_OK;
}

pf_err
pf_doc_copy(pf_doc *copy, const pf_doc *doc)
{
    pf_err err = PF_OK;

    for (int i = 0; i < doc->tensors && !err; i++)
        err = pf_doc_put(copy, doc->tensor[i].name, &doc->tensor[i].t);
    for (int i = 0; i < doc->metas && !err; i++)
        err = pf_doc_set_meta(copy, doc->meta[i].key, doc->meta[i].value);
    if (err)
        pf_doc_release(copy);
    return err;
}

pf_err
pf_doc_add_history(pf_doc *doc)
{
    const char *old = pf_doc_get_meta(doc, "pf.history");
    json_t *all = old ? json_loads(old, 0, NULL) : json_array();
    char *entry = pf_history_entry(), *text = NULL;
    pf_err err;

    if (!json_is_array(all))
        err = pf_fail(PF_EFORMAT, "pf.history is not a JSON array");
    else if (!entry || json_array_append_new(all, json_loads(entry, 0, NULL)) ||
             !(text = pf_json_text(all, JSON_COMPACT | JSON_REAL_PRECISION(12))))
        err = pf_fail(PF_ENOMEM, "no memory for the history");
    else
        err = pf_doc_set_meta(doc, "pf.history", text);
    json_decref(all);
    free(entry);
    free(text);
    return err;
}

bool
pf_doc_failed(const pf_doc *doc)
{
    const char *const kind = pf_doc_get_meta(doc, "pf.kind");
    return kind && strcmp(kind, "failed") == 0;
}

void
pf_doc_position(const pf_doc *doc, int *index, int *count)
{
    const char *const i = pf_doc_get_meta(doc, "pf.index");
    const char *const n = pf_doc_get_meta(doc, "pf.count");
    int64_t first, all;
    *index = 0;
    *count = 1;
    if (!i || !n || !pf_parse_int(&first, i) || !pf_parse_int(&all, n) || first < 0 ||
        first >= all || all > INT32_MAX)
        return;
    *index = (int)first;
    *count = (int)all;
}

pf_err
pf_doc_set_position(pf_doc *doc, int index, int count)
{
    char text[16];

    snprintf(text, sizeof text, "%d", index);
    PF_TRY(pf_doc_set_meta(doc, "pf.index", text));
    snprintf(text, sizeof text, "%d", count);
    return pf_doc_set_meta(doc, "pf.count", text);
}
