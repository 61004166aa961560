/* repair.h - mutators that know a format: libFuzzer changes the bytes, and what would make a reader
 * stop at once (a checksum, a length) is put right again.  Only for fuzzing (PF_FUZZER). */
#ifndef PF_TEST_REPAIR_H
#define PF_TEST_REPAIR_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <zlib.h>

#include "common/bytes.h"

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed);

static inline void
repair_put(uint8_t *to, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

static inline void
repair_put_big(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A document: its header changed and its length put right, or its data changed. */
static inline size_t
repair_document(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    const uint64_t length = size > 8 ? pf_little(bytes, 8) : 0;
    if (length < 2 || length > size - 8 || seed % 8 == 0)
        return LLVMFuzzerMutate(bytes, size, most);
    const size_t data = size - 8 - (size_t)length;
    if (data && seed % 4 == 1) {
        const size_t n = LLVMFuzzerMutate(bytes + size - data, data, data);
        return size - data + n;
    }
    static uint8_t kept[1 << 20];
    if (data > sizeof kept || most < data + 16)
        return size;
    memcpy(kept, bytes + size - data, data);
    const size_t n = LLVMFuzzerMutate(bytes + 8, (size_t)length, most - 8 - data);
    repair_put(bytes, n, 8);
    memcpy(bytes + 8 + n, kept, data);
    return 8 + n + data;
}

/* The record of an archive's directory at p: the CRC of a stored entry, and the local header. */
static inline void
repair_entry(uint8_t *bytes, size_t size, uint8_t *p)
{
    const uint64_t local = pf_little(p + 42, 4);
    const size_t name = pf_little(p + 28, 2);
    if (local > size || size - local < 30)
        return;
    uint8_t *const h = bytes + local;
    const uint64_t skip = 30 + pf_little(h + 26, 2) + pf_little(h + 28, 2);
    const uint64_t packed = pf_little(p + 20, 4);
    if (skip <= size - local && packed <= size - local - skip && pf_little(p + 10, 2) == 0)
        repair_put(p + 16, crc32(0, h + skip, (uInt)packed), 4);
    memcpy(h, "PK\3\4", 4);
    memmove(h + 8, p + 10, 2);
    memmove(h + 14, p + 16, 12);
    if (pf_little(h + 26, 2) == name && name <= size - local - 30)
        memmove(h + 30, p + 46, name);
}

/* All of the directory, found by its records' signature. */
static inline void
repair_zip(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 46 <= size; i++)
        if (!memcmp(bytes + i, "PK\1\2", 4) && pf_little(bytes + i + 28, 2) <= size - i - 46)
            repair_entry(bytes, size, bytes + i);
}

/* The CRCs of a PNG's chunks. */
static inline void
repair_png(uint8_t *bytes, size_t size)
{
    for (size_t i = 8; i + 12 <= size;) {
        const uint32_t n = (uint32_t)bytes[i] << 24 | (uint32_t)bytes[i + 1] << 16 |
                           (uint32_t)bytes[i + 2] << 8 | bytes[i + 3];
        if (n > size - i - 12)
            return;
        repair_put_big(bytes + i + 8 + n, (uint32_t)crc32(0, bytes + i + 4, n + 4));
        i += 12 + (size_t)n;
    }
}

/* The size that a RIFF file states. */
static inline void
repair_riff(uint8_t *bytes, size_t size)
{
    if (size >= 12)
        repair_put(bytes + 4, size - 8, 4);
}

#endif
