/* dev.h - a device: where tensors live and operators run.  The only file that knows whether the
 * build has CUDA; its half for a GPU is loaded when one is opened (module/module.md).
 *
 *     pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
 *     const size_t mark = pf_dev_mark(dev);
 *     PF_TRY(PF_ALLOC(dev, &h, pf_dev_dtype(dev), B, H, W, C));   // borrowed until the reset
 *     ... operators ...
 *     pf_dev_reset(dev, mark);
 *     pf_dev_close(dev);
 *
 * Activations come from an arena that serves one stage: mark, compute, reset.  On a device that
 * computes in 16 bits activations have dtype pf_dev_dtype(dev); statistics, masks, coefficients and
 * everything that ops.h calls f32 stay f32.  The CPU's activations are f32; in bf16, which takes a
 * processor with instructions for it, only the inputs of products are rounded.
 *
 * A dry device has no memory and does no work: the same calls run on it, check their shapes and are
 * counted, so that pf_dev_peak, _kept and _need are afterwards exactly those of a real run. */
#ifndef PF_DEV_H
#define PF_DEV_H
#include "common/tensor.h"

#ifdef PF_WITH_CUDA
#define PF_CUDA 1               /* compilers drop what stands behind PF_CUDA && where it is 0 */
#else
#define PF_CUDA 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_dev pf_dev;   /* opaque, owned by whoever opened it */

/* name: auto (a GPU where there is one), cpu, cuda, cuda:N.  precision: f32 (exact: no tf32), tf32,
 * f16, bf16, f8 (bf16, and on Hopper layers of E4M3), or NULL for the default (CPU f32; GPU bf16).
 * PF_EARG for any other name and for a type that the device cannot compute in, PF_EDEV if the
 * device is not there. */
pf_err pf_dev_open(pf_dev **dev, const char *name, const char *precision) PF_MUST_USE;
/* The same, dry.  Tensors have addresses that nobody may touch; weights and uploads are not read,
 * downloads are zeros.  It takes none of a GPU's memory, but the GPU must be there. */
pf_err pf_dev_open_dry(pf_dev **dev, const char *name, const char *precision) PF_MUST_USE;
void pf_dev_close(pf_dev *dev);                 /* NULL is fine; frees arena, layers and weights */
const char *pf_dev_name(const pf_dev *dev);     /* "cpu (2 threads)", "NVIDIA H200" */
bool pf_dev_is_cuda(const pf_dev *dev);
bool pf_dev_is_dry(const pf_dev *dev);
pf_dtype pf_dev_dtype(const pf_dev *dev);       /* of activations */
bool pf_dev_tf32(const pf_dev *dev);            /* may products of f32 be rounded to tf32 */
bool pf_dev_f8(const pf_dev *dev);              /* may layers be of E4M3 numbers (layer.h) */
pf_err pf_dev_sync(pf_dev *dev) PF_MUST_USE;    /* wait; reports what asynchronous work met */

/* Arena.  Memory is 64-byte aligned and not zeroed. */
pf_err pf_dev_alloc(pf_dev *dev, pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
    PF_MUST_USE;
#define PF_ALLOC(dev, t, dtype, ...) pf_dev_alloc(dev, t, dtype, PF_DIMS_(__VA_ARGS__))
size_t pf_dev_mark(pf_dev *dev);
void pf_dev_reset(pf_dev *dev, size_t mark);    /* everything allocated since the mark is gone */
void pf_dev_trim(pf_dev *dev);          /* everything; its memory is the system's until the next */
/* Trim it, and let its next piece be so large: who knows pf_dev_peak before the run saves the
 * unused ends of several.  0: nobody knows, and nothing happens. */
void pf_dev_expect(pf_dev *dev, size_t bytes);
/* Memory that lives until the device closes: weights, constants of a run. */
pf_err pf_dev_keep(pf_dev *dev, pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
    PF_MUST_USE;
#define PF_KEEP(dev, t, dtype, ...) pf_dev_keep(dev, t, dtype, PF_DIMS_(__VA_ARGS__))
size_t pf_dev_peak(const pf_dev *dev);          /* most bytes of arena in use at once so far */
size_t pf_dev_kept(const pf_dev *dev);          /* bytes of weights and constants */
/* Bytes that would have done so far: what is kept and the arena at its largest, both with the
 * unused ends of their pieces, a GPU's workspace. */
size_t pf_dev_need(const pf_dev *dev);
size_t pf_dev_free_bytes(const pf_dev *dev);    /* to be had now; 0 where nobody knows */

/* Copy between host and device tensors of one shape; floats are converted between types. */
pf_err pf_dev_put(pf_dev *dev, pf_tensor *to, const pf_tensor *host) PF_MUST_USE;
pf_err pf_dev_get(pf_dev *dev, pf_tensor *host, const pf_tensor *from) PF_MUST_USE;
/* The same between two tensors of the device. */
pf_err pf_dev_cast(pf_dev *dev, pf_tensor *to, const pf_tensor *from) PF_MUST_USE;
/* Let all of it be 0. */
pf_err pf_dev_zero(pf_dev *dev, pf_tensor *t) PF_MUST_USE;
/* How many of the numbers that came to a GPU from the host so far, layers' weights too, are NaN or
 * infinite: counted on the way, so that nobody reads a model's weights twice.  0 on the CPU. */
int64_t pf_dev_odd(const pf_dev *dev);

/* Run work(ctx), which must launch the same operators on the same memory every time and not wait
 * for them.  A GPU records the second run as a graph and launches that from then on, but for a run
 * after the arena's pieces have changed, which is an ordinary one; it is at most two runs behind
 * when this returns.  *g is NULL at first; free it before what it works on. */
typedef struct pf_graph pf_graph;               /* opaque */
pf_err pf_replay(pf_dev *dev, pf_graph **g, pf_err (*work)(void *ctx), void *ctx) PF_MUST_USE;
void pf_graph_free(pf_graph *g);                /* NULL is fine */

/* A small f32 parameter vector (norms) on the device, kept. */
pf_err pf_dev_vector(pf_dev *dev, pf_tensor *t, const pf_tensor *host) PF_MUST_USE;

/* ---- for operators ---- */
#define PF_OP(name, ...)                                   \
    pf_err name(pf_dev *dev, __VA_ARGS__) PF_MUST_USE;     \
    pf_err name##_cpu(pf_dev *dev, __VA_ARGS__);           \
    pf_err name##_cuda(pf_dev *dev, __VA_ARGS__)
#define PF_DISPATCH(dev, name, ...)                                  \
    (pf_dev_is_dry(dev) && !pf_dev_is_cuda(dev) ? PF_OK              \
                                                : PF_DISPATCH_SCRATCH(dev, name, __VA_ARGS__))
/* For operators that take scratch memory on the CPU: on a dry one they take it, and leave.  A GPU's
 * operators need not know: what they launch on a dry GPU is recorded and thrown away. */
#define PF_DISPATCH_SCRATCH(dev, name, ...)                          \
    (PF_CUDA && pf_dev_is_cuda(dev) ? name##_cuda(dev, __VA_ARGS__) \
                                    : name##_cpu(dev, __VA_ARGS__))

#ifdef __cplusplus
}
#endif
#endif
