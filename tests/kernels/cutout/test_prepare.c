/* What stands before and behind the networks, against Pillow's, scikit-image's and PyTorch's bytes
 * (golden/background). */
#include "kernels/cutout/prepare.h"

#include "tests/tools/golden.h"

static pf_doc doc;

static int
release_doc(void **state)
{
    (void)state;
    pf_doc_release(&doc);
    return 0;
}

static void
need_golden(void)
{
    golden_open(&doc, "background/preprocess.safetensors");
}

static pf_image
golden_photo(const char *name)
{
    char path[512], file[64];
    pf_image photo;
    snprintf(file, sizeof file, "background/%s", name);
    assert_ok(pf_image_read(&photo, golden_path(path, file)));
    return photo;
}

/* Every step-th row and column of input [1, S, S, 3] is the golden tensor [1, 3, n, n]. */
static void
compare_input(enum pf_cutout_kind kind, enum pf_preset preset, int S, const char *name, int step,
              int may_differ)
{
    pf_image photo = golden_photo("photo.png");
    pf_tensor input;
    int64_t count;
    int differ = 0;
    const double tol = 2e-6;
    double most = 0;
    assert_ok(pf_cutout_prepare(&input, &photo, S, kind, preset));
    float *want = golden_floats(&doc, name, &count);
    const int64_t n = (S + step - 1) / step;
    assert_int_equal(count, 3 * n * n);
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = i / (n * n), y = i / n % n * step, x = i % n * step;
        const double e = fabs(((float *)input.data)[(y * S + x) * 3 + c] - want[i]);
        most = fmax(most, e);
        differ += !(e <= tol);
    }
    printf("# %-36s %.2e, %d beyond %.0e\n", name, most, differ, tol);
    assert_true(differ <= may_differ);
    free(want);
    pf_tensor_release(&input);
    pf_image_release(&photo);
}

static void
test_pictures_are_prepared_as_by_others(void **state)
{
    (void)state;
    need_golden();
    compare_input(PF_U2NET, PF_AUTHOR, 320, "u2net.author.320.input_every4", 4, 0);
    compare_input(PF_U2NET, PF_AUTHOR, 64, "u2net.author.64.input", 1, 0);
    compare_input(PF_U2NETP, PF_REMBG, 320, "u2net.rembg.320.input_every4", 4, 0);
    compare_input(PF_U2NETP, PF_REMBG, 64, "u2net.rembg.64.input", 1, 0);
    compare_input(PF_U2NET, PF_CARVEKIT, 320, "u2net.carvekit.320.input_every4", 4, 0);
    compare_input(PF_U2NET, PF_CARVEKIT, 64, "u2net.carvekit.64.input", 1, 0);
    compare_input(PF_ISNET, PF_REMBG, 1024, "isnet.rembg.1024.input_every8", 8, 0);
    compare_input(PF_ISNET, PF_AUTHOR, 1024, "isnet.author.1024.input_every8", 8, 100);
    compare_input(PF_ISNET, PF_AUTHOR, 64, "isnet.author.64.input", 1, 0);
    compare_input(PF_ISNET, PF_IMGLY, 1024, "isnet.imgly.1024.input_every8", 8, 0);
}

/* The golden file's mask becomes alpha of the photo's size. */
static void
compare_alpha(enum pf_cutout_kind kind, enum pf_preset preset, const char *file,
              const char *mask_name, const char *name)
{
    pf_doc net = {0};
    pf_image alpha;
    int64_t n;
    int most = 0;
    golden_open(&net, file);
    const pf_tensor *const t = pf_doc_get(&net, mask_name), *const want = pf_doc_get(&doc, name);
    assert_true(t && want);
    const pf_tensor mask = PF_VIEW(t->data, PF_F32, t->dim[2], t->dim[3]);
    assert_ok(pf_cutout_finish(&alpha, &mask, 203, 151, kind, preset));
    n = pf_tensor_count(want);
    assert_int_equal(n, pf_image_bytes(&alpha));
    for (int64_t i = 0; i < n; i++) {
        const int e = abs(alpha.pixel[i] - ((const uint8_t *)want->data)[i]);
        most = e > most ? e : most;
    }
    printf("# %-36s %d\n", name, most);
    assert_true(most <= 1);
    pf_image_release(&alpha);
    pf_doc_release(&net);
}

static void
test_masks_are_finished_as_by_others(void **state)
{
    const char *const u2netp = "background/u2netp-320.safetensors";
    const char *const isnet = "background/isnet-256.safetensors";
    (void)state;
    need_golden();
    compare_alpha(PF_U2NETP, PF_AUTHOR, u2netp, "d0", "post.u2net.author.u8");
    compare_alpha(PF_U2NETP, PF_REMBG, u2netp, "d0", "post.u2net.rembg.u8");
    compare_alpha(PF_U2NETP, PF_CARVEKIT, u2netp, "d0", "post.u2net.carvekit.u8");
    compare_alpha(PF_ISNET, PF_AUTHOR, isnet, "d1", "post.isnet.author.u8");
    compare_alpha(PF_ISNET, PF_REMBG, isnet, "d1", "post.isnet.rembg.u8");
}

