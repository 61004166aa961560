/* What is compressed in strips is one PNG like any other. */
// uses: tools/pf-extract-mesh/png_strips.c
#include "tests/check.h"

#include "common/image.h"
#include "tools/pf-extract-mesh/png_strips.h"

static char *
encoded(const pf_image *image, size_t *size)
{
    static char *bytes; /* static: else gcc 12 takes what is returned to dangle */
    FILE *const f = open_memstream(&bytes, size);
    assert_non_null(f);
    assert_ok(pf_png_strips_write(image, f));
    fclose(f);
    return bytes;
}

/* Noise in the upper half, a slope below. */
static void
fill(pf_image *image, int width, int height)
{
    uint32_t seed = 1;
    assert_ok(pf_image_new(image, width, height, 3));
    for (size_t i = 0; i < pf_image_bytes(image); i++) {
        seed = seed * 1664525 + 1013904223;
        image->pixel[i] = (uint8_t)(i < pf_image_bytes(image) / 2 ? seed >> 24 : i / 5);
    }
}

static void
test_pictures_come_back(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 300}, {300, 1}, {7, 64},
                                   {65, 65}, {64, 128}, {200, 129}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pf_image image, back = {0};
        size_t size;
        fill(&image, sizes[i][0], sizes[i][1]);
        char *const bytes = encoded(&image, &size);
        assert_ok(pf_image_read_memory(&back, bytes, size, "strips"));
        assert_int_equal(back.width, sizes[i][0]);
        assert_int_equal(back.height, sizes[i][1]);
        assert_int_equal(back.channels, 3);
        assert_memory_equal(back.pixel, image.pixel, pf_image_bytes(&image));
        free(bytes);
        pf_image_release(&image);
        pf_image_release(&back);
    }
}

static void
test_a_smooth_picture_becomes_small(void **state)
{
    pf_image image;
    size_t size;
    (void)state;
    assert_ok(pf_image_new(&image, 256, 256, 3));
    for (size_t i = 0; i < pf_image_bytes(&image); i++)
        image.pixel[i] = (uint8_t)(i / 768);
    free(encoded(&image, &size));
    assert_true(size < 4096);
    pf_image_release(&image);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_come_back),
        cmocka_unit_test(test_a_smooth_picture_becomes_small),
    };
    return cmocka_run_group_tests_name("png_strips", tests, NULL, NULL);
}
