/* dev_priv.h - the inside of a device; for dev.c, layer.c, onednn.c and the .cu files alone. */
#ifndef PF_DEV_PRIV_H
#define PF_DEV_PRIV_H
#include "kernels/dev.h"
#include "kernels/shelf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_chunk;                /* a piece of the arena */
struct pf_kept;                 /* memory or a thing that lives as long as the device */

struct pf_dev {
    char name[160];
    struct pf_cuda *cuda;       /* NULL: the CPU */
    pf_dtype act;               /* of activations */
    bool tf32;
    bool f8;                    /* layers may be of E4M3 numbers */
    bool halves;                /* of the CPU: oneDNN multiplies bf16 numbers */
    bool dry;                   /* addresses without memory, operators without work */
    struct pf_chunk *first, *current;
    size_t in_use, peak, kept;
    size_t expected;            /* by pf_dev_expect */
    size_t chunks, most_chunks; /* bytes of the arena's chunks, now and at most */
    int64_t changes;            /* how often one came or went */
    size_t workspace;           /* bytes of a GPU's own: copies, cublasLt */
    int64_t odd;                /* NaN and infinite numbers that were sent to a GPU */
    struct pf_kept *blocks;
    struct pf_shelf shelf;      /* of a GPU: what pf_dev_keep gave */
    struct dnnl_engine *engine;         /* of the CPU */
    struct dnnl_stream *stream;
};

/* pf_dev_close calls release(dev, data, size), for what was registered last first, while all of the
 * device is still there.  size is counted by pf_dev_kept; 0 for what counts its own. */
typedef void pf_release(pf_dev *dev, void *data, size_t size);
pf_err pf_dev_at_close(pf_dev *dev, pf_release *release, void *data, size_t size) PF_MUST_USE;

/* Copy n numbers by all threads, for one does not keep up with a bus, and count those that are NaN
 * or infinite. */
int64_t pf_copy_numbers(void *to, const void *from, pf_dtype dtype, int64_t n);

/* ---- module/load.c ---- */
/* Load the CUDA half, unless it is there already: before anything of it is called.  PF_EDEV, with a
 * sentence about device cuda:ORDINAL, where there is no driver, no such library or one of another
 * build. */
pf_err pf_cuda_load(int ordinal) PF_MUST_USE;

/* ---- dev.cu ---- */
pf_err pf_cuda_find(int ordinal) PF_MUST_USE;   /* whether there is such a GPU */
/* Sets name, act, tf32, f8, cuda and workspace; precision NULL: bf16. */
pf_err pf_cuda_open(pf_dev *dev, int ordinal, const char *precision) PF_MUST_USE;
void pf_cuda_close(pf_dev *dev);
void *pf_cuda_malloc(size_t size);              /* NULL: the GPU has no more */
void pf_cuda_free(void *data);
size_t pf_cuda_free_bytes(void);                /* of the GPU's memory */
/* Shapes are the same and the types can be converted: the caller has checked. */
pf_err pf_cuda_put(pf_dev *dev, pf_tensor *to, const pf_tensor *host) PF_MUST_USE;
pf_err pf_cuda_get(pf_dev *dev, pf_tensor *host, const pf_tensor *from) PF_MUST_USE;
pf_err pf_cuda_cast(pf_dev *dev, pf_tensor *to, const pf_tensor *from) PF_MUST_USE;
pf_err pf_cuda_zero(pf_dev *dev, pf_tensor *t) PF_MUST_USE;
pf_err pf_cuda_sync(pf_dev *dev) PF_MUST_USE;
pf_err pf_cuda_replay(pf_dev *dev, pf_graph **g, pf_err (*work)(void *ctx), void *ctx) PF_MUST_USE;
void pf_cuda_graph_free(pf_graph *g);

#ifdef __cplusplus
}
#endif
#endif
