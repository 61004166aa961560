/* lpips.c - see lpips.h.  Both pictures go through VGG16 together, a batch of two; after the last
 * ReLU of each of its five blocks features are compared. */
#include "tools/pf-eval/lpips.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checkpoint.h"
#include "kernels/ops.h"

enum { BLOCKS = 5, CONVOLUTIONS = 13, SIDES = 1 << (BLOCKS - 1) };
/* Where torchvision's vgg16().features has its convolutions, and in which block. */
static const int place[CONVOLUTIONS] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int block[CONVOLUTIONS] = {0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4};
/* lpips' scaling layer, for colours in -1..1. */
static const float shift[3] = {-0.030f, -0.088f, -0.188f}, scale[3] = {0.458f, 0.448f, 0.450f};

struct lpips {
    pf_dev *dev;
    pf_checkpoint *weights, *heads;     /* heads: weights, or another file */
    pf_layer *conv[CONVOLUTIONS];
    float *head[BLOCKS];        /* [channels], owned */
    int64_t channels[BLOCKS];
};

/* ---- weights ---- */

static pf_err
need(pf_checkpoint *w, const char *name, pf_tensor *t, int ndim, const int64_t *dim)
{
    PF_TRY(pf_checkpoint_need(w, name, t, ndim, dim));
    return pf_checkpoint_expect_finite(w, name, t);
}

/* Convolution k of C channels; *C becomes the number of its outputs. */
static pf_err
load_convolution(struct lpips *net, int k, int64_t *C)
{
    char prefix[40], name[48];
    pf_tensor weight, bias;
    if (pf_checkpoint_has(net->weights, "net.slice1."))
        snprintf(prefix, sizeof prefix, "net.slice%d.%d", block[k] + 1, place[k]);
    else
        snprintf(prefix, sizeof prefix, "features.%d", place[k]);
    snprintf(name, sizeof name, "%s.weight", prefix);
    PF_TRY(need(net->weights, name, &weight, 4, (int64_t[]){-1, *C, 3, 3}));
    *C = weight.dim[0];
    snprintf(name, sizeof name, "%s.bias", prefix);
    PF_TRY(need(net->weights, name, &bias, 1, C));
    return pf_layer_new(net->dev, &net->conv[k], &weight, &bias, false);
}

static pf_err
load_head(struct lpips *net, int b)
{
    const int64_t C = net->channels[b];
    char name[48];
    pf_tensor t;
    snprintf(name, sizeof name, "lin%d.model.1.weight", b);
    PF_TRY(need(net->heads, name, &t, 4, (int64_t[]){1, C, 1, 1}));
    if (!(net->head[b] = malloc((size_t)C * sizeof *net->head[b])))
        return pf_fail(PF_ENOMEM, "no memory for the heads of LPIPS");
    pf_to_f32(net->head[b], t.data, t.dtype, C);
    return PF_OK;
}

pf_err
lpips_open(struct lpips **to, pf_dev *dev, const char *weights, const char *heads)
{
    int64_t C = 3;
    struct lpips *const net = *to = calloc(1, sizeof *net);
    if (!net)
        return pf_fail(PF_ENOMEM, "no memory for LPIPS");
    net->dev = dev;
    PF_TRY(pf_checkpoint_open(&net->weights, weights));
    net->heads = net->weights;
    if (heads)
        PF_TRY(pf_checkpoint_open(&net->heads, heads));
    for (int k = 0; k < CONVOLUTIONS; k++) {
        PF_TRY(load_convolution(net, k, &C));
        net->channels[block[k]] = C;
    }
    for (int b = 0; b < BLOCKS; b++)
        PF_TRY(load_head(net, b));
    return PF_OK;
}

void
lpips_close(struct lpips *net)
{
    if (!net)
        return;
    if (net->heads != net->weights)
        pf_checkpoint_close(net->heads);
    pf_checkpoint_close(net->weights);
    for (int b = 0; b < BLOCKS; b++)
        free(net->head[b]);
    free(net);
}

