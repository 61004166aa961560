/* surface.c - see surface.h. */
#include "tools/pf-eval/surface.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"
#include "common/rng.h"
#include "tools/pf-eval/raster.h"

enum { VIEWS = 16 };            // of the rig

/* ---- samples ---- */

/* Twice the area of the face; its normal, not of unit length. */
static double
face_normal(double normal[3], const struct pf_mesh *m, int64_t f)
{
    double u[3], v[3];
    for (int k = 0; k < 3; k++) {
        const double a = m->vertex[3 * (int64_t)m->face[3 * f] + k];
        u[k] = m->vertex[3 * (int64_t)m->face[3 * f + 1] + k] - a;
        v[k] = m->vertex[3 * (int64_t)m->face[3 * f + 2] + k] - a;
    }
    pf_cross3(normal, u, v);
    return sqrt(pf_dot3(normal, normal));
}

/* A point of the triangle: uniform where u and v are, in 0..1. */
static void
place(float to[3], const struct pf_mesh *m, int64_t f, double u, double v)
{
    const double w[3] = {1 - sqrt(u), sqrt(u) * (1 - v), sqrt(u) * v};
    for (int k = 0; k < 3; k++) {
        double at = 0;
        for (int c = 0; c < 3; c++)
            at += w[c] * m->vertex[3 * (int64_t)m->face[3 * f + c] + k];
        to[k] = (float)at;
    }
}

pf_err
surface_sample(struct points *p, const struct pf_mesh *mesh, int64_t count, uint64_t seed)
{
    double normal[3], total = 0, passed = 0, area = 0;
    int64_t f = -1;
    for (int64_t i = 0; i < mesh->faces; i++)
        total += face_normal(normal, mesh, i);
    if (!(total > 0))
        return pf_fail(PF_EFORMAT, "the mesh has no area");
    PF_TRY(points_new(p, count, true));
    for (int64_t i = 0; i < count; i++) {
        const struct pf_rng4 word = pf_philox(seed, PF_RNG_SURFACE, (uint64_t)i);
        const double u = word.v[0] * 0x1p-32, v = word.v[1] * 0x1p-32, w = word.v[2] * 0x1p-32;
        // Sample i falls into part i of count equal parts of the area, face after face.
        while (f < 0 || (passed + area <= (double)(i + w) / count * total && f < mesh->faces - 1)) {
            passed += area;
            area = face_normal(normal, mesh, ++f);
        }
        place(p->at + 3 * i, mesh, f, u, v);
        for (int k = 0; k < 3; k++)
            p->normal[3 * i + k] = area > 0 ? (float)(normal[k] / area) : 0;
    }
    return PF_OK;
}

/* ---- what cameras see ---- */

enum { SEEN_SIZE = 1024 };      // pixels of a depth map that tells what is hidden
static const double seen_depth = 0.01;  // behind it a point still is seen: a cell of the thinning

static void
mark_seen(uint8_t *seen, const struct points *p, const float *depth, const double pose[12])
{
    const double focal = raster_focal(SEEN_SIZE);
    for (int64_t i = 0; i < p->n; i++) {
        double c[3];
        raster_camera(c, pose, p->at + 3 * i);
        const double u = rint(focal * c[0] / c[2] + 0.5 * SEEN_SIZE);
        const double v = rint(focal * c[1] / c[2] + 0.5 * SEEN_SIZE);
        if (!(c[2] > 0 && u >= 0 && u < SEEN_SIZE && v >= 0 && v < SEEN_SIZE))
            continue;
        const float z = depth[(int)v * SEEN_SIZE + (int)u];
        if (z == 0 || c[2] <= (double)z + seen_depth) {
#pragma omp atomic write
            seen[i] = 1;
        }
    }
}

static void
keep(struct points *p, const uint8_t *seen)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->n; i++) {
        if (!seen[i])
            continue;
        memmove(p->at + 3 * n, p->at + 3 * i, 3 * sizeof *p->at);
        memmove(p->normal + 3 * n, p->normal + 3 * i, 3 * sizeof *p->normal);
        n++;
    }
    p->n = n;
}

/* Each thread with a depth map of its own. */
static bool
see(uint8_t *seen, const struct points *p, const struct pf_mesh *mesh, double elevation)
{
    bool failed = false;
#pragma omp parallel
    {
        float *const depth = malloc(sizeof(float) * SEEN_SIZE * SEEN_SIZE);
#pragma omp for schedule(dynamic)
        for (int n = 0; n < VIEWS; n++) {
            double pose[12];
            pf_camera_pose(pose, elevation, 2 * PF_PI * n / VIEWS);
            if (depth) {
                raster_depth(depth, mesh, pose, &(struct raster){.size = SEEN_SIZE});
                mark_seen(seen, p, depth, pose);
            } else {
#pragma omp atomic write
                failed = true;
            }
        }
        free(depth);
    }
    return !failed;
}

pf_err
surface_keep_seen(struct points *p, const struct pf_mesh *mesh, double elevation)
{
    uint8_t *const seen = calloc((size_t)p->n + 1, 1);
    const bool done = seen && see(seen, p, mesh, elevation);
    if (done)
        keep(p, seen);
    free(seen);
    return done ? PF_OK : pf_fail(PF_ENOMEM, "no memory for depth maps");
}

