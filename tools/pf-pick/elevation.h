/* elevation.h - from where a photo was taken, by the scores of views that were made supposing
 * several elevations (scores.md, 5).
 *
 *     if (elevation_differs(score, n))
 *         deg = elevation_estimate(score, n, target_deg); */
#ifndef PF_ELEVATION_H
#define PF_ELEVATION_H
#include <stdbool.h>

#include "tools/pf-pick/score.h"

/* Whether the document's views say anything of the photo's elevation: what pulls was measured.
 * Those that do not are left out below. */
bool elevation_is_pulled(const struct score *s);
/* Whether the documents that say something suppose different elevations; all do where the embedding
 * tells it. */
bool elevation_differs(const struct score *s, int n);
/* Degrees: what the embedding tells or, if it tells nothing, what the views do, at most 5 beyond
 * those supposed.  target_deg is that of the views. */
double elevation_estimate(const struct score *s, int n, double target_deg);

#endif
