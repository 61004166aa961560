/* stream.h - read and write documents (doc.h) on files and pipes, pf-stream(5).
 *
 *     pf_doc doc = {0};
 *     pf_tensor image;
 *     pf_must(pf_stream_open(&in, "-"));
 *     pf_must(pf_output_open(&out, pf_common.out));
 *     while ((err = pf_stream_read(in, &doc)) == PF_OK) {
 *         pf_must(pf_doc_need(&doc, "input.image", PF_F32, 3, (int64_t[]){3, -1, -1}, &image));
 *         ...
 *         pf_must(pf_doc_put(&doc, "input.clip", &clip));
 *         pf_must(pf_doc_add_history(&doc));
 *         pf_must(pf_doc_write(&doc, pf_output_file(out)));
 *     }
 *     pf_must(err == PF_END ? PF_OK : err);
 *     pf_must(pf_output_close(out));
 *
 * A document in a stream is one safetensors file.  It is held in memory whole: a document is what
 * one stage hands to the next (views, a field), tens of megabytes at most.  Checkpoints are not
 * read this way but mapped (checkpoint.h). */
#ifndef PF_STREAM_H
#define PF_STREAM_H
#include <stdio.h>

#include "common/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_stream pf_stream;             /* opaque, owned by whoever opened it */
/* Open path, or stdin for "-" or NULL.  Fails with PF_EIO. */
pf_err pf_stream_open(pf_stream **s, const char *path) PF_MUST_USE;
/* Read around memory (fuzzers, tests); bytes are borrowed until close. */
pf_err pf_stream_open_memory(pf_stream **s, const void *bytes, size_t size) PF_MUST_USE;
/* Replace doc by the next document.  PF_END after the last; PF_EFORMAT names what is wrong with a
 * truncated, malformed or corrupt one, and a stream whose pf.count promised more documents, or
 * that holds none at all. */
pf_err pf_stream_read(pf_stream *s, pf_doc *doc) PF_MUST_USE;
/* Whether bytes follow the documents that were read; a pipe is waited for. */
pf_err pf_stream_more(pf_stream *s, bool *more) PF_MUST_USE;
void pf_stream_close(pf_stream *s);                             /* NULL is fine */

/* Replace doc by the one document of the file at path, or of stdin for "-"; by an empty one on
 * failure, as where there are several. */
pf_err pf_doc_read_file(pf_doc *doc, const char *path) PF_MUST_USE;
/* A file of this one document, by pf_output (output.h): it appears complete or not at all. */
pf_err pf_doc_write_file(pf_doc *doc, const char *path) PF_MUST_USE;

/* What was wrong with a document of path, with the file's name in front; PF_OK stays, and PF_EIO
 * has named the file that it is about. */
pf_err pf_stream_blame(const char *path, pf_err err) PF_MUST_USE;
/* Write one document: pf.format and pf.crc32 are set, tensors in name order, data on a 64-byte
 * boundary.  Flushes.  PF_EIO names the reason (a full disk). */
pf_err pf_doc_write(pf_doc *doc, FILE *to) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
