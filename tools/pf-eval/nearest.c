/* nearest.c - a k-d tree without pointers: the points in an order in which the middle one of each
 * range splits it along one axis, those below before it and those above behind it. */
#include "tools/pf-eval/nearest.h"

#include <math.h>
#include <stdlib.h>

enum { LEAF = 8 };              // points that are looked at one by one

struct tree {
    const float *at;
    int64_t n;
    uint32_t *order;            /* [n] */
    uint8_t *axis;              /* [n] along which the range of this middle is split */
};

static float
coordinate(const struct tree *t, int64_t i, int axis)
{
    return t->at[3 * (int64_t)t->order[i] + axis];
}

static int
widest_axis(const struct tree *t, int64_t from, int64_t to)
{
    int widest = 0;
    float most = -1;
    for (int k = 0; k < 3; k++) {
        float low = coordinate(t, from, k), high = low;
        for (int64_t i = from + 1; i < to; i++) {
            low = fminf(low, coordinate(t, i, k));
            high = fmaxf(high, coordinate(t, i, k));
        }
        if (high - low > most) {
            most = high - low;
            widest = k;
        }
    }
    return widest;
}

static void
swap(struct tree *t, int64_t i, int64_t j)
{
    const uint32_t kept = t->order[i];
    t->order[i] = t->order[j];
    t->order[j] = kept;
}

/* Bring that point of the range to middle which belongs there: none before it is larger, none
 * behind it smaller.  Hoare's selection, which many equal points do not slow down. */
static void
select_middle(struct tree *t, int64_t from, int64_t to, int64_t middle, int axis)
{
    int64_t low = from, high = to - 1;
    while (low < high) {
        const float pivot = coordinate(t, (low + high) / 2, axis);
        int64_t i = low, j = high;
        while (i <= j) {
            while (coordinate(t, i, axis) < pivot)
                i++;
            while (coordinate(t, j, axis) > pivot)
                j--;
            if (i <= j)
                swap(t, i++, j--);
        }
        if (middle <= j)
            high = j;
        else if (middle >= i)
            low = i;
        else
            return;
    }
}

static void
build(struct tree *t, int64_t from, int64_t to)
{
    if (to - from <= LEAF)
        return;
    const int64_t middle = (from + to) / 2;
    const int axis = widest_axis(t, from, to);
    select_middle(t, from, to, middle, axis);
    t->axis[middle] = (uint8_t)axis;
    build(t, from, middle);
    build(t, middle + 1, to);
}

pf_err
tree_new(struct tree **tree, const float *at, int64_t n)
{
    struct tree *const t = *tree = calloc(1, sizeof *t);
    if (t) {
        *t = (struct tree){at, n, malloc((size_t)n * sizeof *t->order), malloc((size_t)n)};
        if (n <= UINT32_MAX && t->order && t->axis) {
            for (int64_t i = 0; i < n; i++)
                t->order[i] = (uint32_t)i;
            build(t, 0, n);
            return PF_OK;
        }
    }
    tree_free(t);
    *tree = NULL;
    return pf_fail(PF_ENOMEM, "no memory to search among %lld points", (long long)n);
}

void
tree_free(struct tree *tree)
{
    if (!tree)
        return;
    free(tree->order);
    free(tree->axis);
    free(tree);
}

struct search {
    const struct tree *tree;
    const float *p;
    double square;              /* of the distance to the nearest so far */
    int64_t index;
};

static void
look_at(struct search *s, int64_t i)
{
    const float *const q = s->tree->at + 3 * (int64_t)s->tree->order[i];
    double square = 0;
    for (int k = 0; k < 3; k++)
        square += ((double)q[k] - s->p[k]) * ((double)q[k] - s->p[k]);
    if (square < s->square) {
        s->square = square;
        s->index = s->tree->order[i];
    }
}

static void
look_in(struct search *s, int64_t from, int64_t to)
{
    if (to - from <= LEAF) {
        for (int64_t i = from; i < to; i++)
            look_at(s, i);
        return;
    }
    const int64_t middle = (from + to) / 2;
    const int axis = s->tree->axis[middle];
    const double beyond = (double)s->p[axis] - coordinate(s->tree, middle, axis);
    if (beyond < 0)
        look_in(s, from, middle);
    else
        look_in(s, middle + 1, to);
    look_at(s, middle);
    if (beyond * beyond >= s->square)
        return;
    if (beyond < 0)
        look_in(s, middle + 1, to);
    else
        look_in(s, from, middle);
}

double
tree_nearest(int64_t *index, const struct tree *tree, const float p[3])
{
    struct search s = {tree, p, INFINITY, 0};
    look_in(&s, 0, tree->n);
    *index = s.index;
    return sqrt(s.square);
}
