/* seen.c - a tree of the hashes of names (seen.h). */
#include "common/seen.h"

#include <search.h>
#include <stddef.h>
#include <stdint.h>

/* FNV-1a of 64 bits. */
static uint64_t
hash_of(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

/* The hash is where a pointer to it would be: a node of the tree is all that a name takes. */
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a pointer holds a hash");

static int
compare(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return (x > y) - (x < y);
}

pf_err
pf_seen_add(void **seen, const char *name, bool *before)
{
    const void *const key = (const void *)(uintptr_t)hash_of(name);
    *before = tfind(key, seen, compare) != NULL;
    if (!*before && !tsearch(key, seen, compare))
        return pf_fail(PF_ENOMEM, "no memory for the names of objects");
    return PF_OK;
}

static void
keep(void *hash)
{
    (void)hash;
}

void
pf_seen_free(void **seen)
{
    tdestroy(*seen, keep);
    *seen = NULL;
}
