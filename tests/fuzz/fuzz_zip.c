/* fuzz_zip.c - any bytes as a zip archive: every entry unpacked whole and in part, and verified. */
#include "common/unzip.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

static void
read_entry(struct pf_zip_entry *e)
{
    unsigned char part[64];
    const size_t n = e->size < sizeof part ? (size_t)e->size : sizeof part;
    const pf_err all = pf_zip_verify(e);
    const pf_err some = pf_zip_read(e, part, e->size - n, n);
    if (!all && some)
        abort();                        // what is whole can be read
    if (!pf_zip_read(e, part, e->size, 1))
        abort();                        // nothing is behind it
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pf_zip z;
    if (pf_zip_open(&z, bytes, size))
        return 0;
    for (size_t i = 0; i < z.entries; i++)
        read_entry(&z.entry[i]);
    pf_zip_close(&z);
    return 0;
}

#ifdef PF_FUZZER
size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    size = LLVMFuzzerMutate(bytes, size, most);
    if (seed % 8)
        repair_zip(bytes, size);
    return size;
}
#endif

REPLAY("tests/data/seeds/zip", 200)
