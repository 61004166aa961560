/* kinds.c - the kinds of field there are (net.h), by the names of neus_config.h. */
#include <stdio.h>
#include <string.h>

#include "kernels/field/net.h"

#define DECLARE(name) extern const struct pf_net_ops pf_##name##_ops;
#define ROW(name) &pf_##name##_ops,
PF_FIELDS(DECLARE)
static const struct pf_net_ops *const kinds[] = {PF_FIELDS(ROW) NULL};

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
