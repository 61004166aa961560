/* video.h - square RGB frames into a film: H.264 in an MP4 file, or raw Y4M for a pipe.
 *
 *     PF_TRY(pf_video_open(&v, out, y4m, 256, 30));
 *     PF_TRY(pf_video_add(v, rgb));               // once a frame
 *     PF_TRY(pf_video_close(v));                  // the file is not a film before
 *
 * yuv420p, BT.601, limited range, so sides are even.  One thread encodes: x264's bytes depend on
 * the number of threads. */
#ifndef PF_VIDEO_H
#define PF_VIDEO_H
#include <stdbool.h>
#include <stdint.h>

#include "common/output.h"

typedef struct pf_video pf_video;               /* opaque, owned by whoever opened it */

/* out is borrowed until close; pf_output_close(out) comes after that.  PF_EIO if this libavcodec
 * cannot encode H.264, PF_EARG for an odd size. */
pf_err pf_video_open(pf_video **v, pf_output *out, bool y4m, int size, int fps) PF_MUST_USE;
/* rgb [size, size, 3] sRGB. */
pf_err pf_video_add(pf_video *v, const uint8_t *rgb) PF_MUST_USE;
pf_err pf_video_close(pf_video *v) PF_MUST_USE;         /* frees v, also on failure; NULL is fine */

#endif
