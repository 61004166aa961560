/* bytes.h - numbers in the bytes of a file. */
#ifndef PF_BYTES_H
#define PF_BYTES_H
#include <stdint.h>

/* The little-endian number of the n <= 8 bytes at p. */
static inline uint64_t
pf_little(const unsigned char *p, int n)
{
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

#endif
