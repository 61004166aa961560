/* charts.c - charts are grown from one face after the other, nearest normals first, and small ones
 * then join a neighbour. */
#include "tools/pf-extract-mesh/charts.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pf-extract-mesh/normals.h"

#define FACING 0.6f             /* cosine: faces of a growing chart are stretched by 1.7 at most */
#define BARELY_FACING 0.25f     /* and those of a chart that joins another by 4 */
#define SMOOTHING 2             /* times that normals are averaged with those around them */
#define SMALL_SHARE 1e-3        /* of the surface: smaller charts join others if they can */
#define ROUNDNESS 0.15f         /* what a neighbour in the chart is worth, in cosines */

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static float
make_unit(float v[3])
{
    const float length = sqrtf(dot(v, v));
    for (int k = 0; k < 3; k++)
        v[k] = length > 0 ? v[k] / length : 0;
    return length;
}

/* ---- the face beyond an edge ---- */

pf_err
pf_mesh_neighbours(uint32_t **beyond, const struct pf_mesh *mesh)
{
    const int64_t n = 3 * mesh->faces, V = mesh->vertices;
    uint32_t *const to = malloc(((size_t)n + 1) * sizeof *to);
    int64_t *const first = calloc((size_t)V + 2, sizeof *first);
    uint32_t *const edge = malloc(((size_t)n + 1) * sizeof *edge);
    if (!to || !first || !edge) {
        free(to);
        free(first);
        free(edge);
        return pf_fail(PF_ENOMEM, "no memory for the neighbours of %lld faces",
                       (long long)mesh->faces);
    }
    for (int64_t i = 0; i < n; i++)             // edges by the vertex that they begin at
        first[mesh->face[i] + 1]++;
    for (int64_t v = 0; v < V; v++)
        first[v + 1] += first[v];
    for (int64_t i = n; i-- > 0;)
        edge[--first[mesh->face[i] + 1]] = (uint32_t)i;
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++) {
        const uint32_t a = mesh->face[i], b = mesh->face[i % 3 == 2 ? i - 2 : i + 1];
        to[i] = UINT32_MAX;
        for (int64_t j = first[b + 1]; j < (b + 1 < V ? first[b + 2] : n); j++) {
            const uint32_t e = edge[j];
            if (mesh->face[e % 3 == 2 ? e - 2 : e + 1] == a)
                to[i] = e / 3;
        }
    }
    free(first);
    free(edge);
    *beyond = to;
    return PF_OK;
}

/* ---- growing ---- */

struct wait {                   /* a face that may join the chart, in a heap */
    float cost;
    uint32_t face;
};

struct grower {
    const struct pf_mesh *mesh;
    uint32_t *beyond;           /* [faces, 3] */
    float (*normal)[3];         /* [faces] unit, or 0 */
    float (*smooth)[3];         /* [faces] the same averaged */
    float *area;                /* [faces] twice */
    struct wait *heap;          /* [3 faces + 1] */
    int64_t waiting;
};

static bool
before(struct wait a, struct wait b)
{
    return a.cost < b.cost || (a.cost == b.cost && a.face < b.face);
}

static void
push(struct grower *g, float cost, uint32_t face)
{
    const struct wait w = {cost, face};
    int64_t i = g->waiting++;
    for (; i > 0 && before(w, g->heap[(i - 1) / 2]); i = (i - 1) / 2)
        g->heap[i] = g->heap[(i - 1) / 2];
    g->heap[i] = w;
}

static uint32_t
pop(struct grower *g)
{
    const uint32_t best = g->heap[0].face;
    const struct wait w = g->heap[--g->waiting];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < g->waiting; i = child) {
        child += child + 1 < g->waiting && before(g->heap[child + 1], g->heap[child]);
        if (!before(g->heap[child], w))
            break;
        g->heap[i] = g->heap[child];
    }
    g->heap[i] = w;
    return best;
}

