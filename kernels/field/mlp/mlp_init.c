/* mlp_init.c - makes the original's field (mlp.c): sizes, memory, initial values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/rng.h"
#include "kernels/field/mlp/mlp.h"

static pf_err
check(const char *name, int value, int lo, int hi)
{
    if (value < lo || value > hi)
        return pf_fail(PF_EARG, "neus.%s is %d, expected %d to %d", name, value, lo, hi);
    return PF_OK;
}

/* Sizes of every layer; slots of the tape, what forward needs first. */
static pf_err
plan(struct mlp *m, const struct pf_neus_config *conf)
{
    const int W = conf->sdf_width, F = conf->feature_dim, C = conf->color_width;
    PF_TRY(check("sdf_layers", conf->sdf_layers, 2, MAX_LAYERS - 1));
    PF_TRY(check("color_layers", conf->color_layers, 1, MAX_LAYERS - 1));
    PF_TRY(check("sdf_frequencies", conf->sdf_frequencies, 0, 16));
    PF_TRY(check("color_frequencies", conf->color_frequencies, 0, 16));
    PF_TRY(check("feature_dim", F, 1, 4096));
    PF_TRY(check("color_width", C, 1, 4096));
    m->sdf_freq = conf->sdf_frequencies;
    m->color_freq = conf->color_frequencies;
    m->encoded = 3 + 6 * m->sdf_freq;
    m->color_encoded = 3 + 6 * m->color_freq;
    PF_TRY(check("sdf_width", W, (int)m->encoded + 1, 4096));   /* the skip takes encoded of it */
    m->feature = F;
    m->sdf_layers = conf->sdf_layers + 1;
    m->color_layers = conf->color_layers + 1;
    m->skip = conf->sdf_layers / 2;
    for (int l = 0; l < m->sdf_layers; l++) {
        m->sdf[l].in = l ? W : m->encoded;
        m->sdf[l].out = l == m->sdf_layers - 1 ? 1 + F : l + 1 == m->skip ? W - m->encoded : W;
    }
    for (int l = 0; l < m->color_layers; l++) {
        m->color[l].in = l ? C : 6 + m->color_encoded + F;
        m->color[l].out = l == m->color_layers - 1 ? 3 : C;
    }
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *a = matrix(m, i);
        m->widest = a->in > m->widest ? a->in : m->widest;
        m->widest = a->out > m->widest ? a->out : m->widest;
    }
    return PF_OK;
}

static struct slot
take(struct mlp *m, int64_t width)
{
    const struct slot s = {m->width, width};
    m->width += (width + 3) / 4 * 4;            /* room for mlp.cu, whose rows start at 16 bytes */
    return s;
}

static void
lay_out(struct mlp *m)
{
    for (int i = 0; i < matrices(m); i++) {
        struct layer *a = matrix(m, i);
        a->x = take(m, a->in);
        if (i < m->sdf_layers - 1) {
            a->slope = take(m, a->out);
            a->u = take(m, a->out);
        }
    }
    m->frame = take(m, 8);
    m->rgb = take(m, 3);
    m->forward_width = m->width;
    for (int i = 0; i < matrices(m); i++) {
        struct layer *a = matrix(m, i);
        a->z_bar = take(m, a->out);
        if (i < m->sdf_layers)
            a->p_bar = take(m, a->in);
    }
    m->scratch_width = BLOCK * (4 * m->widest + m->forward_width);
}

static pf_err
add_param(struct mlp *m, struct pf_param **at, const char *network, int l, const char *what,
          int64_t rows_, int64_t columns)
{
    const int i = m->net.params++;
    struct pf_param *p = *at = &m->net.param[i];
    snprintf(m->name[i], sizeof(m->name[i]), "field.%s.lin%d.%s", network, l, what);
    *p = (struct pf_param){.name = m->name[i], .ndim = columns ? 2 : 1, .dim = {rows_, columns},
                           .n = rows_ * (columns ? columns : 1), .decay = true};
    p->value = calloc((size_t)p->n, sizeof(float));
    p->grad = calloc((size_t)p->n, sizeof(float));
    return p->value && p->grad ? PF_OK : pf_fail(PF_ENOMEM, "no memory for the field's parameters");
}

