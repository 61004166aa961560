/* field.cu - a field as a whole on a GPU: its parameters on both sides, and looking at it
 * (field.c).
 *
 * What comes from the host is worked on in large pieces: a copy, the kernels, a copy back.  A
 * million points take 16 MB over the bus (0.7 ms at 25 GB/s from pageable memory, which is the
 * floor for the mesh extractor's grids) and 0.1 ms of kernel. */
#include <cstdlib>

#include "common/camera.h"
#include "kernels/field/net.cuh"
#include "kernels/field/rays/density.h"

enum { POINTS = 1 << 21, RAYS = 1 << 16 };      // looked at together
static const int64_t SAMPLES = INT64_C(1) << 22;

enum newer { SAME, HOST, DEVICE };

struct pf_field_cuda {
    struct pf_net_cuda *net;
    enum newer newer;           // whose parameters are
    struct pf_cuda_buffer grid; // of distances, for rendering
    bool grid_known;
    struct pf_cuda_samples samples;
};

// ---- life; parameters ----

pf_err
pf_net_cuda_init(struct pf_net_cuda *net, const struct pf_net_cuda_ops *ops, pf_dev *dev,
                 struct pf_net *host)
{
    net->ops = ops;
    net->dev = dev;
    net->host = host;
    net->count = 0;
    for (int i = 0; i < host->params; i++)
        net->count += host->param[i].n;
    net->value = (float *)pf_cuda_malloc((size_t)net->count * sizeof(float));
    net->grad = (float *)pf_cuda_malloc((size_t)net->count * sizeof(float));
    if (!net->value || !net->grad)
        return pf_fail(PF_ENOMEM, "no GPU memory for a field of %lld parameters",
                       (long long)net->count);
    PF_CUDA_TRY(
        cudaMemsetAsync(net->grad, 0, (size_t)net->count * sizeof(float), pf_cuda_stream(dev)),
        "clearing gradients");
    return PF_OK;
}

void
pf_net_cuda_release(struct pf_net_cuda *net)
{
    pf_cuda_free(net->value);
    pf_cuda_free(net->grad);
    net->value = net->grad = NULL;
}

pf_err
pf_field_cuda_new(pf_field *f)
{
    struct pf_field_cuda *const c = (struct pf_field_cuda *)calloc(1, sizeof *c);
    if (!c)
        return pf_fail(PF_ENOMEM, "no memory for the field");
    f->cuda = c;                        // pf_field_free releases what there is
    c->newer = HOST;
    return f->net->ops->cuda_new(&c->net, f->dev, f->net);
}

void
pf_field_cuda_free(pf_field *f)
{
    struct pf_field_cuda *const c = f->cuda;
    if (!c)
        return;
    if (c->net)
        c->net->ops->free(c->net);
    pf_cuda_release(&c->grid);
    pf_cuda_samples_release(&c->samples);
    free(c);
    f->cuda = NULL;
}

struct pf_net_cuda *
pf_field_cuda_net(pf_field *f)
{
    return f->cuda->net;
}

void
pf_field_cuda_changed(pf_field *f)
{
    f->cuda->newer = HOST;
    f->cuda->grid_known = false;
}

void
pf_field_cuda_trained(pf_field *f)
{
    f->cuda->newer = DEVICE;
    f->cuda->grid_known = false;
}

pf_err
pf_cuda_exchange(struct pf_net_cuda *net, float *device, float *const *host, size_t stride, bool in)
{
    const struct pf_param *const param = net->host->param;
    for (int i = 0; i < net->host->params; device += param[i++].n) {
        float *const there = *(float *const *)((const char *)host + (size_t)i * stride);
        PF_CUDA_TRY(cudaMemcpyAsync(in ? device : there, in ? there : device,
                                    (size_t)param[i].n * sizeof(float),
                                    in ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                                    pf_cuda_stream(net->dev)),
                    in ? "copying a field to the GPU" : "copying a field from the GPU");
    }
    return in ? PF_OK : pf_cuda_sync(net->dev);
}