static pf_err
prepare(struct grower *g, const struct pf_mesh *mesh)
{
    const size_t F = (size_t)mesh->faces + 1;
    float(*next)[3] = malloc(F * sizeof *next);
    g->mesh = mesh;
    g->normal = malloc(F * sizeof *g->normal);
    g->smooth = malloc(F * sizeof *g->smooth);
    g->area = malloc(F * sizeof *g->area);
    g->heap = malloc(3 * F * sizeof *g->heap);
    if (!next || !g->normal || !g->smooth || !g->area || !g->heap) {
        free(next);
        return pf_fail(PF_ENOMEM, "no memory for the charts of %lld faces",
                       (long long)mesh->faces);
    }
    for (int64_t f = 0; f < mesh->faces; f++) {
        pf_mesh_face_normal(g->normal[f], mesh, f);
        memcpy(g->smooth[f], g->normal[f], sizeof *g->smooth);  // as long as the area
        g->area[f] = make_unit(g->normal[f]);
    }
    for (int round = 0; round < SMOOTHING; round++) {
        for (int64_t f = 0; f < mesh->faces; f++)
            for (int k = 0; k < 3; k++) {
                next[f][k] = g->smooth[f][k];
                for (int e = 0; e < 3; e++)
                    if (g->beyond[3 * f + e] != UINT32_MAX)
                        next[f][k] += g->smooth[g->beyond[3 * f + e]][k];
            }
        float(*const swap)[3] = g->smooth;
        g->smooth = next;
        next = swap;
    }
    for (int64_t f = 0; f < mesh->faces; f++)
        make_unit(g->smooth[f]);
    free(next);
    return PF_OK;
}

/* Let the faces around f, which has joined, wait for the chart of this normal. */
static void
push_around(struct grower *g, const struct pf_charts *c, uint32_t f, const float normal[3])
{
    for (int e = 0; e < 3; e++) {
        const uint32_t to = g->beyond[3 * (int64_t)f + e];
        int inside = 0;
        if (to == UINT32_MAX || c->of[to] >= 0)
            continue;
        for (int k = 0; k < 3; k++) {
            const uint32_t around = g->beyond[3 * (int64_t)to + k];
            inside += around != UINT32_MAX && c->of[around] == c->of[f];
        }
        push(g, 1 - dot(g->smooth[to], normal) - ROUNDNESS * (float)inside, to);
    }
}

/* The chart that begins at a face. */
static void
grow(struct grower *g, struct pf_charts *c, uint32_t seed, int chart)
{
    float sum[3], normal[3];
    memcpy(sum, g->smooth[seed], sizeof sum);
    for (int k = 0; k < 3; k++)
        sum[k] *= g->area[seed];
    memcpy(normal, g->normal[seed], sizeof normal);
    if (g->area[seed] == 0)
        memcpy(normal, g->smooth[seed], sizeof normal);
    c->of[seed] = chart;
    g->waiting = 0;
    push_around(g, c, seed, normal);
    while (g->waiting) {
        const uint32_t f = pop(g);
        if (c->of[f] >= 0 || dot(g->smooth[f], normal) < FACING ||
            (g->area[f] > 0 && dot(g->normal[f], normal) < BARELY_FACING))
            continue;
        c->of[f] = chart;
        for (int k = 0; k < 3; k++) {
            sum[k] += g->area[f] * g->normal[f][k];
            normal[k] = sum[k];
        }
        if (make_unit(normal) == 0)
            memcpy(normal, g->smooth[seed], sizeof normal);
        push_around(g, c, f, normal);
    }
}

/* ---- small charts ---- */

/* Whether all faces of chart face so that they can lie in a chart of this normal. */
static bool
fits(const struct grower *g, const struct pf_charts *c, int chart, const float normal[3])
{
    for (int64_t i = c->first[chart]; i < c->first[chart + 1]; i++)
        if (g->area[c->face[i]] > 0 && dot(g->normal[c->face[i]], normal) < BARELY_FACING)
            return false;
    return true;
}

/* The chart that shares most edges with this one and that it fits into; -1: none. */
static int
neighbour_for(const struct grower *g, const struct pf_charts *c, int chart, int *edges)
{
    int best = -1;
    for (int64_t i = c->first[chart]; i < c->first[chart + 1]; i++)
        for (int e = 0; e < 3; e++) {
            const uint32_t to = g->beyond[3 * (int64_t)c->face[i] + e];
            if (to != UINT32_MAX)
                edges[c->of[to]]++;
        }
    edges[chart] = 0;
    for (int64_t i = c->first[chart]; i < c->first[chart + 1]; i++)
        for (int e = 0; e < 3; e++) {
            const uint32_t to = g->beyond[3 * (int64_t)c->face[i] + e];
            const int other = to != UINT32_MAX ? c->of[to] : chart;
            const int n = edges[other];
            edges[other] = 0;
            if (n > 0 && fits(g, c, chart, c->normal[other]) &&
                (best < 0 || n > edges[chart])) {
                best = other;
                edges[chart] = n;               // the most so far
            }
        }
    edges[chart] = 0;
    return best;
}

struct small {
    double area;
    int chart;
};

static int
by_area(const void *a, const void *b)
{
    const struct small *x = a, *y = b;
    return x->area != y->area ? (x->area > y->area) - (x->area < y->area)
                              : (x->chart > y->chart) - (x->chart < y->chart);
}

