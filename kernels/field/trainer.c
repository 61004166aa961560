/* trainer.c - fits a field to posed views (field.md, 6 and 7): batches of rays, losses, AdamW.
 *
 * What a step does follows from the parameters, the moments, the step's number and the seed alone:
 * batches and offsets are functions of the last two, so a checkpoint holds nothing else, and a
 * resumed run gives the same bytes as one that was never stopped. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/field/adam.h"
#include "kernels/field/rays/composite.h"
#include "kernels/field/field_cuda.h"
#include "kernels/field/rays/occupancy.h"
#include "kernels/field/rays/ray.h"

enum { WHITE = 253 };   /* a pixel with all channels over 0.99 is background (field.md, 7) */

struct pf_trainer {
    struct pf_field *field;     /* borrowed */
    struct pf_neus_config conf;
    uint64_t seed;
    int step;
    uint32_t *object;           /* pixels that are not white */
    struct pf_batch batch;      /* of the current step */
    float *d_color, *d_mask;    /* [rays, ...] */
    float **m, **v;             /* [params] moments */
    float variance_m, variance_v;
    struct tones {              /* each view's own; NULL: lr_tone is 0 */
        int64_t n;              /* PF_TONE for each view */
        float *value, *m, *v, *grad;
        float *part;            /* [rays, PF_TONE] */
    } tones;
    struct pf_occupancy *occupancy;     /* NULL: its kind wants none */
    struct pf_samples samples;
    struct pf_neus_out out;
    float *point;               /* [point_room, 14] values and cotangents */
    int64_t point_room;
    struct pf_trainer_cuda *cuda;       /* the same on the field's GPU, which then does the work */
};

/* ---- pools: shuffled without being stored (batch.h) ---- */

static pf_err
make_pools(struct pf_trainer *t)
{
    struct pf_batch *b = &t->batch;
    const int64_t n = (int64_t)b->views.views * b->views.width * b->views.height;
    int64_t k = 0;
    t->object = malloc((size_t)n * sizeof(*t->object));
    if (!t->object)
        return pf_fail(PF_ENOMEM, "no memory for %lld pixels", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *c = b->views.image + 3 * i;
        if (c[0] < WHITE || c[1] < WHITE || c[2] < WHITE)
            t->object[k++] = (uint32_t)i;
    }
    const int64_t rays = t->conf.batch_rays, more = t->conf.foreground_rays;
    b->all = (struct pf_pool){n, rays < n ? rays : n, NULL, 0};
    b->foreground = (struct pf_pool){k, more < k ? more : k, t->object, 1};
    b->rays = b->all.take + b->foreground.take;
    b->coarse_samples = t->conf.coarse_samples;
    return PF_OK;
}

/* ---- one step ---- */

double
pf_neus_rate(const struct pf_neus_config *conf, int step)
{
    const int warm = conf->warm_up;
    if (step < warm)
        return 0.02 + 0.98 * step / warm;
    return pf_net_kind(conf->field)->rate(conf, step);
}

double
pf_trainer_rate(const pf_trainer *t)
{
    return t->conf.lr * pf_neus_rate(&t->conf, t->step);
}

static float
annealed(const struct pf_trainer *t)
{
    const int steps = t->conf.anneal_steps;
    return t->step < steps ? (float)t->step / (float)steps : 1;
}

static pf_err
reserve_points(struct pf_trainer *t, int64_t n)
{
    if (n <= t->point_room)
        return PF_OK;
    free(t->point);
    t->point_room = 0;
    t->point = malloc((size_t)n * 14 * sizeof(float));
    if (!t->point)
        return pf_fail(PF_ENOMEM, "no memory for %lld points", (long long)n);
    t->point_room = n;
    return PF_OK;
}

/* What rays from..  say of their views' tones is added to these. */
static void
add_tones(struct pf_trainer *t, int64_t from, int64_t rays)
{
    for (int64_t i = 0; i < PF_TONE * rays; i++)
        t->tones.grad[PF_TONE * t->batch.view[from + i / PF_TONE] + i % PF_TONE] +=
            t->tones.part[i];
}

