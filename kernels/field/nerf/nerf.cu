/* nerf.cu - a field of densities on a GPU (nerf.h): the grid's features by a thread for each point
 * and level, the networks as products of cublasLt over all points of a slice, and the grid of what
 * is occupied.  What net.cuh calls sdf is the density here.
 *
 * A tape holds all values of a slice, so backward computes nothing again.  Gradients of the table
 * are 64-bit fixed-point atomics as in hash.cu, so their order means nothing.
 *
 * A point of configs/nerf.yaml takes 9.4 k multiply-adds forward and 18.8 k backward, and 277
 * numbers that are written once and read twice or so, and as many again backward.  A step of a
 * million samples is 56 GFLOP (0.9 ms at 60 TFLOP/s of f32, 0.2 ms as tf32) and some 7 GB (1.5 ms
 * at 4.8 TB/s); 2^28 atomics of 8 B beside them take 2 or 3 ms. */
#include <cstdlib>

#include "kernels/field/mlp/matmul.cuh"
#include "kernels/field/net.cuh"
#include "kernels/field/nerf/nerf.h"
#include "kernels/field/nerf/nerf_point.h"
#include "kernels/field/rays/density.h"

enum { THREADS = 256, CELLS = 64, PARTS = 256 };        // CELLS: that a thread looks at in turn
static const int64_t CHUNK = INT64_C(1) << 18;          // points whose values are kept at once
static const float UNITS = 0x1p48f;                     // of the table's gradients, in 1

struct nerf_cuda {
    struct pf_net_cuda net;             // first
    long long *fixed;                   // [numbers of the table] gradients, in units
    struct pf_cuda_buffer values;       // of the points of a slice
    const float *x;                     // the tape
    int64_t points;
    struct pf_cuda_buffer sums, fresh, draws, list, counts;     // of the grid
};

static const struct pf_nerf *
host_of(const struct nerf_cuda *net)
{
    return (const struct pf_nerf *)net->net.host;
}

/* Where parameter i begins. */
static int64_t
offset_of(const struct nerf_cuda *net, int i)
{
    int64_t at = 0;
    for (int k = 0; k < i; k++)
        at += net->net.host->param[k].n;
    return at;
}

static float *
weights(const struct nerf_cuda *net, int layer)
{
    return net->net.value + offset_of(net, PF_NERF_WEIGHTS + layer);
}

struct sizes {                          // floats of a point: names as in nerf.h, rows padded
    int E, H, O, I, C, G;
};

static struct sizes
sizes_of(const struct nerf_cuda *net)
{
    const struct pf_nerf *const host = host_of(net);
    const int G = host->layer[SIGMA1].K - 1;
    return {host->layer[SIGMA0].C, host->layer[SIGMA0].K, pf_nerf_padded(1 + G),
            host->layer[COLOR0].C, host->layer[COLOR0].K, G};
}

enum { RGB = 4 };                       // numbers of a colour: products want a multiple of 4

struct values {                         // of the points of a slice, [rows, ...]
    float *e, *h, *out, *slope, *in, *c0, *c1, *color;
    float *d_color, *d_c1, *d_c0, *d_in, *d_out, *d_h, *d_e;    // with a tape
};

/* Rows that products of n points take: one of a few numbers, so that cublasLt is asked for few
 * shapes. */
static int64_t
rows_for(int64_t n)
{
    const int64_t step = CHUNK / 8;
    int64_t rows = 64;
    if (n > step)
        return (n + step - 1) / step * step;
    while (rows < n)
        rows *= 2;
    return rows;
}

