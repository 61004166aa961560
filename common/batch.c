/* batch.c - the loop around a stream's documents (batch.h). */
#include "common/batch.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/batch_record.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/seen.h"
#include "common/stream.h"
#include "common/text.h"

struct pf_batch {
    int streams, at;            /* names of inputs; the next to be opened */
    char **names;
    const char *name;           /* of the open one */
    pf_stream *in;
    int document;               /* of the open stream, from 0 */
    char *object;               /* the last document's */
    void *seen;                 /* the objects so far */

    const char *single;         /* the file that one document becomes, or NULL */
    pf_output *out;             /* of a name without pattern */
    struct pf_place place;      /* of a pattern */
    pf_doc *held;               /* documents of the file place.path */
    int n, room;
    char *lost;                 /* the last object of which a document of kind failed came */

    char *failed;               /* the last object that failed here */
    int failures;

    struct pf_record record;
};

pf_err
pf_batch_open(pf_batch **out, const char *name)
{
    pf_batch *const b = *out = calloc(1, sizeof *b);
    if (!b)
        return pf_fail(PF_ENOMEM, "no memory");
    PF_TRY(pf_record_open(&b->record));
    if (pf_pattern(name)) {
        pf_pattern_check("--output", name);
        b->place = (struct pf_place){.option = "--output", .pattern = name, .shared = true};
        return PF_OK;
    }
    return name ? pf_output_open(&b->out, name) : PF_OK;
}

/* ---- input ---- */

static pf_err
open_next(pf_batch *b)
{
    static char standard[] = "-";
    pf_stream_close(b->in);
    b->in = NULL;
    if (b->at >= (b->streams ? b->streams : 1))
        return PF_END;
    b->name = b->streams ? b->names[b->at] : standard;
    b->at++;
    b->document = -1;
    return pf_stream_open(&b->in, b->name);
}

pf_err
pf_batch_input(pf_batch *b, int streams, char **names)
{
    b->streams = streams;
    b->names = names;
    return open_next(b);
}

/* Make *copy the object of the document; whether it was another, or nobody's. */
static bool
changes(char **copy, const pf_doc *doc)
{
    const char *const object = pf_doc_get_meta(doc, "pf.object");
    if (object && *copy && !strcmp(object, *copy))
        return false;
    free(*copy);
    *copy = object ? strdup(object) : NULL;
    return true;
}

static pf_err
check_order(pf_batch *b, const pf_doc *doc)
{
    bool before;
    if (!changes(&b->object, doc) || !b->object)
        return PF_OK;
    PF_TRY(pf_seen_add(&b->seen, b->object, &before));
    return before ? pf_fail(PF_EFORMAT, "%s: document %d is of the object %s as an earlier one, "
                            "with others between: documents of one object follow each other",
                            pf_file_title(b->name), b->document, b->object) : PF_OK;
}

/* The next document, and which one it is. */
static pf_err
read_next(pf_batch *b, pf_doc *doc)
{
    pf_err err = PF_END;
    /* What the document before took goes back to the system: pieces that the heap kept between
     * those of the next one would add up over thousands. */
    pf_doc_release(doc);
    malloc_trim(0);
    while (b->in && (err = pf_stream_read(b->in, doc)) == PF_END)
        if ((err = open_next(b)))
            break;
    if (err)
        return err;
    b->document++;
    return check_order(b, doc);
}

pf_err
pf_batch_next(pf_batch *b, pf_doc *doc)
{
    pf_record_wait(&b->record);
    const pf_err err = read_next(b, doc);
    pf_record_go(&b->record);
    return err;
}

void
pf_batch_name(pf_batch *b, const char *out)
{
    if (!pf_pattern(out))
        b->single = out;
}

/* The document by itself becomes the file b->single. */
static pf_err
check_single(pf_batch *b, const pf_doc *doc)
{
    int index, count;
    bool more = true;
    pf_doc_position(doc, &index, &count);
    if (count == 1)
        PF_TRY(pf_stream_more(b->in, &more));
    if (more)
        return pf_fail(PF_EFORMAT, "%s: holds more than one document: pf-stream cat --index N "
                       "takes one of them, and %%o in a name, as in '%%o-%s', makes one for each "
                       "object",
                       pf_file_title(b->name), b->single);
    const char *const why = pf_doc_get_meta(doc, "pf.error");
    return pf_doc_failed(doc) ? pf_fail(PF_EFORMAT, "%s: an earlier tool failed: %s",
                                        pf_file_title(b->name), why ? why : "it did not say why")
                              : PF_OK;
}

pf_err
pf_batch_read(pf_batch *b, pf_doc *doc)
{
    pf_err err;
    while (!(err = pf_batch_next(b, doc))) {
        if (b->single)
            return check_single(b, doc);
        if (!pf_doc_failed(doc))
            return PF_OK;
        PF_TRY(pf_batch_write(b, doc));
    }
    return err;
}

pf_err
pf_batch_blame(const pf_batch *b, pf_err err)
{
    if (err == PF_OK || err == PF_EIO)
        return err;
    if (b->document)
        return pf_fail_in(err, "%s: document %d", pf_file_title(b->name), b->document);
    return pf_fail_in(err, "%s", pf_file_title(b->name));
}

/* ---- output ---- */

static void
drop_held(pf_batch *b)
{
    for (int i = 0; i < b->n; i++)
        pf_doc_release(&b->held[i]);
    b->n = 0;
}

