/* hash.cu - the fast field on a GPU: teams of 256 threads, a block each (hash_team.h).
 *
 * A team takes every gridDim.x-th 64 points.  Its weights, packed, and all rows of these lie in
 * shared memory: production sizes (levels 10 x 2, hidden 64, colour 32, features 13) take 221 KB
 * backward, 97 KB forward, 36 KB for the sdf alone: 1, 2 and 4 teams a multiprocessor.  Larger
 * fields take 32 points at a time; the largest use global memory.
 *
 * Gradients of the networks add up in shared memory over all points of a team and are folded team
 * by team at the end.  Gradients of the grid are 64-bit fixed-point atomics, so their order means
 * nothing.  The unit is 2^-48 = 4e-15 and the range 2^15 up to inv_s 512; beyond that both grow
 * with inv_s, as gradients do.  In 1000 steps of configs/neus.yaml on the CPU an entry's gradient
 * was 0.03 at most and 5e-10 at the last percentile: a millionth of the range, and 10^5 units.
 *
 * A point takes 6.7 k multiply-adds forward and 19.5 k backward, which computes the values again.
 * A step of configs/neus.yaml has 1024 rays with 30 k samples and 2.3 k points near the surface:
 * 1.7 GFLOP, 28 us at 60 TFLOP/s of f32.  Points and values are 32 k x 140 B once and the table is
 * 1.6 MB from L2: 2 us.  5 M atomics of 8 B, 2 and 2 in one sector, take 25 us beside the products:
 * L2 does some 100 of them a nanosecond.  A million distances (the mesh extractor) are 3.1 GFLOP,
 * 50 us, and 16 MB, 5 us. */
#include <cstdlib>

#include "kernels/field/hash/hash_team.h"
#include "kernels/field/net.cuh"

enum { THREADS = 256 };

struct variant {                // how one kind of work runs
    int P;                      // points
    bool shared;                // or global memory
    int64_t floats;             // of a team's memory
    int blocks;                 // at most, at once
};

struct hash_cuda {
    struct pf_net_cuda net;     // first
    struct variant how[3];      // by enum pf_team_kind
    long long *fixed;           // [numbers of the table] gradients, in units of 1 / scale
    float scale;
    struct pf_cuda_buffer part, global;
    const float *x, *dir;       // the tape
    int64_t points;
};

struct work {                   // of all kernels; what a kernel does not use is NULL
    struct pf_hash_shape f;
    float *global;              // the teams' memory where it is not shared
    int64_t floats, n;
    float *sdf, *grad, *rgb;
    const float *x, *dir, *d_sdf, *d_grad, *d_rgb;
    long long *fixed;
    float scale;
    float *part;                // [blocks, weights]
};

extern __shared__ __align__(16) float shared_memory[];

template <int P, bool SHARED, enum pf_team_kind KIND> static __global__ void
__launch_bounds__(THREADS, KIND == PF_TEAM_BACKWARD ? 1 : KIND == PF_TEAM_FORWARD ? 2 : 4)
teams(const __grid_constant__ work w)
{
    const struct pf_team team = {(int)threadIdx.x, THREADS};
    float *const memory = SHARED ? shared_memory : w.global + blockIdx.x * w.floats;
    struct pf_hash_team t;
    pf_hash_team_lay_out(&t, memory, &w.f, P, KIND);
    pf_hash_team_start(&team, &t, memory, w.floats, &w.f, KIND == PF_TEAM_SDF ? 2 : PF_HASH_LAYERS);
    for (int64_t from = (int64_t)blockIdx.x * P; from < w.n; from += (int64_t)gridDim.x * P) {
        if (KIND == PF_TEAM_SDF)
            pf_hash_team_sdf(&team, &t, &w.f, w.sdf, w.x, from, w.n);
        else if (KIND == PF_TEAM_FORWARD)
            pf_hash_team_forward(&team, &t, &w.f, w.sdf, w.grad, w.rgb, w.x, w.dir, from, w.n);
        else
            pf_hash_team_backward(&team, &t, &w.f, w.fixed, w.scale, w.d_sdf, w.d_grad, w.d_rgb,
                                  w.x, w.dir, from, w.n);
    }
    if (KIND == PF_TEAM_BACKWARD)
        for (int64_t i = threadIdx.x; i < w.f.weights; i += THREADS)
            w.part[blockIdx.x * w.f.weights + i] = t.sums[i];
}

