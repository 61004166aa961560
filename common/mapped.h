/* mapped.h - files in memory whose bytes can also be read.  Whoever wants a copy of much of a map
 * gets it several times faster by read than from the map: the kernel has the file in large pages,
 * the map in small ones that a virtual machine's processor finds slowly. */
#ifndef PF_MAPPED_H
#define PF_MAPPED_H
#include <stdbool.h>
#include <stddef.h>

struct pf_mapped {
    const unsigned char *bytes;         /* read-only; NULL: nothing is mapped */
    size_t size;
    int fd;                             /* of its own, or -1 */
    struct pf_mapped *next;             /* of all that there are */
};

/* Map size bytes of a regular file; false, with errno, if that cannot be.  *m must stay where it is
 * until pf_unmap, which closes what is mapped or zero.  One thread opens and closes. */
bool pf_map(struct pf_mapped *m, int fd, size_t size);
void pf_unmap(struct pf_mapped *m);

/* memcpy by one thread, of many; by read where the bytes lie in such a map. */
void pf_copy_mapped(void *to, const void *from, size_t bytes);

#endif
