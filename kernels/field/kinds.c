/* kinds.c - the kinds of field there are (net.h).  A new one has its files in a folder beside hash/
 * and mlp/, which define pf_NAME_ops, and its name here. */
#include <stdio.h>
#include <string.h>

#include "kernels/field/net.h"

#define KINDS(KIND) KIND(hash) KIND(mlp)

#define DECLARE(name) extern const struct pf_net_ops pf_##name##_ops;
#define ROW(name) &pf_##name##_ops,
KINDS(DECLARE)
static const struct pf_net_ops *const kinds[] = {KINDS(ROW) NULL};

const struct pf_net_ops *
pf_net_kind(const char *name)
{
    for (int i = 0; name && kinds[i]; i++)
        if (!strcmp(kinds[i]->kind, name))
            return kinds[i];
    return NULL;
}

const char *
pf_net_kind_names(char *text, size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; kinds[i] && at < size; i++) {
        const char *join = i == 0 ? "" : kinds[i + 1] ? ", " : " or ";
        at += (size_t)snprintf(text + at, size - at, "%s\"%s\"", join, kinds[i]->kind);
    }
    return text;
}
