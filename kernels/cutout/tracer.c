/* tracer.c - see tracer.h; the sections are those of networks.md. */
#include "kernels/cutout/tracer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cutout/parameters.h"
#include "kernels/cutout/watch.h"

enum { STAGES = 7, STEM = 64, UNION = PF_TRACER_UNION, BRANCHES = 4 };

/* The table of 5.1: padding is before and behind the depthwise convolution of the first block. */
static const struct plan {
    int blocks, kernel, stride, expand, in, out, before, after;
} plans[STAGES] = {
    {4, 3, 1, 1, 64, 32, 1, 1},    {7, 3, 2, 6, 32, 48, 0, 1},    {7, 5, 2, 6, 48, 80, 1, 2},
    {10, 3, 2, 6, 80, 160, 1, 1},  {10, 5, 1, 6, 160, 224, 2, 2}, {13, 5, 2, 6, 224, 384, 1, 2},
    {4, 3, 1, 6, 384, 640, 1, 1},
};
/* The stages whose results the decoder takes, and their channels there. */
enum { F0 = 1, F1 = 2, F2 = 4, F3 = 6 };
static const struct {
    const char *name;
    int stage, out;
} fields[3] = {{"rfb2", F1, 32}, {"rfb3", F2, 64}, {"rfb4", F3, 128}};
/* In the order in which they run. */
static const struct {
    const char *name;
    int stage;
} objects[2] = {{"ObjectAttention2", F1}, {"ObjectAttention1", F0}};

static const double EPS_ENCODER = 1e-3, EPS_DECODER = 1e-5;

/* ---- parameters ---- */

struct source {
    pf_dev *dev;
    pf_checkpoint *weights;
};

bool
pf_tracer_recognise(const pf_checkpoint *weights)
{
    return pf_checkpoint_has(weights, "encoder._conv_stem.weight");
}

/* PREFIX.CONV [K, C, h, w] with the norm PREFIX.NORM behind it; without one it has a bias.  C is 1
 * for a depthwise one alone. */
static pf_err
load(pf_layer **layer, const struct source *from, const char *prefix, const char *conv,
     const char *norm, int64_t K, int64_t C, int64_t h, int64_t w)
{
    char name[96], norm_name[96];
    struct pf_conv_parameters p;
    snprintf(name, sizeof name, "%s.%s", prefix, conv);
    snprintf(norm_name, sizeof norm_name, "%s.%s", prefix, norm ? norm : "");
    const struct pf_conv_names names = {
        .conv = name,
        .norm = norm ? norm_name : NULL,
        .eps = prefix[0] == 'e' ? EPS_ENCODER : EPS_DECODER,
        .has_bias = !norm,
        .dim = {K, C, h, w},
    };
    PF_TRY(pf_conv_read(&p, from->weights, &names));
    const pf_err err = C == 1 ? pf_layer_new_depthwise(from->dev, layer, &p.weight, &p.bias)
                              : pf_layer_new_slice(from->dev, layer, &p.weight, &p.bias, 0, C);
    pf_conv_parameters_release(&p);
    return err;
}

/* A convolution with its norm, PREFIX.conv and PREFIX.bn. */
static pf_err
load_unit(pf_layer **layer, const struct source *from, const char *prefix, int64_t K, int64_t C,
          int64_t h, int64_t w)
{
    return load(layer, from, prefix, "conv", "bn", K, C, h, w);
}

/* Block k of a stage, number i of all. */
static pf_err
load_block(struct pf_tracer_block *b, const struct source *from, const struct plan *p, int k, int i)
{
    char name[32];
    const int in = k ? p->out : p->in, mid = in * p->expand, squeezed = in / 4;
    snprintf(name, sizeof name, "encoder._blocks.%d", i);
    if (p->expand > 1)
        PF_TRY(load(&b->expand, from, name, "_expand_conv", "_bn0", mid, in, 1, 1));
    PF_TRY(load(&b->depthwise, from, name, "_depthwise_conv", "_bn1", mid, 1, p->kernel,
                p->kernel));
    PF_TRY(load(&b->reduce, from, name, "_se_reduce", NULL, squeezed, mid, 1, 1));
    PF_TRY(load(&b->excite, from, name, "_se_expand", NULL, mid, squeezed, 1, 1));
    return load(&b->project, from, name, "_project_conv", "_bn2", p->out, mid, 1, 1);
}

