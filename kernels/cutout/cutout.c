/* cutout.c - see cutout.h: U^2-Net, U^2-Net-p and IS-Net, of one set of parts (networks.md). */
#include "kernels/cutout/cutout.h"

#include <math.h>
#include <stdio.h>

#include "kernels/cutout/parameters.h"

enum { U = PF_CUTOUT_STAGES, LEVELS = 6 };

/* The table of networks.md, 3; channels are in, mid, out.  stage1 of IS-Net has CONV_IN inputs. */
enum { CONV_IN = 64 };
static const struct plan {
    const char *name;
    int depth;
    bool flat;                  /* RSU-4F: dilations in place of pools */
    int full[3], small[3];      /* of U^2-Net and IS-Net; of U^2-Net-p */
} plans[PF_CUTOUT_STAGES] = {
    {"stage1", 7, false, {3, 32, 64}, {3, 16, 64}},
    {"stage2", 6, false, {64, 32, 128}, {64, 16, 64}},
    {"stage3", 5, false, {128, 64, 256}, {64, 16, 64}},
    {"stage4", 4, false, {256, 128, 512}, {64, 16, 64}},
    {"stage5", 4, true, {512, 256, 512}, {64, 16, 64}},
    {"stage6", 4, true, {512, 256, 512}, {64, 16, 64}},
    {"stage5d", 4, true, {1024, 256, 512}, {128, 16, 64}},
    {"stage4d", 4, false, {1024, 128, 256}, {128, 16, 64}},
    {"stage3d", 5, false, {512, 64, 128}, {128, 16, 64}},
    {"stage2d", 6, false, {256, 32, 64}, {128, 16, 64}},
    {"stage1d", 7, false, {128, 16, 64}, {128, 16, 64}},
};

static const struct {
    const char *name;
    int side;
} kinds[] = {[PF_U2NET] = {"U^2-Net", 320}, [PF_U2NETP] = {"U^2-Net-p", 320},
             [PF_ISNET] = {"IS-Net", 1024}};

const char *
pf_cutout_name(enum pf_cutout_kind kind)
{
    return kinds[kind].name;
}

int
pf_cutout_side(enum pf_cutout_kind kind)
{
    return kinds[kind].side;
}

/* Channels of stage i: in, mid, out. */
static void
channels_of(int c[3], enum pf_cutout_kind kind, int i)
{
    for (int k = 0; k < 3; k++)
        c[k] = kind == PF_U2NETP ? plans[i].small[k] : plans[i].full[k];
    if (kind == PF_ISNET && i == 0)
        c[0] = CONV_IN;
}

/* The dilation of unit k of a stage, from 1 on, on the way down or up. */
static int
dilation_of(const struct plan *p, int k, bool up)
{
    if (p->flat)
        return 1 << (k - 1);
    return !up && k == p->depth ? 2 : 1;
}

/* ---- parameters ---- */

/* Units without names: an exporter to ONNX that folds norms renames what it makes (onnx.h).  They
 * are conv.0, conv.1, ... in the order of execution, which is that of networks.md, 2 and 3. */
static bool
is_nameless(const pf_checkpoint *weights)
{
    return pf_checkpoint_has(weights, "conv.0.weight");
}

pf_err
pf_cutout_recognise(enum pf_cutout_kind *kind, pf_checkpoint *weights)
{
    const char *const second =
        is_nameless(weights) ? "conv.1.weight" : "stage1.rebnconv1.conv_s1.weight";
    pf_tensor t;
    if (pf_checkpoint_has(weights, "conv_in.weight")) {
        *kind = PF_ISNET;
        return PF_OK;
    }
    if (!pf_checkpoint_has(weights, "outconv.weight") ||
        !pf_checkpoint_get(weights, second, &t) || t.ndim != 4)
        return pf_fail(PF_EFORMAT, "%s holds no network that cuts out: neither U^2-Net, U^2-Net-p, "
                       "IS-Net nor TRACER-B7 has such tensors", pf_checkpoint_path(weights));
    *kind = t.dim[0] == 16 ? PF_U2NETP : PF_U2NET;
    return PF_OK;
}

enum { WEIGHT, BIAS, GAMMA, BETA, MEAN, VARIANCE, PARTS };

