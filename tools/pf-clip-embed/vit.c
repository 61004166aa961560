/* vit.c - CLIP's image encoder (crop.md, 3 and 4). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/pf-clip-embed/vit.h"

/* ---- parameters ---- */

struct place {                  /* where the encoder's tensors are */
    pf_dev *dev;
    pf_checkpoint *weights;
    const char *prefix;
    bool round;                 /* OpenAI's file: matrices count as f16 (crop.md, 5) */
};

/* Copy a tensor as f32, its values rounded to those of f16 where round says so. */
static pf_err
copy_rounded(pf_tensor *to, const pf_tensor *from, bool round)
{
    const int64_t n = pf_tensor_count(from);
    PF_TRY(pf_tensor_new(to, PF_F32, from->ndim, from->dim));
    float *p = to->data;
    pf_to_f32(p, from->data, from->dtype, n);
    for (int64_t i = 0; round && i < n; i++)
        p[i] = pf_f16_to_f32(pf_f32_to_f16(p[i]));
    return PF_OK;
}

static pf_err
need(const struct place *at, pf_tensor *t, const char *name, int ndim, const int64_t *dim)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", at->prefix, name);
    PF_TRY(pf_checkpoint_need(at->weights, full, t, ndim, dim));
    return pf_dev_is_cuda(at->dev)              // vit_load looks at what was counted
               ? PF_OK : pf_checkpoint_expect_finite(at->weights, full, t);
}

/* Make a layer of a [K, C] matrix and a bias or NULL.  Both are released: the device has its own
 * copy. */
static pf_err
make_layer(const struct place *at, pf_layer **w, pf_tensor *weight, pf_tensor *bias)
{
    const pf_err err = pf_layer_new_stack(at->dev, w, 1, weight, bias);
    pf_tensor_release(weight);
    if (bias)
        pf_tensor_release(bias);
    return err;
}

/* Load NAMEweight and NAMEbias; NAME is "mlp.c_fc." or, as torch's attention has it,
 * "attn.in_proj_". */
static pf_err
load_linear(const struct place *at, pf_layer **w, const char *name, int64_t K, int64_t C)
{
    char full[200];
    pf_tensor weight, bias, wcopy, bcopy;
    snprintf(full, sizeof full, "%sweight", name);
    PF_TRY(need(at, &weight, full, 2, (int64_t[]){K, C}));
    snprintf(full, sizeof full, "%sbias", name);
    PF_TRY(need(at, &bias, full, 1, &K));
    if (!at->round)             /* straight from the mapped file */
        return pf_layer_new(at->dev, w, &weight, &bias, false);
    PF_TRY(copy_rounded(&wcopy, &weight, at->round));
    const pf_err err = copy_rounded(&bcopy, &bias, at->round);
    if (err) {
        pf_tensor_release(&wcopy);
        return err;
    }
    return make_layer(at, w, &wcopy, &bcopy);
}

static pf_err
load_norm(const struct place *at, pf_tensor norm[2], const char *name, int64_t W)
{
    static const char *const part[] = {"weight", "bias"};
    char full[200];
    pf_tensor t;
    for (int i = 0; i < 2; i++) {
        snprintf(full, sizeof full, "%s.%s", name, part[i]);
        PF_TRY(need(at, &t, full, 1, &W));
        PF_TRY(pf_dev_vector(at->dev, &norm[i], &t));
    }
    return PF_OK;
}

static pf_err
load_block(const struct place *at, struct vit_block *b, int i, int64_t W)
{
    char name[160];
    struct place in = *at;
    snprintf(name, sizeof name, "%stransformer.resblocks.%d.", at->prefix, i);
    in.prefix = name;
    PF_TRY(load_norm(&in, b->ln1, "ln_1", W));
    PF_TRY(load_linear(&in, &b->qkv, "attn.in_proj_", 3 * W, W));
    PF_TRY(load_linear(&in, &b->out, "attn.out_proj.", W, W));
    PF_TRY(load_norm(&in, b->ln2, "ln_2", W));
    PF_TRY(load_linear(&in, &b->fc, "mlp.c_fc.", 4 * W, W));
    return load_linear(&in, &b->proj, "mlp.c_proj.", W, 4 * W);
}

/* Load the stride-P convolution as a linear map of whole patches. */
static pf_err
load_patches(const struct place *at, struct vit *v)
{
    pf_tensor conv, copy;
    PF_TRY(need(at, &conv, "conv1.weight", 4, (int64_t[]){v->width, 3, v->patch, v->patch}));
    PF_TRY(copy_rounded(&copy, &conv, at->round));
    copy.ndim = 2;
    copy.dim[1] = 3 * (int64_t)v->patch * v->patch;
    return make_layer(at, &v->patches, &copy, NULL);
}