/* Write the file that the held documents make: a run of its own. */
static pf_err
write_held(pf_batch *b)
{
    pf_output *out;
    pf_err err = PF_OK;
    if (!b->n)
        return PF_OK;
    PF_TRY(pf_output_open(&out, b->place.path));
    for (int i = 0; i < b->n && !err; i++) {
        err = pf_doc_set_position(&b->held[i], i, b->n);
        if (!err)
            err = pf_doc_write(&b->held[i], pf_output_file(out));
    }
    drop_held(b);
    if (!err)
        return pf_output_close(out);
    pf_output_abandon(out);
    return err;
}

/* Take the document into the file of its name; doc is emptied. */
static pf_err
hold(pf_batch *b, pf_doc *doc)
{
    char path[PATH_MAX];
    if (b->n) {
        PF_TRY(pf_pattern_expand(path, b->place.pattern, doc));
        if (strcmp(path, b->place.path))
            PF_TRY(write_held(b));
    }
    PF_TRY(pf_place_next(&b->place, doc));
    if (b->n == b->room) {
        const int room = 2 * b->room + 4;
        pf_doc *const more = realloc(b->held, (size_t)room * sizeof *more);
        if (!more)
            return pf_fail(PF_ENOMEM, "no memory for %d documents", room);
        b->held = more;
        b->room = room;
    }
    b->held[b->n++] = *doc;
    *doc = (pf_doc){0};
    return PF_OK;
}

/* An object that failed leaves no file, in a folder of files each of which is an object's. */
static pf_err
write_by_name(pf_batch *b, pf_doc *doc)
{
    const char *const object = pf_doc_get_meta(doc, "pf.object");
    if (!pf_doc_failed(doc))
        return object && b->lost && !strcmp(object, b->lost) ? PF_OK : hold(b, doc);
    const char *const held = b->n ? pf_doc_get_meta(&b->held[0], "pf.object") : NULL;
    if (held && object && !strcmp(held, object))
        drop_held(b);
    changes(&b->lost, doc);
    return PF_OK;
}

void
pf_batch_note(pf_batch *b, const char *name, const char *json)
{
    pf_record_note(&b->record, name, json);
}

bool
pf_batch_noted(const pf_batch *b)
{
    return b->record.path != NULL;
}

pf_err
pf_batch_write(pf_batch *b, pf_doc *doc)
{
    const char *const object = pf_doc_get_meta(doc, "pf.object");
    PF_TRY(pf_record_put(&b->record, pf_doc_failed(doc) ? NULL : object));
    pf_err err = PF_OK;
    if (b->out)
        err = pf_doc_write(doc, pf_output_file(b->out));
    else if (b->place.pattern)
        err = write_by_name(b, doc);
    pf_record_go(&b->record);
    return err;
}

pf_err
pf_batch_fail(pf_batch *b, pf_doc *doc, pf_err err)
{
    char sentence[1100];
    if (!pf_common.keep_going || err == PF_EDEV)
        return err;
    snprintf(sentence, sizeof sentence, "%s: %s", pf_program(), pf_error());
    pf_warn("%s", pf_error());
    b->failures += changes(&b->failed, doc);
    while (doc->tensors)
        pf_doc_drop(doc, doc->tensor[doc->tensors - 1].name);
    PF_TRY(pf_doc_set_meta(doc, "pf.kind", "failed"));
    return pf_doc_set_meta(doc, "pf.error", sentence);
}

pf_err
pf_batch_put(pf_batch *b, pf_doc *doc, pf_err err)
{
    if (err)
        PF_TRY(pf_batch_fail(b, doc, err));
    return pf_batch_write(b, doc);
}

int
pf_batch_end(pf_batch *b)
{
    const int failures = b->failures;
    pf_must(write_held(b));
    if (b->out)
        pf_must(pf_output_close(b->out));
    pf_stream_close(b->in);
    pf_seen_free(&b->seen);
    pf_seen_free(&b->place.used);
    free(b->held);
    free(b->object);
    free(b->lost);
    free(b->failed);
    free(b);
    if (failures)
        pf_warn("%d object%s failed", failures, failures == 1 ? "" : "s");
    return failures ? 1 : 0;
}

/* ---- positions ---- */

void
pf_merge_add(struct pf_merge *m, const pf_doc *doc)
{
    pf_doc_position(doc, &m->last, &m->last_count);
    if (m->n++)
        return;
    m->first = m->last;
    m->count = m->last_count;
}

pf_err
pf_merge_put(struct pf_merge *m, pf_doc *doc)
{
    const int n = m->n;
    m->n = 0;
    /* Whole runs make one: streams of one document each, say, given one after the other. */
    if (m->last_count != m->count || m->last - m->first != n - 1) {
        if (m->first == 0 && m->last == m->last_count - 1)
            return pf_doc_set_position(doc, 0, 1);
    } else {
        m->size = m->first ? m->size : n;
        if (n == m->size && m->count % n == 0)
            return pf_doc_set_position(doc, m->first / n, m->count / n);
    }
    const char *const object = pf_doc_get_meta(doc, "pf.object");
    return pf_fail(PF_EFORMAT, "%s%s has %d documents, the first has %d, of %d in all: expected "
                   "the same number for each", object ? "object " : "the object",
                   object ? object : "", n, m->size, m->count);
}

pf_err
pf_spread_put(pf_doc *doc, int index, int count, int k, int each)
{
    if (count > INT_MAX / each)
        return pf_fail(PF_EARG, "%d documents for each of %d are too many", each, count);
    return pf_doc_set_position(doc, index * each + k, count * each);
}
