/* raster.cu - a view on a GPU in tiles of 8 x 8 pixels, to the bits of raster.c (raster.md, 3).
 *
 * A thread a vertex projects it, a thread a triangle finds its box of pixels, and a block a tile
 * draws what touches the tile: its warps take 32 boxes at a time, and then, all lanes together,
 * each triangle whose box does.  The tile's 32 x 32 samples and 8 x 8 middles of pixels are in
 * shared memory, 8.5 KB; the least key wins there, whatever comes first.  No list of triangles is
 * kept, so memory does not depend on how large they are: every tile reads all boxes, 8 bytes each,
 * from the L2 cache.  For 16 views of 256 x 256 and 100 k triangles that is 13 GB, some 3 ms at
 * 5 TB/s, and the samples of 1.6 M triangles, 50 flops of double each, are less than 1 ms.
 *
 * Then four threads a pixel shade a row of its samples each, and their sums are added in order. */
#include "kernels/cuda.cuh"
#include "kernels/raster/raster_priv.h"

enum { TILE = 8, SIDE = TILE * PF_RASTER_SS, THREADS = TILE * TILE * PF_RASTER_SS };
enum { WARPS = THREADS / PF_WARP };

// What a view leaves on the GPU, and the host gets.
struct frame {
    uint8_t *image;             // [H, W, 3]
    float *alpha, *depth, *normal;
    int width, height;
};

enum { BLOCKS = 16 };
struct held {
    void *block[BLOCKS];        // of the GPU's memory: the scene's, then the view's
    int scene, blocks;
    struct frame to;
    int64_t pixels;             // of the largest view so far
};

// ---- the scene ----

template <typename T> static pf_err
take(struct held *h, T **to, int64_t n)
{
    *to = (T *)pf_cuda_malloc((size_t)n * sizeof(T) + 1);
    if (!*to)
        return pf_fail(PF_ENOMEM, "the GPU has no %lld bytes left for the mesh and its views",
                       (long long)(n * (int64_t)sizeof(T)));
    h->block[h->blocks++] = *to;
    return PF_OK;
}

template <typename T> static pf_err
copy(pf_raster *r, const T **to, const T *host, int64_t n)
{
    T *own = NULL;
    if (host) {
        PF_TRY(take((struct held *)r->held, &own, n));
        PF_TRY(pf_cuda_send(r->dev, own, host, PF_U8, n * (int64_t)sizeof(T)));
    }
    *to = own;
    return PF_OK;
}

extern "C" pf_err
pf_raster_open_cuda(pf_raster *r, const pf_scene *s)
{
    const int64_t V = s->vertices, T = s->triangles;
    struct held *const h = (struct held *)calloc(1, sizeof *h);
    int64_t texels = 0;
    r->held = h;
    if (!h)
        return pf_fail(PF_ENOMEM, "no memory for a view of the mesh");
    for (int64_t i = 0; i < s->textures; i++)
        texels += (int64_t)s->texture[i].width * s->texture[i].height;
    PF_TRY(copy(r, &r->position, s->position, 3 * V));
    PF_TRY(copy(r, &r->normal, s->normal, 3 * V));
    PF_TRY(copy(r, &r->uv, s->uv, 2 * V));
    PF_TRY(copy(r, &r->color, s->color, 4 * V));
    PF_TRY(copy(r, &r->index, s->index, 3 * T));
    PF_TRY(copy(r, &r->material_of, s->material_of, T));
    PF_TRY(copy(r, &r->material, s->material, s->materials));
    PF_TRY(copy(r, &r->texture, s->texture, s->textures));
    PF_TRY(copy(r, &r->texel, s->texel, 4 * texels));
    PF_TRY(copy(r, &r->srgb, &r->own_srgb, 1));
    PF_TRY(take(h, &r->vertex, V));
    PF_TRY(take(h, &r->box, T));
    h->scene = h->blocks;
    return pf_cuda_sync(r->dev);
}

