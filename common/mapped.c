/* mapped.c - maps of files, in a list by which an address is found again. */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/mapped.h"

static struct pf_mapped *all;

bool
pf_map(struct pf_mapped *m, int fd, size_t size)
{
    void *const bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    *m = (struct pf_mapped){bytes, size, fcntl(fd, F_DUPFD_CLOEXEC, 0), all};
    all = m;
    return true;
}

void
pf_unmap(struct pf_mapped *m)
{
    struct pf_mapped **link = &all;
    if (!m->bytes)
        return;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    munmap((void *)m->bytes, m->size);
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct pf_mapped){.fd = -1};
}

/* The map that has all of these bytes, and its descriptor, or NULL. */
static const struct pf_mapped *
find(const unsigned char *from, size_t bytes)
{
    for (const struct pf_mapped *m = all; m; m = m->next) {
        const size_t at = (size_t)((uintptr_t)from - (uintptr_t)m->bytes);
        if (at < m->size && bytes <= m->size - at)
            return m->fd >= 0 ? m : NULL;
    }
    return NULL;
}

void
pf_copy_mapped(void *to, const void *from, size_t bytes)
{
    const struct pf_mapped *const m = find(from, bytes);
    size_t done = 0;
    while (m && done < bytes) {
        const off_t at = (const unsigned char *)from - m->bytes + (off_t)done;
        const ssize_t n = pread(m->fd, (char *)to + done, bytes - done, at);
        if (n <= 0)
            break;                      // the map says what is wrong with the file
        done += (size_t)n;
    }
    memcpy((char *)to + done, (const char *)from + done, bytes - done);
}
