/* fba.c - see fba.h; the sections are those of networks.md. */
#include "kernels/cutout/fba.h"

#include <math.h>
#include <stdio.h>

#include "kernels/cutout/parameters.h"
#include "kernels/cutout/watch.h"

enum { LAYERS = 4, GROUPS = 32, TENSORS = 197, INPUT = 11, EXTRAS = 8, OUTPUT = 7 };
static const float EPS = 1e-5f;

/* The table of 8.2. */
static const struct plan {
    const char *name;
    int blocks, width, stride, first_dilation, dilation;
} plans[LAYERS] = {
    {"encoder.layer1", 3, 64, 1, 1, 1},
    {"encoder.layer2", 4, 128, 2, 1, 1},
    {"encoder.layer3", 6, 256, 1, 1, 2},
    {"encoder.layer4", 3, 512, 1, 2, 4},
};
/* Cells on an axis of each average pool. */
static const int cells[PF_FBA_POOLS] = {1, 2, 3, 6};

/* ---- parameters ---- */

struct source {
    pf_dev *dev;
    pf_checkpoint *weights;
};

bool
pf_fba_recognise(const pf_checkpoint *weights)
{
    return pf_checkpoint_has(weights, "decoder.conv_up4.4.weight");
}

static pf_err
load_norm(struct pf_fba_norm *n, const struct source *from, const char *name, int64_t C)
{
    static const char *const part[] = {"weight", "bias"};
    pf_tensor *const to[] = {&n->gamma, &n->beta}, host;
    for (int i = 0; i < 2; i++) {
        PF_TRY(pf_parameter_read(&host, from->weights, name, part[i], 1, &C));
        const pf_err err = pf_dev_vector(from->dev, to[i], &host);
        pf_tensor_release(&host);
        PF_TRY(err);
    }
    return PF_OK;
}

/* A convolution of n inputs of these channels, as one layer of each; the bias is the first's. */
static pf_err
load_parts(pf_layer *layer[], const struct source *from, const struct pf_conv_names *names, int n,
           const int channels[])
{
    struct pf_conv_parameters p;
    int64_t first = 0;
    pf_err err = pf_conv_read(&p, from->weights, names);
    for (int i = 0; i < n && !err; first += channels[i++])
        err = pf_layer_new_slice(from->dev, &layer[i], &p.weight, i ? NULL : &p.bias, first,
                                 first + channels[i]);
    pf_conv_parameters_release(&p);
    return err;
}

/* One of the encoder, without bias. */
static pf_err
load_conv(pf_layer **layer, const struct source *from, const char *name, int K, int C, int side)
{
    return load_parts(layer, from,
                      &(struct pf_conv_names){.conv = name, .standardised = true,
                                              .dim = {K, C, side, side}}, 1, &C);
}

/* One of the decoder, with bias, of n inputs. */
static pf_err
load_up(pf_layer *layer[], const struct source *from, const char *name, bool standardised, int K,
        int side, int n, const int channels[])
{
    int C = 0;
    for (int i = 0; i < n; i++)
        C += channels[i];
    return load_parts(layer, from,
                      &(struct pf_conv_names){.conv = name, .has_bias = true,
                                              .standardised = standardised,
                                              .dim = {K, C, side, side}}, n, channels);
}

static pf_err
load_block(struct pf_fba_block *b, const struct source *from, const char *block, int in, int width)
{
    const int K[] = {width, width, 4 * width}, C[] = {in, width, width};
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.conv%d", block, i + 1);
        PF_TRY(load_conv(&b->conv[i], from, name, K[i], C[i], i == 1 ? 3 : 1));
        snprintf(name, sizeof name, "%s.bn%d", block, i + 1);
        PF_TRY(load_norm(&b->norm[i], from, name, K[i]));
    }
    if (in == 4 * width)
        return PF_OK;
    snprintf(name, sizeof name, "%s.downsample.0", block);
    PF_TRY(load_conv(&b->shortcut, from, name, 4 * width, in, 1));
    snprintf(name, sizeof name, "%s.downsample.1", block);
    return load_norm(&b->shortcut_norm, from, name, 4 * width);
}

static pf_err
load_encoder(pf_fba *net, const struct source *from)
{
    char name[48];
    int in = 64, i = 0;
    PF_TRY(load_conv(&net->conv1, from, "encoder.conv1", in, INPUT, 7));
    PF_TRY(load_norm(&net->norm1, from, "encoder.bn1", in));
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < plans[l].blocks; k++, i++) {
            snprintf(name, sizeof name, "%s.%d", plans[l].name, k);
            PF_TRY(load_block(&net->block[i], from, name, in, plans[l].width));
            in = 4 * plans[l].width;
        }
    return PF_OK;
}