extern "C" void
pf_raster_close_cuda(pf_raster *r)
{
    struct held *const h = (struct held *)r->held;
    for (int i = 0; h && i < h->blocks; i++)
        pf_cuda_free(h->block[i]);
    free(h);
}

// ---- before the tiles ----

static __global__ void
project(const __grid_constant__ pf_raster r, const __grid_constant__ pf_raster_camera camera)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < r.vertices)
        r.vertex[i] = pf_raster_project(&camera, r.position + 3 * i);
}

static __global__ void
find_boxes(const __grid_constant__ pf_raster r, int width, int height)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    struct pf_raster_vertex p[3];
    if (i >= r.triangles)
        return;
    pf_raster_corners(p, &r, i);
    r.box[i] = pf_raster_box_of(p, width, height);
}

// ---- a tile ----

struct tile {
    unsigned long long fine[SIDE * SIDE], middle[TILE * TILE];
    float sum[TILE * TILE][PF_RASTER_SS][3];
    int n[TILE * TILE][PF_RASTER_SS];
};

// One warp draws one triangle into a square of samples, side of them, the first at (x0, y0).
static __device__ __forceinline__ void
draw(unsigned long long *key, int side, int per_pixel, int x0, int y0, const pf_raster &r,
     const pf_raster_edges &t, const float bounds[4], uint32_t triangle, float cutoff)
{
    const float per = (float)per_pixel, shift = 0.5f * per - 0.5f;
    const double step = 1.0 / per_pixel;
    int left, right, top, bottom;
    if (!pf_raster_range(&left, &right, bounds[0] * per + shift - (float)x0,
                         bounds[1] * per + shift - (float)x0, side) ||
        !pf_raster_range(&top, &bottom, bounds[2] * per + shift - (float)y0,
                         bounds[3] * per + shift - (float)y0, side))
        return;
    const int width = right - left + 1, n = width * (bottom - top + 1);
    for (int i = threadIdx.x % PF_WARP; i < n; i += PF_WARP) {
        const int x = left + i % width, y = top + i / width;
        const uint64_t hit = pf_raster_hit(&r, &t, triangle, cutoff, pf_raster_sample(x0 + x, step),
                                           pf_raster_sample(y0 + y, step));
        if (hit != PF_RASTER_EMPTY)
            atomicMin(&key[y * side + x], (unsigned long long)hit);
    }
}

static __device__ __forceinline__ void
draw_triangle(struct tile *tile, const pf_raster &r, uint32_t triangle, int x0, int y0)
{
    struct pf_raster_vertex p[3];
    struct pf_raster_edges t;
    float bounds[4], cutoff;
    pf_raster_corners(p, &r, triangle);
    if (!pf_raster_edges_of(&t, p) || !pf_raster_drawn(&cutoff, &r, &t, triangle) ||
        !pf_raster_bounds(bounds, p))
        return;
    draw(tile->fine, SIDE, PF_RASTER_SS, PF_RASTER_SS * x0, PF_RASTER_SS * y0, r, t, bounds,
         triangle, cutoff);
    draw(tile->middle, TILE, 1, x0, y0, r, t, bounds, triangle, cutoff);
}

static __device__ __forceinline__ bool
touches(const pf_raster_box b, int x0, int y0)
{
    return b.x0 <= b.x1 && b.x0 < x0 + TILE && b.x1 >= x0 && b.y0 < y0 + TILE && b.y1 >= y0;
}

static __device__ __forceinline__ void
draw_triangles(struct tile *tile, const pf_raster &r, int x0, int y0)
{
    const int lane = threadIdx.x % PF_WARP;
    for (int64_t from = threadIdx.x - lane; from < r.triangles; from += THREADS) {
        const bool mine = from + lane < r.triangles && touches(r.box[from + lane], x0, y0);
        unsigned near = __ballot_sync(PF_WHOLE_WARP, mine);
        for (; near; near &= near - 1)
            draw_triangle(tile, r, (uint32_t)(from + __ffs((int)near) - 1), x0, y0);
    }
}

