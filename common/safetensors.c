/* safetensors.c - the JSON header of a safetensors document. */
#include "common/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/text.h"

bool
pf_st_name_ok(const char *name, size_t length)
{
    if (length < 1 || length > PF_ST_NAME_MAX)
        return false;
    for (size_t i = 0, n; i < length; i += n) {
        n = pf_utf8_length(name + i, length - i);
        if (pf_is_control(name + i, n))
            return false;
    }
    return true;
}

bool
pf_st_shape_ok(pf_dtype dtype, int ndim, const int64_t *dim)
{
    int64_t size[PF_MAX_DIMS];
    size_t bytes;
    for (int i = 0; i < ndim; i++)
        size[i] = dim[i] ? dim[i] : 1;
    return pf_shape_bytes(&bytes, dtype, ndim, size) == PF_OK;
}

void
pf_st_release(struct pf_st_header *h)
{
    for (int i = 0; i < h->entries; i++)
        free(h->entry[i].name);
    for (int i = 0; i < h->metas; i++) {
        free(h->meta[i].key);
        free(h->meta[i].value);
    }
    free(h->entry);
    free(h->meta);
    *h = (struct pf_st_header){0};
}

/* Keep the name of a type that is not known, if it looks like one. */
static bool
keep_unknown(struct pf_st_entry *e, const json_t *dtype)
{
    const char *const is = json_string_value(dtype);
    const size_t n = is ? strlen(is) : 0;
    pf_dtype known;
    if (!n || n >= sizeof e->unknown || pf_dtype_parse(&known, is) ||
        strspn(is, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != n)
        return false;
    memcpy(e->unknown, is, n + 1);
    return true;
}

/* The data type and shape of one tensor. */
static pf_err
parse_type(pf_tensor *t, const char *name, const json_t *info)
{
    const json_t *dtype = json_object_get(info, "dtype"), *shape = json_object_get(info, "shape");
    if (!json_is_string(dtype) || !pf_dtype_parse(&t->dtype, json_string_value(dtype)))
        return pf_fail(PF_EFORMAT, "tensor %s: dtype \"%.20s\" is not one that is known", name,
                       json_is_string(dtype) ? json_string_value(dtype) : "");
    if (!json_is_array(shape) || json_array_size(shape) > PF_MAX_DIMS)
        return pf_fail(PF_EFORMAT, "tensor %s: the shape is not a list of at most %d sizes", name,
                       (int)PF_MAX_DIMS);
    t->ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return pf_fail(PF_EFORMAT, "tensor %s: size %d of the shape is not a whole number >= 0",
                           name, i);
        t->dim[i] = json_integer_value(size);
    }
    return PF_OK;
}

static pf_err
parse_entry(struct pf_st_entry *e, const char *name, const json_t *info, bool any)
{
    const json_t *offsets = json_object_get(info, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    size_t bytes;
    if (!pf_st_name_ok(name, strlen(name)))
        return pf_fail(PF_EFORMAT, "a tensor's name is empty, too long or has control characters");
    if (!json_is_object(info))
        return pf_fail(PF_EFORMAT, "tensor %s is not described by an object", name);
    const bool unknown = any && keep_unknown(e, json_object_get(info, "dtype"));
    if (!unknown)
        PF_TRY(parse_type(&e->t, name, info));
    if (!pf_st_shape_ok(e->t.dtype, e->t.ndim, e->t.dim) ||
        pf_shape_bytes(&bytes, e->t.dtype, e->t.ndim, e->t.dim))
        return pf_fail(PF_EFORMAT, "tensor %s: its shape is too large", name);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return pf_fail(PF_EFORMAT, "tensor %s: data_offsets are not two rising numbers", name);
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    if (!unknown && e->end - e->begin != bytes)
        return pf_fail(PF_EFORMAT, "tensor %s: data_offsets span %llu bytes, its shape needs %zu",
                       name, (unsigned long long)(e->end - e->begin), bytes);
    e->name = strdup(name);
    return e->name ? PF_OK : pf_fail(PF_ENOMEM, "out of memory for the safetensors header");
}

static pf_err
parse_meta(struct pf_st_header *h, json_t *meta)
{
    const char *key;
    json_t *value;
    if (!json_is_object(meta))
        return pf_fail(PF_EFORMAT, "__metadata__ is not an object");
    h->meta = calloc(json_object_size(meta) + 1, sizeof *h->meta);
    if (!h->meta)
        return pf_fail(PF_ENOMEM, "out of memory for the safetensors header");
    json_object_foreach(meta, key, value) {
        if (!json_is_string(value))
            return pf_fail(PF_EFORMAT, "__metadata__: the value of \"%.100s\" is not a string",
                           key);
        struct pf_st_meta *m = &h->meta[h->metas++];
        m->key = strdup(key);
        m->value = strdup(json_string_value(value));
        if (!m->key || !m->value)
            return pf_fail(PF_ENOMEM, "out of memory for the safetensors header");
    }
    return PF_OK;
}

static int
by_offset(const void *a, const void *b)
{
    const struct pf_st_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);       // an empty tensor goes before its neighbour
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct pf_st_entry *)a)->name, ((const struct pf_st_entry *)b)->name);
}

static int
by_key(const void *a, const void *b)
{
    return strcmp(((const struct pf_st_meta *)a)->key, ((const struct pf_st_meta *)b)->key);
}

/* No holes, no overlaps: each tensor begins where the one before it ends. */
static pf_err
check_layout(struct pf_st_header *h)
{
    qsort(h->entry, (size_t)h->entries, sizeof *h->entry, by_offset);
    for (int i = 0; i < h->entries; i++) {
        if (h->entry[i].begin != h->data_size)
            return pf_fail(PF_EFORMAT, "tensor %s starts at byte %llu, %s byte %llu",
                           h->entry[i].name, (unsigned long long)h->entry[i].begin,
                           h->entry[i].begin > h->data_size ? "leaving a hole from"
                                                            : "overlapping the one that ends at",
                           (unsigned long long)h->data_size);
        h->data_size = h->entry[i].end;
    }
    return PF_OK;
}