static pf_err
lay_out(struct nerf_cuda *net, struct values *v, int64_t n, bool tape)
{
    const struct sizes s = sizes_of(net);
    const int64_t rows = rows_for(n);
    const struct { float **at; int each; } arrays[] = {
        {&v->e, s.E}, {&v->h, s.H}, {&v->out, s.O}, {&v->slope, 1}, {&v->in, s.I}, {&v->c0, s.C},
        {&v->c1, s.C}, {&v->color, RGB}, {&v->d_color, RGB}, {&v->d_c1, s.C}, {&v->d_c0, s.C},
        {&v->d_in, s.I}, {&v->d_out, s.O}, {&v->d_h, s.H}, {&v->d_e, s.E},
    };
    const size_t used = tape ? sizeof arrays / sizeof *arrays : 8;
    int64_t each = 0;
    for (size_t i = 0; i < used; i++)
        each += arrays[i].each;
    PF_TRY(pf_cuda_reserve(&net->values, (size_t)(rows * each) * sizeof(float),
                           "the field's points"));
    float *at = pf_cuda_data<float>(&net->values);
    for (size_t i = 0; i < used; i++) {
        *arrays[i].at = at;
        at += rows * arrays[i].each;
    }
    return PF_OK;
}

// ---- the table ----

/* Thread i of a kernel over points and levels. */
struct corner_of {
    int64_t p;
    int l;
    struct pf_hash_place at[3];
};

static __device__ __forceinline__ corner_of
locate(const struct pf_hash_grid *g, const float *x, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    struct corner_of c;
    c.p = i / g->levels;
    c.l = (int)(i % g->levels);
    const float *const place = x + 3 * (c.p < n ? c.p : n - 1);
    for (int k = 0; k < 3; k++)
        c.at[k] = pf_hash_locate(place[k], g->bound, g->level[c.l].scale);
    return c;
}

/* Entry of one corner (bits 0..2: upper in x, y, z) in the whole table, and its weight. */
static __device__ __forceinline__ int64_t
entry(float *weight, const struct pf_hash_grid *g, const struct corner_of *c, int corner)
{
    const struct pf_hash_level *const level = &g->level[c->l];
    int32_t cell[3];
    *weight = 1;
    for (int k = 0; k < 3; k++) {
        const int upper = corner >> k & 1;
        cell[k] = c->at[k].cell + upper;
        *weight *= upper ? c->at[k].side : 1 - c->at[k].side;
    }
    return level->offset + pf_hash_index(level, cell[0], cell[1], cell[2]);
}

/* e [rows, E] of points x [n, 3]; rows beyond them repeat the last. */
static __global__ void
encode(float *e, int E, const float *table, const __grid_constant__ pf_hash_grid g, const float *x,
       int64_t n, int64_t rows)
{
    const struct corner_of c = locate(&g, x, n);
    float sum[PF_HASH_MAX_FEATURES] = {};
    if (c.p >= rows)
        return;
    for (int corner = 0; corner < 8; corner++) {
        float w;
        const float *const from = table + entry(&w, &g, &c, corner) * g.features;
        for (int f = 0; f < PF_HASH_MAX_FEATURES; f++)
            if (f < g.features)
                sum[f] += w * from[f];
    }
    for (int f = 0; f < PF_HASH_MAX_FEATURES; f++)
        if (f < g.features)
            e[c.p * E + c.l * g.features + f] = sum[f];
    for (int i = g.levels * g.features; c.l == 0 && i < E; i++)
        e[c.p * E + i] = 1;
}

static __global__ void
scatter(long long *fixed, const float *d_e, int E, const __grid_constant__ pf_hash_grid g,
        const float *x, int64_t n)
{
    const struct corner_of c = locate(&g, x, n);
    if (c.p >= n)
        return;
    for (int corner = 0; corner < 8; corner++) {
        float w;
        long long *const to = fixed + entry(&w, &g, &c, corner) * g.features;
        for (int f = 0; f < g.features; f++) {
            const float d = w * d_e[c.p * E + c.l * g.features + f];
            if (d != 0)
                pf_add_fixed(to + f, d, UNITS);
        }
    }
}

static __global__ void
from_fixed(float *grad, const long long *fixed, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        grad[i] = (float)fixed[i] * (1 / UNITS);
}

// ---- between the products ----

