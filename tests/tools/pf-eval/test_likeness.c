/* PSNR, SSIM and masks: by hand, by the formula at every pixel, and the original's numbers. */
// uses: tools/pf-eval/likeness.c tools/pf-eval/views.c
#include "tests/tools/golden.h"

#include <jansson.h>

#include "tools/pf-eval/likeness.h"
#include "tools/pf-eval/views.h"

enum { W = 17, H = 12 };

static void
fill(float *to, int n, uint64_t seed)
{
    for (int i = 0; i < n; i++)
        to[i] = pf_rng_uniform(seed, PF_RNG_TEST, (uint64_t)i);
}

static void
test_psnr_by_hand(void **state)
{
    float a[12] = {0}, b[12] = {0};
    (void)state;
    b[5] = 0.6f;                                // mean square 0.03
    assert_float_equal(likeness_psnr(a, b, 2, 2), 15.228787, 1e-5);
    assert_true(likeness_psnr(a, a, 2, 2) == INFINITY);
}

static void
test_iou_by_hand(void **state)
{
    const float a[6] = {1, 0.6f, 0.5f, 0, 1, 0}, b[6] = {1, 0.4f, 1, 0, 0.51f, 0}, none[6] = {0};
    (void)state;
    assert_float_equal(likeness_iou(a, b, 3, 2), 2.0 / 4, 1e-9);
    assert_float_equal(likeness_iou(a, none, 3, 2), 0, 0);
    assert_float_equal(likeness_iou(none, none, 2, 3), 1, 0);
}

static int
mirrored(int i, int n)
{
    return i < 0 ? -i : i > n - 1 ? 2 * n - 2 - i : i;
}

/* SSIM of channel c at one pixel, straight from the window of 11 x 11. */
static double
ssim_at(const float *a, const float *b, int y, int x, int c, double range)
{
    double weight = 0, m[2] = {0}, s[3] = {0};
    for (int v = -5; v <= 5; v++)
        for (int u = -5; u <= 5; u++) {
            const double w = exp(-(u * u + v * v) / 4.5);
            const int i = 3 * (mirrored(y + v, H) * W + mirrored(x + u, W)) + c;
            weight += w;
            m[0] += w * a[i];
            m[1] += w * b[i];
            s[0] += w * a[i] * a[i];
            s[1] += w * a[i] * b[i];
            s[2] += w * b[i] * b[i];
        }
    for (int k = 0; k < 3; k++)
        s[k] = s[k] / weight - m[k / 2] * m[(k + 1) / 2] / weight / weight;
    m[0] /= weight;
    m[1] /= weight;
    const double c1 = 1e-4 * range * range, c2 = 9e-4 * range * range;
    return (2 * m[0] * m[1] + c1) * (2 * s[1] + c2) /
           ((m[0] * m[0] + m[1] * m[1] + c1) * (s[0] + s[2] + c2));
}

static void
test_ssim_is_the_formula(void **state)
{
    float a[W * H * 3], b[W * H * 3];
    (void)state;
    fill(a, W * H * 3, 1);
    fill(b, W * H * 3, 2);
    for (int i = 0; i < W * H * 3; i++) {
        a[i] = 0.2f + 0.5f * a[i];
        b[i] = 0.3f * a[i] + 0.3f * b[i];
    }
    a[7] = 0.1f;
    a[9] = 0.75f;                               // the larger range of both, 0.65
    for (int frame = 0; frame <= 5; frame += 5) {
        double sum = 0, ssim;
        int n = 0;
        for (int y = frame; y < H - frame; y++)
            for (int x = frame; x < W - frame; x++)
                for (int c = 0; c < 3; c++, n++)
                    sum += ssim_at(a, b, y, x, c, (double)0.75f - (double)0.1f);
        assert_ok(likeness_ssim(&ssim, a, b, W, H, frame));
        assert_true(fabs(ssim - sum / n) < 1e-9);
    }
}

static void
test_ssim_of_the_same_and_of_plain_colours(void **state)
{
    float a[W * H * 3], b[W * H * 3];
    double ssim;
    (void)state;
    fill(a, W * H * 3, 1);
    assert_ok(likeness_ssim(&ssim, a, a, W, H, 0));
    assert_float_equal(ssim, 1, 1e-9);
    for (int i = 0; i < W * H * 3; i++)
        a[i] = b[i] = 0.5f;
    assert_ok(likeness_ssim(&ssim, a, b, W, H, 0));
    assert_float_equal(ssim, 1, 0);
    assert_fails(likeness_ssim(&ssim, a, a, 5, 20, 0), PF_ESHAPE, "at least 6 a side");
    assert_fails(likeness_ssim(&ssim, a, a, W, H, 6), PF_ESHAPE, "twice the frame");
}

static void
test_halving_weighs_neighbours(void **state)
{
    float from[16] = {0}, to[4];
    (void)state;
    from[4 * 2 + 2] = 16;                       // is pixel (1, 1) of the smaller one
    from[4 * 1 + 0] = 16;                       // lies between (0, 0) and (0, 1), at the border
    likeness_halve(to, from, 2, 2, 1);
    assert_near(to, ((float[]){3, 0, 3, 4}), 4, 1e-6);
}

/* A picture of evalref as floats. */
static float *
read_view(const char *pair, const char *end)
{
    char name[64], path[512];
    struct views *v;
    snprintf(name, sizeof name, "evalref/%s-%s.png", pair, end);
    assert_ok(views_open(&v, golden_path(path, name)));
    assert_ok(views_next(v));
    assert_int_equal(v->count, 1);
    assert_int_equal(v->width, 256);
    float *const rgb = malloc(256 * 256 * 4 * sizeof *rgb);
    assert_non_null(rgb);
    assert_ok(views_get(v, 0, rgb, rgb + 256 * 256 * 3));
    views_close(v);
    return rgb;
}

static double
number(const json_t *pair, const char *key)
{
    return json_real_value(json_object_get(pair, key));
}

static void
test_the_originals_numbers(void **state)
{
    char path[512];
    json_t *const all = json_load_file(golden_path(path, "evalref/reference.json"), 0, NULL), *pair;
    size_t i;
    (void)state;
    if (!all)
        skip();
    assert_int_equal(json_array_size(all), 3);
    json_array_foreach(all, i, pair) {
        const char *const name = json_string_value(json_object_get(pair, "pair"));
        float *const made = read_view(name, "pr"), *const truth = read_view(name, "gt");
        double ssim;
        assert_true(fabs(likeness_psnr(truth, made, 256, 256) - number(pair, "psnr_f64")) < 1e-4);
        assert_ok(likeness_ssim(&ssim, truth, made, 256, 256, 0));
        assert_true(fabs(ssim - number(pair, "ssim_whole_map")) < 1e-5);
        assert_ok(likeness_ssim(&ssim, truth, made, 256, 256, 5));
        assert_true(fabs(ssim - number(pair, "ssim_without_5px_frame")) < 1e-5);
        free(made);
        free(truth);
    }
    json_decref(all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_psnr_by_hand),
        cmocka_unit_test(test_iou_by_hand),
        cmocka_unit_test(test_ssim_is_the_formula),
        cmocka_unit_test(test_ssim_of_the_same_and_of_plain_colours),
        cmocka_unit_test(test_halving_weighs_neighbours),
        cmocka_unit_test(test_the_originals_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
