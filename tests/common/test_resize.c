/* Resizing: by hand, and Pillow's bytes (fixtures of tests/data/make_images.py). */
#include "tests/common/images.h"

/* Two pixels to four, by hand: centres 0.25, 0.75, 1.25, 1.75 and the cubic of crop.md give shares
 * of the second pixel, after normalisation, of -0.0882, 0.2071, 0.7929, 1.0882. */
static void
test_worked_example_of_growing(void **state)
{
    uint8_t two[] = {0, 200}, tall[] = {100, 110};
    const pf_image row = {2, 1, 1, two}, column = {1, 2, 1, tall};
    pf_image wide, high;
    (void)state;
    assert_ok(pf_image_resize(&wide, &row, 4, 1));
    assert_memory_equal(wide.pixel, ((uint8_t[]){0, 41, 159, 218}), 4);
    assert_ok(pf_image_resize(&high, &column, 1, 4));
    assert_memory_equal(high.pixel, ((uint8_t[]){99, 102, 108, 111}), 4);
    pf_image_release(&wide);
    pf_image_release(&high);
}

/* Four pixels to two, by hand: around the centre 1 the cubic, stretched to twice its width, is
 * 0.8671875 at the pixels 0 and 1, 0.2265625 at 2 and -0.0703125 at 3.  Divided by their sum,
 * 1.890625, these are 0.4587, 0.4587, 0.1198 and -0.0372; around the centre 3 the same from the
 * other end.  What leaves 0..255 is clamped. */
static void
test_worked_example_of_shrinking(void **state)
{
    uint8_t pixel[] = {200, 0, 0, 0, 0, 200, 0, 0, 55, 255, 255, 255};
    const pf_image from = {4, 3, 1, pixel};
    pf_image to;
    (void)state;
    assert_ok(pf_image_resize(&to, &from, 2, 3));
    assert_memory_equal(to.pixel, ((uint8_t[]){92, 0, 92, 24, 163, 255}), 6);
    pf_image_release(&to);
}

/* Two pixels to one are their mean: of the premultiplied (200, 100, 50, 255) and (0, 0, 0, 0) it is
 * (100, 50, 25, 128), since 127.5 is rounded up.  Times 255 / 128 that is 199.2, 99.6, 49.8, which
 * is truncated. */
static void
test_worked_example_with_alpha(void **state)
{
    uint8_t pixel[] = {200, 100, 50, 255, 255, 255, 255, 0};
    const pf_image from = {2, 1, 4, pixel};
    pf_image to;
    (void)state;
    assert_ok(pf_image_resize(&to, &from, 1, 1));
    assert_memory_equal(to.pixel, ((uint8_t[]){199, 99, 49, 128}), 4);
    pf_image_release(&to);
}

/* Two pixels to four by the triangle: shares of the second pixel of 0, 0.25, 0.75 and 1. */
static void
test_worked_example_of_other_filters(void **state)
{
    uint8_t two[] = {0, 200};
    const pf_image row = {2, 1, 1, two};
    pf_image wide;
    (void)state;
    assert_ok(pf_image_resize_by(&wide, &row, 4, 1, PF_BILINEAR));
    assert_memory_equal(wide.pixel, ((uint8_t[]){0, 50, 150, 200}), 4);
    pf_image_release(&wide);
    /* L(0.25) = 0.8901, L(1.25) = -0.1329, L(0.75) = 0.2702; the second pixel's share of a pair is
     * L(1.25) / (L(0.25) + L(1.25)) = -0.1755 and L(0.75) / (L(0.25) + L(0.75)) = 0.2329 */
    assert_ok(pf_image_resize_by(&wide, &row, 4, 1, PF_LANCZOS));
    assert_memory_equal(wide.pixel, ((uint8_t[]){0, 47, 153, 235}), 4);
    pf_image_release(&wide);
}

/* Columns are made after rows and from bytes: the first row becomes 0 41 159 218, the second stays
 * 0, and of the four rows each has its share of the first, 1.0882, 0.7929, 0.2071, -0.0882. */
static void
test_columns_follow_rows(void **state)
{
    uint8_t pixel[] = {0, 200, 0, 0};
    const pf_image from = {2, 2, 1, pixel};
    pf_image to;
    (void)state;
    assert_ok(pf_image_resize(&to, &from, 4, 4));
    assert_memory_equal(to.pixel, ((uint8_t[]){0, 45, 173, 237, 0, 33, 126, 173,
                                               0, 8, 33, 45, 0, 0, 0, 0}), 16);
    pf_image_release(&to);
}

