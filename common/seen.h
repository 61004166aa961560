/* seen.h - which names came before: a few bytes are kept of each, so that a stream of any length
 * can be checked.
 *
 *     void *seen = NULL;
 *     PF_TRY(pf_seen_add(&seen, name, &before)); */
#ifndef PF_SEEN_H
#define PF_SEEN_H
#include <stdbool.h>

#include "common/error.h"

/* Add a name; before says whether it was there.  (Two names of one hash, 64 bits, would be taken
 * for one: among a million objects that happens once in 40 million runs.) */
pf_err pf_seen_add(void **seen, const char *name, bool *before) PF_MUST_USE;
void pf_seen_free(void **seen);

#endif
