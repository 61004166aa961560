/* batch.h - which pixels a training step sees: the same on every device.  Private to
 * kernels/field. */
#ifndef PF_FIELD_BATCH_H
#define PF_FIELD_BATCH_H
#include "common/rng.h"

struct pf_pool {
    int64_t size, take;         /* pixels; how many of them a batch gets */
    const uint32_t *pixel;      /* NULL: pixel i is i */
    uint64_t id;
};

/* Where i of 0..n-1 goes in one of many shuffles, none of which is stored: six Feistel rounds over
 * the next even power of two, repeated until the result is below n. */
static inline PF_HD uint64_t
pf_shuffled(uint64_t i, uint64_t n, uint64_t seed, uint64_t pool, uint64_t epoch)
{
    int half = 1;
    while (half < 31 && UINT64_C(1) << 2 * half < n)
        half++;
    const uint64_t low = (UINT64_C(1) << half) - 1;
    do {
        for (uint64_t round = 0; round < 6; round++) {
            const uint64_t stream = PF_RNG_RAYS | pool << 32 | round << 40, right = i & low;
            const uint64_t f = pf_philox(seed, stream, epoch << 32 | right).v[0];
            i = right << half | ((i >> half ^ f) & low);
        }
    } while (i >= n);
    return i;
}

/* Pixel i of what the pool gives to this step.  It is reshuffled when the next slice would reach
 * its end (field.md, 7), so some pixels sit out each time. */
static inline PF_HD int64_t
pf_pool_draw(const struct pf_pool *p, int64_t i, uint64_t seed, int step)
{
    const int64_t slices = p->size > 2 * p->take ? (p->size - 1) / p->take : 1;
    const uint64_t at = (uint64_t)(step % slices * p->take + i);
    const uint64_t k = pf_shuffled(at, (uint64_t)p->size, seed, p->id, (uint64_t)(step / slices));
    return p->pixel ? (int64_t)p->pixel[k] : (int64_t)k;
}

#endif
