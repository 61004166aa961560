/* A simplified mesh is as closed as it was, and lies where it lay. */
// uses: tools/pf-extract-mesh/simplify.c tools/pf-extract-mesh/components.c
#include "tests/kernels/march/meshes.h"

#include <omp.h>

#include "kernels/march/march.h"
#include "tools/pf-extract-mesh/components.h"
#include "tools/pf-extract-mesh/simplify.h"

/* A torus around z with a thinner one through it, and a ball beside them: Euler number 2. */
static pf_err
bodies(void *ctx, float *out, const float *x, int64_t n)
{
    (void)ctx;
    for (int64_t i = 0; i < n; i++) {
        const float *p = x + 3 * i;
        const float torus = length(length(p[0], p[1], 0) - 0.3f, p[2], 0) - 0.08f;
        const float ring = length(length(p[0] - 0.3f, p[2], 0) - 0.15f, p[1], 0) - 0.03f;
        const float ball = length(p[0], p[1], p[2] - 0.4f) - 0.1f;
        out[i] = fminf(fminf(torus, ball), ring);
    }
    return PF_OK;
}

static struct pf_mesh
marched(int resolution)
{
    const struct pf_march_options options = {.resolution = resolution, .bound = 0.6};
    struct pf_mesh m;
    assert_ok(pf_march(&m, NULL, bodies, NULL, &options));
    m.normal = malloc((size_t)m.vertices * 12);
    m.color = malloc((size_t)m.vertices * 3);
    for (int64_t i = 0; i < 3 * m.vertices; i++) {
        m.normal[i] = -m.vertex[i];
        m.color[i] = (uint8_t)(128 + 200 * m.vertex[i]);
    }
    return m;
}

/* Every vertex has one fan: from face to face around it all of its faces are met. */
static void
assert_one_fan(const struct pf_mesh *m)
{
    int *const corners = calloc((size_t)m->vertices, sizeof *corners);
    int64_t *const one = malloc((size_t)m->vertices * sizeof *one);
    int64_t *next = malloc(3 * (size_t)m->faces * sizeof *next);
    for (int64_t i = 0; i < 3 * m->faces; i++) {
        next[i] = one[m->face[i]] * (corners[m->face[i]] > 0);
        corners[m->face[i]]++;
        one[m->face[i]] = i + 1;        /* a list of the vertex's corners, from the last */
    }
    for (int64_t v = 0; v < m->vertices; v++) {
        uint32_t to = 0, start = 0;
        int steps = 0;
        assert_true(corners[v] >= 3);
        do {
            for (int64_t i = one[v]; i; i = next[i - 1]) {
                const int64_t c = i - 1, f = c - c % 3;
                const uint32_t a = m->face[f + (c + 1) % 3], b = m->face[f + (c + 2) % 3];
                if (steps == 0 || a == to) {
                    start = steps == 0 ? a : start;
                    to = b;
                    break;
                }
            }
            steps++;
        } while (to != start && steps <= corners[v]);
        assert_int_equal(steps, corners[v]);
    }
    free(corners);
    free(one);
    free(next);
}

static void
test_simplified_meshes_are_closed(void **state)
{
    struct pf_mesh m = marched(72);
    const double was = volume(&m);
    int64_t n;
    (void)state;
    assert_int_equal(euler(&m), 2);
    for (int64_t target = m.faces / 2; target >= 60; target /= 3) {
        assert_ok(pf_mesh_simplify(&m, target));
        assert_true(m.faces <= target && m.faces >= target * 9 / 10);
        assert_closed(&m);
        assert_one_fan(&m);
        if (target > 1000) {    /* no neck is thinner than the edges are long */
            assert_int_equal(euler(&m), 2);
            assert_true(fabs(volume(&m) / was - 1) < 0.05);
            assert_ok(pf_mesh_count_components(&n, &m));
            assert_int_equal(n, 3);
        }
        for (int64_t i = 0; i < 3 * m.vertices; i++) {
            assert_true(m.normal[i] == -m.vertex[i]);
            assert_int_equal(m.color[i], (uint8_t)(128 + 200 * m.vertex[i]));
        }
    }
    pf_mesh_release(&m);
}

