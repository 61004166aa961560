/* names.h - what the cut-outs of several photos are called: a pattern, cut/%o.png. */
#ifndef PF_NAMES_H
#define PF_NAMES_H
#include "common/error.h"

enum { NAME_SIZE = 4096 };

/* The pattern with %o replaced by the photo's name without folder and ending, %i by its number and
 * %% by %.  Wrong usage if it holds another %. */
pf_err name_of(char name[NAME_SIZE], const char *pattern, const char *photo, int number)
    PF_MUST_USE;
/* Make the folders of a name that came from a pattern, unless they are there; made says how many
 * were. */
pf_err make_folders_of(const char *name, int *made) PF_MUST_USE;
/* Take that many of them away again, the innermost first, if nothing is in them. */
void remove_folders_of(const char *name, int made);
/* Wrong usage unless n photos get n names. */
void need_names(const char *pattern, char *const *photos, int n);

#endif
