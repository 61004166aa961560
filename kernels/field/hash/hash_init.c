/* hash_init.c - makes a fast field: sizes, memory, start (hash.h).
 *
 * Start: unit i looks along direction i of a Fibonacci lattice on the sphere, and the sum of
 * softplus(direction . x) over all of them is a multiple of |x|: sdf = |x| - init_radius. */
#include "kernels/field/hash/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum { CHUNK = 1 << 17 };       /* points whose tape fits a cache or two: 25 MB */

static const char *const names[1 + 2 * PF_HASH_LAYERS] = {
    "field.grid.table",
    "field.sdf.lin0.weight", "field.sdf.lin0.bias", "field.sdf.lin1.weight", "field.sdf.lin1.bias",
    "field.color.lin0.weight", "field.color.lin0.bias", "field.color.lin1.weight",
    "field.color.lin1.bias", "field.color.lin2.weight", "field.color.lin2.bias",
};

static pf_err
check_sizes(const struct pf_neus_config *conf)
{
    const struct { const char *key; int value, most; } sizes[] = {
        {"hidden", conf->hidden, 1024}, {"color_hidden", conf->color_hidden, 1024},
        {"geo_features", conf->geo_features, 256},
        {"start_levels", conf->start_levels, 64},
        {"level_steps", conf->level_steps, 1 << 30},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].most)
            return pf_fail(PF_EARG, "neus.%s is %d, expected 1..%d", sizes[i].key, sizes[i].value,
                           sizes[i].most);
    return PF_OK;
}

static void
set_param(struct pf_hash *net, int i, int64_t rows, int64_t columns)
{
    struct pf_param *p = &net->param[i];
    *p = (struct pf_param){.name = names[i], .ndim = columns ? 2 : 1, .dim = {rows, columns},
                           .n = columns ? rows * columns : rows};
}

/* Sizes of layers and parameters, and one piece of memory for all of them:
 * values | gradients | packed copies, the layers' in the order of param. */
static pf_err
allocate(struct pf_hash *net, const struct pf_neus_config *conf)
{
    const int H = conf->hidden, G = conf->geo_features, C = conf->color_hidden;
    const int size[PF_HASH_LAYERS][2] = {
        {H, 3 + features(net)}, {1 + G, H}, {C, G + 3 + PF_HARMONICS}, {C, C}, {3, C},
    };
    int64_t table, packed = 0, sums = pf_rows(H) * PF_LANES;
    struct pf_hash_simd unused;

    set_param(net, 0, net->grid.entries, net->grid.features);
    table = (net->param[0].n + 15) / 16 * 16;   // the layers start on a vector
    for (int i = 0; i < PF_HASH_LAYERS; i++) {
        const int K = size[i][0], in = size[i][1];
        net->layer[i] = (struct pf_small){.K = K, .C = in};
        set_param(net, 1 + 2 * i, K, in);
        set_param(net, 2 + 2 * i, K, 0);
        net->weights += (int64_t)K * in + K;
        packed += pf_small_packed(K, in);
        sums += pf_small_sums(K, in) + pf_rows(K) * PF_LANES;
    }
    net->sum_floats = sums;
    net->block_floats = pf_hash_simd_lay_out(&unused, NULL, net);

    const int64_t all = 2 * (table + net->weights) + packed;
    net->memory = aligned_alloc(64, (size_t)((all + 15) / 16 * 16) * sizeof(float));
    net->part = malloc((size_t)(PF_HASH_SLICES * net->weights) * sizeof(float));
    if (!net->memory || !net->part)
        return pf_fail(PF_ENOMEM, "no memory for a field of %lld parameters",
                       (long long)(table + net->weights));
    memset(net->memory, 0, (size_t)all * sizeof(float));
    float *value = net->memory, *grad = value + table + net->weights;
    float *pack = grad + table + net->weights;
    for (int i = 0; i < 1 + 2 * PF_HASH_LAYERS; i++) {
        net->param[i].value = value;
        net->param[i].grad = grad;
        value += i ? net->param[i].n : table;
        grad += i ? net->param[i].n : table;
    }
    for (int i = 0; i < PF_HASH_LAYERS; i++) {
        struct pf_small *l = &net->layer[i];
        l->w = net->param[1 + 2 * i].value;
        l->b = net->param[2 + 2 * i].value;
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

/* Grid +-1e-4, weights +-sqrt(6 / inputs), biases 0; then the sphere. */
static void
initialise(struct pf_hash *net, double radius, uint64_t seed)
{
    const struct pf_small *l0 = &net->layer[SDF0];
    const int H = l0->K;
    uint64_t at = 0;
    fill(net->param[0].value, net->param[0].n, 1e-4f, seed, &at);
    for (int i = 0; i < PF_HASH_LAYERS; i++)
        fill(net->param[1 + 2 * i].value, net->param[1 + 2 * i].n,
             sqrtf(6.0f / (float)net->layer[i].C), seed, &at);
    float *w0 = net->param[1].value, *w1 = net->param[3].value;
    const double norm = sqrt(6.0 / H);
    for (int k = 0; k < H; k++) {               // the mean of max(direction . x, 0) is |x| / 4
        const double z = 1 - (2 * k + 1.0) / H, r = sqrt(1 - z * z), turn = 2.399963229728653 * k;
        w0[(int64_t)k * l0->C] = (float)(norm * r * cos(turn));
        w0[(int64_t)k * l0->C + 1] = (float)(norm * r * sin(turn));
        w0[(int64_t)k * l0->C + 2] = (float)(norm * z);
        w1[k] = (float)(4 / (norm * H));
    }
    net->param[4].value[0] = (float)-radius;
}

pf_err
pf_hash_new(struct pf_net **out, const struct pf_neus_config *conf, uint64_t seed)
{
    struct pf_hash *net;
    pf_err err;
    *out = NULL;
    PF_TRY(check_sizes(conf));
    if (!(net = calloc(1, sizeof *net)))
        return pf_fail(PF_ENOMEM, "no memory for a field");
    net->net = (struct pf_net){.ops = &pf_hash_ops, .bound = conf->bound, .chunk = CHUNK,
                               .param = net->param, .params = 1 + 2 * PF_HASH_LAYERS};
    if ((err = pf_hash_grid_init(&net->grid, conf->levels, conf->level_features,
                                 conf->log2_table, conf->base_resolution,
                                 conf->max_resolution, conf->bound)) ||
        (err = allocate(net, conf))) {
        pf_hash_ops.free(&net->net);
        return err;
    }
    net->active = net->grid.levels;
    net->start_levels = conf->start_levels;
    net->level_steps = conf->level_steps;
    net->view_start = conf->view_start;
    net->view = 1;
    initialise(net, conf->init_radius, seed);
    *out = &net->net;
    return PF_OK;
}
