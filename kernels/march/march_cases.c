/* march_cases.c - the table is derived, not typed: contours on the cell's faces, joined to loops,
 * cut into triangles. */
#include "kernels/march/march_cases.h"

#include <stdbool.h>
#include <string.h>

#include "common/error.h"

enum { NONE = -1, EDGES = 12, FACES = 6, LOOP_MAX = 7 };

static const struct edge {
    int corner, axis;
} edges[EDGES] = {
    {0, 0}, {2, 0}, {4, 0}, {6, 0}, {0, 1}, {1, 1}, {4, 1}, {5, 1}, {0, 2}, {1, 2}, {2, 2}, {3, 2},
};

static int
edge_between(int a, int b)
{
    for (int e = 0; e < EDGES; e++) {
        const int from = edges[e].corner, to = from | 1 << edges[e].axis;
        if ((a == from && b == to) || (a == to && b == from))
            return e;
    }
    pf_bug("corners %d and %d have no edge", a, b);
}

/* The four corners of a face, counter-clockwise seen from outside the cell. */
static void
face_corners(int corner[4], int face)
{
    const int axis = face / 2, side = face % 2, u = (axis + 1) % 3, v = (axis + 2) % 3;
    const int round[4] = {0, 1 << u, 1 << u | 1 << v, 1 << v};
    for (int k = 0; k < 4; k++)
        corner[k] = round[side ? k : 3 - k] | side << axis;
}

/* Follow the corners around each face.  Every run of inside corners is cut off by a contour of its
 * own, so two opposite ones stay apart: that depends on the face alone, and the cell on its other
 * side, which sees it the other way round, draws the same contour in the opposite direction. */
static void
contours(int next[EDGES], int inside)
{
    for (int e = 0; e < EDGES; e++)
        next[e] = NONE;
    for (int face = 0; face < FACES; face++) {
        int c[4];
        face_corners(c, face);
        for (int k = 0; k < 4; k++) {
            const int before = c[(k + 3) % 4];
            if (!(inside >> c[k] & 1) || inside >> before & 1)
                continue;
            int last = k;                       // corner of the run that begins at k
            while (inside >> c[(last + 1) % 4] & 1)
                last++;
            next[edge_between(before, c[k])] = edge_between(c[last % 4], c[(last + 1) % 4]);
        }
    }
}

static bool
share_face(int e, int f)
{
    for (int face = 0; face < FACES; face++) {
        const int axis = face / 2, side = face % 2;
        const struct edge *a = &edges[e], *b = &edges[f];
        if (a->axis != axis && b->axis != axis && (a->corner >> axis & 1) == side &&
            (b->corner >> axis & 1) == side)
            return true;
    }
    return false;
}

static uint8_t
number(int e)
{
    return (uint8_t)(edges[e].corner + 8 * edges[e].axis);
}

/* Cut the polygon loop[i..j] into triangles none of whose diagonals lies in a face: such a one
 * could meet a contour or a diagonal of the neighbour and make an edge of four triangles.  There
 * is a way for every loop. */
static bool
cut(struct pf_march_case *to, const int *loop, int i, int j)
{
    const int had = to->triangles;
    if (j - i < 2)
        return true;
    for (int k = i + 1; k < j; k++) {
        if ((k - i > 1 && share_face(loop[i], loop[k])) ||
            (j - k > 1 && share_face(loop[k], loop[j])))
            continue;
        if (cut(to, loop, i, k) && cut(to, loop, k, j)) {
            uint8_t *t = to->edge[to->triangles++];
            t[0] = number(loop[i]);
            t[1] = number(loop[k]);
            t[2] = number(loop[j]);
            return true;
        }
        to->triangles = had;
    }
    return false;
}

static void
make_case(struct pf_march_case *to, int inside)
{
    int next[EDGES];
    contours(next, inside);
    for (int start = 0; start < EDGES; start++) {
        int loop[LOOP_MAX], n = 0;
        for (int e = start; next[e] != NONE;) {
            const int then = next[e];
            loop[n++] = e;
            next[e] = NONE;
            e = then;
        }
        if (!cut(to, loop, 0, n - 1))
            pf_bug("case %d of the marching cubes has a loop without triangles", inside);
    }
}

void
pf_march_cases(struct pf_march_case table[256])
{
    memset(table, 0, 256 * sizeof *table);
    for (int inside = 0; inside < 256; inside++)
        make_case(&table[inside], inside);
}
