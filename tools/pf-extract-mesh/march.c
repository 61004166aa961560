#include "tools/pf-extract-mesh/march.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pf-extract-mesh/march_cases.h"

enum {
    BRICK = 8, BRICK_POINTS = BRICK * BRICK * BRICK,
    BATCH = 1 << 16,            // points that are evaluated together
};
#define UNKNOWN NAN             // a point that nobody asked for
#define PENDING INFINITY        // one that waits in the batch
#define CAP 0.01                // what the outermost layer is at least, in steps
#define NO_VERTEX UINT32_MAX

struct at {                     // a point of the grid, or the cell or block that begins there
    uint16_t x, y, z;
};
struct list {
    struct at *at;
    int64_t n, capacity;
};
struct brick {                  // 8 x 8 x 8 points and the cells that begin at them
    float value[BRICK_POINTS];
    uint64_t cell[BRICK];       // by z: bit 8 y + x says that the cell is marked
    uint32_t (*vertex)[3];      // [BRICK_POINTS] by the axis of the edge; NULL until there is one
};
struct grid {
    int R, bricks;              // points, bricks along an axis
    double bound, step, slope;
    struct brick **brick;       // [bricks, bricks, bricks], NULL where nothing was evaluated
    pf_sdf_fn *sdf;
    void *ctx;
    struct {                    // the batch
        int n;
        float *x, *out;         // [BATCH, 3], [BATCH]
        struct at at[BATCH];
        float *to[BATCH];
    } *batch;
    struct pf_march_stats stats;
    struct pf_march_case cases[256];
    struct pf_mesh *mesh;
    int64_t vertex_capacity, face_capacity;
};

/* Room for one more of the n elements of size bytes at *p. */
static pf_err
grow(void *p, int64_t n, int64_t *capacity, size_t size)
{
    void **array = p;
    if (n < *capacity)
        return PF_OK;
    const int64_t wanted = *capacity ? 2 * *capacity : 1024;
    void *more = realloc(*array, (size_t)wanted * size);
    if (!more)
        return pf_fail(PF_ENOMEM, "no memory for a mesh of %lld elements", (long long)wanted);
    *array = more;
    *capacity = wanted;
    return PF_OK;
}

static pf_err
list_add(struct list *list, int x, int y, int z)
{
    PF_TRY(grow(&list->at, list->n, &list->capacity, sizeof *list->at));
    list->at[list->n++] = (struct at){(uint16_t)x, (uint16_t)y, (uint16_t)z};
    return PF_OK;
}

/* ---- points ---- */

static struct brick **
brick_of(const struct grid *g, int x, int y, int z)
{
    return &g->brick[((int64_t)(z / BRICK) * g->bricks + y / BRICK) * g->bricks + x / BRICK];
}

static int
point_in_brick(int x, int y, int z)
{
    return (z % BRICK * BRICK + y % BRICK) * BRICK + x % BRICK;
}

static pf_err
need_brick(struct grid *g, struct brick **brick, int x, int y, int z)
{
    struct brick **slot = brick_of(g, x, y, z);
    if (!*slot) {
        *slot = calloc(1, sizeof **slot);
        if (!*slot)
            return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", g->R);
        for (int i = 0; i < BRICK_POINTS; i++)
            (*slot)->value[i] = UNKNOWN;
    }
    *brick = *slot;
    return PF_OK;
}

static float
value(const struct grid *g, int x, int y, int z)
{
    return (*brick_of(g, x, y, z))->value[point_in_brick(x, y, z)];
}

static float
coordinate(const struct grid *g, double i)
{
    return (float)(i * g->step - g->bound);
}

/* Evaluate what waits. */
static pf_err
flush(struct grid *g)
{
    const int n = g->batch->n;
    g->batch->n = 0;
    if (!n)
        return PF_OK;
    g->stats.evaluations += n;
    PF_TRY(g->sdf(g->ctx, g->batch->out, g->batch->x, n));
    for (int i = 0; i < n; i++) {
        const struct at p = g->batch->at[i];
        const int last = g->R - 1;
        float v = g->batch->out[i];
        if (!isfinite(v))
            return pf_fail(PF_EFORMAT, "the field's distance at (%g, %g, %g) is not a number",
                           (double)g->batch->x[3 * i], (double)g->batch->x[3 * i + 1],
                           (double)g->batch->x[3 * i + 2]);
        if (!p.x || !p.y || !p.z || p.x == last || p.y == last || p.z == last)
            v = fmaxf(v, (float)(CAP * g->step));
        *g->batch->to[i] = v;
    }
    return PF_OK;
}

