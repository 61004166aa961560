/* video.h - square RGB frames into a film: H.264 in MP4, MOV or Matroska, VP9 in WebM, GIF, or raw
 * Y4M for a pipe.
 *
 *     PF_TRY(pf_video_open(&v, out, PF_VIDEO_MP4, 256, 30));
 *     PF_TRY(pf_video_add(v, rgb));               // once a frame
 *     PF_TRY(pf_video_close(v));                  // the file is not a film before
 *
 * yuv420p, BT.601, limited range, so sides are even; GIF has 256 fixed colours, dithered.  One
 * thread encodes: x264's bytes depend on the number of threads. */
#ifndef PF_VIDEO_H
#define PF_VIDEO_H
#include <stdbool.h>
#include <stdint.h>

#include "common/output.h"

typedef struct pf_video pf_video;               /* opaque, owned by whoever opened it */

enum pf_video_format { PF_VIDEO_Y4M, PF_VIDEO_MP4, PF_VIDEO_MOV, PF_VIDEO_MKV, PF_VIDEO_WEBM,
                       PF_VIDEO_GIF };
enum {
    PF_VIDEO_GIF_FPS = 50
}; /* at most: times are hundredths, and browsers slow a single one down */

/* What path ends in, Y4M for "-"; false if that says nothing. */
bool pf_video_format_find(enum pf_video_format *format, const char *path);
/* out is borrowed until close; pf_output_close(out) comes after that.  PF_EIO if this libav cannot
 * write the format, PF_EARG for an odd size. */
pf_err pf_video_open(pf_video **v, pf_output *out, enum pf_video_format format, int size, int fps)
    PF_MUST_USE;
/* rgb [size, size, 3] sRGB. */
pf_err pf_video_add(pf_video *v, const uint8_t *rgb) PF_MUST_USE;
pf_err pf_video_close(pf_video *v) PF_MUST_USE;         /* frees v, also on failure; NULL is fine */

#endif
