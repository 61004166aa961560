/* nerf.c - a nerf field behind net.h: all points, block by block (nerf.h).  What net.h calls sdf is
 * the density here.
 *
 * As in hash.c a thread may add only to what the points alone say - a slice of the blocks for the
 * networks, a level for the grid - so gradients do not depend on the number of threads. */
#include "kernels/field/nerf/nerf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

/* One block's rows on the tape: forward leaves x, dir and e, of which backward makes d_e. */
struct tape {
    float *x, *dir, *e;                         /* [3], [3], [E] */
};

static int64_t
tape_floats(const struct pf_nerf *net)
{
    return (int64_t)(6 + net->layer[SIGMA0].C) * PF_BLOCK;
}

static struct tape
tape_at(const struct pf_nerf *net, int64_t block)
{
    float *at = net->tape + block * tape_floats(net);
    return (struct tape){at, at + 3 * PF_BLOCK, at + 6 * PF_BLOCK};
}

/* Room for one block and its sums per thread, zeroed once: spare rows stay finite. */
static pf_err
prepare(struct pf_nerf *net)
{
    const int threads = omp_get_max_threads();
    if (threads > net->threads) {
        const size_t each = (size_t)(net->block_floats + net->sum_floats) * sizeof(float);
        float *work = aligned_alloc(64, each * (size_t)threads);
        if (!work)
            return pf_fail(PF_ENOMEM, "no memory for the field's %d threads", threads);
        memset(work, 0, each * (size_t)threads);
        free(net->work);
        net->work = work;
        net->threads = threads;
    }
    for (int i = 0; i < PF_NERF_LAYERS; i++)
        pf_small_pack(&net->layer[i]);
    return PF_OK;
}

static float *
work_of_thread(const struct pf_nerf *net)
{
    return net->work + omp_get_thread_num() * (net->block_floats + net->sum_floats);
}

static pf_err
nerf_density(struct pf_net *base, float *density, const float *x, int64_t n)
{
    struct pf_nerf *net = (struct pf_nerf *)base;
    PF_TRY(prepare(net));
#pragma omp parallel
    {
        struct pf_nerf_simd b;
        pf_nerf_simd_lay_out(&b, work_of_thread(net), net);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < pf_small_blocks(n); i++) {
            pf_small_columns(b.x, x, 3, i * PF_BLOCK, n);
            pf_nerf_simd_encode(net, &b);
            pf_nerf_simd_density(net, &b);
            pf_small_from_columns(density, b.density, 1, i * PF_BLOCK, n);
        }
    }
    return PF_OK;
}

static pf_err
reserve_tape(struct pf_nerf *net, int64_t n)
{
    const int64_t blocks = pf_small_blocks(n) + pf_small_blocks(n) / 4;
    net->points = 0;
    if (pf_small_blocks(n) <= net->room)
        return PF_OK;
    free(net->tape);
    net->room = 0;
    net->tape = aligned_alloc(64, (size_t)(blocks * tape_floats(net)) * sizeof(float));
    if (!net->tape)
        return pf_fail(PF_ENOMEM, "no memory for %lld points", (long long)n);
    net->room = blocks;
    return PF_OK;
}

static pf_err
nerf_forward(struct pf_net *base, float *density, float *grad, float *rgb, const float *x,
             const float *dir, int64_t n, bool tape)
{
    struct pf_nerf *net = (struct pf_nerf *)base;
    (void)grad;                                 // a density has none
    PF_TRY(prepare(net));
    if (tape)
        PF_TRY(reserve_tape(net, n));
#pragma omp parallel
    {
        struct pf_nerf_simd b;
        pf_nerf_simd_lay_out(&b, work_of_thread(net), net);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < pf_small_blocks(n); i++) {
            const int64_t from = i * PF_BLOCK;
            pf_small_columns(b.x, x, 3, from, n);
            pf_small_columns(b.dir, dir, 3, from, n);
            pf_nerf_simd_encode(net, &b);
            if (tape) {
                const struct tape t = tape_at(net, i);
                memcpy(t.x, b.x, sizeof(float) * 3 * PF_BLOCK);
                memcpy(t.dir, b.dir, sizeof(float) * 3 * PF_BLOCK);
                memcpy(t.e, b.e, sizeof(float) * PF_BLOCK * (size_t)net->layer[SIGMA0].C);
            }
            pf_nerf_simd_density(net, &b);
            pf_nerf_simd_shade(net, &b);
            pf_small_from_columns(density, b.density, 1, from, n);
            pf_small_from_columns(rgb, b.color, 3, from, n);
        }
    }
    if (tape)
        net->points = n;
    return PF_OK;
}

/* One block, from the tape: the networks' gradients go to sums, the grid's to the tape. */
static void
block_backward(struct pf_nerf *net, struct pf_nerf_simd *b, float *sums, int64_t i,
               const float *d_density, const float *d_rgb)
{
    const struct tape t = tape_at(net, i);
    const size_t bytes = sizeof(float) * PF_BLOCK * (size_t)net->layer[SIGMA0].C;
    memcpy(b->x, t.x, sizeof(float) * 3 * PF_BLOCK);
    memcpy(b->dir, t.dir, sizeof(float) * 3 * PF_BLOCK);
    memcpy(b->e, t.e, bytes);
    pf_nerf_simd_density(net, b);
    pf_nerf_simd_shade(net, b);
    pf_small_columns_or_zero(b->d_density, d_density, 1, i * PF_BLOCK, net->points);
    pf_small_columns_or_zero(b->d_color, d_rgb, 3, i * PF_BLOCK, net->points);
    pf_nerf_simd_backward(net, b, sums);
    memcpy(t.e, b->d_e, bytes);
}