static pf_err
load_encoder(pf_tracer *net, const struct source *from)
{
    int i = 0;
    PF_TRY(load(&net->stem, from, "encoder", "_conv_stem", "_bn0", STEM, 3, 3, 3));
    for (int s = 0; s < STAGES; s++)
        for (int k = 0; k < plans[s].blocks; k++, i++)
            PF_TRY(load_block(&net->block[i], from, &plans[s], k, i));
    return PF_OK;
}

/* The rows and columns of step k of a branch whose dilation is d. */
static int
rows_of(int k, int d)
{
    return k == 2 ? d : k == 3 ? 3 : 1;
}

static int
columns_of(int k, int d)
{
    return k == 1 ? d : k == 3 ? 3 : 1;
}

static pf_err
load_field(struct pf_tracer_field *f, const struct source *from, const char *field, int in, int out)
{
    char name[48];
    for (int b = 0; b < BRANCHES; b++)
        for (int k = 0; k < (b ? 4 : 1); k++) {
            const int d = 2 * b + 1;
            snprintf(name, sizeof name, "%s.branch%d.%d", field, b, k);
            PF_TRY(load_unit(&f->branch[b][k], from, name, out, k ? out : in, rows_of(k, d),
                             columns_of(k, d)));
        }
    snprintf(name, sizeof name, "%s.conv_cat", field);
    PF_TRY(load_unit(&f->cat, from, name, out, 4 * out, 3, 3));
    snprintf(name, sizeof name, "%s.conv_res", field);
    return load_unit(&f->residual, from, name, out, in, 1, 1);
}

static pf_err
load_object(struct pf_tracer_object *o, const struct source *from, const char *object, int C)
{
    char name[48];
    snprintf(name, sizeof name, "%s.DWSConv", object);
    PF_TRY(load(&o->depthwise, from, name, "DWConv", "bn", C, 1, 3, 3));
    PF_TRY(load(&o->point, from, name, "PWConv", "bn2", C / 2, C, 1, 1));
    for (int b = 0; b < BRANCHES; b++) {
        const int side = b ? 3 : 1;
        snprintf(name, sizeof name, "%s.DWConv%d.0", object, b + 1);
        PF_TRY(load(&o->branch[b][0], from, name, "DWConv", "bn", C / 2, 1, side, side));
        snprintf(name, sizeof name, "%s.DWConv%d.1", object, b + 1);
        PF_TRY(load_unit(&o->branch[b][1], from, name, C / 8, C / 2, 1, 1));
    }
    snprintf(name, sizeof name, "%s.conv1", object);
    return load_unit(&o->out, from, name, 1, C / 2, 1, 1);
}

static pf_err
load_union(pf_tracer *net, const struct source *from)
{
    static const char *const names[] = {"channel_q.weight", "channel_k.weight", "channel_v.weight",
                                        "fc.weight"};
    static const char *const maps[] = {"spatial_q.weight", "spatial_k.weight", "spatial_v.weight"};
    PF_TRY(pf_norm_read(net->norm[0], net->norm[1], from->weights, "agg.UAM.norm.0", UNION,
                        EPS_DECODER));
    PF_TRY(pf_norm_read(net->bn[0], net->bn[1], from->weights, "agg.UAM.bn", UNION, EPS_DECODER));
    for (int i = 0; i < 4; i++)
        PF_TRY(pf_parameter_read(&net->channel[i], from->weights, "agg.UAM", names[i], 4,
                                 (int64_t[]){UNION, UNION, 1, 1}));
    for (int i = 0; i < 3; i++) {
        pf_tensor t;
        PF_TRY(pf_parameter_read(&t, from->weights, "agg.UAM", maps[i], 4,
                                 (int64_t[]){1, UNION, 1, 1}));
        pf_to_f32(net->map[i], t.data, PF_F32, UNION);
        pf_tensor_release(&t);
    }
    const pf_tensor stacked = PF_VIEW(net->map, PF_F32, 3, UNION);
    return pf_layer_new_slice(from->dev, &net->spatial, &stacked, NULL, 0, UNION);
}

