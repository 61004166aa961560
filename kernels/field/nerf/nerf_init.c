/* nerf_init.c - a new nerf field: sizes, memory, and the numbers that it starts from (nerf.h). */
#include "kernels/field/nerf/nerf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum { CHUNK = 1 << 17 };       /* points whose tape fits a cache or two */

static const char *const names[PF_NERF_PARAMS] = {
    "field.grid.table", "field.sigma.lin0.weight", "field.sigma.lin1.weight",
    "field.color.lin0.weight", "field.color.lin1.weight", "field.color.lin2.weight",
    "field.grid.density",
};

static pf_err
check_sizes(const struct pf_neus_config *conf)
{
    const struct { const char *key; int value; } widths[] = {
        {"hidden", conf->hidden}, {"color_hidden", conf->color_hidden}};
    const struct { const char *key; int value, least, most; } sizes[] = {
        {"geo_features", conf->geo_features, 1, 256},
        {"occupancy_resolution", conf->occupancy_resolution, 4, 512},
        {"ray_samples", conf->ray_samples, 2, 4096},
    };
    if (conf->max_resolution < conf->base_resolution)
        return pf_fail(PF_EARG, "nerf.max_resolution is %d, below the base_resolution of %d",
                       conf->max_resolution, conf->base_resolution);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i].value < 16 || widths[i].value > 1024 || widths[i].value % 16)
            return pf_fail(PF_EARG, "nerf.%s is %d, expected a multiple of 16 up to 1024",
                           widths[i].key, widths[i].value);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].least || sizes[i].value > sizes[i].most)
            return pf_fail(PF_EARG, "nerf.%s is %d, expected %d..%d", sizes[i].key, sizes[i].value,
                           sizes[i].least, sizes[i].most);
    return PF_OK;
}

static void
set_param(struct pf_nerf *net, int i, int ndim, int64_t a, int64_t b, int64_t c, bool decay)
{
    net->param[i] = (struct pf_param){.name = names[i], .ndim = ndim, .dim = {a, b, c},
                                      .n = a * b * c, .decay = decay};
    if (ndim < 3)
        net->param[i].dim[2] = 0;
}

/* Sizes of layers and parameters, and one piece of memory for all of them: values | gradients |
 * packed copies.  What decides over alignment is the table, whose levels have multiples of 8. */
static pf_err
allocate(struct pf_nerf *net, const struct pf_neus_config *conf)
{
    const int H = conf->hidden, G = conf->geo_features, C = conf->color_hidden;
    const int E = pf_nerf_padded(net->grid.levels * net->grid.features);
    const int size[PF_NERF_LAYERS][2] = {
        {H, E}, {1 + G, H}, {C, pf_nerf_padded(PF_NERF_HARMONICS + G)}, {C, C}, {3, C},
    };
    const int64_t R = net->R = conf->occupancy_resolution;
    int64_t numbers = 0, packed = 0;
    struct pf_nerf_simd unused;

    set_param(net, PF_NERF_TABLE, 2, net->grid.entries, net->grid.features, 1, true);
    for (int i = 0; i < PF_NERF_LAYERS; i++) {
        const int K = size[i][0], in = size[i][1];
        net->layer[i] = (struct pf_small){.K = K, .C = in};
        set_param(net, PF_NERF_WEIGHTS + i, 2, pf_nerf_padded(K), in, 1, true);
        net->weights += net->param[PF_NERF_WEIGHTS + i].n;
        packed += pf_small_packed(K, in);
        net->sum_floats += pf_small_sums(K, in);
    }
    set_param(net, PF_NERF_GRID, 3, R, R, R, false);
    net->block_floats = pf_nerf_simd_lay_out(&unused, NULL, net);
    for (int i = 0; i < PF_NERF_PARAMS; i++)
        numbers += (net->param[i].n + 15) / 16 * 16;

    const int64_t all = 2 * numbers + packed;
    net->memory = aligned_alloc(64, (size_t)((all + 15) / 16 * 16) * sizeof(float));
    net->part = malloc((size_t)(PF_NERF_SLICES * net->weights) * sizeof(float));
    if (!net->memory || !net->part)
        return pf_fail(PF_ENOMEM, "no memory for a field of %lld numbers", (long long)numbers);
    memset(net->memory, 0, (size_t)all * sizeof(float));
    float *value = net->memory, *pack = value + 2 * numbers;
    for (int i = 0; i < PF_NERF_PARAMS; i++) {
        net->param[i].value = value;
        net->param[i].grad = value + numbers;
        value += (net->param[i].n + 15) / 16 * 16;
    }
    for (int i = 0; i < PF_NERF_LAYERS; i++) {
        struct pf_small *l = &net->layer[i];
        l->w = net->param[PF_NERF_WEIGHTS + i].value;
        l->forward = pack;
        l->backward = pack + (int64_t)pf_rows(l->K) * l->C;
        pack += pf_small_packed(l->K, l->C);
    }
    return PF_OK;
}

/* n numbers, uniform in +-range; *at counts the random numbers used. */
static void
fill(float *to, int64_t n, float range, uint64_t seed, uint64_t *at)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = range * (2.0f * pf_rng_uniform(seed, PF_RNG_FIELD_INIT, (*at)++) - 1.0f);
}

/* The table +-1e-4, weights +-sqrt(6 / (inputs + outputs)) with padding; no cell has a density. */
static void
initialise(struct pf_nerf *net, uint64_t seed)
{
    uint64_t at = 0;
    fill(net->param[PF_NERF_TABLE].value, net->param[PF_NERF_TABLE].n, 1e-4f, seed, &at);
    for (int i = PF_NERF_WEIGHTS; i < PF_NERF_GRID; i++) {
        const struct pf_param *p = &net->param[i];
        fill(p->value, p->n, sqrtf(6.0f / (float)(p->dim[0] + p->dim[1])), seed, &at);
    }
}

pf_err
pf_nerf_new(struct pf_net **out, const struct pf_neus_config *conf, uint64_t seed)
{
    struct pf_nerf *net;
    pf_err err;
    *out = NULL;
    PF_TRY(check_sizes(conf));
    if (!(net = calloc(1, sizeof *net)))
        return pf_fail(PF_ENOMEM, "no memory for a field");
    net->net = (struct pf_net){.ops = &pf_nerf_ops, .bound = conf->bound, .chunk = CHUNK,
                               .param = net->param, .params = PF_NERF_PARAMS};
    net->most = conf->ray_samples;
    if ((err = pf_hash_grid_init(&net->grid, conf->levels, conf->level_features,
                                 conf->log2_table, conf->base_resolution,
                                 conf->max_resolution, conf->bound)) ||
        (err = allocate(net, conf))) {
        pf_nerf_ops.free(&net->net);
        return err;
    }
    initialise(net, seed);
    *out = &net->net;
    return PF_OK;
}
