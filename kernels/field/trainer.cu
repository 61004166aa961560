/* trainer.cu - a training step on a GPU (trainer.c): batch, samples, network, blending, losses,
 * AdamW.
 *
 * Light goes from point to point in the CPU's order, and the rays of a seed are the CPU's; a warp
 * adds up what its lanes have.  Two numbers come to the host in a step and are waited for: how many
 * samples there are, and the losses.  Sums are taken in a fixed order, or in fixed point (hash.cu),
 * so the same seed gives the same bytes on the same card.
 *
 * A step of configs/neus.yaml, 1024 rays with 30 k samples and 2.3 k points near the surface: 1.7
 * GFLOP (28 us of f32 at 60 TFLOP/s) and some 40 MB: 9 MB of samples, values and cotangents (136 B
 * a sample, written and read), 30 MB of parameters, moments and gradients (400 k x 76 B): 10 us at
 * 4 TB/s.  What remains is latency: some 20 launches and two round trips to the host, 100 to 200
 * us; one thread a ray walks, some 20 us, and a warp a ray blends and goes back. */
#include <cstdlib>

#include "kernels/field/net.cuh"
#include "kernels/field/rays/density.h"
#include "kernels/field/rays/occupancy.h"

enum { RAY_THREADS = 32, SUM_THREADS = 256 };

enum { PARTS = sizeof(struct pf_loss_sums) / sizeof(double) };  // what one ray or point adds

struct pf_trainer_cuda {
    pf_field *field;            // borrowed
    pf_dev *dev;
    struct pf_neus_config conf;
    struct pf_batch batch;      // on the device
    struct pf_cuda_buffer image, alpha, pose, intrinsics, pixels, rays, points, parts, grid;
    struct pf_cuda_buffer moments, views_of_rays;
    struct pf_cuda_buffer tones;        // value, m, v, gradient [views, PF_TONE], rays' parts
    int64_t tone_count;                 // views PF_TONE; 0: none
    float *m, *v;               // [count]
    struct pf_cuda_samples samples;
    struct pf_cuda_cells near;  // cells near the surface
    bool near_known;
};

// ---- the batch ----

static __global__ void
draw_rays(const __grid_constant__ pf_batch b, uint64_t seed, int step)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r < b.rays)
        pf_batch_draw(&b, r, seed, step);
}

// ---- blending and losses ----

struct slice {                  // of a batch; the arrays begin at its first ray or point
    struct pf_ray_points points;
    struct pf_loss_weights weights;
    const int64_t *first;
    const float *rgb, *mask;    // what its rays should look like
    struct pf_tones tones;
    int64_t rays;
    float *alpha, *left, *d_sdf, *d_grad, *d_rgb;
    struct pf_loss_sums *part;
};

/* Light through the points begin..end-1 of a ray, forward: alpha and left of each, and the ray's
 * colour in all lanes.  A lane has every 32nd point; light goes from point to point in the order of
 * pf_points_blend(), in all lanes alike. */
static __device__ __forceinline__ struct pf_ray_color
warp_blend(const struct slice *s, int64_t begin, int64_t end, int lane)
{
    const struct pf_ray_points *const p = &s->points;
    const bool density = !p->grad;
    struct pf_ray_color to = {};
    float light = 1;
    for (int64_t base = begin; base < end; base += PF_WARP) {
        const int64_t i = base + lane;
        const int n = end - base < PF_WARP ? (int)(end - base) : PF_WARP;
        float a = 0, left = 0;
        int32_t skipped = 0;
        if (i < end) {
            a = density ? 1 - expf(-p->sdf[i] * p->dist[i])
                        : pf_ray_cut(p->sdf[i], p->grad + 3 * i, p->dir + 3 * i, p->dist[i],
                                     p->inv_s, p->ratio).alpha;
            skipped = p->skipped ? p->skipped[i] : 0;
        }
        for (int k = 0; k < n; k++) {
            float taken = __shfl_sync(PF_WHOLE_WARP, a, k);
            light = pf_ray_pass(light, __shfl_sync(PF_WHOLE_WARP, skipped, k));
            taken = density && light < PF_DENSITY_DARK ? 0 : taken;
            if (lane == k) {
                a = taken;
                left = light;
            }
            light *= density ? 1 - taken : 1 - taken + PF_TINY_LEFT;
        }
        if (i < end) {
            s->alpha[i] = a;
            s->left[i] = left;
            to.mask += a * left;
            for (int k = 0; k < 3; k++)
                to.rgb[k] += a * left * p->rgb[3 * i + k];
        }
    }
    to.mask = pf_warp_sum(to.mask);
    for (int k = 0; k < 3; k++)
        to.rgb[k] = pf_warp_sum(to.rgb[k]) + 1 - to.mask;       /* white shows through */
    return to;
}