static pf_err
load_aggregation(pf_tracer *net, const struct source *from)
{
    static const int up[][2] = {{64, 128}, {32, 128}, {32, 64}, {128, 128}, {192, 192}};
    char name[32];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "agg.conv_upsample%d", i + 1);
        PF_TRY(load_unit(&net->upsample[i], from, name, up[i][0], up[i][1], 3, 3));
    }
    PF_TRY(load_unit(&net->concat[0], from, "agg.conv_concat2", 192, 192, 3, 3));
    PF_TRY(load_unit(&net->concat[1], from, "agg.conv_concat3", UNION, UNION, 3, 3));
    return load_union(net, from);
}

static pf_err
load_all(pf_tracer *net, const struct source *from)
{
    PF_TRY(load_encoder(net, from));
    for (int i = 0; i < 3; i++)
        PF_TRY(load_field(&net->field[i], from, fields[i].name, plans[fields[i].stage].out,
                          fields[i].out));
    PF_TRY(load_aggregation(net, from));
    for (int i = 0; i < 2; i++)
        PF_TRY(load_object(&net->object[i], from, objects[i].name, plans[objects[i].stage].out));
    return PF_OK;
}

pf_err
pf_tracer_load(pf_tracer *net, pf_dev *dev, pf_checkpoint *weights)
{
    *net = (pf_tracer){0};
    const pf_err err = load_all(net, &(struct source){dev, weights});
    if (err)
        pf_tracer_release(net);
    return err;
}

void
pf_tracer_release(pf_tracer *net)
{
    for (int i = 0; i < 4; i++)
        pf_tensor_release(&net->channel[i]);
}

/* ---- running ---- */

struct run {
    pf_dev *dev;
    const pf_tracer *net;
    const struct pf_cutout_watch *watch;
};

static pf_err
show(const struct run *r, const char *name, const pf_tensor *t)
{
    return pf_show(r->dev, r->watch, name, t);
}

/* A vector or map that the host computed. */
static pf_err
show_host(const struct run *r, const char *unit, const pf_tensor *t)
{
    char name[32];
    snprintf(name, sizeof name, "agg.UAM.%s", unit);
    return r->watch ? r->watch->see(r->watch->user, name, t) : PF_OK;
}

static pf_err
alloc(const struct run *r, pf_tensor *t, int64_t H, int64_t W, int64_t C)
{
    return PF_ALLOC(r->dev, t, pf_dev_dtype(r->dev), 1, H, W, C);
}

/* y = act(w(x)) in new memory, of x's size. */
static pf_err
apply(const struct run *r, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int dilation,
      enum pf_act act)
{
    const struct pf_epilogue e = {.act = act};
    PF_TRY(alloc(r, y, x->dim[1], x->dim[2], w->K));
    return w->spatial ? pf_conv_dilated(r->dev, y, x, w, dilation, &e)
                      : pf_linear(r->dev, y, x, w, &e);
}

/* ---- the encoder: 5.1 ---- */

/* h = h times the gate of each of its channels. */
static pf_err
excite(const struct run *r, pf_tensor *h, const struct pf_tracer_block *b)
{
    pf_tensor mean, squeezed, gate;
    PF_TRY(alloc(r, &mean, 1, 1, h->dim[3]));
    PF_TRY(pf_average_pool(r->dev, &mean, h));
    PF_TRY(apply(r, &squeezed, &mean, b->reduce, 1, PF_SILU));
    PF_TRY(apply(r, &gate, &squeezed, b->excite, 1, PF_SIGMOID));
    return pf_multiply(r->dev, h, h, &gate);
}

/* y = block k of a stage, of x; x may be y but in the first block, where nothing is added. */
static pf_err
block(const struct run *r, pf_tensor *y, const pf_tensor *x, const struct pf_tracer_block *b,
      const struct plan *p, int k)
{
    const int same = p->kernel / 2;
    const struct pf_epilogue silu = {.act = PF_SILU}, add = {.residual = k ? y : NULL};
    pf_tensor wide = *x, h;
    if (b->expand)
        PF_TRY(apply(r, &wide, x, b->expand, 1, PF_SILU));
    PF_TRY(alloc(r, &h, y->dim[1], y->dim[2], b->depthwise->K));
    PF_TRY(pf_conv(r->dev, &h, &wide, b->depthwise, k ? 1 : p->stride, k ? same : p->before,
                   k ? same : p->after, &silu));
    PF_TRY(excite(r, &h, b));
    return pf_linear(r->dev, y, &h, b->project, &add);
}

