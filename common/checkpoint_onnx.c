/* checkpoint_onnx.c - the weights of a mapped ONNX model (onnx.h). */
#include <stdio.h>

#include "common/checkpoint_parts.h"
#include "common/onnx.h"

static pf_err
add_tensor(pf_checkpoint *w, const struct pf_onnx_tensor *t)
{
    if (t->unknown) {
        char line[PF_ST_NAME_MAX + 50];
        snprintf(line, sizeof line, "%s: tensor of type %s", t->name, t->unknown);
        return pf_checkpoint_skip(w, line);
    }
    struct pf_weight *x;
    PF_TRY(pf_checkpoint_add(w, t->name, &x));
    x->t = t->t;
    x->block = t->data;
    x->varints = t->varints ? t->size : 0;
    int64_t stride = 1;
    for (int k = x->t.ndim - 1; k >= 0; k--) {
        x->stride[k] = stride;
        stride *= x->t.dim[k] ? x->t.dim[k] : 1;
    }
    return PF_OK;
}

pf_err
pf_checkpoint_list_onnx(pf_checkpoint *w)
{
    struct pf_onnx o;
    pf_err err = PF_OK;
    w->format = "onnx";
    PF_TRY(pf_onnx_parse(&o, w->bytes, w->size));
    for (int i = 0; i < o.tensors && !err; i++)
        err = add_tensor(w, &o.tensor[i]);
    pf_onnx_release(&o);
    return err;
}
