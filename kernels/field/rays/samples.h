/* samples.h - points along a batch of rays, packed: what a sampler hands to the compositor.
 * Private to kernels/field.
 *
 *     struct pf_samples s = {0};
 *     PF_TRY(pf_samples_reserve(&s, rays, points));
 *     for (r...) { s.first[r] = s.n; ... s.x[3 * s.n] = ...; s.n++; }
 *     s.rays = rays; s.first[rays] = s.n; s.slots = ...;
 *     pf_samples_release(&s);
 *
 * Only points inside the cube are here, near to far within each ray.  Points that a sampler
 * dropped count in two places, because the original keeps them with opacity 0: each multiplies the
 * light that is left by 1 + 1e-7 (skipped), and the eikonal denominator has 1e-5 for each point,
 * dropped or not (slots). */
#ifndef PF_FIELD_SAMPLES_H
#define PF_FIELD_SAMPLES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_samples {
    int64_t rays, n;            /* rays; points */
    int64_t slots;              /* points before any was dropped; n if the sampler drops none */
    int64_t *first;             /* [rays + 1]: points of ray r are first[r] - first[0] and on */
    float *x, *dir;             /* [n, 3] place; unit direction of its ray, into the scene */
    float *dist;                /* [n] length of the interval around the point, scene units */
    int32_t *skipped;           /* [n] dropped points between the one before on this ray and it */
    int64_t room_rays, room;    /* what is allocated; owned */
};

/* Makes the array that a pointer at `array` owns so long; false: no memory, and it is as it was. */
bool pf_grow(void *array, size_t bytes);

/* Make room for this many rays and points; what was there is kept, skipped is zeroed beyond it. */
pf_err pf_samples_reserve(struct pf_samples *s, int64_t rays, int64_t points) PF_MUST_USE;
void pf_samples_release(struct pf_samples *s);
/* The rays from..to-1 of s as samples of their own; borrowed from s (never reserve or release). */
struct pf_samples pf_samples_slice(const struct pf_samples *s, int64_t from, int64_t to);
/* Where a slice that begins with ray from ends if it is to have at most so many points; first is
 * that of the samples.  One ray is always in it. */
int64_t pf_samples_slice_end(const int64_t *first, int64_t rays, int64_t from, int64_t points);

#ifdef __cplusplus
}
#endif
#endif