static pf_err
load_decoder(pf_fba *net, const struct source *from)
{
    static const int one[] = {2048, 256, 256, 256, 256}, two[] = {256, 256}, three[] = {256, 64},
                     four[] = {64, EXTRAS}, again = 32, last = 16;
    char name[32];
    for (int i = 0; i < PF_FBA_POOLS; i++) {
        snprintf(name, sizeof name, "decoder.ppm.%d.1", i);
        PF_TRY(load_up(&net->pool[i], from, name, true, 256, 1, 1, one));
        snprintf(name, sizeof name, "decoder.ppm.%d.2", i);
        PF_TRY(load_norm(&net->pool_norm[i], from, name, 256));
    }
    PF_TRY(load_up(net->up1, from, "decoder.conv_up1.0", true, 256, 3, 1 + PF_FBA_POOLS, one));
    PF_TRY(load_norm(&net->up1_norm[0], from, "decoder.conv_up1.1", 256));
    PF_TRY(load_up(&net->up1_again, from, "decoder.conv_up1.3", true, 256, 3, 1, two));
    PF_TRY(load_norm(&net->up1_norm[1], from, "decoder.conv_up1.4", 256));
    PF_TRY(load_up(net->up2, from, "decoder.conv_up2.0", true, 256, 3, 2, two));
    PF_TRY(load_norm(&net->up2_norm, from, "decoder.conv_up2.1", 256));
    PF_TRY(load_up(net->up3, from, "decoder.conv_up3.0", true, 64, 3, 2, three));
    PF_TRY(load_norm(&net->up3_norm, from, "decoder.conv_up3.1", 64));
    PF_TRY(load_up(net->up4, from, "decoder.conv_up4.0", false, 32, 3, 2, four));
    PF_TRY(load_up(&net->up4_again, from, "decoder.conv_up4.2", false, 16, 3, 1, &again));
    return load_up(&net->out, from, "decoder.conv_up4.4", false, OUTPUT, 1, 1, &last);
}

pf_err
pf_fba_load(pf_fba *net, pf_dev *dev, pf_checkpoint *weights)
{
    const struct source from = {dev, weights};
    *net = (pf_fba){0};
    if (pf_checkpoint_count(weights) != TENSORS)
        return pf_fail(PF_EFORMAT, "%s holds %d tensors, FBA matting has %d",
                       pf_checkpoint_path(weights), pf_checkpoint_count(weights), TENSORS);
    PF_TRY(load_encoder(net, &from));
    return load_decoder(net, &from);
}

/* ---- running ---- */

struct run {
    pf_dev *dev;
    const pf_fba *net;
    const struct pf_cutout_watch *watch;
};

static pf_err
show(const struct run *r, const char *name, const pf_tensor *t)
{
    return pf_show(r->dev, r->watch, name, t);
}

static pf_err
alloc(const struct run *r, pf_tensor *t, int64_t H, int64_t W, int64_t C)
{
    return PF_ALLOC(r->dev, t, pf_dev_dtype(r->dev), 1, H, W, C);
}

/* x = act(norm(x)). */
static pf_err
normalise(const struct run *r, pf_tensor *x, const struct pf_fba_norm *n, enum pf_act act)
{
    return pf_group_norm(r->dev, x, x, &n->gamma, &n->beta, GROUPS, EPS, act, NULL, NULL);
}

/* ---- the encoder: 8.2 ---- */

