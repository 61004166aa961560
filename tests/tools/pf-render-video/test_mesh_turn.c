/* What is shown of a mesh: a box of 0.4 x 1 x 0.6, seen from its front. */
// uses: tools/pf-render-video/mesh_turn.c
#include "tests/check.h"

#include "tools/pf-render-video/mesh_turn.h"

enum { SIZE = 64 };

/* The frame's pixel in column x of the middle row. */
static void
pixel(uint8_t rgb[3], struct mesh_show show, int x)
{
    struct mesh_turn *m;
    pf_dev *dev;
    pf_image image;
    show.keep_frame = true;
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    assert_ok(pf_image_new(&image, SIZE, SIZE, 3));
    assert_ok(mesh_turn_open(&m, dev, "tests/data/mesh/box.glb", SIZE, &show));
    assert_ok(mesh_turn_view(&image, m, 0, 0));
    memcpy(rgb, image.pixel + 3 * (SIZE / 2 * SIZE + x), 3);
    mesh_turn_close(m);
    pf_image_release(&image);
    pf_dev_close(dev);
}

static void
assert_shows(struct mesh_show show, int x, int red, int green, int blue)
{
    uint8_t rgb[3];
    pixel(rgb, show, x);
    assert_int_equal(rgb[0], red);
    assert_int_equal(rgb[1], green);
    assert_int_equal(rgb[2], blue);
}

static void
test_normals_are_colours(void **state)
{
    (void)state;
    assert_shows((struct mesh_show){.what = SHOW_NORMAL}, SIZE / 2, 255, 128, 128);     // x
    assert_shows((struct mesh_show){.what = SHOW_NORMAL}, 0, 255, 255, 255);            // nothing
}

static void
test_depth_is_grey(void **state)
{
    // The front is at 1.5 - 0.2, and all of it within 1.5 +- r.
    const double r = sqrt(0.2 * 0.2 + 0.5 * 0.5 + 0.3 * 0.3);
    const int grey = (int)(224 * (1.3 - (1.5 - r)) / (2 * r) + 0.5);
    (void)state;
    assert_shows((struct mesh_show){.what = SHOW_DEPTH}, SIZE / 2, grey, grey, grey);
    assert_shows((struct mesh_show){.what = SHOW_DEPTH}, 0, 255, 255, 255);
}

/* The front's texture is darker where less light falls on it. */
static void
test_light_is_chosen(void **state)
{
    uint8_t flat[3], studio[3];
    (void)state;
    pixel(flat, (struct mesh_show){.light = PF_LIGHT_FLAT}, SIZE / 2);
    pixel(studio, (struct mesh_show){.light = PF_LIGHT_STUDIO}, SIZE / 2);
    assert_true(flat[0] > studio[0]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normals_are_colours),
        cmocka_unit_test(test_depth_is_grey),
        cmocka_unit_test(test_light_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
