/* kind.h - what a file is, by how it begins, for the sentence about one that is not what was
 * expected: people have downloaded a page, not unpacked an archive, or named the wrong file.
 *
 *     const struct pf_kind *kind = pf_kind_of(bytes, size);
 *     return kind ? pf_kind_fail(kind, "a stream") : pf_fail(PF_EFORMAT, "is not a stream"); */
#ifndef PF_KIND_H
#define PF_KIND_H
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct pf_kind {
    const char *what;           /* "an HTML page" */
    const char *advice;         /* what to do about it, or NULL */
    const char *command;        /* makes photo.png of it, %s is the file's name; or NULL */
    bool json;
};

enum { PF_KIND_BYTES = 512 };   /* of the beginning are enough */

/* NULL if it is not known. */
const struct pf_kind *pf_kind_of(const void *bytes, size_t size);
/* "is an HTML page, not <expected>: the download gave a web page". */
pf_err pf_kind_fail(const struct pf_kind *kind, const char *expected) PF_MUST_USE;
/* "stdin is empty", and why that may be. */
pf_err pf_fail_empty(const char *name) PF_MUST_USE;

#endif
