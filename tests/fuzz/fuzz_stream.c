/* fuzz_stream.c - any bytes as a stream: every document read, its header printed and read again. */
#include "common/stream.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_stream *s;
    pf_doc doc = {0};
    if (pf_stream_open_memory(&s, bytes, size))
        return 0;
    while (!pf_stream_read(s, &doc)) {
        pf_doc copy = {0};
        if (pf_doc_copy(&copy, &doc))
            abort();
        pf_doc_release(&copy);
        FILE *const nowhere = fopen("/dev/null", "w");
        if (!nowhere || pf_doc_write(&doc, nowhere))
            abort();                    // what was read can be written
        fclose(nowhere);
    }
    pf_doc_release(&doc);
    pf_stream_close(s);
    return 0;
}

#ifdef PF_FUZZER
size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    return repair_document(bytes, size, most, seed);
}
#endif

REPLAY("tests/data/seeds/document", 200)
