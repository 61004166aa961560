/* stream.c - documents: safetensors files back to back (pf-stream(5)). */
#include "common/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <zlib.h>

#include "common/bytes.h"
#include "common/json.h"
#include "common/kind.h"
#include "common/output.h"
#include "common/safetensors.h"
#include "common/slurp.h"
#include "common/text.h"

enum { CHUNK = 1 << 24 };       /* bytes of a tensor that are read first */

struct pf_stream {
    FILE *file;
    const uint8_t *bytes;       /* without a file: the documents in memory */
    size_t size, at;
    char *name;
    int documents;              /* how many were read so far */
    int index, count;           /* the group that was announced: the next expected; 0: none */
};

/* ---- reading ---- */

static pf_err
new_stream(pf_stream **s, const char *name)
{
    *s = calloc(1, sizeof **s);
    if (*s && ((*s)->name = strdup(name)))
        return PF_OK;
    free(*s);
    return pf_fail(PF_ENOMEM, "no memory");
}

pf_err
pf_stream_open(pf_stream **out, const char *path)
{
    const bool std = !path || strcmp(path, "-") == 0;
    pf_stream *s;

    PF_TRY(new_stream(&s, std ? "standard input" : path));
    s->file = std ? stdin : fopen(path, "rb");
    if (!s->file) {
        const pf_err err = pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
        pf_stream_close(s);
        return err;
    }
    *out = s;
    return PF_OK;
}

pf_err
pf_stream_open_memory(pf_stream **out, const void *bytes, size_t size)
{
    PF_TRY(new_stream(out, "memory"));
    (*out)->bytes = bytes;
    (*out)->size = size;
    return PF_OK;
}

void
pf_stream_close(pf_stream *s)
{
    if (!s)
        return;
    if (s->file && s->file != stdin)
        fclose(s->file);
    free(s->name);
    free(s);
}

/* Read up to n bytes; *got < n only at the end. */
static pf_err
read_some(pf_stream *s, void *to, size_t n, size_t *got)
{
    if (s->file) {
        *got = fread(to, 1, n, s->file);
        if (*got < n && ferror(s->file))
            return pf_fail(PF_EIO, "cannot read %s: %s", s->name, strerror(errno));
        return PF_OK;
    }
    *got = n < s->size - s->at ? n : s->size - s->at;
    if (*got)
        memcpy(to, s->bytes + s->at, *got);
    s->at += *got;
    return PF_OK;
}

/* The byte that was read last is the next again. */
static void
put_back(pf_stream *s, uint8_t byte)
{
    if (s->file)
        ungetc(byte, s->file);
    else
        s->at--;
}

/* Read exactly n bytes into new memory.  It grows as they come, so that a header's false promise
 * costs no more than what was really sent. */
static pf_err
read_block(pf_stream *s, void **block, uint64_t n, const char *what)
{
    size_t room = 0, have = 0, got;
    char *p = NULL;
    pf_err err = PF_OK;

    do {
        const size_t more = room ? room : CHUNK, next = n - room < more ? (size_t)n : room + more;
        void *grown = NULL;
        if (posix_memalign(&grown, PF_ST_ALIGN, next ? next : 1)) {
            err = pf_fail(PF_ENOMEM, "%s: no memory for %" PRIu64 " bytes of %s", s->name, n, what);
            break;
        }
        if (have)
            memcpy(grown, p, have);
        free(p);
        p = grown;
        room = next;
        if ((err = read_some(s, p + have, room - have, &got)))
            break;
        have += got;
        if (have < room)
            err = pf_fail(PF_EFORMAT,
                          "%s: ends inside document %d, after %zu of the %" PRIu64 " bytes of %s",
                          s->name, s->documents, have, n, what);
    } while (!err && have < n);
    if (err)
        free(p);
    else
        *block = p;
    return err;
}

static pf_err
missing(const pf_stream *s, int index, int count)
{
    return pf_fail(PF_EFORMAT, "%s: document %d of 0 to %d is missing", s->name, index, count - 1);
}

/* What the file is instead, of which the first n bytes were read. */
static pf_err
not_a_document(pf_stream *s, const uint8_t *first, size_t n)
{
    uint8_t start[PF_KIND_BYTES];
    size_t more = 0;

    memcpy(start, first, n);
    PF_TRY(read_some(s, start + n, sizeof start - n, &more));
    const struct pf_kind *const kind = s->documents ? NULL : pf_kind_of(start, n + more);
    if (kind)
        return pf_fail_in(pf_kind_fail(kind, "a stream of documents"), "%s", s->name);
    if (n + more < 8)
        return pf_fail(PF_EFORMAT, "%s: ends inside document %d, after %zu of its first 8 bytes",
                       s->name, s->documents, n);
    return pf_fail(PF_EFORMAT, "%s: document %d is not a pf-stream or safetensors document",
                   s->name, s->documents);
}

