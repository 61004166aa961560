/* slurp.c - see slurp.h. */
#include "common/slurp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/kind.h"

pf_err
pf_slurp(uint8_t **bytes, size_t *size, FILE *from, size_t most, pf_slurp_on *on)
{
    struct stat st;
    /* One byte more than the file, so that its end is seen without growing again. */
    size_t room = 0, next = !fstat(fileno(from), &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
                            (uint64_t)st.st_size < most ? (size_t)st.st_size + 1 : 1 << 16;
    *bytes = NULL;
    *size = 0;
    do {
        if (*size == room) {
            uint8_t *const more = realloc(*bytes, next);
            if (!more)
                return pf_fail(PF_ENOMEM, "no memory for %zu bytes", next);
            *bytes = more;
            room = next;
            next = room <= most / 2 ? 2 * room : most + 1;
        }
        const size_t left = room - *size;
        const size_t want = !*size && left > PF_KIND_BYTES ? PF_KIND_BYTES : left;
        *size += fread(*bytes + *size, 1, want, from);
    } while (*size <= most && !feof(from) && !ferror(from) && (!on || on(*bytes, *size)));
    return ferror(from) ? pf_fail(PF_EIO, "cannot be read: %s", strerror(errno)) : PF_OK;
}

uint64_t
pf_slurp_most(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) / 2 * (uint64_t)sysconf(_SC_PAGESIZE);
}
