/* fuzz_image - any bytes at all through the picture readers: refused or read, never a crash.
 * With libFuzzer: clang -DPF_LIBFUZZER -fsanitize=fuzzer,address ...  Without, main replays the
 * files given, or tests/data/images, each whole, cut short and with bytes changed; TAP output. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_image image, half;

    if (pf_image_read_memory(&image, bytes, size, "fuzz"))
        return 0;
    if ((int64_t)image.width * image.height <= 1 << 16 &&
        !pf_image_resize(&half, &image, (image.width + 1) / 2, image.height / 2 + 1))
        pf_image_release(&half);
    pf_image_release(&image);
    return 0;
}

#ifndef PF_LIBFUZZER
/* The file as it is, cut at 16 places, and 64 times with one byte changed; each from a block of
 * exactly its size, so that a sanitizer sees a step too far. */
static void
replay(const uint8_t *bytes, size_t size)
{
    uint32_t chance = 1;

    for (int k = 0; k < 1 + 16 + 64; k++) {
        const size_t n = k >= 1 && k <= 16 ? size * (k - 1) / 16 : size;
        uint8_t *copy = malloc(n ? n : 1);
        if (!copy)
            abort();
        memcpy(copy, bytes, n);
        chance = chance * 1664525u + 1013904223u;
        if (k > 16 && n)
            copy[(chance >> 8) % n] ^= (uint8_t)(1u << (chance & 7));
        LLVMFuzzerTestOneInput(copy, n);
        free(copy);
    }
}

static void
replay_file(const char *path, int n)
{
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");

    if (!f) {
        printf("not ok %d - cannot read %s\n", n, path);
        return;
    }
    replay(bytes, fread(bytes, 1, sizeof bytes, f));
    fclose(f);
    printf("ok %d - %s\n", n, path);
}

int
main(int argc, char *argv[])
{
    const char *folder = "tests/data/images";
    char path[512];
    int n = 0;

    for (int i = 1; i < argc; i++)
        replay_file(argv[i], ++n);
    DIR *d = argc > 1 ? NULL : opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        replay_file(path, ++n);
    }
    if (d)
        closedir(d);
    if (!n)
        printf("not ok 1 - no files in %s\n", folder);
    return n == 0;
}
#endif
