/* nearest.h - exact nearest neighbours among points, by a k-d tree.
 *
 *     PF_TRY(tree_new(&tree, at, n));
 *     d = tree_nearest(&index, tree, p);
 *     tree_free(tree); */
#ifndef PF_NEAREST_H
#define PF_NEAREST_H
#include <stdint.h>

#include "common/error.h"

struct tree;                    /* opaque, owned */
/* at [n, 3], n at least 1, is borrowed until tree_free. */
pf_err tree_new(struct tree **tree, const float *at, int64_t n) PF_MUST_USE;
void tree_free(struct tree *tree);              /* NULL is fine */
/* Distance from p to the nearest point, whose number is *index. */
double tree_nearest(int64_t *index, const struct tree *tree, const float p[3]);

#endif
