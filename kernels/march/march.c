/* march.c - marching cubes on the CPU, brick by brick (march_brick.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/march/march_brick.h"

enum { BATCH = 1 << 16 };       /* points that are evaluated together */

struct march {
    struct pf_march_grid g;
    pf_sdf_fn *sdf;
    void *ctx;
    int64_t bricks, room;
    float *lattice;             /* distances at corners of blocks of 8 cells; NULL: all are near */
    struct {                    /* the batch */
        int n;
        float x[3 * BATCH], out[BATCH];
        struct pf_march_at at[BATCH];
        float *to[BATCH];
    } *batch;
    struct pf_march_stats stats;
    struct pf_march_case cases[256];
};

/* The first marked cell from c on; PF_BRICK_POINTS if there is none. */
static int
next(const uint32_t *bits, int c)
{
    for (; c < PF_BRICK_POINTS; c = c / 32 * 32 + 32)
        if (bits[c / 32] >> c % 32)
            return c + __builtin_ctz(bits[c / 32] >> c % 32);
    return PF_BRICK_POINTS;
}
#define EACH(c, bits) for (int c = next(bits, 0); c < PF_BRICK_POINTS; c = next(bits, c + 1))

/* ---- points ---- */

/* Evaluate the points of the batch. */
static pf_err
flush(struct march *m)
{
    const int n = m->batch->n;
    m->batch->n = 0;
    if (!n)
        return PF_OK;
    m->stats.evaluations += n;
    PF_TRY(m->sdf(m->ctx, m->batch->out, m->batch->x, n));
    for (int i = 0; i < n; i++) {
        if (!isfinite(m->batch->out[i]))
            return pf_march_not_finite(m->batch->x + 3 * i);
        *m->batch->to[i] = pf_march_settled(&m->g, m->batch->at[i], m->batch->out[i]);
    }
    return PF_OK;
}

/* Put a point into the batch; its value is in *to after the next flush. */
static pf_err
enqueue(struct march *m, float *to, struct pf_march_at at)
{
    const int i = m->batch->n++;
    pf_march_point(m->batch->x + 3 * i, &m->g, at);
    m->batch->at[i] = at;
    m->batch->to[i] = to;
    return m->batch->n == BATCH ? flush(m) : PF_OK;
}

/* Evaluate the points that were asked for. */
static pf_err
evaluate(struct march *m)
{
    for (int64_t i = 0; i < m->bricks; i++) {
        struct pf_march_brick *const b = &m->g.brick[i];
        for (int c = 0; c < PF_BRICK_POINTS; c++)
            if (b->value[c] == PF_PENDING)
                PF_TRY(enqueue(m, &b->value[c], pf_march_at_of(b, c)));
    }
    return flush(m);
}

static pf_err
evaluate_lattice(struct march *m)
{
    const int64_t side = m->g.lattice, n = side * side * side;
    m->lattice = malloc((size_t)n * sizeof *m->lattice);
    if (!m->lattice)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", m->g.R);
    for (int64_t i = 0; i < n; i++)
        PF_TRY(enqueue(m, &m->lattice[i], pf_march_lattice_at(&m->g, i)));
    return flush(m);
}

/* ---- where the surface may be ---- */

/* Make room for this many bricks. */
static pf_err
grow(struct march *m, int64_t bricks)
{
    if (bricks <= m->room)
        return PF_OK;
    const int64_t room = m->room ? bricks + bricks / 2 : bricks;
    struct pf_march_brick *const more = realloc(m->g.brick, (size_t)room * sizeof *more);
    if (!more)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", m->g.R);
    m->g.brick = more;
    m->room = room;
    return PF_OK;
}

static void
begin(struct pf_march_brick *b)
{
    memset(b, 0, sizeof *b);
    for (int c = 0; c < PF_BRICK_POINTS; c++)
        b->value[c] = PF_UNKNOWN;
}

/* Memory for the bricks that are wanted. */
static pf_err
add_bricks(struct march *m)
{
    const int64_t all = pf_march_bricks(&m->g), had = m->bricks;
    int64_t wanted = 0;
    for (int64_t i = 0; i < all; i++)
        wanted += m->g.slot[i] == PF_WANTED;
    PF_TRY(grow(m, had + wanted));
#pragma omp parallel for schedule(static)
    for (int64_t i = had; i < had + wanted; i++)
        begin(&m->g.brick[i]);
    for (int64_t i = 0; i < all; i++)
        if (m->g.slot[i] == PF_WANTED)
            pf_march_place(&m->g, i, m->bricks++);
    return PF_OK;
}