/* Let the small charts, from the smallest on, join neighbours that stay as they are meanwhile. */
static pf_err
join_small(const struct grower *g, struct pf_charts *c, bool *joined)
{
    const size_t n = (size_t)c->count;
    struct small *const s = calloc(n + 1, sizeof *s);
    int *const to = malloc((n + 1) * sizeof *to), *const edges = calloc(n + 1, sizeof *edges);
    bool *const fixed = calloc(n + 1, sizeof *fixed);
    double all = 0;
    int count = 0;
    if (!s || !to || !edges || !fixed) {
        free(s);
        free(to);
        free(edges);
        free(fixed);
        return pf_fail(PF_ENOMEM, "no memory for %d charts", c->count);
    }
    for (int i = 0; i < c->count; i++) {
        s[i].chart = to[i] = i;
        for (int64_t k = c->first[i]; k < c->first[i + 1]; k++)
            s[i].area += g->area[c->face[k]];
        all += s[i].area;
    }
    qsort(s, n, sizeof *s, by_area);
    for (int i = 0; i < c->count && s[i].area < SMALL_SHARE * all; i++) {
        const int from = s[i].chart;
        const int into = fixed[from] ? -1 : neighbour_for(g, c, from, edges);
        if (into >= 0 && to[into] == into) {
            to[from] = into;
            fixed[into] = true;
        }
    }
    for (int i = 0; i < c->count; i++)
        edges[i] = to[i] == i ? count++ : 0;    // the new number
    for (int64_t f = 0; f < g->mesh->faces; f++)
        c->of[f] = edges[to[c->of[f]]];
    *joined = count < c->count;
    free(s);
    free(to);
    free(edges);
    free(fixed);
    return pf_charts_settle(c, g->mesh, count);
}

/* ---- the whole ---- */

pf_err
pf_charts_settle(struct pf_charts *c, const struct pf_mesh *mesh, int count)
{
    free(c->normal);
    free(c->first);
    free(c->face);
    c->count = count;
    c->normal = calloc((size_t)count + 1, sizeof *c->normal);
    c->first = calloc((size_t)count + 2, sizeof *c->first);
    c->face = malloc(((size_t)mesh->faces + 1) * sizeof *c->face);
    if (!c->normal || !c->first || !c->face)
        return pf_fail(PF_ENOMEM, "no memory for %d charts", count);
    for (int64_t f = 0; f < mesh->faces; f++) {
        float n[3];
        pf_mesh_face_normal(n, mesh, f);
        for (int k = 0; k < 3; k++)
            c->normal[c->of[f]][k] += n[k];
        c->first[c->of[f] + 1]++;
    }
    for (int i = 0; i < count; i++) {
        c->first[i + 1] += c->first[i];
        if (make_unit(c->normal[i]) == 0)
            c->normal[i][2] = 1;
    }
    for (int64_t f = mesh->faces; f-- > 0;)     // from the end: first[i + 1] moves to first[i]
        c->face[--c->first[c->of[f] + 1]] = (uint32_t)f;
    memmove(c->first, c->first + 1, (size_t)count * sizeof *c->first);
    c->first[count] = mesh->faces;
    return PF_OK;
}

static pf_err
grow_all(struct grower *g, struct pf_charts *c)
{
    const struct pf_mesh *const mesh = g->mesh;
    bool joined = true;
    int count = 0;
    c->of = malloc(((size_t)mesh->faces + 1) * sizeof *c->of);
    if (!c->of)
        return pf_fail(PF_ENOMEM, "no memory for the charts of %lld faces",
                       (long long)mesh->faces);
    for (int64_t f = 0; f < mesh->faces; f++)
        c->of[f] = -1;
    for (int64_t f = 0; f < mesh->faces; f++)
        if (c->of[f] < 0)
            grow(g, c, (uint32_t)f, count++);
    PF_TRY(pf_charts_settle(c, mesh, count));
    while (joined)
        PF_TRY(join_small(g, c, &joined));
    return PF_OK;
}

pf_err
pf_charts_grow(struct pf_charts *charts, const struct pf_mesh *mesh)
{
    struct grower g = {0};
    *charts = (struct pf_charts){0};
    pf_err err = pf_mesh_neighbours(&g.beyond, mesh);
    if (!err)
        err = prepare(&g, mesh);
    if (!err)
        err = grow_all(&g, charts);
    free(g.beyond);
    free(g.normal);
    free(g.smooth);
    free(g.area);
    free(g.heap);
    if (err)
        pf_charts_release(charts);
    return err;
}

void
pf_charts_release(struct pf_charts *charts)
{
    free(charts->of);
    free(charts->normal);
    free(charts->first);
    free(charts->face);
    *charts = (struct pf_charts){0};
}
