/* sample.cu - where along rays a field is evaluated, on a GPU: through the grid of distances
 * ("hash", occupancy.c), the original's hierarchy ("mlp", neus_sample.c) or the grid of densities
 * ("nerf", density.c).
 *
 * One thread a ray, twice: it counts its samples, a scan finds their places, it writes them.  A
 * walk reads some 100 distances of 4 bytes each from L2, one after the other: 2048 rays take as
 * long as one, about 20 us a pass; bytes (28 a sample) and arithmetic do not count. */
#include <cstdlib>

#include "kernels/field/net.cuh"
#include "kernels/field/rays/density.h"
#include "kernels/field/rays/neus_sample.h"

enum { RAY_THREADS = 64 };

// ---- memory ----

pf_err
pf_cuda_reserve(struct pf_cuda_buffer *b, size_t bytes, const char *what)
{
    if (bytes <= b->bytes && b->data)
        return PF_OK;
    pf_cuda_release(b);
    bytes = (bytes + bytes / 4 + 255) / 256 * 256;
    b->data = pf_cuda_malloc(bytes ? bytes : 256);
    if (!b->data)
        return pf_fail(PF_ENOMEM, "no %.1f MB of GPU memory for %s", (double)bytes / 1e6, what);
    b->bytes = bytes;
    return PF_OK;
}

void
pf_cuda_release(struct pf_cuda_buffer *b)
{
    pf_cuda_free(b->data);                      // waits for what may still use it
    b->data = NULL;
    b->bytes = 0;
}

void
pf_cuda_samples_release(struct pf_cuda_samples *s)
{
    pf_cuda_release(&s->index);
    pf_cuda_release(&s->points);
    pf_cuda_release(&s->place);
    pf_cuda_release(&s->depths);
    free(s->host_first);
    s->host_first = NULL;
}

static pf_err
reserve_rays(struct pf_cuda_samples *s, int64_t rays, int32_t **counts)
{
    PF_TRY(pf_cuda_reserve(&s->index,
                           (size_t)(rays + 1) * sizeof(int64_t) + (size_t)rays * sizeof(int32_t),
                           "rays"));
    int64_t *const host = (int64_t *)realloc(s->host_first, (size_t)(rays + 1) * sizeof(int64_t));
    if (!host)
        return pf_fail(PF_ENOMEM, "no memory for %lld rays", (long long)rays);
    s->host_first = host;
    s->first = pf_cuda_data<int64_t>(&s->index);
    *counts = (int32_t *)(s->first + rays + 1);
    return PF_OK;
}

static pf_err
reserve_points(struct pf_cuda_samples *s, int64_t n, bool skipped)
{
    PF_TRY(pf_cuda_reserve(&s->points, (size_t)(n ? n : 1) * 8 * sizeof(float), "samples"));
    s->x = pf_cuda_data<float>(&s->points);
    s->dir = s->x + 3 * n;
    s->dist = s->dir + 3 * n;
    s->skipped = skipped ? (int32_t *)(s->dist + n) : NULL;
    return PF_OK;
}

// ---- counts to places ----

static pf_err
find_places(pf_dev *dev, struct pf_cuda_samples *s, const int32_t *counts, int64_t rays)
{
    const cudaStream_t stream = pf_cuda_stream(dev);
    const int64_t from = s->want_first ? 0 : rays;
    PF_TRY(pf_cuda_scan(dev, s->first, counts, rays));
    PF_CUDA_TRY(cudaMemcpyAsync(s->host_first + from, s->first + from,
                                (size_t)(rays + 1 - from) * sizeof(int64_t), cudaMemcpyDeviceToHost,
                                stream),
                "number of samples");
    PF_CUDA_TRY(cudaStreamSynchronize(stream), "the GPU failed");
    s->rays = rays;
    s->n = s->host_first[rays];
    return PF_OK;
}

// ---- "hash": through the grid ----

static __global__ void
cell_centres(float *x, const __grid_constant__ pf_ray_grid g, int64_t from, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        pf_ray_cell_centre(x + 3 * i, &g, from + i);
}