/* And back, as pf_points_blend_backward(); the eikonal loss, too.  part: the lane's. */
static __device__ __forceinline__ void
warp_blend_backward(struct pf_loss_sums *part, const struct slice *s, const float dc[3],
                    float d_mask, int64_t begin, int64_t end, int lane)
{
    const struct pf_ray_points *const p = &s->points;
    const bool density = !p->grad;
    const float d_opacity = d_mask - (dc[0] + dc[1] + dc[2]);
    float d_left = 0;           /* cotangent of the light after the point */
    for (int64_t base = begin + (end - begin - 1) / PF_WARP * PF_WARP; base >= begin && end > begin;
         base -= PF_WARP) {
        const int64_t i = base + lane;
        const int n = end - base < PF_WARP ? (int)(end - base) : PF_WARP;
        float a = 0, light = 0, d_weight = 0, own = 0;
        int32_t skipped = 0;
        if (i < end) {
            const float *const c = p->rgb + 3 * i;
            a = s->alpha[i];
            light = s->left[i];
            d_weight = dc[0] * c[0] + dc[1] * c[1] + dc[2] * c[2] + d_opacity;
            skipped = p->skipped ? p->skipped[i] : 0;
        }
        for (int k = n - 1; k >= 0; k--) {
            const float taken = __shfl_sync(PF_WHOLE_WARP, a, k);
            const float wanted = __shfl_sync(PF_WHOLE_WARP, d_weight, k);
            const int32_t dropped = __shfl_sync(PF_WHOLE_WARP, skipped, k);
            if (lane == k)
                own = d_left;
            d_left = density ? wanted * taken + d_left * (1 - taken)
                             : pf_ray_pass(wanted * taken + d_left * (1 - taken + PF_TINY_LEFT),
                                           dropped);
        }
        if (i >= end)
            continue;
        const float d_alpha = (d_weight - own) * light;
        for (int k = 0; k < 3; k++)
            s->d_rgb[3 * i + k] = a * light * dc[k];
        if (density) {
            s->d_sdf[i] = light < PF_DENSITY_DARK ? 0 : d_alpha * (p->dist[i] * (1 - a));
        } else {
            part->d_inv_s += pf_ray_cut_backward(s->d_sdf + i, s->d_grad + 3 * i, d_alpha, p, i);
            pf_point_eikonal(part, s->d_grad + 3 * i, p->grad + 3 * i, &s->weights);
        }
    }
}

/* A warp a ray: forward, losses, and back.  A point's values are read twice, at 40 bytes; a ray of
 * 128 points is 2 x 128 steps of some 10 cycles in which light goes on. */
