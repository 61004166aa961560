/* fuzz_checkpoint.c - any bytes as a weights file: opened, every tensor read and verified.
 *
 *     clang -fsanitize=fuzzer,address -DPF_FUZZER ... tests/fuzz/fuzz_checkpoint.c
 *
 * Without PF_FUZZER it replays the files given, or all of tests/data/checkpoint, each whole and
 * with single bytes changed, and speaks TAP. */
#include "common/checkpoint.h"
#include "tests/fuzz/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned char seen;     // so that reading the data is not optimised away

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_checkpoint *w;
    if (pf_checkpoint_open_memory(&w, bytes, size, "fuzz"))
        return 0;
    for (int i = 0; i < pf_checkpoint_count(w); i++) {
        pf_tensor t;
        if (pf_checkpoint_read(w, i, &t) == PF_OK && pf_tensor_bytes(&t))
            seen = (unsigned char)(((unsigned char *)t.data)[0] ^
                                   ((unsigned char *)t.data)[pf_tensor_bytes(&t) - 1]);
        if (pf_checkpoint_verify(w, i))
            seen = 0;
        pf_checkpoint_drop(w, i);
    }
    pf_checkpoint_close(w);
    return 0;
}

#ifndef PF_FUZZER
enum { CHANGES = 200 };

static void
replay(uint8_t *bytes, size_t size)
{
    replay_changed(bytes, size, CHANGES);
}

int
main(int argc, char *argv[])
{
    return replay_files(argc, argv, "tests/data/checkpoint", replay);
}
#endif
