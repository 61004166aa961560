/* Trimaps, against the original's (golden/background) and by their definition. */
#include "kernels/cutout/trimap.h"

#include "tests/tools/golden.h"

static pf_image
image_of(const uint8_t *pixel, int W, int H)
{
    pf_image t;
    assert_ok(pf_image_new(&t, W, H, 1));
    memcpy(t.pixel, pixel, pf_image_bytes(&t));
    return t;
}

static void
test_worked_example(void **state)
{
    static const uint8_t in[] = {0, 0, 0, 0, 0, 255, 255, 255, 255, 9},
                         want[] = {0, 0, 0, 127, 127, 127, 255, 255, 127, 127};
    pf_image mask = image_of(in, 10, 1), t;
    (void)state;
    assert_ok(pf_trimap(&t, &mask, 231, 2, 1));
    assert_memory_equal(t.pixel, want, 10);
    pf_image_release(&t);
    pf_image_release(&mask);
}

/* Whether any pixel within radius, on either axis, is object, or none is. */
static bool
any_near(const uint8_t *m, int W, int H, int x, int y, int radius, bool object)
{
    for (int i = y - radius; i <= y + radius; i++)
        for (int j = x - radius; j <= x + radius; j++)
            if (i >= 0 && i < H && j >= 0 && j < W && (m[i * W + j] > 200) == object)
                return true;
    return false;
}

static void
test_any_size_matches_the_definition(void **state)
{
    enum { W = 23, H = 17 };
    uint8_t in[W * H];
    (void)state;
    for (int i = 0; i < W * H; i++) {
        const uint64_t z = golden_word(3, (uint64_t)i);
        in[i] = z % 40 == 0 ? 255 : z % 41 == 0 ? 100 : (i / W - 9) * (i / W - 9) < 20 ? 201 : 0;
    }
    pf_image mask = image_of(in, W, H), t;
    for (int dilation = 0; dilation < 30; dilation += 3)
        for (int erosion = 0; erosion < 20; erosion += 2) {
            assert_ok(pf_trimap(&t, &mask, 200, dilation, erosion));
            for (int i = 0; i < W * H; i++) {
                const int x = i % W, y = i / W;
                const bool ring = in[i] || any_near(in, W, H, x, y, dilation, true);
                const bool inner = in[i] > 200 && !any_near(in, W, H, x, y, erosion, false);
                assert_int_equal(t.pixel[i], inner ? 255 : ring ? 127 : 0);
            }
            pf_image_release(&t);
        }
    pf_image_release(&mask);
}

static void
test_trimaps_are_the_originals(void **state)
{
    static const char *const names[] = {"soft", "edge", "noise"};
    pf_doc doc = {0};
    pf_image t;
    (void)state;
    golden_open(&doc, "background/trimap.safetensors");
    for (int i = 0; i < 6; i++) {
        const bool small = i >= 3;
        char name[48];
        snprintf(name, sizeof name, "%s.mask", names[i % 3]);
        const pf_tensor *const in = pf_doc_get(&doc, name);
        snprintf(name, sizeof name, "%s.%s.trimap", names[i % 3], small ? "small" : "default");
        const pf_tensor *const want = pf_doc_get(&doc, name);
        assert_true(in && want);
        pf_image mask = image_of(in->data, (int)in->dim[1], (int)in->dim[0]);
        assert_ok(pf_trimap(&t, &mask, 231, small ? 5 : 30, small ? 2 : 5));
        assert_memory_equal(t.pixel, want->data, pf_image_bytes(&t));
        pf_image_release(&t);
        pf_image_release(&mask);
    }
    pf_doc_release(&doc);
}

static void
test_other_pictures_are_refused(void **state)
{
    pf_image rgb, t;
    (void)state;
    assert_ok(pf_image_new(&rgb, 4, 4, 3));
    assert_fails(pf_trimap(&t, &rgb, 231, 30, 5), PF_EARG, "one channel");
    pf_image_release(&rgb);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_any_size_matches_the_definition),
        cmocka_unit_test(test_trimaps_are_the_originals),
        cmocka_unit_test(test_other_pictures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