/* proj is used as x @ proj: the layer is its transpose. */
static pf_err
load_proj(const struct place *at, struct vit *v)
{
    const int64_t W = v->width, D = v->dim;
    pf_tensor proj, copy, turned;
    PF_TRY(need(at, &proj, "proj", 2, (int64_t[]){W, D}));
    PF_TRY(copy_rounded(&copy, &proj, at->round));
    const pf_err err = PF_TENSOR_NEW(&turned, PF_F32, D, W);
    if (!err)
        for (int64_t w = 0; w < W; w++)
            for (int64_t d = 0; d < D; d++)
                ((float *)turned.data)[d * W + w] = ((float *)copy.data)[w * D + d];
    pf_tensor_release(&copy);
    return err ? err : make_layer(at, &v->proj, &turned, NULL);
}

/* Load the positions; the class embedding is added to the first already here. */
static pf_err
load_position(const struct place *at, struct vit *v)
{
    const int64_t W = v->width, n = v->side / v->patch, T = n * n + 1;
    pf_tensor position, class, host = {0}, first = {0};
    pf_err err;
    PF_TRY(need(at, &class, "class_embedding", 1, &W));
    PF_TRY(need(at, &position, "positional_embedding", 2, (int64_t[]){T, W}));
    if ((err = copy_rounded(&host, &position, false)) ||
        (err = copy_rounded(&first, &class, false)))
        goto out;
    for (int64_t i = 0; i < W; i++)
        ((float *)host.data)[i] += ((float *)first.data)[i];
    host = PF_VIEW(host.data, PF_F32, 1, T, W);
    if ((err = pf_dev_keep(at->dev, &v->position, pf_dev_dtype(at->dev), 3, host.dim)))
        goto out;
    err = pf_dev_put(at->dev, &v->position, &host);
out:
    pf_tensor_release(&host);
    pf_tensor_release(&first);
    return err;
}

pf_err
vit_load(struct vit *v, pf_dev *dev, pf_checkpoint *weights, const struct pf_config *conf)
{
    pf_tensor t;
    const bool openai = pf_checkpoint_get(weights, "visual.conv1.weight", &t);
    const char *const prefix = openai ? "visual." : "clip_image_encoder.model.visual.";
    const struct place at = {dev, weights, prefix, openai};
    *v = (struct vit){
        .side = conf->clip.image_size,
        .patch = conf->clip.patch_size,
        .width = conf->clip.width,
        .layers = conf->clip.layers,
        .heads = conf->clip.heads,
        .dim = conf->clip.output_dim,
    };
    if (v->side % v->patch)
        return pf_fail(PF_EARG, "clip.image_size %d is not a multiple of clip.patch_size %d",
                       v->side, v->patch);
    if (v->width % v->heads)
        return pf_fail(PF_EARG, "clip.width %d is not a multiple of clip.heads %d", v->width,
                       v->heads);
    if (v->layers > VIT_LAYERS_MAX)
        return pf_fail(PF_EARG, "clip.layers is %d, at most %d are known", v->layers,
                       VIT_LAYERS_MAX);
    PF_TRY(load_patches(&at, v));
    PF_TRY(load_position(&at, v));
    PF_TRY(load_norm(&at, v->ln_pre, "ln_pre", v->width));
    for (int i = 0; i < v->layers; i++)
        PF_TRY(load_block(&at, &v->block[i], i, v->width));
    PF_TRY(load_norm(&at, v->ln_post, "ln_post", v->width));
    PF_TRY(load_proj(&at, v));
    return pf_dev_odd(dev) ? pf_checkpoint_expect_all_finite(weights) : PF_OK;
}

/* ---- the picture ---- */

/* The four taps and weights of output i; taps beyond the border repeat it. */
static void
cubic_taps(int tap[4], float weight[4], int i, int from, int to)
{
    const float a = -0.75f;
    const float s = to > 1 ? (float)(from - 1) / (float)(to - 1) * (float)i : 0.0f;
    const int base = (int)floorf(s);
    const float t = s - (float)base;
    for (int k = 0; k < 4; k++) {
        const float x = fabsf((float)(k - 1) - t);
        const int at = base + k - 1;
        weight[k] = x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1
                           : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
        tap[k] = at < 0 ? 0 : at >= from ? from - 1 : at;
    }
}

pf_err
vit_preprocess(pf_tensor *to, const pf_tensor *image, int side)
{
    static const float mean[] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float deviation[] = {0.26862954f, 0.26130258f, 0.27577711f};
    const int S = (int)image->dim[1];
    PF_TRY(PF_TENSOR_NEW(to, PF_F32, 3, side, side));
#pragma omp parallel for
    for (int y = 0; y < side; y++) {
        int ty[4], tx[4];
        float wy[4], wx[4];
        cubic_taps(ty, wy, y, S, side);
        for (int x = 0; x < side; x++) {
            cubic_taps(tx, wx, x, S, side);
            for (int c = 0; c < 3; c++) {
                const float *p = (const float *)image->data + (int64_t)c * S * S;
                float sum = 0;
                for (int j = 0; j < 4; j++) {
                    const float *row = p + (int64_t)ty[j] * S;
                    sum += wy[j] * (wx[0] * row[tx[0]] + wx[1] * row[tx[1]] + wx[2] * row[tx[2]] +
                                    wx[3] * row[tx[3]]);
                }
                ((float *)to->data)[((int64_t)c * side + y) * side + x] =
                    ((sum + 1) / 2 - mean[c]) / deviation[c];
            }
        }
    }
    return PF_OK;
}

