/* A mesh is watertight where each edge lies between two faces that look the same way. */
// uses: tools/pf-extract-mesh/closed.c
#include "tests/check.h"
#include "tools/pf-extract-mesh/closed.h"

/* A tetrahedron; a fifth face, if there is one, is beside its base. */
static const uint32_t tetrahedron[5][3] = {{0, 2, 1}, {0, 1, 3}, {1, 2, 3}, {2, 0, 3}, {0, 2, 4}};

static bool
is_closed(const uint32_t (*face)[3], int faces)
{
    static float vertex[5][3];
    struct pf_mesh mesh = {.vertices = 5, .faces = faces, .vertex = vertex[0],
                           .face = (uint32_t *)face};
    bool closed;
    assert_ok(pf_mesh_is_closed(&closed, &mesh));
    return closed;
}

static void
test_watertight(void **state)
{
    uint32_t face[5][3];
    (void)state;
    assert_true(is_closed(tetrahedron, 4));
    assert_false(is_closed(tetrahedron, 0));
    assert_false(is_closed(tetrahedron, 3));            // a hole
    assert_false(is_closed(tetrahedron, 5));            // three faces at an edge
    memcpy(face, tetrahedron, sizeof face);
    face[3][0] = 0;
    face[3][1] = 2;
    assert_false(is_closed(face, 4));                   // one looks inwards
    memcpy(face, tetrahedron, sizeof face);
    memcpy(face[4], face[3], sizeof face[4]);
    assert_false(is_closed(face, 5));                   // one is there twice
    face[3][0] = face[3][1];
    assert_false(is_closed(face, 4));                   // one is a line
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_watertight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
