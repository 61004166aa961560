/* pieces.c: pieces that are found row by row, against those that are filled one after the other. */
#include "common/pieces.h"

#include "tests/check.h"

enum { W = 23, H = 17 };

/* Take the piece at (x, y) out of left, and put its number there. */
static struct pf_piece
fill(int *number, uint8_t *left, int x, int y, int k, bool diagonal)
{
    struct pf_piece sum = {0};
    if (x < 0 || y < 0 || x >= W || y >= H || !left[y * W + x])
        return sum;
    left[y * W + x] = 0;
    number[y * W + x] = k;
    sum.pixels = 1;
    sum.border = x == 0 || y == 0 || x == W - 1 || y == H - 1;
    for (int i = 0; i < 9; i++) {
        const int dx = i % 3 - 1, dy = i / 3 - 1;
        if (!diagonal && dx && dy)
            continue;
        const struct pf_piece more = fill(number, left, x + dx, y + dy, k, diagonal);
        sum.pixels += more.pixels;
        sum.border |= more.border;
    }
    return sum;
}

static void
expect_pieces(const uint8_t *picture, bool diagonal)
{
    static int number[W * H];
    static struct pf_piece want[W * H];
    uint8_t left[W * H];
    struct pf_pieces p;
    int pieces = 0, found = 0;
    memcpy(left, picture, sizeof left);
    for (int i = 0; i < W * H; i++)
        if (left[i]) {
            want[pieces] = fill(number, left, i % W, i / W, pieces, diagonal);
            pieces++;
        }
    assert_ok(pf_pieces_new(&p, W, diagonal));
    for (int y = 0; y < H; y++)
        assert_ok(pf_pieces_row(&p, picture + y * W, y == 0 || y == H - 1));
    pf_pieces_settle(&p);
    for (int k = 0; k < p.n; k++)
        found += p.piece[k].parent == k;
    assert_int_equal(found, pieces);
    for (int y = 0; y < H; y++) {
        assert_ok(pf_pieces_row(&p, picture + y * W, false));
        for (int x = 0; x < W; x++) {
            if (!picture[y * W + x])
                continue;
            const struct pf_piece *const got = pf_pieces_of(&p, x);
            assert_int_equal(got->pixels, want[number[y * W + x]].pixels);
            assert_int_equal(got->border, want[number[y * W + x]].border);
        }
    }
    pf_pieces_release(&p);
}

/* Arms that meet below, pixels that touch by corners alone, everything, nothing, noise. */
static void
test_pieces_are_those_that_are_filled(void **state)
{
    static const char *const shapes[] = {"#.#.#.###", "###.#.#.#", "#.", "#", ".",
                                         "#####...#.###.#.###.....#####..#"};
    uint8_t picture[W * H];
    float noise[W * H];
    (void)state;
    for (int k = 0; k < 6 * W; k++) {
        const char *const shape = shapes[k / W];
        for (int i = 0; i < W * H; i++)
            picture[i] = shape[(size_t)(i % W + i / W * (k % W)) % strlen(shape)] == '#';
        expect_pieces(picture, false);
        expect_pieces(picture, true);
    }
    for (int k = 0; k < 200; k++) {
        fill_uniform(noise, W * H, (uint32_t)k);
        for (int i = 0; i < W * H; i++)
            picture[i] = noise[i] > (float)(k % 10 - 5) / 5;
        expect_pieces(picture, k % 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_those_that_are_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