pf_err
pf_field_cuda_fresh(pf_field *f)
{
    struct pf_net_cuda *const net = f->cuda->net;
    if (f->cuda->newer != HOST)
        return PF_OK;
    PF_TRY(pf_cuda_exchange(net, net->value, &f->net->param->value, sizeof *f->net->param, true));
    f->cuda->newer = SAME;
    return net->ops->changed(net);
}

pf_err
pf_field_cuda_fetch(const pf_field *f)
{
    struct pf_net_cuda *const net = f->cuda->net;
    if (f->cuda->newer != DEVICE)
        return PF_OK;
    PF_TRY(pf_cuda_exchange(net, net->value, &f->net->param->value, sizeof *f->net->param, false));
    f->cuda->newer = SAME;
    return PF_OK;
}

// ---- points ----

// n floats of the arena.
static pf_err
take(pf_dev *dev, float **to, int64_t n)
{
    pf_tensor t;
    PF_TRY(pf_dev_alloc(dev, &t, PF_F32, 1, &n));
    *to = (float *)t.data;
    return PF_OK;
}

static pf_err
put(pf_dev *dev, float *to, const float *host, int64_t n)
{
    PF_CUDA_TRY(cudaMemcpyAsync(to, host, (size_t)n * sizeof(float), cudaMemcpyHostToDevice,
                                pf_cuda_stream(dev)),
                "copy to the GPU");
    return PF_OK;
}

static pf_err
get(pf_dev *dev, float *host, const float *from, int64_t n)
{
    if (host)
        PF_CUDA_TRY(cudaMemcpyAsync(host, from, (size_t)n * sizeof(float), cudaMemcpyDeviceToHost,
                                    pf_cuda_stream(dev)),
                    "copy from the GPU");
    return PF_OK;
}

struct points {                 // on the device, [n, ...]
    float *x, *dir, *sdf, *grad, *rgb;
};

static pf_err
eval_slice(pf_field *f, const struct points *p, float *sdf, float *grad, float *rgb,
            const float *x, const float *dir, int64_t n)
{
    struct pf_net_cuda *const net = f->cuda->net;
    PF_TRY(put(f->dev, p->x, x, 3 * n));
    if (dir)
        PF_TRY(put(f->dev, p->dir, dir, 3 * n));
    if (grad || rgb)
        PF_TRY(net->ops->forward(net, p->sdf, p->grad, rgb ? p->rgb : NULL, p->x,
                                 dir ? p->dir : NULL, n, false));
    else
        PF_TRY(net->ops->sdf(net, p->sdf, p->x, n));
    PF_TRY(get(f->dev, sdf, p->sdf, n));
    PF_TRY(get(f->dev, grad, p->grad, 3 * n));
    return get(f->dev, rgb, p->rgb, 3 * n);
}

pf_err
pf_field_cuda_eval(pf_field *f, float *sdf, float *grad, float *rgb, const float *x,
                   const float *dir, int64_t n)
{
    const int64_t room = n < POINTS ? n : POINTS;
    const size_t mark = pf_dev_mark(f->dev);
    struct points p = {};
    pf_err err;
    if (n == 0 || !(sdf || grad || rgb))
        return PF_OK;
    PF_TRY(pf_field_cuda_fresh(f));
    if ((err = take(f->dev, &p.x, 3 * room)) != PF_OK ||
        (err = take(f->dev, &p.sdf, room)) != PF_OK)
        goto out;
    if ((grad || rgb) && (err = take(f->dev, &p.grad, 3 * room)) != PF_OK)
        goto out;
    if ((rgb && (err = take(f->dev, &p.rgb, 3 * room)) != PF_OK) ||
        (dir && (err = take(f->dev, &p.dir, 3 * room)) != PF_OK))
        goto out;
    for (int64_t i = 0; i < n && err == PF_OK; i += room)
        err = eval_slice(f, &p, sdf ? sdf + i : NULL, grad ? grad + 3 * i : NULL,
                          rgb ? rgb + 3 * i : NULL, x + 3 * i, dir ? dir + 3 * i : NULL,
                          n - i < room ? n - i : room);
    if (err == PF_OK)
        err = pf_cuda_sync(f->dev);
out:
    pf_dev_reset(f->dev, mark);
    return err;
}