/* Forward and backward through rays from..to-1 of the batch. */
static pf_err
run_slice(struct pf_trainer *t, int64_t from, int64_t to, const struct pf_loss_weights *w,
          struct pf_loss_sums *sums)
{
    const struct pf_samples s = pf_samples_slice(&t->samples, from, to);
    const struct pf_net_ops *ops = t->field->net->ops;
    const struct pf_batch *b = &t->batch;
    const float inv_s = pf_field_inv_s(t->field), ratio = annealed(t);
    float *d_color = t->d_color + 3 * from, *d_mask = t->d_mask + from;
    PF_TRY(pf_neus_out_reserve(&t->out, s.rays, s.n));
    PF_TRY(reserve_points(t, s.n));
    float *sdf = t->point, *grad = ops->density_grid ? NULL : sdf + s.n, *rgb = sdf + 4 * s.n;
    float *d_sdf = rgb + 3 * s.n, *d_grad = d_sdf + s.n, *d_rgb = d_grad + 3 * s.n;
    if (s.n)
        PF_TRY(ops->forward(t->field->net, sdf, grad, rgb, s.x, s.dir, s.n, true));
    pf_neus_composite_forward(&t->out, &s, sdf, grad, rgb, inv_s, ratio);
    const struct pf_tones tones = {t->tones.value, b->view + from, t->tones.part};
    pf_neus_loss(sums, d_color, d_mask, &t->out, b->rgb + 3 * from, b->mask + from,
                 t->tones.value ? &tones : NULL, s.rays, w);
    if (t->tones.value)
        add_tones(t, from, s.rays);
    pf_neus_composite_backward(d_sdf, d_grad, d_rgb, &sums->d_inv_s, &t->out, &s, sdf, grad, rgb,
                               inv_s, ratio, d_color, d_mask);
    if (grad)
        pf_neus_eikonal(sums, d_grad, grad, s.n, w);
    return s.n ? ops->backward(t->field->net, d_sdf, d_grad, d_rgb) : PF_OK;
}

/* Losses that ask no ray, for what no view sees: the surface is small, so that it is closed flat
 * and not around all that could hide behind the object; its distance has slope one there too; and
 * it keeps off the faces of the cube, whose part inside the object would be no surface and cost
 * nothing. */
static pf_err
point_losses(struct pf_trainer *t, const struct pf_loss_weights *w, struct pf_loss_sums *sums)
{
    const struct pf_net_ops *ops = t->field->net->ops;
    const int64_t n = w->area_points, walls = w->wall_points, all = n + walls;
    const float width = PF_AREA_WIDTH * pf_occupancy_cell(t->occupancy);
    PF_TRY(reserve_points(t, all));
    float *x = t->point, *sdf = x + 3 * all, *grad = sdf + all;
    float *d_sdf = grad + 3 * all, *d_grad = d_sdf + all;
    const double volume =
        pf_occupancy_near(t->occupancy, x, n, PF_AREA_REACH * width, t->seed, t->step);
    if (volume == 0)
        return PF_OK;
    pf_occupancy_walls(t->occupancy, x + 3 * n, walls, t->seed, t->step);
    PF_TRY(ops->forward(t->field->net, sdf, grad, NULL, x, NULL, all, true));
    pf_neus_area(sums, d_sdf, d_grad, sdf, grad, n, volume, width, w->lambda_area);
    pf_neus_eikonal(sums, d_grad, grad, n, w);
    pf_neus_outside(sums, d_sdf + n, sdf + n, walls, width, w);
    memset(d_grad + 3 * n, 0, (size_t)walls * 3 * sizeof(float));
    return ops->backward(t->field->net, d_sdf, d_grad, NULL);
}

/* Draws the batch, and sums its losses; the gradients of the parameters are left in the network. */
static pf_err
gradients(struct pf_trainer *t, struct pf_loss_weights *w, struct pf_loss_sums *sums)
{
    const struct pf_net *net = t->field->net;
    const struct pf_batch *b = &t->batch;
    const struct pf_samples *s = &t->samples;
    if (t->occupancy)
        PF_TRY(pf_occupancy_update(t->occupancy, t->field->net, t->step));
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < b->rays; r++)
        pf_batch_draw(b, r, t->seed, t->step);
    PF_TRY(pf_field_sample(t->field, t->occupancy, &t->samples, b->origin, b->dir, b->rays,
                           b->offset, t->seed, t->step));
    *w = pf_loss_weights_of(&t->conf, t->occupancy != NULL, annealed(t), s->rays, s->n, s->slots);
    for (int i = 0; i < net->params; i++)
        memset(net->param[i].grad, 0, (size_t)net->param[i].n * sizeof(float));
    if (t->tones.value)
        memset(t->tones.grad, 0, (size_t)t->tones.n * sizeof(float));
    for (int64_t from = 0, to; from < s->rays; from = to) {
        to = pf_samples_slice_end(s->first, s->rays, from, net->chunk);
        PF_TRY(run_slice(t, from, to, w, sums));
    }
    return w->area_points ? point_losses(t, w, sums) : PF_OK;
}