/* networks.md, 1. */
static void
fold(const pf_tensor p[PARTS])
{
    const int64_t K = p[WEIGHT].dim[0], row = pf_tensor_count(&p[WEIGHT]) / K;
    float *const weight = p[WEIGHT].data, *const bias = p[BIAS].data;
    const float *const gamma = p[GAMMA].data, *const beta = p[BETA].data;
    const float *const mean = p[MEAN].data, *const variance = p[VARIANCE].data;
    for (int64_t k = 0; k < K; k++) {
        const double s = gamma[k] / sqrt((double)variance[k] + 1e-5);
        for (int64_t i = 0; i < row; i++)
            weight[k * row + i] = (float)(s * weight[k * row + i]);
        bias[k] = (float)(s * ((double)bias[k] - mean[k]) + beta[k]);
    }
}

/* Where the layers of a network come from. */
struct source {
    pf_dev *dev;
    pf_checkpoint *weights;
    bool normed;                /* there are norms, not folded */
    bool nameless;
    int next;                   /* of what has no name */
};

/* The layer of these parts, of which a unit with a norm has all, others two.  They are released. */
static pf_err
make_layer(pf_layer **layer, const struct source *from, pf_tensor part[PARTS], pf_err err)
{
    if (!err && part[VARIANCE].data)
        fold(part);
    if (!err)
        err = pf_layer_take(from->dev, layer, &part[WEIGHT], &part[BIAS]);
    for (int i = 0; i < PARTS; i++)
        pf_tensor_release(&part[i]);
    return err;
}

/* The convolution PREFIX.weight [K, C, side, side] with its bias. */
static pf_err
load_conv(pf_layer **layer, struct source *from, const char *prefix, int64_t K, int64_t C,
          int64_t side)
{
    pf_tensor part[PARTS] = {0};
    pf_err err = pf_parameter_read(&part[WEIGHT], from->weights, prefix, "weight", 4,
                                   (int64_t[]){K, C, side, side});
    if (!err)
        err = pf_parameter_read(&part[BIAS], from->weights, prefix, "bias", 1, &K);
    return make_layer(layer, from, part, err);
}

/* The unit PREFIX [K, C, 3, 3]: a convolution and its norm, or both folded. */
static pf_err
load_unit(pf_layer **layer, struct source *from, const char *prefix, int64_t K, int64_t C)
{
    static const char *const norm[PARTS] = {[GAMMA] = "weight", [BETA] = "bias",
                                            [MEAN] = "running_mean", [VARIANCE] = "running_var"};
    char conv[96], bn[96];
    pf_tensor part[PARTS] = {0};
    snprintf(conv, sizeof conv, "%s.conv_s1", prefix);
    snprintf(bn, sizeof bn, "%s.bn_s1", prefix);
    if (from->nameless) {
        snprintf(conv, sizeof conv, "conv.%d", from->next);
        snprintf(bn, sizeof bn, "norm.%d", from->next++);
    }
    const bool normed = from->normed || pf_checkpoint_has(from->weights, bn);
    pf_err err = pf_parameter_read(&part[WEIGHT], from->weights, conv, "weight", 4,
                                   (int64_t[]){K, C, 3, 3});
    if (!err)
        err = pf_parameter_read(&part[BIAS], from->weights, conv, "bias", 1, &K);
    for (int i = GAMMA; i < PARTS && normed && !err; i++)
        err = pf_parameter_read(&part[i], from->weights, bn, norm[i], 1, &K);
    for (int64_t k = 0; normed && k < K && !err; k++)
        if (((float *)part[VARIANCE].data)[k] < 0)
            err = pf_fail(PF_EFORMAT, "%s: %s.%s has a negative variance",
                          pf_checkpoint_path(from->weights), bn, norm[VARIANCE]);
    return make_layer(layer, from, part, err);
}

static pf_err
load_stage(struct pf_cutout_stage *s, struct source *from, const struct plan *p, const int c[3])
{
    char name[64];
    const int mid = c[1], out = c[2];
    snprintf(name, sizeof name, "%s.rebnconvin", p->name);
    PF_TRY(load_unit(&s->in, from, name, out, c[0]));
    for (int k = 1; k <= p->depth; k++) {
        snprintf(name, sizeof name, "%s.rebnconv%d", p->name, k);
        PF_TRY(load_unit(&s->down[k - 1], from, name, mid, k == 1 ? out : mid));
    }
    for (int k = p->depth - 1; k > 0; k--) {
        snprintf(name, sizeof name, "%s.rebnconv%dd", p->name, k);
        PF_TRY(load_unit(&s->up[k - 1], from, name, k == 1 ? out : mid, 2 * mid));
    }
    return PF_OK;
}

