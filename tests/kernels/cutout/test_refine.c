/* Masks at a photo's size and the colours of their edges: a disc of known colours and coverage. */
#include "kernels/cutout/refine.h"

#include <math.h>

#include "tests/check.h"

enum { W = 323, H = 251, MASK = 40 };
static const double RADIUS = 80.3, X = 150.2, Y = 120.7;
static const double OBJECT[] = {210, 60, 40}, GROUND[] = {40, 90, 160};

static double
coverage(double x, double y)
{
    const double out = hypot(x - X, y - Y) - RADIUS;
    return out < -1 ? 1 : out > 1 ? 0 : (1 - out) / 2;
}

/* The photo, and a mask of few pixels of it that is wrong by one of them to the right. */
static void
make(pf_image *photo, pf_tensor *mask)
{
    assert_ok(pf_image_new(photo, W, H, 3));
    assert_ok(PF_TENSOR_NEW(mask, PF_F32, MASK, MASK));
    for (int i = 0; i < W * H; i++) {
        const double a = coverage(i % W, i / W), grain = 8 * sin(i % W * 1.7) * sin(i / W * 2.3);
        for (int c = 0; c < 3; c++)
            photo->pixel[3 * i + c] =
                (uint8_t)(a * OBJECT[c] + (1 - a) * GROUND[c] + grain + 0.5);
    }
    float *const m = mask->data;
    for (int i = 0; i < MASK * MASK; i++)
        m[i] = (float)coverage((i % MASK - 0.5) * W / MASK, (i / MASK + 0.5) * H / MASK);
}

struct errors {
    double alpha, color, others;        /* of colours: where half transparent; the photo's */
    int pixels;                         /* half transparent */
};

static void
test_edges_follow_the_photo(void **state)
{
    pf_image photo;
    pf_tensor mask;
    pf_refine *r;
    uint8_t alpha[W], rgb[3 * W];
    struct errors e = {0};
    double rough = 0;
    (void)state;
    make(&photo, &mask);
    assert_ok(pf_refine_new(&r, &photo, &mask));
    for (int y = 0; y < H; y++) {
        memcpy(rgb, photo.pixel + 3 * W * y, sizeof rgb);
        pf_refine_row(r, alpha, rgb, W, y, H);
        for (int x = 0; x < W; x++) {
            const double a = coverage(x, y);
            e.alpha += fabs(alpha[x] / 255.0 - a);
            rough += fabs((double)((float *)mask.data)[y * MASK / H * MASK + x * MASK / W] - a);
            for (int c = 0; c < 3 && a > 0.3 && a < 0.7; c++) {
                e.pixels++;
                e.color += fabs(rgb[3 * x + c] - OBJECT[c]);
                e.others += fabs(photo.pixel[3 * (W * y + x) + c] - OBJECT[c]);
            }
        }
    }
    print_message("# alpha %.5f, the mask's own %.5f; colours of the edge %.1f, the photo's %.1f\n",
                  e.alpha / (W * H), rough / (W * H), e.color / e.pixels, e.others / e.pixels);
    assert_true(e.alpha < rough / 4);
    assert_true(e.pixels > 100 && e.color < 0.75 * e.others);
    pf_refine_free(r);
    pf_tensor_release(&mask);
    pf_image_release(&photo);
}

/* Where the mask is certain nothing of the photo changes, whatever its colours. */
static void
test_certain_masks_stay(void **state)
{
    (void)state;
    for (int value = 0; value <= 1; value++) {
        pf_image photo;
        pf_tensor mask;
        pf_refine *r;
        uint8_t alpha[W], rgb[3 * W];
        make(&photo, &mask);
        for (int i = 0; i < MASK * MASK; i++)
            ((float *)mask.data)[i] = (float)value;
        assert_ok(pf_refine_new(&r, &photo, &mask));
        for (int y = 0; y < H; y++) {
            memcpy(rgb, photo.pixel + 3 * W * y, sizeof rgb);
            pf_refine_row(r, alpha, rgb, W, y, H);
            assert_memory_equal(rgb, photo.pixel + 3 * W * y, sizeof rgb);
            for (int x = 0; x < W; x++)
                assert_int_equal(alpha[x], 255 * value);
        }
        pf_refine_free(r);
        pf_tensor_release(&mask);
        pf_image_release(&photo);
    }
}

static void
test_small_and_wrong_shapes(void **state)
{
    pf_image photo;
    pf_refine *r;
    uint8_t alpha, rgb[3] = {9, 8, 7};
    float one = 0.9f;
    pf_tensor mask = PF_VIEW(&one, PF_F32, 1, 1), line = PF_VIEW(&one, PF_F32, 1);
    (void)state;
    assert_ok(pf_image_new(&photo, 1, 1, 3));
    assert_ok(pf_refine_new(&r, &photo, &mask));
    pf_refine_row(r, &alpha, rgb, 1, 0, 1);
    assert_int_equal(alpha, 255);
    pf_refine_free(r);
    assert_fails(pf_refine_new(&r, &photo, &line), PF_ESHAPE, "mask");
    pf_image_release(&photo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges_follow_the_photo),
        cmocka_unit_test(test_certain_masks_stay),
        cmocka_unit_test(test_small_and_wrong_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
