/* safetensors.h - the JSON header of a safetensors document: parse with every check, and print.
 * Knows no file: pf-stream(5) documents and mapped checkpoints both use it.
 *
 *     struct pf_st_header h;
 *     PF_TRY(pf_st_parse(&h, json, size));            // the bytes after the u64 length
 *     for (int i = 0; i < h.entries; i++)
 *         ... h.entry[i].t at data + h.entry[i].begin ...
 *     pf_st_release(&h);
 */
#ifndef PF_SAFETENSORS_H
#define PF_SAFETENSORS_H
#include "common/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PF_ST_HEADER_MAX = 100000000,       /* bytes of JSON; more is refused */
    PF_ST_NAME_MAX = 1000,              /* bytes of a tensor's name */
    PF_ST_ALIGN = 64,                   /* data of documents that we write starts on this */
};

struct pf_st_entry {
    char *name;
    pf_tensor t;                        /* type and shape; data is NULL */
    char unknown[24];                   /* pf_st_parse_any: the name of a type that t cannot have */
    uint64_t begin, end;                /* bytes from the start of the data */
};
struct pf_st_meta {
    char *key, *value;
};
struct pf_st_header {                   /* owns all that it points to */
    struct pf_st_entry *entry;          /* in name order */
    int entries;
    struct pf_st_meta *meta;            /* in key order */
    int metas;
    uint64_t data_size;                 /* bytes of data that follow the header */
};

/* Parse size bytes of JSON.  h is overwritten, and empty after a failure.  PF_EFORMAT for bad
 * JSON, a key given twice, an unknown type, a shape that disagrees with its offsets, and data with
 * holes or overlaps. */
pf_err pf_st_parse(struct pf_st_header *h, const char *json, size_t size) PF_MUST_USE;
/* The same, but a tensor of an unknown type is an entry with that type's name and no shape. */
pf_err pf_st_parse_any(struct pf_st_header *h, const char *json, size_t size) PF_MUST_USE;
void pf_st_release(struct pf_st_header *h);

/* Lay out the entries one after the other in the order they are in, which sets begin, end and
 * data_size, and print all that goes before the data: u64 length and padded JSON, so that the data
 * starts on PF_ST_ALIGN.  *bytes is owned by the caller. */
pf_err pf_st_print(char **bytes, size_t *size, struct pf_st_header *h) PF_MUST_USE;

/* Whether these bytes may name a tensor: 1..PF_ST_NAME_MAX bytes of UTF-8, no control characters
 * (so no NUL, and nothing that upsets a terminal). */
bool pf_st_name_ok(const char *name, size_t length);
/* Whether a shape is one that can be computed with: also the product of its sizes without the
 * zeros fits, so that nobody who multiplies some of them can overflow. */
bool pf_st_shape_ok(pf_dtype dtype, int ndim, const int64_t *dim);

#ifdef __cplusplus
}
#endif
#endif