/* y = block of x, of a layer's first block if there is a shortcut; else x is y. */
static pf_err
bottleneck(const struct run *r, pf_tensor *y, const pf_tensor *x, const struct pf_fba_block *b,
           const struct plan *p)
{
    const bool first = b->shortcut != NULL, half = first && p->stride == 2;
    const int64_t H = y->dim[1], W = y->dim[2];
    pf_tensor narrow, middle, wide, from = *x;
    PF_TRY(alloc(r, &narrow, x->dim[1], x->dim[2], p->width));
    PF_TRY(pf_linear(r->dev, &narrow, x, b->conv[0], NULL));
    PF_TRY(normalise(r, &narrow, &b->norm[0], PF_RELU));
    PF_TRY(alloc(r, &middle, H, W, p->width));
    if (half)
        PF_TRY(pf_conv(r->dev, &middle, &narrow, b->conv[1], 2, 1, 1, NULL));
    else
        PF_TRY(pf_conv_dilated(r->dev, &middle, &narrow, b->conv[1],
                               first ? p->first_dilation : p->dilation, NULL));
    PF_TRY(normalise(r, &middle, &b->norm[1], PF_RELU));
    if (half) {                 /* what a 1 x 1 convolution of stride 2 sees */
        PF_TRY(alloc(r, &from, H, W, x->dim[3]));
        PF_TRY(pf_max_pool(r->dev, &from, x, 1));
    }
    if (first) {
        PF_TRY(pf_linear(r->dev, y, &from, b->shortcut, NULL));
        PF_TRY(normalise(r, y, &b->shortcut_norm, PF_NONE));
    }
    PF_TRY(alloc(r, &wide, H, W, y->dim[3]));
    PF_TRY(pf_linear(r->dev, &wide, &middle, b->conv[2], NULL));
    PF_TRY(normalise(r, &wide, &b->norm[2], PF_NONE));
    PF_TRY(pf_add(r->dev, y, y, &wide, 1));
    return pf_activate(r->dev, y, y, PF_RELU);
}

/* y = layer l, whose first block is number i, of x. */
static pf_err
layer(const struct run *r, pf_tensor *y, const pf_tensor *x, int l, int i)
{
    const struct plan *const p = &plans[l];
    char name[48];
    for (int k = 0; k < p->blocks; k++) {
        const size_t mark = pf_dev_mark(r->dev);
        PF_TRY(bottleneck(r, y, k ? y : x, &r->net->block[i + k], p));
        pf_dev_reset(r->dev, mark);
        snprintf(name, sizeof name, "%s.%d", p->name, k);
        PF_TRY(show(r, name, y));
    }
    return PF_OK;
}

/* Of the results of the encoder these stay: c1 at half the size, c2 at a quarter, c5 at an
 * eighth. */
struct features {
    pf_tensor c1, c2, c5;
};

static pf_err
encode(const struct run *r, struct features *f, const pf_tensor *x)
{
    const int64_t H = x->dim[1], W = x->dim[2];
    pf_tensor pooled, c3, c4;
    PF_TRY(alloc(r, &f->c1, H / 2, W / 2, r->net->conv1->K));
    PF_TRY(alloc(r, &f->c2, H / 4, W / 4, 4 * plans[0].width));
    PF_TRY(alloc(r, &f->c5, H / 8, W / 8, 4 * plans[3].width));
    const size_t mark = pf_dev_mark(r->dev);
    PF_TRY(pf_conv(r->dev, &f->c1, x, r->net->conv1, 2, 3, 3, NULL));
    PF_TRY(normalise(r, &f->c1, &r->net->norm1, PF_RELU));
    PF_TRY(show(r, "encoder.relu", &f->c1));
    PF_TRY(alloc(r, &pooled, H / 4, W / 4, f->c1.dim[3]));
    PF_TRY(pf_max_pool(r->dev, &pooled, &f->c1, 3));
    PF_TRY(layer(r, &f->c2, &pooled, 0, 0));
    PF_TRY(alloc(r, &c3, H / 8, W / 8, 4 * plans[1].width));
    PF_TRY(layer(r, &c3, &f->c2, 1, 3));
    PF_TRY(alloc(r, &c4, H / 8, W / 8, 4 * plans[2].width));
    PF_TRY(layer(r, &c4, &c3, 2, 7));
    PF_TRY(layer(r, &f->c5, &c4, 3, 13));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* ---- the decoder: 8.3 ---- */

/* y += w(x), a part of a convolution; the first part sets it. */
static pf_err
add_part(const struct run *r, pf_tensor *y, const pf_tensor *x, const pf_layer *w, bool first)
{
    return pf_conv(r->dev, y, x, w, 1, 1, 1,
                   &(struct pf_epilogue){.residual = first ? NULL : y});
}

/* y += w(x resized to y). */
static pf_err
add_resized(const struct run *r, pf_tensor *y, const pf_tensor *x, const pf_layer *w, bool first)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor resized;
    PF_TRY(alloc(r, &resized, y->dim[1], y->dim[2], x->dim[3]));
    PF_TRY(pf_bilinear(r->dev, &resized, x));
    PF_TRY(add_part(r, y, &resized, w, first));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

/* y += the part of up1 that sees c5 averaged in cells x cells. */
static pf_err
add_pool(const struct run *r, pf_tensor *y, const pf_tensor *c5, int i)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor pooled, p;
    char name[32];
    PF_TRY(alloc(r, &pooled, cells[i], cells[i], c5->dim[3]));
    PF_TRY(pf_average_pool(r->dev, &pooled, c5));
    PF_TRY(alloc(r, &p, cells[i], cells[i], r->net->pool[i]->K));
    PF_TRY(pf_linear(r->dev, &p, &pooled, r->net->pool[i], NULL));
    PF_TRY(normalise(r, &p, &r->net->pool_norm[i], PF_LEAKY_RELU));
    snprintf(name, sizeof name, "decoder.ppm.%d", i);
    PF_TRY(show(r, name, &p));
    PF_TRY(add_resized(r, y, &p, r->net->up1[1 + i], false));
    pf_dev_reset(r->dev, mark);
    return PF_OK;
}