/* Put a point that is not yet known into the batch; its value is in *to after the next flush. */
static pf_err
enqueue(struct grid *g, float *to, int x, int y, int z)
{
    const int i = g->batch->n++;
    g->batch->x[3 * i] = coordinate(g, x);
    g->batch->x[3 * i + 1] = coordinate(g, y);
    g->batch->x[3 * i + 2] = coordinate(g, z);
    g->batch->at[i] = (struct at){(uint16_t)x, (uint16_t)y, (uint16_t)z};
    g->batch->to[i] = to;
    *to = PENDING;
    return g->batch->n == BATCH ? flush(g) : PF_OK;
}

static int
min(int a, int b)
{
    return a < b ? a : b;
}

/* Ask for the points x + 0..n steps of s, and so for y and z; the grid's end cuts them off. */
static pf_err
request(struct grid *g, struct at at, int n, int s)
{
    const int last = g->R - 1;
    for (int k = 0; k <= n; k++)
        for (int j = 0; j <= n; j++)
            for (int i = 0; i <= n; i++) {
                const int x = min(at.x + i * s, last), y = min(at.y + j * s, last);
                const int z = min(at.z + k * s, last);
                struct brick *b = NULL;
                PF_TRY(need_brick(g, &b, x, y, z));
                float *v = &b->value[point_in_brick(x, y, z)];
                if (isnan(*v))
                    PF_TRY(enqueue(g, v, x, y, z));
            }
    return PF_OK;
}

/* ---- where the surface may be ---- */

/* May a block of side s with these corners hold surface?  Every point of it is within half a
 * diagonal of a corner.  A cell counts if its corners differ: only then has it triangles. */
static bool
is_near(const struct grid *g, const float corner[8], int s)
{
    int inside = 0;
    float nearest = INFINITY;
    for (int c = 0; c < 8; c++) {
        inside += corner[c] <= 0;
        nearest = fminf(nearest, fabsf(corner[c]));
    }
    if (inside != 0 && inside != 8)
        return true;
    return s > 1 && nearest <= g->slope * s * g->step * (sqrt(3) / 2);
}

static void
corners(float corner[8], const struct grid *g, int x, int y, int z, int s)
{
    const int last = g->R - 1;
    for (int c = 0; c < 8; c++)
        corner[c] = value(g, min(x + (c & 1) * s, last), min(y + (c >> 1 & 1) * s, last),
                          min(z + (c >> 2) * s, last));
}

/* Evaluate the corners of all blocks of 8 cells and list those that may hold surface. */
static pf_err
find_blocks(struct grid *g, struct list *found)
{
    const int last = g->R - 1, blocks = (last + BRICK - 1) / BRICK, side = blocks + 1;
    float *v = malloc((size_t)side * side * side * sizeof *v);
    pf_err err = PF_OK;
    if (!v)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", g->R);
    for (int k = 0; k < side; k++)
        for (int j = 0; j < side; j++)
            for (int i = 0; i < side; i++)
                if ((err = enqueue(g, &v[((int64_t)k * side + j) * side + i], min(i * BRICK, last),
                                   min(j * BRICK, last), min(k * BRICK, last))))
                    goto out;
    if ((err = flush(g)))
        goto out;
    for (int k = 0; k < blocks; k++)
        for (int j = 0; j < blocks; j++)
            for (int i = 0; i < blocks; i++) {
                float corner[8];
                for (int c = 0; c < 8; c++)
                    corner[c] = v[((int64_t)(k + (c >> 2)) * side + j + (c >> 1 & 1)) * side + i +
                                  (c & 1)];
                if (is_near(g, corner, BRICK) &&
                    (err = list_add(found, i * BRICK, j * BRICK, k * BRICK)))
                    goto out;
            }
out:
    free(v);
    return err;
}

/* Divide blocks of side s into eight each and list those that may hold surface. */
static pf_err
divide(struct grid *g, struct list *found, const struct list *blocks, int s)
{
    const int half = s / 2, last = g->R - 1;
    for (int64_t i = 0; i < blocks->n; i++)
        PF_TRY(request(g, blocks->at[i], 2, half));
    PF_TRY(flush(g));
    for (int64_t i = 0; i < blocks->n; i++)
        for (int c = 0; c < 8; c++) {
            const struct at b = blocks->at[i];
            const int x = b.x + (c & 1) * half, y = b.y + (c >> 1 & 1) * half;
            const int z = b.z + (c >> 2) * half;
            float corner[8];
            if (x >= last || y >= last || z >= last)
                continue;
            corners(corner, g, x, y, z, half);
            if (is_near(g, corner, half))
                PF_TRY(list_add(found, x, y, z));
        }
    return PF_OK;
}

