#include "tools/pf-extract-mesh/atlas.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pf-extract-mesh/charts.h"
#include "tools/pf-extract-mesh/normals.h"
#include "tools/pf-extract-mesh/pack.h"
#include "tools/pf-extract-mesh/raster.h"

#define EDGE_ON 0.02            /* cosine: a face that is nearly upright in its chart leaves it */

static void
cross(float to[3], const float a[3], const float b[3])
{
    for (int k = 0; k < 3; k++)
        to[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static float
dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* ---- vertices ---- */

/* A vertex for each pair of a vertex of the mesh and a chart around it, by chart. */
static pf_err
split_vertices(struct pf_atlas *a, const struct pf_mesh *mesh, const struct pf_charts *c)
{
    int32_t *const chart = malloc(((size_t)mesh->vertices + 1) * sizeof *chart);
    uint32_t *const index = malloc(((size_t)mesh->vertices + 1) * sizeof *index);
    a->vertices = 0;
    if (!chart || !index) {
        free(chart);
        free(index);
        return pf_fail(PF_ENOMEM, "no memory for the vertices of an atlas");
    }
    for (int64_t v = 0; v < mesh->vertices; v++)
        chart[v] = -1;
    for (int64_t i = 0; i < 3 * mesh->faces; i++) {
        const int64_t f = c->face[i / 3], corner = 3 * f + i % 3;
        const uint32_t v = mesh->face[corner];
        if (chart[v] != c->of[f]) {
            chart[v] = c->of[f];
            index[v] = (uint32_t)a->vertices;
            a->of[a->vertices++] = v;
        }
        a->face[corner] = index[v];
    }
    free(chart);
    free(index);
    return PF_OK;
}

/* ---- projection ---- */

/* The box of a chart's vertices, from first to end, over axes right and down. */
static void
box(float low[2], float high[2], const struct pf_atlas *a, const struct pf_mesh *mesh,
    const float axis[2][3], int64_t first, int64_t end)
{
    for (int k = 0; k < 2; k++) {
        low[k] = INFINITY;
        high[k] = -INFINITY;
        for (int64_t v = first; v < end; v++) {
            const float at = dot(mesh->vertex + 3 * (int64_t)a->of[v], axis[k]);
            low[k] = fminf(low[k], at);
            high[k] = fmaxf(high[k], at);
        }
    }
}

/* Project a chart's vertices, turned so that its box is smallest of so many turns within half a
 * circle and not wider than high. */
static void
project(struct pf_atlas *a, const struct pf_mesh *mesh, const float normal[3], int chart,
        int turns, int64_t first, int64_t end)
{
    float best = INFINITY, right[3], down[3], low[2], high[2], axis[2][3];
    const int least = fabsf(normal[0]) < fabsf(normal[1])
                          ? (fabsf(normal[0]) < fabsf(normal[2]) ? 0 : 2)
                          : (fabsf(normal[1]) < fabsf(normal[2]) ? 1 : 2);
    float side[3] = {0};
    side[least] = 1;
    cross(right, side, normal);
    const float length = sqrtf(dot(right, right));
    for (int k = 0; k < 3; k++)
        right[k] /= length;
    cross(down, right, normal);                 // seen from outside: right x up = normal
    for (int turn = 0; turn < turns; turn++) {
        const float angle = (float)turn * 3.14159265f / (float)turns;
        const float c = cosf(angle), s = sinf(angle);
        for (int k = 0; k < 3; k++) {
            axis[0][k] = c * right[k] + s * down[k];
            axis[1][k] = c * down[k] - s * right[k];
        }
        box(low, high, a, mesh, (const float(*)[3])axis, first, end);
        const float area = (high[0] - low[0]) * (high[1] - low[1]);
        if (high[0] - low[0] > high[1] - low[1] || !(area < best))
            continue;
        best = area;
        memcpy(a->right[chart], axis[0], sizeof axis[0]);
    }
    if (best == INFINITY)                       // as wide as high however it is turned
        memcpy(a->right[chart], right, sizeof right);
    memcpy(axis[0], a->right[chart], sizeof axis[0]);
    cross(axis[1], axis[0], normal);
    box(low, high, a, mesh, (const float(*)[3])axis, first, end);
    for (int64_t v = first; v < end; v++)
        for (int k = 0; k < 2; k++)
            a->at[2 * v + k] = dot(mesh->vertex + 3 * (int64_t)a->of[v], axis[k]) - low[k];
}

static pf_err
flatten(struct pf_atlas *a, const struct pf_mesh *mesh, const struct pf_charts *c, int turns)
{
    PF_TRY(split_vertices(a, mesh, c));
    free(a->right);
    a->right = malloc(((size_t)c->count + 1) * sizeof *a->right);
    int64_t *const first = malloc(((size_t)c->count + 1) * sizeof *first);
    if (!a->right || !first) {
        free(first);
        return pf_fail(PF_ENOMEM, "no memory for %d charts", c->count);
    }
    a->charts = c->count;
    int64_t vertices = 0;
    for (int i = 0; i < c->count; i++) {        // a chart's vertices come one after the other
        first[i] = vertices;
        for (int64_t k = c->first[i]; k < c->first[i + 1]; k++)
            for (int e = 0; e < 3; e++)
                if (a->face[3 * (int64_t)c->face[k] + e] >= vertices)
                    vertices = a->face[3 * (int64_t)c->face[k] + e] + 1;
    }
    first[c->count] = vertices;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < c->count; i++)
        project(a, mesh, c->normal[i], i, turns, first[i], first[i + 1]);
    free(first);
    return PF_OK;
}

/* ---- overlaps ---- */

/* Cosine between the normals of a face and of a chart; 1 for a face without area. */
static float
facing(const struct pf_mesh *mesh, const struct pf_charts *c, int64_t f, int chart)
{
    float n[3];
    pf_mesh_face_normal(n, mesh, f);
    const float length = sqrtf(dot(n, n));
    return length > 0 ? dot(n, c->normal[chart]) / length : 1;
}

/* The texels of a chart alone, at so many a unit: taken is whether a face covers one. */
struct sheet {
    const struct pf_atlas *atlas;
    double scale;
    int width, height;
    bool *taken;
};

/* Put a face onto the sheet, unless it would cover what is covered. */
static bool
lay(struct sheet *s, int64_t f)
{
    float at[3][2];
    struct pf_raster r;
    int64_t weight[3];
    for (int e = 0; e < 6; e++) {
        const uint32_t v = s->atlas->face[3 * f + e / 2];
        at[e / 2][e % 2] = (float)(s->atlas->at[2 * (int64_t)v + e % 2] * s->scale);
    }
    pf_raster_begin(&r, (const float *const[]){at[0], at[1], at[2]}, 0);
    for (int y = r.y0; y < r.y1; y++)
        for (int x = r.x0; x < r.x1; x++)
            if (s->taken[(int64_t)y * s->width + x] && pf_raster_covers(weight, &r, x, y))
                return false;
    for (int y = r.y0; y < r.y1; y++)
        for (int x = r.x0; x < r.x1; x++)
            if (pf_raster_covers(weight, &r, x, y))
                s->taken[(int64_t)y * s->width + x] = true;
    return true;
}

/* Mark the faces of a chart that lie over others of it, or look away.  The one that looks up most
 * stays in any case, so every chart keeps one. */
static bool
mark_overlaps(bool *moved, const struct pf_atlas *a, const struct pf_mesh *mesh,
              const struct pf_charts *c, int chart, double scale)
{
    struct sheet s = {.atlas = a, .scale = scale, .width = 1, .height = 1};
    int64_t top = c->face[c->first[chart]];
    for (int64_t i = c->first[chart]; i < c->first[chart + 1]; i++) {
        const int64_t f = c->face[i];
        if (facing(mesh, c, f, chart) > facing(mesh, c, top, chart))
            top = f;
        for (int e = 0; e < 3; e++) {
            const float *const at = a->at + 2 * (int64_t)a->face[3 * f + e];
            const int x = (int)(at[0] * scale) + 2, y = (int)(at[1] * scale) + 2;
            s.width = x > s.width ? x : s.width;
            s.height = y > s.height ? y : s.height;
        }
    }
    s.taken = calloc((size_t)s.width * (size_t)s.height, sizeof *s.taken);
    if (!s.taken)
        return false;
    lay(&s, top);
    for (int64_t i = c->first[chart]; i < c->first[chart + 1]; i++) {
        const int64_t f = c->face[i];
        moved[f] = f != top && (facing(mesh, c, f, chart) < (float)EDGE_ON || !lay(&s, f));
    }
    free(s.taken);
    return true;
}

/* The moved faces become charts of their own, those of one chart that hang together one chart. */
static pf_err
move(struct pf_charts *c, const struct pf_mesh *mesh, const uint32_t *beyond, bool *moved)
{
    uint32_t *const todo = malloc(((size_t)mesh->faces + 1) * sizeof *todo);
    int count = c->count;
    if (!todo)
        return pf_fail(PF_ENOMEM, "no memory for the charts of %lld faces",
                       (long long)mesh->faces);
    for (int64_t f = 0; f < mesh->faces; f++) {
        const int32_t from = c->of[f];
        int64_t n = 0;
        if (!moved[f])
            continue;
        todo[n++] = (uint32_t)f;
        moved[f] = false;
        while (n) {
            const int64_t at = todo[--n];
            c->of[at] = count;
            for (int e = 0; e < 3; e++) {
                const uint32_t to = beyond[3 * at + e];
                if (to != UINT32_MAX && moved[to] && c->of[to] == from) {
                    moved[to] = false;
                    todo[n++] = to;
                }
            }
        }
        count++;
    }
    free(todo);
    return pf_charts_settle(c, mesh, count);
}

/* Until no chart lies over itself, at so many texels a unit. */
static pf_err
separate(struct pf_atlas *a, struct pf_charts *c, const struct pf_mesh *mesh,
         const uint32_t *beyond, bool *moved, double scale)
{
    bool *changed = NULL;                       // charts since they were looked at; NULL: all
    int64_t any;
    do {
        bool enough = true;
        PF_TRY(flatten(a, mesh, c, 1));
#pragma omp parallel for schedule(dynamic) reduction(&& : enough)
        for (int i = 0; i < c->count; i++)
            if (!changed || changed[i])
                enough = enough && mark_overlaps(moved, a, mesh, c, i, scale);
        free(changed);
        any = 0;
        for (int64_t f = 0; f < mesh->faces; f++)
            any += moved[f];
        changed = calloc((size_t)(c->count + any) + 1, sizeof *changed);
        if (!enough || !changed) {
            free(changed);
            return pf_fail(PF_ENOMEM, "no memory for an atlas of %d charts", c->count);
        }
        const int before = c->count;
        for (int64_t f = 0; f < mesh->faces; f++)
            changed[c->of[f]] |= moved[f];
        const pf_err err = any ? move(c, mesh, beyond, moved) : PF_OK;
        if (err) {
            free(changed);
            return err;
        }
        for (int i = before; i < c->count; i++)
            changed[i] = true;
    } while (any);
    free(changed);
    for (int64_t f = 0; f < mesh->faces; f++)
        a->chart[f] = c->of[f];
    return PF_OK;
}

/* ---- the whole ---- */

enum { ATTEMPTS = 12 };
enum { TURNS = 24, FINEST = 1024 };     /* texels a side at which overlaps are looked for */
#define FULL 0.57               /* share of the picture that charts cover at first */
#define ENOUGH 0.98             /* of its height: not packed again */

static double
area(const struct pf_atlas *a, int64_t faces)
{
    double sum = 0;
    for (int64_t f = 0; f < faces; f++) {
        const float *p[3];
        for (int k = 0; k < 3; k++)
            p[k] = a->at + 2 * (int64_t)a->face[3 * f + k];
        sum += fabs(((double)p[1][0] - p[0][0]) * ((double)p[2][1] - p[0][1]) -
                    ((double)p[2][0] - p[0][0]) * ((double)p[1][1] - p[0][1])) / 2;
    }
    return sum;
}

/* The corners at which edges begin that charts end at, [*n], owned by the caller. */
static pf_err
find_rim(uint32_t **rim, int64_t *n, const struct pf_atlas *a, const uint32_t *beyond,
         int64_t faces)
{
    *rim = malloc((3 * (size_t)faces + 1) * sizeof **rim);
    *n = 0;
    if (!*rim)
        return pf_fail(PF_ENOMEM, "no memory for the rims of %d charts", a->charts);
    for (int64_t i = 0; i < 3 * faces; i++)
        if (beyond[i] == UINT32_MAX || a->chart[beyond[i]] != a->chart[i / 3])
            (*rim)[(*n)++] = (uint32_t)i;
    return PF_OK;
}

/* Find the largest scale, or nearly, at which the charts fit, and lay them out. */
static pf_err
lay_out(struct pf_atlas *a, const uint32_t *rim, int64_t edges, int64_t faces)
{
    struct pf_chart_place *const place = malloc(2 * ((size_t)a->charts + 1) * sizeof *place);
    struct pf_chart_place *best = NULL, *now = place;
    double scale = sqrt(FULL / area(a, faces)) * a->size;
    pf_err err = place ? PF_OK : pf_fail(PF_ENOMEM, "no memory for %d charts", a->charts);
    for (int i = 0; !err && i < ATTEMPTS; i++) {
        int height;
        err = pf_atlas_pack(now, &height, a, rim, edges, scale);
        if (err || (best && height > a->size))
            break;
        if (height <= a->size) {
            best = now;
            now = best == place ? place + a->charts : place;
            a->scale = scale;
            if (height >= ENOUGH * a->size)
                break;
        }
        scale *= height == INT_MAX ? 0.7 : fmax(pow((double)a->size / height, 0.75), 0.7) * 0.995;
    }
    if (!err && !best)
        err = pf_fail(PF_ESHAPE,
                      "a texture of %d x %d texels has no room for the %d charts of the mesh; a"
                      " larger --texture or fewer --target-faces helps", a->size, a->size,
                      a->charts);
    for (int64_t i = 0; !err && i < 3 * faces; i++)
        a->chart_of[a->face[i]] = a->chart[i / 3];
    for (int64_t v = 0; !err && v < a->vertices; v++) {
        a->at[2 * v] = (float)(best[a->chart_of[v]].x + a->at[2 * v] * a->scale);
        a->at[2 * v + 1] = (float)(best[a->chart_of[v]].y + a->at[2 * v + 1] * a->scale);
    }
    free(place);
    return err;
}

static pf_err
make(struct pf_atlas *a, struct pf_charts *c, const struct pf_mesh *mesh, uint32_t **beyond,
     bool **moved)
{
    const size_t F = (size_t)mesh->faces + 1;
    a->of = malloc(3 * F * sizeof *a->of);
    a->at = malloc(6 * F * sizeof *a->at);
    a->face = malloc(3 * F * sizeof *a->face);
    a->chart = malloc(F * sizeof *a->chart);
    a->chart_of = malloc(3 * F * sizeof *a->chart_of);
    *moved = calloc(F, sizeof **moved);
    if (!a->of || !a->at || !a->face || !a->chart || !a->chart_of || !*moved)
        return pf_fail(PF_ENOMEM, "no memory for an atlas of %lld faces", (long long)mesh->faces);
    PF_TRY(pf_charts_grow(c, mesh));
    PF_TRY(pf_mesh_neighbours(beyond, mesh));
    PF_TRY(flatten(a, mesh, c, 1));
    const double side = a->size < FINEST ? a->size : FINEST;
    PF_TRY(separate(a, c, mesh, *beyond, *moved, sqrt(FULL / area(a, mesh->faces)) * side));
    PF_TRY(flatten(a, mesh, c, TURNS));
    uint32_t *rim;
    int64_t edges;
    pf_err err = find_rim(&rim, &edges, a, *beyond, mesh->faces);
    if (!err)
        err = lay_out(a, rim, edges, mesh->faces);
    free(rim);
    return err;
}

pf_err
pf_atlas_make(struct pf_atlas *atlas, const struct pf_mesh *mesh, int size)
{
    struct pf_charts charts = {0};
    uint32_t *beyond = NULL;
    bool *moved = NULL;
    *atlas = (struct pf_atlas){.size = size, .gutter = 2 + size / 2048};
    const pf_err err = make(atlas, &charts, mesh, &beyond, &moved);
    pf_charts_release(&charts);
    free(beyond);
    free(moved);
    if (err)
        pf_atlas_release(atlas);
    return err;
}

void
pf_atlas_release(struct pf_atlas *atlas)
{
    free(atlas->of);
    free(atlas->at);
    free(atlas->face);
    free(atlas->chart);
    free(atlas->chart_of);
    free(atlas->right);
    *atlas = (struct pf_atlas){0};
}
