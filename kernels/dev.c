/* dev.c - devices: arena, kept memory, copies.  What is different on a GPU is in dev.cu.
 *
 * The arena is a list of chunks.  A mark is a position in the line that the chunks form end to end;
 * an allocation that does not fit the rest of a chunk goes to the next one.  Once everything is
 * free and there are several chunks they are replaced by one as large as the peak, or as what is
 * expected.
 *
 * What is kept is memory of its own on the CPU, where sanitizers see its ends, and on a GPU out of
 * large pieces (shelf.h): a model has 1800 weights, and cudaMalloc takes its time for each. */
#include <dlfcn.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/mapped.h"
#include "common/output.h"
#include "common/text.h"
#include "kernels/dev_priv.h"

enum { ALIGN = 64, CHUNK_BYTES = 32 << 20 };

struct pf_chunk {
    struct pf_chunk *next;
    size_t base;                /* position of this chunk's first byte */
    size_t size, used;
    char *data;
};

struct pf_kept {
    struct pf_kept *next;
    size_t size;
    void *data;
    pf_release *release;
};

static size_t
round_up(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Bytes of what is kept, and of the unused ends of its pieces. */
static size_t
kept_bytes(const pf_dev *dev)
{
    return dev->kept + dev->shelf.bytes - dev->shelf.used;
}

static pf_err
no_memory(size_t bytes, const char *what)
{
    return pf_fail(PF_ENOMEM, "no memory for %.1f MB of %s", (double)bytes / 1e6, what);
}

/* The same, and on a GPU how much of it is in use and free. */
static pf_err
no_device_memory(const pf_dev *dev, size_t bytes, const char *what)
{
    if (!PF_CUDA || !dev->cuda)
        return no_memory(bytes, what);
    const size_t held = kept_bytes(dev) + dev->chunks + dev->workspace;
    return pf_fail(
        PF_ENOMEM, "the GPU has no %.1f MB for %s: this run holds %.1f MB, %.1f MB are free",
        (double)bytes / 1e6, what, (double)held / 1e6, (double)pf_cuda_free_bytes() / 1e6);
}

/* Addresses that nothing else has and that stop whoever touches them; NULL if there are none
 * left. */
static void *
get_addresses(size_t size)
{
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *const none = mmap(NULL, size, PROT_NONE, how, -1, 0);
    return none == MAP_FAILED ? NULL : none;
}

static void *
get_memory(const pf_dev *dev, size_t size)
{
    if (dev->dry)
        return get_addresses(size);
    return PF_CUDA && dev->cuda ? pf_cuda_malloc(size) : pf_memory_new(size);
}

static void
free_memory(pf_dev *dev, void *data, size_t size)
{
    if (dev->dry)
        munmap(data, size);
    else if (PF_CUDA && dev->cuda)
        pf_cuda_free(data);
    else
        free(data);
}

/* What oneDNN throws where there is no memory ends the program by abort, which has a sentence of
 * its own (output.h); the C++ library would say two more. */
static void
end_quietly(void)
{
    void *(*set_terminate)(void (*)(void));
    void *const p = dlsym(RTLD_DEFAULT, "_ZSt13set_terminatePFvvE");

    memcpy(&set_terminate, &p, sizeof set_terminate);
    if (p)
        set_terminate(abort);
}

/* Whether this CPU has instructions that multiply bf16 numbers. */
static bool
has_bf16(void)
{
#ifdef __x86_64__
    const int bf16 = dnnl_cpu_isa_avx512_core_bf16;
    return ((int)dnnl_get_effective_cpu_isa() & bf16) == bf16;
#else
    return false;
#endif
}

static pf_err
open_cpu(pf_dev *d, const char *precision)
{
    d->halves = precision && !strcmp(precision, "bf16");
    if (d->halves && !has_bf16())
        return pf_fail(PF_EDEV, "this CPU does not compute in bf16, which takes AVX512-BF16 or "
                       "AMX; use --precision f32");
    if (precision && !d->halves && strcmp(precision, "f32"))
        return pf_fail(PF_EARG, "the CPU computes in f32 or bf16, not in \"%s\"", precision);
    const int threads = omp_get_max_threads();
    snprintf(d->name, sizeof d->name, "cpu (%d thread%s)", threads, threads == 1 ? "" : "s");
    end_quietly();
    const char *const was = pf_output_blame("oneDNN");
    const bool begun =
        dnnl_engine_create(&d->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) == dnnl_success;
    pf_output_blame(was);
    return begun ? PF_OK : pf_fail(PF_EDEV, "oneDNN cannot be started on this CPU");
}

/* auto: the first GPU, or else the CPU.  Where the kernel has NVIDIA's driver somebody expects the
 * GPU, and hours of the CPU should not come as a surprise. */
static int
choose_device(void)
{
    static bool warned;
    const bool found = PF_CUDA && pf_cuda_load(0) == PF_OK && pf_cuda_find(0) == PF_OK;
    if (PF_CUDA && !found && !warned && access("/dev/nvidiactl", F_OK) == 0) {
        warned = true;
        pf_warn("the CPU is used, although this machine has an NVIDIA driver: %s", pf_error());
    }
    return found ? 0 : PF_CPU;
}

static pf_err
open_device(pf_dev **dev, const char *name, const char *precision, bool dry)
{
    *dev = NULL;
    int ordinal = PF_AUTO;
    if (name && !pf_parse_device(&ordinal, name))
        return pf_fail(PF_EARG, "there is no device \"%s\"; known are auto, cpu, cuda and cuda:N",
                       name);
    if (ordinal == PF_AUTO)
        ordinal = choose_device();
    if (!PF_CUDA && ordinal >= 0)
        return pf_fail(PF_EDEV, "device %s: this program was built without CUDA; use -d cpu", name);
    if (PF_CUDA && ordinal >= 0)
        PF_TRY(pf_cuda_load(ordinal));
    pf_dev *d = calloc(1, sizeof *d);
    if (!d)
        return no_memory(sizeof *d, "device");
    d->dry = dry;
    const pf_err err = PF_CUDA && ordinal >= 0 ? pf_cuda_open(d, ordinal, precision)
                                               : open_cpu(d, precision);
    if (err)
        pf_dev_close(d);
    else
        *dev = d;
    return err;
}

pf_err
pf_dev_open(pf_dev **dev, const char *name, const char *precision)
{
    return open_device(dev, name, precision, false);
}

pf_err
pf_dev_open_dry(pf_dev **dev, const char *name, const char *precision)
{
    return open_device(dev, name, precision, true);
}

static void
free_chunk(pf_dev *dev, struct pf_chunk *c)
{
    dev->chunks -= c->size;
    dev->changes++;
    free_memory(dev, c->data, c->size);
    free(c);
}

static void
free_chunks(pf_dev *dev)
{
    for (struct pf_chunk *c = dev->first, *next; c; c = next) {
        next = c->next;
        free_chunk(dev, c);
    }
    dev->first = dev->current = NULL;
}

static void
free_kept(pf_dev *dev)
{
    for (struct pf_kept *k = dev->blocks, *next; k; k = next) {
        next = k->next;
        k->release(dev, k->data, k->size);
        free(k);
    }
    dev->blocks = NULL;
}

static void
free_board(void *dev, void *data, size_t size)
{
    free_memory(dev, data, size);
}

void
pf_dev_close(pf_dev *dev)
{
    if (!dev)
        return;
    free_kept(dev);
    pf_shelf_release(&dev->shelf, free_board, dev);
    free_chunks(dev);
    if (dev->stream)
        dnnl_stream_destroy(dev->stream);
    if (dev->engine)
        dnnl_engine_destroy(dev->engine);
    if (PF_CUDA && dev->cuda)
        pf_cuda_close(dev);
    free(dev);
}

const char *
pf_dev_name(const pf_dev *dev)
{
    return dev->name;
}

bool
pf_dev_is_cuda(const pf_dev *dev)
{
    return dev->cuda != NULL;
}

bool
pf_dev_is_dry(const pf_dev *dev)
{
    return dev->dry;
}

pf_dtype
pf_dev_dtype(const pf_dev *dev)
{
    return dev->act;
}

bool
pf_dev_tf32(const pf_dev *dev)
{
    return dev->tf32;
}

bool
pf_dev_f8(const pf_dev *dev)
{
    return dev->f8;
}

pf_err
pf_dev_sync(pf_dev *dev)
{
    const bool busy = PF_CUDA && dev->cuda && !dev->dry;        /* CPU operators are done */
    return busy ? pf_cuda_sync(dev) : PF_OK;
}

int64_t
pf_dev_odd(const pf_dev *dev)
{
    return dev->odd;
}

int64_t
pf_copy_numbers(void *to, const void *from, pf_dtype dtype, int64_t n)
{
    // In sixteen pieces, however few there are: a thread reads 64 KB about as fast as 1 MB, and
    // more threads wait for each other in the kernel (SPEED.md).
    const int64_t size = (int64_t)pf_dtype_size(dtype), least = (64 << 10) / size;
    const int64_t share = (n + 15) / 16, piece = share < least ? least : share;
    int64_t odd = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : odd) if (n > piece)
    for (int64_t i = 0; i < n; i += piece) {
        const int64_t m = n - i < piece ? n - i : piece;
        char *const at = (char *)to + i * size;
        pf_copy_mapped(at, (const char *)from + i * size, (size_t)(m * size));
        odd += pf_count_odd(at, dtype, m);
    }
    return odd;
}

