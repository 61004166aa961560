/* dump.c - activations of one view under the names of golden/README.md. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/pf-sample/dump.h"

bool
dumping(const struct run *r)
{
    return r->dump && r->dump->row >= 0;
}

void
channels_first(float *to, const float *from, int64_t N, int64_t P, int64_t C)
{
    for (int64_t n = 0; n < N; n++)
        for (int64_t c = 0; c < C; c++)
            for (int64_t p = 0; p < P; p++)
                to[(n * C + c) * P + p] = from[(n * P + p) * C + c];
}

void
channels_last(float *to, const float *from, int64_t N, int64_t C, int64_t P)
{
    channels_first(to, from, N, C, P);          // the same exchange of two axes
}

/* Row `row` of x on the host as f32, [1, ..., C]; owned by the caller. */
static pf_err
fetch(struct run *r, pf_tensor *host, const pf_tensor *x, int64_t row)
{
    const pf_tensor one = rows(x, x->dim[0] == 1 ? 0 : row, 1);
    PF_TRY(pf_tensor_new(host, PF_F32, one.ndim, one.dim));
    return pf_dev_get(r->dev, host, &one);
}

/* Put [1, ..., C] under name as [1, C, ...]. */
static pf_err
put(struct dump *d, const char *name, const pf_tensor *host)
{
    pf_tensor t;
    int64_t dim[PF_MAX_DIMS] = {1, host->dim[host->ndim - 1]};
    for (int i = 1; i < host->ndim - 1; i++)
        dim[1 + i] = host->dim[i];
    PF_TRY(pf_tensor_new(&t, PF_F32, host->ndim, dim));
    channels_first(t.data, host->data, 1, pf_tensor_count(host) / dim[1], dim[1]);
    const pf_err err = pf_doc_put(&d->doc, name, &t);
    pf_tensor_release(&t);
    return err;
}

static void
format(char name[128], const struct dump *d, const char *fmt, va_list ap)
{
    const bool view = !strncmp(fmt, "view.", 5);
    const int n = view ? snprintf(name, 128, "view%d.", d->view) : 0;
    vsnprintf(name + n, 128 - (size_t)n, fmt + (view ? 5 : 0), ap);
}

pf_err
dump_row(struct run *r, const pf_tensor *x, const char *fmt, ...)
{
    char name[128];
    pf_tensor host = {0};
    pf_err err;
    va_list ap;
    if (!dumping(r))
        return PF_OK;
    va_start(ap, fmt);
    format(name, r->dump, fmt, ap);
    va_end(ap);
    if (!(err = fetch(r, &host, x, r->dump->row)))
        err = put(r->dump, name, &host);
    pf_tensor_release(&host);
    return err;
}

pf_err
dump_difference(struct run *r, const pf_tensor *x, const pf_tensor *y, const char *fmt, ...)
{
    char name[128];
    pf_tensor a = {0}, b = {0};
    pf_err err;
    va_list ap;
    if (!dumping(r))
        return PF_OK;
    va_start(ap, fmt);
    format(name, r->dump, fmt, ap);
    va_end(ap);
    if ((err = fetch(r, &a, x, r->dump->row)) || (err = fetch(r, &b, y, r->dump->row)))
        goto out;
    float *p = a.data;
    for (int64_t i = 0, n = pf_tensor_count(&a); i < n; i++)
        p[i] -= ((float *)b.data)[i];
    err = put(r->dump, name, &a);
out:
    pf_tensor_release(&a);
    pf_tensor_release(&b);
    return err;
}

pf_err
dump_host(struct run *r, const pf_tensor *x, const char *fmt, ...)
{
    char name[128];
    va_list ap;
    if (!r->dump)
        return PF_OK;
    va_start(ap, fmt);
    format(name, r->dump, fmt, ap);
    va_end(ap);
    return pf_doc_put(&r->dump->doc, name, x);
}
