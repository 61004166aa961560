/* unzip.c - look into a zip archive that lies in memory. */
#include "common/unzip.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "common/budget.h"
#include "common/bytes.h"

#define SATURATED 0xffffffffu   /* a 32-bit size or offset that is in zip64's extra field */

enum {
    END_SIZE = 22, END64_SIZE = 56, LOCATOR_SIZE = 20, CENTRAL_SIZE = 46, LOCAL_SIZE = 30,
    MAX_DEFLATE = 1032,         /* no byte of a deflate stream makes more than this */
    SCRATCH = 1 << 16,
};

/* What the directory's records are about to be: a place for each, and their bytes in the file. */
struct directory {
    const unsigned char *bytes;         /* the archive */
    size_t size;
    uint64_t at, length, entries;
    struct range {
        uint64_t from, to;
    } *taken;                           /* by each entry, its local header included */
};

/* The end record: in the last 64 KiB, its comment reaching exactly to the end of the file. */
static const unsigned char *
find_end(const unsigned char *bytes, size_t size)
{
    for (size_t back = END_SIZE; back <= size && back <= END_SIZE + 0xffff; back++) {
        const unsigned char *p = bytes + size - back;
        if (memcmp(p, "PK\5\6", 4) == 0 && pf_little(p + 20, 2) == back - END_SIZE)
            return p;
    }
    return NULL;
}

/* Where the directory is: from the zip64 end record if there is one (PyTorch always writes it).  It
 * ends where that record begins, or could hold more than it counts. */
static pf_err
find_directory(struct directory *d)
{
    const unsigned char *end = find_end(d->bytes, d->size);
    if (!end)
        return pf_fail(PF_EFORMAT, "the zip archive has no end record; it is truncated or damaged");
    uint64_t behind = (uint64_t)(end - d->bytes);
    d->entries = pf_little(end + 10, 2);
    d->length = pf_little(end + 12, 4);
    d->at = pf_little(end + 16, 4);
    if (behind >= LOCATOR_SIZE && memcmp(end - LOCATOR_SIZE, "PK\6\7", 4) == 0) {
        const uint64_t at64 = pf_little(end - LOCATOR_SIZE + 8, 8);
        if (d->size < END64_SIZE || at64 > d->size - END64_SIZE ||
            memcmp(d->bytes + at64, "PK\6\6", 4) != 0)
            return pf_fail(PF_EFORMAT,
                           "the zip archive's zip64 end record is not where it should be");
        behind = at64;
        d->entries = pf_little(d->bytes + at64 + 32, 8);
        d->length = pf_little(d->bytes + at64 + 40, 8);
        d->at = pf_little(d->bytes + at64 + 48, 8);
    }
    if (d->at > behind || d->length != behind - d->at || d->entries > d->length / CENTRAL_SIZE)
        return pf_fail(PF_EFORMAT, "the zip archive's directory does not lie within the file, "
                       "right before its end record");
    return PF_OK;
}

/* The 64-bit sizes and offset that the extra field holds for each 32-bit one that is saturated. */
static pf_err
read_zip64(const unsigned char *extra, size_t length, struct pf_zip_entry *e, uint64_t *local)
{
    uint64_t *const wanted[] = {&e->size, &e->packed, local};
    size_t n = 0;
    const unsigned char *field = NULL;
    for (size_t i = 0; i + 4 <= length && !field; i += 4 + pf_little(extra + i + 2, 2))
        if (pf_little(extra + i, 2) == 1 && pf_little(extra + i + 2, 2) <= length - i - 4) {
            field = extra + i + 4;
            n = pf_little(extra + i + 2, 2);
        }
    for (int i = 0; i < 3; i++) {
        if (*wanted[i] != SATURATED)
            continue;
        if (n < 8)
            return pf_fail(PF_EFORMAT, "zip entry %.*s: its zip64 sizes are missing",
                           (int)e->name_length, e->name);
        *wanted[i] = pf_little(field, 8);
        field += 8;
        n -= 8;
    }
    return PF_OK;
}

/* Whether the local header at p says what the directory does.  Who writes a stream knows the sizes
 * and the checksum only afterwards (flag 8) and leaves them 0; saturated, they are in zip64's
 * field, which is left to the directory. */
static bool
agrees(const struct pf_zip_entry *e, const unsigned char *p, uint64_t name)
{
    const bool later = pf_little(p + 6, 2) & 8;
    const uint64_t crc = pf_little(p + 14, 4), packed = pf_little(p + 18, 4),
                   size = pf_little(p + 22, 4);
    return name == e->name_length && memcmp(p + LOCAL_SIZE, e->name, name) == 0 &&
           pf_little(p + 8, 2) == (e->deflated ? 8 : 0) &&
           (crc == e->crc || (later && crc == 0)) &&
           (packed == e->packed || packed == SATURATED || (later && packed == 0)) &&
           (size == e->size || size == SATURATED || (later && size == 0));
}