/* Mark the cell; false if it already was. */
static bool
mark(const struct grid *g, int x, int y, int z)
{
    uint64_t *word = &(*brick_of(g, x, y, z))->cell[z % BRICK];
    const uint64_t bit = UINT64_C(1) << (y % BRICK * BRICK + x % BRICK);
    const bool was = *word & bit;
    *word |= bit;
    return !was;
}

/* Does the surface leave the cell through this face (2 axis + side)? */
static bool
leaves(const float corner[8], int face)
{
    const int axis = face / 2, side = face % 2;
    int inside = 0;
    for (int c = 0; c < 8; c++)
        inside += (c >> axis & 1) == side && corner[c] <= 0;
    return inside != 0 && inside != 4;
}

/* Mark the neighbours into which the surface leaves from the marked cells, and list them. */
static pf_err
spread(struct grid *g, struct list *found, const struct list *cells)
{
    for (int64_t i = 0; i < cells->n; i++) {
        const struct at at = cells->at[i];
        float corner[8];
        corners(corner, g, at.x, at.y, at.z, 1);
        for (int face = 0; face < 6; face++) {
            int p[3] = {at.x, at.y, at.z};
            p[face / 2] += face % 2 ? 1 : -1;
            if (p[face / 2] < 0 || p[face / 2] >= g->R - 1 || !leaves(corner, face))
                continue;
            const struct at to = {(uint16_t)p[0], (uint16_t)p[1], (uint16_t)p[2]};
            PF_TRY(request(g, to, 1, 1));
            if (mark(g, p[0], p[1], p[2]))
                PF_TRY(list_add(found, p[0], p[1], p[2]));
        }
    }
    return flush(g);
}

static void
swap(struct list *a, struct list *b)
{
    const struct list t = *a;
    *a = *b;
    *b = t;
    b->n = 0;
}

/* Mark every cell that holds surface, with as few evaluations as that takes. */
static pf_err
mark_surface(struct grid *g)
{
    struct list now = {0}, then = {0};
    pf_err err = find_blocks(g, &now);
    for (int s = BRICK; !err && s > 1; s /= 2) {
        err = divide(g, &then, &now, s);
        swap(&now, &then);
    }
    for (int64_t i = 0; !err && i < now.n; i++)
        mark(g, now.at[i].x, now.at[i].y, now.at[i].z);
    while (!err && now.n) {
        err = spread(g, &then, &now);
        swap(&now, &then);
    }
    free(now.at);
    free(then.at);
    return err;
}

static pf_err
mark_everything(struct grid *g)
{
    const int last = g->R - 1;
    for (int z = 0; z < last; z += BRICK)
        for (int y = 0; y < last; y += BRICK)
            for (int x = 0; x < last; x += BRICK)
                PF_TRY(request(g, (struct at){(uint16_t)x, (uint16_t)y, (uint16_t)z}, BRICK, 1));
    PF_TRY(flush(g));
    for (int z = 0; z < last; z++)
        for (int y = 0; y < last; y++)
            for (int x = 0; x < last; x++)
                mark(g, x, y, z);
    return PF_OK;
}

/* ---- triangles ---- */

static pf_err
add_vertex(struct grid *g, uint32_t *index, const int p[3], int axis)
{
    struct pf_mesh *m = g->mesh;
    int q[3] = {p[0], p[1], p[2]};
    if (m->vertices == INT32_MAX)               // what a PLY file can count
        return pf_fail(PF_ESHAPE, "the mesh needs more than %d vertices; a lower resolution helps",
                       INT32_MAX);
    PF_TRY(grow(&m->vertex, m->vertices, &g->vertex_capacity, 3 * sizeof *m->vertex));
    q[axis]++;
    const double a = value(g, p[0], p[1], p[2]), b = value(g, q[0], q[1], q[2]);
    for (int k = 0; k < 3; k++)
        m->vertex[3 * m->vertices + k] = coordinate(g, p[k] + (k == axis ? a / (a - b) : 0));
    *index = (uint32_t)m->vertices++;
    return PF_OK;
}

