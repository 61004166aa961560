/* watch.h - tensors of a network that runs, for the host: results, and what somebody watches. */
#ifndef PF_WATCH_H
#define PF_WATCH_H
#include "kernels/cutout/cutout.h"

/* host = t as f32, the caller's. */
pf_err pf_fetch(pf_dev *dev, pf_tensor *host, const pf_tensor *t) PF_MUST_USE;
/* Show t under this name, if somebody watches. */
pf_err pf_show(pf_dev *dev, const struct pf_cutout_watch *watch, const char *name,
               const pf_tensor *t) PF_MUST_USE;

#endif
