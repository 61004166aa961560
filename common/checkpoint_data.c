/* checkpoint_data.c - the data of a checkpoint's tensors: where they lie in the file, or as a copy
 * that is contiguous. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zlib.h>

#include "common/checkpoint_parts.h"
#include "common/onnx.h"

enum { MIN_DROP = 1 << 20 };    /* smaller mapped tensors are not worth a system call */

static bool
is_contiguous(const struct pf_weight *x)
{
    int64_t stride = 1;
    for (int i = x->t.ndim - 1; i >= 0; i--) {
        if (x->t.dim[i] != 1 && x->stride[i] != stride)
            return false;
        stride *= x->t.dim[i];
    }
    return true;
}

/* n elements of item bytes that are stride elements apart. */
static void
copy_row(unsigned char *to, const unsigned char *from, int64_t n, int64_t stride, size_t item)
{
    if (stride == 1) {
        memcpy(to, from, (size_t)n * item);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * item, from + (size_t)(i * stride) * item, item);
}

/* All elements in row-major order; from: the tensor's first element. */
static void
copy_strided(unsigned char *to, const unsigned char *from, const struct pf_weight *x)
{
    const int last = x->t.ndim - 1;
    const size_t item = pf_dtype_size(x->t.dtype);
    const int64_t n = last >= 0 ? x->t.dim[last] : 1, rows = pf_tensor_count(&x->t) / n;
    int64_t at[PF_MAX_DIMS] = {0}, offset = 0;
    for (int64_t r = 0; r < rows; r++, to += (size_t)n * item) {
        copy_row(to, from + (size_t)offset * item, n, last >= 0 ? x->stride[last] : 1, item);
        for (int i = last - 1; i >= 0; i--) {           // the next row, like an odometer
            offset += x->stride[i];
            if (++at[i] < x->t.dim[i])
                break;
            offset -= x->stride[i] * at[i];
            at[i] = 0;
        }
    }
}

/* Unpack the part of a deflated block that the tensor reaches, then put it in order. */
static pf_err
unpack(void *to, const struct pf_weight *x)
{
    const size_t item = pf_dtype_size(x->t.dtype);
    const int64_t reach = pf_weight_reach(x);
    if (is_contiguous(x))
        return pf_zip_read(x->entry, to, (uint64_t)x->first * item, (size_t)reach * item);
    unsigned char *part = malloc((size_t)reach * item);
    if (!part)
        return pf_checkpoint_no_memory();
    const pf_err err = pf_zip_read(x->entry, part, (uint64_t)x->first * item, (size_t)reach * item);
    if (!err)
        copy_strided(to, part, x);
    free(part);
    return err;
}

/* A contiguous, aligned copy of what cannot be used where it lies. */
static pf_err
copy_weight(struct pf_weight *x)
{
    pf_tensor t;
    pf_err err = PF_OK;
    if (x->scale.data)
        return pf_weight_decode(x);
    PF_TRY(pf_tensor_new_unset(&t, x->t.dtype, x->t.ndim, x->t.dim));
    if (pf_tensor_count(&t) == 0)
        ;
    else if (x->varints)
        err = pf_onnx_unpack(t.data, t.dtype, pf_tensor_count(&t), x->block, x->varints);
    else if (x->block)
        copy_strided(t.data, x->block + (size_t)x->first * pf_dtype_size(t.dtype), x);
    else
        err = unpack(t.data, x);
    if (err)
        pf_tensor_release(&t);
    else
        x->data = x->owned = t.data;
    return err;
}

pf_err
pf_weight_find(struct pf_weight *x)
{
    const size_t item = pf_dtype_size(x->t.dtype);
    if (!x->data && x->block && !x->varints && !x->scale.data && is_contiguous(x) &&
        pf_tensor_count(&x->t) > 0 && ((uintptr_t)x->block + (size_t)x->first * item) % item == 0)
        x->data = (void *)(x->block + (size_t)x->first * item);
    return x->data ? PF_OK : copy_weight(x);
}