/* A mesh that is simplified in parts first is as good, however many threads do it. */
static void
test_large_meshes_are_simplified_in_parts(void **state)
{
    struct pf_mesh one = marched(176), three = marched(176);
    const double was = volume(&one);
    const int threads = omp_get_max_threads();
    (void)state;
    assert_true(one.faces > 1 << 16);
    omp_set_num_threads(1);
    assert_ok(pf_mesh_simplify(&one, 5000));
    omp_set_num_threads(3);
    assert_ok(pf_mesh_simplify(&three, 5000));
    omp_set_num_threads(threads);
    assert_true(one.faces <= 5000 && one.faces > 4950);
    assert_int_equal(euler(&one), 2);
    assert_one_fan(&one);
    assert_true(fabs(volume(&one) / was - 1) < 0.01);
    for (int64_t i = 0; i < 3 * one.vertices; i++)
        assert_true(one.normal[i] == -one.vertex[i]);
    assert_same_mesh(&one, &three);
    pf_mesh_release(&one);
    pf_mesh_release(&three);
}

static void
test_few_faces_stay_as_they_are(void **state)
{
    struct pf_mesh a = marched(24), b = marched(24);
    (void)state;
    assert_ok(pf_mesh_simplify(&a, b.faces));
    assert_same_mesh(&a, &b);
    pf_mesh_release(&a);
    pf_mesh_release(&b);
}

/* faces, of vertices at (v, v^2, v^3). */
static struct pf_mesh
mesh_of(const uint32_t (*faces)[3], int64_t n, int vertices)
{
    struct pf_mesh m;
    assert_ok(pf_mesh_new(&m, vertices, n));
    for (int v = 0; v < vertices; v++)
        for (int k = 0; k < 3; k++)
            m.vertex[3 * v + k] = powf((float)v, (float)(k + 1));
    memcpy(m.face, faces, (size_t)n * 12);
    return m;
}

static void
test_parts_that_touch_are_split(void **state)
{
    /* Tetrahedra 0 1 2 3, 0 1 4 5, which share the edge 0 1, and 3 6 7 8, which shares 3. */
    static const uint32_t faces[][3] = {
        {0, 1, 2}, {0, 1, 4}, {1, 0, 3}, {1, 0, 5}, {0, 2, 3}, {0, 4, 5}, {2, 1, 3}, {4, 1, 5},
        {3, 6, 7}, {6, 3, 8}, {3, 7, 8}, {7, 6, 8},
    };
    struct pf_mesh m = mesh_of(faces, 12, 9);
    int64_t n;
    (void)state;
    assert_ok(pf_mesh_split_pinches(&m));
    assert_int_equal(m.faces, 12);
    assert_int_equal(m.vertices, 12);
    assert_int_equal(euler(&m), 6);
    assert_one_fan(&m);
    assert_ok(pf_mesh_count_components(&n, &m));
    assert_int_equal(n, 3);
    pf_mesh_release(&m);
}

static void
test_two_faces_back_to_back_are_dropped(void **state)
{
    /* A tetrahedron whose edge 0 1 is opened by the pair 0 1 4, 1 0 4. */
    static const uint32_t faces[][3] = {
        {0, 1, 2}, {1, 0, 3}, {0, 2, 3}, {2, 1, 3}, {0, 1, 4}, {1, 0, 4},
    };
    struct pf_mesh m = mesh_of(faces, 6, 5);
    (void)state;
    assert_ok(pf_mesh_split_pinches(&m));
    assert_int_equal(m.faces, 4);
    assert_int_equal(m.vertices, 4);
    assert_int_equal(euler(&m), 2);
    pf_mesh_release(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simplified_meshes_are_closed),
        cmocka_unit_test(test_large_meshes_are_simplified_in_parts),
        cmocka_unit_test(test_few_faces_stay_as_they_are),
        cmocka_unit_test(test_parts_that_touch_are_split),
        cmocka_unit_test(test_two_faces_back_to_back_are_dropped),
    };
    return cmocka_run_group_tests_name("simplify", tests, NULL, NULL);
}
