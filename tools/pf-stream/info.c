#include "tools/pf-stream/info.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/text.h"

struct statistics {
    double min, max, sum;
    int64_t finite, nan, infinite;
};

static struct statistics
measure(const pf_tensor *t)
{
    enum { CHUNK = 4096 };
    const int64_t n = pf_tensor_count(t);
    const size_t size = pf_dtype_size(t->dtype);
    struct statistics s = {.min = INFINITY, .max = -INFINITY};
    float v[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t m = n - i < CHUNK ? n - i : CHUNK;
        pf_to_f32(v, (const char *)t->data + (size_t)i * size, t->dtype, m);
        for (int64_t k = 0; k < m; k++) {
            s.nan += isnan(v[k]);
            s.infinite += isinf(v[k]);
            if (!isfinite(v[k]))
                continue;
            s.finite++;
            s.sum += v[k];
            s.min = fmin(s.min, v[k]);
            s.max = fmax(s.max, v[k]);
        }
    }
    return s;
}

static void
print_tensor(FILE *to, const struct pf_doc_tensor *tensor)
{
    const struct statistics s = measure(&tensor->t);
    char shape[160];
    fputs("  ", to);
    pf_text_print(to, tensor->name);
    fprintf(to, "  %s", pf_tensor_describe(shape, sizeof shape, &tensor->t));
    if (s.finite)
        fprintf(to, "  min %.6g  max %.6g  mean %.6g", s.min, s.max, s.sum / (double)s.finite);
    fprintf(to, "  NaN %lld", (long long)s.nan);
    if (s.infinite)
        fprintf(to, "  infinite %lld", (long long)s.infinite);
    putc('\n', to);
}

/* Print a line for each entry: tool, version, seed, options. */
static void
print_history(FILE *to, const char *text)
{
    json_t *history = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL, *entry;
    size_t i;
    json_array_foreach(history, i, entry) {
        const char *tool = json_string_value(json_object_get(entry, "tool"));
        const char *version = json_string_value(json_object_get(entry, "version"));
        char *options = pf_json_text(json_object_get(entry, "options"),
                                   JSON_COMPACT | JSON_REAL_PRECISION(9));
        const json_t *seed = json_object_get(entry, "seed");
        fprintf(to, "  history %zu: ", i + 1);
        pf_text_print(to, tool ? tool : "?");
        putc(' ', to);
        pf_text_print(to, version ? version : "?");
        if (json_is_integer(seed))
            fprintf(to, " seed %lld", (long long)json_integer_value(seed));
        putc(' ', to);
        pf_text_print(to, options ? options : "?");
        putc('\n', to);
        free(options);
    }
    json_decref(history);
}

void
pf_info_print(FILE *to, const pf_doc *doc)
{
    for (int i = 0; i < doc->metas; i++) {
        const struct pf_st_meta *m = &doc->meta[i];
        if (strcmp(m->key, "pf.history") == 0 || strcmp(m->key, "pf.crc32") == 0)
            continue;                           // one comes below, one is not for people
        fputs("  ", to);
        pf_text_print(to, m->key);
        fputs(": ", to);
        pf_text_print(to, m->value);
        putc('\n', to);
    }
    for (int i = 0; i < doc->tensors; i++)
        print_tensor(to, &doc->tensor[i]);
    print_history(to, pf_doc_get_meta(doc, "pf.history"));
}

/* ---- JSON ---- */

/* Only finite numbers can be written; none, or no memory, is NULL, which json_pack refuses. */
static json_t *
number(double v, bool exists)
{
    return exists ? json_real(v) : json_null();
}

static json_t *
tensor_object(const struct pf_doc_tensor *tensor)
{
    const struct statistics s = measure(&tensor->t);
    const bool any = s.finite > 0;
    json_t *shape = json_array();
    for (int i = 0; i < tensor->t.ndim; i++)
        if (json_array_append_new(shape, json_integer(tensor->t.dim[i])))
            return json_decref(shape), NULL;
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I}", "name", tensor->name, "dtype",
                     pf_dtype_name(tensor->t.dtype), "shape", shape, "min", number(s.min, any),
                     "max", number(s.max, any), "mean", number(s.sum / (double)s.finite, any),
                     "nan", (json_int_t)s.nan, "infinite", (json_int_t)s.infinite);
}

static json_t *
document_object(const pf_doc *doc, const char *stream, int index)
{
    const char *text = pf_doc_get_meta(doc, "pf.history");
    json_t *history = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *metadata = json_object(), *tensors = json_array();
    bool good = true;
    for (int i = 0; i < doc->metas && good; i++)
        if (strcmp(doc->meta[i].key, "pf.history"))
            good =
                !json_object_set_new(metadata, doc->meta[i].key, json_string(doc->meta[i].value));
    for (int i = 0; i < doc->tensors && good; i++)
        good = !json_array_append_new(tensors, tensor_object(&doc->tensor[i]));
    json_t *all = json_pack("{s:s, s:i, s:o, s:o, s:o}", "stream", stream, "document", index,
                            "metadata", metadata, "tensors", tensors, "history",
                            history ? history : json_array());
    if (good)
        return all;
    json_decref(all);
    return NULL;
}

pf_err
pf_info_print_json(FILE *to, const pf_doc *doc, const char *stream, int index)
{
    json_t *all = document_object(doc, stream, index);
    char *line = pf_json_text(all, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    json_decref(all);
    if (!line)
        return pf_fail(PF_EFORMAT,
                       "document %d cannot be written as JSON: a name in it is not UTF-8, "
                       "or there is no memory",
                       index);
    fprintf(to, "%s\n", line);
    free(line);
    return PF_OK;
}
