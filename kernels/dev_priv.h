/* dev_priv.h - the inside of a device; for dev.c and pack.c alone. */
#ifndef PF_DEV_PRIV_H
#define PF_DEV_PRIV_H
#include <oneapi/dnnl/dnnl.h>

#include "kernels/dev.h"

struct pf_chunk;                /* a piece of the arena */
struct pf_kept;                 /* a piece of memory that lives as long as the device */

struct pf_dev {
    char name[64];
    struct pf_chunk *first, *current;
    size_t in_use, peak, kept;
    struct pf_kept *blocks;
    pf_layer *layers;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

#endif
