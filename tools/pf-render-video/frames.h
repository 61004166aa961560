/* frames.h - frames as PNG files, which threads of their own encode and write beside the rendering.
 *
 *     PF_TRY(frames_open(&frames, "turn", 256));
 *     PF_TRY(frames_add(frames, image.pixel));                 // turn/0000.png, then 0001.png ...
 *     PF_TRY(frames_close(frames));                            // waits for them
 *
 * A machine of one processor, or --threads 1, writes them in frames_add. */
#ifndef PF_FRAMES_H
#define PF_FRAMES_H
#include <stdint.h>

#include "common/error.h"

struct frames;                  /* opaque, owned by whoever opened it */

/* folder is borrowed until close; size: pixels a side. */
pf_err frames_open(struct frames **f, const char *folder, int size) PF_MUST_USE;
/* rgb [size, size, 3], which is copied.  Waits where many frames wait to be written.  The error may
 * be an earlier frame's; no further frame is then written. */
pf_err frames_add(struct frames *f, const uint8_t *rgb) PF_MUST_USE;
/* Frees f; the error of the first frame that has one.  NULL is fine. */
pf_err frames_close(struct frames *f) PF_MUST_USE;

#endif
