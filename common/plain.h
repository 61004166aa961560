/* plain.h - the mask of an object that stands before a plain background, as a rule white (field.md,
 * 1): what no path of pixels of that colour joins to the border. */
#ifndef PF_PLAIN_H
#define PF_PLAIN_H
#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"

/* The colour that N pictures rgb [N, H, W, 3] have behind their object: that of this share of all
 * their borders, at least half, for objects may touch them.  false, and white, if there is none:
 * the background is not plain.  A colour is met within 1 - conf->mask.threshold in each channel,
 * and white is exactly that. */
bool pf_plain_background(uint8_t color[3], const uint8_t *rgb, int64_t N, int width, int height,
                         double share, const struct pf_config *conf);
/* The threshold to take where it is the usual one, because nobody asked for another: less for a
 * picture that was stored with loss. */
double pf_plain_threshold(double threshold, double usual, bool lossy);
/* alpha f32 [H, W] 0..1 of the view rgb u8 [H, W, 3] before this background.  Uses conf->mask:
 * threshold, open, close, soft. */
pf_err pf_plain_alpha(float *alpha, const uint8_t *rgb, int width, int height,
                      const uint8_t ground[3], const struct pf_config *conf) PF_MUST_USE;
/* The same row by row, top to bottom, for a picture of which 4 bytes a pixel are too many: alpha
 * [W] of row y, whose pixels are not looked at any more and may be changed. */
typedef void pf_plain_sink(void *user, const float *alpha, int y);
pf_err pf_plain_rows(const uint8_t *rgb, int width, int height, const uint8_t ground[3],
                     const struct pf_config *conf, pf_plain_sink *sink, void *user) PF_MUST_USE;

#endif
