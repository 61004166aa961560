/* field.c - a field as a whole: its network, its document, and looking at it (field.h).
 *
 * The network lives on the host (mlp.c, hash.c); where the device is a GPU it has a twin there
 * (field_cuda.h) that does all the work. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/json.h"
#include "kernels/field/rays/composite.h"
#include "kernels/field/rays/density.h"
#include "kernels/field/field_cuda.h"
#include "kernels/field/rays/neus_sample.h"
#include "kernels/field/rays/occupancy.h"

enum { POINTS = 1 << 16, RAYS = 1 << 12 };      /* looked at together */

/* ---- config: what a document must say to rebuild the network ---- */

static int *
value_of(struct pf_neus_config *conf, const struct pf_net_key *k)
{
    return (int *)((char *)conf + k->at);
}

/* field.config as JSON; the caller frees.  NULL: no memory. */
static char *
config_text(const struct pf_field *f)
{
    struct pf_neus_config conf = f->conf;
    json_t *object = json_object();
    int bad = json_object_set_new(object, "kind", json_string(f->net->ops->kind));
    bad |= json_object_set_new(object, "bound", json_real(f->net->bound));
    bad |= json_object_set_new(object, "step", json_integer(f->step));
    for (const struct pf_net_key *k = f->net->ops->keys; k->name; k++)
        bad |= json_object_set_new(object, k->name, json_integer(*value_of(&conf, k)));
    char *text = bad ? NULL : pf_json_text(object, JSON_SORT_KEYS);
    json_decref(object);
    return text;
}

static pf_err
read_keys(struct pf_neus_config *conf, int *step, const json_t *object)
{
    const struct pf_net_ops *kind = pf_net_kind(json_string_value(json_object_get(object, "kind")));
    char names[128];
    const json_t *bound = json_object_get(object, "bound"), *at = json_object_get(object, "step");
    if (!kind)
        return pf_fail(PF_EFORMAT, "field.config: kind is not %s",
                       pf_net_kind_names(names, sizeof names));
    conf->field = kind->kind;
    conf->bound = json_number_value(bound);
    if (!json_is_number(bound) || !(conf->bound > 0 && conf->bound <= 100))
        return pf_fail(PF_EFORMAT, "field.config: bound is not a number over 0 and up to 100");
    if (!json_is_integer(at) || json_integer_value(at) < 0 || json_integer_value(at) > 1 << 30)
        return pf_fail(PF_EFORMAT, "field.config: step is not a whole number from 0 on");
    *step = (int)json_integer_value(at);
    for (const struct pf_net_key *k = kind->keys; k->name; k++) {
        const json_t *v = json_object_get(object, k->name);
        *value_of(conf, k) = 0;
        if (!v && k->late)
            continue;
        if (!json_is_integer(v) || json_integer_value(v) < k->lo || json_integer_value(v) > k->hi)
            return pf_fail(PF_EFORMAT, "field.config: %s is not a whole number from %d to %d",
                           k->name, k->lo, k->hi);
        *value_of(conf, k) = (int)json_integer_value(v);
    }
    return PF_OK;
}

static pf_err
read_config(struct pf_neus_config *conf, int *step, const pf_doc *doc)
{
    const char *text = pf_doc_get_meta(doc, "field.config");
    json_error_t where;
    if (!text)
        return pf_fail(PF_EFORMAT, "no field.config in the document: not a field of pf-neus");
    json_t *object = json_loads(text, 0, &where);
    if (!object)
        return pf_fail(PF_EFORMAT, "field.config is not JSON: %s", where.text);
    const pf_err err = read_keys(conf, step, object);
    json_decref(object);
    return err;
}

/* A document cannot ask for much more memory than it holds itself: what its sizes say about one
 * matrix or table of the network must be there. */
