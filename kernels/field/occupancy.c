/* occupancy.c - the grid of last known distances, and samples of rays through it (occupancy.h). */
#include "kernels/field/occupancy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum { EVERY = 16 };            /* steps between updates */
/* A field has hardly any weight where |sdf| inv_s is beyond this: sigmoid(-5) = 0.7 %. */
#define REACH 5.0f
/* A trained field is not a perfect distance: it may say this many times too much. */
#define SLACK 1.25f
/* Samples are never closer than this part of 1 / inv_s, nor of a cell. */
#define FINEST_PART 0.25f
#define FINEST_CELL 0.1f

struct pf_occupancy {
    int R, ray_samples;         /* cells a side; the most samples a ray */
    float bound, cell;          /* half side of the cube; side of a cell */
    float *distance;            /* [R, R, R] z, y, x; owned */
    int32_t *near;              /* [R R R] work space of pf_occupancy_near; owned */
};

pf_err
pf_occupancy_new(struct pf_occupancy **out, const struct pf_config *conf, const struct pf_net *net)
{
    const int R = conf->neus.occupancy_resolution;
    struct pf_occupancy *o;
    *out = NULL;
    if (R < 2 || R > 512)
        return pf_fail(PF_ESHAPE, "neus.occupancy_resolution is %d, expected 2..512", R);
    if (conf->neus.ray_samples < 1 || conf->neus.ray_samples > 1 << 16)
        return pf_fail(PF_ESHAPE, "neus.ray_samples is %d, expected 1..65536",
                       conf->neus.ray_samples);
    const size_t cells = (size_t)R * R * R;
    if (!(o = calloc(1, sizeof *o)) || !(o->distance = calloc(cells, sizeof *o->distance)) ||
        !(o->near = malloc(cells * sizeof *o->near))) {
        pf_occupancy_free(o);
        return pf_fail(PF_ENOMEM, "no memory for an occupancy grid of %d cells a side", R);
    }
    o->R = R;
    o->ray_samples = conf->neus.ray_samples;
    o->bound = (float)net->bound;
    o->cell = 2 * o->bound / (float)R;
    *out = o;
    return PF_OK;
}

void
pf_occupancy_free(struct pf_occupancy *o)
{
    if (!o)
        return;
    free(o->distance);
    free(o->near);
    free(o);
}

pf_err
pf_occupancy_update(struct pf_occupancy *o, struct pf_net *net, float inv_s, int step,
                    uint64_t seed)
{
    const int R = o->R;
    pf_err err = PF_OK;
    (void)inv_s;                // cells are judged when rays are sampled, by the sharpness of then
    (void)seed;                 // centres are not drawn
    if (step > 0 && step % EVERY)
        return PF_OK;
    float *x = malloc((size_t)R * R * 3 * sizeof *x);           // [R, R, 3] one layer's centres
    if (!x)
        return pf_fail(PF_ENOMEM, "no memory to update the occupancy grid");
    for (int k = 0; k < R && err == PF_OK; k++) {
        for (int i = 0; i < R * R; i++) {
            x[3 * i] = o->cell * ((float)(i % R) + 0.5f) - o->bound;
            x[3 * i + 1] = o->cell * ((float)(i / R) + 0.5f) - o->bound;
            x[3 * i + 2] = o->cell * ((float)k + 0.5f) - o->bound;
        }
        err = net->ops->sdf(net, o->distance + (int64_t)k * R * R, x, (int64_t)R * R);
    }
    free(x);
    return err;
}

/* ---- one ray ---- */

/* A part of a ray that lies in near cells. */
struct stretch {
    float from, to;
};
enum { MOST_STRETCHES = 64 };   /* beyond, gaps are taken for near: correct, only slower */

/* Where the ray is inside the cube; false: nowhere. */
static bool
clip(float *from, float *to, const float *origin, const float *dir, float bound)
{
    float a = 0, b = INFINITY;
    for (int k = 0; k < 3; k++) {
        const float p = (-bound - origin[k]) / dir[k], q = (bound - origin[k]) / dir[k];
        if (dir[k] == 0 && fabsf(origin[k]) > bound)
            return false;
        if (dir[k] == 0)
            continue;
        a = fmaxf(a, fminf(p, q));
        b = fminf(b, fmaxf(p, q));
    }
    *from = a;
    *to = b;
    return a < b && b < INFINITY;
}

/* The stretches of a ray, near to far, by walking from cell to cell (Amanatides and Woo 1987).
 * Returns their number. */
static int
walk(struct stretch *s, const struct pf_occupancy *o, const float *origin, const float *dir,
     float inv_s)
{
    const float most = SLACK * 0.8660254f * o->cell + REACH / inv_s;
    float t, end, next[3], pace[3];
    int cell[3], n = 0;
    if (!clip(&t, &end, origin, dir, o->bound))
        return 0;
    for (int k = 0; k < 3; k++) {
        const float at = (origin[k] + t * dir[k] + o->bound) / o->cell;
        cell[k] = at > 0 ? at < (float)o->R ? (int)at : o->R - 1 : 0;
        const float wall = (float)(cell[k] + (dir[k] > 0)) * o->cell - o->bound;
        next[k] = dir[k] == 0 ? INFINITY : (wall - origin[k]) / dir[k];
        pace[k] = dir[k] == 0 ? INFINITY : o->cell / fabsf(dir[k]);
    }
    while (t < end) {
        const int k = next[0] < next[1] ? next[0] < next[2] ? 0 : 2 : next[1] < next[2] ? 1 : 2;
        const float out = fminf(next[k], end);
        const float d = o->distance[((int64_t)cell[2] * o->R + cell[1]) * o->R + cell[0]];
        if (d < -most)
            break;
        if (!(d > most) && out > t) {           // a NaN is near
            if (n && (s[n - 1].to == t || n == MOST_STRETCHES))
                s[n - 1].to = out;
            else
                s[n++] = (struct stretch){t, out};
        }
        t = fmaxf(t, out);
        next[k] += pace[k];
        cell[k] += dir[k] > 0 ? 1 : -1;
        if (cell[k] < 0 || cell[k] >= o->R)
            break;
    }
    return n;
}

