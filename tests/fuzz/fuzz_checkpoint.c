/* fuzz_checkpoint.c - any bytes as a weights file: opened, every tensor read and verified.
 *
 *     make fuzz T=checkpoint SECONDS=600
 *
 * Without PF_FUZZER it replays the files given, or all of tests/data/checkpoint, each whole and
 * with single bytes changed, and speaks TAP. */
#include "common/checkpoint.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

static volatile unsigned char seen;     // so that reading the data is not optimised away

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_checkpoint *w;
    if (pf_checkpoint_open_memory(&w, bytes, size, "fuzz"))
        return 0;
    for (int i = 0; i < pf_checkpoint_count(w); i++) {
        pf_tensor t, scale;
        if (pf_checkpoint_read(w, i, &t) == PF_OK && pf_tensor_bytes(&t))
            seen = (unsigned char)(((unsigned char *)t.data)[0] ^
                                   ((unsigned char *)t.data)[pf_tensor_bytes(&t) - 1]);
        if (pf_checkpoint_read(w, i, &t) == PF_OK &&
            pf_checkpoint_expect_finite(w, pf_checkpoint_name(w, i), &t))
            seen = 1;
        if (pf_checkpoint_verify(w, i))
            seen = 0;
        if (pf_checkpoint_f8(w, i, &t, &scale) && pf_tensor_bytes(&t))
            seen = ((unsigned char *)t.data)[pf_tensor_bytes(&t) - 1];
        pf_checkpoint_drop(w, i);
    }
    pf_checkpoint_close(w);
    return 0;
}

#ifdef PF_FUZZER
size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    if (size > 9 && bytes[8] == '{')
        return repair_document(bytes, size, most, seed);
    size = LLVMFuzzerMutate(bytes, size, most);
    if (size > 4 && !memcmp(bytes, "PK\3\4", 4) && seed % 8)
        repair_zip(bytes, size);
    return size;
}
#endif

REPLAY("tests/data/checkpoint", 200)
