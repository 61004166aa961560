/* hash.c - the fast field behind net.h: all points, block by block (hash.h).
 *
 * Everything about a block happens in one go, from encoding to colour, while it fits a core's
 * cache.  Backward computes the block's values again: that is cheaper than to write and read them.
 * What a thread may add to is fixed by the points alone - a slice of the blocks for the networks, a
 * level for the grid - so gradients do not depend on the number of threads. */
#include "kernels/field/hash/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

/* One block's rows on the tape: forward leaves x and dir, backward the rest. */
struct tape {
    float *x, *dir, *d_g, *d_e, *q;             /* [3], [3], [3], [L F], [L F] */
};

static int64_t
tape_floats(const struct pf_hash *net)
{
    return (int64_t)(9 + 2 * features(net)) * PF_BLOCK;
}

static struct tape
tape_at(const struct pf_hash *net, int64_t block)
{
    float *at = net->tape + block * tape_floats(net);
    return (struct tape){at, row(at, 3), row(at, 6), row(at, 9), row(at, 9 + features(net))};
}

/* Room for one block and its sums per thread, zeroed once: spare rows stay finite. */
static pf_err
prepare(struct pf_hash *net)
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
    for (int i = 0; i < PF_HASH_LAYERS; i++)
        pf_small_pack(&net->layer[i]);
    return PF_OK;
}

static float *
work_of_thread(const struct pf_hash *net)
{
    return net->work + omp_get_thread_num() * (net->block_floats + net->sum_floats);
}

static pf_err
hash_sdf(struct pf_net *base, float *sdf, const float *x, int64_t n)
{
    struct pf_hash *net = (struct pf_hash *)base;
    PF_TRY(prepare(net));
#pragma omp parallel
    {
        struct pf_hash_simd b;
        pf_hash_simd_lay_out(&b, work_of_thread(net), net);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < pf_small_blocks(n); i++) {
            pf_small_columns(b.x, x, 3, i * PF_BLOCK, n);
            pf_hash_simd_encode(net, &b, false);
            pf_hash_simd_sdf(net, &b);
            pf_small_from_columns(sdf, b.out, 1, i * PF_BLOCK, n);
        }
    }
    return PF_OK;
}

static pf_err
reserve_tape(struct pf_hash *net, int64_t n)
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
hash_forward(struct pf_net *base, float *sdf, float *grad, float *rgb, const float *x,
             const float *dir, int64_t n, bool tape)
{
    struct pf_hash *net = (struct pf_hash *)base;
    PF_TRY(prepare(net));
    if (tape)
        PF_TRY(reserve_tape(net, n));
#pragma omp parallel
    {
        struct pf_hash_simd b;
        pf_hash_simd_lay_out(&b, work_of_thread(net), net);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < pf_small_blocks(n); i++) {
            const int64_t from = i * PF_BLOCK;
            pf_small_columns(b.x, x, 3, from, n);
            pf_small_columns_or_zero(b.dir, dir, 3, from, n);
            pf_hash_simd_encode(net, &b, true);
            pf_hash_simd_differentiate(net, &b);
            if (sdf)
                pf_small_from_columns(sdf, b.out, 1, from, n);
            if (grad)
                pf_small_from_columns(grad, b.g, 3, from, n);
            if (rgb) {
                pf_hash_simd_shade(net, &b);
                pf_small_from_columns(rgb, b.color, 3, from, n);
            }
            if (tape) {
                const struct tape t = tape_at(net, i);
                memcpy(t.x, b.x, sizeof(float) * 3 * PF_BLOCK);
                memcpy(t.dir, b.dir, sizeof(float) * 3 * PF_BLOCK);
            }
        }
    }
    if (tape)
        net->points = n;
    return PF_OK;
}

/* One block, from the tape: the networks' gradients go to sums, the grid's to the tape. */
static void
block_backward(struct pf_hash *net, struct pf_hash_simd *b, struct pf_hash_sums *to, int64_t i,
               const float *d_sdf, const float *d_grad, const float *d_rgb)
{
    const struct tape t = tape_at(net, i);
    const int E = features(net), O = net->layer[SDF1].K;
    const int64_t from = i * PF_BLOCK, n = net->points;
    memcpy(b->x, t.x, sizeof(float) * 3 * PF_BLOCK);
    memcpy(b->dir, t.dir, sizeof(float) * 3 * PF_BLOCK);
    pf_hash_simd_encode(net, b, true);
    pf_hash_simd_differentiate(net, b);

    memset(b->d_out, 0, sizeof(float) * PF_BLOCK * (size_t)O);
    pf_small_columns_or_zero(b->d_g, d_grad, 3, from, n);
    if (d_rgb) {
        pf_hash_simd_shade(net, b);
        pf_small_columns_or_zero(b->d_color, d_rgb, 3, from, n);
        pf_hash_simd_shade_backward(net, b, to);
    }
    pf_small_columns_or_zero(b->d_out, d_sdf, 1, from, n);
    pf_hash_simd_sdf_backward(net, b, to);

    memcpy(t.d_g, b->d_g, sizeof(float) * 3 * PF_BLOCK);
    memcpy(t.d_e, row(b->d_in, 3), sizeof(float) * PF_BLOCK * (size_t)E);
    memcpy(t.q, row(b->q, 3), sizeof(float) * PF_BLOCK * (size_t)E);
}

