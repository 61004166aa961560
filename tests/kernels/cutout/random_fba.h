/* random_fba.h - weights of FBA matting, made and named as random_cutout.h says. */
#ifndef PF_TEST_RANDOM_FBA_H
#define PF_TEST_RANDOM_FBA_H
#include "tests/kernels/cutout/random_cutout.h"

static inline void
random_named(struct random_cutout *r, const char *name, const char *part, int64_t K, int64_t C,
             int64_t side)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", name, part);
    random_add(r, full, C ? 4 : 1, (int64_t[]){K, C, side, side});
}

/* A convolution CONV and, unless it is NULL, the norm NORM behind it. */
static inline void
random_grouped(struct random_cutout *r, const char *prefix, const char *conv, const char *norm,
               bool bias, int64_t K, int64_t C, int64_t side)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", prefix, conv);
    random_named(r, name, "weight", K, C, side);
    if (bias)
        random_named(r, name, "bias", K, 0, 0);
    if (!norm)
        return;
    snprintf(name, sizeof name, "%s.%s", prefix, norm);
    random_named(r, name, "weight", K, 0, 0);
    random_named(r, name, "bias", K, 0, 0);
}

static inline float
random_fba_gain(const char *name)
{
    if (!strcmp(name, "decoder.conv_up4.4.weight"))
        return 8;
    return !strcmp(name, "decoder.conv_up4.0.weight") || !strcmp(name, "decoder.conv_up4.2.weight")
               ? 2 : 1;
}

static inline void
random_fba_exception(float *to, const char *name, int64_t n)
{
    for (int64_t i = 0; i < n && random_ends(name, ".bn3.weight"); i++)
        to[i] *= 0.125f;
    if (!strcmp(name, "decoder.conv_up4.4.bias"))
        to[0] += 2.25f;
}

/* extra: a tensor that does not belong there, or NULL; then all numbers are 0. */
static inline void
random_fba(struct random_cutout *r, const char *extra)
{
    static const int blocks[] = {3, 4, 6, 3};
    char name[48];
    int in = 64;
    *r = (struct random_cutout){0};
    random_grouped(r, "encoder", "conv1", "bn1", false, 64, 11, 7);
    for (int l = 0; l < 4; l++)
        for (int k = 0; k < blocks[l]; k++) {
            const int width = 64 << l, out = 4 * width;
            snprintf(name, sizeof name, "encoder.layer%d.%d", l + 1, k);
            random_grouped(r, name, "conv1", "bn1", false, width, in, 1);
            random_grouped(r, name, "conv2", "bn2", false, width, width, 3);
            random_grouped(r, name, "conv3", "bn3", false, out, width, 1);
            if (k == 0)
                random_grouped(r, name, "downsample.0", "downsample.1", false, out, in, 1);
            in = out;
        }
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "decoder.ppm.%d", i);
        random_grouped(r, name, "1", "2", true, 256, 2048, 1);
    }
    random_grouped(r, "decoder.conv_up1", "0", "1", true, 256, 3072, 3);
    random_grouped(r, "decoder.conv_up1", "3", "4", true, 256, 256, 3);
    random_grouped(r, "decoder.conv_up2", "0", "1", true, 256, 512, 3);
    random_grouped(r, "decoder.conv_up3", "0", "1", true, 64, 320, 3);
    random_grouped(r, "decoder.conv_up4", "0", NULL, true, 32, 72, 3);
    random_grouped(r, "decoder.conv_up4", "2", NULL, true, 16, 32, 3);
    random_grouped(r, "decoder.conv_up4", "4", NULL, true, 7, 16, 1);
    if (extra)
        random_named(r, extra, "weight", 1, 0, 0);
    random_write(r, extra ? NULL : random_fba_gain, extra ? NULL : random_fba_exception);
}

#endif
