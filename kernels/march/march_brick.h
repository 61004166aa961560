/* march_brick.h - the grid of the marching cubes, and what is done at one of its points, cells or
 * bricks: for loops on the CPU (march.c) and for a GPU's threads (march.cu) alike.  Private to
 * kernels/march.
 *
 * A brick is 8 x 8 x 8 points and the cells that begin at them.  Memory is there for the bricks
 * that may hold surface and those around them.  Point, cell or block c of a brick begins at (c % 8,
 * c / 8 % 8, c / 64) of it; blocks, of 8, 4, 2 and at last 1 cell a side, never reach beyond it.
 *
 * A pass works on one brick after the other, or on all at once: what it reads of other bricks it
 * does not write, but for values, which can only become PENDING, and marks of cells, which can only
 * be set. */
#ifndef PF_MARCH_BRICK_H
#define PF_MARCH_BRICK_H
#include <math.h>

#include "common/hd.h"
#include "kernels/march/march.h"
#include "kernels/march/march_cases.h"

enum { PF_BRICK = 8, PF_BRICK_POINTS = PF_BRICK * PF_BRICK * PF_BRICK };
enum { PF_BRICK_WORDS = PF_BRICK_POINTS / 32 };
enum { PF_NO_BRICK = -1, PF_WANTED = -2 };      /* slots: no memory; none yet */
#define PF_UNKNOWN NAN          /* a point that nobody asked for */
#define PF_PENDING INFINITY     /* one that waits to be evaluated */
#define PF_CAP 0.01             /* what the outermost layer is at least, in steps */

struct pf_march_at {            /* a point of the grid, or the cell or block that begins there */
    uint16_t x, y, z;
};

struct pf_march_brick {
    struct pf_march_at at;      /* its first point */
    int32_t number;             /* among all bricks of the grid */
    float value[PF_BRICK_POINTS];
    uint32_t block[PF_BRICK_WORDS];     /* a bit each: may hold surface; at last, does */
    uint32_t fresh[PF_BRICK_WORDS];     /* the cells among them that were found last */
    uint32_t next[PF_BRICK_WORDS];      /* cells that are being found */
    uint16_t vertex[PF_BRICK_POINTS];   /* 8 x the brick's vertices before this point's + a
                                           bit for each axis along which it has one */
};

struct pf_march_grid {
    int R, side;                /* points, bricks along an axis */
    int lattice;                /* corners of blocks of 8 cells along an axis */
    double bound, step, slope;
    int32_t *slot;              /* [side, side, side] index in brick, or PF_NO_BRICK, PF_WANTED */
    struct pf_march_brick *brick;       /* in the order in which they were wanted */
    int64_t *first_vertex, *first_face; /* [bricks + 1] running sums, once all are counted */
};

/* ---- march.c, for march.cu ---- */

#ifdef __cplusplus
extern "C" {
#endif
/* Checks the options; no memory. */
pf_err pf_march_grid_init(struct pf_march_grid *g,
                          const struct pf_march_options *options) PF_MUST_USE;
/* Fails with PF_EFORMAT: the distance at x is not finite. */
pf_err pf_march_not_finite(const float x[3]);
#ifdef __cplusplus
}
#endif

static inline int64_t
pf_march_bricks(const struct pf_march_grid *g)  /* how many the whole grid has */
{
    return (int64_t)g->side * g->side * g->side;
}

/* ---- points ---- */

PF_FN int
pf_march_min(int a, int b)
{
    return a < b ? a : b;
}

PF_FN bool
pf_march_has(const uint32_t *bits, int c)
{
    return bits[c / 32] >> c % 32 & 1;
}

PF_FN void
pf_march_set(uint32_t *bits, int c)
{
#ifdef __CUDACC__
    atomicOr(&bits[c / 32], 1u << c % 32);
#else
    bits[c / 32] |= 1u << c % 32;
#endif
}

PF_FN struct pf_march_at
pf_march_at_of(const struct pf_march_brick *b, int c)
{
    const struct pf_march_at at = {
        (uint16_t)(b->at.x + c % PF_BRICK),
        (uint16_t)(b->at.y + c / PF_BRICK % PF_BRICK),
        (uint16_t)(b->at.z + c / PF_BRICK / PF_BRICK),
    };
    return at;
}

