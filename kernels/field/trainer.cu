/* trainer.cu - a training step on a GPU (trainer.c): batch, samples, network, blending, losses, AdamW.
 *
 * The order of everything is the CPU's, and so are the rays of a seed.  Two numbers come to the host in
 * a step and are waited for: how many samples there are, and the losses.  Sums are taken in a fixed
 * order, or in fixed point (hash.cu), so the same seed gives the same bytes on the same card.
 *
 * A step of configs/neus.yaml, 1024 rays with 30 k samples and 2.3 k points near the surface: 1.7 GFLOP (28
 * us of f32 at 60 TFLOP/s) and some 40 MB: 9 MB of samples, values and cotangents (136 B a sample, written and
 * read), 30 MB of parameters, moments and gradients (400 k x 76 B): 10 us at 4 TB/s.  What remains is latency:
 * some 20 launches and two round trips to the host, 100 to 200 us; one thread a ray walks, blends and goes
 * back through its samples one after the other, 20 to 30 us each. */
#include <cstdlib>

#include "kernels/field/net.cuh"
#include "kernels/field/rays/occupancy.h"

enum { RAY_THREADS = 32, SUM_THREADS = 256 };

struct part {                   // what one ray adds to the losses; doubles alone
    struct pf_neus_sums sums;
    double d_inv_s;
};
enum { PARTS = sizeof(struct part) / sizeof(double) };

struct pf_trainer_cuda {
    pf_field *field;            // borrowed
    pf_dev *dev;
    struct pf_neus_config conf;
    int64_t rays;
    int size;                   // side of a view
    struct pf_pool all, foreground;             // pixel: on the device
    struct pf_cuda_buffer image, alpha, camera, pixels, batch, points, parts, grid, moments;
    float *origin, *dir, *offset, *rgb, *mask;  // the batch, [rays, ...]
    float *m, *v;               // [count]
    struct pf_cuda_samples samples;
    struct pf_cuda_cells near;  // cells near the surface
    bool near_known;
};

// ---- the batch ----

struct draw {
    struct pf_pool all, foreground;
    const uint8_t *image;
    const float *alpha, *camera;                // [V, 21]: pose, intrinsics
    int64_t rays;
    int size, step, coarse;
    uint64_t seed;
    float *origin, *dir, *offset, *rgb, *mask;
};

/* pf_camera_ray (camera.c). */
static __device__ void
camera_ray(float origin[3], float dir[3], const float *camera, double j, double i)
{
    const float *const pose = camera, *const K = camera + 12;
    const double y = (i - K[5]) / K[4], x = (j - K[2] - K[1] * y) / K[0];
    double d[3], o[3];
    for (int k = 0; k < 3; k++) {               // columns of R, so R^T
        d[k] = pose[k] * x + pose[4 + k] * y + pose[8 + k];
        o[k] = -((double)pose[k] * pose[3] + (double)pose[4 + k] * pose[7] + (double)pose[8 + k] * pose[11]);
    }
    const double length = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    for (int k = 0; k < 3; k++) {
        origin[k] = (float)o[k];
        dir[k] = (float)(d[k] / length);
    }
}

static __global__ void
draw_rays(const __grid_constant__ draw b)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= b.rays)
        return;
    const int64_t pixel = r < b.all.take ? pf_pool_draw(&b.all, r, b.seed, b.step)
                                         : pf_pool_draw(&b.foreground, r - b.all.take, b.seed, b.step);
    const int64_t area = (int64_t)b.size * b.size, in = pixel % area;
    const uint64_t number = (uint64_t)b.step * (uint64_t)b.rays + (uint64_t)r;
    camera_ray(b.origin + 3 * r, b.dir + 3 * r, b.camera + 21 * (pixel / area), (double)(in % b.size),
               (double)(in / b.size));
    for (int c = 0; c < 3; c++)
        b.rgb[3 * r + c] = (float)b.image[3 * pixel + c] / 255;
    b.mask[r] = b.alpha[pixel];
    b.offset[r] = (pf_rng_uniform(b.seed, PF_RNG_PERTURB, number) - 0.5f) * 2 / (float)b.coarse;
}

