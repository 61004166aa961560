/* pf-cutout as a program: photos that are composed here, so that the truth is known. */
#include "common/image.h"
#include "tests/kernels/cutout/random_fba.h"
#include "tests/tools/program.h"

enum { S = 256 };
static pf_image ball;           /* RGBA, S x S, read before the scratch folder is entered */
static pf_image small;          /* RGB, likewise */

static int
setup(void **state)
{
    return pf_image_read(&ball, "configs/demo/photos/ball-20.png") || ball.width != S ||
           pf_image_read(&small, "tests/data/images/photo.jpg") || enter_scratch(state);
}

static int
teardown(void **state)
{
    pf_image_release(&ball);
    pf_image_release(&small);
    return leave_scratch(state);
}

/* What lies behind the object: boards of wood-like brown that vary slowly, or one colour. */
static void
ground_at(uint8_t c[3], int x, int y, bool plain)
{
    const double wave = 20 * sin(x / 9.0 + sin(y / 23.0)) + 10 * sin(y / 2.5);
    const double base[] = {150, 110, 70};
    for (int i = 0; i < 3; i++)
        c[i] = (uint8_t)(plain ? 30 + 60 * i : base[i] + wave);
}

/* The ball in a photo of side pixels, its upper left corner at (x0, y0), count times side by side;
 * 1 in truth where it is. */
static void
compose(const char *path, int side, int x0, int y0, int count, bool plain, uint8_t *truth)
{
    pf_image photo;
    assert_ok(pf_image_new(&photo, side, side, 3));
    for (int i = 0; i < side * side; i++) {
        const int x = i % side - x0, y = i / side - y0;
        const bool inside = x >= 0 && x < count * S && y >= 0 && y < S;
        const uint8_t *const p = ball.pixel + 4 * (inside ? y * S + x % S : 0);
        const int a = inside ? p[3] : 0;
        uint8_t c[3];
        ground_at(c, i % side, i / side, plain);
        for (int k = 0; k < 3; k++)
            photo.pixel[3 * i + k] = (uint8_t)((p[k] * a + c[k] * (255 - a)) / 255);
        if (truth)
            truth[i] = a > 127;
    }
    assert_ok(pf_image_save_png(&photo, path));
    pf_image_release(&photo);
}

static double
iou(const char *path, const uint8_t *truth, int side)
{
    pf_image made;
    int64_t both = 0, either = 0;
    assert_ok(pf_image_read(&made, path));
    assert_true(made.width == side && made.height == side && made.channels == 4);
    for (int i = 0; i < side * side; i++) {
        const bool object = made.pixel[4 * i + 3] > 127;
        both += object && truth[i];
        either += object || truth[i];
    }
    pf_image_release(&made);
    return (double)both / (double)either;
}

static void
test_the_network_that_ships_finds_a_ball_on_boards(void **state)
{
    enum { SIDE = 360 };
    uint8_t *const truth = malloc(SIDE * SIDE);
    (void)state;
    assert_non_null(truth);
    compose("boards.png", SIDE, 60, 50, 1, false, truth);
    RUNS("pf-cutout -d cpu -v -o cut.png boards.png 2>told && "
         "grep -q 'sure to [01]\\.[089]' told");
    const double got = iou("cut.png", truth, SIDE);
    print_message("# IoU %.4f\n", got);
    assert_true(got > 0.9);
    free(truth);
}

static void
test_a_plain_background_is_exact_and_leaves_no_rim(void **state)
{
    enum { SIDE = 300, AT = 22 };
    uint8_t *const truth = malloc(SIDE * SIDE);
    pf_image made;
    (void)state;
    assert_non_null(truth);
    compose("plain.png", SIDE, AT, AT, 1, true, truth);
    RUNS("pf-cutout -o cut.png plain.png");
    assert_true(iou("cut.png", truth, SIDE) > 0.98);
    assert_ok(pf_image_read(&made, "cut.png"));
    double rim = 0, kept = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {         /* against the ball's colours, on its edge */
        const int x = i % SIDE - AT, y = i / SIDE - AT;
        if (x < 0 || y < 0 || x >= S || y >= S)
            continue;
        const uint8_t *const p = ball.pixel + 4 * (y * S + x), *const m = made.pixel + 4 * i;
        if (p[3] < 64 || p[3] > 191 || m[3] < 32)
            continue;
        uint8_t c[3];
        ground_at(c, 0, 0, true);
        for (int k = 0; k < 3; k++) {
            rim += abs(m[k] - p[k]);
            kept += abs((p[k] * p[3] + c[k] * (255 - p[3])) / 255 - p[k]);
        }
    }
    print_message("# error of the edge's colours: %.0f, of the photo's own %.0f\n", rim, kept);
    assert_true(kept > 0 && rim < kept / 2);
    pf_image_release(&made);
    free(truth);
}

