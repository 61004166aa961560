#include "kernels/shelf.h"
#include "tests/check.h"

enum { MB = 1 << 20 };

/* Memory for boards that counts itself. */
struct ground {
    int boards, given;          /* of malloc's and back */
    size_t bytes;
};

static void *
take(struct ground *g, struct pf_shelf *s, size_t size)
{
    void *data = pf_shelf_take(s, size);
    if (data)
        return data;
    const size_t board = pf_shelf_next(s, size);
    assert_true(board >= size && board % (2 * MB) == 0);        /* a GPU's pages */
    g->boards++;
    g->bytes += board;
    assert_ok(pf_shelf_add(s, malloc(board), board));
    data = pf_shelf_take(s, size);
    assert_non_null(data);
    return data;
}

static void
give(void *ctx, void *data, size_t size)
{
    struct ground *const g = ctx;
    g->given++;
    g->bytes -= size;
    free(data);
}

/* For boards that are nobody's. */
static void
leave(void *ctx, void *data, size_t size)
{
    (void)ctx;
    (void)data;
    (void)size;
}

/* Everything has its own place, at a multiple of 256 of its board, until all of it goes. */
static void
test_what_is_taken_does_not_overlap(void **state)
{
    enum { N = 300 };
    static unsigned char *at[N];
    struct pf_shelf s = {0};
    struct ground g = {0};
    size_t size[N], sum = 0;
    (void)state;
    for (int i = 0; i < N; i++) {
        size[i] = (size_t)(i % 7 ? 1 + i * i % 5000 : 100000 + 1000 * i);
        at[i] = take(&g, &s, size[i]);
        memset(at[i], i, size[i]);
        sum += size[i];
    }
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(at[i][k], (unsigned char)i);
    assert_true(s.bytes == g.bytes && s.used >= sum && s.used < sum + N * 256 && s.used <= s.bytes);
    pf_shelf_release(&s, give, &g);
    assert_true(g.given == g.boards && g.bytes == 0);
    assert_true(!s.first && s.bytes == 0 && s.used == 0);
}

static void
test_places_are_aligned_in_their_board(void **state)
{
    static unsigned char board[4096];
    struct pf_shelf s = {0};
    (void)state;
    assert_null(pf_shelf_take(&s, 1));
    assert_ok(pf_shelf_add(&s, board, sizeof board));
    assert_ptr_equal(pf_shelf_take(&s, 1), board);
    assert_ptr_equal(pf_shelf_take(&s, 257), board + 256);
    assert_ptr_equal(pf_shelf_take(&s, 64), board + 768);
    assert_int_equal(s.used, 768 + 64);
    assert_null(pf_shelf_take(&s, 4096 - 1024 + 1));
    assert_ptr_equal(pf_shelf_take(&s, 4096 - 1024), board + 1024);
    assert_null(pf_shelf_take(&s, 1));
    assert_int_equal(s.used, s.bytes);
    assert_fails(pf_shelf_add(&s, NULL, 1), PF_ENOMEM, "no memory");
    pf_shelf_release(&s, leave, NULL);
}

/* As many weights as the full-size model has, in the sizes that it has most of and in any order, in
 * few pieces, of which less than 2 % is left; and a small model does not get a large one. */
static void
test_many_weights_are_few_boards(void **state)
{
    static const struct { size_t size; int count; } kind[] = {
        {58982400, 5}, {29491200, 18}, {26214400, 12}, {13107200, 13}, {9830400, 12},
        {7372800, 7},  {6553600, 15},  {4718592, 30},  {3276800, 47},  {2457600, 11},
        {1966080, 12}, {1638400, 24},  {819200, 41},   {204800, 30},   {5120, 400},
        {2560, 400},   {1280, 420},    {640, 303}};
    enum { KINDS = sizeof kind / sizeof *kind, N = 1800, STEP = 1013 };
    static size_t size[N];
    struct pf_shelf s = {0};
    struct ground g = {0};
    size_t sum = 0;
    int n = 0;
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < kind[k].count; i++)
            size[n++ * STEP % N] = kind[k].size;
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++) {
        sum += size[i];
        if (!pf_shelf_take(&s, size[i])) {
            const size_t board = pf_shelf_next(&s, size[i]);
            g.boards++;                         /* addresses that nobody looks behind */
            assert_ok(pf_shelf_add(&s, (void *)((uintptr_t)g.boards << 32), board));
            assert_non_null(pf_shelf_take(&s, size[i]));
        }
        if (sum < 10 * MB)
            assert_true(s.bytes < sum + 8 * MB);
    }
    assert_true(sum > 2000000000 && g.boards < N / 10);
    assert_true(s.bytes - s.used < sum / 50);
    pf_shelf_release(&s, leave, NULL);
}

/* What is more than half of a board has its own, and what is small fills its last page. */
static void
test_large_weights_leave_their_ends_to_small_ones(void **state)
{
    struct pf_shelf s = {0};
    struct ground g = {0};
    (void)state;
    take(&g, &s, 100);
    assert_int_equal(s.bytes, 2 * MB);
    char *const large = take(&g, &s, 5 * MB / 2);
    assert_int_equal(s.bytes, 6 * MB);
    take(&g, &s, 2 * MB - 256);                                 /* the first one's */
    assert_ptr_equal(take(&g, &s, MB), large + 5 * MB / 2);
    assert_ptr_equal(take(&g, &s, MB / 2), large + 7 * MB / 2);
    assert_int_equal(s.bytes, 6 * MB);
    for (int i = 0; i < 100; i++)
        take(&g, &s, 8 * MB + 1);                               /* 16 MB, an eighth and at most */
    assert_int_equal(s.bytes, 6 * MB + 100 * 10 * MB);
    take(&g, &s, 8 * MB);
    assert_int_equal(s.bytes, 6 * MB + 100 * 10 * MB + 16 * MB);
    pf_shelf_release(&s, give, &g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken_does_not_overlap),
        cmocka_unit_test(test_places_are_aligned_in_their_board),
        cmocka_unit_test(test_many_weights_are_few_boards),
        cmocka_unit_test(test_large_weights_leave_their_ends_to_small_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