static __global__ void
ray_losses(const __grid_constant__ slice s)
{
    const int64_t r = (blockIdx.x * (int64_t)blockDim.x + threadIdx.x) / PF_WARP;
    const int lane = threadIdx.x % PF_WARP;
    if (r >= s.rays)
        return;
    const int64_t begin = s.first[r] - s.first[0], end = s.first[r + 1] - s.first[0];
    struct pf_loss_sums part = {};
    float d_color[3] = {}, d_mask = 0;
    const struct pf_ray_color got = warp_blend(&s, begin, end, lane);
    if (lane == 0)
        pf_ray_toned_loss(&part, d_color, &d_mask, &got, s.rgb + 3 * r, s.mask[r],
                          s.tones.tone ? &s.tones : NULL, r, &s.weights);
    d_mask = __shfl_sync(PF_WHOLE_WARP, d_mask, 0);
    for (int k = 0; k < 3; k++)
        d_color[k] = __shfl_sync(PF_WHOLE_WARP, d_color[k], 0);
    warp_blend_backward(&part, &s, d_color, d_mask, begin, end, lane);
    part.d_inv_s = pf_warp_sum(part.d_inv_s);
    part.eikonal = pf_warp_sum(part.eikonal);
    if (lane == 0)
        s.part[r] = part;
}

/* total [PARTS] = the sums of part [n, PARTS], in an order that depends on n alone: a block for
 * each. */
static __global__ void
add_parts(double *total, const double *part, int64_t n)
{
    __shared__ double sum[SUM_THREADS];
    double mine = 0;
    for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS)
        mine += part[i * PARTS + blockIdx.x];
    sum[threadIdx.x] = mine;
    for (int d = SUM_THREADS / 2; d; d /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < d)
            sum[threadIdx.x] += sum[threadIdx.x + d];
    }
    if (threadIdx.x == 0)
        total[blockIdx.x] = sum[0];
}

/* Forward and backward through rays from..to-1 of the batch. */
static pf_err
run_slice(struct pf_trainer_cuda *t, int64_t from, int64_t to, const struct pf_loss_weights *w,
          float ratio, struct pf_loss_sums *part)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_cuda_samples *const s = &t->samples;
    const int64_t base = s->host_first[from], n = s->host_first[to] - base;
    PF_TRY(pf_cuda_reserve(&t->points, (size_t)(n ? n : 1) * 16 * sizeof(float),
                           "the points of a step"));
    float *const sdf = pf_cuda_data<float>(&t->points), *const rgb = sdf + 4 * n;
    float *const grad = net->ops->density_grid ? NULL : sdf + n;
    struct slice b;
    b.d_sdf = rgb + 3 * n;
    b.d_grad = b.d_sdf + n;
    b.d_rgb = b.d_grad + 3 * n;
    b.alpha = b.d_rgb + 3 * n;
    b.left = b.alpha + n;
    PF_TRY(net->ops->forward(net, sdf, grad, rgb, s->x + 3 * base, s->dir + 3 * base, n, true));
    b.points = {s->dir + 3 * base, s->dist + base, sdf, grad, rgb,
                s->skipped ? s->skipped + base : NULL, pf_field_inv_s(t->field), ratio};
    b.weights = *w;
    b.first = s->first + from;
    b.rgb = t->batch.rgb + 3 * from;
    b.mask = t->batch.mask + from;
    b.tones = {};
    if (t->tone_count) {
        float *const tones = pf_cuda_data<float>(&t->tones);
        b.tones = {tones, t->batch.view + from, tones + 4 * t->tone_count + PF_TONE * from};
    }
    b.rays = to - from;
    b.part = part + from;
    ray_losses<<<pf_blocks(b.rays * PF_WARP, 128), 128, 0, pf_cuda_stream(t->dev)>>>(b);
    PF_TRY(pf_launched(t->dev, "losses"));
    return net->ops->backward(net, b.d_sdf, b.d_grad, b.d_rgb);
}

// ---- the views' tones ----

/* grad [views, PF_TONE] = the sums of part [rays, PF_TONE] over each view's rays: a block for each
 * number, in an order that depends on nothing. */
static __global__ void
add_tones(float *grad, const float *part, const int32_t *view, int64_t rays)
{
    __shared__ double sum[SUM_THREADS];
    const int mine = (int)blockIdx.x / PF_TONE, k = (int)blockIdx.x % PF_TONE;
    double own = 0;
    for (int64_t r = threadIdx.x; r < rays; r += SUM_THREADS)
        own += view[r] == mine ? part[PF_TONE * r + k] : 0;
    sum[threadIdx.x] = own;
    for (int d = SUM_THREADS / 2; d; d /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < d)
            sum[threadIdx.x] += sum[threadIdx.x + d];
    }
    if (threadIdx.x == 0)
        grad[blockIdx.x] = (float)sum[0];
}

