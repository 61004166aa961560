/* color.h - between sRGB and linear light, to the same bits on every device: by tables. */
#ifndef PF_COLOR_H
#define PF_COLOR_H
#include <math.h>
#include <stdint.h>

#include "common/hd.h"

/* Host alone: powf is not the same everywhere. */
static inline float
pf_srgb_to_linear(float v)
{
    return v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f);
}

struct pf_srgb {
    float linear[256];          /* light of a byte */
    float above[256];           /* light from which on a byte is more than this one */
};

static inline void
pf_srgb_fill(struct pf_srgb *t)
{
    for (int i = 0; i < 256; i++) {
        t->linear[i] = pf_srgb_to_linear((float)i / 255);
        t->above[i] = pf_srgb_to_linear(((float)i + 0.5f) / 255);
    }
    t->above[255] = INFINITY;
}

/* The byte nearest to this light, by halving. */
PF_HD_FN int
pf_srgb_byte(const struct pf_srgb *t, float light)
{
    int lo = 0;
    for (int step = 128; step; step /= 2)
        lo += light >= t->above[lo + step - 1] ? step : 0;
    return lo;
}

#endif
