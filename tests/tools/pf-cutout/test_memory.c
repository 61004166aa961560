/* How much memory pf-cutout takes of a photo before a plain background: it was 17 bytes a pixel. */
#include <sys/resource.h>

#include "common/image.h"
#include "tests/tools/program.h"

enum { S = 2000, MOST = 8 };    /* the photo's side; bytes a pixel */

static pf_err
draw_row(void *user, uint8_t *row, int y)
{
    (void)user;
    for (int x = 0; x < S; x++)
        memset(row + 3 * x, hypot(x - S / 2, y - S / 2) < S / 3 ? 90 : 255, 3);
    return PF_OK;
}

/* Beside what the program itself takes, which shows where there is no photo. */
static void
test_a_large_photo_takes_few_bytes_a_pixel(void **state)
{
    const char *const sanitizers = getenv("PF_SAN");
    struct rusage none, all;
    (void)state;
    if (sanitizers && *sanitizers) {
        print_message("# sanitizers take memory of their own\n");
        skip();
    }
    FILE *const f = fopen("large.png", "wb");
    assert_non_null(f);
    assert_ok(pf_image_write_png_rows(f, S, S, 3, draw_row, NULL));
    assert_int_equal(fclose(f), 0);
    FAILS(1, "is empty", "pf-cutout -o cut.png </dev/null");
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &none), 0);
    RUNS("pf-cutout -o cut.png large.png");
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &all), 0);
    const double bytes = 1024.0 * (double)(all.ru_maxrss - none.ru_maxrss) / ((double)S * S);
    print_message("# %.1f bytes a pixel\n", bytes);
    assert_true(bytes < MOST);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_photo_takes_few_bytes_a_pixel),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
