/* mask.h - pictures of an object cut out of its background: alpha channels, and masks as
 * pictures. */
#ifndef PF_MASK_H
#define PF_MASK_H
#include "common/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Columns x.. of a picture of 3 or 4 channels, width of them: rgb u8 [H, width, 3] over white,
 * alpha f32 [H, width] 0..1, of a picture without alpha channel 1. */
void pf_image_on_white(uint8_t *rgb, float *alpha, const pf_image *image, int x, int width);
/* rgb over white by this alpha. */
void pf_blend_on_white(uint8_t *rgb, const float *alpha, int64_t pixels);
/* alpha f32 [height, width] from a picture of that size: its alpha channel, or the value of a grey
 * one. */
pf_err pf_mask_read(float *alpha, const char *path, int width, int height) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
