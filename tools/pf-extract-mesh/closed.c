#include "tools/pf-extract-mesh/closed.h"

#include <stdlib.h>

/* The edges of all faces in their directions: those from vertex v lead to `to` from first[v] on,
 * up to first[v + 1]. */
struct edges {
    uint32_t *first;            /* [vertices + 1] */
    uint32_t *to;               /* [3 * faces] */
};

/* Corner i of the faces, and the next one of the same face. */
static void
edge_of(uint32_t *from, uint32_t *to, const struct pf_mesh *mesh, int64_t i)
{
    *from = mesh->face[i];
    *to = mesh->face[i % 3 == 2 ? i - 2 : i + 1];
}

static void
sort_edges(struct edges *e, const struct pf_mesh *mesh)
{
    uint32_t from, to;
    for (int64_t i = 0; i < 3 * mesh->faces; i++)
        e->first[mesh->face[i]]++;
    for (int64_t v = 1; v <= mesh->vertices; v++)
        e->first[v] += e->first[v - 1];         // where those of v end, for now
    for (int64_t i = 0; i < 3 * mesh->faces; i++) {
        edge_of(&from, &to, mesh, i);
        e->to[--e->first[from]] = to;
    }
}

static int
count(const struct edges *e, uint32_t from, uint32_t to)
{
    int n = 0;
    for (uint32_t i = e->first[from]; i < e->first[from + 1]; i++)
        n += e->to[i] == to;
    return n;
}

pf_err
pf_mesh_is_closed(bool *closed, const struct pf_mesh *mesh)
{
    struct edges e = {.first = calloc((size_t)mesh->vertices + 2, sizeof *e.first),
                      .to = malloc((size_t)(3 * mesh->faces + 1) * sizeof *e.to)};
    uint32_t from, to;
    pf_err err = PF_OK;
    if (!e.first || !e.to) {
        err = pf_fail(PF_ENOMEM, "no memory for the edges of %lld faces", (long long)mesh->faces);
    } else {
        sort_edges(&e, mesh);
        *closed = mesh->faces > 0;
        for (int64_t i = 0; i < 3 * mesh->faces && *closed; i++) {
            edge_of(&from, &to, mesh, i);
            *closed = count(&e, from, to) == 1 && count(&e, to, from) == 1;
        }
    }
    free(e.first);
    free(e.to);
    return err;
}
