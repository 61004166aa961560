/* watch.c - see watch.h. */
#include "kernels/cutout/watch.h"

pf_err
pf_fetch(pf_dev *dev, pf_tensor *host, const pf_tensor *t)
{
    PF_TRY(pf_tensor_new(host, PF_F32, t->ndim, t->dim));
    const pf_err err = pf_dev_get(dev, host, t);
    if (err)
        pf_tensor_release(host);
    return err;
}

pf_err
pf_show(pf_dev *dev, const struct pf_cutout_watch *watch, const char *name, const pf_tensor *t)
{
    pf_tensor host;
    if (!watch)
        return PF_OK;
    PF_TRY(pf_fetch(dev, &host, t));
    const pf_err err = watch->see(watch->user, name, &host);
    pf_tensor_release(&host);
    return err;
}