/* The 8 bytes before a document, or PF_END where there are no more. */
static pf_err
read_length(pf_stream *s, uint64_t *length)
{
    uint8_t b[9];               /* and the brace that begins its header */
    size_t got, brace = 0;

    PF_TRY(read_some(s, b, 8, &got));
    if (got == 0) {
        if (s->documents == 0)
            return pf_fail(PF_EFORMAT, "%s is empty: it holds no document%s", s->name,
                           s->file == stdin ? "; did the command before this one fail?" : "");
        if (s->count)
            return missing(s, s->index, s->count);
        return PF_END;
    }
    *length = got == 8 ? pf_little(b, 8) : 0;
    if (*length < 2 || *length > PF_ST_HEADER_MAX)
        return not_a_document(s, b, got);
    PF_TRY(read_some(s, b + 8, 1, &brace));
    if (brace && b[8] != '{')
        return not_a_document(s, b, 9);
    if (brace)
        put_back(s, b[8]);
    return PF_OK;
}

static int
by_begin(const void *a, const void *b)
{
    const struct pf_st_entry *x = *(struct pf_st_entry *const *)a,
                             *y = *(struct pf_st_entry *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);       /* an empty one before its neighbour */
}

static pf_err
read_tensors(pf_stream *s, pf_doc *doc, const struct pf_st_header *h)
{
    struct pf_st_entry **order = malloc(((size_t)h->entries + 1) * sizeof *order);
    pf_err err = PF_OK;

    if (!order)
        return pf_fail(PF_ENOMEM, "no memory");
    for (int i = 0; i < h->entries; i++)
        order[i] = &h->entry[i];
    qsort(order, (size_t)h->entries, sizeof *order, by_begin);
    const uint64_t bytes = h->entries ? order[h->entries - 1]->end : 0;
    if (s->file && bytes > pf_slurp_most())
        err = pf_fail(PF_ENOMEM, "%s: document %d promises %" PRIu64 " bytes, more than half the "
                      "memory of this machine", s->name, s->documents, bytes);
    for (int i = 0; i < h->entries && !err; i++)        /* in name order: each goes to the end */
        err = pf_doc_take(doc, h->entry[i].name, &h->entry[i].t);
    for (int i = 0; i < h->entries && !err; i++)
        err = read_block(s, &doc->tensor[order[i] - h->entry].t.data,
                         order[i]->end - order[i]->begin, order[i]->name);
    free(order);
    return err;
}

static uint32_t
crc_of(const pf_tensor *t)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), t->data, pf_tensor_bytes(t));
}

static pf_err
check_crc(const pf_stream *s, const pf_doc *doc)
{
    const char *text = pf_doc_get_meta(doc, "pf.crc32"), *name;
    json_t *all = text ? json_loads(text, 0, NULL) : NULL, *value;
    pf_err err = PF_OK;

    if (!text)
        return PF_OK;
    if (!json_is_object(all))
        err = pf_fail(PF_EFORMAT, "%s: pf.crc32 is not a JSON object", s->name);
    else
        json_object_foreach(all, name, value) {
            const pf_tensor *t = pf_doc_get(doc, name);
            char is[9];
            if (err || !t)      /* a tensor that somebody took out is no damage */
                continue;
            snprintf(is, sizeof is, "%08" PRIx32, crc_of(t));
            if (!json_is_string(value) || strcmp(json_string_value(value), is) != 0)
                err = pf_fail(PF_EFORMAT, "%s: tensor %s of document %d is damaged (its CRC is %s)",
                              s->name, name, s->documents, is);
        }
    json_decref(all);
    return err;
}

/* pf.index and pf.count promise that the documents of one run follow each other. */
static pf_err
check_position(pf_stream *s, const pf_doc *doc)
{
    const char *index = pf_doc_get_meta(doc, "pf.index"), *count = pf_doc_get_meta(doc, "pf.count");
    int64_t i = 0, n = 0;

    if (index && count &&
        (!pf_parse_int(&i, index) || !pf_parse_int(&n, count) || i < 0 || i >= n || n > INT32_MAX))
        return pf_fail(PF_EFORMAT, "%s: document %d says that it is number %s of %s", s->name,
                       s->documents, index, count);
    if (s->count && (i != s->index || n != s->count))
        return missing(s, s->index, s->count);
    if (!s->count && i > 0)
        return missing(s, 0, (int)n);
    s->index = (int)i + 1;
    s->count = i + 1 < n ? (int)n : 0;
    return PF_OK;
}

/* What a later version may write, but this one cannot know.  Other programs' files say nothing. */
static pf_err
check_format(const pf_stream *s, const pf_doc *doc)
{
    const char *const format = pf_doc_get_meta(doc, "pf.format");
    return !format || !strcmp(format, "1") ? PF_OK :
           pf_fail(PF_EFORMAT, "%s: document %d has pf.format \"%.20s\"; this version of "
                   "posefusion knows \"1\" alone", s->name, s->documents, format);
}

