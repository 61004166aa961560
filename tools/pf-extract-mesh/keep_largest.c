#include "tools/pf-extract-mesh/keep_largest.h"

#include <stdlib.h>
#include <string.h>

/* Root of i's component; halves the path on the way. */
static uint32_t
find(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void
join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = find(parent, a);
    b = find(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

/* Root of the component with the most faces; size [vertices] is zeroed scratch. */
static uint32_t
largest(const struct pf_mesh *mesh, uint32_t *parent, uint32_t *size)
{
    uint32_t best = 0;
    for (int64_t f = 0; f < mesh->faces; f++)
        size[find(parent, mesh->face[3 * f])]++;
    for (int64_t v = 0; v < mesh->vertices; v++)
        if (size[v] > size[best])
            best = (uint32_t)v;
    return best;
}

/* Move what belongs to root to the front, in order; index [vertices] receives the new numbers. */
static void
compact(struct pf_mesh *mesh, uint32_t *parent, uint32_t root, uint32_t *index)
{
    int64_t vertices = 0, faces = 0;
    for (int64_t v = 0; v < mesh->vertices; v++)
        if (find(parent, (uint32_t)v) == root) {
            memmove(mesh->vertex + 3 * vertices, mesh->vertex + 3 * v, 3 * sizeof *mesh->vertex);
            if (mesh->color)
                memmove(mesh->color + 3 * vertices, mesh->color + 3 * v, 3);
            if (mesh->normal)
                memmove(mesh->normal + 3 * vertices, mesh->normal + 3 * v,
                        3 * sizeof *mesh->normal);
            index[v] = (uint32_t)vertices++;
        }
    for (int64_t f = 0; f < mesh->faces; f++)
        if (find(parent, mesh->face[3 * f]) == root) {
            for (int k = 0; k < 3; k++)
                mesh->face[3 * faces + k] = index[mesh->face[3 * f + k]];
            faces++;
        }
    mesh->vertices = vertices;
    mesh->faces = faces;
}

pf_err
pf_mesh_keep_largest(struct pf_mesh *mesh)
{
    const size_t n = (size_t)mesh->vertices;
    uint32_t *parent = malloc((n + 1) * sizeof *parent), *scratch = calloc(n + 1, sizeof *scratch);
    pf_err err = PF_OK;
    if (!parent || !scratch) {
        err = pf_fail(PF_ENOMEM, "no memory to find the components of %zu vertices", n);
        goto out;
    }
    for (size_t v = 0; v < n; v++)
        parent[v] = (uint32_t)v;
    for (int64_t f = 0; f < mesh->faces; f++) {
        join(parent, mesh->face[3 * f], mesh->face[3 * f + 1]);
        join(parent, mesh->face[3 * f], mesh->face[3 * f + 2]);
    }
    if (n)
        compact(mesh, parent, largest(mesh, parent, scratch), scratch);
out:
    free(parent);
    free(scratch);
    return err;
}