/* ---- arena ---- */

/* Make the chunk behind dev->current able to take size bytes, and the current one. */
static pf_err
next_chunk(pf_dev *dev, size_t size)
{
    struct pf_chunk *const here = dev->current;
    struct pf_chunk **link = here ? &here->next : &dev->first;
    if (*link && (*link)->size < size) {        /* all behind the current one is free */
        struct pf_chunk *const small = *link;
        *link = small->next;
        free_chunk(dev, small);
        return next_chunk(dev, size);
    }
    if (!*link) {
        const size_t most = dev->peak > dev->expected ? dev->peak : dev->expected;
        size_t want = dev->first ? CHUNK_BYTES : round_up(most);
        want = want < CHUNK_BYTES ? CHUNK_BYTES : want;
        want = want < size ? size : want;
        struct pf_chunk *const c = calloc(1, sizeof *c);
        if (c)
            c->data = get_memory(dev, want);
        if (!c || !c->data) {
            free(c);
            return no_device_memory(dev, want, "activations");
        }
        c->size = want;
        *link = c;
        dev->chunks += want;
        dev->changes++;
        dev->most_chunks = dev->chunks > dev->most_chunks ? dev->chunks : dev->most_chunks;
    }
    dev->current = *link;
    dev->current->base = here ? here->base + here->size : 0;
    dev->current->used = 0;
    return PF_OK;
}

