/* fuzz_strip.c - any bytes as a strip of views, a picture. */
#include "common/doc.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"
#include "tools/pf-mask/strip.h"

// uses: tools/pf-mask/strip.c

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_doc doc = {0};
    if (!strip_read(&doc, replay_path(bytes, size), 0.5) && !pf_doc_get(&doc, "views.image"))
        abort();
    pf_doc_release(&doc);
    return 0;
}

#ifdef PF_FUZZER
size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, most);
    if (seed % 8)
        repair_png(bytes, size);
    return size;
}
#endif

REPLAY("tests/data/images", 30)
