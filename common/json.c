/* json.c - what jansson leaves to its callers. */
#include "common/json.h"

#include <stdlib.h>

#include "common/error.h"

static void *
take_or_die(size_t size)
{
    void *p = malloc(size);
    if (!p)
        pf_die("no memory for JSON");
    return p;
}

void
pf_json_or_die(void)
{
    json_set_alloc_funcs(take_or_die, free);
}

char *
pf_json_text(const json_t *value, size_t flags)
{
    const size_t n = value ? json_dumpb(value, NULL, 0, flags) : 0;
    char *text = n ? malloc(n + 1) : NULL;

    if (text && json_dumpb(value, text, n, flags) == n) {
        text[n] = 0;
        return text;
    }
    free(text);
    return NULL;
}
