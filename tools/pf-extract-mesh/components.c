#include "tools/pf-extract-mesh/components.h"

#include <stdbool.h>
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

/* The root is the component's first vertex. */
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

struct component {
    uint32_t root;
    int64_t faces;
};

static int
by_faces(const void *a, const void *b)
{
    const struct component *x = a, *y = b;
    return x->faces != y->faces ? (x->faces < y->faces) - (x->faces > y->faces)
                                : (x->root > y->root) - (x->root < y->root);
}

/* The components in falling order of their faces, [*n], owned by the caller; parent [vertices]
 * receives the root of each vertex. */
static pf_err
list(struct component **all, int64_t *n, uint32_t *parent, const struct pf_mesh *mesh)
{
    const int64_t V = mesh->vertices;
    uint32_t *const at = malloc((size_t)(V + 1) * sizeof *at);
    struct component *c = NULL;
    int64_t count = 0;
    for (int64_t v = 0; v < V; v++)
        parent[v] = (uint32_t)v;
    for (int64_t f = 0; f < mesh->faces; f++) {
        join(parent, mesh->face[3 * f], mesh->face[3 * f + 1]);
        join(parent, mesh->face[3 * f], mesh->face[3 * f + 2]);
    }
    for (int64_t v = 0; v < V; v++)
        count += find(parent, (uint32_t)v) == (uint32_t)v;
    c = calloc((size_t)count + 1, sizeof *c);
    if (!at || !c) {
        free(at);
        free(c);
        return pf_fail(PF_ENOMEM, "no memory to find the components of %lld vertices",
                       (long long)V);
    }
    count = 0;
    for (int64_t v = 0; v < V; v++)
        if (parent[v] == (uint32_t)v) {
            at[v] = (uint32_t)count;
            c[count++].root = (uint32_t)v;
        }
    for (int64_t f = 0; f < mesh->faces; f++)
        c[at[find(parent, mesh->face[3 * f])]].faces++;
    free(at);
    qsort(c, (size_t)count, sizeof *c, by_faces);
    while (count > 0 && c[count - 1].faces == 0)        // a vertex alone is no component
        count--;
    *all = c;
    *n = count;
    return PF_OK;
}

/* Move what belongs to kept roots to the front, in order; index [vertices] receives the new
 * numbers. */
static void
compact(struct pf_mesh *mesh, uint32_t *parent, const bool *kept, uint32_t *index)
{
    int64_t vertices = 0, faces = 0;
    for (int64_t v = 0; v < mesh->vertices; v++)
        if (kept[find(parent, (uint32_t)v)]) {
            memmove(mesh->vertex + 3 * vertices, mesh->vertex + 3 * v, 3 * sizeof *mesh->vertex);
            if (mesh->color)
                memmove(mesh->color + 3 * vertices, mesh->color + 3 * v, 3);
            if (mesh->normal)
                memmove(mesh->normal + 3 * vertices, mesh->normal + 3 * v,
                        3 * sizeof *mesh->normal);
            index[v] = (uint32_t)vertices++;
        }
    for (int64_t f = 0; f < mesh->faces; f++)
        if (kept[find(parent, mesh->face[3 * f])]) {
            for (int k = 0; k < 3; k++)
                mesh->face[3 * faces + k] = index[mesh->face[3 * f + k]];
            faces++;
        }
    mesh->vertices = vertices;
    mesh->faces = faces;
}

pf_err
pf_mesh_keep_components(struct pf_mesh *mesh, int most, double share)
{
    const size_t V = (size_t)mesh->vertices;
    uint32_t *parent = malloc((V + 1) * sizeof *parent), *index = malloc((V + 1) * sizeof *index);
    bool *kept = calloc(V + 1, sizeof *kept);
    struct component *all = NULL;
    int64_t n;
    pf_err err = PF_OK;
    if (!parent || !index || !kept)
        err = pf_fail(PF_ENOMEM, "no memory to find the components of %zu vertices", V);
    if (!err)
        err = list(&all, &n, parent, mesh);
    if (!err) {
        for (int64_t i = 0; i < n && (most == 0 || i < most); i++)
            kept[all[i].root] = (double)all[i].faces >= share * (double)all[0].faces;
        compact(mesh, parent, kept, index);
    }
    free(all);
    free(parent);
    free(index);
    free(kept);
    return err;
}

pf_err
pf_mesh_count_components(int64_t *n, const struct pf_mesh *mesh)
{
    uint32_t *const parent = malloc((size_t)(mesh->vertices + 1) * sizeof *parent);
    struct component *all = NULL;
    if (!parent)
        return pf_fail(PF_ENOMEM, "no memory to find the components of %lld vertices",
                       (long long)mesh->vertices);
    const pf_err err = list(&all, n, parent, mesh);
    free(all);
    free(parent);
    return err;
}
