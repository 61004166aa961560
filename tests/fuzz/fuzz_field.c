/* fuzz_field.c - any bytes as a document that holds a field: loaded, and asked for a distance, or
 * for the colour of a ray where it has none. */
#include "common/config.h"
#include "common/stream.h"
#include "kernels/field/field.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_stream *s;
    pf_doc doc = {0};
    pf_field *f;
    const float x[3] = {0.1f, 0.2f, 0.3f}, way[3] = {0, 0, 1};
    float sdf, rgb[3];
    if (pf_stream_open_memory(&s, bytes, size))
        return 0;
    if (!pf_stream_read(s, &doc) && !pf_field_load(&f, NULL, &doc, &pf_conf.neus)) {
        if (pf_field_need_surface(f) ? pf_field_render(f, rgb, NULL, NULL, x, way, 1)
                                     : pf_field_sdf(f, &sdf, x, 1))
            abort();                    // it was loaded
        pf_field_free(f);
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

REPLAY("tests/data/seeds/field", 100)