/* The blocks' sums, in their order.  One thread a weight; reads coalesce. */
static __global__ void
fold(float *grad, const float *part, int blocks, int64_t weights)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= weights)
        return;
    float sum = 0;
    for (int b = 0; b < blocks; b++)
        sum += part[b * weights + i];
    grad[i] += sum;
}

static __global__ void
from_fixed(float *grad, const long long *fixed, int64_t n, float unit)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        grad[i] = (float)fixed[i] * unit;
}

// ---- which kernel ----

typedef void (*kernel)(work);

template <enum pf_team_kind KIND> static kernel
kernel_of_kind(const struct variant *how)
{
    return !how->shared      ? teams<64, false, KIND>
           : how->P == 64 ? teams<64, true, KIND>
                          : teams<32, true, KIND>;
}

static kernel
kernel_of(const struct variant *how, enum pf_team_kind kind)
{
    return kind == PF_TEAM_SDF       ? kernel_of_kind<PF_TEAM_SDF>(how)
           : kind == PF_TEAM_FORWARD ? kernel_of_kind<PF_TEAM_FORWARD>(how)
                                     : kernel_of_kind<PF_TEAM_BACKWARD>(how);
}

static pf_err
choose(struct variant *how, const struct pf_cuda *cuda, const struct pf_hash_shape *f,
       enum pf_team_kind kind)
{
    struct pf_hash_team unused;
    int each = 1;
    for (int P = 64; P >= 32; P /= 2) {
        how->P = P;
        how->shared = true;
        how->floats = pf_hash_team_lay_out(&unused, NULL, f, P, kind);
        const size_t bytes = (size_t)how->floats * sizeof(float);
        if (bytes > cuda->shared_bytes)
            continue;
        const void *const function = (const void *)kernel_of(how, kind);
        PF_CUDA_TRY(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         (int)cuda->shared_bytes),
                    "shared memory for the field");     // other fields' rows are larger
        PF_CUDA_TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, function, THREADS, bytes),
                    "blocks of the field");
        how->blocks = cuda->processors * (each > 0 ? each : 1);
        return PF_OK;
    }
    how->P = 64;
    how->shared = false;
    how->floats = (pf_hash_team_lay_out(&unused, NULL, f, 64, kind) + 31) / 32 * 32;
    how->blocks = 2 * cuda->processors;
    return PF_OK;
}

static struct pf_hash_shape
shape_of(const struct hash_cuda *net)
{
    const struct pf_hash *const host = (const struct pf_hash *)net->net.host;
    return pf_hash_shape_of(host, net->net.value, net->net.value + host->param[0].n);
}

static int
blocks_for(const struct variant *how, int64_t n)
{
    const int64_t some = (n + how->P - 1) / how->P;
    return (int)(some < how->blocks ? some : how->blocks);
}

static pf_err
launch(struct hash_cuda *net, struct work *w, enum pf_team_kind kind)
{
    const struct variant *const how = &net->how[kind];
    const int blocks = blocks_for(how, w->n);
    w->f = shape_of(net);
    w->floats = how->floats;
    if (!how->shared)
        PF_TRY(pf_cuda_reserve(&net->global, (size_t)(how->blocks * how->floats) * sizeof(float),
                               "the field's points"));
    w->global = pf_cuda_data<float>(&net->global);
    kernel_of(how, kind)<<<blocks, THREADS, how->shared ? (size_t)how->floats * sizeof(float) : 0,
                           pf_cuda_stream(net->net.dev)>>>(*w);
    return pf_launched(net->net.dev, "hash field");
}

// ---- the network as net.cuh wants it ----

static pf_err
hash_changed(struct pf_net_cuda *base)
{
    (void)base;                 // kernels read the parameters themselves
    return PF_OK;
}

static pf_err
hash_sdf(struct pf_net_cuda *base, float *sdf, const float *x, int64_t n)
{
    struct work w = {};
    if (n == 0)
        return PF_OK;
    w.sdf = sdf;
    w.x = x;
    w.n = n;
    return launch((struct hash_cuda *)base, &w, PF_TEAM_SDF);
}

static pf_err
hash_forward(struct pf_net_cuda *base, float *sdf, float *grad, float *rgb, const float *x,
             const float *dir, int64_t n, bool tape)
{
    struct hash_cuda *const net = (struct hash_cuda *)base;
    struct work w = {};
    if (tape) {
        net->x = x;
        net->dir = dir;
        net->points = n;
    }
    if (n == 0)
        return PF_OK;
    w.sdf = sdf;
    w.grad = grad;
    w.rgb = rgb;
    w.x = x;
    w.dir = dir;
    w.n = n;
    return launch(net, &w, PF_TEAM_FORWARD);
}