/* The vertex on edge e of the cell: made by the first cell that asks, shared by the others. */
static pf_err
vertex_on(struct grid *g, uint32_t *index, struct at cell, int e)
{
    const int c = pf_march_edge[e].corner, axis = pf_march_edge[e].axis;
    const int p[3] = {cell.x + (c & 1), cell.y + (c >> 1 & 1), cell.z + (c >> 2)};
    struct brick *b = *brick_of(g, p[0], p[1], p[2]);
    if (!b->vertex) {
        b->vertex = malloc(BRICK_POINTS * sizeof *b->vertex);
        if (!b->vertex)
            return pf_fail(PF_ENOMEM, "no memory for a mesh of %lld vertices",
                           (long long)g->mesh->vertices);
        memset(b->vertex, 0xff, BRICK_POINTS * sizeof *b->vertex);      // NO_VERTEX
    }
    uint32_t *v = &b->vertex[point_in_brick(p[0], p[1], p[2])][axis];
    if (*v == NO_VERTEX)
        PF_TRY(add_vertex(g, v, p, axis));
    *index = *v;
    return PF_OK;
}

static pf_err
add_faces(struct grid *g, struct at cell)
{
    struct pf_mesh *m = g->mesh;
    float corner[8];
    int inside = 0;
    corners(corner, g, cell.x, cell.y, cell.z, 1);
    for (int c = 0; c < 8; c++)
        inside |= (corner[c] <= 0) << c;
    const struct pf_march_case *k = &g->cases[inside];
    g->stats.cells += k->triangles > 0;
    for (int t = 0; t < k->triangles; t++, m->faces++) {
        PF_TRY(grow(&m->face, m->faces, &g->face_capacity, 3 * sizeof *m->face));
        for (int i = 0; i < 3; i++)
            PF_TRY(vertex_on(g, &m->face[3 * m->faces + i], cell, k->edge[t][i]));
    }
    return PF_OK;
}

/* Faces of the marked cells, in an order that does not depend on how they were found. */
static pf_err
triangulate(struct grid *g)
{
    const int64_t bricks = (int64_t)g->bricks * g->bricks * g->bricks;
    for (int64_t i = 0; i < bricks; i++) {
        const int x = (int)(i % g->bricks), y = (int)(i / g->bricks % g->bricks);
        const int z = (int)(i / g->bricks / g->bricks);
        for (int k = 0; g->brick[i] && k < BRICK_POINTS; k++)
            if (g->brick[i]->cell[k / 64] >> (k % 64) & 1)
                PF_TRY(add_faces(g, (struct at){(uint16_t)(x * BRICK + k % BRICK),
                                                (uint16_t)(y * BRICK + k / BRICK % BRICK),
                                                (uint16_t)(z * BRICK + k / 64)}));
    }
    return PF_OK;
}

/* ---- the whole ---- */

static void
grid_release(struct grid *g)
{
    const int64_t bricks = (int64_t)g->bricks * g->bricks * g->bricks;
    for (int64_t i = 0; g->brick && i < bricks; i++)
        if (g->brick[i]) {
            free(g->brick[i]->vertex);
            free(g->brick[i]);
        }
    free(g->brick);
    if (g->batch) {
        free(g->batch->x);
        free(g->batch->out);
    }
    free(g->batch);
}

static pf_err
grid_init(struct grid *g)
{
    g->step = 2 * g->bound / (g->R - 1);
    g->bricks = (g->R + BRICK - 1) / BRICK;
    g->brick = calloc((size_t)g->bricks * g->bricks * g->bricks, sizeof *g->brick);
    g->batch = calloc(1, sizeof *g->batch);
    if (g->batch) {
        g->batch->x = malloc(3 * BATCH * sizeof *g->batch->x);
        g->batch->out = malloc(BATCH * sizeof *g->batch->out);
    }
    if (!g->brick || !g->batch || !g->batch->x || !g->batch->out)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", g->R);
    pf_march_cases(g->cases);
    return PF_OK;
}

pf_err
pf_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_sdf_fn *sdf, void *ctx,
         const struct pf_march_options *options)
{
    struct grid g = {
        .R = options->resolution, .bound = options->bound, .sdf = sdf, .ctx = ctx, .mesh = mesh,
        .slope = options->slope > 0 ? options->slope : PF_MARCH_SLOPE,
    };
    if (g.R < PF_MARCH_MIN || g.R > PF_MARCH_MAX)
        return pf_fail(PF_ESHAPE, "a grid of %d points a side cannot be marched, expected %d to %d",
                       g.R, PF_MARCH_MIN, PF_MARCH_MAX);
    if (!(g.bound > 0) || !isfinite(g.bound))
        return pf_fail(PF_ESHAPE, "a grid from -%g to %g is empty", g.bound, g.bound);
    *mesh = (struct pf_mesh){0};
    pf_err err = grid_init(&g);
    if (!err)
        err = options->dense ? mark_everything(&g) : mark_surface(&g);
    if (!err)
        err = triangulate(&g);
    grid_release(&g);
    if (err)
        pf_mesh_release(mesh);
    else if (stats)
        *stats = g.stats;
    return err;
}
