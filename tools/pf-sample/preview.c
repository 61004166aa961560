#include "tools/pf-sample/preview.h"

#include <stdio.h>
#include <string.h>

#include "common/progress.h"

void
preview_begin(struct preview *p)
{
    pf_image_release(&p->strip);
    p->strips += p->folder != NULL;
    p->start = pf_seconds();
    p->spent = p->cost = 0;
}

void
preview_end(struct preview *p)
{
    if (p->strips)
        pf_stage_time("previews", p->all);
    pf_image_release(&p->strip);
}

/* The first view of a device's tensor [V, h, w, z], to the host: [1, z, h, w]. */
static pf_err
get_first(struct run *r, pf_tensor *to, const pf_tensor *from)
{
    pf_tensor first = *from;
    first.dim[0] = 1;
    PF_TRY(PF_TENSOR_NEW(to, PF_F32, 1, from->dim[3], from->dim[1], from->dim[2]));
    return sampler_get(r, to, &first);
}

/* x0 as the network told it.  A multistep solver remembers it; DDIM's step k left
 * x = sqrt(a_prev) x0 + dir eps + sigma noise (networks.md, 8), and eps is eps_of_out out +
 * eps_of_x of the x before, which is gone but was sqrt(a) x0 + sqrt(1-a) eps. */
static pf_err
guess(struct sampler *s, pf_tensor *x0, int k)
{
    struct run *r = &s->m->run;
    const struct pf_ddim_coefficients *c = &s->ddim.c[k];
    const float cfg = s->branches == 2 ? (float)s->m->conf.sampler.cfg_scale : 1;
    pf_tensor cond = {0}, uncond = {0}, noise = {0};
    pf_err err;
    if (s->is_multistep)
        return get_first(r, x0, &s->m1);
    if ((err = get_first(r, x0, &s->x)) || (err = get_first(r, &cond, &s->cond)) ||
        (err = get_first(r, &uncond, s->branches == 2 ? &s->uncond : &s->cond)) ||
        (err = get_first(r, &noise, &s->noise)))
        goto out;
    const float of_noise = c->dir / (1 - c->eps_of_x * c->sqrt_one_minus_a);
    const float of_x0 = c->sqrt_a_prev + of_noise * c->eps_of_x * c->sqrt_a;
    float *x = x0->data;
    const float *a = cond.data, *b = uncond.data, *z = noise.data;
    for (int64_t i = 0, n = pf_tensor_count(x0); i < n; i++) {
        const float out = b[i] + cfg * (a[i] - b[i]);
        x[i] = (x[i] - of_noise * c->eps_of_out * out - c->sigma * z[i]) / of_x0;
    }
out:
    pf_tensor_release(&cond);
    pf_tensor_release(&uncond);
    pf_tensor_release(&noise);
    return err;
}

/* Put picture [1, S, S, 3] behind the strip. */
static pf_err
append(pf_image *strip, const pf_tensor *picture)
{
    const int S = (int)picture->dim[1];
    const size_t had = 3 * (size_t)strip->width, more = 3 * (size_t)S;
    pf_image longer;
    PF_TRY(pf_image_new(&longer, strip->width + S, S, 3));
    for (size_t y = 0; y < (size_t)S; y++) {
        if (had)
            memcpy(longer.pixel + y * (had + more), strip->pixel + y * had, had);
        memcpy(longer.pixel + y * (had + more) + had, (uint8_t *)picture->data + y * more, more);
    }
    pf_image_release(strip);
    *strip = longer;
    return PF_OK;
}

static pf_err
show(struct preview *p, struct sampler *s, int k)
{
    pf_tensor x0 = {0}, picture = {0};
    char path[4096];
    pf_err err;
    if (snprintf(path, sizeof path, "%s/%d.png", p->folder, p->strips - 1) >= (int)sizeof path)
        return pf_fail(PF_EIO, "--preview: the name of the folder is too long");
    if (!(err = guess(s, &x0, k)) && !(err = sampler_decode(s->m, &picture, NULL, &x0)) &&
        !(err = append(&p->strip, &picture)))
        err = pf_image_save_png(&p->strip, path);
    pf_tensor_release(&x0);
    pf_tensor_release(&picture);
    return err;
}

pf_err
preview_step(struct sampler *s, int k, void *preview)
{
    struct preview *p = preview;
    if (k == 0 || (s->ddim.steps - k) % p->every)
        return PF_OK;
    PF_TRY(pf_dev_sync(s->m->run.dev));         // or waiting for the step would count as ours
    const double now = pf_seconds();
    if (p->spent + p->cost > PREVIEW_SHARE * (now - p->start))
        return PF_OK;
    PF_TRY(show(p, s, k));
    p->cost = pf_seconds() - now;
    p->spent += p->cost;
    p->all += p->cost;
    return PF_OK;
}
