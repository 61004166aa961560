/* noise.c - see noise.h: numbers by Philox, or from the file of --noise. */
#include <math.h>
#include <string.h>

#include "common/rng.h"
#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/noise.h"

pf_err
noise_open(struct noise *n, const char *path, int64_t seed)
{
    *n = (struct noise){.seed = (uint64_t)seed, .file = path != NULL};
    return path ? pf_doc_read_file(&n->doc, path) : PF_OK;
}

void
noise_close(struct noise *n)
{
    pf_doc_release(&n->doc);
}

/* The low four bits are the purpose's; above them come the sample and, from bit 32 on, the
 * elevation in thousandths of a degree. */
void
noise_key(struct noise *n, double elevation_deg, int sample)
{
    n->key = (uint64_t)sample << 4 | (uint64_t)(uint32_t)lrint(1000 * elevation_deg) << 32;
}

/* Fill t with number `index` and those after it, from the file's tensor or by Philox. */
static pf_err
draw(struct noise *n, pf_tensor *t, enum pf_rng_stream purpose, const char *name, int64_t index)
{
    const int64_t count = pf_tensor_count(t);
    const bool step = purpose == PF_RNG_STEP;
    float *p = t->data;
    if (n->file) {
        int64_t dim[PF_MAX_DIMS] = {-1};
        pf_tensor from;
        memcpy(dim + step, t->dim, (size_t)t->ndim * sizeof *dim);
        const pf_err err = pf_doc_need(&n->doc, name, PF_F32, t->ndim + step, dim, &from);
        if (err)
            return pf_fail_in(err, "--noise");
        if (index + count > pf_tensor_count(&from))
            return pf_fail(PF_ESHAPE, "--noise: %s is for %lld steps, this is step %lld", name,
                           (long long)from.dim[0] + 1, (long long)(index / count) + 2);
        memcpy(p, (const float *)from.data + index, (size_t)count * sizeof *p);
        return PF_OK;
    }
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++)
        p[i] = pf_rng_normal(n->seed, n->key | purpose, (uint64_t)(index + i));
    return PF_OK;
}

pf_err
noise_posterior(struct noise *n, pf_tensor *t)
{
    return draw(n, t, PF_RNG_POSTERIOR, "posterior", 0);
}

pf_err
noise_start(struct noise *n, pf_tensor *t)
{
    return draw(n, t, PF_RNG_START, "x_T", 0);
}

pf_err
noise_step(struct noise *n, struct run *r, pf_tensor *t, int64_t drawn)
{
    const int64_t N = t->dim[0], P = t->dim[1] * t->dim[2], z = t->dim[3], count = N * P * z;
    pf_tensor first = {0}, last = {0};
    pf_err err;
    if (!n->file)
        return pf_gaussian(r->dev, t, n->seed, n->key | PF_RNG_STEP, (uint64_t)(drawn * count));
    if ((err = PF_TENSOR_NEW(&first, PF_F32, N, z, t->dim[1], t->dim[2])) ||
        (err = pf_tensor_new(&last, PF_F32, 4, t->dim)) ||
        (err = draw(n, &first, PF_RNG_STEP, "step", drawn * count)))
        goto out;
    channels_last(last.data, first.data, N, z, P);
    err = pf_dev_put(r->dev, t, &last);
out:
    pf_tensor_release(&first);
    pf_tensor_release(&last);
    return err;
}
