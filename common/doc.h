/* doc.h - a document: named tensors and a few words of metadata.  Host memory only; how documents
 * are read and written is in stream.h.
 *
 *     pf_doc doc = {0};
 *     pf_must(pf_doc_put(&doc, "input.clip", &clip));
 *     pf_must(pf_doc_need(&doc, "input.image", PF_F32, 3, (int64_t[]){3, -1, -1}, &image));
 *     pf_must(pf_doc_add_history(&doc));
 *     pf_doc_release(&doc); */
#ifndef PF_DOC_H
#define PF_DOC_H
#include <stdbool.h>

#include "common/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_doc_tensor {
    char *name;                 /* owned by the document */
    pf_tensor t;                /* data owned by the document */
};
typedef struct pf_doc {         /* zero to initialise; read and write through the functions */
    struct pf_doc_tensor *tensor;       /* in name order */
    int tensors;
    struct pf_st_meta *meta;            /* in key order, owned */
    int metas;
} pf_doc;

void pf_doc_release(pf_doc *doc);                               /* back to the empty document */
pf_err pf_doc_copy(pf_doc *copy, const pf_doc *doc) PF_MUST_USE;   /* into an empty one */
/* The tensor of that name, or NULL; borrowed until it is replaced or the document released. */
const pf_tensor *pf_doc_get(const pf_doc *doc, const char *name);
/* As get, but it must be there with this type and shape (-1: any size).  The error names the
 * tensor, what it is, and the tool that makes it.  *t borrows the document's data. */
pf_err pf_doc_need(const pf_doc *doc, const char *name, pf_dtype dtype, int ndim,
                   const int64_t *dim, pf_tensor *t) PF_MUST_USE;
pf_err pf_doc_put(pf_doc *doc, const char *name, const pf_tensor *t) PF_MUST_USE;   /* copies */
/* As put, but the document takes t's data, allocated as by pf_tensor_new; on failure it stays the
 * caller's. */
pf_err pf_doc_take(pf_doc *doc, const char *name, const pf_tensor *t) PF_MUST_USE;
void pf_doc_drop(pf_doc *doc, const char *name);                /* no-op if absent */
const char *pf_doc_get_meta(const pf_doc *doc, const char *key);        /* NULL if absent */
pf_err pf_doc_set_meta(pf_doc *doc, const char *key, const char *value) PF_MUST_USE;
/* Append this program's name, version, options and seed (from opt.h) to pf.history. */
pf_err pf_doc_add_history(pf_doc *doc) PF_MUST_USE;
/* Whether it stands for an object that failed: pf.kind is failed, and pf.error says why. */
bool pf_doc_failed(const pf_doc *doc);
/* pf.index and pf.count; a document that has none is the only one of its run, 0 of 1. */
void pf_doc_position(const pf_doc *doc, int *index, int *count);
/* pf.index and pf.count: where this document stands in its stream. */
pf_err pf_doc_set_position(pf_doc *doc, int index, int count) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