/* The stage whose result side k, from 1 on, looks at: stage1d .. stage5d, stage6. */
static int
stage_of_side(int k)
{
    return U - k;
}

pf_err
pf_cutout_load(pf_cutout *net, pf_dev *dev, pf_checkpoint *weights)
{
    struct source from = {
        .dev = dev, .weights = weights, .nameless = is_nameless(weights),
        .normed = pf_checkpoint_has(weights, "stage1.rebnconvin.bn_s1.")};
    char name[16];
    int c[3];
    *net = (pf_cutout){0};
    PF_TRY(pf_cutout_recognise(&net->kind, weights));
    if (net->kind == PF_ISNET)
        PF_TRY(load_conv(&net->conv_in, &from, "conv_in", CONV_IN, 3, 3));
    for (int i = 0; i < PF_CUTOUT_STAGES; i++) {
        channels_of(c, net->kind, i);
        PF_TRY(load_stage(&net->stage[i], &from, &plans[i], c));
    }
    for (int k = 1; k <= PF_CUTOUT_SIDES; k++) {
        snprintf(name, sizeof name, "side%d", k);
        channels_of(c, net->kind, stage_of_side(k));
        PF_TRY(load_conv(&net->side[k - 1], &from, name, 1, c[2], 3));
    }
    return net->kind == PF_ISNET
               ? PF_OK : load_conv(&net->outconv, &from, "outconv", 1, PF_CUTOUT_SIDES, 1);
}

/* ---- running ---- */

struct run {
    pf_dev *dev;
    const pf_cutout *net;
    const struct pf_cutout_watch *watch;
};

/* t in the host's memory, the caller's. */
static pf_err
fetch(pf_dev *dev, pf_tensor *host, const pf_tensor *t)
{
    PF_TRY(pf_tensor_new(host, PF_F32, t->ndim, t->dim));
    const pf_err err = pf_dev_get(dev, host, t);
    if (err)
        pf_tensor_release(host);
    return err;
}

static pf_err
show(const struct run *r, const char *stage, const char *unit, const pf_tensor *t)
{
    char name[64];
    pf_tensor host;
    if (!r->watch)
        return PF_OK;
    snprintf(name, sizeof name, "%s%s", stage, unit);
    PF_TRY(fetch(r->dev, &host, t));
    const pf_err err = r->watch->see(r->watch->user, name, &host);
    pf_tensor_release(&host);
    return err;
}

/* An activation [1, H, W, C] as large as one of another number of channels. */
static pf_err
alloc_like(pf_dev *dev, pf_tensor *t, const pf_tensor *like, int64_t C)
{
    return PF_ALLOC(dev, t, pf_dev_dtype(dev), 1, like->dim[1], like->dim[2], C);
}

/* residual is added to the unit's result; NULL: none. */
static pf_err
unit(const struct run *r, pf_tensor *y, const pf_tensor *x, const pf_layer *w, int dilation,
     const pf_tensor *residual)
{
    const struct pf_epilogue e = {.act = PF_RELU, .residual = residual};
    return pf_conv_dilated(r->dev, y, x, w, dilation, &e);
}

static pf_err
pool(pf_dev *dev, pf_tensor *y, const pf_tensor *x)
{
    PF_TRY(PF_ALLOC(dev, y, pf_dev_dtype(dev), 1, (x->dim[1] + 1) / 2, (x->dim[2] + 1) / 2,
                    x->dim[3]));
    return pf_max_pool(dev, y, x, 2);
}

/* y = [deep resized to skip, skip], in new memory. */
static pf_err
join(pf_dev *dev, pf_tensor *y, const pf_tensor *deep, const pf_tensor *skip)
{
    pf_tensor resized = *deep;
    PF_TRY(alloc_like(dev, y, skip, deep->dim[3] + skip->dim[3]));
    const size_t mark = pf_dev_mark(dev);
    if (deep->dim[1] != skip->dim[1] || deep->dim[2] != skip->dim[2]) {
        PF_TRY(alloc_like(dev, &resized, skip, deep->dim[3]));
        PF_TRY(pf_bilinear(dev, &resized, deep));
    }
    PF_TRY(pf_concat(dev, y, &resized, skip));
    pf_dev_reset(dev, mark);
    return PF_OK;
}