static __global__ void
relu(float *y, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = y[i] < 0 ? 0 : y[i];             // a NaN stays one
}

static __global__ void
relu_backward(float *d_y, const float *y, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        d_y[i] = y[i] > 0 ? d_y[i] : 0;
}

static __global__ void
densities(float *density, float *slope, const float *out, int O, const float *x, int64_t n)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (p < n)
        density[p] = pf_nerf_density(slope + p, out[p * O], x[3 * p], x[3 * p + 1], x[3 * p + 2]);
}

/* in [rows, I]; rows beyond the n points repeat the last. */
static __global__ void
look(float *in, const float *out, const float *dir, const __grid_constant__ sizes s, int64_t n,
     int64_t rows)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (p >= rows)
        return;
    const float *const from = dir + 3 * (p < n ? p : n - 1);
    const float d[3] = {from[0], from[1], from[2]};
    float *const to = in + p * s.I;
    pf_harmonics(to, 1, d);
    for (int i = 0; i < s.G; i++)
        to[PF_NERF_HARMONICS + i] = out[p * s.O + 1 + i];
    for (int i = PF_NERF_HARMONICS + s.G; i < s.I; i++)
        to[i] = 1;
}

static __global__ void
colors(float *rgb, const float *color, int64_t n)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    for (int k = 0; p < n && k < 3; k++)
        rgb[3 * p + k] = pf_sigmoid_of(color[RGB * p + k]);
}

static __global__ void
colors_backward(float *d_color, const float *color, const float *d_rgb, int64_t n, int64_t rows)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    for (int k = 0; p < rows && k < RGB; k++) {
        const float y = pf_sigmoid_of(color[RGB * p + k]);
        d_color[RGB * p + k] = p < n && k < 3 ? d_rgb[3 * p + k] * y * (1 - y) : 0;
    }
}

static __global__ void
outputs_backward(float *d_out, const float *d_in, const float *d_density, const float *slope,
                 const __grid_constant__ sizes s, int64_t n, int64_t rows)
{
    const int64_t p = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (p >= rows)
        return;
    d_out[p * s.O] = p < n ? d_density[p] * slope[p] : 0;
    for (int i = 1; i < s.O; i++)
        d_out[p * s.O + i] = i <= s.G ? d_in[p * s.I + PF_NERF_HARMONICS + i - 1] : 0;
}

// ---- forward and backward of a slice ----