static pf_err
fill_batch(struct pf_trainer_cuda *t, int step, uint64_t seed)
{
    struct draw b;
    b.all = t->all;
    b.foreground = t->foreground;
    b.image = pf_cuda_data<uint8_t>(&t->image);
    b.alpha = pf_cuda_data<float>(&t->alpha);
    b.camera = pf_cuda_data<float>(&t->camera);
    b.rays = t->rays;
    b.size = t->size;
    b.step = step;
    b.coarse = t->conf.coarse_samples;
    b.seed = seed;
    b.origin = t->origin;
    b.dir = t->dir;
    b.offset = t->offset;
    b.rgb = t->rgb;
    b.mask = t->mask;
    draw_rays<<<pf_blocks(t->rays, RAY_THREADS), RAY_THREADS, 0, pf_cuda_stream(t->dev)>>>(b);
    return pf_launched(t->dev, "batch of rays");
}

// ---- blending and losses ----

struct shade {                  // rays from..from+rays-1 of the batch; point arrays begin at their first point
    struct pf_ray_points points;
    struct pf_neus_how how;
    const int64_t *first;       // of the first of these rays
    const float *rgb, *mask;    // what they should look like
    int64_t rays;
    float *alpha, *left, *d_sdf, *d_grad, *d_rgb;
    struct part *part;
};

/* One thread a ray: forward, losses, and back.  Its points' values are read twice, at 40 bytes. */
static __global__ void
shade_rays(const __grid_constant__ shade s)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= s.rays)
        return;
    const int64_t begin = s.first[r] - s.first[0], end = s.first[r + 1] - s.first[0];
    struct part part = {};
    float d_color[3], d_mask;
    const struct pf_ray_color got = pf_ray_blend(&s.points, s.alpha, s.left, begin, end);
    pf_ray_loss(&part.sums, d_color, &d_mask, &got, s.rgb + 3 * r, s.mask[r], &s.how);
    part.d_inv_s = pf_ray_blend_backward(s.d_sdf, s.d_grad, s.d_rgb, &s.points, s.alpha, s.left, d_color, d_mask,
                                         begin, end);
    for (int64_t i = begin; i < end; i++)
        pf_point_eikonal(&part.sums, s.d_grad + 3 * i, s.points.grad + 3 * i, &s.how);
    s.part[r] = part;
}

/* total [PARTS] = the sums of part [n, PARTS], in an order that depends on n alone: a block for each. */
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
slice(struct pf_trainer_cuda *t, int64_t from, int64_t to, const struct pf_neus_how *how, float ratio,
      struct part *part)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_cuda_samples *const s = &t->samples;
    const int64_t base = s->host_first[from], n = s->host_first[to] - base;
    PF_TRY(pf_cuda_reserve(&t->points, (size_t)(n ? n : 1) * 16 * sizeof(float), "the points of a step"));
    float *const sdf = pf_cuda_data<float>(&t->points), *const grad = sdf + n, *const rgb = grad + 3 * n;
    struct shade b;
    b.d_sdf = rgb + 3 * n;
    b.d_grad = b.d_sdf + n;
    b.d_rgb = b.d_grad + 3 * n;
    b.alpha = b.d_rgb + 3 * n;
    b.left = b.alpha + n;
    PF_TRY(net->ops->forward(net, sdf, grad, rgb, s->x + 3 * base, s->dir + 3 * base, n, true));
    b.points.dir = s->dir + 3 * base;
    b.points.dist = s->dist + base;
    b.points.sdf = sdf;
    b.points.grad = grad;
    b.points.rgb = rgb;
    b.points.skipped = s->skipped ? s->skipped + base : NULL;
    b.points.inv_s = pf_field_inv_s(t->field);
    b.points.ratio = ratio;
    b.how = *how;
    b.first = s->first + from;
    b.rgb = t->rgb + 3 * from;
    b.mask = t->mask + from;
    b.rays = to - from;
    b.part = part + from;
    shade_rays<<<pf_blocks(to - from, RAY_THREADS), RAY_THREADS, 0, pf_cuda_stream(t->dev)>>>(b);
    PF_TRY(pf_launched(t->dev, "losses"));
    return net->ops->backward(net, b.d_sdf, b.d_grad, b.d_rgb);
}

// ---- losses that ask no ray (trainer.c, surface) ----

struct surface {
    struct pf_neus_how how;
    const int32_t *cell;        // near the surface
    int64_t cells, n, walls;    // points near the surface, then on the faces of the cube
    int R;
    float side, bound, width;
    double each, lambda;        // volume that a point stands for; weight of the area
    uint64_t seed, step;
    float *x;
    const float *sdf, *grad;
    float *d_sdf, *d_grad;
    struct part *part;          // [n + walls]
};