pf_err
pf_checkpoint_read(pf_checkpoint *w, int i, pf_tensor *t)
{
    static pthread_mutex_t finding = PTHREAD_MUTEX_INITIALIZER;
    struct pf_weight *const x = &w->weight[i];
    pthread_mutex_lock(&finding);
    const pf_err err = pf_weight_find(x);
    *t = x->t;
    t->data = x->data;
    pthread_mutex_unlock(&finding);
    return err ? pf_fail_in(err, "%s: tensor %s", w->path, x->name) : PF_OK;
}

pf_err
pf_checkpoint_expect_finite(const pf_checkpoint *w, const char *name, const pf_tensor *t)
{
    const size_t item = pf_dtype_size(t->dtype);
    int64_t first = 0;
    if (!pf_count_odd(t->data, t->dtype, pf_tensor_count(t)))
        return PF_OK;
    while (!pf_count_odd((const char *)t->data + (size_t)first * item, t->dtype, 1))
        first++;
    return pf_fail(PF_EFORMAT, "%s: tensor %s: element %" PRId64 " is not finite; the file is "
                   "damaged", w->path, name, first);
}

pf_err
pf_checkpoint_expect_all_finite(pf_checkpoint *w)
{
    pf_tensor t;
    for (int i = 0; i < w->weights; i++) {
        PF_TRY(pf_checkpoint_read(w, i, &t));
        PF_TRY(pf_checkpoint_expect_finite(w, w->weight[i].name, &t));
    }
    return PF_OK;
}

static size_t
stored_bytes(const struct pf_weight *x)
{
    return x->scale.data ? (size_t)pf_tensor_count(&x->t) : pf_tensor_bytes(&x->t);
}

void
pf_checkpoint_drop(pf_checkpoint *w, int i)
{
    struct pf_weight *x = &w->weight[i];
    const void *const lies = x->scale.data ? x->block : x->owned ? NULL : x->data;
    const size_t bytes = stored_bytes(x), page = (size_t)sysconf(_SC_PAGESIZE);
    if (lies && w->kept == PF_MAPPED && bytes >= MIN_DROP) {
        const uintptr_t first = ((uintptr_t)lies + page - 1) / page * page;
        const uintptr_t end = ((uintptr_t)lies + bytes) / page * page;
        madvise((void *)first, end - first, MADV_DONTNEED);     // read again when it is needed
    }
    free(x->owned);
    x->data = x->owned = NULL;
}

int
pf_checkpoint_checksums(const pf_checkpoint *w)
{
    int n = 0;
    for (int i = 0; i < w->weights; i++)
        n += w->weight[i].entry || w->weight[i].has_crc;
    return n;
}

pf_err
pf_checkpoint_verify_all(pf_checkpoint *w)
{
    if (!pf_checkpoint_checksums(w))
        pf_warn("%s: carries no checksums", w->path);
    for (int i = 0; i < w->weights; i++) {
        PF_TRY(pf_checkpoint_verify(w, i));
        pf_checkpoint_drop(w, i);
    }
    return PF_OK;
}

pf_err
pf_weight_verify(struct pf_weight *x)
{
    if (x->entry)
        return pf_zip_verify(x->entry);
    if (!x->has_crc)
        return PF_OK;
    if (!x->scale.data)
        PF_TRY(pf_weight_find(x));
    const void *const bytes = x->scale.data ? x->block : x->data;
    const uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, stored_bytes(x));
    if (crc != x->crc)
        return pf_fail(PF_EFORMAT, "checksum %08" PRIx32 ", expected %08" PRIx32, crc, x->crc);
    return PF_OK;
}

pf_err
pf_checkpoint_verify(pf_checkpoint *w, int i)
{
    struct pf_weight *const x = &w->weight[i];
    const pf_err err = pf_weight_verify(x);
    return err ? pf_fail_in(err, "%s: tensor %s", w->path, x->name) : PF_OK;
}