PF_FN struct pf_march_brick *
pf_march_brick_of(const struct pf_march_grid *g, int x, int y, int z)
{
    return &g->brick[g->slot[((int64_t)(z / PF_BRICK) * g->side + y / PF_BRICK) * g->side +
                             x / PF_BRICK]];
}

PF_FN int
pf_march_in_brick(int x, int y, int z)
{
    return (z % PF_BRICK * PF_BRICK + y % PF_BRICK) * PF_BRICK + x % PF_BRICK;
}

PF_FN float *
pf_march_value(const struct pf_march_grid *g, int x, int y, int z)
{
    return &pf_march_brick_of(g, x, y, z)->value[pf_march_in_brick(x, y, z)];
}

/* Where point i of an axis is, or a place between two points.  Not joined to one rounding: the
 * same on every device. */
PF_FN float
pf_march_coordinate(const struct pf_march_grid *g, double i)
{
#ifdef __CUDACC__
    return (float)(__dmul_rn(i, g->step) - g->bound);
#else
    return (float)(i * g->step - g->bound);
#endif
}

PF_FN void
pf_march_point(float x[3], const struct pf_march_grid *g, struct pf_march_at at)
{
    x[0] = pf_march_coordinate(g, at.x);
    x[1] = pf_march_coordinate(g, at.y);
    x[2] = pf_march_coordinate(g, at.z);
}

/* Point i of the lattice of blocks of 8 cells. */
PF_FN struct pf_march_at
pf_march_lattice_at(const struct pf_march_grid *g, int64_t i)
{
    const int side = g->lattice, last = g->R - 1;
    const struct pf_march_at at = {
        (uint16_t)pf_march_min((int)(i % side) * PF_BRICK, last),
        (uint16_t)pf_march_min((int)(i / side % side) * PF_BRICK, last),
        (uint16_t)pf_march_min((int)(i / side / side) * PF_BRICK, last),
    };
    return at;
}

/* Ask for a point; beyond the grid's end, for the one there. */
PF_FN void
pf_march_ask(const struct pf_march_grid *g, int x, int y, int z)
{
    const int last = g->R - 1;
    float *const v =
        pf_march_value(g, pf_march_min(x, last), pf_march_min(y, last), pf_march_min(z, last));
    if (isnan(*v))
        *v = PF_PENDING;
}

/* The point's distance has come: v, or more where the grid ends. */
PF_FN float
pf_march_settled(const struct pf_march_grid *g, struct pf_march_at at, float v)
{
    const int last = g->R - 1;
    const bool end = !at.x || !at.y || !at.z || at.x == last || at.y == last || at.z == last;
    return end ? fmaxf(v, (float)(PF_CAP * g->step)) : v;
}

/* ---- bricks ---- */

/* Brick (x, y, z) is wanted unless it is there, and those beside it by -back to 1 along each
 * axis. */
PF_FN void
pf_march_want(const struct pf_march_grid *g, int x, int y, int z, int back)
{
    for (int k = z - back; k <= z + 1; k++)
        for (int j = y - back; j <= y + 1; j++)
            for (int i = x - back; i <= x + 1; i++) {
                if (i < 0 || j < 0 || k < 0 || i >= g->side || j >= g->side || k >= g->side)
                    continue;
                int32_t *const slot = &g->slot[((int64_t)k * g->side + j) * g->side + i];
                if (*slot == PF_NO_BRICK)
                    *slot = PF_WANTED;
            }
}

/* For cells that the surface leaves, into any neighbour. */
PF_FN void
pf_march_want_around(const struct pf_march_grid *g, int x, int y, int z)
{
    pf_march_want(g, x, y, z, 1);
}

/* For a block that is divided: its points are its brick's and those of the bricks that follow. */
PF_FN void
pf_march_want_ahead(const struct pf_march_grid *g, int x, int y, int z)
{
    pf_march_want(g, x, y, z, 0);
}

/* Give the wanted brick of this number its place. */
PF_FN void
pf_march_place(const struct pf_march_grid *g, int64_t number, int64_t slot)
{
    struct pf_march_brick *const b = &g->brick[slot];
    g->slot[number] = (int32_t)slot;
    b->number = (int32_t)number;
    b->at.x = (uint16_t)(number % g->side * PF_BRICK);
    b->at.y = (uint16_t)(number / g->side % g->side * PF_BRICK);
    b->at.z = (uint16_t)(number / g->side / g->side * PF_BRICK);
}