/* y [rows, K] = x [rows, C] W^T, and what is below 0 of it made 0. */
static pf_err
layer(struct nerf_cuda *net, int i, float *y, int K, const float *x, int C, int64_t rows,
      bool positive)
{
    pf_dev *const dev = net->net.dev;
    PF_TRY(pf_matmul(dev, net->net.rough, y, x, false, weights(net, i), true, rows, K, C, false));
    if (!positive)
        return PF_OK;
    relu<<<pf_blocks(rows * K, THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(y, rows * K);
    return pf_launched(dev, "a nerf field's layer");
}

/* The other way: the weights' gradient, and d_x; unless y is NULL d_y is that of the layer with
 * nothing below 0. */
static pf_err
layer_backward(struct nerf_cuda *net, int i, float *d_x, float *d_y, const float *y, int K,
               const float *x, int C, int64_t rows)
{
    pf_dev *const dev = net->net.dev;
    float *const grad = net->net.grad + offset_of(net, PF_NERF_WEIGHTS + i);
    if (y) {
        relu_backward<<<pf_blocks(rows * K, THREADS), THREADS, 0, pf_cuda_stream(dev)>>>(d_y, y,
                                                                                        rows * K);
        PF_TRY(pf_launched(dev, "a nerf field's layer"));
    }
    PF_TRY(pf_matmul(dev, net->net.rough, grad, d_y, true, x, false, K, C, rows, true));
    return pf_matmul(dev, net->net.rough, d_x, d_y, false, weights(net, i), false, rows, C, K,
                     false);
}

static pf_err
run_density(struct nerf_cuda *net, const struct values *v, float *density, const float *x,
            int64_t n)
{
    const struct pf_nerf *const host = host_of(net);
    const struct sizes s = sizes_of(net);
    const int64_t rows = rows_for(n);
    const cudaStream_t stream = pf_cuda_stream(net->net.dev);
    encode<<<pf_blocks(rows * host->grid.levels, THREADS), THREADS, 0, stream>>>(
        v->e, s.E, net->net.value, host->grid, x, n, rows);
    PF_TRY(pf_launched(net->net.dev, "a nerf field's table"));
    PF_TRY(layer(net, SIGMA0, v->h, s.H, v->e, s.E, rows, true));
    PF_TRY(layer(net, SIGMA1, v->out, s.O, v->h, s.H, rows, false));
    densities<<<pf_blocks(n, THREADS), THREADS, 0, stream>>>(density, v->slope, v->out, s.O, x, n);
    return pf_launched(net->net.dev, "a nerf field's density");
}

static pf_err
run_color(struct nerf_cuda *net, const struct values *v, float *rgb, const float *dir, int64_t n)
{
    const struct sizes s = sizes_of(net);
    const int64_t rows = rows_for(n);
    const cudaStream_t stream = pf_cuda_stream(net->net.dev);
    look<<<pf_blocks(rows, THREADS), THREADS, 0, stream>>>(v->in, v->out, dir, s, n, rows);
    PF_TRY(pf_launched(net->net.dev, "a nerf field's directions"));
    PF_TRY(layer(net, COLOR0, v->c0, s.C, v->in, s.I, rows, true));
    PF_TRY(layer(net, COLOR1, v->c1, s.C, v->c0, s.C, rows, true));
    PF_TRY(layer(net, COLOR2, v->color, RGB, v->c1, s.C, rows, false));
    colors<<<pf_blocks(n, THREADS), THREADS, 0, stream>>>(rgb, v->color, n);
    return pf_launched(net->net.dev, "a nerf field's colour");
}

// ---- the network as net.cuh wants it ----

static pf_err
nerf_changed(struct pf_net_cuda *base)
{
    (void)base;                 // kernels read the parameters themselves
    return PF_OK;
}

static pf_err
nerf_density(struct pf_net_cuda *base, float *density, const float *x, int64_t n)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    struct values v;
    net->points = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t some = n - i < CHUNK ? n - i : CHUNK;
        PF_TRY(lay_out(net, &v, some, false));
        PF_TRY(run_density(net, &v, density + i, x + 3 * i, some));
    }
    return PF_OK;
}

static pf_err
nerf_forward(struct pf_net_cuda *base, float *density, float *grad, float *rgb, const float *x,
             const float *dir, int64_t n, bool tape)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    const int64_t most = tape ? n : CHUNK;      // a tape is of one slice
    struct values v;
    (void)grad;                                 // a density has none
    net->points = tape ? n : 0;
    net->x = x;
    for (int64_t i = 0; i < n; i += most) {
        const int64_t some = n - i < most ? n - i : most;
        PF_TRY(lay_out(net, &v, some, tape));
        PF_TRY(run_density(net, &v, density + i, x + 3 * i, some));
        PF_TRY(run_color(net, &v, rgb + 3 * i, dir + 3 * i, some));
    }
    return PF_OK;
}

