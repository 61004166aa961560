/* net.cuh - the network of a field on a GPU: net.h with device pointers.  Private to kernels/field.
 *
 * Everything runs in order on the device's one stream.  Arithmetic is f32 whatever the device's
 * precision; while it is trained a network may use less (rough). */
#ifndef PF_FIELD_NET_CUH
#define PF_FIELD_NET_CUH
#include <cmath>
#include <cstring>

#include "kernels/field/field_cuda.h"
#include "kernels/field/rays/ray.h"
#include "kernels/scan.cuh"

// Device memory that grows; what was in it is lost then.  Growing waits for the device.
struct pf_cuda_buffer {
    void *data;
    size_t bytes;
};
pf_err pf_cuda_reserve(struct pf_cuda_buffer *b, size_t bytes, const char *what) PF_MUST_USE;
void pf_cuda_release(struct pf_cuda_buffer *b);
template <typename T> static inline T *
pf_cuda_data(const struct pf_cuda_buffer *b)
{
    return (T *)b->data;
}

struct pf_net_cuda;
struct pf_net_cuda_ops {
    // The parameters on the device are others now.
    pf_err (*changed)(struct pf_net_cuda *net);
    // As in net.h; all pointers are the device's.  A tape borrows x and dir until the backward.
    pf_err (*sdf)(struct pf_net_cuda *net, float *sdf, const float *x, int64_t n);
    pf_err (*forward)(struct pf_net_cuda *net, float *sdf, float *grad, float *rgb, const float *x,
                      const float *dir, int64_t n, bool tape);
    pf_err (*backward)(struct pf_net_cuda *net, const float *d_sdf, const float *d_grad,
                       const float *d_rgb);
    // Before the first backward of a step: no gradients yet.  Surfaces are as sharp as inv_s.
    pf_err (*clear)(struct pf_net_cuda *net, float inv_s);
    // After the last: all of them are in grad.
    pf_err (*collect)(struct pf_net_cuda *net);
    void (*free)(struct pf_net_cuda *net);
    // As in net.h, with the grid on the device; waits for it.  NULL: a distance.
    pf_err (*density_grid)(struct pf_net_cuda *net, struct pf_density_grid *g, bool train,
                           uint64_t seed, int step);
};

struct pf_net_cuda {
    const struct pf_net_cuda_ops *ops;
    pf_dev *dev;                // borrowed
    struct pf_net *host;        // borrowed
    bool rough;                 // 11 bits of mantissa will do now: tf32 or halves
    int64_t chunk;              // points that a forward with tape takes at most, after a clear
    int64_t count;              // numbers of all parameters, one parameter after the other
    float *value, *grad;        // [count] owned
};

// Set up what all networks have, for a struct whose first member is a pf_net_cuda.
pf_err pf_net_cuda_init(struct pf_net_cuda *net, const struct pf_net_cuda_ops *ops, pf_dev *dev,
                        struct pf_net *host) PF_MUST_USE;
void pf_net_cuda_release(struct pf_net_cuda *net);
// Numbers of all parameters, device [count], from the host (in) or to it, which waits.  Those of
// parameter i are at the i-th pointer from host on; pointers are stride bytes apart.
pf_err pf_cuda_exchange(struct pf_net_cuda *net, float *device, float *const *host, size_t stride,
                        bool in) PF_MUST_USE;

// ---- samples (sample.cu): samples.h on the device ----

struct pf_cuda_samples {
    int64_t rays, n, slots;
    int64_t *first;             // [rays + 1]; first[0] is 0
    int64_t *host_first;        // the same on the host, where want_first was set
    float *x, *dir, *dist;
    int32_t *skipped;           // NULL: none
    bool want_first;
    struct pf_cuda_buffer index, points, place, depths;
};
void pf_cuda_samples_release(struct pf_cuda_samples *s);

// Distances at the cells' centres: the whole grid.
pf_err pf_cuda_grid_update(struct pf_net_cuda *net, struct pf_cuda_buffer *grid,
                           const struct pf_neus_config *conf) PF_MUST_USE;
// The cells that may hold points nearer to the surface than reach (pf_occupancy_near), in order, to
// list; waits for the device.
struct pf_cuda_cells {
    int64_t n;
    struct pf_cuda_buffer list, counts;         // list: int32
};
pf_err pf_cuda_near_cells(pf_dev *dev, struct pf_cuda_cells *cells, const struct pf_ray_grid *g,
                          float reach) PF_MUST_USE;
void pf_cuda_cells_release(struct pf_cuda_cells *cells);
// Samples of rays; origin, dir, offset on the device, offset NULL: test mode.  distance: the grid,
// NULL: none. Waits for the device.
pf_err pf_cuda_sample(struct pf_net_cuda *net, struct pf_cuda_samples *s,
                      const struct pf_neus_config *conf, const float *distance, const float *origin,
                      const float *dir, int64_t rays, float inv_s, const float *offset,
                      uint64_t seed, int step) PF_MUST_USE;

// ---- of field.cu, for trainer.cu ----
struct pf_net_cuda *pf_field_cuda_net(pf_field *f);
pf_err pf_field_cuda_fresh(pf_field *f) PF_MUST_USE;    // the device's parameters are the newest
void pf_field_cuda_trained(pf_field *f);                // the device's parameters are newer

#endif