/* The way down: e[k] is the result of rebnconv(k+1). */
static pf_err
descend(const struct run *r, pf_tensor e[], const pf_tensor *first, int i)
{
    const struct plan *const p = &plans[i];
    const struct pf_cutout_stage *const s = &r->net->stage[i];
    char name[24];
    for (int k = 1; k <= p->depth; k++) {
        pf_tensor from = k == 1 ? *first : e[k - 2];
        if (!p->flat && k > 1 && k < p->depth)
            PF_TRY(pool(r->dev, &from, &e[k - 2]));
        PF_TRY(alloc_like(r->dev, &e[k - 1], &from, s->down[k - 1]->K));
        PF_TRY(unit(r, &e[k - 1], &from, s->down[k - 1], dilation_of(p, k, false), NULL));
        snprintf(name, sizeof name, ".rebnconv%d", k);
        PF_TRY(show(r, p->name, name, &e[k - 1]));
    }
    return PF_OK;
}

/* And up again: the result of rebnconvKd takes the place of that of rebnconvK; y has that of the
 * first, and residual added. */
static pf_err
ascend(const struct run *r, pf_tensor *y, pf_tensor e[], int i, const pf_tensor *residual)
{
    const struct plan *const p = &plans[i];
    const struct pf_cutout_stage *const s = &r->net->stage[i];
    char name[24];
    for (int k = p->depth - 1; k > 0; k--) {
        const size_t mark = pf_dev_mark(r->dev);
        pf_tensor pair;
        PF_TRY(join(r->dev, &pair, &e[k], &e[k - 1]));
        pf_tensor *const to = k == 1 ? y : &e[k - 1];   /* the pair holds its old values */
        PF_TRY(unit(r, to, &pair, s->up[k - 1], dilation_of(p, k, true),
                    k == 1 ? residual : NULL));
        snprintf(name, sizeof name, ".rebnconv%dd", k);
        PF_TRY(show(r, p->name, name, to));
        pf_dev_reset(r->dev, mark);
    }
    return PF_OK;
}

/* y = stage i of x. */
static pf_err
stage(const struct run *r, pf_tensor *y, const pf_tensor *x, int i)
{
    const struct pf_cutout_stage *const s = &r->net->stage[i];
    pf_tensor e[PF_CUTOUT_DEPTH_MAX], first;
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(alloc_like(r->dev, &first, x, s->in->K));
    PF_TRY(unit(r, &first, x, s->in, 1, NULL));
    PF_TRY(show(r, plans[i].name, ".rebnconvin", &first));
    PF_TRY(descend(r, e, &first, i));
    PF_TRY(ascend(r, y, e, i, r->watch ? NULL : &first));
    if (r->watch)               /* who watches wants to see the last unit without it */
        PF_TRY(pf_add(r->dev, y, y, &first, 1));
    pf_dev_reset(r->dev, mark);
    return show(r, plans[i].name, "", y);
}

/* The logit [1, h, w, 1] of side k, from 1 on. */
static pf_err
side(const struct run *r, pf_tensor *y, const pf_tensor *x, int k)
{
    char name[16];
    PF_TRY(alloc_like(r->dev, y, x, 1));
    PF_TRY(pf_conv(r->dev, y, x, r->net->side[k - 1], 1, 1, 1, NULL));
    snprintf(name, sizeof name, "side%d", k);
    return show(r, name, "", y);
}

/* The results of all stages, in the order of plans. */
static pf_err
run_stages(const struct run *r, pf_tensor at[PF_CUTOUT_STAGES], const pf_tensor *x)
{
    for (int i = 0; i < PF_CUTOUT_STAGES; i++) {
        const struct pf_cutout_stage *const s = &r->net->stage[i];
        const bool up = i >= LEVELS, down = i > 0 && !up;
        const pf_tensor *const like = up ? &at[U - 1 - i] : x;
        pf_tensor input = i == 0 ? *x : at[i - 1];
        int64_t H = like->dim[1], W = like->dim[2];
        if (down) {
            H = (input.dim[1] + 1) / 2;
            W = (input.dim[2] + 1) / 2;
        }
        PF_TRY(PF_ALLOC(r->dev, &at[i], pf_dev_dtype(r->dev), 1, H, W, s->in->K));
        const size_t mark = pf_dev_mark(r->dev);
        if (down)
            PF_TRY(pool(r->dev, &input, &at[i - 1]));
        if (up)
            PF_TRY(join(r->dev, &input, &at[i - 1], like));
        PF_TRY(stage(r, &at[i], &input, i));
        pf_dev_reset(r->dev, mark);
    }
    return PF_OK;
}

