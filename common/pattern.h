/* pattern.h - names of outputs that differ from document to document.
 *
 *     pf_pattern_check("--output", "out/%o/mesh.glb");        // in main: wrong usage exits 2
 *     PF_TRY(pf_pattern_expand(path, pf_common.out, &doc));   // out/mug/mesh.glb; folders are made
 *
 * %o is the object (pf.object), %e the elevation of the views in degrees, %s the number of the
 * sample, %i the position in the stream (pf.index), %% a per cent sign.  A name without % stays as
 * it is, and no folder is made for it. */
#ifndef PF_PATTERN_H
#define PF_PATTERN_H
#include <limits.h>
#include <stdbool.h>

#include "common/doc.h"

bool pf_pattern(const char *name);              /* whether it holds a %; NULL does not */
/* Wrong usage of the option unless every % is one of the five; NULL is fine. */
void pf_pattern_check(const char *option, const char *name);
/* The name for this document; the folders in front of its last slash are made. */
pf_err pf_pattern_expand(char path[PATH_MAX], const char *pattern, const pf_doc *doc) PF_MUST_USE;

/* Whether an object may be called so: it must be the name of a file in a folder, and no option. */
pf_err pf_object_check(const char *name) PF_MUST_USE;
/* What the object of a photo is called: the photo's name without folder and ending. */
void pf_object_of(char name[NAME_MAX + 1], const char *path);

/* Where a tool writes document after document: "--png", its value, and the last document's path. */
struct pf_place {
    const char *option, *pattern;
    bool shared;                /* one path serves several documents, which are numbered */
    char path[PATH_MAX];
    int number;                 /* of documents before this one under this path */
    void *used;                 /* the paths so far (seen.h) */
};
/* Set path and number for this document.  A path that another document has, or of a shared one
 * that documents between had others, is refused: the later would replace the earlier. */
pf_err pf_place_next(struct pf_place *p, const pf_doc *doc) PF_MUST_USE;

#endif
