#include "tools/pf-extract-mesh/normals.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include <omp.h>

void
pf_mesh_face_normal(float normal[3], const struct pf_mesh *mesh, int64_t f)
{
    const float *p[3];
    float a[3], b[3];
    for (int k = 0; k < 3; k++)
        p[k] = mesh->vertex + 3 * (int64_t)mesh->face[3 * f + k];
    for (int k = 0; k < 3; k++) {
        a[k] = p[1][k] - p[0][k];
        b[k] = p[2][k] - p[0][k];
    }
    for (int k = 0; k < 3; k++)
        normal[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static double
dot(const float a[3], const float b[3])
{
    return (double)a[0] * b[0] + (double)a[1] * b[1] + (double)a[2] * b[2];
}

/* normal, a gradient, made a normal; around: the sum of the faces' normals. */
static void
settle(float normal[3], const float around[3])
{
    static const float up[3] = {0, 0, 1};       // for a vertex whose faces have no area
    const double agree = dot(normal, around);   // not a number where the gradient is none
    const float *from = agree > 0 && agree < INFINITY ? normal
                        : dot(around, around) > 0     ? around
                                                      : up;
    const double length = sqrt(dot(from, from));
    for (int k = 0; k < 3; k++)
        normal[k] = (float)(from[k] / length);
}

/* Add the normals of the faces around to those vertices that are from first on and before end, in
 * the order of faces. */
static void
add_around(float *around, const struct pf_mesh *mesh, int64_t first, int64_t end)
{
    float n[3];
    for (int64_t f = 0; f < mesh->faces; f++) {
        const uint32_t *const corner = mesh->face + 3 * f;
        bool known = false;
        for (int i = 0; i < 3; i++) {
            if (corner[i] < first || corner[i] >= end)
                continue;
            if (!known)
                pf_mesh_face_normal(n, mesh, f);
            known = true;
            for (int k = 0; k < 3; k++)
                around[3 * (int64_t)corner[i] + k] += n[k];
        }
    }
}

/* Each thread has vertices of its own and looks at all faces for those that are around them, so
 * that sums do not depend on the number of threads; faces near each other have vertices that are,
 * too, so hardly a normal is computed twice. */
pf_err
pf_mesh_set_normals(struct pf_mesh *mesh)
{
    float *around = calloc((size_t)mesh->vertices + 1, 3 * sizeof *around);
    if (!around)
        return pf_fail(PF_ENOMEM, "no memory for the normals of %lld vertices",
                       (long long)mesh->vertices);
#pragma omp parallel
    {
        const int64_t n = omp_get_num_threads(), i = omp_get_thread_num();
        const int64_t first = i * mesh->vertices / n, end = (i + 1) * mesh->vertices / n;
        add_around(around, mesh, first, end);
        for (int64_t v = first; v < end; v++)
            settle(mesh->normal + 3 * v, around + 3 * v);
    }
    free(around);
    return PF_OK;
}
