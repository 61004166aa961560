/* Views and cameras that a tool reads: what is accepted, and the sentence for each kind of
 * nonsense. */
#include "common/camera.h"
#include "common/posed_views.h"
#include "tests/check.h"

enum { N = 6, W = 24, H = 16 };
static const double bound = 0.6;

/* Views of the rig, cropped to W x H, of a disc in the middle. */
static void
make_views(pf_doc *doc)
{
    pf_tensor image, alpha, pose, K, elevation;
    assert_ok(PF_TENSOR_NEW(&image, PF_U8, N, H, W, 3));
    assert_ok(PF_TENSOR_NEW(&alpha, PF_F32, N, H, W));
    assert_ok(pf_rig_tensors(&pose, &K, &elevation, NULL, N, 0.5, W));
    for (int i = 0; i < N * H * W; i++) {
        const double x = i % W - W / 2, y = i / W % H - H / 2;
        ((float *)alpha.data)[i] = x * x + y * y < 25;
    }
    for (int n = 0; n < N; n++)
        ((float *)K.data)[9 * n + 5] = H / 2;
    assert_ok(pf_doc_take(doc, "views.image", &image));
    assert_ok(pf_doc_take(doc, "views.alpha", &alpha));
    assert_ok(pf_doc_take(doc, "views.pose", &pose));
    assert_ok(pf_doc_take(doc, "views.intrinsics", &K));
    assert_ok(pf_doc_take(doc, "views.elevation", &elevation));
}

static float *
floats(const pf_doc *doc, const char *name)
{
    return pf_doc_get(doc, name)->data;
}

static pf_err
check(const pf_doc *doc)
{
    struct pf_posed_views v;
    PF_TRY(pf_posed_views_read(&v, doc));
    return pf_posed_views_aim(&v, bound);
}

/* Refuse what change makes of the poses. */
static void
refuse_poses(void (*change)(float pose[12]), const char *words)
{
    pf_doc doc = {0};
    make_views(&doc);
    for (int n = 0; n < N; n++)
        change(floats(&doc, "views.pose") + 12 * n);
    assert_fails(check(&doc), PF_EFORMAT, words);
    pf_doc_release(&doc);
}

static void
test_views_of_the_rig_are_accepted(void **state)
{
    struct pf_posed_views v;
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    assert_ok(check(&doc));
    assert_ok(pf_posed_views_read(&v, &doc));
    assert_int_equal(v.count, N);
    assert_int_equal(v.width, W);
    assert_int_equal(v.height, H);
    assert_true(v.elevation[3] == 0.5f && v.pixel_center == 0);
    assert_true(pf_posed_views_show_object(&v));
    pf_doc_drop(&doc, "views.elevation");
    assert_ok(pf_posed_views_read(&v, &doc));
    assert_null(v.elevation);
    memset(floats(&doc, "views.alpha"), 0, N * W * H * sizeof(float));
    assert_ok(check(&doc));
    assert_false(pf_posed_views_show_object(&v));
    pf_doc_release(&doc);
}

/* Lenses whose pixels have their middles at 0.5 are those of whole numbers, half a pixel aside. */
static void
test_pixel_center_moves_the_lens(void **state)
{
    struct pf_posed_views v;
    pf_doc doc = {0};
    double K[9], half = 0.5;
    float quarter = 0.25f;
    pf_tensor center = pf_tensor_view(&half, PF_F64, 0, NULL);
    (void)state;
    make_views(&doc);
    assert_ok(pf_doc_put(&doc, "views.pixel_center", &center));
    assert_ok(pf_posed_views_read(&v, &doc));
    pf_posed_views_intrinsics(K, &v, 2);
    assert_true(K[2] == W / 2 - 0.5 && K[5] == H / 2 - 0.5 && K[0] == K[4]);
    center = PF_VIEW(&quarter, PF_F32, 1);
    assert_ok(pf_doc_put(&doc, "views.pixel_center", &center));
    assert_fails(check(&doc), PF_EFORMAT, "views.pixel_center is 0.25, expected 0 or 0.5");
    center = PF_VIEW((float[2]){0}, PF_F32, 2);
    assert_ok(pf_doc_put(&doc, "views.pixel_center", &center));
    assert_fails(check(&doc), PF_ESHAPE, "views.pixel_center is not one number");
    pf_doc_release(&doc);
}

static void
zero(float P[12])
{
    memset(P, 0, 12 * sizeof *P);
}

static void
scale_rotation(float P[12])
{
    for (int i = 0; i < 12; i++)
        P[i] *= i % 4 < 3 ? 1.1f : 1;
}

static void
mirror(float P[12])
{
    for (int i = 0; i < 4; i++)
        P[i] = -P[i];
}

static void
not_a_number(float P[12])
{
    P[5] = NAN;
}

static void
infinite_translation(float P[12])
{
    P[7] = INFINITY;
}

/* [R | t] to [R^T | -R^T t]. */
static void
camera_to_world(float P[12])
{
    float Q[12];
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            Q[4 * i + k] = P[4 * k + i];
        Q[4 * i + 3] = -(P[i] * P[3] + P[4 + i] * P[7] + P[8 + i] * P[11]);
    }
    memcpy(P, Q, sizeof Q);
}

static void
opengl(float P[12])
{
    for (int i = 4; i < 12; i++)
        P[i] = -P[i];
}