pf_err
pf_cuda_grid_update(struct pf_net_cuda *net, struct pf_cuda_buffer *grid,
                    const struct pf_neus_config *conf)
{
    const struct pf_ray_grid g = pf_ray_grid_of(conf, NULL);
    const int64_t cells = (int64_t)g.R * g.R * g.R, most = INT64_C(1) << 20;
    const int64_t numbers = 3 * (cells < most ? cells : most);
    pf_dev *const dev = net->dev;
    const size_t mark = pf_dev_mark(dev);
    pf_tensor x;
    PF_TRY(pf_cuda_reserve(grid, (size_t)cells * sizeof(float), "the grid of distances"));
    PF_TRY(pf_dev_alloc(dev, &x, PF_F32, 1, &numbers));
    pf_err err = PF_OK;
    for (int64_t i = 0; i < cells && err == PF_OK; i += most) {
        const int64_t n = cells - i < most ? cells - i : most;
        cell_centres<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(dev)>>>((float *)x.data, g, i, n);
        if ((err = pf_launched(dev, "grid of distances")) == PF_OK)
            err = net->ops->sdf(net, pf_cuda_data<float>(grid) + i, (const float *)x.data, n);
    }
    pf_dev_reset(dev, mark);
    return err;
}

static __global__ void
count_samples(int32_t *count, const __grid_constant__ pf_ray_grid g, const float *origin,
              const float *dir, int64_t rays, float inv_s)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    struct pf_stretch stretch[PF_MOST_STRETCHES];
    float spacing;
    if (r >= rays)
        return;
    const float o[3] = {origin[3 * r], origin[3 * r + 1], origin[3 * r + 2]};
    const float d[3] = {dir[3 * r], dir[3 * r + 1], dir[3 * r + 2]};
    const int n = pf_ray_walk(stretch, &g, o, d, inv_s);
    count[r] = pf_ray_plan(&spacing, &g, stretch, n, inv_s);
}

static __global__ void
write_samples(float *x, float *out_dir, float *dist, const int64_t *first,
              const __grid_constant__ pf_ray_grid g, const float *origin, const float *dir,
              int64_t rays, float inv_s, bool train, uint64_t seed, int step)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    struct pf_stretch stretch[PF_MOST_STRETCHES];
    if (r >= rays)
        return;
    const uint64_t number = (uint64_t)(step > 0 ? step : 0) * (uint64_t)rays + (uint64_t)r;
    const float shift = train ? pf_rng_uniform(seed, PF_RNG_PERTURB, number) : 0.5f;
    const float o[3] = {origin[3 * r], origin[3 * r + 1], origin[3 * r + 2]};
    const float d[3] = {dir[3 * r], dir[3 * r + 1], dir[3 * r + 2]};
    pf_ray_write(x + 3 * first[r], out_dir + 3 * first[r], dist + first[r], stretch, &g, o, d,
                 inv_s, shift);
}

static pf_err
sample_grid(struct pf_net_cuda *net, struct pf_cuda_samples *s, const struct pf_neus_config *conf,
            const float *distance, const float *origin, const float *dir, int64_t rays, float inv_s,
            bool train, uint64_t seed, int step)
{
    const struct pf_ray_grid g = pf_ray_grid_of(conf, distance);
    const unsigned blocks = pf_blocks(rays, RAY_THREADS);
    const cudaStream_t stream = pf_cuda_stream(net->dev);
    int32_t *counts = NULL;
    PF_TRY(reserve_rays(s, rays, &counts));
    count_samples<<<blocks, RAY_THREADS, 0, stream>>>(counts, g, origin, dir, rays, inv_s);
    PF_TRY(pf_launched(net->dev, "samples"));
    PF_TRY(find_places(net->dev, s, counts, rays));
    PF_TRY(reserve_points(s, s->n, false));
    s->slots = s->n;
    write_samples<<<blocks, RAY_THREADS, 0, stream>>>(s->x, s->dir, s->dist, s->first, g, origin,
                                                      dir, rays, inv_s, train, seed, step);
    return pf_launched(net->dev, "samples");
}

// ---- cells near the surface ----

enum { CELLS = 64 };            // cells that a thread looks at, one after the other

static __device__ __forceinline__ bool
is_near(const struct pf_ray_grid *g, int64_t cell, float most)
{
    return fabsf(g->distance[cell]) < most;
}