static __global__ void
draw_points(const __grid_constant__ surface s)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (p < s.n)
        pf_near_point(s.x + 3 * p, s.cell, s.cells, s.R, s.side, s.bound, s.seed, s.step * (uint64_t)s.n + (uint64_t)p);
    else if (p < s.n + s.walls)
        pf_wall_point(s.x + 3 * p, s.bound, s.seed, s.step * (uint64_t)s.walls + (uint64_t)(p - s.n));
}

static __global__ void
judge_points(const __grid_constant__ surface s)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    struct part part = {};
    if (p >= s.n + s.walls)
        return;
    float *const d_grad = s.d_grad + 3 * p;
    if (p < s.n) {
        pf_point_area(&part.sums, s.d_sdf + p, d_grad, s.sdf[p], s.grad + 3 * p, s.each, s.width, s.lambda);
        pf_point_eikonal(&part.sums, d_grad, s.grad + 3 * p, &s.how);
    } else {
        s.d_sdf[p] = pf_point_outside(&part.sums, s.sdf[p], s.walls, s.width, &s.how);
        d_grad[0] = d_grad[1] = d_grad[2] = 0;
    }
    s.part[p] = part;
}

/* Forward and backward through these points; *parts of them have a part.  lambda 0: none. */
static pf_err
surface_points(struct pf_trainer_cuda *t, int64_t *parts, struct part *part, const struct pf_neus_how *how,
               double lambda,
               int step, uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_ray_grid g = pf_cuda_grid_of(&t->field->conf, net->host, pf_cuda_data<float>(&t->grid));
    struct surface s;
    *parts = 0;
    s.width = PF_AREA_WIDTH * g.cell;
    if (!t->near_known)
        PF_TRY(pf_cuda_near_cells(t->dev, &t->near, &g, 5 * s.width));
    t->near_known = true;
    if (t->near.n == 0)
        return PF_OK;
    s.how = *how;
    s.cell = pf_cuda_data<int32_t>(&t->near.list);
    s.cells = t->near.n;
    s.n = t->conf.area_points;
    s.walls = s.n / 8;
    s.R = g.R;
    s.side = g.cell;
    s.bound = g.bound;
    s.each = (double)s.cells * g.cell * g.cell * g.cell / (double)s.n;
    s.lambda = lambda;
    s.seed = seed;
    s.step = (uint64_t)step;
    s.part = part;
    const int64_t all = s.n + s.walls;
    PF_TRY(pf_cuda_reserve(&t->points, (size_t)all * 11 * sizeof(float), "the points of a step"));
    s.x = pf_cuda_data<float>(&t->points);
    float *const sdf = s.x + 3 * all, *const grad = sdf + all;
    s.sdf = sdf;
    s.grad = grad;
    s.d_sdf = grad + 3 * all;
    s.d_grad = s.d_sdf + all;
    draw_points<<<pf_blocks(all, 64), 64, 0, pf_cuda_stream(t->dev)>>>(s);
    PF_TRY(pf_launched(t->dev, "points near the surface"));
    PF_TRY(net->ops->forward(net, sdf, grad, NULL, s.x, NULL, all, true));
    judge_points<<<pf_blocks(all, 64), 64, 0, pf_cuda_stream(t->dev)>>>(s);
    PF_TRY(pf_launched(t->dev, "area of the surface"));
    *parts = all;
    return net->ops->backward(net, s.d_sdf, s.d_grad, NULL);
}

// ---- a step ----

static double
area_of(const struct pf_trainer_cuda *t)
{
    return t->grid.data ? t->conf.lambda_area : 0;
}

static struct pf_neus_how
how_of(const struct pf_trainer_cuda *t)
{
    const struct pf_cuda_samples *const s = &t->samples;
    struct pf_neus_how how = {};
    how.lambda_rgb = t->conf.lambda_rgb;
    how.lambda_mask = t->conf.lambda_mask;
    how.lambda_eikonal = t->conf.lambda_eikonal;
    how.rays = s->rays;
    how.inner = (double)s->n + 1e-5 * (double)(s->slots > 0 ? s->slots : 1);
    if (area_of(t) > 0)
        how.inner += (double)t->conf.area_points;
    return how;
}

