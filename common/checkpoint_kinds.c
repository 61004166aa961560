/* checkpoint_kinds.c - the sentence about a file that is not a weights file. */
#include "common/checkpoint_parts.h"
#include "common/kind.h"

pf_err
pf_checkpoint_other_kind(pf_checkpoint *w)
{
    const struct pf_kind *const kind = pf_kind_of(w->bytes, w->size);
    if (kind && kind->json)
        return pf_fail(PF_EFORMAT, "is JSON, but no index of weights (no weight_map)");
    if (kind)
        return pf_kind_fail(kind, "a model's weights");
    return pf_fail(PF_EFORMAT, "is not a weights file (.safetensors, a .ckpt or .pt of PyTorch, "
                   "or .onnx)");
}
