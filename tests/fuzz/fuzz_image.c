/* fuzz_image.c - any bytes at all through the picture readers: refused or read, never a crash.
 *
 *     make fuzz T=image SECONDS=600
 *
 * Without PF_FUZZER it replays the files given, or all of tests/data/images, each whole, cut short
 * and with bytes changed, and speaks TAP. */
#include "common/image.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_image image, half;
    pf_photo photo;

    if (!pf_photo_open_memory(&photo, bytes, size, "fuzz")) {
        size_t n = 0;
        if (pf_photo_as_png(&photo, &n) && n > size)
            abort();
        pf_photo_close(&photo);
    }
    if (pf_image_read_memory(&image, bytes, size, "fuzz"))
        return 0;
    if ((int64_t)image.width * image.height <= 1 << 16 &&
        !pf_image_resize(&half, &image, (image.width + 1) / 2, image.height / 2 + 1))
        pf_image_release(&half);
    pf_image_release(&image);
    return 0;
}

#ifdef PF_FUZZER
size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, most);
    if (size > 8 && !memcmp(bytes, "\x89PNG", 4) && seed % 8)
        repair_png(bytes, size);
    if (size > 8 && !memcmp(bytes, "RIFF", 4) && seed % 8)
        repair_riff(bytes, size);
    return size;
}
#else
/* The file as it is, cut at 16 places, and 64 times with one byte changed; each from a block of
 * exactly its size, so that a sanitizer sees a step too far. */
static void
replay(uint8_t *bytes, size_t size)
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

int
main(int argc, char *argv[])
{
    return replay_files(argc, argv, "tests/data/images", replay);
}
#endif
