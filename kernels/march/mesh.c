#include "kernels/march/mesh.h"

#include <stdlib.h>

void
pf_mesh_release(struct pf_mesh *mesh)
{
    free(mesh->vertex);
    free(mesh->face);
    free(mesh->color);
    free(mesh->normal);
    *mesh = (struct pf_mesh){0};
}

pf_err
pf_mesh_new(struct pf_mesh *mesh, int64_t vertices, int64_t faces)
{
    *mesh = (struct pf_mesh){0};
    if (vertices > INT32_MAX)
        return pf_fail(PF_ESHAPE, "the mesh needs more than %d vertices; a lower resolution helps",
                       INT32_MAX);
    mesh->vertices = vertices;
    mesh->faces = faces;
    mesh->vertex = malloc((size_t)(vertices ? vertices : 1) * 3 * sizeof *mesh->vertex);
    mesh->face = malloc((size_t)(faces ? faces : 1) * 3 * sizeof *mesh->face);
    if (mesh->vertex && mesh->face)
        return PF_OK;
    pf_mesh_release(mesh);
    return pf_fail(PF_ENOMEM, "no memory for a mesh of %lld vertices", (long long)vertices);
}