/* All rays, as many at once as the network's tape holds. */
static pf_err
go_through(struct pf_trainer_cuda *t, struct part *total, const struct pf_neus_how *how, float ratio, int step,
           uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_cuda_samples *const s = &t->samples;
    const cudaStream_t stream = pf_cuda_stream(t->dev);
    const int64_t more = area_of(t) > 0 ? t->conf.area_points + t->conf.area_points / 8 : 0;
    int64_t parts = 0;
    PF_TRY(pf_cuda_reserve(&t->parts, (size_t)(s->rays + more + 1) * sizeof(struct part), "losses"));
    struct part *const sum = pf_cuda_data<struct part>(&t->parts), *const part = sum + 1;
    PF_TRY(net->ops->clear(net, pf_field_inv_s(t->field)));
    for (int64_t from = 0, to; from < s->rays; from = to) {
        for (to = from + 1; to < s->rays && s->host_first[to + 1] - s->host_first[from] <= net->chunk; to++)
            ;
        PF_TRY(slice(t, from, to, how, ratio, part));
    }
    if (more)
        PF_TRY(surface_points(t, &parts, part + s->rays, how, area_of(t) * ratio, step, seed));
    add_parts<<<PARTS, SUM_THREADS, 0, stream>>>((double *)sum, (const double *)part, s->rays + parts);
    PF_TRY(pf_launched(t->dev, "losses"));
    PF_TRY(net->ops->collect(net));
    PF_CUDA_TRY(cudaMemcpyAsync(total, sum, sizeof *total, cudaMemcpyDeviceToHost, stream), "losses");
    PF_CUDA_TRY(cudaStreamSynchronize(stream), "the GPU failed");
    return PF_OK;
}

static pf_err
gradients(struct pf_trainer_cuda *t, struct pf_field_losses *losses, float *d_variance, float ratio, int step,
          uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const float inv_s = pf_field_inv_s(t->field);
    const bool grid = t->grid.data != NULL;
    struct part total = {};
    PF_TRY(pf_field_cuda_fresh(t->field));
    if (grid && !(step > 0 && step % PF_GRID_EVERY)) {
        PF_TRY(pf_cuda_grid_update(net, &t->grid, &t->field->conf));
        t->near_known = false;
    }
    PF_TRY(fill_batch(t, step, seed));
    PF_TRY(pf_cuda_sample(net, &t->samples, &t->field->conf, pf_cuda_data<float>(&t->grid), t->origin, t->dir, t->rays,
                          inv_s, t->offset, seed, step));
    const struct pf_neus_how how = how_of(t);
    PF_TRY(go_through(t, &total, &how, ratio, step, seed));
    const struct pf_neus_sums *const sums = &total.sums;
    *d_variance = inv_s > 1e-6f && inv_s < 1e6f ? (float)(10 * inv_s * total.d_inv_s) : 0;
    losses->total = (float)(how.lambda_rgb * sums->rgb + how.lambda_mask * sums->mask +
                            how.lambda_eikonal * sums->eikonal +
                            area_of(t) * ratio * sums->area);
    losses->rgb = (float)sums->rgb;
    losses->mask = (float)sums->mask;
    losses->eikonal = (float)sums->eikonal;
    losses->psnr = (float)(-10 * log10(sums->square / (3 * (double)t->rays) + 1e-12));
    losses->rays = t->rays;
    return PF_OK;
}

pf_err
pf_trainer_cuda_gradients(struct pf_trainer_cuda *t, struct pf_field_losses *losses, float *d_variance, float ratio,
                          int step, uint64_t seed)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    net->rough = pf_dev_tf32(t->dev) || pf_dev_dtype(t->dev) != PF_F32;
    const pf_err err = gradients(t, losses, d_variance, ratio, step, seed);
    net->rough = false;
    return err;
}

// ---- AdamW ----

static __global__ void
adamw_step(float *value, const float *grad, float *m, float *v, int64_t n, const struct pf_adamw_factors a)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const float g = grad[i], mi = a.b1 * m[i] + a.c1 * g, vi = a.b2 * v[i] + a.c2 * g * g;
    m[i] = mi;
    v[i] = vi;
    value[i] = value[i] * a.keep - a.rate * mi / (sqrtf(vi) * a.root + a.eps);
}