static pf_err
check_size(const struct pf_neus_config *conf, const pf_doc *doc)
{
    const int64_t needed = pf_net_kind(conf->field)->least_numbers(conf);
    int64_t there = 0;
    for (int i = 0; i < doc->tensors; i++)
        if (!strncmp(doc->tensor[i].name, "field.", 6))
            there += pf_tensor_count(&doc->tensor[i].t);
    if (needed > there)
        return pf_fail(PF_EFORMAT, "field.config asks for a network of over %lld numbers, the "
                       "field.* tensors hold %lld", (long long)needed, (long long)there);
    return PF_OK;
}

/* Nor for a grid that takes far more to fill than its network holds; one that could not be read
 * again is not trained either. */
static pf_err
check_grid(const struct pf_net_ops *kind, const struct pf_neus_config *conf)
{
    enum { CELL = sizeof(float) + sizeof(int32_t), NUMBER = 16 * sizeof(float) };  // of 16 levels
    const int64_t R = conf->occupancy_resolution, numbers = kind->least_numbers(conf);
    if (!kind->wants_grid || (uint64_t)(R * R * R) * CELL <= pf_budget(NUMBER * (uint64_t)numbers))
        return PF_OK;
    return pf_fail(PF_EARG, "neus.occupancy_resolution is %lld, too fine for a field of about %lld "
                   "numbers", (long long)R, (long long)numbers);
}

/* ---- life ---- */

pf_err
pf_field_new(pf_field **f, pf_dev *dev, const struct pf_neus_config *conf, uint64_t seed)
{
    const struct pf_net_ops *kind = pf_net_kind(conf->field);
    char names[128];
    pf_err err;
    *f = NULL;
    if (!kind)
        return pf_fail(PF_EARG, "neus.field is \"%s\", expected %s",
                       conf->field ? conf->field : "",
                       pf_net_kind_names(names, sizeof names));
    PF_TRY(check_grid(kind, conf));
    struct pf_field *to = calloc(1, sizeof(*to));
    if (!to)
        return pf_fail(PF_ENOMEM, "no memory for the field");
    to->dev = dev;
    to->conf = *conf;
    to->conf.field = kind->kind;
    to->variance = 0.3f;
    err = kind->create(&to->net, conf, seed);
    if (PF_CUDA && err == PF_OK && dev && pf_dev_is_cuda(dev))
        err = pf_field_cuda_new(to);
    if (err != PF_OK) {
        pf_field_free(to);
        return err;
    }
    *f = to;
    return PF_OK;
}

void
pf_field_free(pf_field *f)
{
    if (!f)
        return;
    if (PF_CUDA && f->cuda)
        pf_field_cuda_free(f);
    pf_occupancy_free(f->occupancy);
    if (f->net)
        f->net->ops->free(f->net);
    free(f);
}

const char *
pf_field_kind(const pf_field *f)
{
    return f->net->ops->kind;
}

double
pf_field_bound(const pf_field *f)
{
    return f->net->bound;
}

float
pf_field_inv_s(const pf_field *f)
{
    const double s = exp(10 * (double)f->variance);
    return (float)(s < 1e-6 ? 1e-6 : s < 1e6 ? s : 1e6);
}

/* ---- documents ---- */

pf_err
pf_field_read_tensor(float *to, const pf_doc *doc, const char *name, int ndim, const int64_t *dim)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, name, PF_F32, ndim, dim, &t));
    const float *from = t.data;
    const int64_t n = pf_tensor_count(&t);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(from[i]))
            return pf_fail(PF_EFORMAT, "%s: element %lld is not finite", name, (long long)i);
    memcpy(to, from, (size_t)n * sizeof(float));
    return PF_OK;
}