/* Find the entry's bytes behind its local header, and check that its sizes are possible. */
static pf_err
locate(struct pf_zip_entry *e, const struct directory *d, uint64_t local, struct range *taken)
{
    const int shown = (int)e->name_length;
    if (local > d->at || d->at - local < LOCAL_SIZE || memcmp(d->bytes + local, "PK\3\4", 4) != 0)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: no local header at byte %llu", shown, e->name,
                       (unsigned long long)local);
    const unsigned char *const p = d->bytes + local;
    const uint64_t name = pf_little(p + 26, 2), skip = LOCAL_SIZE + name + pf_little(p + 28, 2);
    if (d->at - local < skip || d->at - local - skip < e->packed)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: its %llu bytes do not lie within the file",
                       shown, e->name, (unsigned long long)e->packed);
    if (!e->deflated && e->packed != e->size)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: is stored, but has two different sizes", shown,
                       e->name);
    if (e->deflated && e->size / MAX_DEFLATE > e->packed)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: %llu bytes cannot unpack to %llu", shown,
                       e->name, (unsigned long long)e->packed, (unsigned long long)e->size);
    if (!agrees(e, p, name))
        return pf_fail(PF_EFORMAT, "zip entry %.*s: its local header says something else than the "
                       "directory", shown, e->name);
    e->data = p + skip;
    *taken = (struct range){local, local + skip + e->packed};
    return PF_OK;
}

/* The directory's record at *p, which is moved behind it. */
static pf_err
read_record(struct pf_zip_entry *e, const unsigned char **p, const struct directory *d,
            struct range *taken)
{
    const unsigned char *const r = *p, *const end = d->bytes + d->at + d->length;
    if (end - r < CENTRAL_SIZE || memcmp(r, "PK\1\2", 4) != 0)
        return pf_fail(PF_EFORMAT, "the zip archive's directory is damaged");
    const size_t name = pf_little(r + 28, 2), extra = pf_little(r + 30, 2);
    const size_t comment = pf_little(r + 32, 2);
    if ((size_t)(end - r) - CENTRAL_SIZE < name + extra + comment)
        return pf_fail(PF_EFORMAT, "the zip archive's directory is damaged");
    for (size_t i = 0; i < name; i++)
        if (r[CENTRAL_SIZE + i] < 0x20 || r[CENTRAL_SIZE + i] == 0x7f)
            return pf_fail(PF_EFORMAT, "a name in the zip archive has control characters");
    const uint64_t flags = pf_little(r + 8, 2), method = pf_little(r + 10, 2);
    uint64_t local = pf_little(r + 42, 4);
    *e = (struct pf_zip_entry){.name = (const char *)r + CENTRAL_SIZE, .name_length = name,
                               .packed = pf_little(r + 20, 4), .size = pf_little(r + 24, 4),
                               .crc = (uint32_t)pf_little(r + 16, 4), .deflated = method == 8};
    if (flags & 1)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: is encrypted", (int)name, e->name);
    if (method != 0 && method != 8)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: packed by method %d, expected 0 (stored) or 8 "
                                   "(deflated)", (int)name, e->name, (int)method);
    PF_TRY(read_zip64(r + CENTRAL_SIZE + name, extra, e, &local));
    *p = r + CENTRAL_SIZE + name + extra + comment;
    return locate(e, d, local, taken);
}

static int
compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    const int c = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return c ? c : (a_length > b_length) - (a_length < b_length);
}

static int
by_name(const void *a, const void *b)
{
    const struct pf_zip_entry *x = a, *y = b;
    return compare(x->name, x->name_length, y->name, y->name_length);
}

