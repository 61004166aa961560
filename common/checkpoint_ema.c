/* checkpoint_ema.c - the moving average of a model's weights that is saved with it or in its place.
 * Latent diffusion's has the parameter model.a.b as model_ema.ab: its names drop the dots. */
#include <stdlib.h>
#include <string.h>

#include "common/checkpoint_parts.h"

static const char model[] = "model.", average[] = "model_ema.";

bool
pf_checkpoint_ema_name(char ema[PF_ST_NAME_MAX + 20], const char *name)
{
    const size_t n = sizeof model - 1;
    if (strncmp(name, model, n) != 0 || strlen(name) > PF_ST_NAME_MAX)
        return false;
    char *to = stpcpy(ema, average);
    for (const char *from = name + n; *from; from++)
        if (*from != '.')
            *to++ = *from;
    *to = 0;
    return true;
}

bool
pf_checkpoint_has_ema(const pf_checkpoint *w)
{
    return w->ema_beside || pf_checkpoint_has(w, average);
}

static bool
same_shape(const pf_tensor *a, const pf_tensor *b)
{
    return a->ndim == b->ndim && !memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim);
}

/* Remove the tensors whose name is NULL or an average's. */
static void
remove_averages(pf_checkpoint *w)
{
    int kept = 0;
    for (int i = 0; i < w->weights; i++) {
        struct pf_weight *const x = &w->weight[i];
        if (x->name && strncmp(x->name, average, sizeof average - 1) != 0) {
            w->weight[kept++] = *x;
            continue;
        }
        pf_weight_release(x);
    }
    w->weights = kept;
}

/* Give every parameter's name to its average, twin[i], if it has one. */
static pf_err
rename_averages(pf_checkpoint *w, const int *twin)
{
    for (int i = 0; i < w->weights; i++) {
        if (twin[i] < 0)
            continue;
        struct pf_weight *const x = &w->weight[i], *const y = &w->weight[twin[i]];
        if (!same_shape(&x->t, &y->t))
            return pf_fail(PF_EFORMAT, "tensor %s: its EMA weights have another shape", x->name);
        if (strncmp(y->name, average, sizeof average - 1) != 0)
            return pf_fail(PF_EFORMAT, "tensor %s: its EMA weights are another's, too", x->name);
        free(y->name);
        y->name = x->name;
        x->name = NULL;
    }
    remove_averages(w);
    return PF_OK;
}

pf_err
pf_checkpoint_take_ema(pf_checkpoint *w)
{
    char name[PF_ST_NAME_MAX + 20];
    bool any = false;
    if (w->ema_entered)
        return PF_OK;
    if (!pf_checkpoint_has(w, average))
        return pf_fail(PF_EFORMAT, "holds no EMA weights (model_ema.*, or a dictionary under "
                       "ema or params_ema)");
    int *const twin = malloc(((size_t)w->weights + 1) * sizeof *twin);
    if (!twin)
        return pf_checkpoint_no_memory();
    for (int i = 0; i < w->weights; i++) {
        twin[i] = -1;
        if (pf_checkpoint_ema_name(name, w->weight[i].name))
            twin[i] = pf_checkpoint_find(w, name);
        any |= twin[i] >= 0;
    }
    w->ema_alone = !any;                        // names are translated when they are asked for
    const pf_err err = any ? rename_averages(w, twin) : PF_OK;
    free(twin);
    return err;
}
