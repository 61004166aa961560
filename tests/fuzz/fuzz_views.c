/* fuzz_views.c - any bytes as a document of views with cameras. */
#include "common/posed_views.h"
#include "common/stream.h"
#include "common/world.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_stream *s;
    pf_doc doc = {0};
    struct pf_posed_views v;
    struct pf_world world;
    if (pf_stream_open_memory(&s, bytes, size))
        return 0;
    if (!pf_stream_read(s, &doc)) {
        if (!pf_posed_views_read(&v, &doc) && !pf_posed_views_aim(&v, 0.6) && v.count < 1)
            abort();
        if (!pf_world_need(&world, &doc)) {
            if (!(world.scale > 0) || pf_world_put(&doc, &world) || pf_world_need(&world, &doc))
                abort();                // what was read is written and read again
            pf_world_points((float[]){1, 2, 3}, 1, &world);
        }
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

REPLAY("tests/data/seeds/document", 100)
