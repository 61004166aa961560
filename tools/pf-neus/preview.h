/* preview.h - pictures of a field while it is trained: its first view, that view's target beside
 * it, and the normals.
 *
 *     struct preview p = {.folder = "seen", .every = 100};
 *     preview_begin(&p, field, &views);
 *     ... after each step: PF_TRY(preview_step(&p, step + 1, last));
 *
 * They take less than PREVIEW_SHARE of the time: one that would take more is passed over. */
#ifndef PF_NEUS_PREVIEW_H
#define PF_NEUS_PREVIEW_H
#include <stdbool.h>

#include "kernels/field/field.h"

enum { PREVIEW_SIDE = 128 };    /* larger views are shown with fewer pixels */
#define PREVIEW_SHARE 0.025

struct preview {
    const char *folder;         /* NULL: no pictures */
    int every;                  /* steps */
    pf_field *field;            /* borrowed, as the views are */
    const struct pf_field_views *views;
    double start, spent, cost;  /* seconds: when training began, of all pictures, of the last */
};

void preview_begin(struct preview *p, pf_field *field, const struct pf_field_views *views);
/* With -v: says how long they took. */
void preview_end(const struct preview *p);
/* So many steps are done; a picture is due every so many, and after the last one in any case.  It
 * is FOLDER/STEP.png, [H, 3 W], and appears when it is complete. */
pf_err preview_step(struct preview *p, int step, bool last) PF_MUST_USE;

#endif
