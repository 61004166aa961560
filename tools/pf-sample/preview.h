/* preview.h - what the first view will look like, as the steps that are done let one guess: x0, the
 * picture without its noise, of every so many steps, side by side.
 *
 *     struct preview p = {.folder = "seen", .every = 10};
 *     s.watch = preview_step, s.watcher = &p;
 *     preview_begin(&p);                              // a new set of views: seen/0.png, 1.png ...
 *     PF_TRY(sampler_run(&s, ...));
 *     preview_end(&p);
 *
 * They take less than PREVIEW_SHARE of the time: one that would take more is passed over. */
#ifndef PF_SAMPLE_PREVIEW_H
#define PF_SAMPLE_PREVIEW_H
#include "common/image.h"
#include "tools/pf-sample/sampler.h"

#define PREVIEW_SHARE 0.025

struct preview {
    const char *folder;         /* NULL: no pictures */
    int every;                  /* steps */
    int strips;                 /* begun so far */
    pf_image strip;             /* [S, pictures * S, 3] of the views under way */
    double start, spent, cost;  /* seconds: when they began, of all their pictures, of the last */
    double all;                 /* seconds of all strips */
};

void preview_begin(struct preview *p);
/* Step k is done, as sampler_step counts.  The strip's file is replaced when the longer one is
 * complete.  Of the last step there is no picture: the views themselves follow. */
pf_err preview_step(struct sampler *s, int k, void *preview) PF_MUST_USE;
void preview_end(struct preview *p);

#endif