static void
test_doubtful_masks_are_told(void **state)
{
    (void)state;
    compose("small.png", 1600, 700, 700, 1, true, NULL);
    RUNS("pf-cutout -o cut.png small.png 2>told && grep -qx 'pf-cutout: small.png: the object "
         "fills 0\\.[0-9]* %% of the photo, less than 1 %%' told && test $(wc -l <told) = 1");
    compose("cut-off.png", 300, 150, 22, 1, true, NULL);
    RUNS("pf-cutout -o cut.png cut-off.png 2>told && grep -qx 'pf-cutout: cut-off.png: the object "
         "touches the border of the photo: part of it may be outside' told");
    compose("two.png", 560, 24, 140, 2, true, NULL);
    RUNS("pf-cutout -o cut.png two.png 2>told && grep -qx 'pf-cutout: two.png: the object is 2 "
         "things that are apart; the largest is 50 %% of it' told && test $(wc -l <told) = 1");
    compose("fine.png", 300, 22, 22, 1, true, NULL);
    RUNS("pf-cutout -o cut.png fine.png 2>told && ! test -s told");
}

static void
write_weights(struct random_cutout *r, const char *path)
{
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(r->bytes, 1, r->size, f), r->size);
    assert_int_equal(fclose(f), 0);
    random_release(r);
}

/* Which mask the network doubts depends on the network; of random weights nobody can be sure. */
static void
test_doubt_is_told(void **state)
{
    struct random_cutout r;
    (void)state;
    random_cutout(&r, "u2netp");
    write_weights(&r, "noise.safetensors");
    compose("boards.png", 360, 60, 50, 1, false, NULL);
    RUNS("pf-cutout -v -w noise.safetensors -o cut.png boards.png 2>told && "
         "grep -q 'sure to 0\\.[0-9]*: that intersection over union is to be expected' told && "
         "grep -qx 'pf-cutout: boards.png: the network is not sure what the object is "
         "(0\\.[0-9]* of 1): look at the mask' told");
    pf_image dot;                       /* it was doubted first, and then there was nothing */
    assert_ok(pf_image_new(&dot, 1, 1, 3));
    assert_ok(pf_image_save_png(&dot, "dot.png"));
    pf_image_release(&dot);
    FAILS(1, "dot.png: no object is found",
          "pf-cutout --method net -w noise.safetensors -o none.png dot.png");
}

/* Alpha in which nothing is left out was dropped without a word. */
static void
test_alpha_that_leaves_nothing_out_is_told(void **state)
{
    pf_image whole;
    (void)state;
    compose("fine.png", 300, 22, 22, 1, true, NULL);
    RUNS("pf-cutout -o cut.png fine.png");
    assert_ok(pf_image_read(&whole, "fine.png"));
    pf_image faint;
    assert_ok(pf_image_new(&faint, 300, 300, 4));
    for (int i = 0; i < 300 * 300; i++) {
        memcpy(faint.pixel + 4 * i, whole.pixel + 3 * i, 3);
        faint.pixel[4 * i + 3] = (uint8_t)(i % 100 + 128);
    }
    assert_ok(pf_image_save_png(&faint, "faint.png"));
    SAYS("pf-cutout: faint.png: its alpha, 128 to 227 of 255, leaves nothing out, so it is cut out "
         "like an opaque photo\n", "pf-cutout -o same.png faint.png");
    RUNS("cmp cut.png same.png");
    pf_image_release(&faint);
    pf_image_release(&whole);
}

