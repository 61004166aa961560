/* parameters.h - convolutions as checkpoints hold them, with what stands behind them folded in:
 * for TRACER and FBA matting (networks.md); pf_parameter_read serves the others too.
 *
 *     struct pf_conv_parameters p;
 *     PF_TRY(pf_conv_read(&p, weights, &(struct pf_conv_names){.conv = "conv1", .norm = "bn1",
 *                         .eps = 1e-5, .dim = {64, 3, 3, 3}}));
 *     err = pf_layer_new_slice(dev, &layer, &p.weight, &p.bias, 0, 3);
 *     pf_conv_parameters_release(&p); */
#ifndef PF_PARAMETERS_H
#define PF_PARAMETERS_H
#include "common/checkpoint.h"
#include "common/tensor.h"

struct pf_conv_names {
    const char *conv;           /* of CONV.weight [K, C, h, w] and, if has_bias, CONV.bias [K] */
    const char *norm;           /* a batch norm behind it; NULL: none */
    double eps;                 /* of the norm */
    bool has_bias;
    bool standardised;          /* each output's weight is: networks.md, 8.1 */
    int64_t dim[4];
};
struct pf_conv_parameters {
    pf_tensor weight, bias;     /* f32, in the host's memory; bias always there */
};

pf_err pf_conv_read(struct pf_conv_parameters *p, pf_checkpoint *weights,
                    const struct pf_conv_names *names) PF_MUST_USE;
void pf_conv_parameters_release(struct pf_conv_parameters *p);
/* A batch norm as y = scale x + shift: f32 [C] each. */
pf_err pf_norm_read(float *scale, float *shift, pf_checkpoint *weights, const char *name,
                    int64_t C, double eps) PF_MUST_USE;
/* PREFIX.NAME as f32, owned by the caller; it must have this shape and finite numbers. */
pf_err pf_parameter_read(pf_tensor *to, pf_checkpoint *weights, const char *prefix,
                         const char *name, int ndim, const int64_t *dim) PF_MUST_USE;

#endif