/* part [weights] = the gradients of all layers, in the order of param. */
static void
fold_sums(const struct pf_hash *net, float *part, const struct pf_hash_sums *s)
{
    memset(part, 0, sizeof(float) * (size_t)net->weights);
    for (int i = 0; i < PF_HASH_LAYERS; i++) {
        const struct pf_small *l = &net->layer[i];
        pf_small_fold(l, part, s->w[i]);
        if (i == SDF1)
            pf_small_fold_sum(part, s->first, l->C);
        part += l->K * l->C;
        pf_small_fold_sum(part, s->b[i], l->K);
        part += l->K;
    }
}

static pf_err
hash_backward(struct pf_net *base, const float *d_sdf, const float *d_grad, const float *d_rgb)
{
    struct pf_hash *net = (struct pf_hash *)base;
    const int64_t blocks = pf_small_blocks(net->points);
    const int F = net->grid.features;
    PF_TRY(prepare(net));
#pragma omp parallel
    {
        struct pf_hash_simd b;
        struct pf_hash_sums s;
        float *work = work_of_thread(net), *sums = work + net->block_floats;
        pf_hash_simd_lay_out(&b, work, net);
        pf_hash_sums_lay_out(&s, sums, net);
#pragma omp for schedule(dynamic, 1)
        for (int slice = 0; slice < PF_HASH_SLICES; slice++) {
            memset(sums, 0, sizeof(float) * (size_t)net->sum_floats);
            const int64_t end = blocks * (slice + 1) / PF_HASH_SLICES;
            for (int64_t i = blocks * slice / PF_HASH_SLICES; i < end; i++)
                block_backward(net, &b, &s, i, d_sdf, d_grad, d_rgb);
            fold_sums(net, net->part + slice * net->weights, &s);
        }
#pragma omp for schedule(dynamic, 1)
        for (int l = 0; l < net->active; l++) {
            float *grad = net->param[0].grad + net->grid.level[l].offset * F;
            for (int64_t i = 0; i < blocks; i++) {
                const struct tape t = tape_at(net, i);
                const int64_t left = net->points - i * PF_BLOCK;
                pf_hash_scatter(&net->grid, l, grad, t.x, row(t.d_e, l * F), row(t.q, l * F), t.d_g,
                                left < PF_BLOCK ? (int)left : PF_BLOCK);
            }
        }
    }
    float *grad = net->param[1].grad;           // the layers' gradients lie in one piece
    for (int slice = 0; slice < PF_HASH_SLICES; slice++)
        for (int64_t i = 0; i < net->weights; i++)
            grad[i] += net->part[slice * net->weights + i];
    return PF_OK;
}

static void
hash_set_step(struct pf_net *base, int step)
{
    struct pf_hash *net = (struct pf_hash *)base;
    const int levels = net->start_levels + step / net->level_steps;
    const float seen = (float)(step - net->view_start) / PF_VIEW_STEPS;
    net->active = levels < net->grid.levels ? levels : net->grid.levels;
    net->view = net->view_start == 0 || seen > 1 ? 1 : seen > 0 ? seen : 0;
}

static void
hash_free(struct pf_net *base)
{
    struct pf_hash *net = (struct pf_hash *)base;
    free(net->memory);
    free(net->work);
    free(net->part);
    free(net->tape);
    free(net);
}

/* ---- the row of this kind (net.h) ---- */

static const struct pf_net_key keys[] = {
    PF_NET_KEY(levels, 1, 32),
    PF_NET_KEY(level_features, 1, 8),
    PF_NET_KEY(log2_table, 4, 24),
    PF_NET_KEY(base_resolution, 2, 1024),
    PF_NET_KEY(max_resolution, 2, 16384),
    PF_NET_KEY(hidden, 1, 1024),
    PF_NET_KEY(color_hidden, 1, 1024),
    PF_NET_KEY(geo_features, 1, 256),
    PF_NET_KEY(start_levels, 1, 32),
    PF_NET_KEY(level_steps, 1, 10000000),
    PF_NET_KEY(occupancy_resolution, 4, 512),
    PF_NET_KEY(ray_samples, 2, 4096),
    PF_NET_LATE_KEY(view_start, 0, 10000000),
    {0},
};

/* The finest level of the table. */
static int64_t
least_numbers(const struct pf_neus_config *conf)
{
    const int64_t side = conf->max_resolution, table = INT64_C(1) << conf->log2_table;
    const int64_t level = side * side * side < table ? side * side * side : table;
    const int64_t needed = level * conf->level_features;
    return conf->hidden > needed ? conf->hidden : needed;
}

static int64_t
samples_a_ray(const struct pf_neus_config *conf)
{
    return conf->ray_samples;
}

/* Decay step by step, to lr_end. */
static double
hash_rate(const struct pf_neus_config *conf, int step)
{
    const int warm = conf->warm_up, steps = conf->steps;
    return pow(conf->lr_end, (double)(step - warm) / (steps > warm ? steps - warm : 1));
}

const struct pf_net_ops pf_hash_ops = {
    .kind = "hash",
    .create = pf_hash_new,
    .cuda_new = PF_CUDA ? pf_hash_cuda_new : NULL,
    .keys = keys,
    .least_numbers = least_numbers,
    .wants_grid = true,
    .samples_a_ray = samples_a_ray,
    .rate = hash_rate,
    .adam_eps = 1e-15,
    .variance_rate = true,
    .sdf = hash_sdf,
    .forward = hash_forward,
    .backward = hash_backward,
    .set_step = hash_set_step,
    .free = hash_free,
};