pf_err
pf_stream_read(pf_stream *s, pf_doc *doc)
{
    struct pf_st_header h = {0};
    void *json = NULL;
    uint64_t length = 0;
    pf_err err;

    pf_doc_release(doc);
    if ((err = read_length(s, &length)))
        return err;
    if ((err = read_block(s, &json, length, "its header")))
        return err;
    if ((err = pf_st_parse(&h, json, (size_t)length))) {
        err = pf_fail_in(err, "%s: document %d", s->name, s->documents);
        goto out;
    }
    for (int i = 0; i < h.metas && !err; i++)
        err = pf_doc_set_meta(doc, h.meta[i].key, h.meta[i].value);
    if (err || (err = check_format(s, doc)) || (err = read_tensors(s, doc, &h)) ||
        (err = check_crc(s, doc)) ||
        (err = check_position(s, doc)))
        goto out;
    s->documents++;
out:
    if (err)
        pf_doc_release(doc);
    pf_st_release(&h);
    free(json);
    return err;
}

pf_err
pf_stream_more(pf_stream *s, bool *more)
{
    uint8_t byte;
    size_t got;

    PF_TRY(read_some(s, &byte, 1, &got));
    if (got)
        put_back(s, byte);
    *more = got;
    return PF_OK;
}

pf_err
pf_doc_read_file(pf_doc *doc, const char *path)
{
    pf_stream *s;
    bool more = false;

    pf_doc_release(doc);
    PF_TRY(pf_stream_open(&s, path));
    pf_err err = pf_stream_read(s, doc);
    if (!err && !(err = pf_stream_more(s, &more)) && more)
        err = pf_fail(PF_EFORMAT, "%s: holds more than one document: pf-stream cat --index N takes "
                      "one of them", s->name);
    if (err)
        pf_doc_release(doc);
    pf_stream_close(s);
    return err;
}

pf_err
pf_stream_blame(const char *path, pf_err err)
{
    return err == PF_OK || err == PF_EIO ? err : pf_fail_in(err, "%s", pf_file_title(path));
}

/* ---- writing ---- */

static pf_err
set_crc(pf_doc *doc)
{
    json_t *all = json_object();
    char *text, crc[9];
    bool bad = false;
    pf_err err;

    for (int i = 0; i < doc->tensors && !bad; i++) {
        snprintf(crc, sizeof crc, "%08" PRIx32, crc_of(&doc->tensor[i].t));
        bad = json_object_set_new(all, doc->tensor[i].name, json_string(crc));
    }
    text = bad ? NULL : pf_json_text(all, JSON_COMPACT);
    err = text ? pf_doc_set_meta(doc, "pf.crc32", text) : pf_fail(PF_ENOMEM, "no memory");
    json_decref(all);
    free(text);
    return err;
}

/* The document's header as pf_st_print wants it; the names stay the document's. */
static pf_err
print_header(char **bytes, size_t *size, const pf_doc *doc)
{
    struct pf_st_header h = {
        .entries = doc->tensors, .meta = doc->meta, .metas = doc->metas,
        .entry = calloc((size_t)doc->tensors + 1, sizeof *h.entry),
    };

    if (!h.entry)
        return pf_fail(PF_ENOMEM, "no memory");
    for (int i = 0; i < doc->tensors; i++)
        h.entry[i] = (struct pf_st_entry){.name = doc->tensor[i].name, .t = doc->tensor[i].t};
    const pf_err err = pf_st_print(bytes, size, &h);
    free(h.entry);
    return err;
}

pf_err
pf_doc_write(pf_doc *doc, FILE *to)
{
    char *header;
    size_t n;
    bool ok;

    PF_TRY(pf_doc_set_meta(doc, "pf.format", "1"));
    PF_TRY(set_crc(doc));
    PF_TRY(print_header(&header, &n, doc));
    ok = fwrite(header, 1, n, to) == n;
    free(header);
    for (int i = 0; ok && i < doc->tensors; i++) {
        const size_t bytes = pf_tensor_bytes(&doc->tensor[i].t);
        ok = bytes == 0 || fwrite(doc->tensor[i].t.data, 1, bytes, to) == bytes;
    }
    if (!ok || fflush(to))
        return pf_fail(PF_EIO, "cannot write the stream: %s", strerror(errno));
    return PF_OK;
}

pf_err
pf_doc_write_file(pf_doc *doc, const char *path)
{
    pf_output *out;
    pf_err err;

    PF_TRY(pf_output_open(&out, path));
    if (!(err = pf_doc_write(doc, pf_output_file(out))))
        return pf_output_close(out);
    pf_output_abandon(out);
    return err;
}