static __global__ void
count_near(int32_t *count, const __grid_constant__ pf_ray_grid g, int64_t cells, float most)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, from = t * CELLS;
    int32_t n = 0;
    if (from >= cells)
        return;
    for (int64_t c = from; c < from + CELLS && c < cells; c++)
        n += is_near(&g, c, most);
    count[t] = n;
}

static __global__ void
list_near(int32_t *list, const int64_t *first, const __grid_constant__ pf_ray_grid g, int64_t cells,
          float most)
{
    const int64_t t = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, from = t * CELLS;
    if (from >= cells)
        return;
    int64_t at = first[t];
    for (int64_t c = from; c < from + CELLS && c < cells; c++)
        if (is_near(&g, c, most))
            list[at++] = (int32_t)c;
}

pf_err
pf_cuda_near_cells(pf_dev *dev, struct pf_cuda_cells *to, const struct pf_ray_grid *g, float reach)
{
    const int64_t cells = (int64_t)g->R * g->R * g->R, parts = (cells + CELLS - 1) / CELLS;
    const float most = pf_ray_cell_reach(g, reach);
    const cudaStream_t stream = pf_cuda_stream(dev);
    PF_TRY(pf_cuda_reserve(&to->list, (size_t)cells * sizeof(int32_t), "cells near the surface"));
    PF_TRY(pf_cuda_reserve(&to->counts,
                           (size_t)(parts + 1) * sizeof(int64_t) + (size_t)parts * sizeof(int32_t),
                           "cells near the surface"));
    int64_t *const first = pf_cuda_data<int64_t>(&to->counts);
    int32_t *const count = (int32_t *)(first + parts + 1);
    count_near<<<pf_blocks(parts, 64), 64, 0, stream>>>(count, *g, cells, most);
    PF_TRY(pf_cuda_scan(dev, first, count, parts));
    list_near<<<pf_blocks(parts, 64), 64, 0, stream>>>(pf_cuda_data<int32_t>(&to->list), first, *g,
                                                       cells, most);
    PF_TRY(pf_launched(dev, "cells near the surface"));
    PF_CUDA_TRY(cudaMemcpyAsync(&to->n, first + parts, sizeof to->n, cudaMemcpyDeviceToHost,
                                stream),
                "number of cells");
    PF_CUDA_TRY(cudaStreamSynchronize(stream), "the GPU failed");
    return PF_OK;
}

void
pf_cuda_cells_release(struct pf_cuda_cells *cells)
{
    pf_cuda_release(&cells->list);
    pf_cuda_release(&cells->counts);
}

// ---- "mlp": the original's hierarchy, for the rays that meet the cube ----

struct hits {                   // the n rays that meet the cube; what has a depth is [depths, n]
    int64_t n;
    float *origin, *dir;
    float *z, *sdf, *weight, *z_new, *sdf_new;
    float *x;                   // [max(coarse, fine), n, 3]
};

struct ray {
    float o[3], d[3];
};

static __device__ __forceinline__ ray
ray_at(const float *origin, const float *dir, int64_t r)
{
    return {{origin[3 * r], origin[3 * r + 1], origin[3 * r + 2]},
            {dir[3 * r], dir[3 * r + 1], dir[3 * r + 2]}};
}

static __global__ void
find_hits(int32_t *hit, const float *origin, const float *dir, int64_t rays, double bound)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= rays)
        return;
    const struct ray v = ray_at(origin, dir, r);
    hit[r] = pf_ray_meets(v.o, v.d, bound);
}

static __global__ void
gather_hits(const struct hits h, int coarse, const int64_t *place, const float *origin,
            const float *dir, const float *offset, int64_t rays)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= rays || place[r + 1] == place[r])
        return;
    const struct ray v = ray_at(origin, dir, r);
    const int64_t i = place[r];
    for (int k = 0; k < 3; k++) {
        h.origin[3 * i + k] = v.o[k];
        h.dir[3 * i + k] = v.d[k];
    }
    pf_ray_coarse(h.z + i, h.n, coarse, v.o, v.d, offset ? offset[r] : 0);
}

// x [depths, n, 3] at z [depths, n].
static __global__ void
points_along(const struct hits h, const float *z, int depths)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= h.n * depths)
        return;
    const int64_t r = i % h.n;
    pf_ray_point(h.x + 3 * i, h.origin + 3 * r, h.dir + 3 * r, z[i]);
}

