/* parameters.c - see parameters.h. */
#include "kernels/cutout/parameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

pf_err
pf_parameter_read(pf_tensor *to, pf_checkpoint *weights, const char *prefix, const char *name,
                  int ndim, const int64_t *dim)
{
    char full[160];
    pf_tensor t;
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    PF_TRY(pf_checkpoint_need(weights, full, &t, ndim, dim));
    PF_TRY(pf_checkpoint_expect_finite(weights, full, &t));
    PF_TRY(pf_tensor_new_unset(to, PF_F32, ndim, dim));
    pf_to_f32(to->data, t.data, t.dtype, pf_tensor_count(to));
    return PF_OK;
}

pf_err
pf_norm_read(float *scale, float *shift, pf_checkpoint *weights, const char *name, int64_t C,
             double eps)
{
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    pf_tensor t[4] = {0};
    pf_err err = PF_OK;
    for (int i = 0; i < 4 && !err; i++)
        err = pf_parameter_read(&t[i], weights, name, parts[i], 1, &C);
    for (int64_t c = 0; c < C && !err; c++) {
        const double variance = ((const float *)t[3].data)[c];
        if (variance < 0)
            err = pf_fail(PF_EFORMAT, "%s: %s.running_var has a negative variance",
                          pf_checkpoint_path(weights), name);
        const double s = ((const float *)t[0].data)[c] / sqrt(variance + eps);
        scale[c] = (float)s;
        shift[c] = (float)(((const float *)t[1].data)[c] - s * ((const float *)t[2].data)[c]);
    }
    for (int i = 0; i < 4; i++)
        pf_tensor_release(&t[i]);
    return err;
}

/* W' = scale W, b' = scale b + shift: networks.md, 1. */
static pf_err
fold(struct pf_conv_parameters *p, pf_checkpoint *weights, const struct pf_conv_names *n)
{
    const int64_t K = n->dim[0], row = pf_tensor_count(&p->weight) / K;
    float *const weight = p->weight.data, *const bias = p->bias.data;
    float *const scale = malloc((size_t)(2 * K) * sizeof *scale), *const shift = scale + K;
    if (!scale)
        return pf_fail(PF_ENOMEM, "no memory for a norm of %lld channels", (long long)K);
    const pf_err err = pf_norm_read(scale, shift, weights, n->norm, K, n->eps);
    for (int64_t k = 0; k < K && !err; k++) {
        for (int64_t i = 0; i < row; i++)
            weight[k * row + i] *= scale[k];
        bias[k] = bias[k] * scale[k] + shift[k];
    }
    free(scale);
    return err;
}

/* Each output's weight gets mean 0 and, nearly, deviation 1. */
static void
standardise(pf_tensor *weight)
{
    const int64_t K = weight->dim[0], n = pf_tensor_count(weight) / K;
    for (int64_t k = 0; k < K; k++) {
        float *const w = (float *)weight->data + k * n;
        double mean = 0, square = 0;
        for (int64_t i = 0; i < n; i++)
            mean += w[i];
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++)
            square += (w[i] - mean) * (w[i] - mean);
        const double s = sqrt(square / (double)(n - 1) + 1e-12) + 1e-5;
        for (int64_t i = 0; i < n; i++)
            w[i] = (float)((w[i] - mean) / s);
    }
}

pf_err
pf_conv_read(struct pf_conv_parameters *p, pf_checkpoint *weights, const struct pf_conv_names *n)
{
    *p = (struct pf_conv_parameters){0};
    pf_err err = pf_parameter_read(&p->weight, weights, n->conv, "weight", 4, n->dim);
    if (!err && n->standardised)
        standardise(&p->weight);
    if (!err)
        err = n->has_bias ? pf_parameter_read(&p->bias, weights, n->conv, "bias", 1, n->dim)
                          : pf_tensor_new(&p->bias, PF_F32, 1, n->dim);
    if (!err && n->norm)
        err = fold(p, weights, n);
    if (err)
        pf_conv_parameters_release(p);
    return err;
}

void
pf_conv_parameters_release(struct pf_conv_parameters *p)
{
    pf_tensor_release(&p->weight);
    pf_tensor_release(&p->bias);
}