/* Mark the blocks of 8 cells that may hold surface. */
static pf_err
find_blocks(struct march *m)
{
    const struct pf_march_grid *const g = &m->g;
    const int64_t side = g->lattice, n = side * side * side;
    for (int64_t i = 0; i < n; i++)
        if (pf_march_block_is_near(g, m->lattice, i))
            pf_march_want_ahead(g, (int)(i % side), (int)(i / side % side),
                                (int)(i / side / side));
    PF_TRY(add_bricks(m));
    for (int64_t i = 0; i < n; i++)
        if (pf_march_block_is_near(g, m->lattice, i)) {
            const struct pf_march_at at = pf_march_lattice_at(g, i);
            pf_march_set(pf_march_brick_of(g, at.x, at.y, at.z)->block, 0);
        }
    return PF_OK;
}

/* Divide the marked blocks, of side s, into eight each and mark those that may hold surface. */
static pf_err
divide(struct march *m, int s)
{
    struct pf_march_grid *const g = &m->g;
    for (int64_t i = 0; i < m->bricks; i++)
        EACH (c, g->brick[i].block)
            for (int k = 0; k < PF_PART_CORNERS; k++)
                pf_march_ask_part(g, &g->brick[i], c, s, k);
    PF_TRY(evaluate(m));
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t i = 0; i < m->bricks; i++) {
        uint32_t parts[PF_BRICK_WORDS] = {0};
        EACH (c, g->brick[i].block)
            for (int k = 0; k < 8; k++) {
                const int part = c + pf_march_in_brick(k & 1, k >> 1 & 1, k >> 2) * (s / 2);
                if (pf_march_part_is_near(g, &g->brick[i], part, s))
                    pf_march_set(parts, part);
            }
        for (int w = 0; w < PF_BRICK_WORDS; w++)
            pf_march_put_parts(&g->brick[i], w, parts[w], s);
    }
    return PF_OK;
}

/* Make the cells that were found last the fresh ones, with memory for the bricks around them;
 * more: whether there are any. */
static pf_err
renew(struct march *m, bool *more)
{
    *more = false;
    for (int64_t i = 0; i < m->bricks; i++) {
        struct pf_march_brick *const b = &m->g.brick[i];
        bool found = false;
        for (int w = 0; w < PF_BRICK_WORDS; w++)
            found |= pf_march_renew(b, w);
        if (found)
            pf_march_want_around(&m->g, b->at.x / PF_BRICK, b->at.y / PF_BRICK, b->at.z / PF_BRICK);
        *more |= found;
    }
    return *more ? add_bricks(m) : PF_OK;
}

/* Mark the cells into which the surface leaves until there are none. */
static pf_err
follow(struct march *m)
{
    for (;;) {
        bool more;
        PF_TRY(renew(m, &more));
        if (!more)
            return PF_OK;
        for (int64_t i = 0; i < m->bricks; i++)
            EACH (c, m->g.brick[i].fresh)
                pf_march_spread(&m->g, &m->g.brick[i], c);
        PF_TRY(evaluate(m));
    }
}

/* ---- triangles ---- */

/* Number the brick's vertices.  Its counts of vertices and faces wait in the places of the next
 * brick.  Returns the number of its cells. */
static int
count(const struct march *m, struct pf_march_brick *b)
{
    int vertices = 0, faces = 0, cells = 0;
    EACH (c, b->block) {
        const int inside = pf_march_inside(&m->g, b, c), own = pf_march_own(inside);
        b->vertex[c] = (uint16_t)(8 * vertices + own);
        vertices += pf_march_count(own);
        faces += m->cases[inside].triangles;
        cells++;
    }
    m->g.first_vertex[b->number + 1] = vertices;
    m->g.first_face[b->number + 1] = faces;
    return cells;
}