static __global__ void
centre_tones(float *tone, int64_t views)
{
    pf_tone_centre(tone + threadIdx.x, views);
}

// ---- losses that ask no ray (trainer.c, point_losses) ----

struct loose {                  // points near the surface, then on the faces of the cube
    struct pf_loss_weights weights;
    struct pf_ray_grid grid;
    const int32_t *cell;        // near the surface
    int64_t cells;
    float width;
    double each;                // volume that a point stands for
    uint64_t seed, step;
    float *x, *sdf, *grad, *d_sdf, *d_grad;
    struct pf_loss_sums *part;
};

static __global__ void
draw_points(const __grid_constant__ loose s)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    const int64_t n = s.weights.area_points, walls = s.weights.wall_points;
    if (p < n)
        pf_near_point(s.x + 3 * p, &s.grid, s.cell, s.cells, s.seed,
                      s.step * (uint64_t)n + (uint64_t)p);
    else if (p < n + walls)
        pf_wall_point(s.x + 3 * p, s.grid.bound, s.seed,
                      s.step * (uint64_t)walls + (uint64_t)(p - n));
}

static __global__ void
point_losses(const __grid_constant__ loose s)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    const int64_t n = s.weights.area_points, walls = s.weights.wall_points;
    struct pf_loss_sums part = {};
    if (p >= n + walls)
        return;
    float *const d_grad = s.d_grad + 3 * p;
    if (p < n) {
        pf_point_area(&part, s.d_sdf + p, d_grad, s.sdf[p], s.grad + 3 * p, s.each, s.width,
                      s.weights.lambda_area);
        pf_point_eikonal(&part, d_grad, s.grad + 3 * p, &s.weights);
    } else {
        s.d_sdf[p] = pf_point_outside(&part, s.sdf[p], walls, s.width, &s.weights);
        d_grad[0] = d_grad[1] = d_grad[2] = 0;
    }
    s.part[p] = part;
}

/* Forward and backward through these points; *parts of them have a part. */
static pf_err
run_points(struct pf_trainer_cuda *t, int64_t *parts, struct pf_loss_sums *part,
           const struct pf_loss_weights *w, int step, uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_ray_grid g = pf_ray_grid_of(&t->field->conf, pf_cuda_data<float>(&t->grid));
    const int64_t n = w->area_points, all = n + w->wall_points;
    const float width = PF_AREA_WIDTH * g.cell;
    *parts = 0;
    if (!t->near_known)
        PF_TRY(pf_cuda_near_cells(t->dev, &t->near, &g, PF_AREA_REACH * width));
    t->near_known = true;
    if (t->near.n == 0)
        return PF_OK;
    PF_TRY(pf_cuda_reserve(&t->points, (size_t)all * 11 * sizeof(float), "the points of a step"));
    struct loose s = {*w, g};
    s.cell = pf_cuda_data<int32_t>(&t->near.list);
    s.cells = t->near.n;
    s.width = width;
    s.each = (double)s.cells * g.cell * g.cell * g.cell / (double)n;
    s.seed = seed;
    s.step = (uint64_t)step;
    s.x = pf_cuda_data<float>(&t->points);
    s.sdf = s.x + 3 * all;
    s.grad = s.sdf + all;
    s.d_sdf = s.grad + 3 * all;
    s.d_grad = s.d_sdf + all;
    s.part = part;
    draw_points<<<pf_blocks(all, 64), 64, 0, pf_cuda_stream(t->dev)>>>(s);
    PF_TRY(pf_launched(t->dev, "points near the surface"));
    PF_TRY(net->ops->forward(net, s.sdf, s.grad, NULL, s.x, NULL, all, true));
    point_losses<<<pf_blocks(all, 64), 64, 0, pf_cuda_stream(t->dev)>>>(s);
    PF_TRY(pf_launched(t->dev, "area of the surface"));
    *parts = all;
    return net->ops->backward(net, s.d_sdf, s.d_grad, NULL);
}

