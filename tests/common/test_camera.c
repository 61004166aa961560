/* The rig and its cameras against cameras.md and the golden folder.  Maps and masks are tested by
 * tests/kernels/test_epipolar.c. */
#include "tests/check.h"

#include <unistd.h>

#include "common/camera.h"
#include "common/checkpoint.h"

static double
rad(double deg)
{
    return (float)(deg * PF_PI / 180);          // the original's angles are float32
}

/* View 0 at elevation 0 stands on the x axis and looks along -x, its right hand towards +y. */
static void
test_pose_of_the_first_view(void **state)
{
    static const double expected[12] = {0, 1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 1.5};
    double pose[12];
    (void)state;
    pf_camera_pose(pose, 0, 0);
    for (int i = 0; i < 12; i++)
        assert_true(fabs(pose[i] - expected[i]) < 1e-15);
}

/* Every pose is a rotation that puts the origin 1.5 ahead, and the ray through the principal point
 * starts at the camera and passes through the origin. */
static void
test_cameras_look_at_the_origin(void **state)
{
    (void)state;
    for (int k = 0; k < 40; k++) {
        const double elevation = rad(-89 + 178.0 * k / 39), azimuth = 0.7 * k;
        const double center[3] = {1.5 * cos(elevation) * cos(azimuth),
                                  1.5 * cos(elevation) * sin(azimuth), 1.5 * sin(elevation)};
        double P[12], K[9];
        float o[3], d[3];
        pf_camera_pose(P, elevation, azimuth);
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++) {
                const double *u = P + 4 * a, *v = P + 4 * b;
                assert_true(fabs(u[0] * v[0] + u[1] * v[1] + u[2] * v[2] - (a == b)) < 1e-14);
            }
        pf_camera_intrinsics(K, 128);
        pf_camera_ray(o, d, P, K, 64, 64);
        for (int a = 0; a < 3; a++) {
            assert_true(fabs(o[a] - center[a]) < 1e-6);
            assert_true(fabs(o[a] + 1.5 * d[a]) < 1e-6);
        }
    }
}

/* A point of the ray projects back to the ray's pixel. */
static void
test_ray_inverts_projection(void **state)
{
    double P[12], K[9];
    float o[3], d[3];
    (void)state;
    pf_camera_pose(P, rad(35), rad(112.5));
    pf_camera_intrinsics(K, 256);
    assert_true(K[0] == 280 && K[4] == 280 && K[2] == 128 && K[5] == 128);
    for (int k = 0; k < 50; k++) {
        const double j = 5.1 * k, i = 255 - 3.3 * k;
        double c[3];
        pf_camera_ray(o, d, P, K, j, i);
        assert_true(fabs(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] - 1) < 1e-6);
        for (int a = 0; a < 3; a++)
            c[a] = P[4 * a] * (o[0] + 2 * d[0]) + P[4 * a + 1] * (o[1] + 2 * d[1]) +
                   P[4 * a + 2] * (o[2] + 2 * d[2]) + P[4 * a + 3];
        assert_true(fabs(K[0] * c[0] / c[2] + K[2] - j) < 1e-3);
        assert_true(fabs(K[4] * c[1] / c[2] + K[5] - i) < 1e-3);
    }
}

static void
test_rig_tensors_have_the_streams_shapes(void **state)
{
    pf_tensor pose, K, elevations, azimuths;
    (void)state;
    assert_ok(pf_rig_tensors(&pose, &K, &elevations, &azimuths, 4, rad(30), 512));
    assert_true(pf_tensor_is(&pose, PF_F32, 3, (int64_t[]){4, 3, 4}));
    assert_true(pf_tensor_is(&K, PF_F32, 3, (int64_t[]){4, 3, 3}));
    assert_true(pf_tensor_is(&elevations, PF_F32, 1, (int64_t[]){4}));
    assert_near(azimuths.data, ((float[]){0, 1.5707964f, 3.1415927f, 4.712389f}), 4, 0);
    assert_near((float *)K.data + 27, ((float[]){560, 0, 256, 0, 560, 256, 0, 0, 1}), 9, 0);
    assert_near((float *)elevations.data + 3, ((float[]){0.5235988f}), 1, 0);
    assert_near((float *)pose.data + 12, ((float[]){-1, 0, 0, 0}), 4, 1e-7);    // view 1, right
    pf_tensor_release(&pose);
    pf_tensor_release(&K);
    pf_tensor_release(&elevations);
    pf_tensor_release(&azimuths);
}