/* part [weights] = the gradients of all layers, in the order of param; sums are in that of
 * pf_nerf_simd_backward. */
static void
fold_sums(const struct pf_nerf *net, float *part, const float *sums)
{
    static const int order[PF_NERF_LAYERS] = {COLOR2, COLOR1, COLOR0, SIGMA1, SIGMA0};
    float *at[PF_NERF_LAYERS];
    memset(part, 0, sizeof(float) * (size_t)net->weights);
    for (int i = 0; i < PF_NERF_LAYERS; i++) {
        at[i] = part;
        part += net->param[PF_NERF_WEIGHTS + i].n;
    }
    for (int k = 0; k < PF_NERF_LAYERS; k++) {
        const struct pf_small *l = &net->layer[order[k]];
        pf_small_fold(l, at[order[k]], sums);
        sums += pf_small_sums(l->K, l->C);
    }
}

/* What the points of the tape say about level l of the table. */
static void
scatter(struct pf_nerf *net, int l)
{
    static const float none[PF_HASH_MAX_FEATURES * PF_BLOCK];   /* no derivative in space */
    const int F = net->grid.features;
    float *grad = net->param[PF_NERF_TABLE].grad + net->grid.level[l].offset * F;
    for (int64_t i = 0; i < pf_small_blocks(net->points); i++) {
        const struct tape t = tape_at(net, i);
        const int64_t left = net->points - i * PF_BLOCK;
        pf_hash_scatter(&net->grid, l, grad, t.x, t.e + (int64_t)l * F * PF_BLOCK, none, none,
                        left < PF_BLOCK ? (int)left : PF_BLOCK);
    }
}

static pf_err
nerf_backward(struct pf_net *base, const float *d_density, const float *d_grad, const float *d_rgb)
{
    struct pf_nerf *net = (struct pf_nerf *)base;
    const int64_t blocks = pf_small_blocks(net->points);
    (void)d_grad;
    PF_TRY(prepare(net));
#pragma omp parallel
    {
        struct pf_nerf_simd b;
        float *work = work_of_thread(net), *sums = work + net->block_floats;
        pf_nerf_simd_lay_out(&b, work, net);
#pragma omp for schedule(dynamic, 1)
        for (int slice = 0; slice < PF_NERF_SLICES; slice++) {
            memset(sums, 0, sizeof(float) * (size_t)net->sum_floats);
            const int64_t end = blocks * (slice + 1) / PF_NERF_SLICES;
            for (int64_t i = blocks * slice / PF_NERF_SLICES; i < end; i++)
                block_backward(net, &b, sums, i, d_density, d_rgb);
            fold_sums(net, net->part + slice * net->weights, sums);
        }
#pragma omp for schedule(dynamic, 1)
        for (int l = 0; l < net->grid.levels; l++)
            scatter(net, l);
    }
    for (int slice = 0; slice < PF_NERF_SLICES; slice++) {
        const float *part = net->part + slice * net->weights;
        for (int i = PF_NERF_WEIGHTS; i < PF_NERF_GRID; part += net->param[i++].n)
            for (int64_t k = 0; k < net->param[i].n; k++)
                net->param[i].grad[k] += part[k];
    }
    return PF_OK;
}

static void
nerf_set_step(struct pf_net *base, int step)
{
    (void)base;
    (void)step;                                 // nothing about the networks changes with it
}

static void
nerf_free(struct pf_net *base)
{
    struct pf_nerf *net = (struct pf_nerf *)base;
    free(net->memory);
    free(net->work);
    free(net->part);
    free(net->tape);
    free(net);
}

/* ---- the row of this kind (net.h) ---- */

static const struct pf_net_key keys[] = {
    PF_NET_KEY(levels, 1, 16),
    PF_NET_KEY(level_features, 1, 8),
    PF_NET_KEY(log2_table, 8, 24),
    PF_NET_KEY(base_resolution, 2, 1024),
    PF_NET_KEY(max_resolution, 2, 8192),
    PF_NET_KEY(hidden, 16, 1024),
    PF_NET_KEY(color_hidden, 16, 1024),
    PF_NET_KEY(geo_features, 1, 256),
    PF_NET_KEY(occupancy_resolution, 4, 512),
    PF_NET_KEY(ray_samples, 2, 4096),
    {0},
};

/* The grid of densities or the finest level of the table. */
static int64_t
least_numbers(const struct pf_neus_config *conf)
{
    const int64_t side = conf->max_resolution, table = INT64_C(1) << conf->log2_table;
    const int64_t level = side * side * side < table ? side * side * side : table;
    const int64_t needed = level * conf->level_features, R = conf->occupancy_resolution;
    return R * R * R > needed ? R * R * R : needed;
}

static int64_t
samples_a_ray(const struct pf_neus_config *conf)
{
    return conf->ray_samples;
}

/* A drop every 1000 steps, as the original's other field has it. */
static double
nerf_rate(const struct pf_neus_config *conf, int step)
{
    const int steps = conf->steps;
    return pow(conf->lr_end, step / 1000 / (double)(steps >= 1000 ? steps / 1000 : 1));
}

const struct pf_net_ops pf_nerf_ops = {
    .kind = "nerf",
    .create = pf_nerf_new,
    .cuda_new = PF_CUDA ? pf_nerf_cuda_new : NULL,
    .keys = keys,
    .least_numbers = least_numbers,
    .density_grid = pf_nerf_density_grid,
    .samples_a_ray = samples_a_ray,
    .rate = nerf_rate,
    .adam_eps = 1e-8,
    .sdf = nerf_density,
    .forward = nerf_forward,
    .backward = nerf_backward,
    .set_step = nerf_set_step,
    .free = nerf_free,
};
