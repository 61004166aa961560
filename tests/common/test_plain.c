/* The mask from a plain background: what is object, what is not, and how soft its edge is. */
#include "tests/check.h"

#include "common/plain.h"

enum { S = 64 };

static uint8_t rgb[S * S * 3];
static float alpha[S * S];
static const uint8_t white[3] = {255, 255, 255};

static struct pf_config
settings(int open, int close, double soft)
{
    struct pf_config conf = pf_conf;
    conf.mask.threshold = 0.97;
    conf.mask.open = open;
    conf.mask.close = close;
    conf.mask.soft = soft;
    return conf;
}

static void
blank(void)
{
    memset(rgb, 255, sizeof rgb);
}

static void
paint(int x0, int y0, int x1, int y1, uint8_t value)
{
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            memset(rgb + (y * S + x) * 3, value, 3);
}

static int
object_pixels(const struct pf_config *conf)
{
    int n = 0;
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, white, conf));
    for (int i = 0; i < S * S; i++)
        n += alpha[i] > 0;
    return n;
}

static void
test_a_hard_square_is_found_exactly(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    (void)state;
    blank();
    paint(20, 10, 40, 30, 60);
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, white, &conf));
    for (int i = 0; i < S * S; i++)
        assert_true(alpha[i] == (i % S >= 20 && i % S < 40 && i / S >= 10 && i / S < 30));
}

static void
test_white_inside_the_object_is_object(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    (void)state;
    blank();
    paint(20, 10, 40, 30, 60);
    paint(25, 15, 35, 25, 255);
    assert_int_equal(object_pixels(&conf), 400);
    paint(25, 10, 26, 15, 255);                 // a channel to the outside, one pixel wide
    assert_int_equal(object_pixels(&conf), 400 - 100 - 5);
}

/* An outline that goes by corners encloses. */
static void
test_the_flood_does_not_pass_corners(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    int inside = 0;
    (void)state;
    blank();
    for (int y = 0; y < S; y++)
        for (int x = 0; x < S; x++)
            if (abs(x - 32) + abs(y - 32) == 12)
                paint(x, y, x + 1, y + 1, 60);
            else
                inside += abs(x - 32) + abs(y - 32) < 12;
    assert_int_equal(object_pixels(&conf), inside + 48);
}

static void
test_threshold_decides_what_is_white(void **state)
{
    struct pf_config conf = settings(0, 0, 0);
    (void)state;
    blank();
    paint(20, 10, 40, 30, 245);                 // 0.961
    assert_int_equal(object_pixels(&conf), 400);
    conf.mask.threshold = 0.95;
    assert_int_equal(object_pixels(&conf), 0);
}

static void
test_specks_are_dropped(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    (void)state;
    blank();
    paint(20, 10, 40, 30, 60);
    paint(5, 5, 6, 8, 60);                      // 3 pixels
    paint(50, 50, 52, 52, 60);                  // 4 pixels stay
    assert_int_equal(object_pixels(&conf), 404);
}

static void
test_opening_removes_spurs_and_closing_fills_cracks(void **state)
{
    const struct pf_config conf = settings(0, 0, 0), open = settings(1, 0, 0);
    const struct pf_config closed = settings(0, 1, 0);
    (void)state;
    blank();
    paint(20, 10, 40, 30, 60);
    paint(40, 20, 55, 21, 60);                  // a spur of 1 x 15
    paint(10, 40, 50, 60, 60);
    paint(30, 40, 31, 60, 255);                 // a crack through the lower block
    assert_int_equal(object_pixels(&conf), 400 + 15 + 780);
    assert_true(object_pixels(&open) < 400 + 780);
    assert_true(alpha[20 * S + 45] == 0 && alpha[20 * S + 30] == 1);
    object_pixels(&closed);
    assert_true(alpha[50 * S + 30] == 1 && alpha[20 * S + 45] == 1);
}

static void
test_an_object_at_the_border_is_kept(void **state)
{
    const struct pf_config conf = settings(0, 1, 0);
    (void)state;
    blank();
    paint(0, 0, 20, S, 60);
    assert_int_equal(object_pixels(&conf), 20 * S);
    paint(0, 0, S, S, 60);
    assert_int_equal(object_pixels(&conf), S * S);
    blank();
    assert_int_equal(object_pixels(&conf), 0);
}

