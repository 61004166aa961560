/* One tetrahedron in every format, and files with one mistake each (tests/data/make_meshes.py). */
// uses: tools/pf-eval/shape.c tools/pf-eval/shape_obj.c
// uses: tools/pf-eval/shape_glb.c tools/pf-eval/shape_npz.c
// uses: tools/pf-extract-mesh/mesh_write.c tools/pf-extract-mesh/normals.c
// uses: tools/pf-extract-mesh/glb.c
#include "tests/check.h"

#include "common/camera.h"
#include "tools/pf-eval/shape.h"
#include "tools/pf-extract-mesh/mesh_write.h"

/* make_meshes.py's. */
static float vertex[] = {0, 0, 0, 0.25f, 0, 0, 0, 0.5f, 0, 0, 0, -0.125f};
static uint32_t face[] = {0, 1, 2, 0, 3, 1, 0, 2, 3, 1, 3, 2};
static uint8_t color[12];
static float normal[] = {0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1};

static const char *
path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "tests/data/meshes/%s", name);
    return path;
}

/* The corners of the faces are the tetrahedron's, however its vertices are numbered. */
static void
assert_tetrahedron(const struct shape *s, int faces)
{
    assert_int_equal(s->mesh.faces, faces);
    assert_int_equal(s->seen.n, 0);
    for (int i = 0; i < 3 * faces; i++)
        assert_near(s->mesh.vertex + 3 * s->mesh.face[i], vertex + 3 * face[i], 3, 1e-7);
}

static void
test_every_format_gives_the_tetrahedron(void **state)
{
    static const char *const names[] = {"little.ply", "big.ply", "text.ply", "windows.ply",
                                        "more.ply", "rows_of_nothing_1e9.ply", "slashes.obj",
                                        "counted_back.obj", "little.stl", "nodes.glb",
                                        "no_scene.glb", "mesh.npz"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct shape s;
        assert_ok(shape_read(&s, path_of(names[i])));
        assert_tetrahedron(&s, 4);
        shape_release(&s);
    }
}

static void
test_what_pf_extract_mesh_writes_comes_back(void **state)
{
    const struct pf_mesh mesh = {4, 4, vertex, face, color, normal};
    (void)state;
    for (enum pf_mesh_format f = PF_MESH_PLY; f <= PF_MESH_STL; f++) {
        static char *bytes;
        static size_t size;
        struct shape s;
        FILE *to = open_memstream(&bytes, &size);
        assert_non_null(to);
        assert_ok(pf_mesh_write(&mesh, f, to));
        fclose(to);
        assert_ok(shape_parse(&s, bytes, size));
        assert_tetrahedron(&s, 4);
        shape_release(&s);
        free(bytes);
    }
}

static void
test_a_polygon_becomes_a_fan(void **state)
{
    struct shape s;
    (void)state;
    assert_ok(shape_read(&s, path_of("quad.ply")));
    assert_int_equal(s.mesh.faces, 2);
    assert_memory_equal(s.mesh.face, ((uint32_t[]){0, 1, 2, 0, 2, 3}), 24);
    shape_release(&s);
}

static void
test_points_have_normals_and_cells(void **state)
{
    struct shape s;
    (void)state;
    assert_ok(shape_read(&s, path_of("points.ply")));
    assert_int_equal(s.seen.n, 4);
    assert_near(s.seen.at, vertex, 12, 0);
    assert_near(s.seen.normal, normal, 12, 0);
    shape_release(&s);
    assert_ok(shape_read(&s, path_of("points.npz")));
    assert_int_equal(s.seen.n, 4);
    assert_int_equal(s.whole.n, 4);
    assert_near(s.whole.at, vertex, 12, 0);
    assert_near(s.seen.normal, normal, 12, 0);
    assert_null(s.solid[SOLID_FINE]);
    for (int i = 0; i < 64 * 64 * 64; i++)
        assert_int_equal(s.solid[SOLID_COARSE][i], i < 32 * 64 * 64);
    shape_release(&s);
}

static void
test_a_shape_is_fitted_and_turned(void **state)
{
    struct shape s;
    (void)state;
    assert_ok(shape_read(&s, path_of("little.ply")));
    shape_fit(&s);
    assert_near(s.mesh.vertex, ((float[]){-0.25f, -0.5f, 0.125f, 0.25f, -0.5f, 0.125f}), 6, 1e-6);
    shape_turn(&s, PF_PI / 2);
    assert_near(s.mesh.vertex, ((float[]){0.5f, -0.25f, 0.125f, 0.5f, 0.25f, 0.125f}), 6, 1e-6);
    shape_release(&s);
}