static void
test_rig_without_views_is_refused(void **state)
{
    pf_tensor pose;
    (void)state;
    assert_fails(pf_rig_tensors(&pose, NULL, NULL, NULL, 0, 0, 256), PF_EARG, "0 views");
    assert_fails(pf_rig_tensors(&pose, NULL, NULL, NULL, 16, 0, -1), PF_EARG, "-1 px");
}

/* (e_input - e_target, sin, cos, 0) of the azimuth difference; wrapping costs some 2e-7. */
static void
test_viewpoint_embedding(void **state)
{
    float v[4];
    (void)state;
    pf_viewpoint_embed(v, 0.3f, 0.8f, 2.0f, 0.5f);
    assert_near(v, ((float[]){-0.5f, sinf(1.5f), cosf(1.5f), 0}), 4, 5e-7);
    pf_viewpoint_embed(v, 0, 0, 5.0f, 0);
    assert_near(v, ((float[]){0, sinf(5), cosf(5), 0}), 4, 5e-7);
}

/* ---- golden ---- */

static pf_checkpoint *
golden(const char *name)
{
    const char *folder = getenv("PF_GOLDEN");
    char path[4096];
    pf_checkpoint *w = NULL;
    snprintf(path, sizeof path, "%s/cameras/%s", folder ? folder : "../shared/golden", name);
    if (access(path, R_OK) == 0)
        assert_ok(pf_checkpoint_open(&w, path));
    return w;
}

static pf_tensor
get(pf_checkpoint *w, const char *group, int number, const char *name)
{
    char full[128];
    pf_tensor t;
    snprintf(full, sizeof full, "%s%d.%s", group, number, name);
    if (!pf_checkpoint_get(w, full, &t))
        fail_msg("%s has no %s", pf_checkpoint_path(w), full);
    return t;
}

static void
check_embedding(pf_checkpoint *w, int elevation, const float *azimuth, int input, int input_azimuth)
{
    char name[64];
    float v[4];
    snprintf(name, sizeof name, "viewpoint_embed.in_el%d_az%d", input, input_azimuth);
    const pf_tensor t = get(w, "el", elevation, name);
    for (int n = 0; n < 16; n++) {
        pf_viewpoint_embed(v, (float)rad(input), (float)rad(elevation), azimuth[n],
                           (float)rad(input_azimuth));
        assert_near(v, (float *)t.data + 4 * n, 4, 2e-7);
    }
}

static void
test_golden_rigs(void **state)
{
    static const int elevation[] = {-20, 0, 10, 30, 50, 70};
    pf_checkpoint *w = golden("rigs.safetensors");
    (void)state;
    if (!w)
        skip();
    for (int k = 0; k < 6; k++) {
        const pf_tensor want = get(w, "el", elevation[k], "poses");
        const pf_tensor want_azimuth = get(w, "el", elevation[k], "azimuths");
        const pf_tensor want_elevation = get(w, "el", elevation[k], "elevations");
        float expected[16 * 12];
        pf_tensor pose, K, elevations, azimuths;
        assert_ok(pf_rig_tensors(&pose, &K, &elevations, &azimuths, 16, rad(elevation[k]), 256));
        pf_to_f32(expected, want.data, want.dtype, 16 * 12);
        assert_near(pose.data, expected, 16 * 12, 5e-7);
        assert_near(azimuths.data, want_azimuth.data, 16, 0);
        assert_near(elevations.data, want_elevation.data, 16, 0);
        assert_near(K.data, get(w, "el", elevation[k], "K").data, 9, 0);
        check_embedding(w, elevation[k], azimuths.data, 20, 0);
        check_embedding(w, elevation[k], azimuths.data, -10, 0);
        check_embedding(w, elevation[k], azimuths.data, 30, 45);
        pf_tensor_release(&pose);
        pf_tensor_release(&K);
        pf_tensor_release(&elevations);
        pf_tensor_release(&azimuths);
    }
    pf_checkpoint_close(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pose_of_the_first_view),
        cmocka_unit_test(test_cameras_look_at_the_origin),
        cmocka_unit_test(test_ray_inverts_projection),
        cmocka_unit_test(test_rig_tensors_have_the_streams_shapes),
        cmocka_unit_test(test_rig_without_views_is_refused),
        cmocka_unit_test(test_viewpoint_embedding),
        cmocka_unit_test(test_golden_rigs),
    };
    return cmocka_run_group_tests_name("camera", tests, NULL, NULL);
}