/* ---- where the surface may be ---- */

/* May a block of side s with these corners hold surface?  Every point of it is within half a
 * diagonal of a corner.  A cell counts if its corners differ: only then has it triangles. */
PF_FN bool
pf_march_near(const struct pf_march_grid *g, const float corner[8], int s)
{
    int inside = 0;
    float nearest = INFINITY;
    PF_UNROLL for (int c = 0; c < 8; c++) {
        inside += corner[c] <= 0;
        nearest = fminf(nearest, fabsf(corner[c]));
    }
    if (inside != 0 && inside != 8)
        return true;
    return s > 1 && nearest <= g->slope * s * g->step * (sqrt(3.0) / 2);
}

PF_FN void
pf_march_corners(float corner[8], const struct pf_march_grid *g, struct pf_march_at at, int s)
{
    const int last = g->R - 1;
    PF_UNROLL for (int c = 0; c < 8; c++)
        corner[c] = *pf_march_value(g, pf_march_min(at.x + (c & 1) * s, last),
                                    pf_march_min(at.y + (c >> 1 & 1) * s, last),
                                    pf_march_min(at.z + (c >> 2) * s, last));
}

/* May the block of 8 cells with these corners, at this lattice point, hold surface?  Lattice points
 * at the grid's end have none.  lattice NULL: all may. */
PF_FN bool
pf_march_block_is_near(const struct pf_march_grid *g, const float *lattice, int64_t i)
{
    const struct pf_march_at at = pf_march_lattice_at(g, i);
    const int64_t side = g->lattice;
    float corner[8];
    if (at.x == g->R - 1 || at.y == g->R - 1 || at.z == g->R - 1)
        return false;
    if (!lattice)
        return true;
    PF_UNROLL for (int c = 0; c < 8; c++)
        corner[c] = lattice[i + (c & 1) + (c >> 1 & 1) * side + (c >> 2) * side * side];
    return pf_march_near(g, corner, PF_BRICK);
}

enum { PF_PART_CORNERS = 27 };
/* Ask for one of the corners of the eight parts of the block of side s at c. */
PF_FN void
pf_march_ask_part(const struct pf_march_grid *g, const struct pf_march_brick *b, int c, int s,
                  int corner)
{
    const struct pf_march_at at = pf_march_at_of(b, c);
    pf_march_ask(g, at.x + corner % 3 * (s / 2), at.y + corner / 3 % 3 * (s / 2),
                 at.z + corner / 9 * (s / 2));
}

/* Is c a part, of side s / 2, of a marked block of side s, and may hold surface? */
PF_FN bool
pf_march_part_is_near(const struct pf_march_grid *g, const struct pf_march_brick *b, int c, int s)
{
    const int ones = PF_BRICK * PF_BRICK + PF_BRICK + 1, last = g->R - 1;
    const struct pf_march_at at = pf_march_at_of(b, c);
    float corner[8];
    if (c & (s / 2 - 1) * ones || !pf_march_has(b->block, c & ~((s - 1) * ones)) || at.x >= last ||
        at.y >= last || at.z >= last)
        return false;
    pf_march_corners(corner, g, at, s / 2);
    return pf_march_near(g, corner, s / 2);
}

/* The marked ones of 32 parts replace the blocks that they are parts of; parts of one cell are
 * newly found cells. */
PF_FN void
pf_march_put_parts(struct pf_march_brick *b, int word, uint32_t parts, int s)
{
    b->block[word] = s > 2 ? parts : 0;
    b->next[word] = s > 2 ? 0 : parts;
}

/* What was found is what is looked at next; was there anything? */
PF_FN bool
pf_march_renew(struct pf_march_brick *b, int word)
{
    const uint32_t found = b->next[word];
    b->block[word] |= found;
    b->fresh[word] = found;
    b->next[word] = 0;
    return found != 0;
}

/* Does the surface leave the cell through this face (2 axis + side)? */
PF_FN bool
pf_march_leaves(const float corner[8], int face)
{
    int inside = 0;
    PF_UNROLL for (int c = 0; c < 8; c++)
        inside += (c >> face / 2 & 1) == face % 2 && corner[c] <= 0;
    return inside != 0 && inside != 4;
}