static __global__ void
upsample(const struct hits h, int n, int fine, float inv_s, float bound)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= h.n)
        return;
    const struct ray v = ray_at(h.origin, h.dir, r);
    pf_ray_upsample(h.z_new + r, fine, h.z + r, h.sdf + r, h.weight + r, h.n, n, v.o, v.d, inv_s,
                    bound);
}

static __global__ void
merge(const struct hits h, int n, int fine, bool last)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r < h.n)
        pf_ray_merge(h.z + r, h.sdf + r, n, h.z_new + r, last ? NULL : h.sdf_new + r, fine, h.n);
}

// place [rays + 1]: running count of the rays that meet the cube.  x NULL: only count samples.
static __global__ void
pack(int32_t *count, float *x, float *dir, float *dist, int32_t *skipped, const int64_t *first,
     const struct hits h, const int64_t *place, int64_t rays, int depths, float bound)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= rays)
        return;
    const int64_t i = place[r];
    const bool hit = place[r + 1] != i;
    const struct ray v = hit ? ray_at(h.origin, h.dir, i) : ray{};
    const int64_t at = x ? first[r] : 0;
    const int n = hit ? pf_ray_pack(x ? x + 3 * at : NULL, dir + 3 * at, dist + at, skipped + at,
                                    h.z + i, h.n, depths, v.o, v.d, bound)
                      : 0;
    if (!x)
        count[r] = n;
}

static pf_err
reserve_hits(struct hits *h, struct pf_cuda_samples *s, int64_t n, int depths, int fine,
             int64_t widest)
{
    const int64_t floats = n * (6 + 3 * (int64_t)depths + 2 * fine + 3 * widest);
    PF_TRY(pf_cuda_reserve(&s->depths, (size_t)(floats ? floats : 1) * sizeof(float),
                           "depths of rays"));
    h->n = n;
    h->origin = pf_cuda_data<float>(&s->depths);
    h->dir = h->origin + 3 * n;
    h->z = h->dir + 3 * n;
    h->sdf = h->z + n * depths;
    h->weight = h->sdf + n * depths;
    h->z_new = h->weight + n * depths;
    h->sdf_new = h->z_new + n * fine;
    h->x = h->sdf_new + n * fine;
    return PF_OK;
}

static pf_err
sdf_along(struct pf_net_cuda *net, const struct hits *h, float *sdf, const float *z, int depths)
{
    points_along<<<pf_blocks(h->n * depths, 256), 256, 0, pf_cuda_stream(net->dev)>>>(*h, z,
                                                                                      depths);
    PF_TRY(pf_launched(net->dev, "depths of rays"));
    return net->ops->sdf(net, sdf, h->x, h->n * depths);
}

static pf_err
find_depths(struct pf_net_cuda *net, const struct hits *h, const struct pf_neus_sampler *sampler)
{
    const unsigned blocks = pf_blocks(h->n, RAY_THREADS);
    const cudaStream_t stream = pf_cuda_stream(net->dev);
    int n = sampler->coarse;
    PF_TRY(sdf_along(net, h, h->sdf, h->z, n));
    for (int round = 0; round < sampler->rounds; round++, n += sampler->fine) {
        const bool last = round == sampler->rounds - 1;
        upsample<<<blocks, RAY_THREADS, 0, stream>>>(*h, n, sampler->fine, 64 * ldexpf(1, round),
                                                     (float)sampler->bound);
        PF_TRY(pf_launched(net->dev, "depths of rays"));
        if (!last)
            PF_TRY(sdf_along(net, h, h->sdf_new, h->z_new, sampler->fine));
        merge<<<blocks, RAY_THREADS, 0, stream>>>(*h, n, sampler->fine, last);
        PF_TRY(pf_launched(net->dev, "depths of rays"));
    }
    return PF_OK;
}