static void
opengl_camera_to_world(float P[12])
{
    opengl(P);
    camera_to_world(P);
}

static void
millimetres(float P[12])
{
    for (int i = 0; i < 3; i++)
        P[4 * i + 3] *= 1000;
}

static void
kilometres(float P[12])
{
    for (int i = 0; i < 3; i++)
        P[4 * i + 3] /= 1000;
}

static void
test_poses_that_are_no_rotations_are_named(void **state)
{
    (void)state;
    refuse_poses(zero, "views.pose: view 0 is not a rotation");
    refuse_poses(scale_rotation, "views.pose: view 0 is not a rotation");
    refuse_poses(mirror, "views.pose: view 0 is not a rotation");
    refuse_poses(not_a_number, "views.pose: view 0 is not a rotation");
    refuse_poses(infinite_translation, "views.pose: the translation of view 0 is not finite");
}

static void
test_poses_of_another_convention_are_told(void **state)
{
    (void)state;
    refuse_poses(opengl,
                 "no ray of view 0 meets the cube; is the pose world to camera, x right, y down, "
                 "z forward");
    refuse_poses(camera_to_world, "views.pose: all views are taken from one place");
    refuse_poses(opengl_camera_to_world, "views.pose: all views are taken from one place");
    refuse_poses(millimetres, "look at its cube");
    refuse_poses(kilometres, "the camera of view 0 stands inside the object's cube");
}

/* A small neus.bound cuts the object on purpose; a large one may reach behind the cameras' corners.
 * */
static void
test_bound_is_no_convention(void **state)
{
    struct pf_posed_views v;
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    assert_ok(pf_posed_views_read(&v, &doc));
    assert_ok(pf_posed_views_aim(&v, 0.05));
    assert_ok(pf_posed_views_aim(&v, 1.4));
    pf_doc_release(&doc);
}

/* One view among good ones. */
static void
test_the_one_bad_view_is_named(void **state)
{
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    opengl(floats(&doc, "views.pose") + 12 * 3);
    assert_fails(check(&doc), PF_EFORMAT, "no ray of view 3 meets the cube");
    zero(floats(&doc, "views.pose") + 12 * 4);
    assert_fails(check(&doc), PF_EFORMAT, "views.pose: view 4 is not a rotation");
    pf_doc_release(&doc);
}

static void
test_lenses_that_are_none_are_refused(void **state)
{
    static const float identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    pf_doc doc = {0};
    float *K;
    (void)state;
    make_views(&doc);
    K = floats(&doc, "views.intrinsics") + 9 * 2;
    const float focal = K[0];
    K[0] = -focal;
    assert_fails(check(&doc), PF_EFORMAT,
                 "views.intrinsics: view 2 is not [fx s cx; 0 fy cy; 0 0 1]");
    K[0] = focal / W;                           // for pictures of side 1
    assert_fails(check(&doc), PF_EFORMAT, "the focal length of view 2 is 1.09375, expected pixels");
    K[0] = focal;
    K[4] = 1e30f;                               // every row is one ray
    assert_fails(check(&doc), PF_EFORMAT, "the focal length of view 2 is 1e+30, expected pixels");
    K[4] = focal;
    K[2] = NAN;
    assert_fails(check(&doc), PF_EFORMAT, "views.intrinsics: view 2 is not");
    memcpy(K, identity, sizeof identity);
    assert_fails(check(&doc), PF_EFORMAT, "the focal length of view 2 is 1, expected pixels");
    pf_doc_release(&doc);
}

static void
test_numbers_out_of_their_range_are_refused(void **state)
{
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    floats(&doc, "views.elevation")[1] = 30;
    assert_fails(check(&doc), PF_EFORMAT, "views.elevation: element 1 is 30, expected radians");
    floats(&doc, "views.alpha")[7] = 255;
    assert_fails(check(&doc), PF_EFORMAT, "views.alpha: element 7 is 255, expected 0 to 1");
    floats(&doc, "views.alpha")[7] = NAN;
    assert_fails(check(&doc), PF_EFORMAT, "views.alpha: element 7 is nan, expected 0 to 1");
    pf_doc_release(&doc);
}

/* A camera on a tripod, or one picture twice: no parallax, but no mistake of axes. */
static void
test_views_from_one_place_in_one_direction_are_no_nonsense(void **state)
{
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    for (int n = 1; n < N; n++)
        memcpy(floats(&doc, "views.pose") + 12 * n, floats(&doc, "views.pose"), 12 * sizeof(float));
    assert_ok(check(&doc));
    pf_doc_release(&doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_of_the_rig_are_accepted),
        cmocka_unit_test(test_pixel_center_moves_the_lens),
        cmocka_unit_test(test_poses_that_are_no_rotations_are_named),
        cmocka_unit_test(test_poses_of_another_convention_are_told),
        cmocka_unit_test(test_bound_is_no_convention),
        cmocka_unit_test(test_the_one_bad_view_is_named),
        cmocka_unit_test(test_lenses_that_are_none_are_refused),
        cmocka_unit_test(test_numbers_out_of_their_range_are_refused),
        cmocka_unit_test(test_views_from_one_place_in_one_direction_are_no_nonsense),
    };
    return cmocka_run_group_tests_name("posed_views", tests, NULL, NULL);
}
