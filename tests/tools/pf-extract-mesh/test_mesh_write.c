/* The bytes of PLY, OBJ, GLB and STL files, read back. */
// uses: tools/pf-extract-mesh/mesh_write.c tools/pf-extract-mesh/glb.c
// uses: tools/pf-extract-mesh/normals.c
#include "tests/check.h"

#include <jansson.h>

#include "tools/pf-extract-mesh/mesh_write.h"

/* A tetrahedron. */
static float vertex[] = {0, 0, 0, 0.25f, 0, 0, 0, 0.5f, 0, 0, 0, -0.125f};
static uint32_t face[] = {0, 1, 2, 0, 3, 1, 0, 2, 3, 1, 3, 2};
static uint8_t color[] = {0, 0, 0, 255, 128, 10, 1, 2, 3, 4, 5, 254};
static float normal[] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0.6f, -0.8f};
static const struct pf_mesh mesh = {4, 4, vertex, face, color, normal};

static char *
written(enum pf_mesh_format format, size_t *size)
{
    static char *bytes; /* static: else gcc 12 takes what is returned to dangle */
    FILE *f = open_memstream(&bytes, size);     /* sets bytes at fclose */
    assert_non_null(f);
    assert_ok(pf_mesh_write(&mesh, format, f));
    fclose(f);
    return bytes;
}

static uint32_t
u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void
test_ply_has_a_header_and_packed_rows(void **state)
{
    size_t size;
    char *bytes = written(PF_MESH_PLY, &size);
    const char *end = "end_header\n", *body = strstr(bytes, end);
    (void)state;
    assert_memory_equal(bytes, "ply\nformat binary_little_endian 1.0\n", 36);
    assert_non_null(strstr(bytes, "element vertex 4\nproperty float x\n"));
    assert_non_null(strstr(bytes, "element face 4\nproperty list uchar int vertex_indices\n"));
    assert_non_null(body);
    body += strlen(end);
    assert_int_equal(bytes + size - body, 4 * 28 + 4 * 13);
    assert_memory_equal(body + 28, vertex + 3, 12);
    assert_memory_equal(body + 28 + 24, ((uint8_t[]){255, 128, 10, 255}), 4);
    assert_int_equal(body[4 * 28 + 13], 3);
    assert_memory_equal(body + 4 * 28 + 13 + 1, face + 3, 12);
    free(bytes);
}

static void
test_ply_had_no_normals(void **state)
{
    size_t size;
    char *bytes = written(PF_MESH_PLY, &size);
    const char *body = strstr(bytes, "end_header\n") + 11;
    (void)state;
    assert_non_null(
        strstr(bytes, "property float z\nproperty float nx\nproperty float ny\nproperty float nz\n"
                      "property uchar red\n"));
    for (int v = 0; v < 4; v++)
        assert_memory_equal(body + 28 * v + 12, normal + 3 * v, 12);
    free(bytes);
}

static void
test_obj_counts_from_one_and_has_colours(void **state)
{
    size_t size;
    char *bytes = written(PF_MESH_OBJ, &size);
    (void)state;
    assert_non_null(strstr(bytes, "\nv 0.25 0 0 1.0000 0.5020 0.0392\n"));
    assert_non_null(strstr(bytes, "\nv 0 0 -0.125 0.0157 0.0196 0.9961\n"));
    assert_non_null(strstr(
        bytes, "\nf 1//1 2//2 3//3\nf 1//1 4//4 2//2\nf 1//1 3//3 4//4\nf 2//2 4//4 3//3\n"));
    free(bytes);
}

static void
test_obj_had_no_normals(void **state)
{
    size_t size;
    char *bytes = written(PF_MESH_OBJ, &size);
    (void)state;
    assert_non_null(strstr(bytes, "\nvn 0 0 1\nvn 1 0 0\nvn 0 1 0\nvn 0 0.6 -0.8\n"));
    free(bytes);
}

/* JSON path like "accessors/1/count". */
static json_t *
at(json_t *j, const char *path)
{
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key; (key = strtok_r(rest, "/", &rest)) && j;)
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(key)) : json_object_get(j, key);
    if (!j)
        fail_msg("the GLB has no %s", path);
    return j;
}

