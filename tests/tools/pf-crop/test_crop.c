/* The square view of a photo: boxes, padding, compositing; the golden crops bit for bit.  Photos
 * are made here and go through a PNG in memory. */
// uses: tools/pf-crop/crop.c
#include "tests/check.h"

#include <png.h>
#include <sys/resource.h>
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

/* A PNG of the picture, whose eXIf chunk says how it was turned. */
static char *
encode(const pf_image *image, int orientation, size_t *size)
{
    static const uint8_t ifd[] = "MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0\0\0\0\0\0\0\0";
    uint8_t exif[26];
    char *bytes;
    FILE *f = open_memstream(&bytes, size);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    memcpy(exif, ifd, sizeof exif);
    exif[19] = (uint8_t)orientation;
    if (setjmp(png_jmpbuf(png)))
        fail();
    png_init_io(png, f);
    png_set_compression_level(png, 1);
    png_set_IHDR(png, info, image->width, image->height, 8,
                 image->channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB, 0, 0, 0);
    png_set_eXIf_1(png, info, sizeof exif, exif);
    png_write_info(png, info);
    for (int y = 0; y < image->height; y++)
        png_write_row(png, image->pixel + (size_t)y * image->width * image->channels);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(f);
    return bytes;
}

/* What the last fit said of the border. */
static bool touches;

static pf_err
fit_turned(pf_image *view, const pf_image *image, int orientation, struct fit how)
{
    size_t size;
    char *bytes = encode(image, orientation, &size);
    pf_photo photo;
    assert_ok(pf_photo_open_memory(&photo, bytes, size, "photo.png"));
    const pf_err err = fit_view(view, &touches, &photo, &how);
    pf_photo_close(&photo);
    free(bytes);
    return err;
}

/* As the original: every pixel of any alpha is the object. */
static pf_err
fit(pf_image *view, const pf_image *image, int crop_px, int side)
{
    return fit_turned(view, image, 1, (struct fit){.crop_px = crop_px, .side = side});
}

/* 11 x 6 pixels become a box of 10 x 5 (exclusive box); at 20 pixels that is 20 x 10, in the middle
 * of 32. */
static void
test_worked_example_of_crop(void **state)
{
    pf_image photo = rectangle(40, 30, 3, 4, 14, 10), view;
    (void)state;
    assert_ok(fit(&view, &photo, 20, 32));
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 32; x++)
            assert_int_equal(alpha_at(&view, x, y),
                             x >= 6 && x < 26 && y >= 11 && y < 21 ? 255 : 0);
    pf_image_release(&view);
    pf_image_release(&photo);
}

static void
test_where_the_object_lies_does_not_matter(void **state)
{
    pf_image a = rectangle(40, 30, 3, 4, 14, 10), b = rectangle(25, 50, 10, 40, 21, 46), u, v;
    (void)state;
    assert_ok(fit(&u, &a, 20, 32));
    assert_ok(fit(&v, &b, 20, 32));
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
    assert_ok(fit(&view, &photo, 11, 8));
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
    assert_ok(
        fit_turned(&view, &photo, 1, (struct fit){.crop_px = -1, .side = 32, .opaque = true}));
    assert_int_equal(alpha_at(&view, 16, 2), 0);
    assert_int_equal(alpha_at(&view, 16, 16), 255);
    assert_int_equal(alpha_at(&view, 0, 16), 255);
    assert_int_equal(alpha_at(&view, 31, 29), 0);
    pf_image_release(&view);
    pf_image_release(&photo);
}

/* ---- photos without transparency ---- */

static pf_image
opaque(int width, int height, int channels, int alpha)
{
    pf_image photo;
    assert_ok(pf_image_new(&photo, width, height, channels));
    for (int i = 0; i < width * height; i++)
        memcpy(photo.pixel + i * channels, ((uint8_t[]){255, 0, 0, (uint8_t)alpha}), channels);
    return photo;
}

static void
test_an_opaque_photo_is_refused(void **state)
{
    static const int sizes[] = {-1, 50};
    pf_image rgb = opaque(100, 60, 3, 0), rgba = opaque(100, 60, 4, 255),
             almost = opaque(100, 60, 4, 254), view;
    pf_image *const photos[] = {&rgb, &rgba, &almost};
    (void)state;
    for (int i = 0; i < 6; i++) {
        assert_fails(fit(&view, photos[i / 2], sizes[i % 2], 64), PF_ESHAPE,
                     "photo.png has no transparency: cut the object out first with pf-cutout, "
                     "or say --opaque to take the whole frame");
        assert_null(view.pixel);
    }
    for (int i = 0; i < 3; i++)
        pf_image_release(photos[i]);
}

