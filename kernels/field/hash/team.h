/* team.h - what code needs that a team of threads runs together: a block of a GPU's threads, or
 * in a test on the host some POSIX threads, or one.  Private to kernels/field.
 *
 *     for (int i = t->rank; i < n; i += t->size)
 *         ...                                  // each member its share
 *     pf_wait(t);                              // everybody's writes are seen by everybody
 *
 * The common subset of C and CUDA C++: no templates here. */
#ifndef PF_FIELD_TEAM_H
#define PF_FIELD_TEAM_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/hd.h"
#ifndef __CUDACC__
#include <pthread.h>
#endif

struct pf_team {
    int rank, size;
#ifndef __CUDACC__
    pthread_barrier_t *barrier;                 /* NULL: alone */
#endif
};

PF_FN void
pf_wait(const struct pf_team *t)
{
#ifdef __CUDACC__
    (void)t;
    __syncthreads();
#else
    if (t->barrier)
        pthread_barrier_wait(t->barrier);
#endif
}

/* 64-bit fixed point: sums of it are the same in any order.  scale is a power of two, so
 * nothing but the rounding to a multiple of 1 / scale is lost; one addend is at most a half of the
 * range. */
PF_FN void
pf_add_fixed(long long *to, float v, float scale)
{
    const float most = 4.0e18f, x = v * scale;
    const float held = x < most ? x > -most ? x : -most : most;         /* NaN: the largest */
#ifdef __CUDACC__
    atomicAdd((unsigned long long *)to, (unsigned long long)__float2ll_rn(held));
#else
    __atomic_fetch_add(to, llrintf(held), __ATOMIC_RELAXED);
#endif
}

/* Some floats that move together; their address is a multiple of their size. */
struct pf_two {
    float v[2];
} __attribute__((aligned(8)));
struct pf_four {
    float v[4];
} __attribute__((aligned(16)));

PF_FN struct pf_two
pf_two_at(const float *p)
{
    return *(const struct pf_two *)p;
}

PF_FN struct pf_four
pf_four_at(const float *p)
{
    return *(const struct pf_four *)p;
}

#endif
