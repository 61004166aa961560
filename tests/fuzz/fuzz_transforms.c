/* fuzz_transforms.c - any bytes as a transforms.json, whose pictures are there. */
#include "common/capture.h"
#include "tests/fuzz/replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pf_capture c = {0};
    if (pf_capture_read(&c, replay_path(bytes, size), "tests/data/images") == PF_OK && c.shots < 1)
        abort();
    pf_capture_release(&c);
    return 0;
}

REPLAY("tests/data/seeds/transforms", 200)