// ---- a step ----

static pf_err
sample(struct pf_trainer_cuda *t, int step, uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_batch *const b = &t->batch;
    PF_TRY(pf_field_cuda_fresh(t->field));
    if (t->grid.data && !(step > 0 && step % PF_GRID_EVERY)) {
        PF_TRY(pf_cuda_grid_update(net, &t->grid, &t->field->conf));
        t->near_known = false;
    }
    draw_rays<<<pf_blocks(b->rays, RAY_THREADS), RAY_THREADS, 0, pf_cuda_stream(t->dev)>>>(*b, seed,
                                                                                         step);
    PF_TRY(pf_launched(t->dev, "batch of rays"));
    return pf_cuda_sample(net, &t->samples, &t->field->conf, pf_cuda_data<float>(&t->grid),
                          b->origin, b->dir, b->rays, pf_field_inv_s(t->field), b->offset, seed,
                          step);
}

/* All rays, as many at once as the network's tape holds, and the points that are on none. */
static pf_err
run_slices(struct pf_trainer_cuda *t, struct pf_loss_sums *total, const struct pf_loss_weights *w,
           float ratio, int step, uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const int64_t *const first = t->samples.host_first, rays = t->samples.rays;
    const cudaStream_t stream = pf_cuda_stream(t->dev);
    const int64_t most = rays + w->area_points + w->wall_points;
    int64_t parts = 0;
    PF_TRY(pf_cuda_reserve(&t->parts, (size_t)(most + 1) * sizeof *total, "losses"));
    struct pf_loss_sums *const sum = pf_cuda_data<struct pf_loss_sums>(&t->parts);
    struct pf_loss_sums *const part = sum + 1;
    PF_TRY(net->ops->clear(net, pf_field_inv_s(t->field)));
    for (int64_t from = 0, to; from < rays; from = to) {
        to = pf_samples_slice_end(first, rays, from, net->chunk);
        PF_TRY(run_slice(t, from, to, w, ratio, part));
    }
    if (w->area_points)
        PF_TRY(run_points(t, &parts, part + rays, w, step, seed));
    if (t->tone_count) {
        float *const tones = pf_cuda_data<float>(&t->tones);
        add_tones<<<(unsigned)t->tone_count, SUM_THREADS, 0, stream>>>(
            tones + 3 * t->tone_count, tones + 4 * t->tone_count, t->batch.view, rays);
        PF_TRY(pf_launched(t->dev, "the views' tones"));
    }
    add_parts<<<PARTS, SUM_THREADS, 0, stream>>>((double *)sum, (const double *)part, rays + parts);
    PF_TRY(pf_launched(t->dev, "losses"));
    PF_TRY(net->ops->collect(net));
    PF_CUDA_TRY(cudaMemcpyAsync(total, sum, sizeof *total, cudaMemcpyDeviceToHost, stream),
                "losses");
    return pf_cuda_sync(t->dev);
}

pf_err
pf_trainer_cuda_gradients(struct pf_trainer_cuda *t, struct pf_loss_weights *w,
                          struct pf_loss_sums *sums, float ratio, int step, uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_cuda_samples *const s = &t->samples;
    net->rough = pf_dev_tf32(t->dev) || pf_dev_dtype(t->dev) != PF_F32;
    pf_err err = sample(t, step, seed);
    if (err == PF_OK) {
        *w = pf_loss_weights_of(&t->conf, t->grid.data != NULL, ratio, s->rays, s->n, s->slots);
        err = run_slices(t, sums, w, ratio, step, seed);
    }
    net->rough = false;
    return err;
}

// ---- AdamW ----

static __global__ void
adamw_step(float *value, const float *grad, float *m, float *v, int64_t n,
           const struct pf_adamw_factors a)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const float g = grad[i], mi = a.b1 * m[i] + a.c1 * g, vi = a.b2 * v[i] + a.c2 * g * g;
    m[i] = mi;
    v[i] = vi;
    value[i] = value[i] * a.keep - a.rate * mi / (sqrtf(vi) * a.root + a.eps);
}