static pf_err
up1(const struct run *r, pf_tensor *y, const pf_tensor *c5)
{
    const size_t mark = pf_dev_mark(r->dev);
    pf_tensor h;
    PF_TRY(alloc(r, &h, y->dim[1], y->dim[2], y->dim[3]));
    PF_TRY(add_part(r, &h, c5, r->net->up1[0], true));
    for (int i = 0; i < PF_FBA_POOLS; i++)
        PF_TRY(add_pool(r, &h, c5, i));
    PF_TRY(normalise(r, &h, &r->net->up1_norm[0], PF_LEAKY_RELU));
    PF_TRY(pf_conv(r->dev, y, &h, r->net->up1_again, 1, 1, 1, NULL));
    PF_TRY(normalise(r, y, &r->net->up1_norm[1], PF_LEAKY_RELU));
    pf_dev_reset(r->dev, mark);
    return show(r, "decoder.conv_up1", y);
}

/* y = norm of the convolution of [x resized to y, skip]. */
static pf_err
up(const struct run *r, pf_tensor *y, const pf_tensor *x, const pf_tensor *skip,
   pf_layer *const w[2], const struct pf_fba_norm *n, const char *name)
{
    PF_TRY(add_resized(r, y, x, w[0], true));
    PF_TRY(add_part(r, y, skip, w[1], false));
    PF_TRY(normalise(r, y, n, PF_LEAKY_RELU));
    return show(r, name, y);
}

/* y = the 7 channels of the result, from up3's and from what the input had. */
static pf_err
up4(const struct run *r, pf_tensor *y, const pf_tensor *x, const pf_tensor *extras)
{
    const struct pf_epilogue leaky = {.act = PF_LEAKY_RELU};
    pf_tensor h, narrow;
    PF_TRY(alloc(r, &h, y->dim[1], y->dim[2], r->net->up4[0]->K));
    PF_TRY(add_resized(r, &h, x, r->net->up4[0], true));
    PF_TRY(add_part(r, &h, extras, r->net->up4[1], false));
    PF_TRY(pf_activate(r->dev, &h, &h, PF_LEAKY_RELU));
    PF_TRY(alloc(r, &narrow, y->dim[1], y->dim[2], r->net->up4_again->K));
    PF_TRY(pf_conv(r->dev, &narrow, &h, r->net->up4_again, 1, 1, 1, &leaky));
    PF_TRY(pf_linear(r->dev, y, &narrow, r->net->out, NULL));
    return show(r, "decoder.conv_up4", y);
}

static pf_err
decode(const struct run *r, pf_tensor *y, const struct features *f, const pf_tensor *extras)
{
    const pf_fba *const net = r->net;
    pf_tensor u1, u2, u3;
    PF_TRY(alloc(r, &u1, f->c5.dim[1], f->c5.dim[2], 256));
    PF_TRY(up1(r, &u1, &f->c5));
    PF_TRY(alloc(r, &u2, f->c2.dim[1], f->c2.dim[2], 256));
    PF_TRY(up(r, &u2, &u1, &f->c2, net->up2, &net->up2_norm, "decoder.conv_up2"));
    PF_TRY(alloc(r, &u3, f->c1.dim[1], f->c1.dim[2], 64));
    PF_TRY(up(r, &u3, &u2, &f->c1, net->up3, &net->up3_norm, "decoder.conv_up3"));
    return up4(r, y, &u3, extras);
}

/* ---- before and behind ---- */

/* to[pixels, C]: these tensors' channels side by side. */
static pf_err
put_side_by_side(pf_dev *dev, pf_tensor *to, int n, const pf_tensor *const part[])
{
    const int64_t C = to->dim[3], pixels = to->dim[1] * to->dim[2];
    pf_tensor host;
    PF_TRY(pf_tensor_new(&host, PF_F32, 4, to->dim));
    for (int64_t at = 0, i = 0; i < n; at += part[i++]->dim[2])
        for (int64_t p = 0, k = part[i]->dim[2]; p < pixels; p++)
            for (int64_t c = 0; c < k; c++)
                ((float *)host.data)[p * C + at + c] = ((const float *)part[i]->data)[p * k + c];
    const pf_err err = pf_dev_put(dev, to, &host);
    pf_tensor_release(&host);
    return err;
}

