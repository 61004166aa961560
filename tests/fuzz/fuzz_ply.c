/* fuzz_ply.c - any bytes at all through pf-eval's readers of meshes (PLY, OBJ, GLB, STL, NPZ):
 * refused or read, never a crash, and what was read keeps what shape.h promises.
 *
 *     make fuzz T=ply SECONDS=600
 *
 * Without PF_FUZZER it replays the files given, or all of tests/data/meshes, each whole, cut short
 * and with bytes changed, and speaks TAP. */
// uses: tools/pf-eval/shape.c tools/pf-eval/shape_obj.c
// uses: tools/pf-eval/shape_glb.c tools/pf-eval/shape_npz.c
#include <math.h>

#include "tests/fuzz/replay.h"
#include "tools/pf-eval/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void
expect(const float *at, int64_t n)
{
    for (int64_t i = 0; i < 3 * n; i++)
        if (!(fabs((double)at[i]) <= SHAPE_REACH))
            abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct shape s;
    if (shape_parse(&s, bytes, size))
        return 0;
    expect(s.mesh.vertex, s.mesh.vertices);
    expect(s.seen.at, s.seen.n);
    expect(s.whole.at, s.whole.n);
    for (int64_t i = 0; i < 3 * s.mesh.faces; i++)
        if (s.mesh.face[i] >= s.mesh.vertices)
            abort();
    if (!s.mesh.faces && !s.seen.n)
        abort();
    shape_release(&s);
    return 0;
}

#ifndef PF_FUZZER
enum { CUTS = 200, CHANGES = 200 };

/* From a block of exactly that size, so that a sanitizer sees a step too far. */
static void
cut_at(const uint8_t *bytes, size_t n)
{
    uint8_t *const copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void
replay(uint8_t *bytes, size_t size)
{
    for (size_t k = 0; k < CUTS; k++)
        cut_at(bytes, size * k / CUTS);
    replay_changed(bytes, size, CHANGES);
}

int
main(int argc, char *argv[])
{
    return replay_files(argc, argv, "tests/data/meshes", replay);
}
#endif
