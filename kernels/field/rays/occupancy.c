/* occupancy.c - the grid of last known distances, and samples of rays through it (occupancy.h). */
#include "kernels/field/rays/occupancy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "kernels/field/rays/ray.h"

struct pf_occupancy {
    struct pf_ray_grid grid;
    float *distance;            /* its distances; owned */
    int32_t *near;              /* [R R R] work space of pf_occupancy_near; owned */
};

pf_err
pf_occupancy_new(struct pf_occupancy **out, const struct pf_neus_config *conf)
{
    const int R = conf->occupancy_resolution;
    struct pf_occupancy *o;
    *out = NULL;
    if (R < 2 || R > 512)
        return pf_fail(PF_EARG, "neus.occupancy_resolution is %d, expected 2..512", R);
    if (conf->ray_samples < 1 || conf->ray_samples > 1 << 16)
        return pf_fail(PF_EARG, "neus.ray_samples is %d, expected 1..65536", conf->ray_samples);
    const size_t cells = (size_t)R * R * R;
    if (!(o = calloc(1, sizeof *o)) || !(o->distance = calloc(cells, sizeof *o->distance)) ||
        !(o->near = malloc(cells * sizeof *o->near))) {
        pf_occupancy_free(o);
        return pf_fail(PF_ENOMEM, "no memory for an occupancy grid of %d cells a side", R);
    }
    o->grid = pf_ray_grid_of(conf, o->distance);
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
pf_occupancy_update(struct pf_occupancy *o, struct pf_net *net, int step)
{
    const int64_t R = o->grid.R, layer = R * R;
    pf_err err = PF_OK;
    if (step > 0 && step % PF_GRID_EVERY)
        return PF_OK;
    float *x = malloc((size_t)layer * 3 * sizeof *x);           // centres of the cells
    if (!x)
        return pf_fail(PF_ENOMEM, "no memory to update the occupancy grid");
    for (int64_t c = 0; c < R * layer && err == PF_OK; c += layer) {
        for (int64_t i = 0; i < layer; i++)
            pf_ray_cell_centre(x + 3 * i, &o->grid, c + i);
        err = net->ops->sdf(net, o->distance + c, x, layer);
    }
    free(x);
    return err;
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
        struct pf_stretch stretch[PF_MOST_STRETCHES];
        float spacing;
        const int n = pf_ray_walk(stretch, &o->grid, origin + 3 * r, dir + 3 * r, inv_s);
        s->first[r + 1] = pf_ray_plan(&spacing, &o->grid, stretch, n, inv_s);
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
        const int64_t p = s->first[r];
        struct pf_stretch stretch[PF_MOST_STRETCHES];
        const int samples = pf_ray_write(s->x + 3 * p, s->dir + 3 * p, s->dist + p, stretch,
                                         &o->grid, origin + 3 * r, dir + 3 * r, inv_s, shift);
        memset(s->skipped + p, 0, (size_t)samples * sizeof *s->skipped);
    }
    return PF_OK;
}

void
pf_occupancy_walls(const struct pf_occupancy *o, float *x, int64_t n, uint64_t seed, int step)
{
    for (int64_t p = 0; p < n; p++)
        pf_wall_point(x + 3 * p, o->grid.bound, seed, (uint64_t)step * (uint64_t)n + (uint64_t)p);
}

float
pf_occupancy_cell(const struct pf_occupancy *o)
{
    return o->grid.cell;
}

float *
pf_occupancy_distances(struct pf_occupancy *o)
{
    return o ? o->distance : NULL;
}

double
pf_occupancy_near(const struct pf_occupancy *o, float *x, int64_t n, float reach, uint64_t seed,
                  int step)
{
    const int R = o->grid.R;
    const float side = o->grid.cell, most = pf_ray_cell_reach(&o->grid, reach);
    uint64_t cells = 0;
    for (int32_t i = 0; i < R * R * R; i++)
        if (fabsf(o->distance[i]) < most)
            o->near[cells++] = i;
    if (!cells)
        return 0;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < n; p++)
        pf_near_point(x + 3 * p, &o->grid, o->near, (int64_t)cells, seed,
                      (uint64_t)step * (uint64_t)n + (uint64_t)p);
    return (double)cells * side * side * side;
}

pf_err
pf_occupancy_save(const struct pf_occupancy *o, pf_doc *doc)
{
    const pf_tensor t = PF_VIEW(o->distance, PF_F32, o->grid.R, o->grid.R, o->grid.R);
    return pf_doc_put(doc, "train.occupancy.distance", &t);
}

pf_err
pf_occupancy_load(struct pf_occupancy *o, const pf_doc *doc)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, "train.occupancy.distance", PF_F32, 3,
                       (int64_t[]){o->grid.R, o->grid.R, o->grid.R}, &t));
    memcpy(o->distance, t.data, (size_t)pf_tensor_count(&t) * sizeof(float));
    return PF_OK;
}
