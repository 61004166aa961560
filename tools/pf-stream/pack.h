/* pack.h - a document of views from pictures, masks and somebody's cameras. */
#ifndef PF_PACK_H
#define PF_PACK_H
#include <stdio.h>

#include "common/stream.h"

struct pack_options {
    const char *images, *masks; /* folders, or NULL */
    const double *center;       /* [3] of the object in the cameras' world; NULL: found (frame.h) */
    double scale;               /* of the world to the cube; 0: found */
    FILE *tell;                 /* where the frame that was chosen is printed; NULL: nowhere */
};

/* Adds to doc views.image, views.alpha if there are masks, views.pose, views.intrinsics,
 * views.elevation, views.azimuth; metadata pf.kind and pf.world (pf-stream(5)). */
pf_err pack(pf_doc *doc, const char *cameras, const struct pack_options *opt) PF_MUST_USE;

#endif
