/* pf-mask as a program: a strip that is a JPEG or WebP picture is as good as the PNG. */
#include "tests/tools/lossy.h"
#include "tests/tools/program.h"

enum { N = 4, S = 32, W = N * S, RADIUS = 10, QUALITY = 75 };

static int ground = 255;        /* what the discs lie on */

/* N discs whose edges are soft, on the ground or, with 4 channels, on nothing. */
static pf_image
discs(int channels)
{
    pf_image strip;
    assert_ok(pf_image_new(&strip, W, S, channels));
    for (int i = 0; i < W * S; i++) {
        const float r = hypotf((float)(i % S) - 15.5f, (float)(i / W) - 15.5f) - RADIUS;
        const float a = fminf(fmaxf(0.5f - r, 0), 1);
        uint8_t *const p = strip.pixel + channels * i;
        for (int c = 0; c < 3; c++)
            p[c] = (uint8_t)(40 * (c + 1) * (channels == 4 ? 1 : a) +
                             (float)ground * (channels == 4 ? 0 : 1 - a) + 0.5f);
        if (channels == 4)
            p[3] = (uint8_t)(255 * a + 0.5f);
    }
    return strip;
}

/* The mean difference of both documents' masks. */
static double
difference(const char *a, const char *b)
{
    const char *const path[] = {a, b};
    pf_doc doc[2] = {{0}};
    pf_tensor alpha[2];
    double sum = 0;
    for (int k = 0; k < 2; k++) {
        read_document(&doc[k], path[k]);
        assert_ok(pf_doc_need(&doc[k], "views.alpha", PF_F32, 3, (int64_t[]){N, S, S}, &alpha[k]));
    }
    for (int i = 0; i < N * S * S; i++)
        sum += fabs((double)((float *)alpha[0].data)[i] - (double)((float *)alpha[1].data)[i]);
    pf_doc_release(&doc[0]);
    pf_doc_release(&doc[1]);
    return sum / (N * S * S);
}

#define MASK "pf-mask --elevation 30 --open 0 -o "

static void
test_jpeg_and_webp_strips_are_as_good_as_png(void **state)
{
    static const char *const lossy[] = {"strip.jpg", "progressive.jpg", "strip.webp"};
    pf_image strip = discs(3);
    (void)state;
    assert_ok(pf_image_save_png(&strip, "strip.png"));
    save_jpeg("strip.jpg", &strip, QUALITY, false);
    save_jpeg("progressive.jpg", &strip, QUALITY, true);
    save_webp("strip.webp", &strip, QUALITY, false);
    save_webp("lossless.webp", &strip, QUALITY, true);
    RUNS(MASK "png.pf strip.png");
    RUNS(MASK "webp.pf lossless.webp && cmp png.pf webp.pf");
    RUNS("cat lossless.webp | " MASK "- | cmp png.pf -");
    for (int i = 0; i < 3; i++) {
        char said[4096];
        assert_int_equal(run(said, MASK "x.pf %s", lossy[i]), 0);
        assert_true(difference("x.pf", "png.pf") < 0.005);
        assert_int_equal(run(said, "cat %s | " MASK "y.pf", lossy[i]), 0);
        RUNS("cmp x.pf y.pf");
    }
    pf_image_release(&strip);
}

/* With the threshold of a PNG a fifth of a JPEG's background was object. */
static void
test_lossy_strips_get_a_threshold_of_their_own(void **state)
{
    pf_image strip = discs(3);
    char said[4096];
    (void)state;
    save_jpeg("strip.jpg", &strip, QUALITY, false);
    write_text("same.yaml", "mask: {threshold: 0.95}\n");
    RUNS(MASK "own.pf strip.jpg");
    RUNS(MASK "nine.pf --threshold 0.9 strip.jpg");
    assert_true(difference("own.pf", "nine.pf") == 0);
    assert_int_equal(run(said, MASK "given.pf --threshold 0.97 strip.jpg"), 0);
    assert_true(difference("given.pf", "own.pf") > 0.1);
    assert_int_equal(run(said, MASK "config.pf -c same.yaml strip.jpg"), 0);
    assert_true(difference("config.pf", "own.pf") > 0.01);
    RUNS("pf-stream info own.pf | grep -q '\"threshold\":0.9[,}]'");
    pf_image_release(&strip);
}

static void
test_webp_brings_its_alpha(void **state)
{
    pf_image strip = discs(4);
    (void)state;
    assert_ok(pf_image_save_png(&strip, "rgba.png"));
    save_webp("rgba.webp", &strip, QUALITY, false);
    RUNS(MASK "png.pf rgba.png");
    RUNS(MASK "webp.pf rgba.webp");
    assert_true(difference("webp.pf", "png.pf") == 0);          /* stored without loss */
    pf_image_release(&strip);
}

/* 240 was taken for white, as far as a JPEG may waver, and kept: its blocks became object. */
static void
test_lossy_strips_on_grey_are_made_white(void **state)
{
    static const char *const lossy[] = {"grey.jpg", "grey.webp"};
    char said[4096];
    (void)state;
    ground = 240;
    pf_image strip = discs(3);
    ground = 255;
    assert_ok(pf_image_save_png(&strip, "grey.png"));
    save_jpeg("grey.jpg", &strip, QUALITY, false);
    save_webp("grey.webp", &strip, QUALITY, false);
    assert_int_equal(run(said, MASK "png.pf grey.png"), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run(said, MASK "x.pf %s 2>told; grep -q 'the background is (2' told",
                             lossy[i]), 0);
        print_message("# %s: %.4f\n", lossy[i], difference("x.pf", "png.pf"));
        assert_true(difference("x.pf", "png.pf") < 0.01);
    }
    pf_image_release(&strip);
}

/* As programs save it that know RGBA alone. */
static void
test_alpha_that_is_whole_everywhere_is_none(void **state)
{
    pf_image rgb = discs(3), rgba;
    (void)state;
    assert_ok(pf_image_new(&rgba, W, S, 4));
    for (int i = 0; i < W * S; i++) {
        memcpy(rgba.pixel + 4 * i, rgb.pixel + 3 * i, 3);
        rgba.pixel[4 * i + 3] = 255;
    }
    assert_ok(pf_image_save_png(&rgb, "rgb.png"));
    assert_ok(pf_image_save_png(&rgba, "whole.png"));
    RUNS(MASK "rgb.pf rgb.png && " MASK "whole.pf whole.png");
    assert_true(difference("rgb.pf", "whole.pf") == 0);
    pf_image_release(&rgb);
    pf_image_release(&rgba);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_and_webp_strips_are_as_good_as_png),
        cmocka_unit_test(test_lossy_strips_get_a_threshold_of_their_own),
        cmocka_unit_test(test_webp_brings_its_alpha),
        cmocka_unit_test(test_lossy_strips_on_grey_are_made_white),
        cmocka_unit_test(test_alpha_that_is_whole_everywhere_is_none),
    };
    return cmocka_run_group_tests_name("strips", tests, enter_scratch, leave_scratch);
}
