/* seen.c - a tree of the hashes of names (seen.h). */
#include "common/seen.h"

#include <search.h>
#include <stdint.h>
#include <stdlib.h>

/* FNV-1a of 64 bits. */
static uint64_t
hash_of(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

static int
compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

pf_err
pf_seen_add(void **seen, const char *name, bool *before)
{
    uint64_t *const hash = malloc(sizeof *hash);
    if (!hash)
        return pf_fail(PF_ENOMEM, "no memory for the names of objects");
    *hash = hash_of(name);
    uint64_t **const at = tsearch(hash, seen, compare);
    *before = at && *at != hash;
    if (!at || *before)
        free(hash);
    return at ? PF_OK : pf_fail(PF_ENOMEM, "no memory for the names of objects");
}

void
pf_seen_free(void **seen)
{
    tdestroy(*seen, free);
    *seen = NULL;
}