/* ---- the encoder ---- */

/* Turn [3, side, side] into patches [1, n * n, 3 * P * P], as the flattened kernel has them. */
static void
unfold(float *to, const float *from, int side, int P)
{
    const int n = side / P;
    for (int i = 0; i < n * n; i++)
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < P; y++, to += P)
                memcpy(to, from + ((int64_t)c * side + i / n * P + y) * side + i % n * P,
                       (size_t)P * sizeof *to);
}

/* x [1, T, W] = ln_pre(class token and patches + positions).  The class token's patch is zero. */
static pf_err
embed_patches(pf_dev *dev, pf_tensor *x, const struct vit *v, const pf_tensor *input)
{
    const int64_t n = v->side / v->patch, T = n * n + 1, C = 3 * (int64_t)v->patch * v->patch;
    pf_tensor host, patches;
    PF_TRY(PF_ALLOC(dev, x, pf_dev_dtype(dev), 1, T, v->width));
    PF_TRY(PF_ALLOC(dev, &patches, pf_dev_dtype(dev), 1, T, C));
    PF_TRY(PF_TENSOR_NEW(&host, PF_F32, 1, T, C));
    unfold((float *)host.data + C, input->data, v->side, v->patch);
    const pf_err err = pf_dev_put(dev, &patches, &host);
    pf_tensor_release(&host);
    PF_TRY(err);
    PF_TRY(pf_linear(dev, x, &patches, v->patches,
                     &(struct pf_epilogue){.residual = &v->position}));
    return pf_layer_norm(dev, x, x, &v->ln_pre[0], &v->ln_pre[1], 1e-5f);
}

/* Run a ResidualAttentionBlock for the first Q tokens: all, or in the last block the class token
 * alone. */
static pf_err
block(pf_dev *dev, pf_tensor *x, const struct vit_block *b, int heads, int64_t Q)
{
    const int64_t T = x->dim[1], W = x->dim[2];
    const float scale = 1.0f / sqrtf((float)(W / heads));
    const size_t mark = pf_dev_mark(dev);
    pf_tensor n, qkv, a, h;
    PF_TRY(pf_dev_alloc(dev, &n, x->dtype, 3, x->dim));
    PF_TRY(PF_ALLOC(dev, &qkv, x->dtype, 1, T, 3 * W));
    PF_TRY(PF_ALLOC(dev, &a, x->dtype, 1, Q, W));
    PF_TRY(PF_ALLOC(dev, &h, x->dtype, 1, Q, 4 * W));
    PF_TRY(pf_layer_norm(dev, &n, x, &b->ln1[0], &b->ln1[1], 1e-5f));
    PF_TRY(pf_linear(dev, &qkv, &n, b->qkv, NULL));                     // [1, T, 3W]
    PF_TRY(pf_attention(dev, &a, &qkv, heads, scale, NULL, 0));              // [1, Q, W]
    x->dim[1] = Q;
    PF_TRY(pf_linear(dev, x, &a, b->out, &(struct pf_epilogue){.residual = x}));
    PF_TRY(pf_layer_norm(dev, &a, x, &b->ln2[0], &b->ln2[1], 1e-5f));
    PF_TRY(pf_linear(dev, &h, &a, b->fc,
                     &(struct pf_epilogue){.act = PF_QUICK_GELU}));     // [1, Q, 4W]
    PF_TRY(pf_linear(dev, x, &h, b->proj, &(struct pf_epilogue){.residual = x}));
    pf_dev_reset(dev, mark);
    return PF_OK;
}

pf_err
vit_embed(pf_dev *dev, pf_tensor *embedding, const struct vit *v, const pf_tensor *input)
{
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x, y;
    PF_TRY(PF_ALLOC(dev, &y, pf_dev_dtype(dev), 1, 1, v->dim));
    PF_TRY(embed_patches(dev, &x, v, input));                           // [1, T, W]
    for (int i = 0; i < v->layers; i++)
        PF_TRY(block(dev, &x, &v->block[i], v->heads, i + 1 < v->layers ? x.dim[1] : 1));
    PF_TRY(pf_layer_norm(dev, &x, &x, &v->ln_post[0], &v->ln_post[1], 1e-5f));
    PF_TRY(pf_linear(dev, &y, &x, v->proj, NULL));                      // [1, 1, dim]
    y.ndim = 2;
    y.dim[1] = v->dim;
    PF_TRY(PF_TENSOR_NEW(embedding, PF_F32, 1, v->dim));
    const pf_err err = pf_dev_get(dev, embedding, &y);
    pf_dev_reset(dev, mark);
    return err;
}