pf_err
pf_trainer_cuda_update(struct pf_trainer_cuda *t, const struct pf_adamw *how, int64_t step)
{
    struct pf_net_cuda *const net = pf_field_cuda_net(t->field);
    const struct pf_param *const param = net->host->param;
    int64_t at = 0;
    for (int i = 0, next; i < net->host->params; i = next) {    // neighbours with one decay together
        int64_t n = 0;
        for (next = i; next < net->host->params && param[next].decay == param[i].decay; next++)
            n += param[next].n;
        const struct pf_adamw_factors a = pf_adamw_factors(how, param[i].decay ? how->decay : 0, step);
        adamw_step<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(t->dev)>>>(net->value + at, net->grad + at, t->m + at, t->v +
                                                                     at, n, a);
        PF_TRY(pf_launched(t->dev, "AdamW"));
        at += n;
    }
    pf_field_cuda_trained(t->field);
    return net->ops->changed(net);
}

// ---- life ----

static pf_err
copy_in(struct pf_trainer_cuda *t, struct pf_cuda_buffer *to, const void *from, size_t bytes, const char *what)
{
    PF_TRY(pf_cuda_reserve(to, bytes, what));
    PF_CUDA_TRY(cudaMemcpyAsync(to->data, from, bytes, cudaMemcpyHostToDevice, pf_cuda_stream(t->dev)), what);
    return PF_OK;
}

static pf_err
copy_cameras(struct pf_trainer_cuda *t, const struct pf_field_views *views)
{
    const size_t bytes = (size_t)views->views * 21 * sizeof(float);
    float *const camera = (float *)malloc(bytes);
    if (!camera)
        return pf_fail(PF_ENOMEM, "no memory for the cameras");
    for (int i = 0; i < views->views; i++) {
        memcpy(camera + 21 * i, views->pose + 12 * i, 12 * sizeof(float));
        memcpy(camera + 21 * i + 12, views->intrinsics + 9 * i, 9 * sizeof(float));
    }
    const pf_err err = copy_in(t, &t->camera, camera, bytes, "cameras");
    free(camera);
    return err;
}

static pf_err
allocate(struct pf_trainer_cuda *t, const struct pf_field_views *views, const struct pf_pool *foreground)
{
    const size_t pixels = (size_t)views->views * views->size * views->size, n = (size_t)t->rays;
    const int64_t count = pf_field_cuda_net(t->field)->count;
    const cudaStream_t stream = pf_cuda_stream(t->dev);
    PF_TRY(copy_in(t, &t->image, views->image, pixels * 3, "the views"));
    PF_TRY(copy_in(t, &t->alpha, views->alpha, pixels * sizeof(float), "the views"));
    PF_TRY(copy_cameras(t, views));
    if (foreground->size)
        PF_TRY(copy_in(t, &t->pixels, foreground->pixel, (size_t)foreground->size * sizeof(uint32_t), "the pixels"));
    t->foreground.pixel = pf_cuda_data<uint32_t>(&t->pixels);
    PF_TRY(pf_cuda_reserve(&t->batch, n * 11 * sizeof(float), "a batch"));
    t->origin = pf_cuda_data<float>(&t->batch);
    t->dir = t->origin + 3 * n;
    t->rgb = t->dir + 3 * n;
    t->mask = t->rgb + 3 * n;
    t->offset = t->mask + n;
    PF_TRY(pf_cuda_reserve(&t->moments, (size_t)count * 2 * sizeof(float), "the optimiser's moments"));
    t->m = pf_cuda_data<float>(&t->moments);
    t->v = t->m + count;
    PF_CUDA_TRY(cudaMemsetAsync(t->m, 0, (size_t)count * 2 * sizeof(float), stream), "clearing moments");
    if (t->field->net->ops->wants_grid) {
        const size_t R = (size_t)t->field->conf.occupancy_resolution, bytes = R * R * R * sizeof(float);
        PF_TRY(pf_cuda_reserve(&t->grid, bytes, "the grid of distances"));
        PF_CUDA_TRY(cudaMemsetAsync(t->grid.data, 0, bytes, stream), "clearing the grid of distances");
    }
    return PF_OK;
}