pf_err
pf_field_read(pf_field *f, const pf_doc *doc)
{
    struct pf_neus_config conf = f->conf;
    int step;
    PF_TRY(read_config(&conf, &step, doc));
    if (pf_net_kind(conf.field) != f->net->ops)
        return pf_fail(PF_EARG, "the document's field is of kind %s, the config's is %s",
                       conf.field, f->conf.field);
    if (conf.bound != f->conf.bound)
        return pf_fail(PF_EARG, "the document's field has bound %g, the config says %g",
                       conf.bound, f->conf.bound);
    for (const struct pf_net_key *k = f->net->ops->keys; k->name; k++)
        if (*value_of(&conf, k) != *value_of(&f->conf, k))
            return pf_fail(PF_EARG, "the document's field has %s %d, the config says %d",
                           k->name, *value_of(&conf, k), *value_of(&f->conf, k));
    for (int i = 0; i < f->net->params; i++) {
        const struct pf_param *p = &f->net->param[i];
        PF_TRY(pf_field_read_tensor(p->value, doc, p->name, p->ndim, p->dim));
    }
    PF_TRY(pf_field_read_tensor(&f->variance, doc, "field.variance", 0, NULL));
    f->step = step;
    f->net->ops->set_step(f->net, step);
    pf_field_changed(f);
    return PF_OK;
}

pf_err
pf_field_load(pf_field **f, pf_dev *dev, const pf_doc *doc, const struct pf_neus_config *rest)
{
    struct pf_neus_config conf = *rest;
    int step;
    *f = NULL;
    PF_TRY(read_config(&conf, &step, doc));
    PF_TRY(check_size(&conf, doc));
    PF_TRY(pf_field_new(f, dev, &conf, 0));
    const pf_err err = pf_field_read(*f, doc);
    if (err != PF_OK) {
        pf_field_free(*f);
        *f = NULL;
    }
    return err;
}

pf_err
pf_field_save(const pf_field *f, pf_doc *doc)
{
    const pf_tensor variance = pf_tensor_view((void *)&f->variance, PF_F32, 0, NULL);
    char *config = config_text(f);
    pf_err err;
    if (!config)
        return pf_fail(PF_ENOMEM, "no memory for field.config");
    err = pf_doc_set_meta(doc, "field.config", config);
    free(config);
    PF_TRY(err);
    if (PF_CUDA && f->cuda)
        PF_TRY(pf_field_cuda_fetch(f));
    PF_TRY(pf_doc_set_meta(doc, "pf.kind", "field"));
    for (int i = 0; i < f->net->params; i++) {
        const struct pf_param *p = &f->net->param[i];
        const pf_tensor t = pf_tensor_view(p->value, PF_F32, p->ndim, p->dim);
        PF_TRY(pf_doc_put(doc, p->name, &t));
    }
    return pf_doc_put(doc, "field.variance", &variance);
}

/* ---- looking at it ---- */

void
pf_field_changed(pf_field *f)
{
    pf_occupancy_free(f->occupancy);
    f->occupancy = NULL;
    if (PF_CUDA && f->cuda)
        pf_field_cuda_changed(f);
}

pf_err
pf_field_need_surface(const pf_field *f)
{
    if (!f->net->ops->density_grid)
        return PF_OK;
    return pf_fail(PF_EARG, "a field of kind %s has no surface: it is for films, by "
                   "pf-render-video", f->net->ops->kind);
}

pf_err
pf_field_sdf(pf_field *f, float *sdf, const float *x, int64_t n)
{
    PF_TRY(pf_field_need_surface(f));
    if (PF_CUDA && f->cuda)
        return pf_field_cuda_eval(f, sdf, NULL, NULL, x, NULL, n);
    return f->net->ops->sdf(f->net, sdf, x, n);
}

pf_err
pf_field_eval(pf_field *f, float *sdf, float *grad, float *rgb, const float *x, const float *dir,
              int64_t n)
{
    pf_err err = PF_OK;
    PF_TRY(pf_field_need_surface(f));
    if (PF_CUDA && f->cuda)
        return pf_field_cuda_eval(f, sdf, grad, rgb, x, dir, n);
    if (!grad && !rgb)
        return sdf ? pf_field_sdf(f, sdf, x, n) : PF_OK;
    float *spare = malloc(4 * POINTS * sizeof(float));
    if (!spare)
        return pf_fail(PF_ENOMEM, "no memory to evaluate a field");
    for (int64_t i = 0; i < n && err == PF_OK; i += POINTS)
        err = f->net->ops->forward(f->net, sdf ? sdf + i : spare,
                                   grad ? grad + 3 * i : spare + POINTS, rgb ? rgb + 3 * i : NULL,
                                   x + 3 * i, dir ? dir + 3 * i : NULL,
                                   n - i < POINTS ? n - i : POINTS, false);
    free(spare);
    return err;
}