/* 100 x 60 in 100 x 100: the rows above and below are neither object nor black. */
static void
test_an_opaque_photo_is_padded_with_white(void **state)
{
    (void)state;
    for (int channels = 3; channels <= 4; channels++) {
        pf_image photo = opaque(100, 60, channels, 255), view;
        pf_tensor image, alpha;
        assert_ok(
            fit_turned(&view, &photo, 1, (struct fit){.crop_px = -1, .side = 100, .opaque = true}));
        assert_false(touches);
        assert_ok(composite_view(&image, &alpha, &view));
        const float *rgb = image.data, *a = alpha.data;
        for (int i = 0; i < 100 * 100; i++) {
            const bool in = i / 100 >= 20 && i / 100 < 80;
            assert_true(a[i] == in && rgb[i] == 1 && rgb[10000 + i] == (in ? -1 : 1));
        }
        pf_tensor_release(&image);
        pf_tensor_release(&alpha);
        pf_image_release(&view);
        pf_image_release(&photo);
    }
}

static void
test_opaque_changes_nothing_for_a_photo_that_is_cut_out(void **state)
{
    pf_image photo = rectangle(40, 30, 3, 4, 14, 10), a, b;
    (void)state;
    assert_ok(fit(&a, &photo, 20, 32));
    assert_ok(fit_turned(&b, &photo, 1, (struct fit){.crop_px = 20, .side = 32, .opaque = true}));
    assert_memory_equal(a.pixel, b.pixel, pf_image_bytes(&a));
    pf_image_release(&a);
    pf_image_release(&b);
    pf_image_release(&photo);
}

static void
test_photos_without_an_object_are_refused(void **state)
{
    pf_image nothing = rectangle(20, 10, 0, 0, 0, 0), one = rectangle(20, 10, 7, 4, 8, 5), view;
    (void)state;
    assert_fails(fit(&view, &nothing, 8, 16), PF_ESHAPE,
                 "photo.png: the alpha channel is 0 everywhere");
    assert_fails(fit(&view, &nothing, -1, 16), PF_ESHAPE, "0 everywhere");
    assert_fails(fit(&view, &one, 8, 16), PF_ESHAPE, "1 x 1 pixels");
    nothing.pixel[3] = 51;
    assert_fails(fit_turned(&view, &nothing, 1,
                            (struct fit){.crop_px = 8, .side = 16, .alpha_threshold = 0.2}),
                 PF_ESHAPE,
                 "alpha is nowhere above 0.2, so there is no object; the highest is 0.200");
    assert_null(view.pixel);
    pf_image_release(&nothing);
    pf_image_release(&one);
}

/* ---- specks, haze, poles ---- */

/* Columns of the view that hold the object. */
static int
columns(const pf_image *view)
{
    int n = 0;
    for (int x = 0; x < view->width; x++)
        for (int y = 0; y < view->height; y++)
            if (alpha_at(view, x, y) > 127) {
                n++;
                break;
            }
    return n;
}

/* A disc of 80 pixels with a background of this alpha and a far pixel of alpha 1. */
static pf_image
disc(int background)
{
    pf_image photo;
    assert_ok(pf_image_new(&photo, 200, 140, 4));
    for (int i = 0; i < 200 * 140; i++) {
        const double x = i % 200 - 59.5, y = i / 200 - 69.5;
        photo.pixel[4 * i + 3] = x * x + y * y <= 40 * 40 ? 255 : (uint8_t)background;
    }
    photo.pixel[(30 * 200 + 197) * 4 + 3] = 1;
    return photo;
}

static void
test_a_faint_speck_does_not_widen_the_box(void **state)
{
    pf_image photo = disc(0), view;
    (void)state;
    assert_ok(fit_turned(&view, &photo, 1,
                         (struct fit){.crop_px = 200, .side = 256, .alpha_threshold = 0.05}));
    assert_in_range(columns(&view), 199, 201);
    pf_image_release(&view);
    assert_ok(fit(&view, &photo, 200, 256)); // the original's box: right edge at the speck
    assert_in_range(columns(&view), 90, 120);
    pf_image_release(&view);
    pf_image_release(&photo);
}

