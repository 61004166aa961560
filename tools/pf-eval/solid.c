/* solid.c - see solid.h. */
#include "tools/pf-eval/solid.h"

#include <math.h>
#include <stdlib.h>

/* Lines are moved by this much, each way by another, so that none meets a vertex or an edge that
 * lies on the grid.  Upwards: of two sides of a box that lie on nodes, the lower one's are inside
 * along every axis. */
static const double aside[2] = {1e-6, 0.61e-6};

static double
edge(const double a[2], const double b[2], double x, double y)
{
    return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]);
}

static double
node(const struct grid *g, int i)
{
    return -g->half + 2 * g->half * (i + g->offset) / g->side;
}

/* The first node that is not before x, at most side. */
static int
first_node(const struct grid *g, double x)
{
    const double i = ceil((x + g->half) * g->side / (2 * g->half) - g->offset);
    return i > 0 ? i < g->side ? (int)i : g->side : 0;
}

/* Turn over the node behind each crossing of the face and a line along the axis. */
static void
cross_face(uint8_t *turned, const struct pf_mesh *m, int64_t f, const struct grid *g)
{
    const int across[2] = {(g->axis + 1) % 3, (g->axis + 2) % 3};
    const int64_t stride[3] = {(int64_t)g->side * g->side, g->side, 1};
    double p[3][2], along[3], low[2], high[2];
    for (int k = 0; k < 3; k++) {
        const float *const v = m->vertex + 3 * (int64_t)m->face[3 * f + k];
        along[k] = v[g->axis];
        for (int d = 0; d < 2; d++)
            p[k][d] = v[across[d]] - aside[d];
    }
    for (int d = 0; d < 2; d++) {
        low[d] = fmin(p[0][d], fmin(p[1][d], p[2][d]));
        high[d] = fmax(p[0][d], fmax(p[1][d], p[2][d]));
    }
    const double area = edge(p[0], p[1], p[2][0], p[2][1]);
    if (area == 0)
        return;
    for (int i = first_node(g, low[0]); i < g->side && node(g, i) <= high[0]; i++)
        for (int j = first_node(g, low[1]); j < g->side && node(g, j) <= high[1]; j++) {
            const double a = edge(p[1], p[2], node(g, i), node(g, j)) / area;
            const double b = edge(p[2], p[0], node(g, i), node(g, j)) / area;
            if (a < 0 || b < 0 || a + b > 1)
                continue;
            const int k = first_node(g, a * along[0] + b * along[1] + (1 - a - b) * along[2]);
            if (k < g->side)
                turned[i * stride[across[0]] + j * stride[across[1]] + k * stride[g->axis]] ^= 1;
        }
}

pf_err
solid_of_mesh(uint8_t **inside, const struct pf_mesh *mesh, const struct grid *g)
{
    const int64_t stride[3] = {(int64_t)g->side * g->side, g->side, 1};
    const int64_t cells = stride[0] * g->side, step = stride[g->axis];
    uint8_t *const in = *inside = calloc((size_t)cells, 1);
    if (!in)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d^3", g->side);
    for (int64_t f = 0; f < mesh->faces; f++)
        cross_face(in, mesh, f, g);
    for (int64_t i = 0; i < cells; i++)         // a node's predecessor comes before it
        if (i / step % g->side)
            in[i] ^= in[i - step];
    return PF_OK;
}

/* ---- filling ---- */

enum { OUTSIDE = 2 };
struct flood {
    uint8_t *in;
    int side;
    bool slices;
    int64_t *stack;             /* [side^3] nodes whose neighbours have not been looked at */
    int64_t n;
};

static void
reach(struct flood *f, int64_t i)
{
    if (f->in[i])
        return;
    f->in[i] = OUTSIDE;
    f->stack[f->n++] = i;
}

static void
spread(struct flood *f)
{
    const int64_t stride[3] = {(int64_t)f->side * f->side, f->side, 1};
    while (f->n) {
        const int64_t i = f->stack[--f->n];
        for (int k = 0; k < (f->slices ? 2 : 3); k++) {
            const int at = (int)(i / stride[k] % f->side);
            if (at > 0)
                reach(f, i - stride[k]);
            if (at < f->side - 1)
                reach(f, i + stride[k]);
        }
    }
}

static bool
on_border(const struct flood *f, int64_t i)
{
    const int last = f->side - 1;
    const int z = (int)(i % f->side), y = (int)(i / f->side % f->side),
              x = (int)(i / f->side / f->side);
    return x == 0 || x == last || y == 0 || y == last || (!f->slices && (z == 0 || z == last));
}

pf_err
solid_fill(uint8_t *inside, int side, bool slices)
{
    const int64_t cells = (int64_t)side * side * side;
    struct flood f = {inside, side, slices, malloc((size_t)cells * sizeof *f.stack), 0};
    if (!f.stack)
        return pf_fail(PF_ENOMEM, "no memory to fill a grid of %d^3", side);
    for (int64_t i = 0; i < cells; i++)
        if (on_border(&f, i))
            reach(&f, i);
    spread(&f);
    for (int64_t i = 0; i < cells; i++)
        inside[i] = inside[i] != OUTSIDE;
    free(f.stack);
    return PF_OK;
}

double
solid_iou(const uint8_t *a, const uint8_t *b, int side)
{
    const int64_t cells = (int64_t)side * side * side;
    int64_t both = 0, either = 0;
    for (int64_t i = 0; i < cells; i++) {
        both += a[i] & b[i];
        either += a[i] | b[i];
    }
    return either ? (double)both / (double)either : 0;
}