static pf_err
sample_hierarchy(struct pf_net_cuda *net, struct pf_cuda_samples *s,
                 const struct pf_neus_config *conf, const float *origin, const float *dir,
                 int64_t rays, const float *offset)
{
    const struct pf_neus_sampler sampler = pf_neus_sampler_of(conf);
    const int depths = pf_neus_depths(&sampler);
    const unsigned blocks = pf_blocks(rays, RAY_THREADS);
    const cudaStream_t stream = pf_cuda_stream(net->dev);
    const bool want_first = s->want_first;
    int32_t *counts = NULL;
    struct hits h;
    PF_TRY(pf_neus_sampler_check(&sampler));
    PF_TRY(pf_cuda_reserve(&s->place, (size_t)(rays + 1) * sizeof(int64_t), "rays"));
    int64_t *const place = pf_cuda_data<int64_t>(&s->place);
    PF_TRY(reserve_rays(s, rays, &counts));
    find_hits<<<blocks, RAY_THREADS, 0, stream>>>(counts, origin, dir, rays, sampler.bound);
    s->want_first = false;
    pf_err err = find_places(net->dev, s, counts, rays);
    s->want_first = want_first;
    PF_TRY(err);
    PF_TRY(reserve_hits(&h, s, s->n, depths, sampler.fine,
                        sampler.coarse > sampler.fine ? sampler.coarse : sampler.fine));
    PF_CUDA_TRY(cudaMemcpyAsync(place, s->first, (size_t)(rays + 1) * sizeof(int64_t),
                                cudaMemcpyDeviceToDevice, stream),
                "rays");
    if (h.n) {
        gather_hits<<<blocks, RAY_THREADS, 0, stream>>>(h, sampler.coarse, place, origin, dir,
                                                        offset, rays);
        PF_TRY(pf_launched(net->dev, "depths of rays"));
        PF_TRY(find_depths(net, &h, &sampler));
    }
    pack<<<blocks, RAY_THREADS, 0, stream>>>(counts, NULL, NULL, NULL, NULL, NULL, h, place, rays,
                                             depths, (float)sampler.bound);
    PF_TRY(find_places(net->dev, s, counts, rays));
    PF_TRY(reserve_points(s, s->n, true));
    s->slots = rays * depths;
    pack<<<blocks, RAY_THREADS, 0, stream>>>(NULL, s->x, s->dir, s->dist, s->skipped, s->first, h,
                                             place, rays, depths, (float)sampler.bound);
    return pf_launched(net->dev, "samples");
}

// ---- "nerf": through the grid of densities ----

// x NULL: only count samples.
static __global__ void
march(int32_t *count, float *x, float *out_dir, float *dist, const int64_t *first,
      const __grid_constant__ pf_density_grid g, const float *origin, const float *dir,
      int64_t rays)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= rays)
        return;
    const struct ray v = ray_at(origin, dir, r);
    const int64_t at = x ? first[r] : 0;
    const int n = pf_density_march(x ? x + 3 * at : NULL, out_dir + 3 * at, dist + at, &g, v.o,
                                   v.d);
    if (!x)
        count[r] = n;
}

static pf_err
sample_density(struct pf_net_cuda *net, struct pf_cuda_samples *s, const float *origin,
               const float *dir, int64_t rays, bool train, uint64_t seed, int step)
{
    const unsigned blocks = pf_blocks(rays, RAY_THREADS);
    const cudaStream_t stream = pf_cuda_stream(net->dev);
    struct pf_density_grid g;
    int32_t *counts = NULL;
    PF_TRY(net->ops->density_grid(net, &g, train, seed, step));
    PF_TRY(reserve_rays(s, rays, &counts));
    march<<<blocks, RAY_THREADS, 0, stream>>>(counts, NULL, NULL, NULL, NULL, g, origin, dir, rays);
    PF_TRY(pf_launched(net->dev, "samples"));
    PF_TRY(find_places(net->dev, s, counts, rays));
    PF_TRY(reserve_points(s, s->n, false));
    s->slots = s->n;
    march<<<blocks, RAY_THREADS, 0, stream>>>(NULL, s->x, s->dir, s->dist, s->first, g, origin, dir,
                                              rays);
    return pf_launched(net->dev, "samples");
}

pf_err
pf_cuda_sample(struct pf_net_cuda *net, struct pf_cuda_samples *s,
               const struct pf_neus_config *conf, const float *distance, const float *origin,
               const float *dir, int64_t rays, float inv_s, const float *offset, uint64_t seed,
               int step)
{
    if (net->ops->density_grid)
        return sample_density(net, s, origin, dir, rays, offset != NULL, seed, step);
    if (distance)
        return sample_grid(net, s, conf, distance, origin, dir, rays, inv_s, offset != NULL, seed,
                           step);
    return sample_hierarchy(net, s, conf, origin, dir, rays, offset);
}