static pf_err
allocate(struct mlp *m)
{
    int64_t numbers = 0, rows_ = 0;
    for (int i = 0; i < matrices(m); i++) {
        numbers += 2 * matrix(m, i)->in * matrix(m, i)->out;
        rows_ += matrix(m, i)->out;
    }
    m->net.param = calloc((size_t)(3 * matrices(m)), sizeof(*m->net.param));
    m->name = calloc((size_t)(3 * matrices(m)), sizeof(*m->name));
    m->weights = calloc((size_t)numbers, sizeof(float));
    m->lengths = calloc((size_t)rows_, sizeof(double));
    if (!m->net.param || !m->name || !m->weights || !m->lengths)
        return pf_fail(PF_ENOMEM, "no memory for the field's parameters");
    float *w = m->weights;
    double *length = m->lengths;
    for (int i = 0; i < matrices(m); i++) {
        struct layer *a = matrix(m, i);
        const bool sdf = i < m->sdf_layers;
        const char *network = sdf ? "sdf" : "color";
        const int l = sdf ? i : i - m->sdf_layers;
        PF_TRY(add_param(m, &a->g, network, l, "weight_g", a->out, 1));
        PF_TRY(add_param(m, &a->v, network, l, "weight_v", a->out, a->in));
        PF_TRY(add_param(m, &a->b, network, l, "bias", a->out, 0));
        a->w = w;
        a->wt = w + a->in * a->out;
        w += 2 * a->in * a->out;
        a->length = length;
        length += a->out;
    }
    return PF_OK;
}

/* A sphere of radius 0.5 (field.md, 5): normal weights, no encoding but x itself at first. */
static void
init_sdf(const struct mlp *m, int l, uint64_t seed, uint64_t at)
{
    const struct layer *a = &m->sdf[l];
    const bool first = l == 0, last = l == m->sdf_layers - 1;
    const double mean = last ? sqrt(3.14159265358979323846 / (double)a->in) : 0;
    const double spread = last ? 1e-4 : sqrt(2.0 / (double)a->out);
    for (int64_t o = 0; o < a->out; o++)
        for (int64_t j = 0; j < a->in; j++) {
            const bool code = first ? j >= 3 : l == m->skip && j >= a->in - (m->encoded - 3);
            const int64_t k = o * a->in + j;
            const float z = pf_rng_normal(seed, PF_RNG_FIELD_INIT, at + (uint64_t)k);
            a->v->value[k] = code ? 0 : (float)(mean + spread * z);
        }
    for (int64_t o = 0; o < a->out && last; o++)
        a->b->value[o] = -0.5f;
}

/* torch's Linear: uniform within 1 / sqrt(in). */
static void
init_color(const struct layer *a, uint64_t seed, uint64_t at)
{
    const float range = (float)(1 / sqrt((double)a->in));
    const struct pf_param *params[2] = {a->v, a->b};
    for (int i = 0; i < 2; i++)
        for (int64_t k = 0; k < params[i]->n; k++) {
            const float u = pf_rng_uniform(seed, PF_RNG_FIELD_INIT, at++);
            params[i]->value[k] = range * (2 * u - 1);
        }
}

static void
init(struct mlp *m, uint64_t seed)
{
    uint64_t at = 0;
    for (int i = 0; i < matrices(m); i++) {
        const struct layer *a = matrix(m, i);
        if (i < m->sdf_layers)
            init_sdf(m, i, seed, at);
        else
            init_color(a, seed, at);
        at += (uint64_t)(a->v->n + a->b->n);
        for (int64_t o = 0; o < a->out; o++) {
            double sum = 0;
            for (int64_t j = 0; j < a->in; j++)
                sum += (double)a->v->value[o * a->in + j] * a->v->value[o * a->in + j];
            a->g->value[o] = (float)sqrt(sum);
        }
    }
}

void
pf_mlp_free(struct pf_net *net)
{
    struct mlp *m = (struct mlp *)net;
    if (!m)
        return;
    for (int i = 0; i < net->params && net->param; i++) {
        free(net->param[i].value);
        free(net->param[i].grad);
    }
    free(net->param);
    free(m->name);
    free(m->weights);
    free(m->lengths);
    free(m->tape);
    free(m->scratch);
    free(m);
}

pf_err
pf_mlp_new(struct pf_net **net, const struct pf_neus_config *conf, uint64_t seed)
{
    struct mlp *m = calloc(1, sizeof(*m));
    pf_err err;
    *net = NULL;
    if (!m)
        return pf_fail(PF_ENOMEM, "no memory for the field");
    m->net = (struct pf_net){.ops = &pf_mlp_ops, .bound = conf->bound, .chunk = CHUNK};
    if ((err = plan(m, conf)) != PF_OK)
        goto out;
    lay_out(m);
    if ((err = allocate(m)) != PF_OK)
        goto out;
    init(m, seed);
    *net = &m->net;
    return PF_OK;
out:
    pf_mlp_free(&m->net);
    return err;
}