/* Half-covered columns beside a dark block get half of the alpha. */
static void
test_worked_example_of_the_soft_edge(void **state)
{
    const struct pf_config conf = settings(0, 0, 1);
    (void)state;
    blank();
    paint(20, 20, 40, 40, 55);
    paint(19, 20, 20, 40, 155);                 // (255 + 55) / 2
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, white, &conf));
    assert_near(&alpha[30 * S + 19], ((float[]){0.51f}), 1, 0.01);
    assert_true(alpha[30 * S + 18] == 0 && alpha[30 * S + 20] == 1 && alpha[30 * S + 39] > 0.99f);
}

/* A disc with known coverage at every pixel: the edge comes out within a few hundredths. */
static void
test_soft_edge_recovers_coverage(void **state)
{
    const struct pf_config soft = settings(0, 0, 1.5);
    double error = 0;
    int edge = 0;
    static float cover[S * S];
    (void)state;
    blank();
    for (int i = 0; i < S * S; i++) {
        for (int k = 0; k < 64; k++)
            cover[i] += hypot(i % S + (k % 8 + 0.5) / 8 - 31.3,
                              i / S + (k / 8 + 0.5) / 8 - 32.6) < 20;
        cover[i] /= 64;
        for (int c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)(cover[i] * (40 + 50 * c) + (1 - cover[i]) * 255 + 0.5);
    }
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, white, &soft));
    for (int i = 0; i < S * S; i++)
        if (cover[i] > 0 && cover[i] < 1) {
            error += fabs(alpha[i] - cover[i]);
            edge++;
        } else {
            assert_near(&alpha[i], &cover[i], 1, 0.02);
        }
    assert_true(edge > 100 && error / edge < 0.03);
}

/* Mirrored views have mirrored masks. */
static void
test_mirrored_views_have_mirrored_masks(void **state)
{
    const struct pf_config conf = settings(1, 1, 1.5);
    static float first[S * S];
    static uint8_t mirror[S * S * 3];
    (void)state;
    blank();
    paint(7, 9, 30, 50, 90);
    paint(30, 20, 45, 24, 140);
    paint(12, 50, 13, 60, 30);
    assert_ok(pf_plain_alpha(first, rgb, S, S, white, &conf));
    for (int i = 0; i < S * S; i++)
        memcpy(mirror + 3 * i, rgb + 3 * (i / S * S + S - 1 - i % S), 3);
    assert_ok(pf_plain_alpha(alpha, mirror, S, S, white, &conf));
    for (int i = 0; i < S * S; i++)
        assert_near(&alpha[i], &first[i / S * S + S - 1 - i % S], 1, 1e-6);
}

/* A background of 240 was an object without a word. */
static void
test_grey_background_is_found(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    uint8_t ground[3];
    (void)state;
    memset(rgb, 240, sizeof rgb);
    paint(20, 10, 40, 30, 60);
    assert_true(pf_plain_background(ground, rgb, 1, S, S, 0.5, &conf));
    assert_memory_equal(ground, ((uint8_t[]){240, 240, 240}), 3);
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, ground, &conf));
    for (int i = 0; i < S * S; i++)
        assert_true(alpha[i] == (i % S >= 20 && i % S < 40 && i / S >= 10 && i / S < 30));
}

/* Colour, and the noise of a JPEG; the object covers one side of the border. */
static void
test_noisy_colored_background_is_found(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    uint8_t ground[3];
    int n = 0;
    (void)state;
    for (int i = 0; i < S * S * 3; i++)
        rgb[i] = (uint8_t)((i % 3 == 1 ? 180 : 20) + (i * 7 % 5) - 2);
    paint(0, S - 8, S, S, 60);
    assert_true(pf_plain_background(ground, rgb, 1, S, S, 0.5, &conf));
    assert_in_range(ground[0], 19, 21);
    assert_in_range(ground[1], 179, 181);
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, ground, &conf));
    for (int i = 0; i < S * S; i++)
        n += alpha[i] > 0;
    assert_int_equal(n, 8 * S);
}

/* Almost white is white, so that it need not be changed. */
static void
test_white_of_250_is_white(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    uint8_t ground[3];
    (void)state;
    memset(rgb, 250, sizeof rgb);
    paint(0, 0, S, S / 2 - 2, 60);
    assert_true(pf_plain_background(ground, rgb, 1, S, S, 0.5, &conf));
    assert_memory_equal(ground, white, 3);
}