/* The ball is a fifth of the side of the photo, and a pixel of the network four of the photo's. */
static void
test_large_photos_are_cut_along_their_own_edges(void **state)
{
    enum { SIDE = 1200 };
    uint8_t *const truth = malloc(SIDE * SIDE);
    (void)state;
    assert_non_null(truth);
    compose("large.png", SIDE, 500, 600, 1, false, truth);
    RUNS("pf-cutout -d cpu -o cut.png large.png && "
         "pf-cutout -d cpu --refine off -o rough.png large.png");
    const double fine = iou("cut.png", truth, SIDE), rough = iou("rough.png", truth, SIDE);
    print_message("# IoU %.4f, without a closer look %.4f\n", fine, rough);
    assert_true(fine > 0.98 && rough < fine);
    free(truth);
}

/* Weights in the authors' format are taken, and their masks stretched: noise has its 255. */
static void
test_other_weights_by_other_rules(void **state)
{
    struct random_cutout r;
    pf_image made;
    (void)state;
    random_cutout(&r, "u2netp");
    write_weights(&r, "random.safetensors");
    compose("boards.png", 360, 60, 50, 1, false, NULL);
    RUNS("pf-cutout -v -w random.safetensors --refine off -o author.png boards.png 2>told && "
         "grep -q 'U^2-Net-p: ' told");
    RUNS("pf-cutout -w random.safetensors --preset author -o same.png boards.png 2>told && "
         "cmp author.png same.png");
    RUNS("pf-cutout -w random.safetensors -o fine.png boards.png 2>told && "
         "! cmp -s author.png fine.png");
    RUNS("pf-cutout -w random.safetensors --refine on --preset author -o same.png boards.png "
         "2>told && cmp fine.png same.png");
    RUNS("pf-cutout -w random.safetensors --preset rembg -o rembg.png boards.png 2>told && "
         "! cmp -s author.png rembg.png");
    RUNS("pf-cutout -w random.safetensors --preset own -o own.png boards.png 2>told && "
         "! cmp -s author.png own.png");
    assert_ok(pf_image_read(&made, "author.png"));
    int least = 255, most = 0;
    for (size_t i = 3; i < pf_image_bytes(&made); i += 4) {
        least = made.pixel[i] < least ? made.pixel[i] : least;
        most = made.pixel[i] > most ? made.pixel[i] : most;
    }
    assert_true(least < 8 && most > 240);
    pf_image_release(&made);
}

/* Of any network's mask; by carvekit's rules colours are mixed with grey where alpha is not
 * whole. */
static void
test_matting_makes_alpha_of_a_mask(void **state)
{
    struct random_cutout r;
    pf_image photo, cut;
    int part = 0;
    (void)state;
    random_fba(&r, NULL);
    write_weights(&r, "fba.safetensors");
    assert_ok(pf_image_save_png(&small, "photo.png"));
    RUNS("pf-cutout -d cpu -v --preset carvekit --matting fba.safetensors -o cut.png photo.png "
         "2>told && grep -q 'FBA matting: ' told");
    assert_ok(pf_image_read(&photo, "photo.png"));
    assert_ok(pf_image_read(&cut, "cut.png"));
    assert_int_equal(cut.channels, 4);
    for (int i = 0; i < cut.width * cut.height; i++) {
        const uint8_t *const from = photo.pixel + 3 * i, *const to = cut.pixel + 4 * i;
        const float a = (float)to[3] / 255;
        part += to[3] > 0 && to[3] < 255;
        for (int c = 0; c < 3; c++)
            assert_int_equal(to[c], to[3] == 255 ? from[c]
                                                 : (int)(a * from[c] + (1 - a) * 130));
    }
    print_message("# alpha of %d pixels is between\n", part);
    assert_true(part > 10);
    pf_image_release(&cut);
    pf_image_release(&photo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_network_that_ships_finds_a_ball_on_boards),
        cmocka_unit_test(test_a_plain_background_is_exact_and_leaves_no_rim),
        cmocka_unit_test(test_doubtful_masks_are_told),
        cmocka_unit_test(test_doubt_is_told),
        cmocka_unit_test(test_alpha_that_leaves_nothing_out_is_told),
        cmocka_unit_test(test_large_photos_are_cut_along_their_own_edges),
        cmocka_unit_test(test_other_weights_by_other_rules),
        cmocka_unit_test(test_matting_makes_alpha_of_a_mask),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
