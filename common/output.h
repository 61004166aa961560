/* output.h - files that exist only when they are complete.
 *
 *     pf_must(pf_output_open(&out, pf_common.out));
 *     fputs("...", pf_output_file(out));
 *     pf_must(pf_output_close(out)); */
#ifndef PF_OUTPUT_H
#define PF_OUTPUT_H
#include <stdbool.h>
#include <stdio.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An output file that exists only when it is complete: written under a temporary name beside
 * path, PATH.PID-N.tmp, fsynced and renamed, and its folder fsynced, by close; removed by abandon,
 * by exit and by the signals that end a program from outside.  What a SIGKILL leaves is removed by
 * the next open of path.  "-" is stdout, refused if that is a terminal; other non-regular files
 * (/dev/full, a fifo) are written in place.  Several threads may have outputs of their own. */
typedef struct pf_output pf_output;
pf_err pf_output_open(pf_output **o, const char *path) PF_MUST_USE;
/* For pf_start: let the signals that end a program remove what is not complete; a mapped file that
 * becomes shorter while it is read, and a library that aborts, end it with a sentence and status
 * 1. */
void pf_output_watch(void);
/* From now on a crash is this library's, which does not always look whether there is memory, and
 * ends as above; NULL: ours again.  Returns what was said before. */
const char *pf_output_blame(const char *library);
/* Fail now as pf_output_open(path) would fail later, when the work is done. */
pf_err pf_output_try(const char *path) PF_MUST_USE;
/* Whether both names are of one file, which the later of two outputs would replace, however they
 * are written; a device or FIFO is none. */
bool pf_output_same(const char *a, const char *b);
/* Make the folder unless it is there, and try whether files can be written in it. */
pf_err pf_output_folder(const char *path) PF_MUST_USE;
FILE *pf_output_file(pf_output *o);
/* For libraries that open by name (libavformat, libpng by path): the name to write to. */
const char *pf_output_path(pf_output *o);
/* Write out what a FILE still holds.  The error names it and says why, also where the write that
 * failed was an earlier one. */
pf_err pf_output_flush(FILE *file, const char *name) PF_MUST_USE;
pf_err pf_output_close(pf_output *o) PF_MUST_USE;               /* frees o, also on failure */
void pf_output_abandon(pf_output *o);                           /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
