/* pf-neus as a program, on views whose cameras are somebody's own: pixel centres, missing
 * elevations, views that show nothing. */
#include "common/camera.h"
#include "tests/tools/program.h"

enum { N = 2, S = 8 };

static const char settings[] = "neus: {field: mlp, batch_rays: 24, foreground_rays: 8, sdf_width: "
                               "24, sdf_layers: 2, sdf_frequencies: 1,\n"
                               "       feature_dim: 4, color_width: 8, color_layers: 1, "
                               "coarse_samples: 8, fine_samples: 8, fine_rounds: 2}\n";

/* Grey views of the rig, whole objects. */
static void
make_views(pf_doc *doc)
{
    pf_tensor image, alpha, pose, K, elevation;
    assert_ok(PF_TENSOR_NEW(&image, PF_U8, N, S, S, 3));
    assert_ok(PF_TENSOR_NEW(&alpha, PF_F32, N, S, S));
    assert_ok(pf_rig_tensors(&pose, &K, &elevation, NULL, N, 0.5, S));
    memset(image.data, 100, N * S * S * 3);
    for (int i = 0; i < N * S * S; i++)
        ((float *)alpha.data)[i] = 1;
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

static bool
same_field(const char *a, const char *b)
{
    pf_doc one = {0}, two = {0};
    read_document(&one, a);
    read_document(&two, b);
    bool same = one.tensors == two.tensors;
    for (int i = 0; same && i < one.tensors; i++)
        same =
            !strcmp(one.tensor[i].name, two.tensor[i].name) &&
            pf_tensor_bytes(&one.tensor[i].t) == pf_tensor_bytes(&two.tensor[i].t) &&
            !memcmp(one.tensor[i].t.data, two.tensor[i].t.data, pf_tensor_bytes(&one.tensor[i].t));
    pf_doc_release(&one);
    pf_doc_release(&two);
    return same;
}

#define NEUS "pf-neus -q -d cpu -c small.yaml "

static void
test_views_of_nothing_stop_at_once(void **state)
{
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    memset(floats(&doc, "views.alpha"), 0, N * S * S * sizeof(float));
    write_document(&doc, "nothing.pf");
    FAILS(1, "no view shows an object", NEUS "--steps 1000000 -o x.pf nothing.pf");
    assert_int_not_equal(access("x.pf", F_OK), 0);
    floats(&doc, "views.alpha")[N * S * S - 1] = 1;
    write_document(&doc, "something.pf");
    RUNS(NEUS "--steps 1 -o x.pf nothing.pf something.pf");
    pf_doc_release(&doc);
}

/* Centres at 0.5 had no way in: a lens half a pixel aside is the same camera. */
static void
test_pixel_centers_at_one_half(void **state)
{
    float half = 0.5f;
    const pf_tensor center = pf_tensor_view(&half, PF_F32, 0, NULL);
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    write_document(&doc, "whole.pf");
    assert_ok(pf_doc_put(&doc, "views.pixel_center", &center));
    write_document(&doc, "aside.pf");
    for (int n = 0; n < N; n++)
        for (int i = 2; i < 6; i += 3)
            floats(&doc, "views.intrinsics")[9 * n + i] += 0.5f;
    write_document(&doc, "half.pf");
    RUNS(NEUS "--steps 3 -o 0.pf whole.pf");
    RUNS(NEUS "--steps 3 -o 1.pf half.pf");
    RUNS(NEUS "--steps 3 -o 2.pf aside.pf");
    assert_true(same_field("0.pf", "1.pf"));
    assert_false(same_field("0.pf", "2.pf"));
    pf_doc_release(&doc);
}

static void
test_views_without_elevations(void **state)
{
    pf_doc doc = {0}, field = {0};
    (void)state;
    make_views(&doc);
    write_document(&doc, "with.pf");
    pf_doc_drop(&doc, "views.elevation");
    write_document(&doc, "without.pf");
    RUNS(NEUS "--steps 1 -o field.pf without.pf");
    read_document(&field, "field.pf");
    assert_null(pf_doc_get(&field, "field.elevation"));
    RUNS("pf-render-video -q -d cpu --frames 1 --size 16 --png frames -o film.y4m field.pf");
    RUNS(NEUS "--steps 1 -o field.pf without.pf with.pf");
    read_document(&field, "field.pf");
    assert_int_equal(pf_tensor_count(pf_doc_get(&field, "field.elevation")), 1);
    assert_true(floats(&field, "field.elevation")[0] == 0.5f);
    pf_doc_release(&doc);
    pf_doc_release(&field);
}

static void
test_nonsense_cameras_are_refused_before_training(void **state)
{
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    memset(floats(&doc, "views.pose"), 0, N * 12 * sizeof(float));
    write_document(&doc, "zero.pf");
    FAILS(1, "zero.pf: views.pose: view 0 is not a rotation",
          NEUS "--steps 1000000 -o y.pf zero.pf");
    assert_int_not_equal(access("y.pf", F_OK), 0);
    pf_doc_release(&doc);
}

/* Two captures whose cubes lie elsewhere cannot be one object; and a mesh without a world stays. */
static void
test_worlds_that_differ(void **state)
{
    pf_doc doc = {0};
    (void)state;
    make_views(&doc);
    write_document(&doc, "rig.pf");
    RUNS(NEUS "--steps 0 -o field.pf rig.pf rig.pf");
    FAILS(1, "there is no pf.world",
          "pf-extract-mesh -q -d cpu --resolution 16 --world -o x.ply field.pf");
    assert_ok(pf_doc_set_meta(&doc, "pf.world", "{\"center\": [10, 20, 30], \"scale\": 0.01}"));
    write_document(&doc, "here.pf");
    RUNS(NEUS "--steps 0 -o field.pf here.pf here.pf");
    RUNS("pf-extract-mesh -q -d cpu --resolution 16 --format obj -o cube.obj field.pf");
    RUNS("pf-extract-mesh -q -d cpu --resolution 16 --format obj --world -o world.obj field.pf");
    RUNS("paste -d ' ' cube.obj world.obj | awk '"
         "function far(a, b) {return a - b > 1e-3 || b - a > 1e-3} /^v / {n++; for (i = 0; i < 3; "
         "i++) "
         "bad += far($(i + 2) * 100 + 10 * (i + 1), $(i + NF / 2 + 2))} END {exit !(n > 20 && "
         "!bad)}'");
    assert_ok(pf_doc_set_meta(&doc, "pf.world", "{\"center\": [10, 20, 31], \"scale\": 0.01}"));
    write_document(&doc, "there.pf");
    FAILS(1, "there.pf: pf.world is not that of the views before",
          NEUS "--steps 0 -o y.pf here.pf there.pf");
    FAILS(1, "there.pf: pf.world is not that of the views before",
          NEUS "--steps 0 -o y.pf rig.pf there.pf");
    assert_ok(pf_doc_set_meta(&doc, "pf.world", "{\"center\": [10, 20], \"scale\": 0.01}"));
    write_document(&doc, "odd.pf");
    RUNS(NEUS "--steps 0 -o field.pf odd.pf");
    FAILS(1, "pf.world is not {\"center\"",
          "pf-extract-mesh -q -d cpu --resolution 16 --world -o x.ply field.pf");
    pf_doc_release(&doc);
}

/* Nothing in the views can bring the loss there any more; a checkpoint can. */
static void
test_a_loss_that_is_not_finite_stops(void **state)
{
    pf_doc doc = {0}, checkpoint = {0};
    (void)state;
    make_views(&doc);
    write_document(&doc, "views.pf");
    RUNS(NEUS "--steps 9 --stop-at 1 --checkpoint one.ck -o x.pf views.pf");
    read_document(&checkpoint, "one.ck");
    for (int i = 0; i < checkpoint.tensors; i++)
        if (strstr(checkpoint.tensor[i].name, "field.sdf.") &&
            strstr(checkpoint.tensor[i].name, "bias"))
            for (int64_t k = 0; k < pf_tensor_count(&checkpoint.tensor[i].t); k++)
                ((float *)checkpoint.tensor[i].t.data)[k] = 3e38f;
    write_document(&checkpoint, "huge.ck");
    FAILS(1, "the loss is not finite at step 1",
          NEUS "--steps 9 --resume huge.ck -o z.pf views.pf");
    assert_int_not_equal(access("z.pf", F_OK), 0);
    pf_doc_release(&doc);
    pf_doc_release(&checkpoint);
}

static int
enter(void **state)
{
    assert_int_equal(enter_scratch(state), 0);
    write_text("small.yaml", settings);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_of_nothing_stop_at_once),
        cmocka_unit_test(test_pixel_centers_at_one_half),
        cmocka_unit_test(test_views_without_elevations),
        cmocka_unit_test(test_nonsense_cameras_are_refused_before_training),
        cmocka_unit_test(test_worlds_that_differ),
        cmocka_unit_test(test_a_loss_that_is_not_finite_stops),
    };
    return cmocka_run_group_tests_name("cameras", tests, enter, leave_scratch);
}
