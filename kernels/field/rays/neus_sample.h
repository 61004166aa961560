/* neus_sample.h - the original's sampling of a ray: 64 even depths, then rounds of 16 where the
 * surface probably is (field.md, 3).  Private to kernels/field.
 *
 *     const struct pf_neus_sampler sampler = {64, 16, 4, 0.6};
 *     PF_TRY(pf_neus_sample(net, &sampler, &samples, origin, dir, rays, NULL));
 */
#ifndef PF_FIELD_NEUS_SAMPLE_H
#define PF_FIELD_NEUS_SAMPLE_H
#include "kernels/field/net.h"
#include "kernels/field/rays/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_neus_sampler {
    int coarse, fine, rounds;   /* even depths; more in each round; rounds */
    double bound;               /* half side of the cube */
};
struct pf_neus_sampler pf_neus_sampler_of(const struct pf_neus_config *conf);
int pf_neus_depths(const struct pf_neus_sampler *sampler);          /* a ray, in all */
/* Whether there are any, and not too many. */
pf_err pf_neus_sampler_check(const struct pf_neus_sampler *sampler) PF_MUST_USE;

/* Ascending depths z [rays, depths].  offset [rays] moves a whole ray, scene units; NULL: none. */
pf_err pf_neus_z(struct pf_net *net, const struct pf_neus_sampler *sampler, float *z,
                 const float *origin, const float *dir, int64_t rays, const float *offset)
    PF_MUST_USE;
/* All of it, replacing what s held.  Rays that miss the cube cost nothing and get no points. */
pf_err pf_neus_sample(struct pf_net *net, const struct pf_neus_sampler *sampler,
                      struct pf_samples *s, const float *origin, const float *dir, int64_t rays,
                      const float *offset) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
