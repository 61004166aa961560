/* samples.c - room for packed samples (samples.h). */
#include "kernels/field/rays/samples.h"

#include <stdlib.h>
#include <string.h>

bool
pf_grow(void *array, size_t bytes)
{
    void **p = array, *to = realloc(*p, bytes);
    if (!to)
        return false;
    *p = to;
    return true;
}

pf_err
pf_samples_reserve(struct pf_samples *s, int64_t rays, int64_t points)
{
    if (rays < 0 || points < 0 || rays > INT64_C(1) << 32 || points > INT64_C(1) << 40)
        return pf_fail(PF_ESHAPE, "samples: %lld rays with %lld points are too many",
                       (long long)rays, (long long)points);
    if (rays > s->room_rays || !s->first) {
        if (!pf_grow(&s->first, (size_t)(rays + 1) * sizeof(*s->first)))
            return pf_fail(PF_ENOMEM, "no memory for %lld rays", (long long)rays);
        s->room_rays = rays;
    }
    if (points > s->room) {
        const size_t n = (size_t)points, row = 3 * sizeof(float);
        if (!pf_grow(&s->x, n * row) || !pf_grow(&s->dir, n * row) ||
            !pf_grow(&s->dist, n * sizeof(*s->dist)) ||
            !pf_grow(&s->skipped, n * sizeof(*s->skipped)))
            return pf_fail(PF_ENOMEM, "no memory for %lld samples", (long long)points);
        memset(s->skipped + s->room, 0, (size_t)(points - s->room) * sizeof(*s->skipped));
        s->room = points;
    }
    return PF_OK;
}

void
pf_samples_release(struct pf_samples *s)
{
    free(s->first);
    free(s->x);
    free(s->dir);
    free(s->dist);
    free(s->skipped);
    *s = (struct pf_samples){0};
}

struct pf_samples
pf_samples_slice(const struct pf_samples *s, int64_t from, int64_t to)
{
    const int64_t i = s->first[from] - s->first[0];
    return (struct pf_samples){
        .rays = to - from,
        .n = s->first[to] - s->first[from],
        .first = s->first + from,
        .x = s->x + 3 * i,
        .dir = s->dir + 3 * i,
        .dist = s->dist + i,
        .skipped = s->skipped + i,
    };
}

int64_t
pf_samples_slice_end(const int64_t *first, int64_t rays, int64_t from, int64_t points)
{
    int64_t to = from + 1;
    while (to < rays && first[to + 1] - first[from] <= points)
        to++;
    return to;
}
