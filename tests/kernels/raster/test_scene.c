#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/stream.h"
#include "tests/kernels/raster/scenes.h"

#define DATA "tests/data/mesh/"

static pf_dev *cpu;
static char folder[] = "/tmp/test_scene.XXXXXX";

static pf_scene
placed(const char *path, enum pf_up up, bool up_given)
{
    pf_scene s;
    struct pf_world world;
    assert_ok(pf_scene_read(&s, path, 64));
    const struct pf_scene_place p = {.up = up_given ? up : s.up, .scale = 1};
    pf_scene_place(&s, &p, &world);
    return s;
}

static struct drawn
drawn_box(const char *ending, double azimuth)
{
    enum { SIDE = 48 };
    char path[100];
    const bool z = strcmp(ending, "ply") == 0 || strcmp(ending, "stl") == 0;
    const struct pf_raster_camera c = rig_camera(30, azimuth, SIDE);
    snprintf(path, sizeof path, DATA "box.%s", ending);
    pf_scene s = placed(path, PF_UP_Y, z);
    struct drawn d = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_FLAT);
    pf_scene_release(&s);
    return d;
}

static void
test_all_formats_hold_the_same_box(void **state)
{
    static const char *const endings[] = {"glb", "gltf", "dae", "fbx", "ply", "stl"};
    (void)state;
    for (int azimuth = 35; azimuth < 360; azimuth += 180) {
        struct drawn obj = drawn_box("obj", azimuth);
        const int64_t n = (int64_t)obj.v.width * obj.v.height;
        int colored = 0;
        for (int k = 0; k < 6; k++) {
            struct drawn d = drawn_box(endings[k], azimuth);
            assert_near(d.v.depth, obj.v.depth, n, 1e-5);
            assert_near(d.v.alpha, obj.v.alpha, n, 0);
            assert_near(d.v.normal, obj.v.normal, 3 * n, 1e-5);
            for (int64_t i = 0; i < 3 * n && k < 4; i++)
                if (abs(d.v.image[i] - obj.v.image[i]) > 1)
                    fail_msg("%s: byte %d is %d, expected %d", endings[k], (int)i, d.v.image[i],
                             obj.v.image[i]);
            drawn_free(&d);
        }
        for (int64_t i = 0; i < n; i++)
            colored += obj.v.image[3 * i] != obj.v.image[3 * i + 1];
        assert_in_range(colored, 100, n);
        drawn_free(&obj);
    }
}

/* The front, OBJ's z, is what azimuth 0 sees, and has the texture upright: white is to the left
 * above, purple to the right below. */
static void
test_the_front_is_at_azimuth_0(void **state)
{
    enum { SIDE = 48 };
    pf_scene s = placed(DATA "box.obj", PF_UP_Y, false);
    const struct pf_raster_camera c = rig_camera(0, 0, SIDE);
    struct drawn d = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_FLAT);
    int low[2] = {SIDE, SIDE}, high[2] = {0};
    (void)state;
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int k = 0; k < 2 && d.v.alpha[i] == 1; k++) {
            const int at = k ? i / SIDE : i % SIDE;
            low[k] = at < low[k] ? at : low[k];
            high[k] = at > high[k] ? at : high[k];
        }
    // 1 wide and 0.6 high, 1.3 in front of the lens.
    assert_in_range(high[0] - low[0], SIDE * 280 / 256 / 1.3 - 3, SIDE * 280 / 256 / 1.3);
    assert_in_range(high[1] - low[1], SIDE * 168 / 256 / 1.3 - 3, SIDE * 168 / 256 / 1.3);
    const int x = (high[0] - low[0]) / 4, y = (high[1] - low[1]) / 4;   // the middles of texels
    const uint8_t *const first = d.v.image + 3 * ((low[1] + y) * SIDE + low[0] + x);
    const uint8_t *const last = d.v.image + 3 * ((high[1] - y) * SIDE + high[0] - x);
    assert_true(first[0] > 200 && first[1] > 200 && first[2] > 200);
    assert_true(last[0] > 200 && last[1] < 100 && last[2] > 200);
    drawn_free(&d);
    pf_scene_release(&s);
}

