/* meshes.h - what the tests of meshes share: whether one is closed, its volume, two compared. */
#ifndef PF_TEST_MESHES_H
#define PF_TEST_MESHES_H
#include "kernels/march/mesh.h"
#include "tests/check.h"

static inline float
length(float x, float y, float z)
{
    return sqrtf(x * x + y * y + z * z);
}

static inline int
by_ends(const void *a, const void *b)
{
    return memcmp(a, b, 2 * sizeof(uint32_t));
}

/* Every edge has two triangles, in opposite directions, and no triangle uses a vertex twice.
 * Returns the number of edges. */
static inline int64_t
assert_closed(const struct pf_mesh *m)
{
    const int64_t n = 3 * m->faces;
    uint32_t(*e)[3] = malloc((size_t)n * sizeof *e);    // low end, high end, direction
    for (int64_t i = 0; i < n; i++) {
        const uint32_t a = m->face[i], b = m->face[i % 3 == 2 ? i - 2 : i + 1];
        assert_true(a != b && a < m->vertices);
        e[i][0] = a < b ? a : b;
        e[i][1] = a < b ? b : a;
        e[i][2] = a < b;
    }
    qsort(e, (size_t)n, sizeof *e, by_ends);
    assert_int_equal(n % 2, 0);
    for (int64_t i = 0; i < n; i += 2) {
        assert_true(by_ends(e[i], e[i + 1]) == 0 && e[i][2] != e[i + 1][2]);
        assert_true(i + 2 == n || by_ends(e[i], e[i + 2]) != 0);
    }
    free(e);
    return n / 2;
}

static inline int64_t
euler(const struct pf_mesh *m)
{
    return m->vertices - assert_closed(m) + m->faces;
}

static inline void
assert_same_mesh(const struct pf_mesh *a, const struct pf_mesh *b)
{
    assert_int_equal(a->vertices, b->vertices);
    assert_int_equal(a->faces, b->faces);
    assert_memory_equal(a->vertex, b->vertex, (size_t)a->vertices * 12);
    assert_memory_equal(a->face, b->face, (size_t)a->faces * 12);
}

/* Positive if the faces look outward. */
static inline double
volume(const struct pf_mesh *m)
{
    double sum = 0;
    for (int64_t f = 0; f < m->faces; f++) {
        const float *a = m->vertex + 3 * (int64_t)m->face[3 * f];
        const float *b = m->vertex + 3 * (int64_t)m->face[3 * f + 1];
        const float *c = m->vertex + 3 * (int64_t)m->face[3 * f + 2];
        sum += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) +
               a[2] * (b[0] * c[1] - b[1] * c[0]);
    }
    return sum / 6;
}

#endif
