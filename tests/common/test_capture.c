/* Readers of transforms.json and COLMAP's text: files that are cut at every byte, and files with
 * bytes changed, are read or refused, with a sentence that names the file. */
#include "tests/tools/program.h"
#include "common/capture.h"

enum { CHANGES = 400 };

static const char transforms[] =
    "{\"camera_angle_x\": 0.8, \"w\": 4, \"h\": 3, \"k1\": 0,\n"
    " \"frames\": [{\"file_path\": \"a\", \"mask_path\": \"a.png\", \"cx\": 2.5, "
    "\"transform_matrix\":\n"
    "  [[0, 0, 1, 1.5], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]}]}\n";
static const char cameras[] = "# c\n1 PINHOLE 4 3 5 5 2 1.5\n2 SIMPLE_PINHOLE 4 3 5 2 1.5\n";
static const char images[] =
    "# i\n1 0.5 0.5 0.5 0.5 0 0 1.5 1 a.png\n1 2 -1\n2 1 0 0 0 0 0 1.5 2 a.png\n\n";

static void
write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Read these bytes as file of path, and all that belongs to it. */
static void
try(const char *file, const char *bytes, size_t n, const char *path)
{
    struct pf_capture c = {0};
    write_bytes(file, bytes, n);
    const pf_err err = pf_capture_read(&c, path, ".");
    if (err)
        assert_true(strstr(pf_error(), path) && !strchr(pf_error(), '\n'));
    for (int i = 0; i < c.shots && !err; i++)
        assert_true(c.shot[i].picture && c.shot[i].where && isfinite(c.shot[i].t[2]));
    pf_capture_release(&c);
}

static void
try_all(const char *file, const char *good, const char *path)
{
    const size_t n = strlen(good);
    char *bytes = malloc(n);
    assert_non_null(bytes);
    memcpy(bytes, good, n);
    for (size_t i = 0; i < n; i++)
        try(file, good, i, path);
    for (uint64_t i = 0; i < CHANGES; i++) {
        char *byte = &bytes[(size_t)(pf_rng_uniform(3, PF_RNG_TEST, 2 * i) * (float)n) % n];
        const char was = *byte;
        *byte = (char)(256 * pf_rng_uniform(3, PF_RNG_TEST, 2 * i + 1));
        try(file, bytes, n, path);
        *byte = was;
    }
    write_bytes(file, good, n);
    free(bytes);
}

static void
test_good_files_are_read(void **state)
{
    struct pf_capture c = {0};
    (void)state;
    assert_ok(pf_capture_read(&c, "transforms.json", NULL));
    assert_int_equal(c.shots, 1);
    assert_string_equal(c.shot[0].picture, "a.png");
    assert_string_equal(c.shot[0].mask, "a.png");
    assert_true(c.shot[0].cx == 2.5 && isnan(c.shot[0].cy) && isnan(c.shot[0].fx) &&
                c.shot[0].width == 4);
    pf_capture_release(&c);
    assert_ok(pf_capture_read(&c, "colmap", "."));
    assert_int_equal(c.shots, 2);
    assert_true(c.shot[0].fy == 5 && c.shot[1].cy == 1.5 && c.shot[1].R[4] == 1 &&
                c.shot[0].R[1] == 0);
    assert_true(c.shot[0].R[3] == 1 && c.shot[0].R[7] == 1 &&
                c.shot[0].R[2] == 1); // x to y to z to x
    pf_capture_release(&c);
}

static void
test_damaged_transforms(void **state)
{
    (void)state;
    try_all("transforms.json", transforms, "transforms.json");
}

static void
test_damaged_colmap(void **state)
{
    (void)state;
    try_all("colmap/cameras.txt", cameras, "colmap");
    try_all("colmap/images.txt", images, "colmap");
}

static int
enter(void **state)
{
    assert_int_equal(enter_scratch(state), 0);
    mkdir("colmap", 0777);
    write_text("a.png", "");
    write_text("transforms.json", transforms);
    write_text("colmap/cameras.txt", cameras);
    write_text("colmap/images.txt", images);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files_are_read),
        cmocka_unit_test(test_damaged_transforms),
        cmocka_unit_test(test_damaged_colmap),
    };
    return cmocka_run_group_tests_name("capture", tests, enter, leave_scratch);
}
