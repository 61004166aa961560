/* The square view of a photo: boxes, padding, compositing; the golden crops bit for bit. */
// uses: tools/pf-crop/crop.c
#include "tests/check.h"

#include <unistd.h>

#include "common/checkpoint.h"
#include "tools/pf-crop/crop.h"

/* A transparent photo with an opaque rectangle of one colour. */
static pf_image
rectangle(int width, int height, int x0, int y0, int x1, int y1)
{
    pf_image photo;
    assert_ok(pf_image_new(&photo, width, height, 4));
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            memcpy(photo.pixel + (y * width + x) * 4, ((uint8_t[]){10, 20, 30, 255}), 4);
    return photo;
}

static int
alpha_at(const pf_image *view, int x, int y)
{
    return view->pixel[(y * view->width + x) * 4 + 3];
}

/* 11 x 6 pixels become a box of 10 x 5 (exclusive box); at 20 pixels that is 20 x 10, in the middle of 32. */
static void
test_worked_example_of_crop(void **state)
{
    pf_image photo = rectangle(40, 30, 3, 4, 14, 10), view;
    (void)state;
    assert_ok(fit_view(&view, &photo, 20, 32));
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++)
            assert_int_equal(alpha_at(&view, x, y), x >= 6 && x < 26 && y >= 11 && y < 21 ? 255 : 0);
    pf_image_release(&view);
    pf_image_release(&photo);
}

static void
test_where_the_object_lies_does_not_matter(void **state)
{
    pf_image a = rectangle(40, 30, 3, 4, 14, 10), b = rectangle(25, 50, 10, 40, 21, 46), u, v;
    (void)state;
    assert_ok(fit_view(&u, &a, 20, 32));
    assert_ok(fit_view(&v, &b, 20, 32));
    assert_memory_equal(u.pixel, v.pixel, pf_image_bytes(&u));
    pf_image_release(&a);
    pf_image_release(&b);
    pf_image_release(&u);
    pf_image_release(&v);
}

/* Larger than the view: the middle is kept; the offset of -3 halves is rounded down. */
static void
test_an_object_larger_than_the_view_is_clipped(void **state)
{
    pf_image photo = rectangle(30, 30, 5, 5, 17, 17), view;
    (void)state;
    assert_ok(fit_view(&view, &photo, 11, 8));
    for (int i = 0; i < 64; i++)
        assert_int_equal(alpha_at(&view, i % 8, i / 8), 255);
    pf_image_release(&view);
    pf_image_release(&photo);
}

static void
test_the_whole_photo_is_padded_to_a_square(void **state)
{
    pf_image photo = rectangle(64, 32, 0, 0, 64, 32), view;
    (void)state;
    assert_ok(fit_view(&view, &photo, -1, 32));
    assert_int_equal(alpha_at(&view, 16, 2), 0);
    assert_int_equal(alpha_at(&view, 16, 16), 255);
    assert_int_equal(alpha_at(&view, 0, 16), 255);
    assert_int_equal(alpha_at(&view, 31, 29), 0);
    pf_image_release(&view);
    pf_image_release(&photo);
}

static void
test_a_photo_without_alpha_fits_whole_only(void **state)
{
    pf_image photo, view;
    pf_tensor image, alpha;
    (void)state;
    assert_ok(pf_image_new(&photo, 20, 10, 3));
    memset(photo.pixel, 255, pf_image_bytes(&photo));
    assert_fails(fit_view(&view, &photo, 8, 16), PF_ESHAPE, "no alpha channel");
    assert_ok(fit_view(&view, &photo, -1, 16));
    assert_ok(composite_view(&image, &alpha, &view));
    const float *rgb = image.data, *a = alpha.data;
    assert_true(rgb[0] == -1 && rgb[8 * 16 + 8] == 1);          // a black margin, as the original
    for (int i = 0; i < 16 * 16; i++)
        assert_true(a[i] == 1);
    pf_tensor_release(&image);
    pf_tensor_release(&alpha);
    pf_image_release(&view);
    pf_image_release(&photo);
}

