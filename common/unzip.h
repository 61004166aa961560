/* unzip.h - look into a zip archive that lies in memory (mapped): stored and deflated entries,
 * zip64.  Everything the archive says about itself is checked before it is used.
 *
 *     struct pf_zip z;
 *     PF_TRY(pf_zip_open(&z, bytes, size));
 *     struct pf_zip_entry *e = pf_zip_find(&z, "archive/data.pkl");
 *     if (e && !e->deflated)
 *         ... e->size bytes at e->data, borrowed from the archive ...
 *     pf_zip_close(&z); */
#ifndef PF_UNZIP_H
#define PF_UNZIP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct pf_zip_entry {
    const char *name;           /* borrowed from the archive, not terminated */
    size_t name_length;
    const unsigned char *data;  /* as stored: plain bytes, or a deflate stream */
    uint64_t packed, size;      /* bytes stored, bytes once unpacked; equal unless deflated */
    uint32_t crc;
    bool deflated;
    bool verified;              /* pf_zip_verify found it whole */
};
struct pf_zip {
    struct pf_zip_entry *entry; /* in name order, no name twice; owned */
    size_t entries;
};

/* Read the directory of the archive in bytes, which must outlive z.  PF_EFORMAT also for what other
 * readers could understand otherwise: a record that is not the directory's last, a local header
 * that says something else, bytes that belong to two entries; and for entries that are together
 * larger than the budget of an archive of this size (budget.h). */
pf_err pf_zip_open(struct pf_zip *z, const void *bytes, size_t size) PF_MUST_USE;
void pf_zip_close(struct pf_zip *z);
struct pf_zip_entry *pf_zip_find(const struct pf_zip *z, const char *name);   /* or NULL */
/* Copy bytes first .. first + n of the unpacked entry.  PF_EFORMAT if it does not have them. */
pf_err pf_zip_read(const struct pf_zip_entry *e, void *to, uint64_t first, size_t n) PF_MUST_USE;
/* Unpack all of it, keeping nothing, and compare size and CRC; once. */
pf_err pf_zip_verify(struct pf_zip_entry *e) PF_MUST_USE;

#endif
