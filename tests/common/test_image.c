/* Pictures: every format decodes to the same pixels, damaged files are refused.  The fixtures are
 * made by tests/data/make_images.py. */
#include "tests/common/images.h"

/* Both files hold the same picture. */
static void
assert_same_picture(const char *one, const char *other)
{
    pf_image a = read_image(one), b = read_image(other);
    if (!same(&a, &b))
        fail_msg("%s and %s differ", one, other);
    pf_image_release(&a);
    pf_image_release(&b);
}

/* The file is refused; the sentence names it and contains the words. */
static void
assert_refused(const char *name, const char *words)
{
    char path[200];
    pf_image image;
    snprintf(path, sizeof path, IMAGES "%s", name);
    assert_fails(pf_image_read(&image, path), PF_EFORMAT, words);
    assert_non_null(strstr(pf_error(), path));
    assert_null(image.pixel);
}

/* The flag of make_images.py, by its formula. */
static void
test_worked_example_of_reading(void **state)
{
    static const uint8_t color[5][4] = {{0, 0, 0, 0}, {200, 30, 40, 255}, {20, 160, 90, 255},
                                        {250, 250, 10, 128}, {255, 255, 255, 255}};
    pf_image flag = read_image("flag.png");
    (void)state;
    assert_int_equal(flag.width, 13);
    assert_int_equal(flag.height, 9);
    assert_int_equal(flag.channels, 4);
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 13; x++)
            assert_memory_equal(flag.pixel + (y * 13 + x) * 4, color[(x / 2 + 2 * y) % 5], 4);
    pf_image_release(&flag);
}

static void
test_every_lossless_kind_decodes_to_the_same_pixels(void **state)
{
    (void)state;
    assert_same_picture("flag.png", "flag_interlaced.png");
    assert_same_picture("flag.png", "flag_16bit.png");
    assert_same_picture("flag.png", "flag_palette.png");
    assert_same_picture("flag.png", "flag_lossless.webp");
    assert_same_picture("flag_rgb.png", "flag_rgb_16bit.png");
    assert_same_picture("flag_rgb.png", "flag_rgb_lossless.webp");
}

static void
test_grey_becomes_rgb(void **state)
{
    pf_image grey = read_image("grey.png"), both = read_image("grey_alpha.png");
    pf_image flag = read_image("flag.png"), bit = read_image("grey_1bit.png");
    (void)state;
    assert_int_equal(grey.channels, 3);
    assert_int_equal(both.channels, 4);
    assert_int_equal(bit.channels, 3);
    for (int i = 0; i < 13 * 9; i++) {
        const uint8_t v = grey.pixel[3 * i];
        const uint8_t want[] = {v, v, v, flag.pixel[4 * i + 3]};
        assert_memory_equal(grey.pixel + 3 * i, want, 3);
        assert_memory_equal(both.pixel + 4 * i, want, 4);
        assert_int_equal(bit.pixel[3 * i + 1], v > 99 ? 255 : 0);
    }
    pf_image_release(&grey);
    pf_image_release(&both);
    pf_image_release(&flag);
    pf_image_release(&bit);
}

/* Mean difference to the picture it was made from, in counts, over all channels but alpha. */
static double
loss(const char *lossy, const char *original)
{
    pf_image a = read_image(lossy), b = read_image(original);
    double sum = 0;
    assert_int_equal(a.width, b.width);
    assert_int_equal(a.height, b.height);
    const int64_t n = (int64_t)a.width * a.height;
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++)
            sum += abs(a.pixel[i * a.channels + c] - b.pixel[i * b.channels + c]);
    pf_image_release(&a);
    pf_image_release(&b);
    return sum / (3.0 * n);
}

static void
test_jpeg_and_webp_are_close_to_their_source(void **state)
{
    (void)state;
    assert_true(loss("photo.jpg", "photo_rgb.png") < 5);        // 4:2:0 on a saturated colour ramp
    assert_true(loss("photo_progressive.jpg", "photo_rgb.png") < 2);    // 4:4:4
    assert_true(loss("photo_rgb.webp", "photo_rgb.png") < 7);
    pf_image grey = read_image("photo_grey.jpg");
    assert_int_equal(grey.channels, 3);
    assert_int_equal(grey.pixel[0], 255);                       // full range: white stays white
    pf_image_release(&grey);
}

static void
test_alpha_of_a_lossy_webp_is_exact(void **state)
{
    pf_image png = read_image("photo.png"), webp = read_image("photo.webp");
    (void)state;
    assert_int_equal(webp.channels, 4);
    for (int i = 0; i < png.width * png.height; i++)
        assert_int_equal(webp.pixel[4 * i + 3], png.pixel[4 * i + 3]);
    pf_image_release(&png);
    pf_image_release(&webp);
}