static void
test_a_faint_haze_is_not_the_object(void **state)
{
    pf_image photo = disc(1), view;
    (void)state;
    assert_ok(fit_turned(&view, &photo, 1,
                         (struct fit){.crop_px = 200, .side = 256, .alpha_threshold = 0.05}));
    assert_in_range(columns(&view), 199, 201);
    pf_image_release(&view);
    assert_ok(fit(&view, &photo, 200, 256));            // all of the photo, as the original
    assert_in_range(columns(&view), 78, 82);
    pf_image_release(&view);
    pf_image_release(&photo);
}

/* The threshold itself is background: 51 is 0.2 of 255. */
static void
test_the_threshold_is_exclusive(void **state)
{
    pf_image photo = rectangle(60, 20, 10, 5, 20, 15), view;
    (void)state;
    photo.pixel[(7 * 60 + 50) * 4 + 3] = 51;
    for (int k = 0; k < 2; k++) {
        const double threshold = k ? 0.199 : 0.2;
        assert_ok(
            fit_turned(&view, &photo, 1,
                       (struct fit){.crop_px = 40, .side = 64, .alpha_threshold = threshold}));
        assert_int_equal(columns(&view) > 30, k == 0);
        pf_image_release(&view);
    }
    pf_image_release(&photo);
}

/* 2 x 380 and, of which the exclusive box leaves nothing, 1 x 380; upright and lying. */
static void
test_of_a_thin_pole_one_pixel_stays(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        const int thin = 1 + k % 2;
        pf_image photo = k < 2 ? rectangle(40, 400, 20, 10, 20 + thin, 390)
                               : rectangle(400, 40, 10, 20, 390, 20 + thin);
        pf_image view;
        int n = 0;
        assert_ok(fit(&view, &photo, 200, 256));
        for (int i = 0; i < 256 * 256; i++)
            n += view.pixel[4 * i + 3] == 255;
        assert_int_equal(n, 200);
        assert_int_equal(columns(&view), k < 2 ? 1 : 200);
        pf_image_release(&view);
        pf_image_release(&photo);
    }
}

/* ---- the border ---- */

static void
test_an_object_at_the_border_is_told(void **state)
{
    pf_image photo = rectangle(60, 60, 10, 10, 40, 30), cut = rectangle(60, 40, 0, 10, 30, 30),
             view;
    static const struct { int crop_px, side; bool touches; } cases[] = {
        {200, 128, true}, {128, 128, true}, {127, 128, false}, {-1, 128, false}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_ok(fit(&view, &photo, cases[i].crop_px, cases[i].side));
        assert_int_equal(touches, cases[i].touches);
        pf_image_release(&view);
    }
    for (int o = 1; o <= 8; o++) { // its left edge is the photo's, whichever that is
        assert_ok(fit_turned(&view, &cut, o, (struct fit){.crop_px = -1, .side = 64}));
        assert_true(touches);
        pf_image_release(&view);
        assert_ok(fit_turned(&view, &cut, o, (struct fit){.crop_px = 40, .side = 64}));
        assert_false(touches);
        pf_image_release(&view);
    }
    pf_image_release(&photo);
    pf_image_release(&cut);
}

/* ---- orientation ---- */

/* To the bit, although what is stored is scaled before it is turned. */
static void
test_a_turned_photo_gives_the_upright_view(void **state)
{
    static const int undo[] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
    static const struct fit how[] = {{.crop_px = 50, .side = 64}, {.crop_px = 90, .side = 64},
                                     {.crop_px = 59, .side = 64}, {.crop_px = -1, .side = 33}};
    pf_image photo, view, want;
    (void)state;
    assert_ok(pf_image_new(&photo, 90, 61, 4));
    for (int i = 0; i < 90 * 61; i++) {
        const int x = i % 90, y = i / 90;
        const bool in = x > 9 && x < 70 && y > 20 && y < 55 && x + y > 50;
        memcpy(photo.pixel + 4 * i,
               ((uint8_t[]){(uint8_t)(2 * x), (uint8_t)(4 * y), (uint8_t)(x * y / 25),
                            (uint8_t)(in ? 255 - x : 0)}),
               4);
    }
    for (int k = 0; k < 4; k++) {
        assert_ok(fit_turned(&want, &photo, 1, how[k]));
        for (int o = 2; o <= 8; o++) {
            pf_image turned;
            assert_ok(pf_image_new(&turned, 90, 61, 4));
            memcpy(turned.pixel, photo.pixel, pf_image_bytes(&photo));
            assert_ok(pf_image_turn(&turned, undo[o]));
            assert_ok(fit_turned(&view, &turned, o, how[k]));
            assert_memory_equal(view.pixel, want.pixel, pf_image_bytes(&want));
            pf_image_release(&view);
            pf_image_release(&turned);
        }
        pf_image_release(&want);
    }
    pf_image_release(&photo);
}

