/* fuzz_transforms.c - any bytes as a transforms.json, whose pictures are there. */
#include "tests/fuzz/replay.h"
#include "tools/pf-stream/capture.h"

// uses: tools/pf-stream/capture.c tools/pf-stream/transforms.c tools/pf-stream/colmap.c

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct capture c = {0};
    if (capture_read(&c, replay_path(bytes, size), "tests/data/images") == PF_OK && c.shots < 1)
        abort();
    capture_release(&c);
    return 0;
}

REPLAY("tests/data/seeds/transforms", 200)