static pf_err
update_tones(struct pf_trainer_cuda *t, const struct pf_adamw *adamw, int64_t step)
{
    float *const tones = pf_cuda_data<float>(&t->tones);
    const int64_t n = t->tone_count;
    const cudaStream_t stream = pf_cuda_stream(t->dev);
    const struct pf_adamw_factors a = pf_adamw_factors(adamw, 0, step);
    adamw_step<<<pf_blocks(n, 256), 256, 0, stream>>>(tones, tones + 3 * n, tones + n,
                                                      tones + 2 * n, n, a);
    centre_tones<<<1, PF_TONE, 0, stream>>>(tones, n / PF_TONE);
    return pf_launched(t->dev, "the views' tones");
}

pf_err
pf_trainer_cuda_update(struct pf_trainer_cuda *t, const struct pf_adamw *adamw,
                       const struct pf_adamw *of_tones, int64_t step)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_param *const param = net->host->param;
    int64_t at = 0;
    for (int i = 0, next; i < net->host->params; i = next) {    // neighbours of one decay together
        int64_t n = 0;
        for (next = i; next < net->host->params && param[next].decay == param[i].decay; next++)
            n += param[next].n;
        const struct pf_adamw_factors a =
            pf_adamw_factors(adamw, param[i].decay ? adamw->decay : 0, step);
        adamw_step<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(t->dev)>>>(
            net->value + at, net->grad + at, t->m + at, t->v + at, n, a);
        PF_TRY(pf_launched(t->dev, "AdamW"));
        at += n;
    }
    if (t->tone_count)
        PF_TRY(update_tones(t, of_tones, step));
    pf_field_cuda_trained(t->field);
    return net->ops->changed(net);
}

// ---- life ----

/* Puts n numbers of the host on the device, and *data there. */
template <typename T> static pf_err
put(struct pf_trainer_cuda *t, struct pf_cuda_buffer *to, const T **data, int64_t n,
    const char *what)
{
    const size_t bytes = (size_t)n * sizeof(T);
    PF_TRY(pf_cuda_reserve(to, bytes, what));
    PF_CUDA_TRY(cudaMemcpyAsync(to->data, *data, bytes, cudaMemcpyHostToDevice,
                                pf_cuda_stream(t->dev)),
                what);
    *data = pf_cuda_data<T>(to);
    return PF_OK;
}

static pf_err
allocate(struct pf_trainer_cuda *t)
{
    struct pf_batch *const b = &t->batch;
    const int64_t views = b->views.views, pixels = views * b->views.width * b->views.height;
    const int64_t count = pf_field_cuda_net(t->field)->count, n = b->rays;
    const cudaStream_t stream = pf_cuda_stream(t->dev);
    PF_TRY(put(t, &t->image, &b->views.image, 3 * pixels, "the views"));
    PF_TRY(put(t, &t->alpha, &b->views.alpha, pixels, "the views"));
    PF_TRY(put(t, &t->pose, &b->views.pose, 12 * views, "cameras"));
    PF_TRY(put(t, &t->intrinsics, &b->views.intrinsics, 9 * views, "cameras"));
    PF_TRY(put(t, &t->pixels, &b->foreground.pixel, b->foreground.size, "the pixels"));
    PF_TRY(pf_cuda_reserve(&t->rays, (size_t)n * 11 * sizeof(float), "a batch"));
    b->origin = pf_cuda_data<float>(&t->rays);
    b->dir = b->origin + 3 * n;
    b->rgb = b->dir + 3 * n;
    b->mask = b->rgb + 3 * n;
    b->offset = b->mask + n;
    PF_TRY(pf_cuda_reserve(&t->views_of_rays, (size_t)n * sizeof(int32_t), "a batch"));
    b->view = pf_cuda_data<int32_t>(&t->views_of_rays);
    if (t->conf.lr_tone > 0) {
        t->tone_count = PF_TONE * views;
        const size_t bytes = (size_t)(4 * t->tone_count + PF_TONE * n) * sizeof(float);
        PF_TRY(pf_cuda_reserve(&t->tones, bytes, "the views' tones"));
        PF_CUDA_TRY(cudaMemsetAsync(t->tones.data, 0, bytes, stream), "clearing the views' tones");
    }
    PF_TRY(
        pf_cuda_reserve(&t->moments, (size_t)count * 2 * sizeof(float), "the optimiser's moments"));
    t->m = pf_cuda_data<float>(&t->moments);
    t->v = t->m + count;
    PF_CUDA_TRY(cudaMemsetAsync(t->m, 0, (size_t)count * 2 * sizeof(float), stream),
                "clearing moments");
    if (t->field->net->ops->wants_grid) {
        const size_t R = (size_t)t->field->conf.occupancy_resolution;
        const size_t bytes = R * R * R * sizeof(float);
        PF_TRY(pf_cuda_reserve(&t->grid, bytes, "the grid of distances"));
        PF_CUDA_TRY(cudaMemsetAsync(t->grid.data, 0, bytes, stream),
                    "clearing the grid of distances");
    }
    return PF_OK;
}

