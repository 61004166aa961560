/* noise.h - where pf-sample's random numbers come from: Philox, or the file of --noise.
 *
 * Numbers are counted in the order drawn, [N, z, h, w], whatever the batch.  Another sample or
 * elevation has other numbers, and the same ones whatever else is asked for in the same run. */
#ifndef PF_SAMPLE_NOISE_H
#define PF_SAMPLE_NOISE_H
#include "common/stream.h"
#include "tools/pf-sample/network.h"

struct noise {
    uint64_t seed;
    uint64_t key;               /* the sample's, set by noise_key */
    bool file;
    pf_doc doc;                 /* the file: posterior [1, z, h, w], x_T [N, z, h, w],
                                 * step [.., N, z, h, w] */
};

/* Where path is NULL, numbers come from the seed. */
pf_err noise_open(struct noise *n, const char *path, int64_t seed) PF_MUST_USE;
void noise_close(struct noise *n);
void noise_key(struct noise *n, double elevation_deg, int sample);
/* Fill t: f32 on the host, of the shape drawn; for a step f32 [N, h, w, z] on the device, where
 * `drawn` is how many steps have had their numbers. */
pf_err noise_posterior(struct noise *n, pf_tensor *t) PF_MUST_USE;
pf_err noise_start(struct noise *n, pf_tensor *t) PF_MUST_USE;
pf_err noise_step(struct noise *n, struct run *r, pf_tensor *t, int64_t drawn) PF_MUST_USE;

#endif