pf_err
pf_trainer_cuda_new(struct pf_trainer_cuda **to, pf_field *f, const struct pf_field_views *views,
                    const struct pf_neus_config *conf, const struct pf_pool *all, const struct pf_pool *foreground)
{
    struct pf_trainer_cuda *const t = (struct pf_trainer_cuda *)calloc(1, sizeof *t);
    *to = NULL;
    if (!t)
        return pf_fail(PF_ENOMEM, "no memory for the trainer");
    t->field = f;
    t->dev = f->dev;
    t->conf = *conf;
    t->all = *all;
    t->foreground = *foreground;
    t->rays = all->take + foreground->take;
    t->size = views->size;
    t->samples.want_first = true;
    const pf_err err = allocate(t, views, foreground);
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
    struct pf_cuda_buffer *const all[] = {&t->image, &t->alpha, &t->camera, &t->pixels, &t->batch,
                                          &t->points, &t->parts, &t->grid, &t->moments};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pf_cuda_release(all[i]);
    pf_cuda_samples_release(&t->samples);
    pf_cuda_cells_release(&t->near);
    free(t);
}

// ---- to and from the host ----

static pf_err
exchange(struct pf_trainer_cuda *t, float *const *host, float *device, bool in)
{
    const struct pf_net *const net = t->field->net;
    const cudaStream_t stream = pf_cuda_stream(t->dev);
    for (int i = 0; i < net->params; device += net->param[i++].n) {
        const size_t bytes = (size_t)net->param[i].n * sizeof(float);
        PF_CUDA_TRY(in ? cudaMemcpyAsync(device, host[i], bytes, cudaMemcpyHostToDevice, stream)
                       : cudaMemcpyAsync(host[i], device, bytes, cudaMemcpyDeviceToHost, stream), "copy of moments");
    }
    PF_CUDA_TRY(cudaStreamSynchronize(stream), "the GPU failed");
    return PF_OK;
}

pf_err
pf_trainer_cuda_get_moments(struct pf_trainer_cuda *t, float *const *m, float *const *v)
{
    PF_TRY(exchange(t, m, t->m, false));
    return exchange(t, v, t->v, false);
}

pf_err
pf_trainer_cuda_put_moments(struct pf_trainer_cuda *t, float *const *m, float *const *v)
{
    PF_TRY(exchange(t, m, t->m, true));
    return exchange(t, v, t->v, true);
}

pf_err
pf_trainer_cuda_fetch_gradients(struct pf_trainer_cuda *t)
{
    const struct pf_net *const net = t->field->net;
    const float *from = pf_field_cuda_net(t->field)->grad;
    for (int i = 0; i < net->params; from += net->param[i++].n)
        PF_CUDA_TRY(cudaMemcpyAsync(net->param[i].grad, from, (size_t)net->param[i].n * sizeof(float),
                                    cudaMemcpyDeviceToHost,
                                    pf_cuda_stream(t->dev)), "copy of gradients");
    PF_CUDA_TRY(cudaStreamSynchronize(pf_cuda_stream(t->dev)), "the GPU failed");
    return PF_OK;
}

pf_err
pf_trainer_cuda_save_grid(struct pf_trainer_cuda *t, pf_doc *doc)
{
    const int64_t R = t->field->conf.occupancy_resolution, dim[3] = {R, R, R};
    if (!t->grid.data)
        return PF_OK;
    float *const host = (float *)malloc((size_t)(R * R * R) * sizeof(float));
    if (!host)
        return pf_fail(PF_ENOMEM, "no memory for the grid of distances");
    const pf_tensor grid = pf_tensor_view(t->grid.data, PF_F32, 3, dim);
    pf_tensor copy = pf_tensor_view(host, PF_F32, 3, dim);
    pf_err err = pf_dev_get(t->dev, &copy, &grid);
    if (err == PF_OK)
        err = pf_doc_put(doc, "train.occupancy.distance", &copy);
    free(host);
    return err;
}

pf_err
pf_trainer_cuda_load_grid(struct pf_trainer_cuda *t, const pf_doc *doc)
{
    const int64_t R = t->field->conf.occupancy_resolution, dim[3] = {R, R, R};
    pf_tensor from, to;
    if (!t->grid.data)
        return PF_OK;
    PF_TRY(pf_doc_need(doc, "train.occupancy.distance", PF_F32, 3, dim, &from));
    to = pf_tensor_view(t->grid.data, PF_F32, 3, dim);
    t->near_known = false;
    PF_TRY(pf_dev_put(t->dev, &to, &from));
    return pf_dev_sync(t->dev);
}