static void
test_filters_are_pillows(void **state)
{
    static const char *const name[] = {"bicubic", "bilinear", "lanczos"};
    static const int size[][2] = {{200, 90}, {31, 57}};
    (void)state;
    need_golden();
    pf_image alpha = golden_photo("photo-alpha.png");
    pf_image grey;
    assert_ok(pf_image_new(&grey, alpha.width, alpha.height, 1));
    for (size_t i = 0; i < pf_image_bytes(&grey); i++)
        grey.pixel[i] = alpha.pixel[alpha.channels * i];
    for (int i = 0; i < 6; i++) {
        char full[64];
        pf_image to;
        snprintf(full, sizeof full, "pillow.%s.%dx%d", name[i / 2], size[i % 2][0], size[i % 2][1]);
        const pf_tensor *const want = pf_doc_get(&doc, full);
        assert_non_null(want);
        assert_ok(pf_image_resize_by(&to, &grey, size[i % 2][0], size[i % 2][1],
                                     (enum pf_filter)(i / 2)));
        assert_memory_equal(to.pixel, want->data, pf_image_bytes(&to));
        pf_image_release(&to);
    }
    pf_image_release(&grey);
    pf_image_release(&alpha);
}

/* ---- by hand ---- */

/* A picture of one colour stays so inside of the border, and the largest value becomes 1. */
static void
test_one_colour_by_hand(void **state)
{
    static const enum pf_preset presets[] = {PF_OWN, PF_AUTHOR, PF_REMBG, PF_CARVEKIT};
    pf_image photo;
    (void)state;
    assert_ok(pf_image_new(&photo, 700, 41, 3));
    for (size_t i = 0; i < pf_image_bytes(&photo); i++)
        photo.pixel[i] = i % 3 == 0 ? 200 : 100;
    for (int k = 0; k < 4; k++) {
        pf_tensor input;
        assert_ok(pf_cutout_prepare(&input, &photo, 320, PF_U2NETP, presets[k]));
        assert_true(pf_tensor_is(&input, PF_F32, 4, (int64_t[]){1, 320, 320, 3}));
        const float *const middle = (float *)input.data + (160 * 320 + 160) * 3;
        assert_near(middle, ((float[]){(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224,
                                       (0.5 - 0.406) / 0.225}), 3, 1e-5);
        pf_tensor_release(&input);
    }
    pf_image_release(&photo);
}

/* A black picture has no largest value to be divided by. */
static void
test_black_is_finite(void **state)
{
    pf_image photo;
    pf_tensor input;
    (void)state;
    assert_ok(pf_image_new(&photo, 5, 4, 3));
    for (int k = PF_OWN; k <= PF_CARVEKIT; k++) {
        assert_ok(pf_cutout_prepare(&input, &photo, 320, PF_U2NETP, (enum pf_preset)k));
        for (int64_t i = 0; i < pf_tensor_count(&input); i++)
            assert_true(isfinite(((float *)input.data)[i]));
        pf_tensor_release(&input);
    }
    pf_image_release(&photo);
}

/* Our own masks stay what they are, others' are stretched; one that is all one value is none. */
static void
test_masks_by_hand(void **state)
{
    float v[] = {0.25f, 0.5f}, same[] = {0.5f, 0.5f};
    const pf_tensor mask = PF_VIEW(v, PF_F32, 1, 2), flat = PF_VIEW(same, PF_F32, 1, 2);
    pf_image alpha;
    (void)state;
    assert_ok(pf_cutout_finish(&alpha, &mask, 4, 1, PF_U2NETP, PF_OWN));
    assert_memory_equal(alpha.pixel, ((uint8_t[]){64, 80, 112, 128}), 4);
    pf_image_release(&alpha);
    assert_ok(pf_cutout_finish(&alpha, &mask, 4, 1, PF_U2NETP, PF_AUTHOR));
    assert_memory_equal(alpha.pixel, ((uint8_t[]){0, 64, 191, 255}), 4);
    pf_image_release(&alpha);
    assert_ok(pf_cutout_finish(&alpha, &mask, 4, 1, PF_ISNET, PF_AUTHOR));
    assert_memory_equal(alpha.pixel, ((uint8_t[]){0, 63, 191, 255}), 4);
    pf_image_release(&alpha);
    assert_ok(pf_cutout_finish(&alpha, &mask, 4, 1, PF_ISNET, PF_IMGLY));
    assert_memory_equal(alpha.pixel, ((uint8_t[]){63, 95, 127, 127}), 4);
    pf_image_release(&alpha);
    assert_ok(pf_cutout_finish(&alpha, &flat, 2, 1, PF_ISNET, PF_REMBG));
    assert_memory_equal(alpha.pixel, ((uint8_t[]){0, 0}), 2);
    pf_image_release(&alpha);
}

static void
test_presets_that_do_not_suit_are_refused(void **state)
{
    (void)state;
    assert_fails(pf_preset_check(PF_CARVEKIT, PF_ISNET), PF_EARG,
                 "carvekit has no rules for IS-Net");
    assert_fails(pf_preset_check(PF_OWN, PF_ISNET), PF_EARG, "own has no rules for IS-Net");
    assert_ok(pf_preset_check(PF_CARVEKIT, PF_U2NET));
    assert_ok(pf_preset_check(PF_REMBG, PF_ISNET));
    assert_ok(pf_preset_check(PF_IMGLY, PF_ISNET));
    assert_fails(pf_preset_check(PF_IMGLY, PF_U2NETP), PF_EARG, "IS-Net alone, not for U^2-Net-p");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_are_prepared_as_by_others),
        cmocka_unit_test(test_masks_are_finished_as_by_others),
        cmocka_unit_test(test_filters_are_pillows),
        cmocka_unit_test(test_one_colour_by_hand),
        cmocka_unit_test(test_black_is_finite),
        cmocka_unit_test(test_masks_by_hand),
        cmocka_unit_test(test_presets_that_do_not_suit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, release_doc);
}