static int64_t
number(json_t *j, const char *path)
{
    return json_integer_value(at(j, path));
}

static void
test_glb_chunks_and_accessors_fit_together(void **state)
{
    size_t size;
    char *bytes = written(PF_MESH_GLB, &size);
    const uint32_t length = u32(bytes + 12);
    const char *binary = bytes + 20 + length + 8;
    (void)state;
    assert_memory_equal(bytes, "glTF\2\0\0\0", 8);
    assert_int_equal(u32(bytes + 8), size);
    assert_memory_equal(bytes + 16, "JSON", 4);
    assert_int_equal(length % 4, 0);
    assert_memory_equal(binary - 4, "BIN\0", 4);
    assert_int_equal(u32(binary - 8), 4 * 32 + 4 * 12);
    assert_int_equal(binary + u32(binary - 8) - bytes, size);
    json_t *j = json_loadb(bytes + 20, length, 0, NULL);
    assert_non_null(j);
    assert_int_equal(number(j, "buffers/0/byteLength"), 4 * 32 + 4 * 12);
    assert_int_equal(number(j, "accessors/0/componentType"), 5126);
    assert_int_equal(number(j, "accessors/0/count"), 4);
    assert_true(json_number_value(at(j, "accessors/0/min/2")) == -0.125);
    assert_true(json_number_value(at(j, "accessors/0/max/1")) == 0.5);
    assert_int_equal(number(j, "accessors/2/componentType"), 5123);
    assert_true(json_is_true(at(j, "accessors/2/normalized")));
    assert_int_equal(number(j, "accessors/3/count"), 12);
    assert_int_equal(number(j, "meshes/0/primitives/0/indices"), 3);
    assert_int_equal(number(j, "meshes/0/primitives/0/attributes/COLOR_0"), 2);
    assert_memory_equal(binary + number(j, "bufferViews/0/byteOffset"), vertex, sizeof vertex);
    assert_memory_equal(binary + number(j, "bufferViews/3/byteOffset"), face, sizeof face);
    /* sRGB 255, 128, 10 in linear light: 1, 0.21586, 0.0030353. */
    uint16_t c[4];
    memcpy(c, binary + number(j, "bufferViews/2/byteOffset") + 8, sizeof c);
    assert_int_equal(c[0], 65535);
    assert_in_range(c[1], 14146, 14147);
    assert_in_range(c[2], 198, 200);
    assert_int_equal(c[3], 65535);
    json_decref(j);
    free(bytes);
}

static void
test_glb_had_no_normals(void **state)
{
    size_t size;
    char *bytes = written(PF_MESH_GLB, &size);
    const uint32_t length = u32(bytes + 12);
    json_t *j = json_loadb(bytes + 20, length, 0, NULL);
    (void)state;
    assert_int_equal(number(j, "meshes/0/primitives/0/attributes/NORMAL"), 1);
    assert_int_equal(number(j, "accessors/1/bufferView"), 1);
    assert_int_equal(number(j, "accessors/1/componentType"), 5126);
    assert_int_equal(number(j, "accessors/1/count"), 4);
    assert_string_equal(json_string_value(at(j, "accessors/1/type")), "VEC3");
    assert_int_equal(number(j, "bufferViews/1/byteLength"), sizeof normal);
    assert_memory_equal(bytes + 20 + length + 8 + number(j, "bufferViews/1/byteOffset"), normal,
                        sizeof normal);
    json_decref(j);
    free(bytes);
}

/* v as the node turns it: v + 2 w (q x v) + 2 q x (q x v). */
static void
turned(float to[3], const float v[3], json_t *j)
{
    double q[4], once[3];
    char path[32];
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "nodes/0/rotation/%d", k);
        q[k] = json_number_value(at(j, path));
    }
    for (int k = 0; k < 3; k++)
        once[k] = q[(k + 1) % 3] * v[(k + 2) % 3] - q[(k + 2) % 3] * v[(k + 1) % 3];
    for (int k = 0; k < 3; k++)
        to[k] =
            (float)(v[k] + 2 * q[3] * once[k] +
                    2 * (q[(k + 1) % 3] * once[(k + 2) % 3] - q[(k + 2) % 3] * once[(k + 1) % 3]));
}

