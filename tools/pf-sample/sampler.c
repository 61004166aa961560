/* sampler.c - one set of views out of noise (networks.md, 2, 3, 7, 8). */
#include <math.h>
#include <string.h>

#include "common/progress.h"
#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/sampler.h"

static bool
is_finite(const pf_tensor *t)
{
    return pf_count_odd(t->data, t->dtype, pf_tensor_count(t)) == 0;
}

/* Copy [N, C, H, W] to [N, H, W, C] on the device. */
pf_err
sampler_put(struct run *r, pf_tensor *to, const pf_tensor *from)
{
    pf_tensor last = {0};
    PF_TRY(PF_TENSOR_NEW(&last, PF_F32, from->dim[0], from->dim[2], from->dim[3], from->dim[1]));
    channels_last(last.data, from->data, from->dim[0], from->dim[1], from->dim[2] * from->dim[3]);
    const pf_err err = pf_dev_put(r->dev, to, &last);
    pf_tensor_release(&last);
    return err;
}

/* Copy [N, H, W, C] on the device to [N, C, H, W]. */
pf_err
sampler_get(struct run *r, pf_tensor *to, const pf_tensor *from)
{
    pf_tensor last = {0};
    PF_TRY(pf_tensor_new(&last, PF_F32, from->ndim, from->dim));
    const pf_err err = pf_dev_get(r->dev, &last, from);
    if (!err)
        channels_first(to->data, last.data, from->dim[0], from->dim[1] * from->dim[2],
                       from->dim[3]);
    pf_tensor_release(&last);
    return err;
}

static pf_err
new_latents(struct sampler *s, pf_tensor *t)
{
    const int64_t side = s->m->unet.side;
    return PF_TENSOR_NEW(t, PF_F32, s->views.V, s->m->unet.z, side, side);
}

/* ---- the photo ---- */

pf_err
sampler_encode(struct model *m, pf_tensor *moments, const pf_tensor *image)
{
    struct run *r = &m->run;
    const int64_t S = image->dim[1], side = S / 8;
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor first = RESHAPE(image, 1, 3, S, S), x = {0}, y = {0};
    PF_TRY(PF_TENSOR_NEW(moments, PF_F32, 1, side, side, 2 * m->vae.z));
    PF_TRY(PF_ALLOC(r->dev, &x, pf_dev_dtype(r->dev), 1, S, S, 3));
    PF_TRY(sampler_put(r, &x, &first));
    if (r->dump)
        r->dump->row = 0;
    PF_TRY(vae_encode(r, &y, &m->vae, &x));
    PF_TRY(pf_dev_get(r->dev, moments, &y));
    pf_dev_reset(r->dev, mark);
    if (!is_finite(moments))
        return pf_fail(PF_EFORMAT, "the VAE's encoder gives numbers that are not finite for this "
                       "photo; are the weights damaged?");
    return PF_OK;
}

pf_err
sampler_latent(struct model *m, pf_tensor *latent, const pf_tensor *moments, const pf_tensor *eps)
{
    const int64_t z = m->vae.z, P = moments->dim[1] * moments->dim[2];
    const float *mo = moments->data, *e = eps->data;
    float *to = latent->data;
    for (int64_t c = 0; c < z; c++)
        for (int64_t p = 0; p < P; p++) {
            const float mean = mo[p * 2 * z + c];
            const float log_var = fminf(fmaxf(mo[p * 2 * z + z + c], -30.0f), 20.0f);
            to[c * P + p] = (mean + expf(0.5f * log_var) * e[c * P + p]) *
                            (float)m->conf.model.scale_factor;
        }
    return dump_host(&m->run, latent, "x_input");
}

/* ---- constants of an elevation ---- */

