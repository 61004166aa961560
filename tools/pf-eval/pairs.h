/* pairs.h - a list of what is compared: lines "TRUE<tab>MADE" or "TRUE<tab>MADE<tab>NAME"; empty
 * lines and those that begin with # are none.
 *
 *     PF_TRY(pairs_read(&list, "pairs.tsv"));
 *     ... list.pair[i].truth ...
 *     pairs_release(&list); */
#ifndef PF_PAIRS_H
#define PF_PAIRS_H
#include "common/error.h"

struct pair {
    const char *truth, *made;   /* names of files */
    const char *name;           /* in the table; NULL: that of what was made */
};
struct pairs {
    struct pair *pair;          /* owned, as all that they point to */
    int pairs, room;
    char **line;                /* owned */
};
/* "-" is stdin.  PF_EFORMAT names the line. */
pf_err pairs_read(struct pairs *list, const char *path) PF_MUST_USE;
void pairs_release(struct pairs *list);

#endif
