/* sampler.h - one set of views out of noise: constants of an elevation, guided denoising steps,
 * pictures (networks.md, 2, 3, 7, 8).
 *
 *     PF_TRY(sampler_encode(m, &moments, &image));                // once for a photo
 *     PF_TRY(sampler_begin(&s, m, &input, elevation));            // once for an elevation
 *     PF_TRY(sampler_run(&s, &latents, &moments, &noise));        // once for a sample
 *     PF_TRY(sampler_decode(m, &views, &latents));
 *     sampler_end(&s);
 *
 * Host tensors are channels first as in streams, [V, z, h, w]; the device's are channels last. */
#ifndef PF_SAMPLE_SAMPLER_H
#define PF_SAMPLE_SAMPLER_H
#include "tools/pf-sample/model.h"
#include "tools/pf-sample/multistep.h"
#include "tools/pf-sample/noise.h"
#include "tools/pf-sample/rig.h"

struct sampler_input {
    float elevation, azimuth;   /* the photo's, in radians */
    const float *clip;          /* [clip.output_dim] */
};
struct sampler {
    struct model *m;
    pf_err (*watch)(struct sampler *s, int k, void *watcher);   /* called behind step k, or NULL */
    void *watcher;              /* both may be set between sampler_begin and sampler_run */
    struct rig views;
    struct ddim ddim;
    struct multistep multistep; /* of dpmpp-2m and unipc */
    bool is_multistep;
    int64_t branches;           /* 2 with guidance, 1 where cfg_scale is 1 */
    int64_t batch;              /* views in one evaluation of the UNet */
    size_t mark;                /* what the arena held before */
    pf_tensor now;              /* f32 [W]: what differs from step to step */
    pf_tensor x, noise;         /* f32 [V, h, w, z]: the state, and what DDIM adds to it */
    pf_tensor y, m1, m2;        /* f32, the same shape: what a multistep solver remembers */
    pf_tensor cond, uncond;     /* act, the same shape */
    pf_graph *graph;            /* a step, on a GPU */
    int k;                      /* the step under way */
};

/* Encode image [3, S, S] to moments [1, h, w, 2z] on the host: mean and log variance, channels
 * last. */
pf_err sampler_encode(struct model *m, pf_tensor *moments, const pf_tensor *image) PF_MUST_USE;
/* Draw the scaled latent [1, z, h, w] from moments and normal numbers of its shape (networks.md,
 * 3). */
pf_err sampler_latent(struct model *m, pf_tensor *latent, const pf_tensor *moments,
                      const pf_tensor *eps) PF_MUST_USE;
/* Prepare for the target's elevation, in radians.  Ends with sampler_end, also after a failure. */
pf_err sampler_begin(struct sampler *s, struct model *m, const struct sampler_input *in,
                     float elevation) PF_MUST_USE;
void sampler_end(struct sampler *s);
/* Let the steps from now on see this scaled input latent [1, z, h, w]; it takes memory of the
 * arena. */
pf_err sampler_condition(struct sampler *s, const pf_tensor *latent) PF_MUST_USE;
/* Predict the noise in x f32 [V, h, w, z] at time t: cond, uncond [V, h, w, z], allocated by the
 * caller. */
pf_err sampler_eps(struct sampler *s, pf_tensor *cond, pf_tensor *uncond, const pf_tensor *x, int t)
    PF_MUST_USE;
/* Do step k = steps-1..0 of the schedule: s->x in place, by DDIM with s->noise, which its last step
 * ignores (it must be finite all the same).  On a GPU it is under way when this returns. */
pf_err sampler_step(struct sampler *s, int k) PF_MUST_USE;
/* Do all steps: latents [V, z, h, w] are new, on the host. */
pf_err sampler_run(struct sampler *s, pf_tensor *latents, const pf_tensor *moments,
                   struct noise *noise) PF_MUST_USE;
/* Decode latents [V, z, h, w] to new pictures U8 [V, S, S, 3] and, unless NULL, raw F32
 * [V, 3, S, S]. */
pf_err sampler_decode(struct model *m, pf_tensor *pictures, pf_tensor *raw,
                      const pf_tensor *latents) PF_MUST_USE;

/* Copy latents between the host's order and the device's; from is f32 or an activation, to is
 * allocated. */
pf_err sampler_put(struct run *r, pf_tensor *to, const pf_tensor *from) PF_MUST_USE;
pf_err sampler_get(struct run *r, pf_tensor *to, const pf_tensor *from) PF_MUST_USE;

#endif