// A thread a row of a pixel's samples.
static __device__ __forceinline__ void
shade_row(struct tile *tile, const pf_raster &r, enum pf_light light, int x0, int y0)
{
    const int pixel = threadIdx.x / PF_RASTER_SS, j = threadIdx.x % PF_RASTER_SS;
    const int column = pixel % TILE * PF_RASTER_SS, row = pixel / TILE * PF_RASTER_SS + j;
    const double v = pf_raster_sample(y0 * PF_RASTER_SS + row, PF_RASTER_STEP);
    float sum[3] = {0, 0, 0};
    int n = 0;
    for (int i = 0; i < PF_RASTER_SS; i++) {
        const uint64_t key = tile->fine[row * SIDE + column + i];
        struct pf_raster_vertex p[3];
        struct pf_raster_edges t;
        float rgb[3];
        if (key == PF_RASTER_EMPTY)
            continue;
        pf_raster_corners(p, &r, (uint32_t)key);
        pf_raster_edges_of(&t, p);
        pf_raster_shade(rgb, &r, &t, (uint32_t)key, light,
                        pf_raster_sample(x0 * PF_RASTER_SS + column + i, PF_RASTER_STEP), v);
        for (int k = 0; k < 3; k++)
            sum[k] += rgb[k];
        n++;
    }
    for (int k = 0; k < 3; k++)
        tile->sum[pixel][j][k] = sum[k];
    tile->n[pixel][j] = n;
}

static __device__ __forceinline__ void
paint(const struct frame &to, const struct tile *tile, const pf_raster &r, int pixel, int64_t at)
{
    float all[3] = {0, 0, 0};
    int n = 0;
    for (int j = 0; j < PF_RASTER_SS; j++) {
        for (int k = 0; k < 3; k++)
            all[k] += tile->sum[pixel][j][k];
        n += tile->n[pixel][j];
    }
    pf_raster_pixel(to.image + 3 * at, to.alpha + at, &r, all, n);
}

static __device__ __forceinline__ void
probe(const struct frame &to, const struct tile *tile, const pf_raster &r, int pixel, int x, int y,
      int64_t at)
{
    const uint64_t key = tile->middle[pixel];
    float weight[3], n[3] = {0, 0, 0};
    to.depth[at] = key == PF_RASTER_EMPTY ? 0 : pf_raster_depth(key);
    if (key != PF_RASTER_EMPTY) {
        struct pf_raster_vertex p[3];
        struct pf_raster_edges t;
        double value[3];
        pf_raster_corners(p, &r, (uint32_t)key);
        pf_raster_edges_of(&t, p);
        pf_raster_covers(value, &t, x, y);
        pf_raster_weights(weight, value);
        pf_raster_normal(n, &r, (uint32_t)key, weight, t.front);
    }
    for (int k = 0; k < 3; k++)
        to.normal[3 * at + k] = n[k];
}

static __global__ void __launch_bounds__(THREADS)
draw_tiles(const __grid_constant__ struct frame to, const __grid_constant__ pf_raster r,
           enum pf_light light)
{
    __shared__ struct tile tile;
    const int x0 = blockIdx.x * TILE, y0 = blockIdx.y * TILE, pixel = threadIdx.x % (TILE * TILE);
    const int x = x0 + pixel % TILE, y = y0 + pixel / TILE;
    const int64_t at = (int64_t)y * to.width + x;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += THREADS)
        tile.fine[i] = PF_RASTER_EMPTY;
    for (int i = threadIdx.x; i < TILE * TILE; i += THREADS)
        tile.middle[i] = PF_RASTER_EMPTY;
    __syncthreads();
    draw_triangles(&tile, r, x0, y0);
    __syncthreads();
    shade_row(&tile, r, light, x0, y0);
    __syncthreads();
    if (x >= to.width || y >= to.height)
        return;
    if (threadIdx.x < TILE * TILE)
        paint(to, &tile, r, pixel, at);
    else if (threadIdx.x < 2 * TILE * TILE)
        probe(to, &tile, r, pixel, x, y, at);
}

