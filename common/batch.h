/* batch.h - what every tool does with a stream: a document comes, is worked on and goes on, and
 * nothing of it is kept (pf-stream(5), Objects).
 *
 *     pf_must(pf_batch_open(&b, pf_common.out));
 *     pf_must(pf_batch_input(b, argc, argv));
 *     while ((err = pf_batch_read(b, &doc)) == PF_OK)
 *         pf_must(pf_batch_put(b, &doc, work(&doc)));
 *     pf_must(err == PF_END ? PF_OK : err);
 *     return pf_batch_end(b);
 *
 * Where -o holds a pattern (pattern.h), documents of one name become one file.  With -k an object
 * whose work fails goes on as a document of kind failed; the status is then 1. */
#ifndef PF_BATCH_H
#define PF_BATCH_H
#include <stdbool.h>

#include "common/doc.h"

typedef struct pf_batch pf_batch;               /* opaque */

/* Documents are written to this name or pattern; NULL: none are written. */
pf_err pf_batch_open(pf_batch **b, const char *out) PF_MUST_USE;
/* Read the streams of these names one after the other, or standard input if there is none. */
pf_err pf_batch_input(pf_batch *b, int streams, char **names) PF_MUST_USE;
/* Replace doc by the next document, PF_END after the last; documents of one object that do not
 * follow each other are refused. */
pf_err pf_batch_next(pf_batch *b, pf_doc *doc) PF_MUST_USE;
/* The same, but documents of kind failed go on to the output without a word. */
pf_err pf_batch_read(pf_batch *b, pf_doc *doc) PF_MUST_USE;
/* For a tool that writes files of another kind, by this name: unless it is a pattern, read refuses
 * a stream of several documents, and one that failed. */
void pf_batch_name(pf_batch *b, const char *out);
/* Put the name of the stream, and which document of it is not the first, before the sentence. */
pf_err pf_batch_blame(const pf_batch *b, pf_err err) PF_MUST_USE;

/* One more member, a text of JSON, of the line that PF_STAGES gets of the next document that is
 * written (batch_record.h). */
void pf_batch_note(pf_batch *b, const char *name, const char *json);
bool pf_batch_noted(const pf_batch *b);         /* whether there are such lines */
/* Write the document.  A pattern's are held until the name changes: their number is in each. */
pf_err pf_batch_write(pf_batch *b, pf_doc *doc) PF_MUST_USE;
/* Work on the document's object failed: with -k say so, make doc one of kind failed, and return
 * PF_OK.  A device that failed stays an error: it would fail for all objects. */
pf_err pf_batch_fail(pf_batch *b, pf_doc *doc, pf_err err) PF_MUST_USE;
/* Write the document or, where err is none of PF_OK, what pf_batch_fail makes of it. */
pf_err pf_batch_put(pf_batch *b, pf_doc *doc, pf_err err) PF_MUST_USE;
/* Close the output and free b; the status that the program ends with.  For tools: exits on an
 * error. */
int pf_batch_end(pf_batch *b);

/* Where several documents become one: their positions become its. */
struct pf_merge {
    int n;                      /* documents taken since the last merge_put */
    int first, last;            /* pf.index of the first and last of them */
    int count, last_count;      /* pf.count of both */
    int size;                   /* documents that make one, in this run */
};
void pf_merge_add(struct pf_merge *m, const pf_doc *doc);
/* Set doc's position and begin anew.  PF_EFORMAT where the run's others were made of more or
 * fewer. */
pf_err pf_merge_put(struct pf_merge *m, pf_doc *doc) PF_MUST_USE;
/* Where one document becomes `each`: set the position of number k of them; index and count are
 * those that came in. */
pf_err pf_spread_put(pf_doc *doc, int index, int count, int k, int each) PF_MUST_USE;

#endif
