/* checkpoint_f8.c - tensors of F8_E4M3 numbers: of NAME and NAME_scale the product. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checkpoint_parts.h"

/* The index of the tensor that is x's scale, or -1. */
static int
find_scale(const pf_checkpoint *w, const struct pf_weight *x)
{
    char name[PF_ST_NAME_MAX + 10];
    const int n = snprintf(name, sizeof name, "%s_scale", x->name);
    return n < (int)sizeof name ? pf_checkpoint_find(w, name) : -1;
}

/* One number, or one for each row: [K], [K, 1], ... of [K, ...]. */
static bool
suits(const pf_tensor *scale, const pf_tensor *t)
{
    const int64_t n = pf_tensor_count(scale);
    if (scale->dtype != PF_F32 && scale->dtype != PF_F16 && scale->dtype != PF_BF16)
        return false;
    return n == 1 || (t->ndim && scale->ndim && t->dim[0] == n && scale->dim[0] == n);
}

/* Whether all products with these scales are numbers of BF16. */
static bool
is_for_bf16(const float *scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int e;
        if (frexpf(scale[i], &e) != 0.5f || e - 1 < PF_F8_SCALE_MIN || e - 1 > PF_F8_SCALE_MAX)
            return false;
    }
    return true;
}

/* s becomes the scale of x.  Errors do not name s. */
static pf_err
take_scale(pf_checkpoint *w, struct pf_weight *x, struct pf_weight *s)
{
    char is[128], of[128];
    if (!suits(&s->t, &x->t))
        return pf_fail(PF_EFORMAT, "is %s, expected F32, F16 or BF16, one number or one for each "
                       "row of %s", pf_tensor_describe(is, sizeof is, &s->t),
                       pf_tensor_describe(of, sizeof of, &x->t));
    const int64_t n = pf_tensor_count(&s->t);
    PF_TRY(pf_checkpoint_spend(w, (uint64_t)n * sizeof(float)));
    PF_TRY(pf_weight_find(s));
    PF_TRY(pf_weight_verify(s));
    PF_TRY(pf_tensor_new_unset(&x->scale, PF_F32, s->t.ndim, s->t.dim));
    float *const scale = x->scale.data;
    pf_to_f32(scale, s->data, s->t.dtype, n);
    for (int64_t i = 0; i < n; i++)
        if (!(scale[i] > 0) || !isfinite(scale[i]))
            return pf_fail(PF_EFORMAT, "is %g, expected a finite number above 0",
                           (double)scale[i]);
    x->t.dtype = is_for_bf16(scale, n) ? PF_BF16 : PF_F32;
    return pf_checkpoint_spend(w, pf_tensor_bytes(&x->t));
}

static pf_err
skip(pf_checkpoint *w, const struct pf_weight *x)
{
    char line[PF_ST_NAME_MAX + 50];
    snprintf(line, sizeof line, "%s: tensor of type F8_E4M3 without its scale", x->name);
    return pf_checkpoint_skip(w, line);
}

/* Take the scale of every tensor that needs one; gone[i]: number i is such a scale, or without. */
static pf_err
take_all(pf_checkpoint *w, bool *gone)
{
    for (int i = 0; i < w->weights; i++) {
        struct pf_weight *const x = &w->weight[i];
        if (x->t.dtype != PF_F8)
            continue;
        const int s = find_scale(w, x);
        gone[s < 0 ? i : s] = true;
        const pf_err err = s < 0 ? skip(w, x) : take_scale(w, x, &w->weight[s]);
        if (err)
            return s < 0 ? err : pf_fail_in(err, "tensor %s", w->weight[s].name);
    }
    return PF_OK;
}

pf_err
pf_checkpoint_take_scales(pf_checkpoint *w)
{
    int kept = 0;
    bool *const gone = calloc((size_t)w->weights + 1, sizeof *gone);
    if (!gone)
        return pf_checkpoint_no_memory();
    const pf_err err = take_all(w, gone);
    for (int i = 0; i < w->weights && !err; i++)
        if (gone[i])
            pf_weight_release(&w->weight[i]);
        else
            w->weight[kept++] = w->weight[i];
    w->weights = err ? w->weights : kept;
    free(gone);
    return err;
}

/* n numbers of E4M3, whose values are given, times the scale. */
static void
decode_run(pf_tensor *t, int64_t first, const unsigned char *from, int64_t n, const float *value,
           float scale)
{
    float *const wide = (float *)t->data + first;
    uint16_t *const half = (uint16_t *)t->data + first;
    if (t->dtype == PF_F32) {
        for (int64_t i = 0; i < n; i++)
            wide[i] = value[from[i]] * scale;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const float v = value[from[i]] * scale;
        uint32_t bits;
        memcpy(&bits, &v, sizeof bits);
        half[i] = (uint16_t)(bits >> 16);       // exact: there is nothing below
    }
}

pf_err
pf_weight_decode(struct pf_weight *x)
{
    enum { PIECE = 1 << 16 };
    const float *const scale = x->scale.data;
    const int64_t n = pf_tensor_count(&x->t), rows = pf_tensor_count(&x->scale);
    const int64_t run = rows > 1 ? n / rows : PIECE;
    float value[256];
    pf_tensor t;
    PF_TRY(pf_tensor_new_unset(&t, x->t.dtype, x->t.ndim, x->t.dim));
    for (int i = 0; i < 256; i++)
        value[i] = pf_f8_to_f32((uint8_t)i);
    if (n > 0) {
#pragma omp parallel for if (n > 2 * PIECE)
        for (int64_t i = 0; i < n; i += run)
            decode_run(&t, i, x->block + i, n - i < run ? n - i : run, value,
                       scale[rows > 1 ? i / run : 0]);
    }
    x->data = x->owned = t.data;
    return PF_OK;
}

bool
pf_checkpoint_f8(const pf_checkpoint *w, int i, pf_tensor *numbers, pf_tensor *scale)
{
    const struct pf_weight *const x = &w->weight[i];
    if (!x->scale.data)
        return false;
    *numbers = pf_tensor_view((void *)x->block, PF_F8, x->t.ndim, x->t.dim);
    *scale = x->scale;
    return true;
}
