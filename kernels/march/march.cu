/* march.cu - marching cubes on a GPU: march.c's passes over march_brick.h, a block of 512 threads a
 * brick, a thread a point or cell.  The host sees counts alone, and at last the mesh.
 *
 * What a pass writes does not depend on the order of its threads: slots become PF_WANTED, values
 * PF_PENDING, marks are set, whoever comes first.  Points to evaluate, bricks, vertices and faces
 * get their places by running sums in the order of bricks, so the mesh is march.c's, byte for byte
 * if the distances are.
 *
 * At 512 points a side the demo's field has 9.3 M points to evaluate, in 76 k bricks (249 MB) of
 * which 10 k hold the 657 k cells of the surface.  Distances: 29 GFLOP, 0.45 ms at 67 TFLOP/s.
 * Some 15 passes, of which 8 read all values: 1.3 GB, 0.3 ms; points in and out of batches, 44
 * bytes each: 0.1 ms.  The mesh, 24 MB, over the bus into pageable memory: 1 to 4 ms.  Each count
 * that the host waits for, some 50: 10 us. */
#include <cstring>

#include "kernels/march/march_brick.h"
#include "kernels/scan.cuh"

enum { GROUP = 1 << 14, POINTS = GROUP * PF_BRICK_POINTS };     // evaluated together
enum { WARPS = PF_BRICK_POINTS / PF_WARP };
enum { BAD, FOUND, CELLS, COUNTERS };
static const unsigned long long NONE = ~0ull;

struct march {
    struct pf_march_grid g;
    pf_dev *dev;
    pf_sdf_fn *sdf;
    void *ctx;
    int64_t bricks;
    int64_t most;                       // bricks for which there is memory
    int64_t room;                       // points of a batch
    struct pf_march_at *at;             // [room]
    float *x, *out;                     // [room, 3], [room]
    float *lattice;                     // distances at corners of blocks; NULL: all are near
    struct pf_march_case *cases;        // [256]
    int32_t *vertices, *faces;          // [all bricks] counts
    int32_t *count;                     // [all bricks, at least GROUP]
    int64_t *first;                     // [as many + 1]: running sums
    unsigned long long *counter;        // [COUNTERS]: first bad point, cells found or not, cells
    struct pf_march_stats stats;
};

// ---- memory and copies ----

template <typename T> static pf_err
take(struct march *m, T **to, int64_t n)
{
    const int64_t bytes = n * (int64_t)sizeof(T);
    pf_tensor t;
    PF_TRY(pf_dev_alloc(m->dev, &t, PF_U8, 1, &bytes));
    *to = (T *)t.data;
    return PF_OK;
}

static pf_err
set(struct march *m, void *to, int byte, int64_t bytes)
{
    PF_CUDA_TRY(cudaMemsetAsync(to, byte, (size_t)bytes, pf_cuda_stream(m->dev)),
                "clearing the grid");
    return PF_OK;
}

// A copy that is complete after the next pf_cuda_sync.
static pf_err
get(struct march *m, void *host, const void *from, int64_t bytes)
{
    PF_CUDA_TRY(cudaMemcpyAsync(host, from, (size_t)bytes, cudaMemcpyDeviceToHost,
                                pf_cuda_stream(m->dev)),
                "copy from the GPU");
    return PF_OK;
}

// Running sums of counts, and their total, for which it waits.
static pf_err
sum(struct march *m, int64_t *total, int64_t *first, const int32_t *count, int64_t n)
{
    PF_TRY(pf_cuda_scan(m->dev, first, count, n));
    PF_TRY(get(m, total, first + n, sizeof *total));
    return pf_cuda_sync(m->dev);
}

// The sum of v over the block's threads before this one; *all: over all of them.  A kernel may call
// it once, for it has shared memory.
static __device__ __forceinline__ int
before(int v, int *all)
{
    __shared__ int sums[WARPS];
    const int warp = threadIdx.x / PF_WARP, lane = threadIdx.x % PF_WARP;
    int upto = v, earlier = 0;
    for (int d = 1; d < PF_WARP; d *= 2) {
        const int below = __shfl_up_sync(PF_WHOLE_WARP, upto, d);
        upto += lane >= d ? below : 0;
    }
    if (lane == PF_WARP - 1)
        sums[warp] = upto;
    __syncthreads();
    *all = 0;
    for (int w = 0; w < WARPS; w++) {
        earlier += w < warp ? sums[w] : 0;
        *all += sums[w];
    }
    return earlier + upto - v;
}

// ---- points ----

static __global__ void
put_points(float *x, const __grid_constant__ pf_march_grid g, const pf_march_at *at, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        pf_march_point(x + 3 * i, &g, at[i]);
}