pf_err
pf_trainer_gradients(pf_trainer *t, struct pf_field_losses *losses, float *d_variance)
{
    const float inv_s = pf_field_inv_s(t->field);
    struct pf_loss_weights w;
    struct pf_loss_sums sums = {0};
    t->field->net->ops->set_step(t->field->net, t->step);
    PF_TRY(PF_CUDA && t->cuda ? pf_trainer_cuda_gradients(t->cuda, &w, &sums, annealed(t), t->step,
                                                          t->seed)
                              : gradients(t, &w, &sums));
    *d_variance = inv_s > 1e-6f && inv_s < 1e6f ? (float)(10 * inv_s * sums.d_inv_s) : 0;
    *losses = (struct pf_field_losses){
        .total = (float)(w.lambda_rgb * sums.rgb + w.lambda_mask * sums.mask +
                         w.lambda_eikonal * sums.eikonal + w.lambda_area * sums.area),
        .rgb = (float)sums.rgb,
        .mask = (float)sums.mask,
        .eikonal = (float)sums.eikonal,
        .psnr = (float)(-10 * log10(sums.square / (3 * (double)w.rays) + 1e-12)),
        .rays = w.rays,
    };
    return PF_OK;
}

/* The views' mean tone stays 0: it is the field's to say how bright the object is. */
static void
update_tones(struct pf_trainer *t, const struct pf_adamw *adamw)
{
    const int64_t views = t->tones.n / PF_TONE;
    pf_adamw(t->tones.value, t->tones.grad, t->tones.m, t->tones.v, t->tones.n, t->step + 1, adamw);
    for (int k = 0; k < PF_TONE; k++)
        pf_tone_centre(t->tones.value + k, views);
}

static pf_err
update(struct pf_trainer *t, float d_variance)
{
    const struct pf_net_ops *ops = t->field->net->ops;
    const struct pf_adamw adamw = {.lr = pf_trainer_rate(t), .beta1 = 0.9, .beta2 = 0.999,
                                   .eps = ops->adam_eps, .decay = 0.01};
    struct pf_adamw of_variance = adamw;
    for (int i = 0; i < t->field->net->params && !t->cuda; i++) {
        const struct pf_param *p = &t->field->net->param[i];
        struct pf_adamw of_param = adamw;
        of_param.decay = p->decay ? adamw.decay : 0;
        pf_adamw(p->value, p->grad, t->m[i], t->v[i], p->n, t->step + 1, &of_param);
    }
    of_variance.lr *= ops->variance_rate ? t->conf.lr_variance : 1;
    pf_adamw(&t->field->variance, &d_variance, &t->variance_m, &t->variance_v, 1, t->step + 1,
             &of_variance);
    struct pf_adamw of_tones = adamw;
    of_tones.lr *= t->conf.lr_tone;
    of_tones.decay = 0;
    if (t->tones.value && !t->cuda)
        update_tones(t, &of_tones);
    t->field->step = ++t->step;
    if (PF_CUDA && t->cuda)
        return pf_trainer_cuda_update(t->cuda, &adamw, &of_tones, t->step);
    pf_field_changed(t->field);
    return PF_OK;
}

pf_err
pf_trainer_fetch_gradients(pf_trainer *t)
{
    return PF_CUDA && t->cuda ? pf_trainer_cuda_fetch_gradients(t->cuda) : PF_OK;
}

pf_err
pf_trainer_step(pf_trainer *t, struct pf_field_losses *losses)
{
    float d_variance = 0;
    PF_TRY(pf_trainer_gradients(t, losses, &d_variance));
    if (isfinite(losses->total))                /* a field that has diverged is kept for a look */
        PF_TRY(update(t, d_variance));
    return PF_OK;
}

/* ---- life ---- */