static pf_err
hash_backward(struct pf_net_cuda *base, const float *d_sdf, const float *d_grad, const float *d_rgb)
{
    struct hash_cuda *const net = (struct hash_cuda *)base;
    const struct pf_hash *const host = (const struct pf_hash *)base->host;
    const struct variant *const how = &net->how[PF_TEAM_BACKWARD];
    const cudaStream_t stream = pf_cuda_stream(base->dev);
    struct work w = {};
    if (net->points == 0)
        return PF_OK;
    PF_TRY(pf_cuda_reserve(&net->part, (size_t)(how->blocks * host->weights) * sizeof(float),
                           "the field's gradients"));
    w.part = pf_cuda_data<float>(&net->part);
    w.x = net->x;
    w.dir = net->dir;
    w.n = net->points;
    w.d_sdf = d_sdf;
    w.d_grad = d_grad;
    w.d_rgb = d_rgb;
    w.fixed = net->fixed;
    w.scale = net->scale;
    PF_TRY(launch(net, &w, PF_TEAM_BACKWARD));
    fold<<<pf_blocks(host->weights, 128), 128, 0, stream>>>(
        base->grad + host->param[0].n, w.part, blocks_for(how, net->points), host->weights);
    return pf_launched(base->dev, "hash field's gradients");
}

static pf_err
hash_clear(struct pf_net_cuda *base, float inv_s)
{
    struct hash_cuda *const net = (struct hash_cuda *)base;
    const cudaStream_t stream = pf_cuda_stream(base->dev);
    const int64_t table = base->host->param[0].n;
    int exponent = 0;
    frexpf(inv_s, &exponent);                   // inv_s < 2^exponent
    net->scale = ldexpf(1, 57 - (exponent > 9 ? exponent : 9));
    PF_CUDA_TRY(cudaMemsetAsync(net->fixed, 0, (size_t)table * sizeof *net->fixed, stream),
                "clearing gradients");
    PF_CUDA_TRY(cudaMemsetAsync(base->grad + table, 0,
                                (size_t)(base->count - table) * sizeof(float), stream),
                "clearing gradients");
    return PF_OK;
}

static pf_err
hash_collect(struct pf_net_cuda *base)
{
    struct hash_cuda *const net = (struct hash_cuda *)base;
    const int64_t table = base->host->param[0].n;
    from_fixed<<<pf_blocks(table, 256), 256, 0, pf_cuda_stream(base->dev)>>>(
        base->grad, net->fixed, table, 1 / net->scale);
    return pf_launched(base->dev, "hash grid's gradients");
}

static void
hash_free(struct pf_net_cuda *base)
{
    struct hash_cuda *const net = (struct hash_cuda *)base;
    pf_net_cuda_release(base);
    pf_cuda_free(net->fixed);
    pf_cuda_release(&net->part);
    pf_cuda_release(&net->global);
    free(net);
}

static const struct pf_net_cuda_ops ops = {
    hash_changed, hash_sdf, hash_forward, hash_backward, hash_clear, hash_collect, hash_free,
};

pf_err
pf_hash_cuda_new(struct pf_net_cuda **out, pf_dev *dev, struct pf_net *host)
{
    const size_t table = (size_t)host->param[0].n;
    struct hash_cuda *const net = (struct hash_cuda *)calloc(1, sizeof *net);
    pf_err err = net ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a field");
    *out = NULL;
    PF_TRY(err);
    err = pf_net_cuda_init(&net->net, &ops, dev, host);
    net->net.chunk = INT64_C(1) << 24;          // no tape but the points
    const struct pf_hash_shape f = shape_of(net);
    for (int kind = 0; kind < 3 && err == PF_OK; kind++)
        err = choose(&net->how[kind], dev->cuda, &f, (enum pf_team_kind)kind);
    net->scale = 1;
    if (err == PF_OK && !(net->fixed = (long long *)pf_cuda_malloc(table * sizeof *net->fixed)))
        err = pf_fail(PF_ENOMEM, "no GPU memory for the gradients of %lld numbers",
                      (long long)table);
    if (err != PF_OK) {
        hash_free(&net->net);
        return err;
    }
    *out = &net->net;
    return PF_OK;
}