// lattice: where the batch's distances go; NULL: into the bricks.
static __global__ void
settle(const __grid_constant__ pf_march_grid g, float *lattice, const float *out,
       const pf_march_at *at, int64_t n, unsigned long long *bad)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const struct pf_march_at p = at[i];
    float *const to = lattice ? lattice + i : pf_march_value(&g, p.x, p.y, p.z);
    *to = pf_march_settled(&g, p, out[i]);
    if (!isfinite(out[i]))
        atomicMin(bad, (unsigned long long)i);
}

// Evaluate the n points of the batch.
static pf_err
evaluate_batch(struct march *m, float *lattice, int64_t n)
{
    const cudaStream_t stream = pf_cuda_stream(m->dev);
    unsigned long long bad;
    float x[3];
    put_points<<<pf_blocks(n, 256), 256, 0, stream>>>(m->x, m->g, m->at, n);
    PF_TRY(pf_launched(m->dev, "points of the grid"));
    PF_TRY(m->sdf(m->ctx, m->out, m->x, n));
    settle<<<pf_blocks(n, 256), 256, 0, stream>>>(m->g, lattice, m->out, m->at, n,
                                                  m->counter + BAD);
    PF_TRY(pf_launched(m->dev, "distances of the grid"));
    PF_TRY(get(m, &bad, m->counter + BAD, sizeof bad));
    PF_TRY(pf_cuda_sync(m->dev));
    m->stats.evaluations += n;
    if (bad == NONE)
        return PF_OK;
    PF_TRY(get(m, x, m->x + 3 * bad, sizeof x));
    PF_TRY(pf_cuda_sync(m->dev));
    return pf_march_not_finite(x);
}

static __global__ void
count_pending(int32_t *count, const pf_march_brick *bricks)
{
    const int n = __syncthreads_count(bricks[blockIdx.x].value[threadIdx.x] == PF_PENDING);
    if (threadIdx.x == 0)
        count[blockIdx.x] = n;
}

static __global__ void
list_pending(pf_march_at *at, const pf_march_brick *bricks, const int64_t *first)
{
    const struct pf_march_brick *const b = &bricks[blockIdx.x];
    if (first[blockIdx.x] == first[blockIdx.x + 1])
        return;
    const bool pending = b->value[threadIdx.x] == PF_PENDING;
    int all;
    const int64_t i = first[blockIdx.x] + before(pending, &all);
    if (pending)
        at[i] = pf_march_at_of(b, threadIdx.x);
}

// Evaluate the points that were asked for.
static pf_err
evaluate(struct march *m)
{
    for (int64_t from = 0; from < m->bricks; from += GROUP) {
        const unsigned n = (unsigned)(m->bricks - from < GROUP ? m->bricks - from : GROUP);
        const struct pf_march_brick *const bricks = m->g.brick + from;
        int64_t pending;
        count_pending<<<n, PF_BRICK_POINTS, 0, pf_cuda_stream(m->dev)>>>(m->count, bricks);
        PF_TRY(pf_launched(m->dev, "points of the grid"));
        PF_TRY(sum(m, &pending, m->first, m->count, n));
        if (pending == 0)
            continue;
        list_pending<<<n, PF_BRICK_POINTS, 0, pf_cuda_stream(m->dev)>>>(m->at, bricks, m->first);
        PF_TRY(pf_launched(m->dev, "points of the grid"));
        PF_TRY(evaluate_batch(m, NULL, pending));
    }
    return PF_OK;
}

static __global__ void
list_lattice(pf_march_at *at, const __grid_constant__ pf_march_grid g, int64_t from, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        at[i] = pf_march_lattice_at(&g, from + i);
}

static pf_err
evaluate_lattice(struct march *m)
{
    const int64_t side = m->g.lattice, all = side * side * side;
    PF_TRY(take(m, &m->lattice, all));
    for (int64_t from = 0; from < all; from += m->room) {
        const int64_t n = all - from < m->room ? all - from : m->room;
        list_lattice<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(m->dev)>>>(m->at, m->g, from, n);
        PF_TRY(pf_launched(m->dev, "points of the grid"));
        PF_TRY(evaluate_batch(m, m->lattice + from, n));
    }
    return PF_OK;
}

// ---- bricks ----

static __global__ void
count_wanted(int32_t *count, const int32_t *slot, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        count[i] = slot[i] == PF_WANTED;
}

static __global__ void
place_wanted(const __grid_constant__ pf_march_grid g, const int64_t *first, int64_t bricks,
             int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n && g.slot[i] == PF_WANTED)
        pf_march_place(&g, i, bricks + first[i]);
}