static int
by_start(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

/* No byte belongs to two entries. */
static pf_err
check_overlaps(struct range *taken, size_t n)
{
    qsort(taken, n, sizeof *taken, by_start);
    for (size_t i = 1; i < n; i++)
        if (taken[i].from < taken[i - 1].to)
            return pf_fail(PF_EFORMAT, "two entries of the zip archive overlap");
    return PF_OK;
}

static pf_err
check_names(const struct pf_zip *z)
{
    for (size_t i = 1; i < z->entries; i++)
        if (by_name(&z->entry[i - 1], &z->entry[i]) == 0)
            return pf_fail(PF_EFORMAT, "zip entry %.*s: is there twice",
                           (int)z->entry[i].name_length, z->entry[i].name);
    return PF_OK;
}

static pf_err
read_records(struct pf_zip *z, const struct directory *d)
{
    const unsigned char *p = d->bytes + d->at;
    uint64_t budget = pf_budget(d->size);
    for (; z->entries < d->entries; z->entries++) {
        PF_TRY(read_record(&z->entry[z->entries], &p, d, &d->taken[z->entries]));
        if (!pf_budget_take(&budget, z->entry[z->entries].size))
            return pf_fail(PF_EFORMAT, "the zip archive unpacks to far more than its %zu bytes",
                           d->size);
    }
    if (p != d->bytes + d->at + d->length)
        return pf_fail(PF_EFORMAT, "the zip archive's directory holds more than the %llu entries "
                       "that it counts", (unsigned long long)d->entries);
    qsort(z->entry, z->entries, sizeof *z->entry, by_name);
    PF_TRY(check_names(z));
    return check_overlaps(d->taken, z->entries);
}

pf_err
pf_zip_open(struct pf_zip *z, const void *bytes, size_t size)
{
    struct directory d = {.bytes = bytes, .size = size};
    pf_err err;
    *z = (struct pf_zip){0};
    PF_TRY(find_directory(&d));
    z->entry = calloc(d.entries + 1, sizeof *z->entry);
    d.taken = calloc(d.entries + 1, sizeof *d.taken);
    if (!z->entry || !d.taken)
        err = pf_fail(PF_ENOMEM, "out of memory for a zip archive of %llu entries",
                      (unsigned long long)d.entries);
    else
        err = read_records(z, &d);
    free(d.taken);
    if (err)
        pf_zip_close(z);
    return err;
}

void
pf_zip_close(struct pf_zip *z)
{
    free(z->entry);
    *z = (struct pf_zip){0};
}

struct pf_zip_entry *
pf_zip_find(const struct pf_zip *z, const char *name)
{
    const struct pf_zip_entry key = {.name = name, .name_length = strlen(name)};
    return z->entries ? bsearch(&key, z->entry, z->entries, sizeof key, by_name) : NULL;
}

/* Unpack the next n bytes into to, or into scratch if to is NULL (updating the CRC). */
static pf_err
unpack(z_stream *s, const struct pf_zip_entry *e, unsigned char *to, uint64_t n, uLong *crc)
{
    unsigned char scratch[SCRATCH];
    while (n > 0) {
        const uint64_t used = (uint64_t)(s->next_in - e->data);
        const uInt want = n < SCRATCH ? (uInt)n : SCRATCH;
        s->avail_in = e->packed - used < SCRATCH ? (uInt)(e->packed - used) : SCRATCH;
        s->next_out = to ? to : scratch;
        s->avail_out = want;
        const int status = inflate(s, Z_NO_FLUSH);
        const uInt got = want - s->avail_out;
        if ((status != Z_OK && status != Z_STREAM_END) || got == 0)
            return pf_fail(PF_EFORMAT, "zip entry %.*s: its deflate stream is damaged or too short",
                           (int)e->name_length, e->name);
        *crc = crc32(*crc, to ? to : scratch, got);
        n -= got;
        to = to ? to + got : NULL;
    }
    return PF_OK;
}

/* Unpack first bytes into nothing, then n into to (or into nothing). */
static pf_err
inflate_range(const struct pf_zip_entry *e, unsigned char *to, uint64_t first, uint64_t n,
              uLong *crc)
{
    z_stream s = {.next_in = (unsigned char *)e->data};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return pf_fail(PF_ENOMEM, "out of memory to unpack zip entry %.*s", (int)e->name_length,
                       e->name);
    pf_err err = unpack(&s, e, NULL, first, crc);
    if (!err)
        err = unpack(&s, e, to, n, crc);
    inflateEnd(&s);
    return err;
}

pf_err
pf_zip_read(const struct pf_zip_entry *e, void *to, uint64_t first, size_t n)
{
    uLong crc = crc32(0, NULL, 0);
    if (first > e->size || n > e->size - first)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: has %llu bytes, fewer than needed",
                       (int)e->name_length, e->name, (unsigned long long)e->size);
    if (e->deflated)
        return inflate_range(e, to, first, n, &crc);
    if (n)
        memcpy(to, e->data + first, n);
    return PF_OK;
}

pf_err
pf_zip_verify(struct pf_zip_entry *e)
{
    uLong crc = crc32(0, NULL, 0);
    if (e->verified)
        return PF_OK;
    if (e->deflated)
        PF_TRY(inflate_range(e, NULL, 0, e->size, &crc));
    else
        crc = crc32_z(crc, e->data, e->size);
    if (crc != e->crc)
        return pf_fail(PF_EFORMAT, "zip entry %.*s: checksum %08lx, expected %08lx",
                       (int)e->name_length, e->name, crc, (unsigned long)e->crc);
    e->verified = true;
    return PF_OK;
}
