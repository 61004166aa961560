/* seen.c - a table of the hashes of names (seen.h). */
#include "common/seen.h"

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

/* A table with open addressing, whose room is a power of 2 and at least half free: 16 to 32 bytes a
 * name, and in one piece, so that they do not hold pages of the heap that documents leave. */
struct seen {
    size_t n, room;
    uint64_t hash[];            /* 0: free */
};

/* Where the hash is, or would be. */
static size_t
find(const struct seen *s, uint64_t hash)
{
    size_t at = hash & (s->room - 1);
    while (s->hash[at] && s->hash[at] != hash)
        at = (at + 1) & (s->room - 1);
    return at;
}

/* Make room for one more; NULL is an empty table. */
static struct seen *
grow(struct seen *old)
{
    const size_t room = old ? 2 * old->room : 64;
    struct seen *const s = calloc(1, sizeof *s + room * sizeof *s->hash);
    if (!s)
        return NULL;
    s->room = room;
    for (size_t i = 0; old && i < old->room; i++)
        if (old->hash[i])
            s->hash[find(s, old->hash[i])] = old->hash[i];
    s->n = old ? old->n : 0;
    free(old);
    return s;
}

pf_err
pf_seen_add(void **seen, const char *name, bool *before)
{
    const uint64_t hash = hash_of(name), key = hash ? hash : 1;
    struct seen *s = *seen;
    if (!s || 2 * s->n == s->room) {
        if (!(s = grow(s)))
            return pf_fail(PF_ENOMEM, "no memory for the names of objects");
        *seen = s;
    }
    const size_t at = find(s, key);
    *before = s->hash[at] != 0;
    s->n += !*before;
    s->hash[at] = key;
    return PF_OK;
}

void
pf_seen_free(void **seen)
{
    free(*seen);
    *seen = NULL;
}
