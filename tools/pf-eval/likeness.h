/* likeness.h - how much one picture is like another (measures.md, 1).  rgb float [H, W, 3] 0..1. */
#ifndef PF_LIKENESS_H
#define PF_LIKENESS_H
#include "common/error.h"

/* Decibels; INFINITY of equal pictures. */
double likeness_psnr(const float *a, const float *b, int width, int height);
enum { SSIM_LEAST_SIDE = 6 };   /* pixels that a side needs at least: half a window, mirrored */
/* Structural similarity, torchmetrics', over the map without a frame of that many pixels. */
pf_err likeness_ssim(double *ssim, const float *a, const float *b, int width, int height,
                     int frame) PF_MUST_USE;
/* Intersection over union of masks [H, W] where they are above 0.5; 1 of two empty ones. */
double likeness_iou(const float *a, const float *b, int width, int height);
/* A view twice as wide and high as wanted, whose pixel 2 j is where pixel j of the smaller one is:
 * weights 1/4, 1/2, 1/4.  to [H, W, channels], from [2H, 2W, channels]. */
void likeness_halve(float *to, const float *from, int width, int height, int channels);

#endif