static void
test_damaged_files_are_refused(void **state)
{
    (void)state;
    assert_refused("not_a_png.png", "neither a PNG nor a JPEG nor a WebP");
    assert_refused("empty.png", "empty");
    assert_refused("truncated.png", "truncated");
    assert_refused("no_end.png", "truncated");
    assert_refused("bad_crc.png", "CRC");
    assert_refused("no_pixels.png", "not a valid PNG");
    assert_refused("truncated.jpg", "not a valid JPEG");
    assert_refused("truncated.webp", "not a valid WebP");
}

static void
test_giants_are_refused_before_memory_is_taken(void **state)
{
    pf_image image;
    (void)state;
    assert_refused("giant.png", "2147483647 x 2147483647 pixels");
    assert_refused("promises_too_much.png", "do not fit");
    assert_fails(pf_image_new(&image, 32769, 1, 3), PF_ESHAPE, "32769 x 1");
    assert_fails(pf_image_new(&image, 32768, 8193, 3), PF_ESHAPE, "at most");
    assert_fails(pf_image_new(&image, 0, 1, 3), PF_ESHAPE, "0 x 1");
    assert_fails(pf_image_new(&image, 1, 1, 2), PF_ESHAPE, "not 2");
}

/* Any prefix of a fixture is refused; none is read past its end (under sanitizers). */
static void
test_no_prefix_gives_half_a_picture(void **state)
{
    static const char *const names[] = {"flag_palette.png", "flag_interlaced.png", "grey_alpha.png",
                                        "flag_lossless.webp", "photo_grey.jpg"};
    (void)state;
    for (int k = 0; k < 5; k++) {
        char path[200];
        uint8_t bytes[4096];
        snprintf(path, sizeof path, IMAGES "%s", names[k]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        const size_t size = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        for (size_t n = 0; n < size; n++) {
            uint8_t *part = malloc(n + !n);
            pf_image image;
            memcpy(part, bytes, n);
            const pf_err err = pf_image_read_memory(&image, part, n, "part");
            if (err != PF_EFORMAT)
                fail_msg("%zu of %zu bytes of %s: %d", n, size, names[k], (int)err);
            pf_image_release(&image);
            free(part);
        }
    }
}

static void
test_missing_file_and_folder(void **state)
{
    pf_image image;
    (void)state;
    assert_fails(pf_image_read(&image, "no/such/file.png"), PF_EIO,
                 "no/such/file.png: No such file");
    assert_fails(pf_image_read(&image, "tests"), PF_EIO, "tests: cannot be read: Is a directory");
}

static void
test_what_is_written_is_read_back(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
        pf_image image, back;
        char *bytes = NULL;
        size_t size = 0;
        assert_ok(pf_image_new(&image, 37, 5, channels));
        for (size_t i = 0; i < pf_image_bytes(&image); i++)
            image.pixel[i] = (uint8_t)(i * i + channels);
        FILE *f = open_memstream(&bytes, &size);
        assert_ok(pf_image_write_png(&image, f));
        fclose(f);
        assert_ok(pf_image_read_memory(&back, bytes, size, "back"));
        assert_int_equal(back.channels, channels == 1 ? 3 : channels);
        for (int i = 0; i < 37 * 5; i++)
            assert_int_equal(back.pixel[i * back.channels], image.pixel[i * channels]);
        assert_true(channels == 1 || same(&image, &back));
        free(bytes);
        pf_image_release(&image);
        pf_image_release(&back);
    }
}

static void
test_a_full_disk_is_reported(void **state)
{
    pf_image image = read_image("photo.png");
    FILE *full = fopen("/dev/full", "wb");
    (void)state;
    if (full) {
        assert_fails(pf_image_write_png(&image, full), PF_EIO, "No space left");
        fclose(full);
    }
    pf_image_release(&image);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example_of_reading),
        cmocka_unit_test(test_every_lossless_kind_decodes_to_the_same_pixels),
        cmocka_unit_test(test_grey_becomes_rgb),
        cmocka_unit_test(test_jpeg_and_webp_are_close_to_their_source),
        cmocka_unit_test(test_alpha_of_a_lossy_webp_is_exact),
        cmocka_unit_test(test_damaged_files_are_refused),
        cmocka_unit_test(test_giants_are_refused_before_memory_is_taken),
        cmocka_unit_test(test_no_prefix_gives_half_a_picture),
        cmocka_unit_test(test_missing_file_and_folder),
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_a_full_disk_is_reported),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
