/* elevation.c - see elevation.h (scores.md, 5). */
#include "tools/pf-pick/elevation.h"

#include <math.h>

/* Fitted on 88 objects, of which no figure is reported (scores.md, 5). */
static const double constant = 12, per_bend = 18.6, per_shape = 0.09, per_color = 0.44;
static const double half_bend = 0.01;   // the bend a degree that counts half of the most

bool
elevation_is_pulled(const struct score *s)
{
    return !isnan(s->v[SCORE_COHERENCE] + s->v[SCORE_SHAPE_PULL] + s->v[SCORE_COLOR_PULL]);
}

bool
elevation_differs(const struct score *s, int n)
{
    const struct score *first = NULL;
    for (int i = 0; i < n; i++) {
        if (isnan(s[i].embedding_deg) && !elevation_is_pulled(&s[i]))
            continue;
        if (first && fabs(s[i].elevation_deg - first->elevation_deg) > 1e-3)
            return true;
        first = first ? first : &s[i];
    }
    return false;
}

/* Whether views that suppose a higher camera are the more coherent ones: the slope over the
 * supposed elevation, a degree, of -log(1 - coherence), brought into -1..1.  The logarithm, since
 * what is missing differs between objects tenfold; bounded, since for some the slope is huge. */
static double
bend(const struct score *s, int n)
{
    double x = 0, xx = 0, xy = 0;
    int pulled = 0;
    for (int i = 0; i < n; i++) {
        x += elevation_is_pulled(&s[i]) ? s[i].elevation_deg : 0;
        pulled += elevation_is_pulled(&s[i]);
    }
    for (int i = 0; i < n; i++) {
        const double missing = fmax(1 - s[i].v[SCORE_COHERENCE], 1e-4);
        const double d = s[i].elevation_deg - x / pulled;
        if (!elevation_is_pulled(&s[i]))
            continue;
        xx += d * d;
        xy -= d * log(missing);
    }
    return xy / xx / (fabs(xy / xx) + half_bend);
}

/* Where the photo fits best by masks, on average. */
static double
fits_shape(const struct score *s, int n)
{
    double sum = 0;
    int pulled = 0;
    for (int i = 0; i < n; i++) {
        if (!elevation_is_pulled(&s[i]))
            continue;
        sum += s[i].elevation_deg + s[i].v[SCORE_SHAPE_PULL];
        pulled++;
    }
    return sum / pulled;
}

/* The same by colours, weighted by how far the photo's supposed camera is from the views': views
 * beside the photo repeat it, whatever it was. */
static double
fits_color(const struct score *s, int n, double target_deg)
{
    double sum = 0, weight = 0;
    for (int i = 0; i < n; i++) {
        const double w = fabs(s[i].elevation_deg - target_deg);
        if (!elevation_is_pulled(&s[i]))
            continue;
        sum += w * (s[i].elevation_deg + s[i].v[SCORE_COLOR_PULL]);
        weight += w;
    }
    return sum / weight;                // elevations differ, so not all are the target's
}

double
elevation_estimate(const struct score *s, int n, double target_deg)
{
    double low = INFINITY, high = -INFINITY;
    if (!isnan(s[0].embedding_deg))
        return s[0].embedding_deg;
    for (int i = 0; i < n; i++) {
        low = elevation_is_pulled(&s[i]) ? fmin(low, s[i].elevation_deg) : low;
        high = elevation_is_pulled(&s[i]) ? fmax(high, s[i].elevation_deg) : high;
    }
    const double e = constant + per_bend * bend(s, n) + per_shape * fits_shape(s, n) +
                     per_color * fits_color(s, n, target_deg);
    return fmin(fmax(e, low - 5), high + 5);
}