/* The results of all stages. */
static pf_err
encode(const struct run *r, pf_tensor at[STAGES], const pf_tensor *x)
{
    pf_tensor input;
    char name[32];
    int i = 0;
    PF_TRY(alloc(r, &input, x->dim[1] / 2, x->dim[2] / 2, STEM));
    PF_TRY(pf_conv(r->dev, &input, x, r->net->stem, 2, 0, 1,
                   &(struct pf_epilogue){.act = PF_SILU}));
    for (int s = 0; s < STAGES; s++) {
        const struct plan *const p = &plans[s];
        PF_TRY(alloc(r, &at[s], input.dim[1] / p->stride, input.dim[2] / p->stride, p->out));
        for (int k = 0; k < p->blocks; k++, i++) {
            const size_t mark = pf_dev_mark(r->dev);
            PF_TRY(block(r, &at[s], k ? &at[s] : &input, &r->net->block[i], p, k));
            snprintf(name, sizeof name, "encoder._blocks.%d", i);
            PF_TRY(show(r, name, &at[s]));
            pf_dev_reset(r->dev, mark);
        }
        input = at[s];
    }
    return PF_OK;
}

/* ---- the decoder ---- */

/* y = [a, b] in new memory. */
static pf_err
join(const struct run *r, pf_tensor *y, const pf_tensor *a, const pf_tensor *b)
{
    PF_TRY(alloc(r, y, a->dim[1], a->dim[2], a->dim[3] + b->dim[3]));
    return pf_concat(r->dev, y, a, b);
}

static pf_err
join_all(const struct run *r, pf_tensor *y, const pf_tensor part[BRANCHES])
{
    *y = part[0];
    for (int b = 1; b < BRANCHES; b++) {
        const pf_tensor before = *y;
        PF_TRY(join(r, y, &before, &part[b]));
    }
    return PF_OK;
}

/* y = receptive field block i of x: 5.2. */
static pf_err
field(const struct run *r, pf_tensor *y, const pf_tensor *x, int i)
{
    const struct pf_tracer_field *const f = &r->net->field[i];
    pf_tensor part[BRANCHES], all, cat;
    PF_TRY(alloc(r, y, x->dim[1], x->dim[2], fields[i].out));
    const size_t mark = pf_dev_mark(r->dev);
    for (int b = 0; b < BRANCHES; b++) {
        part[b] = *x;
        for (int k = 0; k < (b ? 4 : 1); k++) {
            const pf_tensor before = part[b];
            PF_TRY(apply(r, &part[b], &before, f->branch[b][k], k == 3 ? 2 * b + 1 : 1, PF_SELU));
        }
    }
    PF_TRY(join_all(r, &all, part));
    PF_TRY(apply(r, &cat, &all, f->cat, 1, PF_SELU));
    PF_TRY(pf_linear(r->dev, y, x, f->residual,
                     &(struct pf_epilogue){.act = PF_SELU, .residual = &cat}));
    PF_TRY(pf_activate(r->dev, y, y, PF_RELU));
    pf_dev_reset(r->dev, mark);
    return show(r, fields[i].name, y);
}

/* y = x twice as high and wide, the corners where they are. */
static pf_err
twice(const struct run *r, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(alloc(r, y, 2 * x->dim[1], 2 * x->dim[2], x->dim[3]));
    return pf_bilinear_corners(r->dev, y, x);
}

/* x of the three fields e, deepest last: 5.3. */
static pf_err
aggregate(const struct run *r, pf_tensor *x, const pf_tensor e[3])
{
    pf_layer *const *const up = r->net->upsample;
    pf_tensor u4, uu4, u3, a, a4, b, b3, c, uc, pair;
    PF_TRY(twice(r, &u4, &e[2]));
    PF_TRY(twice(r, &uu4, &u4));
    PF_TRY(twice(r, &u3, &e[1]));
    PF_TRY(apply(r, &a, &u4, up[0], 1, PF_SELU));
    PF_TRY(pf_multiply(r->dev, &a, &a, &e[1]));
    PF_TRY(apply(r, &b, &uu4, up[1], 1, PF_SELU));
    PF_TRY(apply(r, &b3, &u3, up[2], 1, PF_SELU));
    PF_TRY(pf_multiply(r->dev, &b, &b, &b3));
    PF_TRY(pf_multiply(r->dev, &b, &b, &e[0]));
    PF_TRY(apply(r, &a4, &u4, up[3], 1, PF_SELU));
    PF_TRY(join(r, &pair, &a, &a4));
    PF_TRY(apply(r, &c, &pair, r->net->concat[0], 1, PF_SELU));
    PF_TRY(show(r, "agg.conv_concat2", &c));
    PF_TRY(twice(r, &uc, &c));
    PF_TRY(apply(r, &c, &uc, up[4], 1, PF_SELU));
    PF_TRY(join(r, &pair, &b, &c));
    PF_TRY(apply(r, x, &pair, r->net->concat[1], 1, PF_SELU));
    return show(r, "agg.conv_concat3", x);
}