static __global__ void
begin(pf_march_brick *bricks)
{
    struct pf_march_brick *const b = &bricks[blockIdx.x];
    const int c = threadIdx.x;
    b->value[c] = PF_UNKNOWN;
    b->vertex[c] = 0;
    if (c < PF_BRICK_WORDS)
        b->block[c] = b->fresh[c] = b->next[c] = 0;
}

// Make room for this many bricks.
static pf_err
grow(struct march *m, int64_t bricks)
{
    const size_t size = sizeof(struct pf_march_brick);
    const int64_t most = bricks + bricks / 4;
    if (bricks <= m->most)
        return PF_OK;
    void *const more = pf_cuda_malloc((size_t)most * size);
    if (!more)
        return pf_fail(PF_ENOMEM, "no %.1f MB of GPU memory for the grid",
                       (double)most * size / 1e6);
    const cudaError_t e = m->bricks ? cudaMemcpyAsync(more, m->g.brick, (size_t)m->bricks * size,
                                                      cudaMemcpyDeviceToDevice,
                                                      pf_cuda_stream(m->dev)) : cudaSuccess;
    pf_cuda_free(m->g.brick);                   // waits for the copy
    m->g.brick = (struct pf_march_brick *)more;
    m->most = most;
    return e == cudaSuccess ? PF_OK : pf_cuda_failed(e, "copying the grid");
}

// Memory for the bricks that are wanted.
static pf_err
add_bricks(struct march *m)
{
    const cudaStream_t stream = pf_cuda_stream(m->dev);
    const int64_t all = pf_march_bricks(&m->g);
    int64_t wanted;
    count_wanted<<<pf_blocks(all, 256), 256, 0, stream>>>(m->count, m->g.slot, all);
    PF_TRY(pf_launched(m->dev, "bricks of the grid"));
    PF_TRY(sum(m, &wanted, m->first, m->count, all));
    if (wanted == 0)
        return PF_OK;
    PF_TRY(grow(m, m->bricks + wanted));
    place_wanted<<<pf_blocks(all, 256), 256, 0, stream>>>(m->g, m->first, m->bricks, all);
    begin<<<(unsigned)wanted, PF_BRICK_POINTS, 0, stream>>>(m->g.brick + m->bricks);
    m->bricks += wanted;
    return pf_launched(m->dev, "bricks of the grid");
}

// ---- where the surface may be ----

// A thread for each lattice point, at which a block of 8 cells begins.
static __global__ void
want_blocks(const __grid_constant__ pf_march_grid g, const float *lattice, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n && pf_march_block_is_near(&g, lattice, i))
        pf_march_want_ahead(&g, (int)(i % g.lattice), (int)(i / g.lattice % g.lattice),
                            (int)(i / g.lattice / g.lattice));
}

static __global__ void
mark_blocks(const __grid_constant__ pf_march_grid g, const float *lattice, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= n || !pf_march_block_is_near(&g, lattice, i))
        return;
    const struct pf_march_at at = pf_march_lattice_at(&g, i);
    pf_march_set(pf_march_brick_of(&g, at.x, at.y, at.z)->block, 0);
}

static pf_err
find_blocks(struct march *m)
{
    const int64_t side = m->g.lattice, n = side * side * side;
    want_blocks<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(m->dev)>>>(m->g, m->lattice, n);
    PF_TRY(pf_launched(m->dev, "blocks of the grid"));
    PF_TRY(add_bricks(m));
    mark_blocks<<<pf_blocks(n, 256), 256, 0, pf_cuda_stream(m->dev)>>>(m->g, m->lattice, n);
    return pf_launched(m->dev, "blocks of the grid");
}

// A block for each brick; its threads take the corners of the parts of all blocks of side s.
static __global__ void
ask_parts(const __grid_constant__ pf_march_grid g, int s)
{
    const struct pf_march_brick *const b = &g.brick[blockIdx.x];
    const int n = PF_BRICK / s;
    for (int i = threadIdx.x; i < n * n * n * PF_PART_CORNERS; i += PF_BRICK_POINTS) {
        const int block = i / PF_PART_CORNERS;
        const int c = pf_march_in_brick(block % n * s, block / n % n * s, block / n / n * s);
        if (pf_march_has(b->block, c))
            pf_march_ask_part(&g, b, c, s, i % PF_PART_CORNERS);
    }
}