/* glTF: +Y is up, the front faces +Z.  The scene: z is up; view 0, the photo's, is taken from +x.
 * */
static void
test_glb_turned_its_side_to_the_viewer(void **state)
{
    static const float up[3] = {0, 0, 1}, front[3] = {1, 0, 0}, left[3] = {0, 1, 0};
    static const float axes[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    size_t size;
    char *bytes = written(PF_MESH_GLB, &size);
    json_t *j = json_loadb(bytes + 20, u32(bytes + 12), 0, NULL);
    float to[3];
    (void)state;
    turned(to, up, j);
    assert_near(to, axes[1], 3, 1e-6);
    turned(to, front, j);
    assert_near(to, axes[2], 3, 1e-6);
    turned(to, left, j);                        // and nothing is mirrored
    assert_near(to, axes[0], 3, 1e-6);
    json_decref(j);
    free(bytes);
}

static void
test_stl_was_refused(void **state)
{
    enum pf_mesh_format f;
    size_t size;
    float row[12];
    (void)state;
    assert_true(pf_mesh_format_find(&f, "auto", "mesh.stl") && f == PF_MESH_STL);
    char *bytes = written(PF_MESH_STL, &size);
    assert_int_equal(size, 80 + 4 + 4 * 50);
    assert_memory_not_equal(bytes, "solid", 5);         // so would a text begin
    assert_int_equal(u32(bytes + 80), 4);
    memcpy(row, bytes + 84 + 50, sizeof row); // face 1: vertices 0, 3, 1, in the plane y = 0
    assert_near(row, ((float[]){0, -1, 0}), 3, 0);
    for (int k = 0; k < 3; k++)
        assert_near(row + 3 + 3 * k, vertex + 3 * face[3 + k], 3, 0);
    memcpy(row, bytes + 84 + 3 * 50, 12);               // face 3, the slanted one
    assert_true(fabsf(row[0] * row[0] + row[1] * row[1] + row[2] * row[2] - 1) < 1e-6f);
    free(bytes);
}

static void
test_format_comes_from_the_option_or_the_name(void **state)
{
    enum pf_mesh_format f;
    (void)state;
    assert_true(pf_mesh_format_find(&f, "auto", "a.b/mesh.OBJ") && f == PF_MESH_OBJ);
    assert_true(pf_mesh_format_find(&f, "auto", "mesh.glb") && f == PF_MESH_GLB);
    assert_true(pf_mesh_format_find(&f, "ply", "mesh.glb") && f == PF_MESH_PLY);
    assert_false(pf_mesh_format_find(&f, "auto", "-"));
    assert_false(pf_mesh_format_find(&f, "auto", "mesh.off"));
    assert_false(pf_mesh_format_find(&f, "auto", "stl"));
}

static void
test_full_disk_is_an_error(void **state)
{
    FILE *full = fopen("/dev/full", "wb");
    (void)state;
    if (!full)
        skip();
    assert_fails(pf_mesh_write(&mesh, PF_MESH_OBJ, full), PF_EIO, "No space left");
    fclose(full);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ply_has_a_header_and_packed_rows),
        cmocka_unit_test(test_obj_counts_from_one_and_has_colours),
        cmocka_unit_test(test_glb_chunks_and_accessors_fit_together),
        cmocka_unit_test(test_ply_had_no_normals),
        cmocka_unit_test(test_obj_had_no_normals),
        cmocka_unit_test(test_glb_had_no_normals),
        cmocka_unit_test(test_glb_turned_its_side_to_the_viewer),
        cmocka_unit_test(test_stl_was_refused),
        cmocka_unit_test(test_format_comes_from_the_option_or_the_name),
        cmocka_unit_test(test_full_disk_is_an_error),
    };
    return cmocka_run_group_tests_name("mesh_write", tests, NULL, NULL);
}
