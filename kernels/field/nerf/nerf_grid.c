/* nerf_grid.c - which cells of a nerf field are occupied (field.md, 14): its last known densities,
 * one of the parameters because documents hold it, though no gradient changes it. */
#include <stdlib.h>

#include "kernels/field/nerf/nerf.h"
#include "kernels/field/nerf/nerf_point.h"

/* min(the mean density, 0.01), negative ones counting as 0; summed in a fixed order. */
static float
threshold_of(const float *density, int64_t cells)
{
    enum { PARTS = 64 };
    double part[PARTS], sum = 0;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < PARTS; p++) {
        part[p] = 0;
        for (int64_t c = cells * p / PARTS; c < cells * (p + 1) / PARTS; c++)
            part[p] += density[c] > 0 ? density[c] : 0;
    }
    for (int p = 0; p < PARTS; p++)
        sum += part[p];
    const float mean = (float)(sum / (double)cells);
    return mean < PF_NERF_THRESHOLD ? mean : PF_NERF_THRESHOLD;
}

static int64_t
list_occupied(int32_t *list, const float *density, int64_t cells)
{
    const float threshold = threshold_of(density, cells);
    int64_t n = 0;
    for (int64_t c = 0; c < cells; c++)
        if (density[c] > threshold)
            list[n++] = (int32_t)c;
    return n;
}

enum { TOGETHER = 1 << 16 };    /* draws */
struct draws {
    float x[3 * TOGETHER], density[TOGETHER];
    int32_t cell[TOGETHER];
};

/* Densities of all draws, to fresh [cells], which is negative where there was none; the greatest
 * counts. */
static pf_err
draw_all(struct pf_nerf *net, struct draws *d, float *fresh, const int32_t *list, int64_t listed,
         int64_t update, uint64_t seed)
{
    const int64_t cells = net->param[PF_NERF_GRID].n, n = pf_nerf_draws(update, cells, listed);
    for (int64_t from = 0; from < n; from += TOGETHER) {
        const int64_t some = n - from < TOGETHER ? n - from : TOGETHER;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < some; i++)
            d->cell[i] = (int32_t)pf_nerf_draw(d->x + 3 * i, from + i, update, net->R,
                                               net->grid.bound, list, listed, seed);
        PF_TRY(net->net.ops->sdf(&net->net, d->density, d->x, some));
        for (int64_t i = 0; i < some; i++)
            if (d->density[i] > fresh[d->cell[i]])
                fresh[d->cell[i]] = d->density[i];
    }
    return PF_OK;
}

static pf_err
update_grid(struct pf_nerf *net, int64_t update, uint64_t seed)
{
    const int64_t cells = net->param[PF_NERF_GRID].n;
    float *density = net->param[PF_NERF_GRID].value;
    float *fresh = malloc((size_t)cells * sizeof *fresh);
    int32_t *list = malloc((size_t)cells * sizeof *list);
    struct draws *draws = malloc(sizeof *draws);
    pf_err err = fresh && list && draws ? PF_OK : pf_fail(PF_ENOMEM, "no memory to update the "
                                                          "grid of densities");
    if (!err) {
        for (int64_t c = 0; c < cells; c++)
            fresh[c] = -1;
        err = draw_all(net, draws, fresh, list, list_occupied(list, density, cells), update, seed);
    }
    for (int64_t c = 0; c < cells && !err; c++)
        density[c] = pf_nerf_faded(density[c], fresh[c]);
    free(fresh);
    free(list);
    free(draws);
    return err;
}

pf_err
pf_nerf_density_grid(struct pf_net *base, struct pf_density_grid *g, bool train, uint64_t seed,
                     int step)
{
    struct pf_nerf *net = (struct pf_nerf *)base;
    const struct pf_param *density = &net->param[PF_NERF_GRID];
    if (train && step % PF_NERF_EVERY == 0)
        PF_TRY(update_grid(net, step / PF_NERF_EVERY, seed));
    *g = pf_nerf_grid_of(net, density->value);
    g->threshold = threshold_of(density->value, density->n);
    return PF_OK;
}