static pf_err
allocate_tones(struct pf_trainer *t)
{
    const int64_t n = t->tones.n = PF_TONE * (int64_t)t->batch.views.views;
    float *a = calloc((size_t)(4 * n + PF_TONE * t->batch.rays), sizeof *a);
    if (!a)
        return pf_fail(PF_ENOMEM, "no memory for the views' tones");
    t->tones = (struct tones){n, a, a + n, a + 2 * n, a + 3 * n, a + 4 * n};
    return PF_OK;
}

static pf_err
allocate(struct pf_trainer *t)
{
    const struct pf_net *net = t->field->net;
    const size_t rays = (size_t)t->batch.rays;
    float *b = malloc(rays * 15 * sizeof(float));
    t->batch.origin = b;
    t->m = calloc((size_t)net->params, sizeof(*t->m));
    t->v = calloc((size_t)net->params, sizeof(*t->v));
    if (!b || !t->m || !t->v)
        return pf_fail(PF_ENOMEM, "no memory for the trainer");
    t->batch.dir = b + 3 * rays;
    t->batch.rgb = b + 6 * rays;
    t->d_color = b + 9 * rays;
    if (!(t->batch.view = malloc(rays * sizeof *t->batch.view)))
        return pf_fail(PF_ENOMEM, "no memory for the trainer");
    t->batch.offset = b + 12 * rays;
    t->batch.mask = b + 13 * rays;
    t->d_mask = b + 14 * rays;
    for (int i = 0; i < net->params; i++) {
        t->m[i] = calloc((size_t)net->param[i].n, sizeof(float));
        t->v[i] = calloc((size_t)net->param[i].n, sizeof(float));
        if (!t->m[i] || !t->v[i])
            return pf_fail(PF_ENOMEM, "no memory for the optimiser's moments");
    }
    return PF_OK;
}

pf_err
pf_trainer_new(pf_trainer **to, pf_field *f, const struct pf_field_views *views,
               const struct pf_neus_config *conf, uint64_t seed)
{
    pf_err err;
    *to = NULL;
    if (views->views < 1 || views->width < 1 || views->height < 1 || views->views > 1 << 16 ||
        views->width > 4096 || views->height > 4096 ||
        (int64_t)views->views * views->width * views->height > INT32_MAX)
        return pf_fail(PF_ESHAPE, "%d views of %d x %d pixels cannot be trained on", views->views,
                       views->width, views->height);
    struct pf_trainer *t = calloc(1, sizeof(*t));
    if (!t)
        return pf_fail(PF_ENOMEM, "no memory for the trainer");
    t->field = f;
    t->batch.views = *views;
    t->conf = *conf;
    t->conf.field = f->conf.field;
    t->seed = seed;
    if ((err = make_pools(t)) != PF_OK || (err = allocate(t)) != PF_OK)
        goto out;
    if (conf->lr_tone > 0 && (err = allocate_tones(t)) != PF_OK)
        goto out;
    if (f->net->ops->wants_grid && (err = pf_occupancy_new(&t->occupancy, &f->conf)) != PF_OK)
        goto out;
    if (PF_CUDA && f->cuda &&
        (err = pf_trainer_cuda_new(&t->cuda, f, &t->conf, &t->batch)) != PF_OK)
        goto out;
    *to = t;
    return PF_OK;
out:
    pf_trainer_free(t);
    return err;
}

void
pf_trainer_free(pf_trainer *t)
{
    if (!t)
        return;
    if (PF_CUDA && t->cuda)
        pf_trainer_cuda_free(t->cuda);
    for (int i = 0; i < t->field->net->params; i++) {
        if (t->m)
            free(t->m[i]);
        if (t->v)
            free(t->v[i]);
    }
    free(t->m);
    free(t->v);
    free(t->object);
    free(t->batch.origin);
    free(t->batch.view);
    free(t->tones.value);
    free(t->point);
    pf_occupancy_free(t->occupancy);
    pf_samples_release(&t->samples);
    pf_neus_out_release(&t->out);
    free(t);
}

int
pf_trainer_steps_done(const pf_trainer *t)
{
    return t->step;
}

/* ---- checkpoints ---- */

/* "train.m.sdf.lin0.bias" for "field.sdf.lin0.bias". */
static const char *
moment_name(char name[128], char which, const char *param)
{
    snprintf(name, 128, "train.%c.%s", which, param + strlen("field."));
    return name;
}