static pf_err
nerf_backward(struct pf_net_cuda *base, const float *d_density, const float *d_grad,
              const float *d_rgb)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    const struct pf_nerf *const host = host_of(net);
    const struct sizes s = sizes_of(net);
    const int64_t n = net->points, rows = rows_for(n);
    const cudaStream_t stream = pf_cuda_stream(base->dev);
    struct values v;
    (void)d_grad;
    if (n == 0)
        return PF_OK;
    PF_TRY(lay_out(net, &v, n, true));          // as the forward did
    colors_backward<<<pf_blocks(rows, THREADS), THREADS, 0, stream>>>(v.d_color, v.color, d_rgb, n,
                                                                    rows);
    PF_TRY(pf_launched(base->dev, "a nerf field's colour"));
    PF_TRY(layer_backward(net, COLOR2, v.d_c1, v.d_color, NULL, RGB, v.c1, s.C, rows));
    PF_TRY(layer_backward(net, COLOR1, v.d_c0, v.d_c1, v.c1, s.C, v.c0, s.C, rows));
    PF_TRY(layer_backward(net, COLOR0, v.d_in, v.d_c0, v.c0, s.C, v.in, s.I, rows));
    outputs_backward<<<pf_blocks(rows, THREADS), THREADS, 0, stream>>>(v.d_out, v.d_in, d_density,
                                                                     v.slope, s, n, rows);
    PF_TRY(pf_launched(base->dev, "a nerf field's density"));
    PF_TRY(layer_backward(net, SIGMA1, v.d_h, v.d_out, NULL, s.O, v.h, s.H, rows));
    PF_TRY(layer_backward(net, SIGMA0, v.d_e, v.d_h, v.h, s.H, v.e, s.E, rows));
    scatter<<<pf_blocks(n * host->grid.levels, THREADS), THREADS, 0, stream>>>(
        net->fixed, v.d_e, s.E, host->grid, net->x, n);
    return pf_launched(base->dev, "a nerf field's table");
}

static pf_err
nerf_clear(struct pf_net_cuda *base, float inv_s)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    const cudaStream_t stream = pf_cuda_stream(base->dev);
    const int64_t table = base->host->param[PF_NERF_TABLE].n;
    (void)inv_s;                                // a density has no sharpness
    PF_CUDA_TRY(cudaMemsetAsync(net->fixed, 0, (size_t)table * sizeof *net->fixed, stream),
                "clearing gradients");
    PF_CUDA_TRY(cudaMemsetAsync(base->grad + table, 0,
                                (size_t)(base->count - table) * sizeof(float), stream),
                "clearing gradients");
    return PF_OK;
}

static pf_err
nerf_collect(struct pf_net_cuda *base)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    const int64_t table = base->host->param[PF_NERF_TABLE].n;
    from_fixed<<<pf_blocks(table, THREADS), THREADS, 0, pf_cuda_stream(base->dev)>>>(
        base->grad, net->fixed, table);
    return pf_launched(base->dev, "a nerf field's gradients");
}

// ---- the grid of what is occupied (nerf_grid.c) ----

/* part [PARTS] = the sums of what is above 0 in as many pieces of the grid: a block for each. */
static __global__ void
sum_parts(double *part, const float *density, int64_t cells)
{
    __shared__ double sum[THREADS];
    const int64_t from = cells * blockIdx.x / PARTS, to = cells * (blockIdx.x + 1) / PARTS;
    double mine = 0;
    for (int64_t c = from + threadIdx.x; c < to; c += THREADS)
        mine += density[c] > 0 ? density[c] : 0;
    sum[threadIdx.x] = mine;
    for (int d = THREADS / 2; d; d /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < d)
            sum[threadIdx.x] += sum[threadIdx.x + d];
    }
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum[0];
}

/* Waits for the device. */
static pf_err
find_threshold(struct nerf_cuda *net, float *threshold, const float *density, int64_t cells)
{
    const cudaStream_t stream = pf_cuda_stream(net->net.dev);
    double part[PARTS], sum = 0;
    PF_TRY(pf_cuda_reserve(&net->sums, sizeof part, "the grid of densities"));
    double *const there = pf_cuda_data<double>(&net->sums);
    sum_parts<<<PARTS, THREADS, 0, stream>>>(there, density, cells);
    PF_TRY(pf_launched(net->net.dev, "grid of densities"));
    PF_CUDA_TRY(cudaMemcpyAsync(part, there, sizeof part, cudaMemcpyDeviceToHost, stream),
                "grid of densities");
    PF_TRY(pf_cuda_sync(net->net.dev));
    for (int p = 0; p < PARTS; p++)
        sum += part[p];
    const float mean = (float)(sum / (double)cells);
    *threshold = mean < PF_NERF_THRESHOLD ? mean : PF_NERF_THRESHOLD;
    return PF_OK;
}

