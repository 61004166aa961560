/* onnx.h - the weights of an ONNX model: its initialisers, under the names that its author gave
 * them.  Knows no file: checkpoint_onnx.c hands over the bytes.
 *
 *     struct pf_onnx o;
 *     PF_TRY(pf_onnx_parse(&o, bytes, size));
 *     for (int i = 0; i < o.tensors; i++)
 *         ... o.tensor[i].t at o.tensor[i].data ...
 *     pf_onnx_release(&o);
 *
 * An exporter renames the tensors that it makes, as when it folds a batch norm into the convolution
 * before it: onnx::Conv_1896, or 1896.  What a Conv or a BatchNormalization takes gets its name
 * back: of the node /stage1/conv/Conv it is stage1.conv.weight and stage1.conv.bias; where nodes
 * have no such paths either, it is conv.K.weight and conv.K.bias, K counting these nodes from 0 in
 * the order of the graph, which is that of execution (of norms: norm.K.weight, and so on). */
#ifndef PF_ONNX_H
#define PF_ONNX_H
#include "common/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_onnx_tensor {
    char *name;                         /* fit to be a tensor's, pf_st_name_ok */
    pf_tensor t;                        /* type and shape; data is NULL */
    const char *unknown;                /* the name of a type that t cannot have, or NULL */
    const unsigned char *data;          /* borrowed; little-endian, not aligned */
    size_t size;                        /* bytes of data */
    bool varints;                       /* each element is one: pf_onnx_unpack */
};
struct pf_onnx {                        /* owns the names */
    struct pf_onnx_tensor *tensor;
    int tensors;
};

/* Whether the bytes begin like a model: a version, then one of the other fields. */
bool pf_onnx_is(const unsigned char *bytes, size_t size);
/* o is overwritten, and empty after a failure.  PF_EFORMAT where lengths, shapes and data do not
 * agree, where a name is given twice, data lie in another file, or weights are quantised.  Memory
 * and time are in proportion to size, but for a logarithm. */
pf_err pf_onnx_parse(struct pf_onnx *o, const unsigned char *bytes, size_t size) PF_MUST_USE;
void pf_onnx_release(struct pf_onnx *o);
/* The n numbers of an integer type, or a half's bits, of size bytes of varints. */
pf_err pf_onnx_unpack(void *to, pf_dtype dtype, int64_t n, const unsigned char *data, size_t size)
    PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
