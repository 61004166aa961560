/* Of a mesh of several components the largest are kept. */
// uses: tools/pf-extract-mesh/components.c
#include "tests/check.h"

#include "tools/pf-extract-mesh/components.h"

/* A tetrahedron of the even vertices, an octahedron of the odd ones and 12, and a triangle; vertex
 * v is at (v, 0, 0) and has the colour (10 v, 10 v + 1, 10 v + 2) and the normal (0, v, 0). */
enum { VERTICES = 14, FACES = 13, KEPT = 6 };
static const uint32_t faces[FACES][3] = {
    {0, 2, 4}, {1, 3, 5}, {1, 5, 7}, {2, 0, 6}, {1, 7, 9}, {1, 9, 3}, {8, 10, 13},
    {12, 5, 3}, {4, 2, 6}, {12, 7, 5}, {12, 9, 7}, {0, 4, 6}, {12, 3, 9},
};

static struct pf_mesh
three_bodies(void)
{
    struct pf_mesh m;
    assert_ok(pf_mesh_new(&m, VERTICES, FACES));
    m.color = malloc(3 * VERTICES);
    m.normal = malloc(3 * VERTICES * sizeof *m.normal);
    for (int i = 0; i < 3 * VERTICES; i++) {
        m.vertex[i] = i % 3 ? 0 : (float)(i / 3);
        m.color[i] = (uint8_t)(10 * (i / 3) + i % 3);
        m.normal[i] = i % 3 == 1 ? (float)(i / 3) : 0;
    }
    memcpy(m.face, faces, sizeof faces);
    return m;
}

static void
test_largest_component_alone_is_kept(void **state)
{
    static const int old[KEPT] = {1, 3, 5, 7, 9, 12};
    struct pf_mesh m = three_bodies();
    int64_t f = 0;
    (void)state;
    assert_ok(pf_mesh_keep_components(&m, 1, 0));
    assert_int_equal(m.vertices, KEPT);
    for (int v = 0; v < KEPT; v++) {
        assert_true(m.vertex[3 * v] == (float)old[v]);
        assert_int_equal(m.color[3 * v + 2], 10 * old[v] + 2);
        assert_true(m.normal[3 * v + 1] == (float)old[v]);
    }
    for (int i = 0; i < FACES; i++)             /* in their order */
        if (faces[i][0] % 2 || faces[i][0] == 12) {
            for (int k = 0; k < 3; k++)
                assert_int_equal(old[m.face[3 * f + k]], faces[i][k]);
            f++;
        }
    assert_int_equal(m.faces, f);
    pf_mesh_release(&m);
}

static void
test_components_are_kept_by_number_and_by_share(void **state)
{
    static const struct {
        int most;
        double share;
        int64_t components, vertices, faces;
    } cases[] = {           /* of 8, 4 and 1 faces */
        {0, 0, 3, 13, 13}, {2, 0, 2, 10, 12}, {9, 0, 3, 13, 13}, {0, 0.5, 2, 10, 12},
        {0, 0.51, 1, 6, 8}, {1, 0.1, 1, 6, 8}, {0, 1, 1, 6, 8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pf_mesh m = three_bodies();
        int64_t n;
        assert_ok(pf_mesh_keep_components(&m, cases[i].most, cases[i].share));
        assert_ok(pf_mesh_count_components(&n, &m));
        assert_int_equal(n, cases[i].components);
        assert_int_equal(m.vertices, cases[i].vertices);
        assert_int_equal(m.faces, cases[i].faces);
        pf_mesh_release(&m);
    }
}

static void
test_an_empty_mesh_stays_empty(void **state)
{
    struct pf_mesh m = {0};
    (void)state;
    assert_ok(pf_mesh_keep_components(&m, 1, 0));
    assert_int_equal(m.vertices, 0);
    assert_int_equal(m.faces, 0);
    pf_mesh_release(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest_component_alone_is_kept),
        cmocka_unit_test(test_components_are_kept_by_number_and_by_share),
        cmocka_unit_test(test_an_empty_mesh_stays_empty),
    };
    return cmocka_run_group_tests_name("components", tests, NULL, NULL);
}
