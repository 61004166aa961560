/* pf-mask --method net as a program: views of a ball before boards, so that the truth is known. */
#include "common/image.h"
#include "tests/tools/program.h"

enum { N = 2, S = 256 };
static pf_image ball;           /* RGBA, S x S, read before the scratch folder is entered */

static int
setup(void **state)
{
    return pf_image_read(&ball, "configs/demo/photos/ball-20.png") || ball.width != S ||
           enter_scratch(state);
}

static int
teardown(void **state)
{
    pf_image_release(&ball);
    return leave_scratch(state);
}

/* A strip of the ball and of its mirror image, before something like wood. */
static void
draw_strip(const char *path)
{
    pf_image strip;
    assert_ok(pf_image_new(&strip, N * S, S, 3));
    for (int i = 0; i < N * S * S; i++) {
        const int x = i % (N * S), y = i / (N * S), u = x < S ? x : 2 * S - 1 - x;
        const uint8_t *const p = ball.pixel + 4 * (y * S + u);
        const double wave = 20 * sin(x / 9.0 + sin(y / 23.0)) + 10 * sin(y / 2.5);
        const double wood[] = {150 + wave, 110 + wave, 70 + wave};
        for (int c = 0; c < 3; c++)
            strip.pixel[3 * i + c] = (uint8_t)((p[c] * p[3] + wood[c] * (255 - p[3])) / 255);
    }
    assert_ok(pf_image_save_png(&strip, path));
    pf_image_release(&strip);
}

/* The ball is found in each view, and the boards have become white. */
static void
check_views(const char *path)
{
    pf_doc doc = {0};
    pf_tensor image, alpha;
    read_document(&doc, path);
    assert_ok(pf_doc_need(&doc, "views.image", PF_U8, 4, (int64_t[]){N, S, S, 3}, &image));
    assert_ok(pf_doc_need(&doc, "views.alpha", PF_F32, 3, (int64_t[]){N, S, S}, &alpha));
    for (int n = 0; n < N; n++) {
        int both = 0, either = 0;
        for (int i = 0; i < S * S; i++) {
            const int u = n ? S - 1 - i % S : i % S;
            const bool truth = ball.pixel[4 * (i / S * S + u) + 3] > 127;
            const float a = ((float *)alpha.data)[n * S * S + i];
            both += truth && a > 0.5f;
            either += truth || a > 0.5f;
            if (a == 0)
                assert_int_equal(((uint8_t *)image.data)[3 * (n * S * S + i) + 1], 255);
        }
        print_message("# view %d: IoU %.4f\n", n, (double)both / either);
        assert_true(both > 0.95 * either);
    }
    pf_doc_release(&doc);
}

static void
test_views_before_boards(void **state)
{
    (void)state;
    draw_strip("boards.png");
    SAYS("the background is not plain", "pf-mask --elevation 20 -o white.pf boards.png");
    RUNS("pf-mask --elevation 20 --method net -o net.pf boards.png");
    check_views("net.pf");
    RUNS("printf 'mask:\\n  method: net\\n' >net.yaml");
    RUNS("pf-mask -q -c net.yaml <net.pf >again.pf");           /* now before white */
    check_views("again.pf");
}

static void
test_weights_are_those_that_are_named(void **state)
{
    (void)state;
    draw_strip("boards.png");
    FAILS(1, "none.safetensors",
          "pf-mask --elevation 20 --method net -w none.safetensors -o x.pf boards.png");
    SAYS("not plain", "pf-mask --elevation 20 --method white -o views.pf boards.png");
    RUNS("cp views.pf other.pf");
    FAILS(1, "pf-mask: other.pf holds no network that cuts out",        /* views.pf got the blame */
          "pf-mask --method net -w other.pf -o x.pf views.pf");
    RUNS("! test -e x.pf");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_before_boards),
        cmocka_unit_test(test_weights_are_those_that_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