/* ---- the original's ---- */

enum { DEPTH_SIZE = 256 };

/* Pixel (j, i), sampled at its middle, goes back from its corner: all points are moved alike. */
static int64_t
from_depth(float *at, const float *depth, const double pose[12])
{
    const double focal = raster_focal(DEPTH_SIZE);
    int64_t n = 0;
    for (int i = 0; i < DEPTH_SIZE * DEPTH_SIZE; i++) {
        const double z = depth[i];
        const double c[3] = {(i % DEPTH_SIZE - 0.5 * DEPTH_SIZE) * z / focal - pose[3],
                             (i / DEPTH_SIZE - 0.5 * DEPTH_SIZE) * z / focal - pose[7],
                             z - pose[11]};
        if (z == 0)
            continue;
        for (int k = 0; k < 3; k++)
            at[3 * n + k] = (float)(pose[k] * c[0] + pose[4 + k] * c[1] + pose[8 + k] * c[2]);
        n++;
    }
    return n;
}

pf_err
surface_depths(struct points *p, const struct pf_mesh *mesh, double elevation)
{
    enum { PIXELS = DEPTH_SIZE * DEPTH_SIZE };
    float *const depth = malloc(sizeof(float) * VIEWS * PIXELS);
    pf_err err = depth ? points_new(p, (int64_t)VIEWS * PIXELS, false)
                       : pf_fail(PF_ENOMEM, "no memory for depth maps");
#pragma omp parallel for schedule(dynamic)
    for (int n = 0; n < (err ? 0 : VIEWS); n++) {
        double pose[12];
        pf_camera_pose(pose, elevation, 2 * PF_PI * n / VIEWS);
        raster_depth(depth + (int64_t)n * PIXELS, mesh, pose,
                     &(struct raster){.size = DEPTH_SIZE, .original = true});
    }
    p->n = 0;
    for (int n = 0; n < VIEWS && !err; n++) {
        double pose[12];
        pf_camera_pose(pose, elevation, 2 * PF_PI * n / VIEWS);
        p->n += from_depth(p->at + 3 * p->n, depth + (int64_t)n * PIXELS, pose);
    }
    free(depth);
    return err;
}

/* ---- thinning ---- */

struct cell {
    uint64_t key;               /* of the cell, and 1; 0: nothing here */
    int64_t index;              /* of the thinned point */
    int64_t points;
};

/* Where the cell of this key is in the table, or may be put. */
static struct cell *
find_cell(struct cell *table, size_t slots, uint64_t key)
{
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (slots - 1);
    while (table[i].key && table[i].key != key)
        i = (i + 1) & (slots - 1);
    return &table[i];
}

/* 21 bits an axis: shape.h bounds coordinates so that cells of 0.01 fit. */
static uint64_t
key_of(const float p[3], const float low[3], double side)
{
    uint64_t key = 0;
    for (int k = 0; k < 3; k++)
        key = key << 21 | (uint64_t)floor(((double)p[k] - low[k]) / side + 0.5);
    return key + 1;
}

static void
add_to(double sum[6], const struct points *p, int64_t i)
{
    for (int k = 0; k < 3; k++) {
        sum[k] += p->at[3 * i + k];
        sum[3 + k] += p->normal ? p->normal[3 * i + k] : 0;
    }
}

static void
store(struct points *p, int64_t i, const double sum[6], int64_t points)
{
    const double length = sqrt(pf_dot3(sum + 3, sum + 3));
    for (int k = 0; k < 3; k++) {
        p->at[3 * i + k] = (float)(sum[k] / (double)points);
        if (p->normal)
            p->normal[3 * i + k] = length > 0 ? (float)(sum[3 + k] / length) : 0;
    }
}

pf_err
surface_thin(struct points *p, double side)
{
    size_t slots = 16;
    float low[3] = {INFINITY, INFINITY, INFINITY};
    while (slots < 2 * (size_t)p->n)
        slots *= 2;
    struct cell *const table = calloc(slots, sizeof *table);
    double (*const sum)[6] = calloc((size_t)p->n + 1, sizeof *sum);
    int64_t cells = 0;
    if (!table || !sum) {
        free(table);
        free(sum);
        return pf_fail(PF_ENOMEM, "no memory to thin %lld points", (long long)p->n);
    }
    for (int64_t i = 0; i < 3 * p->n; i++)
        low[i % 3] = fminf(low[i % 3], p->at[i]);
    for (int64_t i = 0; i < p->n; i++) {
        const uint64_t key = key_of(p->at + 3 * i, low, side);
        struct cell *const c = find_cell(table, slots, key);
        if (!c->key)
            *c = (struct cell){key, cells++, 0};
        c->points++;
        add_to(sum[c->index], p, i);
    }
    for (size_t i = 0; i < slots; i++)
        if (table[i].key)
            store(p, table[i].index, sum[table[i].index], table[i].points);
    p->n = cells;
    free(table);
    free(sum);
    return PF_OK;
}