pf_err
pf_field_sample(pf_field *f, struct pf_occupancy *o, struct pf_samples *s, const float *origin,
                const float *dir, int64_t rays, const float *offset, uint64_t seed, int step)
{
    if (f->net->ops->density_grid) {
        struct pf_density_grid g;
        PF_TRY(f->net->ops->density_grid(f->net, &g, offset != NULL, seed, step));
        return pf_density_sample(s, &g, origin, dir, rays);
    }
    if (o)
        return pf_occupancy_sample(o, s, origin, dir, rays, pf_field_inv_s(f), offset != NULL, seed,
                                   step);
    const struct pf_neus_sampler sampler = pf_neus_sampler_of(&f->conf);
    return pf_neus_sample(f->net, &sampler, s, origin, dir, rays, offset);
}

struct view {                   /* of some rays, reused */
    struct pf_samples s;
    struct pf_neus_out out;
    float *value;               /* [room, 7]: sdf, gradient, colour */
    int64_t room;
};

static pf_err
render_slice(pf_field *f, struct view *v, const float *origin, const float *dir, int64_t rays)
{
    PF_TRY(pf_field_sample(f, f->occupancy, &v->s, origin, dir, rays, NULL, 0, 0));
    const int64_t n = v->s.n;
    PF_TRY(pf_neus_out_reserve(&v->out, rays, n));
    if (n > v->room || !v->value) {
        free(v->value);
        v->room = 0;
        v->value = malloc((size_t)(n ? n : 1) * 7 * sizeof(float));
        if (!v->value)
            return pf_fail(PF_ENOMEM, "no memory to render %lld points", (long long)n);
        v->room = n;
    }
    float *sdf = v->value, *grad = f->net->ops->density_grid ? NULL : sdf + n, *rgb = sdf + 4 * n;
    if (n)
        PF_TRY(f->net->ops->forward(f->net, sdf, grad, rgb, v->s.x, v->s.dir, n, false));
    pf_neus_composite_forward(&v->out, &v->s, sdf, grad, rgb, pf_field_inv_s(f), 1);
    return PF_OK;
}

static pf_err
update_grid(pf_field *f)
{
    if (f->occupancy || !f->net->ops->wants_grid)
        return PF_OK;
    PF_TRY(pf_occupancy_new(&f->occupancy, &f->conf));
    return pf_occupancy_update(f->occupancy, f->net, -1);
}

pf_err
pf_field_render(pf_field *f, float *rgb, float *opacity, float *normal, const float *origin,
                const float *dir, int64_t n)
{
    struct view v = {0};
    if (PF_CUDA && f->cuda)
        return pf_field_cuda_render(f, rgb, opacity, normal, origin, dir, n);
    pf_err err = update_grid(f);
    for (int64_t i = 0; i < n && err == PF_OK; i += RAYS) {
        const int64_t rays = n - i < RAYS ? n - i : RAYS;
        err = render_slice(f, &v, origin + 3 * i, dir + 3 * i, rays);
        if (err == PF_OK && rgb)
            memcpy(rgb + 3 * i, v.out.rgb, (size_t)rays * 3 * sizeof(float));
        if (err == PF_OK && opacity)
            memcpy(opacity + i, v.out.mask, (size_t)rays * sizeof(float));
        if (err == PF_OK && normal)
            memcpy(normal + 3 * i, v.out.normal, (size_t)rays * 3 * sizeof(float));
    }
    pf_samples_release(&v.s);
    pf_neus_out_release(&v.out);
    free(v.value);
    return err;
}
