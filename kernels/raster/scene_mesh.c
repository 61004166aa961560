/* scene_mesh.c - a scene as a mesh of coloured vertices. */
#include <stdlib.h>
#include <string.h>

#include "kernels/raster/raster_priv.h"

/* The colour of the surface at each vertex, as sRGB.  A vertex that two materials share has one. */
static void
color_vertices(uint8_t *to, const pf_scene *s)
{
    struct pf_raster r = {
        .uv = s->uv, .color = s->color, .index = s->index, .material_of = s->material_of,
        .material = s->material, .texture = s->texture, .texel = s->texel, .srgb = &r.own_srgb};
    pf_srgb_fill(&r.own_srgb);
    memset(to, 0, 3 * (size_t)s->vertices);
    for (int64_t i = 0; i < 3 * s->triangles; i++) {
        float rgba[4], weight[3] = {0};
        weight[i % 3] = 1;
        pf_raster_color(rgba, &r, i / 3, weight);
        for (int k = 0; k < 3; k++)
            to[3 * (int64_t)s->index[i] + k] = (uint8_t)pf_srgb_byte(r.srgb, rgba[k]);
    }
}

/* Drop vertices that no triangle has: those of glass, and of what primitives share in a file. */
static pf_err
keep_used(struct pf_mesh *m)
{
    uint32_t *const number = calloc((size_t)m->vertices + 1, sizeof *number);
    int64_t kept = 0;
    if (!number)
        return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)m->vertices);
    for (int64_t i = 0; i < 3 * m->faces; i++)
        number[m->face[i]] = 1;
    for (int64_t v = 0; v < m->vertices; v++) {
        if (!number[v])
            continue;
        memmove(m->vertex + 3 * kept, m->vertex + 3 * v, 3 * sizeof *m->vertex);
        memmove(m->normal + 3 * kept, m->normal + 3 * v, 3 * sizeof *m->normal);
        memmove(m->color + 3 * kept, m->color + 3 * v, 3);
        number[v] = (uint32_t)kept++;
    }
    for (int64_t i = 0; i < 3 * m->faces; i++)
        m->face[i] = number[m->face[i]];
    m->vertices = kept;
    free(number);
    return PF_OK;
}

static pf_err
fill(struct pf_mesh *mesh, const pf_scene *s)
{
    const size_t n = 3 * (size_t)s->vertices;
    mesh->color = malloc(n + 1);
    mesh->normal = malloc((n + 1) * sizeof *mesh->normal);
    if (!mesh->color || !mesh->normal)
        return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)s->vertices);
    memcpy(mesh->vertex, s->position, n * sizeof *mesh->vertex);
    memcpy(mesh->normal, s->normal, n * sizeof *mesh->normal);
    memcpy(mesh->face, s->index, 3 * (size_t)s->triangles * sizeof *mesh->face);
    color_vertices(mesh->color, s);
    return keep_used(mesh);
}

pf_err
pf_scene_mesh(struct pf_mesh *mesh, const pf_scene *s)
{
    PF_TRY(pf_mesh_new(mesh, s->vertices, s->triangles));
    const pf_err err = fill(mesh, s);
    if (err)
        pf_mesh_release(mesh);
    return err;
}
