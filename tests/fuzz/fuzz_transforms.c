/* fuzz_transforms.c - any bytes as a transforms.json, whose pictures are there. */
#include "common/capture.h"
#include "tests/fuzz/replay.h"

/* A lens has a focal length, whatever the file calls it. */
static void
expect_lenses(const struct pf_capture *c)
{
    double K[9];
    for (int i = 0; i < c->shots; i++) {
        pf_shot_intrinsics(K, &c->shot[i], 64, 48);
        if (!(K[0] > 0 && K[4] > 0))
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pf_capture c = {0};
    if (pf_capture_read(&c, replay_path(bytes, size), "tests/data/images") == PF_OK) {
        if (c.shots < 1)
            abort();
        expect_lenses(&c);
    }
    pf_capture_release(&c);
    return 0;
}

REPLAY("tests/data/seeds/transforms", 200)