// ---- a view ----

static pf_err
make_room(struct held *h, int64_t pixels)
{
    if (pixels <= h->pixels)
        return PF_OK;
    while (h->blocks > h->scene)
        pf_cuda_free(h->block[--h->blocks]);
    h->pixels = 0;
    PF_TRY(take(h, &h->to.image, 3 * pixels));
    PF_TRY(take(h, &h->to.alpha, pixels));
    PF_TRY(take(h, &h->to.depth, pixels));
    PF_TRY(take(h, &h->to.normal, 3 * pixels));
    h->pixels = pixels;
    return PF_OK;
}

static pf_err
draw_view(pf_raster *r, int width, int height, const struct pf_raster_camera *camera,
          enum pf_light light)
{
    const cudaStream_t stream = pf_cuda_stream(r->dev);
    struct held *const h = (struct held *)r->held;
    PF_TRY(make_room(h, (int64_t)width * height));
    h->to.width = width;
    h->to.height = height;
    const dim3 tiles((unsigned)(width + TILE - 1) / TILE, (unsigned)(height + TILE - 1) / TILE);
    project<<<pf_blocks(r->vertices, 256), 256, 0, stream>>>(*r, *camera);
    find_boxes<<<pf_blocks(r->triangles, 256), 256, 0, stream>>>(*r, width, height);
    draw_tiles<<<tiles, THREADS, 0, stream>>>(h->to, *r, light);
    return pf_launched(r->dev, "pf_raster_view");
}

static pf_err
fetch(pf_raster *r, void *host, void *from, int64_t bytes)
{
    if (!host)
        return PF_OK;
    pf_tensor to = pf_tensor_view(host, PF_U8, 1, &bytes);
    const pf_tensor own = pf_tensor_view(from, PF_U8, 1, &bytes);
    return pf_dev_get(r->dev, &to, &own);
}

extern "C" pf_err
pf_raster_view_cuda(pf_raster *r, const struct pf_raster_view *view,
                    const struct pf_raster_camera *camera, enum pf_light light)
{
    const int64_t n = (int64_t)view->width * view->height;
    const struct frame *const from = &((struct held *)r->held)->to;
    PF_TRY(draw_view(r, view->width, view->height, camera, light));
    PF_TRY(fetch(r, view->image, from->image, 3 * n));
    PF_TRY(fetch(r, view->alpha, from->alpha, 4 * n));
    PF_TRY(fetch(r, view->depth, from->depth, 4 * n));
    return fetch(r, view->normal, from->normal, 12 * n);
}

static pf_err
time_views(float *ms, pf_raster *r, int width, int height, const struct pf_raster_camera *camera,
           int n, enum pf_light light, const cudaEvent_t event[2])
{
    PF_CUDA_TRY(cudaEventRecord(event[0], pf_cuda_stream(r->dev)), "timing");
    for (int k = 0; k < n; k++)
        PF_TRY(draw_view(r, width, height, &camera[k], light));
    PF_CUDA_TRY(cudaEventRecord(event[1], pf_cuda_stream(r->dev)), "timing");
    PF_CUDA_TRY(cudaEventSynchronize(event[1]), "timing");
    PF_CUDA_TRY(cudaEventElapsedTime(ms, event[0], event[1]), "timing");
    return PF_OK;
}

extern "C" pf_err
pf_raster_time_cuda(float *ms, pf_raster *r, int width, int height,
                    const struct pf_raster_camera *camera, int n, enum pf_light light)
{
    cudaEvent_t event[2];
    PF_CUDA_TRY(cudaEventCreate(&event[0]), "timing");
    PF_CUDA_TRY(cudaEventCreate(&event[1]), "timing");
    const pf_err err = time_views(ms, r, width, height, camera, n, light, event);
    cudaEventDestroy(event[0]);
    cudaEventDestroy(event[1]);
    return err;
}
