/* slurp.h - all of a file or a pipe in memory, for readers that want it at once; a pipe may have no
 * end.
 *
 *     err = pf_slurp(&bytes, &size, file, MAX_FILE, may_be_mesh);
 *     if (!err && size > MAX_FILE)
 *         err = pf_fail(PF_EFORMAT, "is larger than %zu bytes", MAX_FILE);
 *     ...
 *     free(bytes); */
#ifndef PF_SLURP_H
#define PF_SLURP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

/* Whether it is worth reading on where a file begins so.  First asked when PF_KIND_BYTES are there,
 * or all of a shorter file. */
typedef bool pf_slurp_on(const uint8_t *bytes, size_t size);

/* Read to the end, or until there is more than most, or until on says no; on NULL: it never does.
 * *bytes is the caller's to free, also on failure. */
pf_err pf_slurp(uint8_t **bytes, size_t *size, FILE *from, size_t most, pf_slurp_on *on)
    PF_MUST_USE;

/* Half of the machine's memory: what is in no file of a known size, or promises more, is read no
 * further, before the system ends the program or another one for want of memory. */
uint64_t pf_slurp_most(void);

#endif