// ---- rays ----

static __global__ void
blend(float *rgb, float *opacity, float *normal, const int64_t *first, int64_t rays,
      const __grid_constant__ pf_ray_points s)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (r >= rays)
        return;
    const struct pf_ray_color c = pf_points_blend(&s, NULL, NULL, first[r], first[r + 1]);
    for (int k = 0; k < 3; k++) {
        rgb[3 * r + k] = c.rgb[k];
        normal[3 * r + k] = c.normal[k];
    }
    opacity[r] = c.mask;
}

struct rays {                   // on the device, [n, ...]
    float *origin, *dir, *rgb, *normal, *opacity;
};

static pf_err
take_rays(pf_dev *dev, struct rays *v, int64_t n)
{
    PF_TRY(take(dev, &v->origin, 13 * n));
    v->dir = v->origin + 3 * n;
    v->rgb = v->dir + 3 * n;
    v->normal = v->rgb + 3 * n;
    v->opacity = v->normal + 3 * n;
    return PF_OK;
}

// From v's first n origins and directions to the rest of v.
static pf_err
render_rays(pf_field *f, const struct rays *v, int64_t n)
{
    struct pf_net_cuda *const net = f->cuda->net;
    struct pf_cuda_samples *const s = &f->cuda->samples;
    const float inv_s = pf_field_inv_s(f);
    float *value;
    PF_TRY(pf_cuda_sample(net, s, &f->conf,
                          f->cuda->grid_known ? pf_cuda_data<float>(&f->cuda->grid) : NULL,
                          v->origin, v->dir, n, inv_s, NULL, 0, 0));
    PF_TRY(take(f->dev, &value, 7 * s->n));
    float *const sdf = value, *const color = sdf + 4 * s->n;
    float *const grad = net->ops->density_grid ? NULL : sdf + s->n;
    PF_TRY(net->ops->forward(net, sdf, grad, color, s->x, s->dir, s->n, false));
    const struct pf_ray_points points = {s->dir, s->dist, sdf, grad, color, s->skipped, inv_s, 1};
    blend<<<pf_blocks(n, 128), 128, 0, pf_cuda_stream(f->dev)>>>(v->rgb, v->opacity, v->normal,
                                                                 s->first, n, points);
    return pf_launched(f->dev, "rendering");
}

static pf_err
render_slice(pf_field *f, const struct rays *v, float *rgb, float *opacity, float *normal,
             const float *origin, const float *dir, int64_t n)
{
    PF_TRY(put(f->dev, v->origin, origin, 3 * n));
    PF_TRY(put(f->dev, v->dir, dir, 3 * n));
    PF_TRY(render_rays(f, v, n));
    PF_TRY(get(f->dev, rgb, v->rgb, 3 * n));
    PF_TRY(get(f->dev, opacity, v->opacity, n));
    return get(f->dev, normal, v->normal, 3 * n);
}

// The grid of distances where the field has one.
static pf_err
update_grid(pf_field *f)
{
    PF_TRY(pf_field_cuda_fresh(f));
    if (f->cuda->grid_known || !f->net->ops->wants_grid)
        return PF_OK;
    PF_TRY(pf_cuda_grid_update(f->cuda->net, &f->cuda->grid, &f->conf));
    f->cuda->grid_known = true;
    return PF_OK;
}

static int64_t
rays_together(const pf_field *f)
{
    const int64_t each = f->net->ops->samples_a_ray(&f->conf);
    const int64_t n = SAMPLES / (each > 0 ? each : 1);
    return n < 64 ? 64 : n < RAYS ? n : RAYS;
}

