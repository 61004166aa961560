/* A zip archive in memory.  Hostile archives are in test_checkpoint.c. */
#include "common/unzip.h"
#include "tests/check.h"

static unsigned char bytes[10000];

static size_t
load(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return n;
}

/* Stored or deflated, an entry unpacks to the same bytes, whole or in part. */
static void
test_entries_unpack_to_the_same(void **state)
{
    static const char *const files[] = {"tests/data/checkpoint/small.ckpt",
                                        "tests/data/checkpoint/small-deflated.ckpt"};
    static const float ramp[] = {0, 1, 2, 3, 4, 5};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pf_zip z;
        float is[6];
        assert_ok(pf_zip_open(&z, bytes, load(files[i])));
        struct pf_zip_entry *e = pf_zip_find(&z, "archive/data/0");
        assert_non_null(e);
        assert_int_equal(e->deflated, i);
        assert_int_equal(e->size, sizeof ramp);
        assert_ok(pf_zip_read(e, is, 0, sizeof is));
        assert_near(is, ramp, 6, 0);
        assert_ok(pf_zip_read(e, is, 8, 8));
        assert_near(is, ramp + 2, 2, 0);
        assert_ok(pf_zip_verify(e));
        assert_fails(pf_zip_read(e, is, 20, 8), PF_EFORMAT, "fewer than needed");
        assert_fails(pf_zip_read(e, is, UINT64_MAX, 8), PF_EFORMAT, "fewer than needed");
        pf_zip_close(&z);
    }
}

static void
test_names_match_whole(void **state)
{
    struct pf_zip z;
    (void)state;
    assert_ok(pf_zip_open(&z, bytes, load("tests/data/checkpoint/small.ckpt")));
    assert_non_null(pf_zip_find(&z, "archive/data.pkl"));
    assert_null(pf_zip_find(&z, "archive/data"));
    assert_null(pf_zip_find(&z, "archive/data.pkl2"));
    assert_null(pf_zip_find(&z, ""));
    pf_zip_close(&z);
}

static void
test_archive_without_entries(void **state)
{
    struct pf_zip z;
    (void)state;
    assert_ok(pf_zip_open(&z, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22));
    assert_null(pf_zip_find(&z, "x"));
    pf_zip_close(&z);
    assert_fails(pf_zip_open(&z, "PK\5\6", 4), PF_EFORMAT, "no end record");
    assert_fails(pf_zip_open(&z, "PK\5\6\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 22),
                 PF_EFORMAT, "directory");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_unpack_to_the_same),
        cmocka_unit_test(test_names_match_whole),
        cmocka_unit_test(test_archive_without_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