static __global__ void
count_occupied(int32_t *count, const float *density, float threshold, int64_t cells)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, from = t * CELLS;
    int32_t n = 0;
    if (from >= cells)
        return;
    for (int64_t c = from; c < from + CELLS && c < cells; c++)
        n += density[c] > threshold;
    count[t] = n;
}

static __global__ void
write_occupied(int32_t *list, const int64_t *first, const float *density, float threshold,
               int64_t cells)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, from = t * CELLS;
    if (from >= cells)
        return;
    int64_t at = first[t];
    for (int64_t c = from; c < from + CELLS && c < cells; c++)
        if (density[c] > threshold)
            list[at++] = (int32_t)c;
}

/* The occupied cells in their order, to net->list; waits for the device. */
static pf_err
list_occupied(struct nerf_cuda *net, int64_t *listed, const float *density, int64_t cells)
{
    const int64_t parts = (cells + CELLS - 1) / CELLS;
    const cudaStream_t stream = pf_cuda_stream(net->net.dev);
    float threshold;
    PF_TRY(find_threshold(net, &threshold, density, cells));
    PF_TRY(pf_cuda_reserve(&net->list, (size_t)cells * sizeof(int32_t), "occupied cells"));
    PF_TRY(pf_cuda_reserve(&net->counts,
                           (size_t)(parts + 1) * sizeof(int64_t) + (size_t)parts * sizeof(int32_t),
                           "occupied cells"));
    int64_t *const first = pf_cuda_data<int64_t>(&net->counts);
    int32_t *const count = (int32_t *)(first + parts + 1);
    count_occupied<<<pf_blocks(parts, 64), 64, 0, stream>>>(count, density, threshold, cells);
    PF_TRY(pf_launched(net->net.dev, "occupied cells"));
    PF_TRY(pf_cuda_scan(net->net.dev, first, count, parts));
    write_occupied<<<pf_blocks(parts, 64), 64, 0, stream>>>(pf_cuda_data<int32_t>(&net->list),
                                                           first, density, threshold, cells);
    PF_TRY(pf_launched(net->net.dev, "occupied cells"));
    PF_CUDA_TRY(cudaMemcpyAsync(listed, first + parts, sizeof *listed, cudaMemcpyDeviceToHost,
                                stream),
                "number of cells");
    return pf_cuda_sync(net->net.dev);
}

struct draws {                          // of an update, from number `from` on
    float *x, *density;
    int32_t *cell;
    int64_t from, n, update, listed;
    const int32_t *list;
    int32_t R;
    float bound;
    uint64_t seed;
};

static __global__ void
draw(const __grid_constant__ draws d)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < d.n)
        d.cell[i] = (int32_t)pf_nerf_draw(d.x + 3 * i, d.from + i, d.update, d.R, d.bound, d.list,
                                          d.listed, d.seed);
}

/* The greatest of a cell's draws, as bits: those of numbers from 0 on are in their order, and what
 * was never drawn is -1. */
static __global__ void
keep_greatest(int *fresh, const __grid_constant__ draws d)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < d.n && d.density[i] >= 0)
        atomicMax(fresh + d.cell[i], __float_as_int(d.density[i]));
}

static __global__ void
fade(float *density, const int *fresh, int64_t cells)
{
    const int64_t c = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (c < cells)
        density[c] = pf_nerf_faded(density[c], fresh[c] < 0 ? -1 : __int_as_float(fresh[c]));
}