static void
test_mistakes_are_named(void **state)
{
    static const struct {
        const char *name, *words;
    } mistakes[] = {
        {"no_faces.ply", "the mesh has no faces"},
        {"truncated.ply", "ends early"},
        {"truncated_text.ply", "ends early"},
        {"vertices_1e9.ply", "1000000000 rows do not fit into 100 bytes"},
        {"faces_1e9.ply", "1000000000 rows do not fit into 52 bytes"},
        {"index_out_of_range.ply", "face 3 has the vertex 4 of 4"},
        {"index_negative.ply", "a face has the vertex -2"},
        {"corners_two.ply", "a face has 2 corners, expected 3 to"},
        {"corners_more_than_bytes.ply", "ends early"},
        {"vertex_nan.ply", "vertex 3 is at y = nan"},
        {"vertex_nan_text.ply", "vertex 3 is at y = nan"},
        {"vertex_infinite.ply", "vertex 3 is at z = inf"},
        {"vertex_far.ply", "vertex 3 is at z = 1e+30"},
        {"word_no_number.ply", "a word that is no number"},
        {"no_z.ply", "no x, y and z"},
        {"x_twice.ply", "the property x twice"},
        {"type_unknown.ply", "no known type"},
        {"format_unknown.ply", "no format that is known"},
        {"header_without_end.ply", "the PLY header has no end"},
        {"property_first.ply", "a property before any element"},
        {"vertex_twice.ply", "two elements vertex"},
        {"index_out_of_range.obj", "face 0 has the vertex 4 of 4"},
        {"index_zero.obj", "line 7: the face has a vertex that is not there"},
        {"corners_two.obj", "line 7: a face of OBJ needs 3 to"},
        {"vertex_short.obj", "line 1: a vertex of OBJ needs three numbers"},
        {"no_faces.obj", "the mesh has no faces"},
        {"prose.obj", "is no mesh, expected PLY, OBJ, GLB, binary STL or NPZ"},
        {"truncated.stl", "is no mesh"},
        {"truncated.glb", "the GLB file is truncated"},
        {"index_out_of_range.glb", "face 3 of a primitive has the vertex 4 of 4"},
        {"node_in_itself.glb", "node 0 of the glTF is missing, comes twice or lies deeper"},
        {"node_missing.glb", "node 7 of the glTF is missing"},
        {"no_triangles.glb", "the scene of the glTF has no triangles"},
        {"count_1e9.glb", "accessor 0 of the glTF does not lie within its buffer"},
        {"count_overflow.glb", "accessor 0 of the glTF does not lie within its buffer"},
        {"offset_negative.glb", "accessor 0 of the glTF does not lie within its buffer"},
        {"stride_overflow.glb", "accessor 0 of the glTF does not lie within its buffer"},
        {"buffer_elsewhere.glb", "accessor 0 of the glTF has no plain data in this file"},
        {"placed_too_often.glb", "more vertices than the file's"},
        {"no_json.glb", "the GLB file"},
        {"index_negative.npz", "face 0 has the vertex 4294967295 of 4"},
        {"shape_1e9.npz", "v.npy: its shape and its 12 bytes disagree"},
        {"shape_overflow.npz", "v.npy: its shape and its 12 bytes disagree"},
        {"four_columns.npz", "pts.npy: expected rows of three numbers"},
        {"faces_missing.npz", "no faces in f"},
        {"neither.npz", "neither a mesh in v and f nor points in pts"},
        {"normals_short.npz", "nrm.npy has 1 rows, pts.npy 4"},
        {"solid_short.npz", "occ.npy: expected the 262144 bits of 64^3 cells"},
        {"objects.npz", "pts.npy: expected an array of one or two axes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct shape s;
        assert_fails(shape_read(&s, path_of(mistakes[i].name)),
                     strstr(mistakes[i].name, "four_") || strstr(mistakes[i].name, "_short.npz")
                         ? PF_ESHAPE : PF_EFORMAT, mistakes[i].words);
        assert_non_null(strstr(pf_error(), mistakes[i].name));
    }
}

static void
test_a_file_that_is_not_there(void **state)
{
    struct shape s;
    (void)state;
    assert_fails(shape_read(&s, "none.ply"), PF_EIO, "cannot read none.ply: No such file");
    assert_fails(shape_read(&s, "/dev/null"), PF_EFORMAT, "/dev/null: is empty");
    assert_fails(shape_read(&s, "tests/data"), PF_EIO, "tests/data: cannot be read: Is a dir");
    assert_fails(shape_read(&s, "/dev/zero"), PF_EFORMAT, "/dev/zero: is no mesh");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_format_gives_the_tetrahedron),
        cmocka_unit_test(test_what_pf_extract_mesh_writes_comes_back),
        cmocka_unit_test(test_a_polygon_becomes_a_fan),
        cmocka_unit_test(test_points_have_normals_and_cells),
        cmocka_unit_test(test_a_shape_is_fitted_and_turned),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
