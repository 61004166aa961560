/* pf-mask as a program before backgrounds that are not white, and masks that say nothing. */
#include "common/image.h"
#include "tests/tools/program.h"

enum { N = 4, S = 32, INSIDE = 8, OUTSIDE = 24 };

/* A strip of N views: a square of the object's grey before this colour. */
static void
draw_strip(const char *path, uint8_t ground, uint8_t object)
{
    pf_image strip;
    assert_ok(pf_image_new(&strip, N * S, S, 3));
    for (int y = 0; y < S; y++)
        for (int x = 0; x < N * S; x++)
            memset(strip.pixel + 3 * (y * N * S + x),
                   y >= INSIDE && y < OUTSIDE && x % S >= INSIDE && x % S < OUTSIDE ? object
                                                                                    : ground,
                   3);
    assert_ok(pf_image_save_png(&strip, path));
    pf_image_release(&strip);
}

/* The square is found, and stands before white. */
static void
check_square(const char *path, uint8_t object)
{
    pf_doc doc = {0};
    pf_tensor image, alpha;
    read_document(&doc, path);
    assert_ok(pf_doc_need(&doc, "views.image", PF_U8, 4, (int64_t[]){N, S, S, 3}, &image));
    assert_ok(pf_doc_need(&doc, "views.alpha", PF_F32, 3, (int64_t[]){N, S, S}, &alpha));
    for (int i = 0; i < N * S * S; i++) {
        const int x = i % S, y = i / S % S;
        const bool inside = x >= INSIDE && x < OUTSIDE && y >= INSIDE && y < OUTSIDE;
        assert_true(((float *)alpha.data)[i] == inside);
        assert_int_equal(((uint8_t *)image.data)[3 * i + 1], inside ? object : 255);
    }
    pf_doc_release(&doc);
}

static void
test_strip_on_240_is_not_all_object(void **state)
{
    (void)state;
    draw_strip("grey.png", 240, 60);
    SAYS("the background is (240, 240, 240), not white; it is made white",
         "pf-mask --elevation 30 --soft 0 -o grey.pf grey.png");
    check_square("grey.pf", 60);
    draw_strip("black.png", 0, 200);
    SAYS("the background is (0, 0, 0)", "pf-mask --elevation 30 --soft 0 -o black.pf black.png");
    check_square("black.pf", 200);
    draw_strip("white.png", 255, 60);
    RUNS("pf-mask --elevation 30 --soft 0 -o white.pf white.png");
    check_square("white.pf", 60);
}

/* Masks from elsewhere on a grey strip: the field would learn the grey. */
static void
test_masks_make_the_background_white_too(void **state)
{
    (void)state;
    draw_strip("white.png", 255, 60);
    draw_strip("grey.png", 240, 60);
    RUNS("pf-mask --elevation 30 --soft 0 --png masks -o white.pf white.png");
    RUNS("pf-mask --elevation 30 --masks masks -o grey.pf grey.png");
    check_square("grey.pf", 60);
}

static void
test_mask_of_everything_or_nothing_is_told(void **state)
{
    pf_image motley;
    (void)state;
    draw_strip("empty.png", 255, 255);
    SAYS("views 0 to 3 are all background", "pf-mask --elevation 30 -o x.pf empty.png");
    assert_ok(pf_image_new(&motley, N * S, S, 3));
    for (int i = 0; i < N * S * S * 3; i++)
        motley.pixel[i] = (uint8_t)(i * 89);
    assert_ok(pf_image_save_png(&motley, "motley.png"));
    pf_image_release(&motley);
    SAYS("the background is not plain", "pf-mask --elevation 30 -o x.pf motley.png");
    SAYS("views 0 to 3 are all object", "pf-mask --elevation 30 -o x.pf motley.png");
}

/* Of some views only: their numbers are named. */
static void
test_empty_views_are_named(void **state)
{
    pf_doc doc = {0};
    pf_tensor alpha;
    (void)state;
    draw_strip("white.png", 255, 60);
    RUNS("pf-mask --elevation 30 -o white.pf white.png");
    read_document(&doc, "white.pf");
    assert_ok(pf_doc_need(&doc, "views.alpha", PF_F32, 3, (int64_t[]){N, S, S}, &alpha));
    memset((float *)alpha.data + S * S, 0, S * S * sizeof(float));
    memset((float *)alpha.data + 3 * S * S, 0, S * S * sizeof(float));
    write_document(&doc, "some.pf");
    SAYS("views 1, 3 are all background", "pf-mask --method alpha -o x.pf some.pf");
    ((float *)alpha.data)[5] = 1.5f;
    write_document(&doc, "high.pf");
    FAILS(1, "views.alpha: element 5 is 1.5, expected 0 to 1", "pf-mask -o y.pf high.pf");
    ((float *)alpha.data)[5] = NAN;
    write_document(&doc, "nan.pf");
    FAILS(1, "views.alpha: element 5 is nan, expected 0 to 1", "pf-mask -o y.pf nan.pf");
    assert_int_not_equal(access("y.pf", F_OK), 0);
    pf_doc_release(&doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strip_on_240_is_not_all_object),
        cmocka_unit_test(test_masks_make_the_background_white_too),
        cmocka_unit_test(test_mask_of_everything_or_nothing_is_told),
        cmocka_unit_test(test_empty_views_are_named),
    };
    return cmocka_run_group_tests_name("backgrounds", tests, enter_scratch, leave_scratch);
}