static __global__ void
put_parts(const __grid_constant__ pf_march_grid g, int s)
{
    struct pf_march_brick *const b = &g.brick[blockIdx.x];
    const bool near = pf_march_part_is_near(&g, b, threadIdx.x, s);
    const uint32_t parts = __ballot_sync(PF_WHOLE_WARP, near);
    __syncthreads();                    // nobody looks at the blocks any more
    if (threadIdx.x % PF_WARP == 0)
        pf_march_put_parts(b, threadIdx.x / PF_WARP, parts, s);
}

static pf_err
divide(struct march *m, int s)
{
    const unsigned bricks = (unsigned)m->bricks;
    ask_parts<<<bricks, PF_BRICK_POINTS, 0, pf_cuda_stream(m->dev)>>>(m->g, s);
    PF_TRY(pf_launched(m->dev, "blocks of the grid"));
    PF_TRY(evaluate(m));
    put_parts<<<bricks, PF_BRICK_POINTS, 0, pf_cuda_stream(m->dev)>>>(m->g, s);
    return pf_launched(m->dev, "blocks of the grid");
}

// A thread for each word of a brick's marks.
static __global__ void
renew(const __grid_constant__ pf_march_grid g, int64_t words, unsigned long long *found)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i >= words)
        return;
    struct pf_march_brick *const b = &g.brick[i / PF_BRICK_WORDS];
    if (pf_march_renew(b, (int)(i % PF_BRICK_WORDS))) {
        pf_march_want_around(&g, b->at.x / PF_BRICK, b->at.y / PF_BRICK, b->at.z / PF_BRICK);
        *found = 1;
    }
}

static __global__ void
__launch_bounds__(PF_BRICK_POINTS, 2)
spread(const __grid_constant__ pf_march_grid g)
{
    const struct pf_march_brick *const b = &g.brick[blockIdx.x];
    if (pf_march_has(b->fresh, threadIdx.x))
        pf_march_spread(&g, b, threadIdx.x);
}

static pf_err
follow(struct march *m)
{
    const cudaStream_t stream = pf_cuda_stream(m->dev);
    for (;;) {
        const int64_t words = m->bricks * PF_BRICK_WORDS;
        unsigned long long found;
        PF_TRY(set(m, m->counter + FOUND, 0, sizeof found));
        renew<<<pf_blocks(words, 256), 256, 0, stream>>>(m->g, words, m->counter + FOUND);
        PF_TRY(pf_launched(m->dev, "cells of the surface"));
        PF_TRY(get(m, &found, m->counter + FOUND, sizeof found));
        PF_TRY(pf_cuda_sync(m->dev));
        if (!found)
            return PF_OK;
        PF_TRY(add_bricks(m));
        spread<<<(unsigned)m->bricks, PF_BRICK_POINTS, 0, stream>>>(m->g);
        PF_TRY(pf_launched(m->dev, "cells of the surface"));
        PF_TRY(evaluate(m));
    }
}

// ---- triangles ----

static __global__ void
count_cells(const __grid_constant__ pf_march_grid g, const pf_march_case *cases, int32_t *vertices,
            int32_t *faces, unsigned long long *cells)
{
    struct pf_march_brick *const b = &g.brick[blockIdx.x];
    const int c = threadIdx.x;
    const bool marked = pf_march_has(b->block, c);
    const int n = __syncthreads_count(marked);
    if (n == 0)
        return;
    const int inside = marked ? pf_march_inside(&g, b, c) : 0, own = pf_march_own(inside);
    int all;                            // low half: vertices, high half: faces
    const int earlier = before(pf_march_count(own) | cases[inside].triangles << 16, &all);
    b->vertex[c] = (uint16_t)(8 * (earlier & 0xffff) + own);
    if (c == 0) {
        vertices[b->number] = all & 0xffff;
        faces[b->number] = all >> 16;
        atomicAdd(cells, (unsigned long long)n);
    }
}

static __global__ void
emit(float *vertex, uint32_t *face, const __grid_constant__ pf_march_grid g,
     const pf_march_case *cases)
{
    const struct pf_march_brick *const b = &g.brick[blockIdx.x];
    const int c = threadIdx.x;
    const bool marked = pf_march_has(b->block, c);
    if (!__syncthreads_or(marked))
        return;
    const struct pf_march_case *const how = &cases[marked ? pf_march_inside(&g, b, c) : 0];
    int all;
    const int64_t at = g.first_face[b->number] + before(how->triangles, &all);
    if (!marked)
        return;
    pf_march_put_vertices(vertex, &g, b, c);
    pf_march_put_faces(face + 3 * at, &g, b, c, how);
}

