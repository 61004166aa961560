/* score.h - how well the views of one document agree with the photo and with each other, without
 * any truth (scores.md, 3).
 *
 *     PF_TRY(score_measure(&s, &doc));
 *     s.v[SCORE_COHERENCE] */
#ifndef PF_SCORE_H
#define PF_SCORE_H
#include "common/doc.h"

/* The scores, as views.score holds them.  All but the pulls are 0..1, more being better.  NAN: not
 * measured. */
enum score_kind {
    SCORE_SILHOUETTE,           /* the hull's silhouette and the photo's mask: IoU */
    SCORE_COLOR,                /* 1 - the difference of the photo's and the views' colours */
    SCORE_COHERENCE,            /* the views' masks and what masks and photo leave of them: IoU */
    SCORE_CONSISTENCY,          /* 1 - the difference of a view's and the others' colours */
    SCORE_AGREEMENT,            /* silhouette, color, coherence: by it a sample is chosen */
    SCORE_SHAPE_PULL,           /* degrees from the supposed elevation to the one at which the */
    SCORE_COLOR_PULL,           /* photo fits these views best, by masks and by colours */
    SCORES
};
extern const char *const score_names[SCORES];

struct score {
    double elevation_deg;       /* input.elevation */
    double embedding_deg;       /* the elevation that input.clip tells; NAN: it tells none */
    double v[SCORES];
    char why[96];               /* why agreement is not measured */
};

/* elevation_deg and embedding_deg alone, which need no views; the scores are not measured. */
pf_err score_photo(struct score *s, const pf_doc *doc) PF_MUST_USE;
/* All.  Views without views.alpha get masks as by pf-mask.  Of views that show no object in common
 * nothing is measured.  title is what a warning calls the document. */
pf_err score_measure(struct score *s, pf_doc *doc, const char *title) PF_MUST_USE;

#endif