/* ---- the union attention: 5.4; vectors and maps are the host's ---- */

/* y = W x, W [C, C]. */
static void
map_vector(float *y, const pf_tensor *W, const float *x)
{
    for (int i = 0; i < UNION; i++) {
        double sum = 0;
        for (int j = 0; j < UNION; j++)
            sum += (double)((const float *)W->data)[i * UNION + j] * x[j];
        y[i] = (float)sum;
    }
}

/* p[n] to e^(p - most) over the sum of them. */
static void
softmax(double *p, int64_t n)
{
    double most = p[0], sum = 0;
    for (int64_t j = 1; j < n; j++)
        most = fmax(most, p[j]);
    for (int64_t j = 0; j < n; j++)
        sum += p[j] = exp(p[j] - most);
    for (int64_t j = 0; j < n; j++)
        p[j] /= sum;
}

static void
attend_channels(float *s, const float *q, const float *k, const float *v)
{
    double p[UNION];
    for (int i = 0; i < UNION; i++) {
        double sum = 0;
        for (int j = 0; j < UNION; j++)
            p[j] = (double)q[i] * k[j];
        softmax(p, UNION);
        for (int j = 0; j < UNION; j++)
            sum += p[j] * v[j];
        s[i] = (float)sum;
    }
}

static int
by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The value that a tenth of them does not exceed, linear between neighbours. */
static float
tenth(const float *v)
{
    float sorted[UNION];
    const double at = 0.1 * (UNION - 1);
    const int below = (int)at;
    for (int i = 0; i < UNION; i++)
        sorted[i] = v[i];
    qsort(sorted, UNION, sizeof *sorted, by_value);
    return sorted[below] + (float)(at - below) * (sorted[below + 1] - sorted[below]);
}

/* The gate g [C] of the channels from their means. */
static pf_err
gate_channels(const struct run *r, float *g, const float *mean)
{
    const pf_tracer *const net = r->net;
    float v[5][UNION];          /* norm, q, k, v, fc */
    static const char *const names[] = {"norm", "channel_q", "channel_k", "channel_v", "fc"};
    float s[UNION];
    for (int c = 0; c < UNION; c++)
        v[0][c] = net->norm[0][c] * mean[c] + net->norm[1][c];
    for (int i = 0; i < 3; i++)
        map_vector(v[1 + i], &net->channel[i], v[0]);
    attend_channels(s, v[1], v[2], v[3]);
    map_vector(v[4], &net->channel[3], s);
    for (int c = 0; c < UNION; c++)
        g[c] = 1 / (1 + expf(-v[4][c]));
    const pf_tensor gate = PF_VIEW(g, PF_F32, 1, 1, 1, UNION);
    for (int i = 0; i < 5; i++) {
        const pf_tensor t = PF_VIEW(v[i], PF_F32, 1, 1, 1, UNION);
        PF_TRY(show_host(r, names[i], &t));
    }
    return show_host(r, "sigmoid", &gate);
}

/* d [H, W] = softmax(Q K^T) V + V, of the maps [H, W, 3]. */
static pf_err
attend_rows(float *d, const float *maps, int64_t H, int64_t W)
{
    double *const p = malloc((size_t)(H + W) * sizeof *p), *const sum = p + H;
    if (!p)
        return pf_fail(PF_ENOMEM, "no memory for an attention of %lld rows", (long long)H);
    for (int64_t i = 0; i < H; i++) {
        for (int64_t j = 0; j < H; j++) {
            p[j] = 0;
            for (int64_t x = 0; x < W; x++)
                p[j] += (double)maps[(i * W + x) * 3] * maps[(j * W + x) * 3 + 1];
        }
        softmax(p, H);
        for (int64_t x = 0; x < W; x++)
            sum[x] = maps[(i * W + x) * 3 + 2];
        for (int64_t j = 0; j < H; j++)
            for (int64_t x = 0; x < W; x++)
                sum[x] += p[j] * maps[(j * W + x) * 3 + 2];
        for (int64_t x = 0; x < W; x++)
            d[i * W + x] = (float)sum[x];
    }
    free(p);
    return PF_OK;
}