// Number the vertices and faces, brick by brick.
static pf_err
count(struct march *m, int64_t *vertices, int64_t *faces)
{
    const int64_t all = pf_march_bricks(&m->g);
    PF_TRY(set(m, m->vertices, 0, all * (int64_t)sizeof *m->vertices));
    PF_TRY(set(m, m->faces, 0, all * (int64_t)sizeof *m->faces));
    count_cells<<<(unsigned)m->bricks, PF_BRICK_POINTS, 0, pf_cuda_stream(m->dev)>>>(
        m->g, m->cases, m->vertices, m->faces, m->counter + CELLS);
    PF_TRY(pf_launched(m->dev, "cells of the surface"));
    PF_TRY(get(m, &m->stats.cells, m->counter + CELLS, sizeof m->stats.cells));
    PF_TRY(sum(m, vertices, m->g.first_vertex, m->vertices, all));
    return sum(m, faces, m->g.first_face, m->faces, all);
}

static pf_err
triangulate(struct march *m, struct pf_mesh *mesh)
{
    int64_t vertices, faces;
    float *vertex;
    uint32_t *face;
    PF_TRY(count(m, &vertices, &faces));
    PF_TRY(pf_mesh_new(mesh, vertices, faces));
    if (faces == 0)
        return PF_OK;
    PF_TRY(take(m, &vertex, 3 * vertices));
    PF_TRY(take(m, &face, 3 * faces));
    emit<<<(unsigned)m->bricks, PF_BRICK_POINTS, 0, pf_cuda_stream(m->dev)>>>(vertex, face, m->g,
                                                                              m->cases);
    PF_TRY(pf_launched(m->dev, "the mesh"));
    PF_TRY(get(m, mesh->vertex, vertex, 3 * vertices * (int64_t)sizeof *vertex));
    PF_TRY(get(m, mesh->face, face, 3 * faces * (int64_t)sizeof *face));
    return pf_cuda_sync(m->dev);
}

// ---- the whole ----

static pf_err
init(struct march *m)
{
    const int64_t all = pf_march_bricks(&m->g), most = all > GROUP ? all : GROUP;
    struct pf_march_case cases[256];
    m->room = all < GROUP ? all * PF_BRICK_POINTS : POINTS;
    PF_TRY(take(m, &m->g.slot, all));
    PF_TRY(take(m, &m->g.first_vertex, all + 1));
    PF_TRY(take(m, &m->g.first_face, all + 1));
    PF_TRY(take(m, &m->vertices, all));
    PF_TRY(take(m, &m->faces, all));
    PF_TRY(take(m, &m->count, most));
    PF_TRY(take(m, &m->first, most + 1));
    PF_TRY(take(m, &m->at, m->room));
    PF_TRY(take(m, &m->x, 3 * m->room));
    PF_TRY(take(m, &m->out, m->room));
    PF_TRY(take(m, &m->cases, 256));
    PF_TRY(take(m, &m->counter, COUNTERS));
    PF_TRY(set(m, m->g.slot, 0xff, all * (int64_t)sizeof *m->g.slot));          // PF_NO_BRICK
    PF_TRY(set(m, m->counter, 0, COUNTERS * (int64_t)sizeof *m->counter));
    PF_TRY(set(m, m->counter + BAD, 0xff, sizeof *m->counter));                 // NONE
    pf_march_cases(cases);
    PF_CUDA_TRY(cudaMemcpyAsync(m->cases, cases, sizeof cases, cudaMemcpyHostToDevice,
                                pf_cuda_stream(m->dev)),
                "copy to the GPU");
    return pf_cuda_sync(m->dev);
}

static pf_err
run(struct march *m, struct pf_mesh *mesh, bool dense)
{
    PF_TRY(init(m));
    if (!dense)
        PF_TRY(evaluate_lattice(m));
    PF_TRY(find_blocks(m));
    if (m->bricks == 0)
        return pf_mesh_new(mesh, 0, 0);
    for (int s = PF_BRICK; s > 1; s /= 2)
        PF_TRY(divide(m, s));
    PF_TRY(follow(m));
    return triangulate(m, mesh);
}

pf_err
pf_march_cuda(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_dev *dev, pf_sdf_fn *sdf,
              void *ctx, const struct pf_march_options *options)
{
    const size_t mark = pf_dev_mark(dev);
    struct march m = {};
    memset(mesh, 0, sizeof *mesh);
    PF_TRY(pf_march_grid_init(&m.g, options));
    m.dev = dev;
    m.sdf = sdf;
    m.ctx = ctx;
    const pf_err err = run(&m, mesh, options->dense);
    pf_cuda_free(m.g.brick);
    pf_dev_reset(dev, mark);
    if (err)
        pf_mesh_release(mesh);
    else if (stats)
        *stats = m.stats;
    return err;
}
