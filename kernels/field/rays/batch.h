/* batch.h - which pixels a training step sees, and their rays: the same on every device.  Private
 * to kernels/field. */
#ifndef PF_FIELD_BATCH_H
#define PF_FIELD_BATCH_H
#include "common/camera.h"
#include "common/rng.h"
#include "kernels/field/field.h"

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

/* The rays of a step, [rays, ...], and what they are drawn from; all of it lies on one device. */
struct pf_batch {
    struct pf_field_views views;
    struct pf_pool all, foreground;
    int64_t rays;               /* what all and foreground take together */
    int coarse_samples;         /* for offset, which moves them by up to their spacing */
    float *origin, *dir, *offset, *rgb, *mask;
    int32_t *view;              /* that each ray is of */
};

/* Writes ray r of this step. */
PF_HD_FN void
pf_batch_draw(const struct pf_batch *b, int64_t r, uint64_t seed, int step)
{
    const struct pf_field_views *const v = &b->views;
    const struct pf_pool *const pool = r < b->all.take ? &b->all : &b->foreground;
    const int64_t pixel = pf_pool_draw(pool, r < b->all.take ? r : r - b->all.take, seed, step);
    const int64_t area = (int64_t)v->width * v->height, view = pixel / area, in = pixel % area;
    const uint64_t number = (uint64_t)step * (uint64_t)b->rays + (uint64_t)r;
    double pose[12], K[9];
    PF_UNROLL for (int i = 0; i < 12; i++)
        pose[i] = v->pose[12 * view + i];
    PF_UNROLL for (int i = 0; i < 9; i++)
        K[i] = v->intrinsics[9 * view + i];
    pf_camera_ray(b->origin + 3 * r, b->dir + 3 * r, pose, K, (double)(in % v->width),
                  (double)(in / v->width));
    PF_UNROLL for (int c = 0; c < 3; c++)
        b->rgb[3 * r + c] = (float)v->image[3 * pixel + c] / 255;
    b->mask[r] = v->alpha[pixel];
    b->view[r] = (int32_t)view;
    b->offset[r] = (pf_rng_uniform(seed, PF_RNG_PERTURB, number) - 0.5f) * 2 /
                   (float)b->coarse_samples;
}

#endif