static void
test_photos_without_an_object_are_refused(void **state)
{
    pf_image nothing = rectangle(20, 10, 0, 0, 0, 0), one = rectangle(20, 10, 7, 4, 8, 5);
    pf_image line = rectangle(400, 10, 0, 4, 400, 6), view;
    (void)state;
    assert_fails(fit_view(&view, &nothing, 8, 16), PF_ESHAPE, "0 everywhere");
    assert_fails(fit_view(&view, &nothing, -1, 16), PF_ESHAPE, "0 everywhere");
    assert_fails(fit_view(&view, &one, 8, 16), PF_ESHAPE, "1 x 1 pixels");
    assert_fails(fit_view(&view, &line, 200, 256), PF_ESHAPE, "400 x 2 pixels");
    assert_null(view.pixel);
    pf_image_release(&nothing);
    pf_image_release(&one);
    pf_image_release(&line);
}

/* 255 * a + (1 - a) white, then -1..1; channels first. */
static void
test_worked_example_of_compositing(void **state)
{
    uint8_t pixel[] = {255, 0, 51, 255, 255, 0, 51, 51, 9, 9, 9, 0, 0, 0, 0, 255};
    const pf_image view = {2, 2, 4, pixel};
    pf_tensor image, alpha;
    (void)state;
    assert_ok(composite_view(&image, &alpha, &view));
    assert_near(alpha.data, ((float[]){1, 0.2f, 0, 1}), 4, 1e-7);
    assert_near(image.data, ((float[]){1, 1, 1, -1, -1, 0.6f, 1, -1, -0.6f, 0.68f, 1, -1}), 12, 2e-7);
    pf_tensor_release(&image);
    pf_tensor_release(&alpha);
}

/* ---- golden ---- */

static char *
golden(char path[4096], const char *name)
{
    const char *folder = getenv("PF_GOLDEN");
    snprintf(path, 4096, "%s/crop/%s", folder ? folder : "../shared/golden", name);
    if (access(path, R_OK))
        skip();
    return path;
}

static void
test_golden_crops_are_exact(void **state)
{
    static const char *const names[] = {"alarm", "backpack", "teapot", "elephant", "house"};
    static const int sizes[] = {-1, 150, 180, 200};
    char path[4096], name[100];
    int exact = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        pf_image photo, view, want;
        snprintf(name, sizeof name, "%s.png", names[i / 4]);
        assert_ok(pf_image_read(&photo, golden(path, name)));
        snprintf(name, sizeof name, "%s.crop%d.png", names[i / 4], sizes[i % 4]);
        assert_ok(pf_image_read(&want, golden(path, name)));
        assert_ok(fit_view(&view, &photo, sizes[i % 4], 256));
        assert_int_equal(pf_image_bytes(&view), pf_image_bytes(&want));
        exact += !memcmp(view.pixel, want.pixel, pf_image_bytes(&want));
        pf_image_release(&photo);
        pf_image_release(&view);
        pf_image_release(&want);
    }
    assert_int_equal(exact, 20);
}

static void
test_golden_input_images_are_exact(void **state)
{
    static const char *const names[] = {"backpack.crop150", "teapot.crop180", "elephant.crop-1"};
    char path[4096], name[100];
    pf_checkpoint *w;
    (void)state;
    assert_ok(pf_checkpoint_open(&w, golden(path, "input_images.safetensors")));
    for (int k = 0; k < 3; k++) {
        pf_image view;
        pf_tensor want, image, alpha;
        snprintf(name, sizeof name, "%s.png", names[k]);
        assert_ok(pf_image_read(&view, golden(path, name)));
        assert_ok(composite_view(&image, &alpha, &view));
        snprintf(name, sizeof name, "%s.input_image", names[k]);
        assert_ok(pf_checkpoint_need(w, name, &want, 3, (int64_t[]){256, 256, 3}));
        for (int i = 0; i < 3 * 65536; i++)             // theirs [H, W, 3], ours [3, H, W]
            assert_true(((float *)want.data)[i] == ((float *)image.data)[i % 3 * 65536 + i / 3]);
        pf_tensor_release(&image);
        pf_tensor_release(&alpha);
        pf_image_release(&view);
    }
    pf_checkpoint_close(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example_of_crop),
        cmocka_unit_test(test_where_the_object_lies_does_not_matter),
        cmocka_unit_test(test_an_object_larger_than_the_view_is_clipped),
        cmocka_unit_test(test_the_whole_photo_is_padded_to_a_square),
        cmocka_unit_test(test_a_photo_without_alpha_fits_whole_only),
        cmocka_unit_test(test_photos_without_an_object_are_refused),
        cmocka_unit_test(test_worked_example_of_compositing),
        cmocka_unit_test(test_golden_crops_are_exact),
        cmocka_unit_test(test_golden_input_images_are_exact),
    };
    return cmocka_run_group_tests_name("crop", tests, NULL, NULL);
}