pf_err
pf_trainer_cuda_new(struct pf_trainer_cuda **to, pf_field *f, const struct pf_neus_config *conf,
                    const struct pf_batch *batch)
{
    struct pf_trainer_cuda *const t = (struct pf_trainer_cuda *)calloc(1, sizeof *t);
    *to = NULL;
    if (!t)
        return pf_fail(PF_ENOMEM, "no memory for the trainer");
    t->field = f;
    t->dev = f->dev;
    t->conf = *conf;
    t->batch = *batch;
    t->samples.want_first = true;
    const pf_err err = allocate(t);
    if (err != PF_OK) {
        pf_trainer_cuda_free(t);
        return err;
    }
    *to = t;
    return PF_OK;
}

void
pf_trainer_cuda_free(struct pf_trainer_cuda *t)
{
    if (!t)
        return;
    struct pf_cuda_buffer *const all[] = {&t->image,  &t->alpha,  &t->pose,   &t->intrinsics,
                                          &t->pixels, &t->rays,   &t->points, &t->parts,
                                          &t->grid,   &t->moments, &t->views_of_rays,
                                          &t->tones};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pf_cuda_release(all[i]);
    pf_cuda_samples_release(&t->samples);
    pf_cuda_cells_release(&t->near);
    free(t);
}

// ---- to and from the host ----

pf_err
pf_trainer_cuda_exchange(struct pf_trainer_cuda *t, float *const *m, float *const *v,
                         float *distance, bool in)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    PF_TRY(pf_cuda_exchange(net, t->m, m, sizeof *m, in));
    PF_TRY(pf_cuda_exchange(net, t->v, v, sizeof *v, in));
    if (distance) {
        const size_t R = (size_t)t->field->conf.occupancy_resolution;
        const size_t bytes = R * R * R * sizeof(float);
        PF_CUDA_TRY(cudaMemcpyAsync(in ? t->grid.data : distance, in ? distance : t->grid.data,
                                    bytes, in ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                                    pf_cuda_stream(t->dev)),
                    "copying the grid of distances");
        t->near_known = t->near_known && !in;
    }
    return pf_cuda_sync(t->dev);
}

pf_err
pf_trainer_cuda_exchange_tones(struct pf_trainer_cuda *t, float *tones, bool in)
{
    const size_t bytes = (size_t)t->tone_count * 3 * sizeof(float);
    PF_CUDA_TRY(cudaMemcpyAsync(in ? t->tones.data : tones, in ? tones : t->tones.data, bytes,
                                in ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                                pf_cuda_stream(t->dev)),
                "copying the views' tones");
    return pf_cuda_sync(t->dev);
}

pf_err
pf_trainer_cuda_fetch_gradients(struct pf_trainer_cuda *t)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    return pf_cuda_exchange(net, net->grad, &net->host->param->grad, sizeof *net->host->param,
                            false);
}
