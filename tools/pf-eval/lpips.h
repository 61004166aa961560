/* lpips.h - LPIPS of version 0.1 on VGG16 (measures.md, 1.4).
 *
 *     PF_TRY(lpips_open(&net, dev, "vgg16.pth", "vgg_lpips.pth"));
 *     PF_TRY(lpips_distance(&d, net, a, b, 256, 256));
 *     lpips_close(net); */
#ifndef PF_LPIPS_H
#define PF_LPIPS_H
#include "kernels/dev.h"

struct lpips;                   /* opaque, owned */
/* The convolutions under torchvision's names or lpips' own, from weights; the heads from heads, or
 * from weights too where that is NULL. */
pf_err lpips_open(struct lpips **net, pf_dev *dev, const char *weights, const char *heads)
    PF_MUST_USE;
/* rgb float [H, W, 3] 0..1, sides multiples of 16. */
pf_err lpips_distance(double *distance, struct lpips *net, const float *a, const float *b,
                      int width, int height) PF_MUST_USE;
void lpips_close(struct lpips *net);            /* before the device; NULL is fine */

#endif