/* The logit of the mask, as large as side1's, from the stages' results: outconv of all six. */
static pf_err
fuse(const struct run *r, pf_tensor *y, const pf_tensor at[PF_CUTOUT_STAGES])
{
    pf_tensor all, next, resized, more;
    PF_TRY(side(r, &all, &at[stage_of_side(1)], 1));
    for (int k = 2; k <= PF_CUTOUT_SIDES; k++) {
        PF_TRY(side(r, &next, &at[stage_of_side(k)], k));
        PF_TRY(alloc_like(r->dev, &resized, &all, 1));
        PF_TRY(pf_bilinear(r->dev, &resized, &next));
        PF_TRY(alloc_like(r->dev, &more, &all, k));
        PF_TRY(pf_concat(r->dev, &more, &all, &resized));
        all = more;
    }
    PF_TRY(alloc_like(r->dev, y, &all, 1));
    PF_TRY(pf_linear(r->dev, y, &all, r->net->outconv, NULL));
    return show(r, "outconv", "", y);
}

/* That of IS-Net is side1's, resized to the input. */
static pf_err
enlarge(const struct run *r, pf_tensor *y, const pf_tensor at[PF_CUTOUT_STAGES],
        const pf_tensor *input)
{
    pf_tensor small, other;
    for (int k = PF_CUTOUT_SIDES; k > 1 && r->watch; k--)
        PF_TRY(side(r, &other, &at[stage_of_side(k)], k));
    PF_TRY(side(r, &small, &at[stage_of_side(1)], 1));
    PF_TRY(alloc_like(r->dev, y, input, 1));
    return pf_bilinear(r->dev, y, &small);
}

/* y = the logit [1, H, W, 1] of the mask of x [1, H, W, 3], in the device's memory. */
static pf_err
logit(const struct run *r, pf_tensor *y, const pf_tensor *x)
{
    pf_tensor at[PF_CUTOUT_STAGES], first = *x;
    if (r->net->kind == PF_ISNET) {
        PF_TRY(PF_ALLOC(r->dev, &first, pf_dev_dtype(r->dev), 1, (x->dim[1] + 1) / 2,
                        (x->dim[2] + 1) / 2, CONV_IN));
        PF_TRY(pf_conv(r->dev, &first, x, r->net->conv_in, 2, 1, 1, NULL));
        PF_TRY(show(r, "conv_in", "", &first));
    }
    PF_TRY(run_stages(r, at, &first));
    return r->net->kind == PF_ISNET ? enlarge(r, y, at, x) : fuse(r, y, at);
}

static pf_err
run(const struct run *r, pf_tensor *mask, const pf_tensor *input)
{
    pf_tensor x, y;
    PF_TRY(pf_dev_alloc(r->dev, &x, pf_dev_dtype(r->dev), 4, input->dim));
    PF_TRY(pf_dev_put(r->dev, &x, input));
    PF_TRY(logit(r, &y, &x));
    PF_TRY(fetch(r->dev, mask, &y));
    float *const m = mask->data;
    const int64_t n = pf_tensor_count(mask);
#pragma omp parallel for if (n > 8192)
    for (int64_t i = 0; i < n; i++)
        m[i] = 1 / (1 + expf(-m[i]));
    mask->ndim = 2;             /* [1, H, W, 1] is [H, W] */
    mask->dim[0] = y.dim[1];
    mask->dim[1] = y.dim[2];
    return PF_OK;
}

static pf_err
expect_finite(const pf_tensor *mask)
{
    const float *const v = mask->data;
    for (int64_t i = 0, n = pf_tensor_count(mask); i < n; i++)
        if (!isfinite(v[i]))
            return pf_fail(PF_EFORMAT, "the network's output is not finite; are the weights "
                           "damaged?");
    return PF_OK;
}

pf_err
pf_cutout_run(pf_dev *dev, const pf_cutout *net, pf_tensor *mask, const pf_tensor *input,
              const struct pf_cutout_watch *watch)
{
    const struct run r = {dev, net, watch};
    PF_EXPECT(input, PF_F32, 1, -1, -1, 3);
    if (input->dim[1] < 1 || input->dim[2] < 1)
        return pf_fail(PF_ESHAPE, "a picture of %lld x %lld pixels has no object",
                       (long long)input->dim[2], (long long)input->dim[1]);
    const size_t mark = pf_dev_mark(dev);
    pf_err err = run(&r, mask, input);
    pf_dev_reset(dev, mark);
    if (!err && !pf_dev_is_dry(dev) && (err = expect_finite(mask)))
        pf_tensor_release(mask);
    return err;
}