pf_err
pf_field_cuda_render(pf_field *f, float *rgb, float *opacity, float *normal, const float *origin,
                     const float *dir, int64_t n)
{
    const int64_t most = rays_together(f), room = n < most ? n : most;
    const size_t mark = pf_dev_mark(f->dev);
    struct rays v = {};
    pf_err err;
    if (n == 0)
        return PF_OK;
    PF_TRY(update_grid(f));
    if ((err = take_rays(f->dev, &v, room)) != PF_OK)
        goto out;
    for (int64_t i = 0; i < n && err == PF_OK; i += room) {
        const size_t inner = pf_dev_mark(f->dev);
        err = render_slice(f, &v, rgb ? rgb + 3 * i : NULL, opacity ? opacity + i : NULL,
                        normal ? normal + 3 * i : NULL, origin + 3 * i, dir + 3 * i,
                        n - i < room ? n - i : room);
        pf_dev_reset(f->dev, inner);
    }
    if (err == PF_OK)
        err = pf_cuda_sync(f->dev);
out:
    pf_dev_reset(f->dev, mark);
    return err;
}

// ---- a view ----

struct camera {
    double pose[12], K[9];
    int size;
};

// The rays of pixels from..from+n-1.
static __global__ void
aim(const struct rays v, const __grid_constant__ camera c, int64_t from, int64_t n)
{
    const int64_t r = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, pixel = from + r;
    if (r < n)
        pf_camera_ray(v.origin + 3 * r, v.dir + 3 * r, c.pose, c.K, (double)(pixel % c.size),
                      (double)(pixel / c.size));
}

static __global__ void
to_bytes(uint8_t *to, const float *from, int64_t n)
{
    const int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n)
        to[i] = pf_ray_byte(from[i]);
}

static pf_err
view_slice(pf_field *f, const struct rays *v, uint8_t *device, uint8_t *rgb,
           const struct camera *c, int64_t from, int64_t n)
{
    const cudaStream_t stream = pf_cuda_stream(f->dev);
    aim<<<pf_blocks(n, 128), 128, 0, stream>>>(*v, *c, from, n);
    PF_TRY(pf_launched(f->dev, "rendering"));
    PF_TRY(render_rays(f, v, n));
    to_bytes<<<pf_blocks(3 * n, 256), 256, 0, stream>>>(device, v->rgb, 3 * n);
    PF_TRY(pf_launched(f->dev, "rendering"));
    PF_CUDA_TRY(cudaMemcpyAsync(rgb, device, 3 * (size_t)n, cudaMemcpyDeviceToHost, stream),
                "copy from the GPU");
    return PF_OK;
}

pf_err
pf_field_cuda_view(pf_field *f, uint8_t *rgb, const double pose[12], const double K[9], int size)
{
    const int64_t n = (int64_t)size * size, most = rays_together(f), room = n < most ? n : most;
    const int64_t bytes = 3 * room;
    const size_t mark = pf_dev_mark(f->dev);
    struct camera c = {};
    struct rays v = {};
    pf_tensor device;
    memcpy(c.pose, pose, sizeof c.pose);
    memcpy(c.K, K, sizeof c.K);
    c.size = size;
    PF_TRY(update_grid(f));
    pf_err err = take_rays(f->dev, &v, room);
    if (err == PF_OK)
        err = pf_dev_alloc(f->dev, &device, PF_U8, 1, &bytes);
    for (int64_t i = 0; i < n && err == PF_OK; i += room) {
        const size_t inner = pf_dev_mark(f->dev);
        err = view_slice(f, &v, (uint8_t *)device.data, rgb + 3 * i, &c, i,
                         n - i < room ? n - i : room);
        pf_dev_reset(f->dev, inner);
    }
    if (err == PF_OK)
        err = pf_cuda_sync(f->dev);
    pf_dev_reset(f->dev, mark);
    return err;
}