static pf_err
update_grid(struct nerf_cuda *net, float *density, int64_t update, uint64_t seed)
{
    const int64_t cells = net->net.host->param[PF_NERF_GRID].n;
    const cudaStream_t stream = pf_cuda_stream(net->net.dev);
    struct draws d = {};
    if (update >= PF_NERF_WHOLE)
        PF_TRY(list_occupied(net, &d.listed, density, cells));
    PF_TRY(pf_cuda_reserve(&net->fresh, (size_t)cells * sizeof(int), "the grid of densities"));
    PF_TRY(pf_cuda_reserve(&net->draws, (size_t)CHUNK * 5 * sizeof(float), "draws of cells"));
    int *const fresh = pf_cuda_data<int>(&net->fresh);
    PF_CUDA_TRY(cudaMemsetAsync(fresh, 0xff, (size_t)cells * sizeof *fresh, stream),
                "clearing the grid of densities");
    d.x = pf_cuda_data<float>(&net->draws);
    d.density = d.x + 3 * CHUNK;
    d.cell = (int32_t *)(d.density + CHUNK);
    d.update = update;
    d.list = pf_cuda_data<int32_t>(&net->list);
    d.R = host_of(net)->R;
    d.bound = host_of(net)->grid.bound;
    d.seed = seed;
    const int64_t all = pf_nerf_draws(update, cells, d.listed);
    for (d.from = 0; d.from < all; d.from += CHUNK) {
        d.n = all - d.from < CHUNK ? all - d.from : CHUNK;
        draw<<<pf_blocks(d.n, THREADS), THREADS, 0, stream>>>(d);
        PF_TRY(pf_launched(net->net.dev, "draws of cells"));
        PF_TRY(nerf_density(&net->net, d.density, d.x, d.n));
        keep_greatest<<<pf_blocks(d.n, THREADS), THREADS, 0, stream>>>(fresh, d);
        PF_TRY(pf_launched(net->net.dev, "grid of densities"));
    }
    fade<<<pf_blocks(cells, THREADS), THREADS, 0, stream>>>(density, fresh, cells);
    return pf_launched(net->net.dev, "grid of densities");
}

static pf_err
nerf_density_grid(struct pf_net_cuda *base, struct pf_density_grid *g, bool train, uint64_t seed,
                  int step)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    const int64_t cells = base->host->param[PF_NERF_GRID].n;
    float *const density = base->value + offset_of(net, PF_NERF_GRID);
    if (train && step % PF_NERF_EVERY == 0)
        PF_TRY(update_grid(net, density, step / PF_NERF_EVERY, seed));
    *g = pf_nerf_grid_of(host_of(net), density);
    return find_threshold(net, &g->threshold, density, cells);
}

// ---- life ----

static void
nerf_free(struct pf_net_cuda *base)
{
    struct nerf_cuda *const net = (struct nerf_cuda *)base;
    pf_net_cuda_release(base);
    pf_cuda_free(net->fixed);
    struct pf_cuda_buffer *const all[] = {&net->values, &net->sums, &net->fresh,
                                          &net->draws,  &net->list, &net->counts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pf_cuda_release(all[i]);
    free(net);
}

static const struct pf_net_cuda_ops ops = {
    nerf_changed, nerf_density, nerf_forward, nerf_backward, nerf_clear, nerf_collect, nerf_free,
    nerf_density_grid,
};

pf_err
pf_nerf_cuda_new(struct pf_net_cuda **out, pf_dev *dev, struct pf_net *host)
{
    const size_t table = (size_t)host->param[PF_NERF_TABLE].n;
    struct nerf_cuda *const net = (struct nerf_cuda *)calloc(1, sizeof *net);
    pf_err err = net ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a field");
    *out = NULL;
    PF_TRY(err);
    err = pf_net_cuda_init(&net->net, &ops, dev, host);
    net->net.chunk = CHUNK;
    if (err == PF_OK && !(net->fixed = (long long *)pf_cuda_malloc(table * sizeof *net->fixed)))
        err = pf_fail(PF_ENOMEM, "no GPU memory for the gradients of %lld numbers",
                      (long long)table);
    if (err != PF_OK) {
        nerf_free(&net->net);
        return err;
    }
    *out = &net->net;
    return PF_OK;
}