static void
test_gradient_is_not_plain(void **state)
{
    const struct pf_config conf = settings(0, 0, 0);
    uint8_t ground[3];
    (void)state;
    for (int y = 0; y < S; y++)
        paint(0, y, S, y + 1, (uint8_t)(3 * y));
    assert_false(pf_plain_background(ground, rgb, 1, S, S, 0.5, &conf));
    assert_memory_equal(ground, white, 3);
}

/* Half-covered columns before green; the object is brighter in one channel and darker in another.
 * */
static void
test_soft_edge_before_a_color(void **state)
{
    const struct pf_config conf = settings(0, 0, 1);
    const uint8_t green[3] = {40, 200, 40}, inside[3] = {240, 60, 80}, half[3] = {140, 130, 60};
    (void)state;
    for (int i = 0; i < S * S; i++)
        memcpy(rgb + 3 * i, i % S < 20 ? green : i % S == 20 ? half : inside, 3);
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, green, &conf));
    assert_near(&alpha[30 * S + 20], ((float[]){0.51f}), 1, 0.02);
    assert_true(alpha[30 * S + 19] == 0 && alpha[30 * S + 21] == 1);
}

/* Views need not be square: a wide picture has the mask that its middle has alone. */
static void
test_wide_views(void **state)
{
    const struct pf_config conf = settings(1, 1, 1.5);
    static uint8_t wide[S / 2 * S * 3];
    static float wide_alpha[S / 2 * S];
    (void)state;
    blank();
    paint(7, 9, 30, 25, 90);
    paint(30, 12, 45, 16, 140);
    memcpy(wide, rgb, sizeof wide);
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, white, &conf));
    assert_ok(pf_plain_alpha(wide_alpha, wide, S, S / 2, white, &conf));
    assert_near(wide_alpha, alpha, S / 2 * S, 0);
    assert_true(wide_alpha[12 * S + 20] == 1);
}

static void
spoil_row(void *user, const float *row, int y)
{
    memcpy((float *)user + y * S, row, S * sizeof *row);
    memset(rgb + 3 * y * S, y % 2 ? 0 : 255, 3 * S);
}

/* Each row comes as soon as nothing looks at its pixels any more. */
static void
test_rows_may_be_changed_as_they_come(void **state)
{
    static float rows[S * S];
    const struct pf_config conf = settings(0, 1, 3.5);
    (void)state;
    blank();
    for (int i = 0; i < S * S; i++) {
        const double r = hypot(i % S - 31.5, i / S - 31.5);
        memset(rgb + 3 * i, (int)(255 * fmin(fmax((r - 20) / 8, 0), 1)), 3);
    }
    assert_ok(pf_plain_alpha(alpha, rgb, S, S, white, &conf));
    assert_ok(pf_plain_rows(rgb, S, S, white, &conf, spoil_row, rows));
    assert_memory_equal(alpha, rows, sizeof rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hard_square_is_found_exactly),
        cmocka_unit_test(test_white_inside_the_object_is_object),
        cmocka_unit_test(test_the_flood_does_not_pass_corners),
        cmocka_unit_test(test_threshold_decides_what_is_white),
        cmocka_unit_test(test_specks_are_dropped),
        cmocka_unit_test(test_opening_removes_spurs_and_closing_fills_cracks),
        cmocka_unit_test(test_an_object_at_the_border_is_kept),
        cmocka_unit_test(test_worked_example_of_the_soft_edge),
        cmocka_unit_test(test_soft_edge_recovers_coverage),
        cmocka_unit_test(test_mirrored_views_have_mirrored_masks),
        cmocka_unit_test(test_grey_background_is_found),
        cmocka_unit_test(test_noisy_colored_background_is_found),
        cmocka_unit_test(test_white_of_250_is_white),
        cmocka_unit_test(test_gradient_is_not_plain),
        cmocka_unit_test(test_soft_edge_before_a_color),
        cmocka_unit_test(test_wide_views),
        cmocka_unit_test(test_rows_may_be_changed_as_they_come),
    };
    return cmocka_run_group_tests_name("white", tests, NULL, NULL);
}