/* Compute cc_projection of every view: [V, E] on the host. */
static pf_err
project_context(struct sampler *s, pf_tensor *context, const struct sampler_input *in)
{
    struct run *r = &s->m->run;
    const int64_t V = s->views.V, E = s->m->conf.clip.output_dim;
    const float *v = s->views.embed.data;
    pf_tensor tokens_in = {0}, x = {0}, y = {0};
    PF_TRY(PF_TENSOR_NEW(&tokens_in, PF_F32, V, E + 4));
    for (int64_t i = 0; i < V; i++) {
        float *p = (float *)tokens_in.data + i * (E + 4);
        for (int64_t k = 0; k < E + 4; k++)
            p[k] = k < E ? in->clip[k] : v[4 * i + k - E];
    }
    const size_t mark = pf_dev_mark(r->dev);
    pf_err err = run_put(r, &x, &tokens_in);
    pf_tensor_release(&tokens_in);
    PF_TRY(err);
    PF_TRY(run_linear(r, &y, s->m->context, &x, NULL));
    PF_TRY(PF_TENSOR_NEW(context, PF_F32, V, y.dim[1]));
    PF_TRY(pf_dev_get(r->dev, context, &y));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* The chunk that begins with this view. */
static struct chunk
chunk_at(const struct sampler *s, int64_t first)
{
    const int64_t left = s->views.V - first;
    return (struct chunk){first, left < s->batch ? left : s->batch, s->branches};
}

/* Make a token for every row of every chunk: the views' own, then zeros for the branch without
 * condition. */
static pf_err
context_rows(struct sampler *s, pf_tensor *table, const pf_tensor *context)
{
    const int64_t E = context->dim[1];
    pf_tensor host = {0};
    PF_TRY(PF_TENSOR_NEW(&host, PF_F32, s->branches * s->views.V, E));
    for (int64_t first = 0; first < s->views.V; first += s->batch) {
        const struct chunk c = chunk_at(s, first);
        const float *from = (float *)context->data + first * E;
        float *to = (float *)host.data + c.branches * first * E;
        for (int64_t i = 0; i < c.n * E; i++)
            to[i] = from[i];
    }
    const pf_err err = run_put(&s->m->run, table, &host);
    pf_tensor_release(&host);
    return err;
}

/* Dump one view's row of [V, n] under a golden name, as [1, 1, n]. */
static pf_err
dump_view(struct run *r, const pf_tensor *t, const char *name)
{
    if (!r->dump)
        return PF_OK;
    const pf_tensor one = rows(t, r->dump->view, 1), shaped = RESHAPE(&one, 1, 1, t->dim[1]);
    return dump_host(r, &shaped, "view%d.%s", r->dump->view, name);
}

static size_t
coefficients_size(const struct sampler *s)
{
    return s->is_multistep ? sizeof(struct pf_multistep_coefficients)
                           : sizeof(struct pf_ddim_coefficients);
}

/* s->now is everything in which one step differs from another as one row of floats: the time for
 * the volume networks, the time for the UNet and, from here on, the solver's coefficients. */
static int64_t
coefficients_at(const struct sampler *s)
{
    return s->m->conf.model.time_embed_dim + s->m->unet.channels;
}

static int64_t
row_width(const struct sampler *s)
{
    return coefficients_at(s) + (int64_t)(coefficients_size(s) / sizeof(float));
}

/* Set s->now to time t and the step's coefficients. */
static pf_err
set_time(struct sampler *s, int t, const void *c)
{
    const int E = s->m->conf.model.time_embed_dim, channels = s->m->unet.channels;
    pf_tensor host = {0};
    PF_TRY(PF_TENSOR_NEW(&host, PF_F32, row_width(s)));
    float *const row = host.data;
    ddim_sinusoid(row, E, t);
    ddim_sinusoid(row + E, channels, t);
    memcpy(row + E + channels, c, coefficients_size(s));
    const pf_err err = pf_dev_put(s->m->run.dev, &s->now, &host);
    pf_tensor_release(&host);
    return err;
}

/* Allocate what the steps work on: the same memory for every sample. */
static pf_err
make_state(struct sampler *s)
{
    pf_dev *const dev = s->m->run.dev;
    const int64_t dim[] = {s->views.V, s->m->unet.side, s->m->unet.side, s->m->unet.z};
    PF_TRY(PF_ALLOC(dev, &s->now, PF_F32, row_width(s)));
    PF_TRY(pf_dev_alloc(dev, &s->x, PF_F32, 4, dim));
    if (s->is_multistep) {
        PF_TRY(pf_dev_alloc(dev, &s->y, PF_F32, 4, dim));
        PF_TRY(pf_dev_alloc(dev, &s->m1, PF_F32, 4, dim));
        PF_TRY(pf_dev_alloc(dev, &s->m2, PF_F32, 4, dim));
    } else
        PF_TRY(pf_dev_alloc(dev, &s->noise, PF_F32, 4, dim));
    PF_TRY(pf_dev_alloc(dev, &s->cond, pf_dev_dtype(dev), 4, dim));
    return pf_dev_alloc(dev, &s->uncond, pf_dev_dtype(dev), 4, dim);
}

/* The times and what is done at each. */
static pf_err
choose_steps(struct sampler *s)
{
    const struct pf_config *c = &s->m->conf;
    const bool velocity = !strcmp(c->model.parameterization, "v");
    PF_TRY(ddim_times(&s->ddim, c->sampler.steps, c->sampler.timesteps));
    s->is_multistep = strcmp(c->sampler.name, "ddim") != 0;
    if (s->is_multistep)
        multistep_schedule(&s->multistep, &s->ddim, s->m->alphas_cumprod, velocity,
                           !strcmp(c->sampler.name, "unipc"));
    else
        ddim_schedule(&s->ddim, s->m->alphas_cumprod, c->sampler.eta, velocity);
    return PF_OK;
}

pf_err
sampler_begin(struct sampler *s, struct model *m, const struct sampler_input *in, float elevation)
{
    struct run *r = &m->run;
    const struct pf_config *c = &m->conf;
    pf_tensor context = {0}, table = {0};
    pf_err err;
    const int V = c->model.view_num, batch = c->sampler.batch_view_num;
    *s = (struct sampler){.m = m, .branches = c->sampler.cfg_scale == 1 ? 1 : 2,
                          .batch = batch < V ? batch : V, .mark = pf_dev_mark(r->dev)};
    if (r->dump && r->dump->view >= V)
        r->dump->view = V - 1;
    PF_TRY(choose_steps(s));
    PF_TRY(rig_make(r, &s->views, c, unet_has_spad(&m->unet), elevation, in->elevation,
                    in->azimuth));
    PF_TRY(make_state(s));
    PF_TRY(dump_host(r, &s->views.embed, "v_embed"));
    if ((err = project_context(s, &context, in)) || (err = dump_view(r, &context, "context")) ||
        (err = context_rows(s, &table, &context)))
        goto out;
    if ((err = unet_prepare(r, &m->unet, &table, s->views.plucker)))
        goto out;
    err = volume_prepare(r, &m->volume, &s->views.v);
out:
    pf_tensor_release(&context);
    return err;
}

void
sampler_end(struct sampler *s)
{
    pf_graph_free(s->graph);
    rig_release(&s->views);
    pf_dev_reset(s->m->run.dev, s->mark);
}

pf_err
sampler_condition(struct sampler *s, const pf_tensor *latent)
{
    struct run *r = &s->m->run;
    const int64_t side = s->m->unet.side, z = s->m->unet.z;
    pf_tensor unscaled = {0}, x = {0};
    PF_TRY(pf_tensor_copy(&unscaled, latent));
    float *p = unscaled.data;
    for (int64_t i = 0, n = pf_tensor_count(latent); i < n; i++)
        p[i] /= (float)s->m->conf.model.scale_factor;   // networks.md, 3, unscaled input latent
    pf_err err = PF_ALLOC(r->dev, &x, pf_dev_dtype(r->dev), 1, side, side, z);
    if (!err)
        err = sampler_put(r, &x, &unscaled);
    pf_tensor_release(&unscaled);
    PF_TRY(err);
    return unet_input(r, &s->m->unet, &x);
}

/* ---- a step ---- */

/* Compute what the networks derive from the time alone. */
static pf_err
step_time(struct sampler *s)
{
    struct model *m = s->m;
    struct run *r = &m->run;
    const int64_t E = m->conf.model.time_embed_dim, channels = m->unet.channels;
    float *const now = s->now.data;
    const pf_tensor fa = PF_VIEW(now, PF_F32, 1, E), fb = PF_VIEW(now + E, PF_F32, 1, channels);
    pf_tensor a = {0}, b = {0}, h = {0}, embed = {0};
    PF_TRY(run_cast(r, &a, &fa, pf_dev_dtype(r->dev)));
    PF_TRY(run_cast(r, &b, &fb, pf_dev_dtype(r->dev)));
    PF_TRY(run_linear(r, &h, m->time0, &a, &(struct pf_epilogue){.act = PF_SILU}));
    PF_TRY(run_linear(r, &embed, m->time2, &h, NULL));                  // [1, E]
    PF_TRY(dump_row(r, &embed, "t_embed"));
    PF_TRY(volume_time(r, &m->volume, &embed));
    return unet_time(r, &m->unet, &b);
}

/* Evaluate the UNet on one chunk. */
static pf_err
chunk_eps(struct sampler *s, pf_tensor *cond, pf_tensor *uncond, const pf_tensor *x,
          const pf_tensor *volume, int64_t first)
{
    struct model *m = s->m;
    struct run *r = &m->run;
    const struct chunk c = chunk_at(s, first);
    pf_tensor level[VOLUME_LEVELS] = {0};
    const pf_tensor xc = rows(x, first, c.n);
    pf_tensor cc = rows(cond, first, c.n), uc = {0};
    if (c.branches == 2)
        uc = rows(uncond, first, c.n);
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(volume_frustum(r, level, &m->volume, volume, &s->views.unproj, &c, m->unet.side));
    PF_TRY(unet(r, &cc, &uc, &m->unet, &xc, &c, level, s->views.mask));
    pf_dev_reset(r->dev, mark);
    PF_TRY(dump_row(r, &cc, "view.unet_output_cond"));
    return c.branches == 2 ? dump_row(r, &uc, "view.unet_output_uncond") : PF_OK;
}

/* Predict the noise in x at the time of s->now; `first` says that the step is the first, whose
 * activations are dumped. */
static pf_err
eps_now(struct sampler *s, pf_tensor *cond, pf_tensor *uncond, const pf_tensor *x, bool first)
{
    struct model *m = s->m;
    struct run *r = &m->run;
    struct dump *d = r->dump;
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor act = {0}, volume = {0};
    if (d)
        d->row = first ? d->view : -1;
    PF_TRY(run_cast(r, &act, x, pf_dev_dtype(r->dev)));                 // [V, h, w, z]
    PF_TRY(step_time(s));
    PF_TRY(volume_spatial(r, &volume, &m->volume, &act, &s->views.proj));
    for (int64_t v = 0; v < s->views.V; v += s->batch) {
        if (d)
            d->row = first && d->view >= v && d->view < v + s->batch ? d->view - v : -1;
        PF_TRY(chunk_eps(s, cond, uncond, &act, &volume, v));
    }
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

pf_err
sampler_eps(struct sampler *s, pf_tensor *cond, pf_tensor *uncond, const pf_tensor *x, int t)
{
    PF_TRY(set_time(s, t, s->is_multistep ? (void *)&s->multistep.c[0] : &s->ddim.c[0]));
    return eps_now(s, cond, uncond, x, t == s->ddim.t[s->ddim.steps - 1]);
}

/* Dump the steps of which golden data exist: the first and last two, and every tenth state. */
static pf_err
dump_step(struct sampler *s, int k, const pf_tensor *cond, const pf_tensor *uncond,
          const pf_tensor *x)
{
    struct run *r = &s->m->run;
    const int number = s->ddim.steps - k;
    const float g = (float)s->m->conf.sampler.cfg_scale;
    pf_tensor c = {0}, u = {0};
    pf_err err = PF_OK;
    const bool ends = number <= 2 || k < 2;
    if (!r->dump || !(ends || number % 10 == 0))
        return PF_OK;
    if ((err = new_latents(s, &c)) || (err = new_latents(s, &u)) || (err = sampler_get(r, &c, x)))
        goto out;
    if (number % 10 == 0 && (err = dump_host(r, &c, "chain.x_after_step%d", number)))
        goto out;
    if (!ends || (err = dump_host(r, &c, "step%d.x_prev", number)) ||
        (err = sampler_get(r, &c, cond)) || (err = dump_host(r, &c, "step%d.eps_cond", number)))
        goto out;
    if (s->branches == 2) {
        float *pc = c.data;
        if ((err = sampler_get(r, &u, uncond)) ||
            (err = dump_host(r, &u, "step%d.eps_uncond", number)))
            goto out;
        for (int64_t i = 0, n = pf_tensor_count(&c); i < n; i++)
            pc[i] = ((float *)u.data)[i] + g * (pc[i] - ((float *)u.data)[i]);
    }
    err = dump_host(r, &c, "step%d.eps", number);
out:
    pf_tensor_release(&c);
    pf_tensor_release(&u);
    return err;
}

/* A NaN or an infinity ends the run with a sentence, not in a black picture. */
static pf_err
check(struct sampler *s, const pf_tensor *x, int k)
{
    pf_tensor host = {0};
    PF_TRY(pf_tensor_new(&host, PF_F32, x->ndim, x->dim));
    pf_err err = pf_dev_get(s->m->run.dev, &host, x);
    if (!err && !is_finite(&host))
        err = pf_fail(PF_EFORMAT, "step %d of %d (t = %d): the network's output is not finite; are "
                      "the weights damaged?", s->ddim.steps - k, s->ddim.steps, s->ddim.t[k]);
    pf_tensor_release(&host);
    return err;
}

/* One step, of which a GPU makes a graph: it reads s->now, s->x, s->noise and writes s->x, or does
 * the same with what a multistep solver remembers. */
static pf_err
step(void *ctx)
{
    struct sampler *const s = ctx;
    const void *const c = (const float *)s->now.data + coefficients_at(s);
    const pf_tensor *const uncond = s->branches == 2 ? &s->uncond : NULL;
    const float cfg = (float)s->m->conf.sampler.cfg_scale;
    PF_TRY(eps_now(s, &s->cond, &s->uncond, &s->x, s->k == s->ddim.steps - 1));
    if (s->is_multistep)
        return pf_multistep(s->m->run.dev, &s->x, &s->y, &s->m1, &s->m2, &s->cond, uncond, cfg, c);
    return pf_ddim_step(s->m->run.dev, &s->x, &s->cond, uncond, cfg, c, &s->noise);
}

pf_err
sampler_step(struct sampler *s, int k)
{
    struct run *r = &s->m->run;
    struct pf_ddim_coefficients c = s->ddim.c[k];
    if (k == 0)
        c.sigma = 0;                            /* the last step adds no noise (networks.md, 8) */
    s->k = k;
    PF_TRY(set_time(s, s->ddim.t[k], s->is_multistep ? (void *)&s->multistep.c[k] : &c));
    PF_TRY(r->dump ? step(s) : pf_replay(r->dev, &s->graph, step, s));
    /* A GPU is not waited for before the last step; what is not finite stays so. */
    if (!pf_dev_is_cuda(r->dev) || k == 0)
        PF_TRY(check(s, &s->x, k));
    return dump_step(s, k, &s->cond, &s->uncond, &s->x);
}

/* ---- a sample ---- */

/* Let the steps begin at these latents.  What a multistep solver remembers must be finite. */
static pf_err
start_at(struct sampler *s, const pf_tensor *latents)
{
    struct run *r = &s->m->run;
    PF_TRY(sampler_put(r, &s->x, latents));
    if (!s->is_multistep)
        return PF_OK;
    PF_TRY(sampler_put(r, &s->y, latents));
    PF_TRY(sampler_put(r, &s->m1, latents));
    return sampler_put(r, &s->m2, latents);
}

static pf_err
denoise(struct sampler *s, struct noise *noise)
{
    const int steps = s->ddim.steps;
    const bool shown = !pf_dev_is_dry(s->m->run.dev);           // else these are nobody's steps
    pf_progress p;
    pf_progress_start(&p, "sampling", steps);
    for (int k = steps - 1; k >= 0; k--) {
        if (k && !s->is_multistep)
            PF_TRY(noise_step(noise, &s->m->run, &s->noise, steps - 1 - k));
        PF_TRY(sampler_step(s, k));
        if (s->watch)
            PF_TRY(s->watch(s, k, s->watcher));
        if (shown)
            pf_progress_step(&p, steps - k, "t %d", s->ddim.t[k]);
    }
    if (shown)
        pf_progress_end(&p);
    return PF_OK;
}

pf_err
sampler_run(struct sampler *s, pf_tensor *latents, const pf_tensor *moments, struct noise *noise)
{
    struct run *r = &s->m->run;
    const int64_t side = s->m->unet.side, z = s->m->unet.z;
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor eps = {0}, latent = {0};
    pf_err err;
    PF_TRY(new_latents(s, latents));
    if ((err = PF_TENSOR_NEW(&eps, PF_F32, 1, z, side, side)) ||
        (err = PF_TENSOR_NEW(&latent, PF_F32, 1, z, side, side)))
        goto out;
    if ((err = noise_posterior(noise, &eps)) ||
        (err = sampler_latent(s->m, &latent, moments, &eps)) ||
        (err = sampler_condition(s, &latent)))
        goto out;
    if ((err = noise_start(noise, latents)) || (err = dump_host(r, latents, "x_T")) ||
        (err = start_at(s, latents)))
        goto out;
    if ((err = denoise(s, noise)) || (err = sampler_get(r, latents, &s->x)))
        goto out;
    err = dump_host(r, latents, "final_latents");
out:
    pf_tensor_release(&eps);
    pf_tensor_release(&latent);
    pf_dev_reset(r->dev, mark);     /* so that the next sample's latent lies where this one's did */
    return err;
}

/* ---- pictures ---- */

/* Map n finite numbers of -1..1 to 0..255 by truncation, as the original does (networks.md, 8). */
static void
to_bytes(uint8_t *to, const float *from, int64_t n)
{
#pragma omp parallel for simd
    for (int64_t i = 0; i < n; i++) {
        const float most = from[i] < 1 ? from[i] : 1, v = most > -1 ? most : -1;
        to[i] = (uint8_t)((v + 1.0f) * 0.5f * 255.0f);
    }
}

static pf_err
decode_view(struct model *m, uint8_t *pixels, float *raw, pf_tensor *host, const pf_tensor *latent)
{
    struct run *r = &m->run;
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor z = {0}, image = {0};
    PF_TRY(PF_ALLOC(r->dev, &z, pf_dev_dtype(r->dev), 1, latent->dim[2], latent->dim[3],
                    latent->dim[1]));
    PF_TRY(sampler_put(r, &z, latent));
    PF_TRY(vae_decode(r, &image, &m->vae, &z));                         // [1, S, S, 3]
    PF_TRY(pf_dev_get(r->dev, host, &image));
    if (!is_finite(host))                       // clamped, a NaN would be a plain pixel
        return pf_fail(PF_EFORMAT, "the VAE's decoder gives numbers that are not finite; are the "
                       "weights damaged?");
    to_bytes(pixels, host->data, pf_tensor_count(host));
    if (raw)
        channels_first(raw, host->data, 1, host->dim[1] * host->dim[2], 3);
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

pf_err
sampler_decode(struct model *m, pf_tensor *pictures, pf_tensor *raw, const pf_tensor *latents)
{
    const int64_t V = latents->dim[0], S = 8 * latents->dim[2], size = 3 * S * S;
    pf_tensor unscaled = {0}, host = {0};
    pf_err err;
    PF_TRY(pf_tensor_copy(&unscaled, latents));
    float *p = unscaled.data;
    for (int64_t i = 0, n = pf_tensor_count(latents); i < n; i++)
        p[i] /= (float)m->conf.model.scale_factor;
    if ((err = PF_TENSOR_NEW(&host, PF_F32, 1, S, S, 3)) ||
        (err = PF_TENSOR_NEW(pictures, PF_U8, V, S, S, 3)) ||
        (raw && (err = PF_TENSOR_NEW(raw, PF_F32, V, 3, S, S))))
        goto out;
    for (int64_t v = 0; v < V && !err; v++) {
        const pf_tensor one = rows(&unscaled, v, 1);
        err = decode_view(m, (uint8_t *)pictures->data + v * size,
                          raw ? (float *)raw->data + v * size : NULL, &host, &one);
    }
out:
    pf_tensor_release(&unscaled);
    pf_tensor_release(&host);
    return err;
}
