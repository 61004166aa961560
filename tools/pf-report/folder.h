/* folder.h - what an object's folder holds, read once: its files, and what its documents say.
 *
 *     struct folder f;
 *     pf_must(folder_read(&f, "out/demo"));
 *     ... f.history, folder_has(&f, "mesh.ply") ...
 *     folder_release(&f); */
#ifndef PF_REPORT_FOLDER_H
#define PF_REPORT_FOLDER_H
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/error.h"

struct folder_file {
    char *name;
    int64_t size;
    struct timespec changed;
};
struct folder {
    char *path, *name;          /* name: the object's, or the folder's own */
    struct folder_file *file;   /* regular files by name, without hidden ones and earlier reports */
    int files;
    char **preview;             /* names of folders in it that begin with "preview", in order */
    int previews;
    char *history;              /* the longest pf.history of its documents, or NULL */
    char *views;                /* the stream with views that has the longest history, or NULL */
    char *error;                /* pf.error of a document of kind failed, or NULL */
    char *damage;               /* what was wrong with the first file that cannot be read */
};

/* Fails if the folder cannot be listed, or there is no memory. */
pf_err folder_read(struct folder *f, const char *path) PF_MUST_USE;
void folder_release(struct folder *f);
bool folder_has(const struct folder *f, const char *name);
/* The last part of a path, and the path of a file in a folder; the caller frees.  Both end the
 * program if there is no memory. */
char *folder_name(const char *path);
char *folder_join(const char *folder, const char *name);

#endif