/* The maps Q, K, V [H, W, 3], the caller's, of the gated x.  What the norm adds to a channel adds
 * the same number to all of a map. */
static pf_err
map_gated(const struct run *r, pf_tensor *maps, const pf_tensor *x, const float *g)
{
    const pf_tracer *const net = r->net;
    const float t = tenth(g);
    float scale[UNION], shift[3] = {0};
    pf_tensor gate, gated, y;
    for (int c = 0; c < UNION; c++) {
        const float open = g[c] > t ? g[c] : 0;
        scale[c] = open * net->bn[0][c] * (1 + g[c]);
        for (int i = 0; i < 3; i++)
            shift[i] += net->map[i][c] * open * net->bn[1][c];
    }
    const pf_tensor host = PF_VIEW(scale, PF_F32, 1, 1, 1, UNION);
    PF_TRY(alloc(r, &gate, 1, 1, UNION));
    PF_TRY(pf_dev_put(r->dev, &gate, &host));
    PF_TRY(alloc(r, &gated, x->dim[1], x->dim[2], UNION));
    PF_TRY(pf_multiply(r->dev, &gated, x, &gate));
    PF_TRY(apply(r, &y, &gated, net->spatial, 1, PF_NONE));
    PF_TRY(pf_fetch(r->dev, maps, &y));
    for (int64_t i = 0, n = pf_tensor_count(maps); i < n; i++)
        ((float *)maps->data)[i] += shift[i % 3];
    return PF_OK;
}

/* d [1, H, W, 1] of x [1, H, W, C]. */
static pf_err
unite(const struct run *r, pf_tensor *d, const pf_tensor *x)
{
    pf_tensor mean, host, maps, out;
    float g[UNION];
    PF_TRY(alloc(r, d, x->dim[1], x->dim[2], 1));
    PF_TRY(alloc(r, &mean, 1, 1, UNION));
    PF_TRY(pf_average_pool(r->dev, &mean, x));
    PF_TRY(show(r, "agg.UAM.GAP", &mean));
    PF_TRY(pf_fetch(r->dev, &host, &mean));
    pf_err err = gate_channels(r, g, host.data);
    pf_tensor_release(&host);
    PF_TRY(err);
    PF_TRY(map_gated(r, &maps, x, g));
    err = show_host(r, "spatial", &maps);
    if (!err && !(err = pf_tensor_new(&out, PF_F32, 4, d->dim))) {
        if (!(err = attend_rows(out.data, maps.data, x->dim[1], x->dim[2])))
            err = pf_dev_put(r->dev, d, &out);
        pf_tensor_release(&out);
    }
    pf_tensor_release(&maps);
    return err ? err : show(r, "D0", d);
}

/* ---- the object attentions: 5.5 ---- */

/* The share of the feature that passes where the logit is d. */
static float
passes(float d)
{
    const float a = 1 / (1 + expf(-d)), rest = 1 - a;
    return rest > 0.93f ? a : a + rest;
}

/* z = feature f as far as it passes the map d. */
static pf_err
attend(const struct run *r, pf_tensor *z, const pf_tensor *d, const pf_tensor *f)
{
    pf_tensor host, share;
    PF_TRY(alloc(r, z, f->dim[1], f->dim[2], f->dim[3]));
    PF_TRY(alloc(r, &share, f->dim[1], f->dim[2], 1));
    PF_TRY(pf_fetch(r->dev, &host, d));
    for (int64_t i = 0, n = pf_tensor_count(&host); i < n; i++)
        ((float *)host.data)[i] = passes(((float *)host.data)[i]);
    const pf_err err = pf_dev_put(r->dev, &share, &host);
    pf_tensor_release(&host);
    PF_TRY(err);
    return pf_multiply(r->dev, z, f, &share);
}

