/* Copies from maps of files, from what is no map, and from a map that lost its descriptor. */
#include <unistd.h>

#include "common/mapped.h"
#include "tests/check.h"

enum { SIZE = 70000 };

static unsigned char content[SIZE];

static int
make_file(void)
{
    char name[] = "/tmp/pf-mapped-XXXXXX";
    const int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    for (int i = 0; i < SIZE; i++)
        content[i] = (unsigned char)(i * 7 + i / 256);
    assert_int_equal(write(fd, content, SIZE), SIZE);
    return fd;
}

static void
check_copies(const unsigned char *from)
{
    static const int part[][2] = {{0, SIZE}, {0, 1}, {SIZE - 1, 1}, {4095, 8194}, {9, 0}};
    static unsigned char to[SIZE + 1];
    for (int i = 0; i < 5; i++) {
        memset(to, 99, sizeof to);
        pf_copy_mapped(to, from + part[i][0], (size_t)part[i][1]);
        assert_memory_equal(to, content + part[i][0], (size_t)part[i][1]);
        assert_int_equal(to[part[i][1]], 99);
    }
}

static void
test_copies_are_the_same(void **state)
{
    struct pf_mapped a, b, none = {0};
    (void)state;
    const int fd = make_file();
    assert_true(pf_map(&a, fd, SIZE));
    assert_true(pf_map(&b, fd, SIZE));
    close(fd);                          // maps have descriptors of their own
    check_copies(a.bytes);
    check_copies(b.bytes);
    pf_unmap(&a);
    check_copies(b.bytes);
    check_copies(content);
    close(b.fd);                        // then the map itself is read
    check_copies(b.bytes);
    b.fd = -1;
    check_copies(b.bytes);
    pf_unmap(&b);
    pf_unmap(&b);
    pf_unmap(&none);
    check_copies(content);
}

static void
test_what_cannot_be_mapped(void **state)
{
    struct pf_mapped m = {0};
    (void)state;
    assert_false(pf_map(&m, -1, SIZE));
    assert_null(m.bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_are_the_same),
        cmocka_unit_test(test_what_cannot_be_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