pf_err
pf_trainer_save(const pf_trainer *t, pf_doc *doc)
{
    int64_t step = t->step, seed = (int64_t)t->seed;
    const pf_tensor steps = PF_VIEW(&step, PF_I64, 1), seeds = PF_VIEW(&seed, PF_I64, 1);
    const pf_tensor m = pf_tensor_view((void *)&t->variance_m, PF_F32, 0, NULL);
    const pf_tensor v = pf_tensor_view((void *)&t->variance_v, PF_F32, 0, NULL);
    char name[128];
    PF_TRY(pf_field_save(t->field, doc));
    if (PF_CUDA && t->cuda)
        PF_TRY(pf_trainer_cuda_exchange(t->cuda, t->m, t->v, pf_occupancy_distances(t->occupancy),
                                        false));
    for (int i = 0; i < t->field->net->params; i++) {
        const struct pf_param *p = &t->field->net->param[i];
        const pf_tensor pm = pf_tensor_view(t->m[i], PF_F32, p->ndim, p->dim);
        const pf_tensor pv = pf_tensor_view(t->v[i], PF_F32, p->ndim, p->dim);
        PF_TRY(pf_doc_put(doc, moment_name(name, 'm', p->name), &pm));
        PF_TRY(pf_doc_put(doc, moment_name(name, 'v', p->name), &pv));
    }
    if (t->tones.value) {
        const pf_tensor tones = PF_VIEW(t->tones.value, PF_F32, 3, t->tones.n);
        if (PF_CUDA && t->cuda)
            PF_TRY(pf_trainer_cuda_exchange_tones(t->cuda, t->tones.value, false));
        PF_TRY(pf_doc_put(doc, "train.tones", &tones));
    }
    PF_TRY(pf_doc_put(doc, "train.m.variance", &m));
    PF_TRY(pf_doc_put(doc, "train.v.variance", &v));
    PF_TRY(pf_doc_put(doc, "train.step", &steps));
    PF_TRY(pf_doc_put(doc, "train.seed", &seeds));
    return t->occupancy ? pf_occupancy_save(t->occupancy, doc) : PF_OK;
}

static pf_err
read_number(int64_t *n, const pf_doc *doc, const char *name)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, name, PF_I64, 1, (int64_t[]){1}, &t));
    memcpy(n, t.data, sizeof(*n));
    return PF_OK;
}

pf_err
pf_trainer_load(pf_trainer *t, const pf_doc *doc)
{
    int64_t step, seed;
    char name[128];
    PF_TRY(read_number(&step, doc, "train.step"));
    PF_TRY(read_number(&seed, doc, "train.seed"));
    if (step < 0 || step > 1 << 30)
        return pf_fail(PF_EFORMAT, "train.step is %lld", (long long)step);
    PF_TRY(pf_field_read(t->field, doc));
    for (int i = 0; i < t->field->net->params; i++) {
        const struct pf_param *p = &t->field->net->param[i];
        moment_name(name, 'm', p->name);
        PF_TRY(pf_field_read_tensor(t->m[i], doc, name, p->ndim, p->dim));
        moment_name(name, 'v', p->name);
        PF_TRY(pf_field_read_tensor(t->v[i], doc, name, p->ndim, p->dim));
    }
    if (t->tones.value) {
        PF_TRY(pf_field_read_tensor(t->tones.value, doc, "train.tones", 2,
                                    (int64_t[]){3, t->tones.n}));
        if (PF_CUDA && t->cuda)
            PF_TRY(pf_trainer_cuda_exchange_tones(t->cuda, t->tones.value, true));
    }
    PF_TRY(pf_field_read_tensor(&t->variance_m, doc, "train.m.variance", 0, NULL));
    PF_TRY(pf_field_read_tensor(&t->variance_v, doc, "train.v.variance", 0, NULL));
    t->step = t->field->step = (int)step;
    t->seed = (uint64_t)seed;
    if (t->occupancy)
        PF_TRY(pf_occupancy_load(t->occupancy, doc));
    if (PF_CUDA && t->cuda)
        return pf_trainer_cuda_exchange(t->cuda, t->m, t->v, pf_occupancy_distances(t->occupancy),
                                        true);
    return PF_OK;
}
