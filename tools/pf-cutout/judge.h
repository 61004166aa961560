/* judge.h - what a person should know about a mask before trusting it. */
#ifndef PF_JUDGE_H
#define PF_JUDGE_H
#include <stdbool.h>

#include "common/image.h"
#include "common/tensor.h"

struct verdict {
    double share;               /* of the photo that the object fills: alpha is above one half */
    bool touches;               /* the border */
    int things;                 /* pieces of at least a 20th of the object each, joined by edges */
    double largest;             /* share of the object that the largest piece has */
};

/* alpha: 1 channel. */
pf_err judge(struct verdict *v, const pf_image *alpha) PF_MUST_USE;
/* How sure a network is of its mask 0..1: if each value is the probability that its pixel belongs
 * to the object, about the intersection over union with the truth that is to be expected of all
 * pixels above one half.  0 if there are none. */
double sureness(const pf_tensor *mask);

#endif
