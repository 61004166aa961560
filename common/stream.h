/* stream.h - documents of named tensors on files and pipes, pf-stream(5).  Host memory only.
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
 * A document is one safetensors file.  It is held in memory whole: a document is what one stage
 * hands to the next (views, a field), tens of megabytes at most.  Checkpoints are not read this
 * way but mapped (checkpoint.h). */
#ifndef PF_STREAM_H
#define PF_STREAM_H
#include <stdio.h>

#include "common/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_doc_tensor {
    char *name;                 /* owned by the document */
    pf_tensor t;                /* data owned by the document */
};
struct pf_doc_meta {
    char *key, *value;          /* owned by the document */
};
typedef struct pf_doc {         /* zero to initialise; read and write through the functions */
    struct pf_doc_tensor *tensor;       /* in name order */
    int tensors;
    struct pf_doc_meta *meta;           /* in key order */
    int metas;
} pf_doc;

void pf_doc_release(pf_doc *doc);                               /* back to the empty document */
/* The tensor of that name, or NULL; borrowed until it is replaced or the document released. */
const pf_tensor *pf_doc_get(const pf_doc *doc, const char *name);
/* As get, but it must be there with this type and shape (-1: any size).  The error names the
 * tensor, what it is, and the tool that makes it.  *t borrows the document's data. */
pf_err pf_doc_need(const pf_doc *doc, const char *name, pf_dtype dtype, int ndim,
                   const int64_t *dim, pf_tensor *t) PF_MUST_USE;
pf_err pf_doc_put(pf_doc *doc, const char *name, const pf_tensor *t) PF_MUST_USE;   /* copies */
void pf_doc_drop(pf_doc *doc, const char *name);                /* no-op if absent */
const char *pf_doc_get_meta(const pf_doc *doc, const char *key);        /* NULL if absent */
pf_err pf_doc_set_meta(pf_doc *doc, const char *key, const char *value) PF_MUST_USE;
/* Append this program's name, version, options and seed (from opt.h) to pf.history. */
pf_err pf_doc_add_history(pf_doc *doc) PF_MUST_USE;
/* pf.index and pf.count: where this document stands in its stream. */
pf_err pf_doc_set_position(pf_doc *doc, int index, int count) PF_MUST_USE;

typedef struct pf_stream pf_stream;             /* opaque, owned by whoever opened it */
/* Open path, or stdin for "-" or NULL.  Fails with PF_EIO. */
pf_err pf_stream_open(pf_stream **s, const char *path) PF_MUST_USE;
/* Read around memory (fuzzers, tests); bytes are borrowed until close. */
pf_err pf_stream_open_memory(pf_stream **s, const void *bytes, size_t size) PF_MUST_USE;
/* Replace doc by the next document.  PF_END after the last; PF_EFORMAT names what is wrong with a
 * truncated, malformed or corrupt one, and a stream whose pf.count promised more documents, or
 * that holds none at all. */
pf_err pf_stream_read(pf_stream *s, pf_doc *doc) PF_MUST_USE;
void pf_stream_close(pf_stream *s);                             /* NULL is fine */

/* Write one document: pf.format and pf.crc32 are set, tensors in name order, data on a 64-byte
 * boundary.  Flushes.  PF_EIO names the reason (full disk, closed pipe). */
pf_err pf_doc_write(pf_doc *doc, FILE *to) PF_MUST_USE;

/* An output file that exists only when it is complete: written under a temporary name beside
 * path, fsynced and renamed by close; removed by abandon, by exit and by SIGINT/SIGTERM/SIGHUP.
 * "-" is stdout, refused if that is a terminal; other non-regular files (/dev/full, a fifo) are
 * written in place. */
typedef struct pf_output pf_output;
pf_err pf_output_open(pf_output **o, const char *path) PF_MUST_USE;
FILE *pf_output_file(pf_output *o);
/* For libraries that open by name (libavformat, libpng by path): the name to write to. */
const char *pf_output_path(pf_output *o);
pf_err pf_output_close(pf_output *o) PF_MUST_USE;               /* frees o, also on failure */
void pf_output_abandon(pf_output *o);                           /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