/* The network's input and, for up4, the extras. */
static pf_err
put_input(const struct run *r, pf_tensor *x, pf_tensor *extras, const struct pf_fba_input *input)
{
    static const float mean[] = {0.485f, 0.456f, 0.406f}, deviation[] = {0.229f, 0.224f, 0.225f};
    const int64_t H = input->image.dim[0], W = input->image.dim[1];
    pf_tensor scaled;
    PF_TRY(alloc(r, x, H, W, INPUT));
    PF_TRY(alloc(r, extras, H, W, EXTRAS));
    PF_TRY(pf_tensor_copy(&scaled, &input->image));
    float *const v = scaled.data;
    for (int64_t i = 0, n = pf_tensor_count(&scaled); i < n; i++)
        v[i] = (v[i] - mean[i % 3]) / deviation[i % 3];
    const pf_tensor *const all[] = {&scaled, &input->distance, &input->certain},
                          *const some[] = {&scaled, &input->image, &input->certain};
    pf_err err = put_side_by_side(r->dev, x, 3, all);
    if (!err)
        err = put_side_by_side(r->dev, extras, 3, some);
    pf_tensor_release(&scaled);
    return err;
}

static float
clamp(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static float
sigmoid(float v)
{
    return 1 / (1 + expf(-v));
}

/* A pixel's 7 numbers, in place, with its colour: 8.4. */
static void
fuse(float *o, const float *image)
{
    const float a = clamp(o[0]);
    float product = 0, square = 0;
    for (int c = 0; c < 3; c++) {
        const float f = sigmoid(o[1 + c]), b = sigmoid(o[4 + c]), i = image[c];
        const float f1 = a * i + (1 - a * a) * f - a * (1 - a) * b;
        const float b1 = (1 - a) * i + (2 * a - a * a) * b - a * (1 - a) * f1;
        o[1 + c] = clamp(f1);
        o[4 + c] = clamp(b1);
        product += (i - o[4 + c]) * (o[1 + c] - o[4 + c]);
        square += (o[1 + c] - o[4 + c]) * (o[1 + c] - o[4 + c]);
    }
    o[0] = clamp((0.1f * a + product) / (square + 0.1f));
}

static pf_err
run(const struct run *r, pf_tensor *output, const struct pf_fba_input *input)
{
    pf_tensor x, extras, y;
    struct features f;
    PF_TRY(put_input(r, &x, &extras, input));
    PF_TRY(alloc(r, &y, x.dim[1], x.dim[2], OUTPUT));
    PF_TRY(encode(r, &f, &x));
    PF_TRY(decode(r, &y, &f, &extras));
    PF_TRY(pf_fetch(r->dev, output, &y));
#pragma omp parallel for
    for (int64_t i = 0; i < x.dim[1] * x.dim[2]; i++)
        fuse((float *)output->data + i * OUTPUT, (const float *)input->image.data + 3 * i);
    *output = PF_VIEW(output->data, PF_F32, x.dim[1], x.dim[2], OUTPUT);
    return PF_OK;
}

pf_err
pf_fba_run(pf_dev *dev, const pf_fba *net, pf_tensor *output, const struct pf_fba_input *input,
           const struct pf_cutout_watch *watch)
{
    const struct run r = {dev, net, watch};
    const int64_t H = input->image.dim[0], W = input->image.dim[1];
    PF_TRY(pf_tensor_expect(&input->image, "image", PF_F32, 3, (int64_t[]){-1, -1, 3}));
    PF_TRY(pf_tensor_expect(&input->certain, "certain", PF_F32, 3, (int64_t[]){H, W, 2}));
    PF_TRY(pf_tensor_expect(&input->distance, "distance", PF_F32, 3, (int64_t[]){H, W, 6}));
    if (H < 8 || W < 8 || H % 8 || W % 8)
        return pf_fail(PF_ESHAPE, "FBA matting takes pictures whose sides are multiples of 8, not "
                       "%lld x %lld", (long long)W, (long long)H);
    const size_t mark = pf_dev_mark(dev);
    const pf_err err = run(&r, output, input);
    pf_dev_reset(dev, mark);
    return err;
}