/* y [1, H, W, 1] = object attention i of the map d and the feature f, as large as it. */
static pf_err
object(const struct run *r, pf_tensor *y, const pf_tensor *d, const pf_tensor *f, int i)
{
    static const int dilation[BRANCHES] = {1, 1, 3, 5};
    const struct pf_tracer_object *const o = &r->net->object[i];
    pf_tensor z, deep, h, part[BRANCHES], all;
    PF_TRY(alloc(r, y, f->dim[1], f->dim[2], 1));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(attend(r, &z, d, f));
    PF_TRY(apply(r, &deep, &z, o->depthwise, 1, PF_SELU));
    PF_TRY(apply(r, &h, &deep, o->point, 1, PF_SELU));
    for (int b = 0; b < BRANCHES; b++) {
        PF_TRY(apply(r, &deep, &h, o->branch[b][0], dilation[b], PF_SELU));
        PF_TRY(apply(r, &part[b], &deep, o->branch[b][1], 1, PF_SELU));
    }
    PF_TRY(join_all(r, &all, part));
    PF_TRY(pf_add(r->dev, &all, &all, &h, 1));
    PF_TRY(pf_linear(r->dev, y, &all, o->out, &(struct pf_epilogue){.act = PF_SELU}));
    PF_TRY(pf_activate(r->dev, y, y, PF_RELU));
    PF_TRY(pf_add(r->dev, y, y, d, 1));
    pf_dev_reset(r->dev, mark);
    return show(r, objects[i].name, y);
}

/* ---- the whole ---- */

/* y = x bilinear, scale times as high and wide. */
static pf_err
enlarge(const struct run *r, pf_tensor *y, const pf_tensor *x, int scale)
{
    PF_TRY(alloc(r, y, scale * x->dim[1], scale * x->dim[2], 1));
    return pf_bilinear(r->dev, y, x);
}

/* y [1, H, W, 1] = three times the logit of the mask. */
static pf_err
sum_of_logits(const struct run *r, pf_tensor *y, const pf_tensor *x)
{
    pf_tensor at[STAGES], e[3], all, d[3], larger;
    PF_TRY(encode(r, at, x));
    for (int i = 0; i < 3; i++)
        PF_TRY(field(r, &e[i], &at[fields[i].stage], i));
    PF_TRY(aggregate(r, &all, e));
    PF_TRY(unite(r, &d[0], &all));
    PF_TRY(object(r, &d[1], &d[0], &at[F1], 0));
    PF_TRY(enlarge(r, &larger, &d[1], 2));
    PF_TRY(object(r, &d[2], &larger, &at[F0], 1));
    PF_TRY(enlarge(r, y, &d[2], 4));
    for (int i = 1; i >= 0; i--) {
        PF_TRY(enlarge(r, &larger, &d[i], 8));
        PF_TRY(pf_add(r->dev, y, y, &larger, 1));
    }
    return PF_OK;
}

static pf_err
run(const struct run *r, pf_tensor *mask, const pf_tensor *input)
{
    pf_tensor x, y;
    PF_TRY(alloc(r, &x, input->dim[1], input->dim[2], 3));
    PF_TRY(pf_dev_put(r->dev, &x, input));
    PF_TRY(sum_of_logits(r, &y, &x));
    PF_TRY(pf_fetch(r->dev, mask, &y));
    float *const m = mask->data;
    for (int64_t i = 0, n = pf_tensor_count(mask); i < n; i++)
        m[i] = 1 / (1 + expf(-m[i] / 3));
    mask->ndim = 2;             /* [1, H, W, 1] is [H, W] */
    mask->dim[0] = y.dim[1];
    mask->dim[1] = y.dim[2];
    return PF_OK;
}

pf_err
pf_tracer_run(pf_dev *dev, const pf_tracer *net, pf_tensor *mask, const pf_tensor *input,
              const struct pf_cutout_watch *watch)
{
    const struct run r = {dev, net, watch};
    PF_EXPECT(input, PF_F32, 1, -1, -1, 3);
    const int64_t H = input->dim[1], W = input->dim[2];
    if (H < 32 || W < 32 || H % 32 || W % 32)
        return pf_fail(PF_ESHAPE, "TRACER takes pictures whose sides are multiples of 32, not "
                       "%lld x %lld", (long long)W, (long long)H);
    const size_t mark = pf_dev_mark(dev);
    const pf_err err = run(&r, mask, input);
    pf_dev_reset(dev, mark);
    return err;
}
