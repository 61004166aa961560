/* truncated.h - whatever a checkpoint's format: however early the file ends, that is an error, and
 * no crash or other tensors. */
#ifndef PF_TEST_TRUNCATED_H
#define PF_TEST_TRUNCATED_H
#include "common/checkpoint.h"
#include "tests/check.h"

static inline void
every_truncation_is_refused(const char *path)
{
    static char bytes[10000];
    pf_checkpoint *w;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t n = 0; n < size; n++) {
        char *part = malloc(n + 1);                     // so that a read beyond n is seen
        memcpy(part, bytes, n);
        if (pf_checkpoint_open_memory(&w, part, n, "part") == PF_OK)
            fail_msg("%zu of %zu bytes of %s were accepted", n, size, path);
        free(part);
    }
}

#endif