/* ---- large photos ---- */

/* 8000 x 6000 RGBA are 192 MB, which never are in memory at once. */
static void
test_a_large_photo_takes_little_memory(void **state)
{
    enum { W = 8000, H = 6000 };
    struct rusage before, after;
    uint8_t *row = calloc(W, 4);
    char *bytes;
    size_t size;
    pf_photo photo;
    pf_image view;
    FILE *f = open_memstream(&bytes, &size);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    (void)state;
    assert_false(setjmp(png_jmpbuf(png)));
    png_init_io(png, f);
    png_set_compression_level(png, 1);
    png_set_filter(png, 0, PNG_FILTER_NONE);
    png_set_IHDR(png, info, W, H, 8, PNG_COLOR_TYPE_RGB_ALPHA, 0, 0, 0);
    png_write_info(png, info);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++)
            row[4 * x + 3] = x >= 100 && x < 7900 && y >= 200 && y < 5800 ? 255 : 0;
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(f);
    free(row);
    getrusage(RUSAGE_SELF, &before);
    assert_ok(pf_photo_open_memory(&photo, bytes, size, "large.png"));
    assert_ok(fit_view(&view, &touches, &photo, &(struct fit){.crop_px = 200, .side = 256}));
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 64 << 10);
    assert_int_equal(columns(&view), 200);
    pf_photo_close(&photo);
    pf_image_release(&view);
    free(bytes);
}

/* ---- compositing ---- */

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
    assert_near(image.data, ((float[]){1, 1, 1, -1, -1, 0.6f, 1, -1, -0.6f, 0.68f, 1, -1}), 12,
                2e-7);
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
        const struct fit how = {.crop_px = sizes[i % 4], .side = 256};
        pf_photo photo;
        pf_image view, want;
        snprintf(name, sizeof name, "%s.crop%d.png", names[i / 4], sizes[i % 4]);
        assert_ok(pf_image_read(&want, golden(path, name)));
        snprintf(name, sizeof name, "%s.png", names[i / 4]);
        assert_ok(pf_photo_open(&photo, golden(path, name)));
        assert_ok(fit_view(&view, &touches, &photo, &how));
        assert_int_equal(pf_image_bytes(&view), pf_image_bytes(&want));
        exact += !memcmp(view.pixel, want.pixel, pf_image_bytes(&want));
        pf_photo_close(&photo);
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
        cmocka_unit_test(test_an_opaque_photo_is_refused),
        cmocka_unit_test(test_an_opaque_photo_is_padded_with_white),
        cmocka_unit_test(test_opaque_changes_nothing_for_a_photo_that_is_cut_out),
        cmocka_unit_test(test_photos_without_an_object_are_refused),
        cmocka_unit_test(test_a_faint_speck_does_not_widen_the_box),
        cmocka_unit_test(test_a_faint_haze_is_not_the_object),
        cmocka_unit_test(test_the_threshold_is_exclusive),
        cmocka_unit_test(test_of_a_thin_pole_one_pixel_stays),
        cmocka_unit_test(test_an_object_at_the_border_is_told),
        cmocka_unit_test(test_a_turned_photo_gives_the_upright_view),
        cmocka_unit_test(test_a_large_photo_takes_little_memory),
        cmocka_unit_test(test_worked_example_of_compositing),
        cmocka_unit_test(test_golden_crops_are_exact),
        cmocka_unit_test(test_golden_input_images_are_exact),
    };
    return cmocka_run_group_tests_name("crop", tests, NULL, NULL);
}
