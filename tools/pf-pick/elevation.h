/* elevation.h - from where a photo was taken, by the scores of views that were made supposing
 * several elevations (scores.md, 5).
 *
 *     if (elevation_differs(score, n))
 *         deg = elevation_estimate(score, n, target_deg); */
#ifndef PF_ELEVATION_H
#define PF_ELEVATION_H
#include <stdbool.h>

#include "tools/pf-pick/score.h"

/* Whether the documents suppose different elevations. */
bool elevation_differs(const struct score *s, int n);
/* Degrees: what the embedding tells or, if it tells nothing, what the views do, at most 5 beyond
 * those supposed.  target_deg is that of the views. */
double elevation_estimate(const struct score *s, int n, double target_deg);

#endif