/* ---- the distance ---- */

/* The mean over pixels of what the head makes of the squared differences of features that have
 * length 1 in each pixel.  f float [2, H, W, C]. */
static double
compare_features(const float *f, int64_t pixels, int64_t C, const float *head)
{
    double sum = 0;
    for (int64_t i = 0; i < pixels; i++) {
        const float *const a = f + i * C, *const b = a + pixels * C;
        double aa = 0, bb = 0, at = 0;
        for (int64_t c = 0; c < C; c++) {
            aa += (double)a[c] * a[c];
            bb += (double)b[c] * b[c];
        }
        aa = 1 / (sqrt(aa) + 1e-10);
        bb = 1 / (sqrt(bb) + 1e-10);
        for (int64_t c = 0; c < C; c++)
            at += head[c] * (a[c] * aa - b[c] * bb) * (a[c] * aa - b[c] * bb);
        sum += at;
    }
    return sum / (double)pixels;
}

static pf_err
add_block(double *distance, const struct lpips *net, int b, const pf_tensor *x)
{
    pf_tensor f;
    PF_TRY(pf_tensor_new_unset(&f, PF_F32, x->ndim, x->dim));
    const pf_err err = pf_dev_get(net->dev, &f, x);
    if (!err)
        *distance += compare_features(f.data, x->dim[1] * x->dim[2], x->dim[3], net->head[b]);
    pf_tensor_release(&f);
    return err;
}

/* Both pictures in the range that VGG16 was trained on. */
static pf_err
upload(pf_tensor *x, const struct lpips *net, const float *a, const float *b, int width,
       int height)
{
    const int64_t n = 3 * (int64_t)width * height;
    pf_tensor host;
    PF_TRY(PF_TENSOR_NEW(&host, PF_F32, 2, height, width, 3));
    float *const to = host.data;
    for (int64_t i = 0; i < 2 * n; i++)
        to[i] = (2 * (i < n ? a[i] : b[i - n]) - 1 - shift[i % 3]) / scale[i % 3];
    pf_err err = PF_ALLOC(net->dev, x, pf_dev_dtype(net->dev), 2, height, width, 3);
    if (!err)
        err = pf_dev_put(net->dev, x, &host);
    pf_tensor_release(&host);
    return err;
}

static pf_err
run(double *distance, const struct lpips *net, pf_tensor x)
{
    const struct pf_epilogue relu = {.act = PF_RELU};
    pf_dev *const dev = net->dev;
    for (int k = 0; k < CONVOLUTIONS; k++) {
        const int64_t H = x.dim[1], W = x.dim[2];
        pf_tensor y;
        PF_TRY(PF_ALLOC(dev, &y, pf_dev_dtype(dev), 2, H, W, net->conv[k]->K));
        PF_TRY(pf_conv(dev, &y, &x, net->conv[k], 1, 1, 1, &relu));
        x = y;
        if (k + 1 < CONVOLUTIONS && block[k + 1] == block[k])
            continue;
        PF_TRY(add_block(distance, net, block[k], &x));
        if (k + 1 == CONVOLUTIONS)
            break;
        PF_TRY(PF_ALLOC(dev, &y, pf_dev_dtype(dev), 2, H / 2, W / 2, x.dim[3]));
        PF_TRY(pf_max_pool(dev, &y, &x, 2));
        x = y;
    }
    return PF_OK;
}

pf_err
lpips_distance(double *distance, struct lpips *net, const float *a, const float *b, int width,
               int height)
{
    const size_t mark = pf_dev_mark(net->dev);
    pf_tensor x;
    *distance = 0;
    if (width % SIDES || height % SIDES)
        return pf_fail(PF_ESHAPE, "LPIPS of views of %d x %d pixels: expected sides that are "
                       "multiples of %d", width, height, SIDES);
    pf_err err = upload(&x, net, a, b, width, height);
    if (!err)
        err = run(distance, net, x);
    pf_dev_reset(net->dev, mark);
    return err;
}