static void
emit(const struct march *m, struct pf_mesh *mesh, const struct pf_march_brick *b)
{
    uint32_t *face = mesh->face + 3 * m->g.first_face[b->number];
    EACH (c, b->block) {
        const struct pf_march_case *const how = &m->cases[pf_march_inside(&m->g, b, c)];
        pf_march_put_vertices(mesh->vertex, &m->g, b, c);
        pf_march_put_faces(face, &m->g, b, c, how);
        face += 3 * how->triangles;
    }
}

static pf_err
triangulate(struct march *m, struct pf_mesh *mesh)
{
    struct pf_march_grid *const g = &m->g;
    const int64_t all = pf_march_bricks(g);
    int64_t cells = 0;
    g->first_vertex = calloc((size_t)all + 1, sizeof *g->first_vertex);
    g->first_face = calloc((size_t)all + 1, sizeof *g->first_face);
    if (!g->first_vertex || !g->first_face)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", g->R);
#pragma omp parallel for schedule(dynamic, 64) reduction(+ : cells)
    for (int64_t i = 0; i < m->bricks; i++)
        cells += count(m, &g->brick[i]);
    for (int64_t i = 0; i < all; i++) {
        g->first_vertex[i + 1] += g->first_vertex[i];
        g->first_face[i + 1] += g->first_face[i];
    }
    m->stats.cells = cells;
    PF_TRY(pf_mesh_new(mesh, g->first_vertex[all], g->first_face[all]));
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t i = 0; i < m->bricks; i++)
        emit(m, mesh, &g->brick[i]);
    return PF_OK;
}

/* ---- the whole ---- */

pf_err
pf_march_not_finite(const float x[3])
{
    return pf_fail(PF_EFORMAT, "the distance at (%g, %g, %g) is not a number", (double)x[0],
                   (double)x[1], (double)x[2]);
}

pf_err
pf_march_grid_init(struct pf_march_grid *g, const struct pf_march_options *options)
{
    memset(g, 0, sizeof *g);
    g->R = options->resolution;
    g->bound = options->bound;
    if (g->R < PF_MARCH_MIN || g->R > PF_MARCH_MAX)
        return pf_fail(PF_EARG, "a grid of %d points a side cannot be marched, expected %d to %d",
                       g->R, PF_MARCH_MIN, PF_MARCH_MAX);
    if (!(g->bound > 0) || !isfinite(g->bound))
        return pf_fail(PF_EARG, "a grid from -%g to %g is empty", g->bound, g->bound);
    g->step = 2 * g->bound / (g->R - 1);
    g->side = (g->R + PF_BRICK - 1) / PF_BRICK;
    g->lattice = (g->R - 1 + PF_BRICK - 1) / PF_BRICK + 1;
    g->slope = options->dense ? INFINITY : options->slope > 0 ? options->slope : PF_MARCH_SLOPE;
    return PF_OK;
}

static pf_err
init(struct march *m)
{
    const int64_t all = pf_march_bricks(&m->g);
    m->g.slot = malloc((size_t)all * sizeof *m->g.slot);
    m->batch = malloc(sizeof *m->batch);
    if (!m->g.slot || !m->batch)
        return pf_fail(PF_ENOMEM, "no memory for a grid of %d points a side", m->g.R);
    m->batch->n = 0;
    for (int64_t i = 0; i < all; i++)
        m->g.slot[i] = PF_NO_BRICK;
    pf_march_cases(m->cases);
    return PF_OK;
}

static void
release(struct march *m)
{
    free(m->g.slot);
    free(m->g.brick);
    free(m->g.first_vertex);
    free(m->g.first_face);
    free(m->lattice);
    free(m->batch);
}

static pf_err
march(struct march *m, struct pf_mesh *mesh, bool dense)
{
    PF_TRY(init(m));
    if (!dense)
        PF_TRY(evaluate_lattice(m));
    PF_TRY(find_blocks(m));
    for (int s = PF_BRICK; s > 1; s /= 2)
        PF_TRY(divide(m, s));
    PF_TRY(follow(m));
    return triangulate(m, mesh);
}

pf_err
pf_march(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_sdf_fn *sdf, void *ctx,
         const struct pf_march_options *options)
{
    struct march m = {.sdf = sdf, .ctx = ctx};
    *mesh = (struct pf_mesh){0};
    PF_TRY(pf_march_grid_init(&m.g, options));
    const pf_err err = march(&m, mesh, options->dense);
    release(&m);
    if (!err && stats)
        *stats = m.stats;
    return err;
}
