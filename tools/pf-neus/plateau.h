/* plateau.h - whether a loss still falls (field.md, 7).
 *
 *     struct plateau p;
 *     plateau_begin(&p, settings);
 *     plateau_add(&p, step, losses.total);                     // after each step
 *     if (plateau_reached(&p)) ...
 *
 * It is part of a checkpoint: a run that is resumed stops where one that was never interrupted
 * does. */
#ifndef PF_PLATEAU_H
#define PF_PLATEAU_H
#include <stdbool.h>

#include "common/doc.h"
#include "common/neus_config.h"

enum { PLATEAU_WINDOWS = 3 };   /* without a fall, so that it is one */
#define PLATEAU_FALL 0.01       /* share of the loss that counts as a fall */

struct plateau {
    int window;                 /* steps whose losses are averaged */
    int start;                  /* the first step that counts: all schedules have ended */
    int64_t steps, windows;     /* in the current window; since the last that was a fall */
    double sum, least;          /* of the current window; the mean of the last that was a fall */
};

void plateau_begin(struct plateau *p, const struct pf_neus_config *conf);
void plateau_add(struct plateau *p, int step, double loss);
bool plateau_reached(const struct plateau *p);
/* As train.plateau of a checkpoint. */
pf_err plateau_save(const struct plateau *p, pf_doc *doc) PF_MUST_USE;
/* A checkpoint without it leaves p as it is. */
pf_err plateau_load(struct plateau *p, const pf_doc *doc) PF_MUST_USE;

#endif