static pf_err
parse_root(struct pf_st_header *h, json_t *root, bool any)
{
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return pf_fail(PF_EFORMAT, "the safetensors header is not a JSON object");
    h->entry = calloc(json_object_size(root) + 1, sizeof *h->entry);
    if (!h->entry)
        return pf_fail(PF_ENOMEM, "out of memory for the safetensors header");
    json_object_foreach(root, key, value) {
        if (strcmp(key, "__metadata__") == 0)
            PF_TRY(parse_meta(h, value));
        else
            PF_TRY(parse_entry(&h->entry[h->entries++], key, value, any));
    }
    PF_TRY(check_layout(h));
    qsort(h->entry, (size_t)h->entries, sizeof *h->entry, by_name);
    if (h->metas)
        qsort(h->meta, (size_t)h->metas, sizeof *h->meta, by_key);
    return PF_OK;
}

static pf_err
parse(struct pf_st_header *h, const char *json, size_t size, bool any)
{
    json_error_t why;
    *h = (struct pf_st_header){0};
    if (size > PF_ST_HEADER_MAX)
        return pf_fail(PF_EFORMAT, "the safetensors header has %zu bytes, over the limit of %d",
                       size, (int)PF_ST_HEADER_MAX);
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &why);        // refuses \u0000
    if (!root && !why.text[0])                          /* jansson says nothing of that */
        return pf_fail(PF_ENOMEM, "no memory for the safetensors header");
    if (!root)
        return pf_fail(PF_EFORMAT, "the safetensors header is not valid JSON: %s", why.text);
    const pf_err err = parse_root(h, root, any);
    json_decref(root);
    if (err)
        pf_st_release(h);
    return err;
}

pf_err
pf_st_parse(struct pf_st_header *h, const char *json, size_t size)
{
    return parse(h, json, size, false);
}

pf_err
pf_st_parse_any(struct pf_st_header *h, const char *json, size_t size)
{
    return parse(h, json, size, true);
}

/* {"dtype": ..., "shape": [...], "data_offsets": [...]}, or NULL without memory. */
static json_t *
print_entry(const struct pf_st_entry *e)
{
    json_t *shape = json_array();
    for (int i = 0; i < e->t.ndim; i++)
        if (json_array_append_new(shape, json_integer(e->t.dim[i])))
            return json_decref(shape), NULL;
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", pf_dtype_name(e->t.dtype), "shape", shape,
                     "data_offsets", (json_int_t)e->begin, (json_int_t)e->end);
}

static json_t *
print_root(const struct pf_st_header *h)
{
    json_t *root = json_object(), *meta = json_object();
    int bad = !root || !meta;
    for (int i = 0; i < h->metas && !bad; i++)
        bad = json_object_set_new(meta, h->meta[i].key, json_string(h->meta[i].value));
    if (h->metas && !bad)
        bad = json_object_set(root, "__metadata__", meta);
    for (int i = 0; i < h->entries && !bad; i++)
        bad = json_object_set_new(root, h->entry[i].name, print_entry(&h->entry[i]));
    json_decref(meta);
    if (!bad)
        return root;
    json_decref(root);
    return NULL;
}

/* Whether the header reads as what was printed: then no key got lost, and nobody will refuse it. */
static pf_err
check_printed(const char *json, size_t size, const struct pf_st_header *h)
{
    struct pf_st_header read;
    PF_TRY(pf_st_parse(&read, json, size));
    const bool same = read.entries == h->entries && read.metas == h->metas &&
                      read.data_size == h->data_size;
    pf_st_release(&read);
    return same ? PF_OK : pf_fail(PF_ENOMEM, "a safetensors header lost something on its way");
}

pf_err
pf_st_print(char **bytes, size_t *size, struct pf_st_header *h)
{
    *bytes = NULL;
    h->data_size = 0;
    for (int i = 0; i < h->entries; i++) {
        struct pf_st_entry *e = &h->entry[i];
        size_t n;
        PF_TRY(pf_shape_bytes(&n, e->t.dtype, e->t.ndim, e->t.dim));
        e->begin = h->data_size;
        if (n > (uint64_t)INT64_MAX - e->begin)
            return pf_fail(PF_ESHAPE, "the tensors of a document are too large together");
        e->end = h->data_size = e->begin + n;
    }
    json_t *root = print_root(h);
    char *json = root ? pf_json_text(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!json)
        return pf_fail(PF_ENOMEM, "cannot make a safetensors header (out of memory, or a name or "
                                  "metadata value is not UTF-8)");
    const size_t length = strlen(json);
    *size = (8 + length + PF_ST_ALIGN - 1) / PF_ST_ALIGN * PF_ST_ALIGN;
    if (*size - 8 > PF_ST_HEADER_MAX || !(*bytes = malloc(*size))) {
        free(json);
        return pf_fail(PF_ENOMEM, "a safetensors header of %zu bytes is too large", length);
    }
    const pf_err err = check_printed(json, length, h);
    if (err) {
        free(json);
        free(*bytes);
        *bytes = NULL;
        return pf_fail_in(err, "cannot make a safetensors header");
    }
    for (int i = 0; i < 8; i++)
        (*bytes)[i] = (char)((uint64_t)(*size - 8) >> (8 * i));
    memcpy(*bytes + 8, json, length);
    memset(*bytes + 8 + length, ' ', *size - 8 - length);
    free(json);
    return PF_OK;
}
