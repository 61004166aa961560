/* random_tracer.h - weights of TRACER-B7, made and named as random_cutout.h says. */
#ifndef PF_TEST_RANDOM_TRACER_H
#define PF_TEST_RANDOM_TRACER_H
#include "tests/kernels/cutout/random_cutout.h"

/* PREFIX.NAME [K, C, h, w], or [K] where C is 0. */
static inline void
random_part(struct random_cutout *r, const char *prefix, const char *name, int64_t K, int64_t C,
            int64_t h, int64_t w)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    random_add(r, full, C ? 4 : 1, (int64_t[]){K, C, h, w});
}

static inline void
random_norm(struct random_cutout *r, const char *prefix, const char *norm, int64_t C)
{
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    char name[64];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", norm, parts[i]);
        random_part(r, prefix, name, C, 0, 0, 0);
    }
}

static inline void
random_normed(struct random_cutout *r, const char *prefix, const char *conv, const char *norm,
              int64_t K, int64_t C, int64_t h, int64_t w)
{
    char name[64];
    snprintf(name, sizeof name, "%s.weight", conv);
    random_part(r, prefix, name, K, C, h, w);
    random_norm(r, prefix, norm, K);
}

static inline void
random_blocks(struct random_cutout *r, int first, int blocks, int side, int expand, int in, int out)
{
    char name[48];
    for (int k = 0; k < blocks; k++) {
        const int from = k ? out : in, mid = from * expand;
        snprintf(name, sizeof name, "encoder._blocks.%d", first + k);
        if (expand > 1)
            random_normed(r, name, "_expand_conv", "_bn0", mid, from, 1, 1);
        random_normed(r, name, "_depthwise_conv", "_bn1", mid, 1, side, side);
        random_part(r, name, "_se_reduce.weight", from / 4, mid, 1, 1);
        random_part(r, name, "_se_reduce.bias", from / 4, 0, 0, 0);
        random_part(r, name, "_se_expand.weight", mid, from / 4, 1, 1);
        random_part(r, name, "_se_expand.bias", mid, 0, 0, 0);
        random_normed(r, name, "_project_conv", "_bn2", out, mid, 1, 1);
    }
}

static inline void
random_field(struct random_cutout *r, const char *field, int in, int out)
{
    char name[48];
    snprintf(name, sizeof name, "%s.branch0.0", field);
    random_normed(r, name, "conv", "bn", out, in, 1, 1);
    for (int b = 1; b < 4; b++) {
        const int d = 2 * b + 1;
        const int size[4][2] = {{1, 1}, {1, d}, {d, 1}, {3, 3}};
        for (int k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "%s.branch%d.%d", field, b, k);
            random_normed(r, name, "conv", "bn", out, k ? out : in, size[k][0], size[k][1]);
        }
    }
    random_normed(r, field, "conv_cat.conv", "conv_cat.bn", out, 4 * out, 3, 3);
    random_normed(r, field, "conv_res.conv", "conv_res.bn", out, in, 1, 1);
}

static inline void
random_object(struct random_cutout *r, const char *object, int C)
{
    char name[48];
    random_normed(r, object, "DWSConv.DWConv", "DWSConv.bn", C, 1, 3, 3);
    random_normed(r, object, "DWSConv.PWConv", "DWSConv.bn2", C / 2, C, 1, 1);
    for (int b = 1; b <= 4; b++) {
        snprintf(name, sizeof name, "%s.DWConv%d", object, b);
        random_normed(r, name, "0.DWConv", "0.bn", C / 2, 1, b > 1 ? 3 : 1, b > 1 ? 3 : 1);
        random_normed(r, name, "1.conv", "1.bn", C / 8, C / 2, 1, 1);
    }
    random_normed(r, object, "conv1.conv", "conv1.bn", 1, C / 2, 1, 1);
}

static inline void
random_aggregation(struct random_cutout *r)
{
    static const char *const units[] = {"conv_upsample1", "conv_upsample2", "conv_upsample3",
                                        "conv_upsample4", "conv_upsample5", "conv_concat2",
                                        "conv_concat3"};
    static const int size[][2] = {{64, 128},  {32, 128},  {32, 64},  {128, 128},
                                  {192, 192}, {192, 192}, {224, 224}};
    static const char *const maps[] = {"channel_q.weight", "channel_k.weight", "channel_v.weight",
                                       "fc.weight",        "spatial_q.weight", "spatial_k.weight",
                                       "spatial_v.weight"};
    char name[48];
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "agg.%s", units[i]);
        random_normed(r, name, "conv", "bn", size[i][0], size[i][1], 3, 3);
    }
    random_norm(r, "agg.UAM", "bn", 224);
    random_norm(r, "agg.UAM", "norm.0", 224);
    for (int i = 0; i < 7; i++)
        random_part(r, "agg.UAM", maps[i], i < 4 ? 224 : 1, 224, 1, 1);
}

static inline float
random_tracer_gain(const char *name)
{
    int block;
    if (random_ends(name, ".channel_q.weight") || random_ends(name, ".channel_k.weight"))
        return 16;
    if (random_ends(name, ".UAM.fc.weight"))
        return 64;
    if (random_ends(name, ".spatial_q.weight") || random_ends(name, ".spatial_k.weight"))
        return 2;
    if (random_ends(name, ".spatial_v.weight"))
        return 32;
    if (random_begins(name, "ObjectAttention") && random_ends(name, ".conv1.conv.weight"))
        return 256;
    if (random_begins(name, "rfb") || random_begins(name, "agg"))
        return 1;
    return sscanf(name, "encoder._blocks.%d._project", &block) == 1 &&
           random_ends(name, "._project_conv.weight") && block >= 28 ? 1 : 2;
}

static inline void
random_tracer_exception(float *to, const char *name, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (random_ends(name, ".spatial_v.weight"))
            to[i] = -to[i];
        if (!strcmp(name, "ObjectAttention1.conv1.bn.bias"))
            to[i] += 12;
        if (!strcmp(name, "ObjectAttention2.conv1.bn.bias"))
            to[i] += 30;
    }
}

static inline void
random_tracer_names(struct random_cutout *r)
{
    *r = (struct random_cutout){0};
    random_part(r, "encoder", "_conv_stem.weight", 64, 3, 3, 3);
    random_norm(r, "encoder", "_bn0", 64);
    random_blocks(r, 0, 4, 3, 1, 64, 32);
    random_blocks(r, 4, 7, 3, 6, 32, 48);
    random_blocks(r, 11, 7, 5, 6, 48, 80);
    random_blocks(r, 18, 10, 3, 6, 80, 160);
    random_blocks(r, 28, 10, 5, 6, 160, 224);
    random_blocks(r, 38, 13, 5, 6, 224, 384);
    random_blocks(r, 51, 4, 3, 6, 384, 640);
    random_field(r, "rfb2", 80, 32);
    random_field(r, "rfb3", 224, 64);
    random_field(r, "rfb4", 640, 128);
    random_aggregation(r);
    random_object(r, "ObjectAttention1", 48);
    random_object(r, "ObjectAttention2", 80);
    /* The file that people have holds an edge detector too. */
    random_part(r, "edge", "conv.weight", 1, 48, 3, 3);
}

static inline void
random_tracer(struct random_cutout *r)
{
    random_tracer_names(r);
    random_write(r, random_tracer_gain, random_tracer_exception);
}

#endif