static void
test_resize_is_pillows_bit_for_bit(void **state)
{
    static const struct { const char *from, *to; int width, height; } cases[] = {
        {"photo.png", "resized_17x29.png", 17, 29}, {"photo.png", "resized_100x75.png", 100, 75},
        {"photo.png", "resized_64x20.png", 64, 20},
        {"photo_rgb.png", "resized_rgb_23x48.png", 23, 48}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        pf_image from = read_image(cases[i].from), want = read_image(cases[i].to), to;
        assert_ok(pf_image_resize(&to, &from, cases[i].width, cases[i].height));
        if (!same(&to, &want))
            fail_msg("%s is not Pillow's", cases[i].to);
        pf_image_release(&from);
        pf_image_release(&want);
        pf_image_release(&to);
    }
}

static void
test_a_uniform_picture_stays_uniform(void **state)
{
    static const int size[][2] = {{1, 1}, {7, 3}, {64, 65}, {200, 1}};
    pf_image from, to;
    (void)state;
    assert_ok(pf_image_new(&from, 40, 31, 3));
    memset(from.pixel, 173, pf_image_bytes(&from));
    for (int i = 0; i < 4; i++) {
        assert_ok(pf_image_resize(&to, &from, size[i][0], size[i][1]));
        for (size_t k = 0; k < pf_image_bytes(&to); k++)
            assert_int_equal(to.pixel[k], 173);
        pf_image_release(&to);
    }
    pf_image_release(&from);
}

static void
test_resize_commutes_with_transposition_of_one_axis(void **state)
{
    pf_image row, column, a, b;
    (void)state;
    assert_ok(pf_image_new(&row, 50, 1, 1));
    for (int i = 0; i < 50; i++)
        row.pixel[i] = (uint8_t)(i * 97 % 256);
    column = (pf_image){1, 50, 1, row.pixel};
    assert_ok(pf_image_resize(&a, &row, 33, 1));
    assert_ok(pf_image_resize(&b, &column, 1, 33));
    assert_memory_equal(a.pixel, b.pixel, 33);
    pf_image_release(&row);
    pf_image_release(&a);
    pf_image_release(&b);
}

/* The colour below full transparency must not bleed: premultiplied (crop.md, 2). */
static void
test_hidden_colour_does_not_bleed(void **state)
{
    uint8_t pixel[] = {255, 0, 0, 0, 10, 20, 30, 255, 255, 0, 0, 0, 10, 20, 30, 255};
    const pf_image from = {4, 1, 4, pixel};
    pf_image to;
    (void)state;
    assert_ok(pf_image_resize(&to, &from, 2, 1));
    for (int i = 0; i < 2; i++) {
        assert_true(abs(to.pixel[4 * i + 0] - 10) <= 1);
        assert_true(abs(to.pixel[4 * i + 1] - 20) <= 1);
        assert_true(abs(to.pixel[4 * i + 2] - 30) <= 1);
    }
    pf_image_release(&to);
}

static void
test_same_size_is_a_copy_and_no_size_is_refused(void **state)
{
    pf_image from = read_image("photo.png"), to;
    (void)state;
    assert_ok(pf_image_resize(&to, &from, from.width, from.height));
    assert_true(same(&to, &from));
    pf_image_release(&to);
    assert_fails(pf_image_resize(&to, &from, 0, 5), PF_ESHAPE, "0 x 5");
    assert_fails(pf_image_resize(&to, &from, 5, -1), PF_ESHAPE, "5 x -1");
    assert_fails(pf_image_resize(&to, &from, 5, PF_IMAGE_MAX_SIDE + 1), PF_ESHAPE, "5 x 32769");
    assert_null(to.pixel);
    pf_image_release(&from);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example_of_growing),
        cmocka_unit_test(test_worked_example_of_shrinking),
        cmocka_unit_test(test_worked_example_with_alpha),
        cmocka_unit_test(test_worked_example_of_other_filters),
        cmocka_unit_test(test_columns_follow_rows),
        cmocka_unit_test(test_resize_is_pillows_bit_for_bit),
        cmocka_unit_test(test_a_uniform_picture_stays_uniform),
        cmocka_unit_test(test_resize_commutes_with_transposition_of_one_axis),
        cmocka_unit_test(test_hidden_colour_does_not_bleed),
        cmocka_unit_test(test_same_size_is_a_copy_and_no_size_is_refused),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
