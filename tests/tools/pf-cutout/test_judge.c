/* judge.c: what it says of noise, against pieces that are filled one after the other. */
// uses: tools/pf-cutout/judge.c
#include "tools/pf-cutout/judge.h"

#include "tests/check.h"

enum { W = 23, H = 17 };

/* The pixels of the piece at (x, y), which are taken out of alpha. */
static int
fill(uint8_t *alpha, int x, int y)
{
    if (x < 0 || y < 0 || x >= W || y >= H || alpha[y * W + x] < 128)
        return 0;
    alpha[y * W + x] = 0;
    return 1 + fill(alpha, x - 1, y) + fill(alpha, x + 1, y) + fill(alpha, x, y - 1) +
           fill(alpha, x, y + 1);
}

static void
expect_pieces(const uint8_t *alpha)
{
    uint8_t left[W * H];
    const pf_image image = {.width = W, .height = H, .channels = 1, .pixel = left};
    struct verdict v;
    int object = 0, largest = 0, things = 0;
    bool touches = false;
    memcpy(left, alpha, sizeof left);
    assert_ok(judge(&v, &image));
    for (int i = 0; i < W * H; i++)
        object += alpha[i] > 127;
    for (int i = 0; i < W * H; i++)
        touches |= alpha[i] > 127 &&
                   (i < W || i >= W * H - W || i % W == 0 || i % W == W - 1);
    for (int i = 0; i < W * H; i++) {
        const int n = fill(left, i % W, i / W);
        largest = n > largest ? n : largest;
        things += n > 0 && n >= object / 20;
    }
    assert_int_equal(v.things, things);
    assert_int_equal(v.touches, touches);
    assert_true(v.largest == (object ? (double)largest / object : 0));
    assert_true(v.share == (double)object / (W * H));
}

static void
test_pieces_of_noise(void **state)
{
    uint8_t alpha[W * H];
    float noise[W * H];
    (void)state;
    for (int k = 0; k < 200; k++) {
        fill_uniform(noise, W * H, (uint32_t)k);
        for (int i = 0; i < W * H; i++)
            alpha[i] = noise[i] > (float)(k % 11 - 5) / 5 ? 128 : 127;
        expect_pieces(alpha);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_noise),
    };
    return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