/* Samples that a ray with these stretches gets, and the distance between them. */
static int
plan(float *spacing, const struct pf_occupancy *o, const struct stretch *s, int n, float inv_s)
{
    const float finest = fmaxf(FINEST_PART / inv_s, FINEST_CELL * o->cell);
    float length = 0;
    for (int i = 0; i < n; i++)
        length += s[i].to - s[i].from;
    if (!(length > 0))
        return 0;
    const float wanted = ceilf(length / finest);
    const int samples = wanted < (float)o->ray_samples ? (int)wanted : o->ray_samples;
    *spacing = length / (float)samples;
    return samples;
}

pf_err
pf_occupancy_sample(struct pf_occupancy *o, struct pf_samples *s, const float *origin,
                    const float *dir, int64_t rays, float inv_s, bool train, uint64_t seed,
                    int step)
{
    PF_TRY(pf_samples_reserve(s, rays, 1));
    s->first[0] = 0;
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t r = 0; r < rays; r++) {
        struct stretch stretch[MOST_STRETCHES];
        float spacing;
        const int n = walk(stretch, o, origin + 3 * r, dir + 3 * r, inv_s);
        s->first[r + 1] = plan(&spacing, o, stretch, n, inv_s);
    }
    for (int64_t r = 0; r < rays; r++)
        s->first[r + 1] += s->first[r];
    s->rays = rays;
    s->n = s->slots = s->first[rays];
    PF_TRY(pf_samples_reserve(s, rays, s->n > 0 ? s->n : 1));
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t r = 0; r < rays; r++) {
        const uint64_t number = (uint64_t)(step > 0 ? step : 0) * (uint64_t)rays + (uint64_t)r;
        const float shift = train ? pf_rng_uniform(seed, PF_RNG_PERTURB, number) : 0.5f;
        const float *from = origin + 3 * r, *d = dir + 3 * r;
        struct stretch stretch[MOST_STRETCHES];
        float spacing = 0, gone = 0;            // gone: length of the stretches before this one
        const int n = walk(stretch, o, from, d, inv_s);
        const int samples = plan(&spacing, o, stretch, n, inv_s);
        for (int i = 0, k = 0; k < samples; k++) {
            const float at = ((float)k + shift) * spacing;
            while (i < n - 1 && at - gone > stretch[i].to - stretch[i].from) {
                gone += stretch[i].to - stretch[i].from;
                i++;
            }
            const float t = stretch[i].from + at - gone;
            const int64_t p = s->first[r] + k;
            for (int c = 0; c < 3; c++) {
                s->x[3 * p + c] = from[c] + t * d[c];
                s->dir[3 * p + c] = d[c];
            }
            s->dist[p] = spacing;
            s->skipped[p] = 0;
        }
    }
    return PF_OK;
}

void
pf_occupancy_walls(const struct pf_occupancy *o, float *x, int64_t n, uint64_t seed, int step)
{
    for (int64_t p = 0; p < n; p++) {
        const uint64_t number = (uint64_t)step * (uint64_t)n + (uint64_t)p;
        const struct pf_rng4 r = pf_philox(seed, PF_RNG_OCCUPANCY | UINT64_C(1) << 32, number);
        const int face = (int)((uint64_t)r.v[0] * 6 >> 32);
        for (int k = 0; k < 3; k++)
            x[3 * p + k] = o->bound * (2 * (float)(r.v[k + 1] >> 8) * 0x1p-24f - 1);
        x[3 * p + face / 2] = face % 2 ? o->bound : -o->bound;
    }
}

float
pf_occupancy_cell(const struct pf_occupancy *o)
{
    return o->cell;
}

double
pf_occupancy_near(const struct pf_occupancy *o, float *x, int64_t n, float reach, uint64_t seed,
                  int step)
{
    const int R = o->R;
    const float most = SLACK * 0.8660254f * o->cell + reach;
    uint64_t cells = 0;
    for (int32_t i = 0; i < R * R * R; i++)
        if (fabsf(o->distance[i]) < most)
            o->near[cells++] = i;
    if (!cells)
        return 0;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < n; p++) {
        const uint64_t number = (uint64_t)step * (uint64_t)n + (uint64_t)p;
        const struct pf_rng4 r = pf_philox(seed, PF_RNG_OCCUPANCY, number);
        const int32_t cell = o->near[r.v[0] * cells >> 32];
        const int32_t at[3] = {cell % R, cell / R % R, cell / R / R};
        for (int k = 0; k < 3; k++)
            x[3 * p + k] = o->cell * ((float)at[k] + (float)(r.v[k + 1] >> 8) * 0x1p-24f) -
                           o->bound;
    }
    return (double)cells * o->cell * o->cell * o->cell;
}

pf_err
pf_occupancy_save(const struct pf_occupancy *o, pf_doc *doc)
{
    const pf_tensor t = PF_VIEW(o->distance, PF_F32, o->R, o->R, o->R);
    return pf_doc_put(doc, "train.occupancy.distance", &t);
}

pf_err
pf_occupancy_load(struct pf_occupancy *o, const pf_doc *doc)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, "train.occupancy.distance", PF_F32, 3,
                       (int64_t[]){o->R, o->R, o->R}, &t));
    memcpy(o->distance, t.data, (size_t)pf_tensor_count(&t) * sizeof(float));
    return PF_OK;
}