static void
test_the_frame_is_the_unit_cube(void **state)
{
    pf_scene s;
    struct pf_world world;
    double high[3] = {0};
    (void)state;
    assert_ok(pf_scene_read(&s, DATA "box.ply", 64));
    assert_int_equal(s.up, PF_UP_Z);
    for (int64_t i = 0; i < 3 * s.vertices; i++)
        s.position[i] = 4 * s.position[i] + (float)(i % 3);
    const struct pf_scene_place p = {.up = PF_UP_Z, .scale = 0.8, .yaw = PF_PI / 2};
    pf_scene_place(&s, &p, &world);
    for (int64_t i = 0; i < 3 * s.vertices; i++)
        high[i % 3] = fmax(high[i % 3], s.position[i]);
    const float want[] = {0.24f, 0.4f, 0.16f, 0, 1, 2, 0.2f};
    const float got[] = {(float)high[0], (float)high[1], (float)high[2], (float)world.center[0],
                         (float)world.center[1], (float)world.center[2], (float)world.scale};
    assert_near(got, want, 7, 1e-6);
    pf_scene_place(&s, &(struct pf_scene_place){.up = PF_UP_Z, .keep = true}, &world);
    assert_true(world.scale == 1 && world.center[0] == 0);
    pf_scene_release(&s);
}

static void
test_textures_are_halved_to_the_side(void **state)
{
    pf_scene s;
    (void)state;
    assert_ok(pf_scene_read(&s, DATA "box.glb", 1));
    assert_int_equal(s.textures, 1);
    assert_true(s.texture->width == 1 && s.texture->height == 1);
    // The mean of light of 255, 0, 128, 255 and so on.
    assert_true(s.texel[0] == 196 && s.texel[1] == 150 && s.texel[2] == 196 && s.texel[3] == 255);
    pf_scene_release(&s);
}

/* ---- what is not believed ---- */

static const char *
put(const char *name, const void *bytes, size_t size)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
    return path;
}

static void
refused(const char *name, const char *text, const char *words)
{
    pf_scene s;
    const char *const path = put(name, text, strlen(text));
    const pf_err err = pf_scene_read(&s, path, 64);
    if (!err || !strstr(pf_error(), words) || strncmp(pf_error(), path, strlen(path)) != 0 ||
        strchr(pf_error(), '\n'))
        fail_msg("%s: %d, \"%s\"; expected \"%s\"", name, err, pf_error(), words);
    unlink(path);
}

#define A_FACE "usemtl a\nf 1/1 2/2 3/3\n"
#define GLTF(buffer) \
    "{\"asset\":{\"version\":\"2.0\"},\"scene\":0,\"scenes\":[{\"nodes\":[0]}]," \
    "\"nodes\":[{\"mesh\":0}],\"meshes\":[{\"primitives\":[{\"attributes\":{\"POSITION\":0}}]}]," \
    "\"accessors\":[{\"bufferView\":0,\"componentType\":5126,\"count\":2,\"type\":\"VEC3\"}]," \
    "\"bufferViews\":[{\"buffer\":0,\"byteLength\":24}]," \
    "\"buffers\":[{\"byteLength\":28,\"uri\":\"" buffer "\"}]}"
#define CORNERS "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
#define PLY(vertices, faces) \
    "ply\nformat ascii 1.0\nelement vertex " vertices "\nproperty float x\nproperty float y\n" \
    "property float z\nelement face " faces "\nproperty list uchar int vertex_indices\n" \
    "end_header\n0 0 0\n1 0 0\n"

static void
test_hostile_meshes_are_refused_in_a_sentence(void **state)
{
    pf_scene s;
    (void)state;
    refused("a.obj", "", "assimp cannot read it");
    refused("a.obj", CORNERS, "holds no triangle");
    refused("a.obj", CORNERS "f 1 2 9\n", "vertex index out of range");
    refused("a.obj", CORNERS "v nan 0 0\nf 1 2 4\n", "is nan, expected");
    refused("a.obj", CORNERS "v 1e30 0 0\nf 1 2 4\n", "is 1e+30, expected");
    refused("a.ply", PLY("3", "1") "0 1 0\n3 0 1 7\n", "vertex 7 of 3");
    refused("a.ply", PLY("1000000000", "1000000000") "0 1 0\n3 0 1 2\n", "ends early");
    refused("a.ply", PLY("3", "2") "0 1 0\n3 0 1 2\n", "ends early");
    refused("a.ply", PLY("3", "0") "0 1 0\n", "holds no triangle");
    refused("a.ply", "", "is no PLY file");
    refused("a.stl", "solid x\nfacet", "is incomplete");
    refused("a.fbx", "Kaydara FBX Binary  \0\x1a", "assimp cannot read it");
    refused("a.dae", "<COLLADA><library", "assimp cannot read it");
    refused("a.glb", "glTF\x02", "assimp cannot read it");
    assert_true(pf_scene_read(&s, "tests/data/meshes/index_out_of_range.glb", 64));
    assert_non_null(strstr(pf_error(), "indices of vertices that are not there"));
    refused("a.x3d", CORNERS "f 1 2 3\n", "ends in none of .glb, .gltf, .obj");
}