pf_err
pf_dev_alloc(pf_dev *dev, pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
{
    size_t bytes;
    PF_TRY(pf_shape_bytes(&bytes, dtype, ndim, dim));
    const size_t size = round_up(bytes ? bytes : 1);
    if (!dev->current || dev->current->size - dev->current->used < size)
        PF_TRY(next_chunk(dev, size));
    struct pf_chunk *const c = dev->current;
    *t = pf_tensor_view(c->data + c->used, dtype, ndim, dim);
    c->used += size;
    dev->in_use += size;
    dev->peak = dev->in_use > dev->peak ? dev->in_use : dev->peak;
    return PF_OK;
}

size_t
pf_dev_mark(pf_dev *dev)
{
    return dev->current ? dev->current->base + dev->current->used : 0;
}

void
pf_dev_reset(pf_dev *dev, size_t mark)
{
    if (mark == 0 && dev->first && dev->first->next)
        free_chunks(dev);       /* one of the peak's size follows */
    size_t in_use = 0;
    struct pf_chunk *last = dev->first;
    for (struct pf_chunk *c = dev->first; c; c = c->next) {
        if (c->base + c->used > mark || c->base >= mark)
            c->used = c->base < mark ? mark - c->base : 0;
        if (c == dev->first || c->base < mark)
            last = c;
        in_use += c->used;
        if (c == dev->current)
            break;
    }
    dev->current = last;
    dev->in_use = in_use;
}

void
pf_dev_trim(pf_dev *dev)
{
    free_chunks(dev);
    dev->in_use = 0;
}

void
pf_dev_expect(pf_dev *dev, size_t bytes)
{
    if (!bytes)
        return;
    pf_dev_trim(dev);
    dev->expected = bytes;
}

size_t
pf_dev_peak(const pf_dev *dev)
{
    return dev->peak;
}

/* ---- kept memory, copies ---- */

size_t
pf_dev_kept(const pf_dev *dev)
{
    return dev->kept;
}

size_t
pf_dev_need(const pf_dev *dev)
{
    return kept_bytes(dev) + dev->most_chunks + dev->workspace;
}

/* What Linux thinks can be had without swapping. */
static size_t
free_host_bytes(void)
{
    char line[128];
    unsigned long long kb, found = 0;
    FILE *const f = fopen("/proc/meminfo", "r");
    while (f && !found && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
            found = kb;
    if (f)
        fclose(f);
    return (size_t)found << 10;
}

size_t
pf_dev_free_bytes(const pf_dev *dev)
{
    return PF_CUDA && dev->cuda ? pf_cuda_free_bytes() : free_host_bytes();
}

pf_err
pf_dev_at_close(pf_dev *dev, pf_release *release, void *data, size_t size)
{
    struct pf_kept *const k = malloc(sizeof *k);
    if (!k)
        return no_memory(sizeof *k, "what a device keeps");
    *k = (struct pf_kept){dev->blocks, size, data, release};
    dev->blocks = k;
    dev->kept += size;
    return PF_OK;
}

/* Of the GPU's shelf.  Near its memory's end a board may be no larger than what is wanted. */
static pf_err
keep_on_shelf(pf_dev *dev, void **data, size_t size)
{
    if ((*data = pf_shelf_take(&dev->shelf, size))) {
        dev->kept += size;
        return PF_OK;
    }
    size_t board = pf_shelf_next(&dev->shelf, size);
    void *more = get_memory(dev, board);
    if (!more && board > size)
        more = get_memory(dev, board = size);
    if (!more)
        return no_device_memory(dev, size, "weights and constants");
    const pf_err err = pf_shelf_add(&dev->shelf, more, board);
    if (err) {
        free_memory(dev, more, board);
        return err;
    }
    return keep_on_shelf(dev, data, size);
}

static pf_err
keep_alone(pf_dev *dev, void **data, size_t size)
{
    if (!(*data = get_memory(dev, size)))
        return no_memory(size, "weights and constants");
    const pf_err err = pf_dev_at_close(dev, free_memory, *data, size);
    if (err)
        free_memory(dev, *data, size);
    return err;
}

pf_err
pf_dev_keep(pf_dev *dev, pf_tensor *t, pf_dtype dtype, int ndim, const int64_t *dim)
{
    size_t bytes;
    void *data;
    PF_TRY(pf_shape_bytes(&bytes, dtype, ndim, dim));
    const size_t size = round_up(bytes ? bytes : 1);
    PF_TRY(PF_CUDA && dev->cuda ? keep_on_shelf(dev, &data, size) : keep_alone(dev, &data, size));
    *t = pf_tensor_view(data, dtype, ndim, dim);
    return PF_OK;
}

/* Copies are between tensors of one shape, of one type or to a float type; a GPU converts between
 * float types alone. */
static pf_err
check_copy(const pf_dev *dev, const pf_tensor *to, const pf_tensor *from)
{
    char a[128], b[128];
    const bool converts = pf_is_float(to->dtype) && (pf_is_float(from->dtype) || !dev->cuda);
    if (to->ndim != from->ndim ||
        memcmp(to->dim, from->dim, (size_t)to->ndim * sizeof to->dim[0]) ||
        (to->dtype != from->dtype && !converts))
        return pf_fail(PF_ESHAPE, "cannot copy %s to %s", pf_tensor_describe(a, sizeof a, from),
                       pf_tensor_describe(b, sizeof b, to));
    return PF_OK;
}

/* What is not of one type goes through f32, piece by piece. */
static void
convert(pf_tensor *to, const pf_tensor *from)
{
    const int64_t n = pf_tensor_count(to);
    if (to->dtype == from->dtype) {
        if (n)
            memcpy(to->data, from->data, pf_tensor_bytes(to));
        return;
    }
    float part[1024];
    for (int64_t i = 0; i < n; i += 1024) {
        const int64_t m = n - i < 1024 ? n - i : 1024;
        pf_to_f32(part, (const char *)from->data + (size_t)i * pf_dtype_size(from->dtype),
                  from->dtype, m);
        pf_from_f32((char *)to->data + (size_t)i * pf_dtype_size(to->dtype), part, to->dtype, m);
    }
}

pf_err
pf_dev_put(pf_dev *dev, pf_tensor *to, const pf_tensor *host)
{
    PF_TRY(check_copy(dev, to, host));
    if (dev->dry)
        return PF_OK;
    if (PF_CUDA && dev->cuda)
        return pf_cuda_put(dev, to, host);
    convert(to, host);
    return PF_OK;
}

pf_err
pf_dev_get(pf_dev *dev, pf_tensor *host, const pf_tensor *from)
{
    PF_TRY(check_copy(dev, host, from));
    if (dev->dry) {
        if (pf_tensor_count(host))
            memset(host->data, 0, pf_tensor_bytes(host));
        return PF_OK;
    }
    if (PF_CUDA && dev->cuda)
        return pf_cuda_get(dev, host, from);
    convert(host, from);
    return PF_OK;
}

pf_err
pf_dev_cast(pf_dev *dev, pf_tensor *to, const pf_tensor *from)
{
    PF_TRY(check_copy(dev, to, from));
    if (dev->dry)
        return PF_OK;
    if (PF_CUDA && dev->cuda)
        return pf_cuda_cast(dev, to, from);
    convert(to, from);
    return PF_OK;
}

pf_err
pf_dev_zero(pf_dev *dev, pf_tensor *t)
{
    if (dev->dry || !pf_tensor_bytes(t))
        return PF_OK;
    if (PF_CUDA && dev->cuda)
        return pf_cuda_zero(dev, t);
    memset(t->data, 0, pf_tensor_bytes(t));
    return PF_OK;
}

pf_err
pf_dev_vector(pf_dev *dev, pf_tensor *t, const pf_tensor *host)
{
    if (!pf_is_float(host->dtype) || host->ndim != 1)
        return pf_tensor_expect(host, "vector", PF_F32, 1, (int64_t[]){-1});
    PF_TRY(pf_dev_keep(dev, t, PF_F32, 1, host->dim));
    return pf_dev_put(dev, t, host);
}

pf_err
pf_replay(pf_dev *dev, pf_graph **g, pf_err (*work)(void *ctx), void *ctx)
{
    return PF_CUDA && dev->cuda && !dev->dry ? pf_cuda_replay(dev, g, work, ctx) : work(ctx);
}

void
pf_graph_free(pf_graph *g)
{
    if (PF_CUDA && g)
        pf_cuda_graph_free(g);
}