/* Find the neighbours into which the surface leaves from cell c, and ask for their points. */
PF_FN void
pf_march_spread(const struct pf_march_grid *g, const struct pf_march_brick *b, int c)
{
    const struct pf_march_at at = pf_march_at_of(b, c);
    float corner[8];
    pf_march_corners(corner, g, at, 1);
    PF_UNROLL for (int face = 0; face < 6; face++) {
        int p[3] = {at.x, at.y, at.z};
        p[face / 2] += face % 2 ? 1 : -1;
        if (p[face / 2] < 0 || p[face / 2] >= g->R - 1 || !pf_march_leaves(corner, face))
            continue;
        struct pf_march_brick *const to = pf_march_brick_of(g, p[0], p[1], p[2]);
        const int there = pf_march_in_brick(p[0], p[1], p[2]);
        if (pf_march_has(to->block, there))
            continue;
        pf_march_set(to->next, there);
        for (int i = 0; i < 8; i++)
            pf_march_ask(g, p[0] + (i & 1), p[1] + (i >> 1 & 1), p[2] + (i >> 2));
    }
}

/* ---- triangles ---- */

/* The corners of the cell that are inside, as bits. */
PF_FN int
pf_march_inside(const struct pf_march_grid *g, const struct pf_march_brick *b, int c)
{
    float corner[8];
    int inside = 0;
    pf_march_corners(corner, g, pf_march_at_of(b, c), 1);
    PF_UNROLL for (int i = 0; i < 8; i++)
        inside |= (corner[i] <= 0) << i;
    return inside;
}

/* The edges that begin at the cell's point and hold a vertex, a bit for each axis.  Every vertex is
 * on such an edge of a marked cell: where the grid ends and an edge has no such cell, all is
 * outside, and once the surface has been followed, all cells of an edge that it cuts are marked or
 * none is. */
PF_FN int
pf_march_own(int inside)
{
    return ((inside ^ inside >> 1) & 1) | ((inside ^ inside >> 2) & 1) << 1 |
           ((inside ^ inside >> 4) & 1) << 2;
}

PF_FN int
pf_march_count(int own)
{
    return (own & 1) + (own >> 1 & 1) + (own >> 2);
}

/* The vertex on an edge (march_cases.h) of the cell. */
PF_FN uint32_t
pf_march_vertex_on(const struct pf_march_grid *g, struct pf_march_at at, int edge)
{
    const int x = at.x + (edge & 1), y = at.y + (edge >> 1 & 1), z = at.z + (edge >> 2 & 1);
    const int axis = edge >> 3;
    const struct pf_march_brick *const b = pf_march_brick_of(g, x, y, z);
    const int v = b->vertex[pf_march_in_brick(x, y, z)];
    return (uint32_t)(g->first_vertex[b->number] + (v >> 3) +
                      pf_march_count(v & ((1 << axis) - 1)));
}

/* The vertices at point c, to vertex [V, 3]. */
PF_FN void
pf_march_put_vertices(float *vertex, const struct pf_march_grid *g, const struct pf_march_brick *b,
                      int c)
{
    const struct pf_march_at at = pf_march_at_of(b, c);
    float *to = vertex + 3 * (g->first_vertex[b->number] + (b->vertex[c] >> 3));
    for (int axis = 0; axis < 3; axis++) {
        const int p[3] = {at.x, at.y, at.z};
        if (!(b->vertex[c] >> axis & 1))
            continue;
        const double v = b->value[c];
        const double w =
            *pf_march_value(g, at.x + (axis == 0), at.y + (axis == 1), at.z + (axis == 2));
        PF_UNROLL for (int k = 0; k < 3; k++)
            to[k] = pf_march_coordinate(g, p[k] + (k == axis ? v / (v - w) : 0));
        to += 3;
    }
}

/* The faces of cell c, to face [faces, 3]. */
PF_FN void
pf_march_put_faces(uint32_t *face, const struct pf_march_grid *g, const struct pf_march_brick *b,
                   int c, const struct pf_march_case *how)
{
    const struct pf_march_at at = pf_march_at_of(b, c);
    for (int t = 0; t < how->triangles; t++)
        for (int k = 0; k < 3; k++)
            face[3 * t + k] = pf_march_vertex_on(g, at, how->edge[t][k]);
}

#endif