static void
test_only_the_meshs_folder_is_opened(void **state)
{
    pf_scene s;
    char outside[100];
    (void)state;
    put("a.mtl", "newmtl a\nmap_Kd ../out.png\n", 28);
    refused("a.obj", "mtllib a.mtl\n" CORNERS A_FACE, "cannot read ../out.png");
    snprintf(outside, sizeof outside, "%s/in", folder);
    mkdir(outside, 0700);
    put("in/a.mtl", "newmtl a\nmap_Kd ../a.mtl\n", 25);
    refused("in/a.obj", "mtllib a.mtl\n" CORNERS A_FACE,
            "needs ../a.mtl, which is not in its folder");
    refused("in/a.obj", "mtllib ../a.mtl\n" CORNERS "f 1 2 3\n",
            "needs ../a.mtl, which is not in its folder");
    refused("in/a.gltf", GLTF("../a.mtl"), "needs ../a.mtl, which is not in its folder");
    put("in/a.mtl", "newmtl a\nmap_Kd a.mtl\n", 22);
    refused("in/a.obj", "mtllib a.mtl\n" CORNERS A_FACE, "");
    snprintf(outside, sizeof outside, "%s/in/link.obj", folder);
    const char *const whole = put("b.obj", CORNERS "f 1 2 3\n", strlen(CORNERS "f 1 2 3\n"));
    assert_int_equal(symlink(whole, outside), 0);
    assert_ok(pf_scene_read(&s, outside, 64));          // the user named it
    pf_scene_release(&s);
}

/* What a crashed or deceived assimp could hand over. */
static void
test_what_the_child_says_is_checked(void **state)
{
    uint8_t *bytes;
    size_t size;
    pf_stream *in;
    pf_doc doc = {0};
    pf_scene s;
    (void)state;
    assert_ok(pf_scene_import(&bytes, &size, DATA "box.obj"));
    assert_ok(pf_stream_open_memory(&in, bytes, size));
    assert_ok(pf_stream_read(in, &doc));
    uint32_t *const index = pf_doc_get(&doc, "index")->data;
    uint32_t *const material_of = pf_doc_get(&doc, "material_of")->data;
    float *const position = pf_doc_get(&doc, "position")->data;
    float *const material = pf_doc_get(&doc, "material")->data;
    index[5] = 24;
    assert_fails(pf_scene_take(&s, &doc, "x", 64), PF_EFORMAT, "x: a triangle has vertex 24 of 24");
    index[5] = 0;
    material_of[3] = 1000;
    assert_fails(pf_scene_take(&s, &doc, "x", 64), PF_EFORMAT, "material 1000 of");
    material_of[3] = 0;
    position[7] = INFINITY;
    assert_fails(pf_scene_take(&s, &doc, "x", 64), PF_EFORMAT, "place of vertex 2 is inf");
    position[7] = 0;
    material[5] = 3;                            // texture 3 of 1
    assert_fails(pf_scene_take(&s, &doc, "x", 64), PF_EFORMAT, "holds 3, expected a whole number");
    material[5] = NAN;
    assert_fails(pf_scene_take(&s, &doc, "x", 64), PF_EFORMAT, "a material holds nan");
    pf_doc_drop(&doc, "uv");
    assert_fails(pf_scene_take(&s, &doc, "x", 64), PF_EFORMAT, "no tensor uv");
    pf_doc_release(&doc);
    pf_stream_close(in);
    free(bytes);
}

static int
open_all(void **state)
{
    (void)state;
    return !mkdtemp(folder) || pf_dev_open(&cpu, "cpu", NULL);
}

static int
close_all(void **state)
{
    char command[100];
    (void)state;
    pf_dev_close(cpu);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_formats_hold_the_same_box),
        cmocka_unit_test(test_the_front_is_at_azimuth_0),
        cmocka_unit_test(test_the_frame_is_the_unit_cube),
        cmocka_unit_test(test_textures_are_halved_to_the_side),
        cmocka_unit_test(test_hostile_meshes_are_refused_in_a_sentence),
        cmocka_unit_test(test_only_the_meshs_folder_is_opened),
        cmocka_unit_test(test_what_the_child_says_is_checked),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
