/* pf-cutout before a plain background, of a photo that was stored with loss. */
#include "tests/tools/lossy.h"
#include "tests/tools/program.h"

enum { S = 96, RADIUS = 30, QUALITY = 75 };

/* The mean difference of both pictures' alpha, 0..1. */
static double
difference(const char *a, const char *b)
{
    pf_image p, q;
    double sum = 0;
    assert_ok(pf_image_read(&p, a));
    assert_ok(pf_image_read(&q, b));
    assert_true(p.channels == 4 && q.channels == 4);
    for (int i = 0; i < S * S; i++)
        sum += abs(p.pixel[4 * i + 3] - q.pixel[4 * i + 3]) / 255.0;
    pf_image_release(&p);
    pf_image_release(&q);
    return sum / (S * S);
}

/* Where the background wavers around the object it was object. */
static void
test_a_jpeg_had_a_halo(void **state)
{
    pf_image photo;
    (void)state;
    assert_ok(pf_image_new(&photo, S, S, 3));
    for (int i = 0; i < S * S; i++) {
        const float r = hypotf((float)(i % S) - 47.5f, (float)(i / S) - 47.5f) - RADIUS;
        const float a = fminf(fmaxf(0.5f - r, 0), 1);
        for (int c = 0; c < 3; c++)
            photo.pixel[3 * i + c] =
                (uint8_t)(40 * (float)(c + 1) * a + 255 * (1 - a) + 0.5f);
    }
    assert_ok(pf_image_save_png(&photo, "photo.png"));
    save_jpeg("photo.jpg", &photo, QUALITY, false);
    save_webp("photo.webp", &photo, QUALITY, false);
    RUNS("pf-cutout -q --method plain -o png.png photo.png");
    RUNS("pf-cutout -q --method plain -o jpg.png photo.jpg");
    RUNS("pf-cutout -q --method plain -o webp.png photo.webp");
    assert_true(difference("jpg.png", "png.png") < 0.005);
    assert_true(difference("webp.png", "png.png") < 0.005);
    write_text("strict.yaml", "mask: {threshold: 0.969}\n");
    RUNS("pf-cutout -q -c strict.yaml --method plain -o jpg.png photo.jpg");
    assert_true(difference("jpg.png", "png.png") > 0.01);
    pf_image_release(&photo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_jpeg_had_a_halo),
    };
    return cmocka_run_group_tests_name("lossy", tests, enter_scratch, leave_scratch);
}
