/* dev.cu - a GPU as a device: opening, memory, copies and conversions.
 *
 * The arena and kept memory are dev.c's lists of pieces, here of cudaMalloc.  Weights come straight
 * from the mapped file: raw bytes through two pinned buffers, one of which threads fill while the
 * other is on the bus, into a staging buffer, piece by piece; a kernel converts them on their way
 * to their place.  Small ones follow each other in a buffer: the driver, which has pinned memory of
 * its own, fills it by one thread and may wait for the stream meanwhile.
 *
 * A dry device's stream records from beginning to end and what it recorded is thrown away, so
 * nothing that is launched on it ever runs, but kernels are loaded; copies, and kernels that
 * take tensor maps, are left out by the callers. */
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/cuda.cuh"

pf_err
pf_cuda_failed(cudaError_t e, const char *what)
{
    return pf_fail(e == cudaErrorMemoryAllocation ? PF_ENOMEM : PF_EDEV, "%s: %s", what,
                   cudaGetErrorString(e));
}

pf_err
pf_launched(pf_dev *dev, const char *op)
{
    cudaError_t e = cudaGetLastError();
    if (e == cudaSuccess && dev->cuda->wait)
        e = cudaStreamSynchronize(dev->cuda->stream);
    return e == cudaSuccess ? PF_OK : pf_cuda_failed(e, op);
}

pf_err
pf_cuda_find(int ordinal)
{
    int count = 0;
    const cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess) {             // no GPU, or a driver that is too old
        cudaGetLastError();
        return pf_fail(PF_EDEV, "device cuda:%d: %s; use -d cpu", ordinal, cudaGetErrorString(e));
    }
    if (ordinal >= count)
        return pf_fail(PF_EDEV, "there is no device cuda:%d; this machine has %d", ordinal, count);
    return PF_OK;
}

static pf_err
choose_precision(pf_dev *dev, const char *precision, const cudaDeviceProp *p)
{
    if (!precision)
        precision = p->major >= 8 ? "bf16" : "f16";
    if (!strcmp(precision, "bf16") && p->major < 8)
        return pf_fail(PF_EDEV, "%s does not compute in bf16; use --precision f16 or f32", p->name);
    dev->f8 = !strcmp(precision, "f8");
    if (dev->f8 && p->major != 9)
        return pf_fail(PF_EDEV, "%s does not compute in f8, which takes a GPU of the Hopper "
                       "generation; use --precision bf16", p->name);
    dev->tf32 = !strcmp(precision, "tf32");
    if (dev->tf32 || !strcmp(precision, "f32"))
        dev->act = PF_F32;
    else if (!strcmp(precision, "f16"))
        dev->act = PF_F16;
    else if (dev->f8 || !strcmp(precision, "bf16"))
        dev->act = PF_BF16;
    else
        return pf_fail(PF_EARG, "there is no precision \"%s\"; known are f32, tf32, f16, bf16 and "
                       "f8", precision);
    return PF_OK;
}

/* What a device computes with; a dry one gets no memory and a stream that only records. */
static pf_err
open_stream(pf_dev *dev, struct pf_cuda *c)
{
    dev->workspace = PF_WORK_BYTES;
    PF_CUDA_TRY(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                "cannot make a CUDA stream");
    if (!dev->dry)
        PF_CUDA_TRY(cudaMalloc(&c->work, PF_WORK_BYTES), "no GPU memory for copies and cublasLt");
    if (dev->dry)                       // what follows may run while the stream records
        PF_TRY(pf_blas_start(c));
    if (dev->dry)
        PF_CUDA_TRY(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeRelaxed),
                    "cannot make a CUDA stream record");
    return PF_OK;
}

pf_err
pf_cuda_open(pf_dev *dev, int ordinal, const char *precision)
{
    const char *const sync = getenv("PF_SYNC");
    cudaDeviceProp p;
    PF_TRY(pf_cuda_find(ordinal));
    PF_CUDA_TRY(cudaSetDevice(ordinal), "cannot use the GPU");
    PF_CUDA_TRY(cudaGetDeviceProperties(&p, ordinal), "cannot ask the GPU what it is");
    PF_TRY(choose_precision(dev, precision, &p));
    struct pf_cuda *const c = (struct pf_cuda *)calloc(1, sizeof *c);
    if (!c)
        return pf_fail(PF_ENOMEM, "no memory for a device");
    dev->cuda = c;                      // from here on pf_dev_close releases what there is
    c->ordinal = ordinal;
    c->processors = p.multiProcessorCount;
    c->shared_bytes = p.sharedMemPerBlockOptin;
    c->wait = sync && strcmp(sync, "0") && !dev->dry;
    snprintf(dev->name, sizeof dev->name, "%.*s", (int)sizeof dev->name - 1, p.name);
    return open_stream(dev, c);
}

void
pf_cuda_close(pf_dev *dev)
{
    struct pf_cuda *const c = dev->cuda;
    cudaGraph_t recorded = NULL;
    if (c->stream && dev->dry)
        cudaStreamEndCapture(c->stream, &recorded);
    else if (c->stream)
        cudaStreamSynchronize(c->stream);
    if (recorded)
        cudaGraphDestroy(recorded);
    cudaGetLastError();                 // of a recording that failed: it has been reported
    pf_blas_wait(c);
    if (c->blas)
        cublasLtDestroy(c->blas);
    cudaFree(c->work);
    for (int i = 0; i < 2; i++) {
        cudaFreeHost(c->pinned[i]);
        if (c->sent[i])
            cudaEventDestroy(c->sent[i]);
    }
    if (c->stream)
        cudaStreamDestroy(c->stream);
    free(c->plans);
    free(c);
    dev->cuda = NULL;
}

void *
pf_cuda_malloc(size_t size)
{
    void *data = NULL;
    if (cudaMalloc(&data, size) != cudaSuccess) {
        cudaGetLastError();             // the caller says what was wanted
        return NULL;
    }
    return data;
}

void
pf_cuda_free(void *data)
{
    cudaFree(data);
}

size_t
pf_cuda_free_bytes(void)
{
    size_t free_bytes = 0, all = 0;
    return cudaMemGetInfo(&free_bytes, &all) == cudaSuccess ? free_bytes : 0;
}

pf_err
pf_cuda_sync(pf_dev *dev)
{
    PF_CUDA_TRY(cudaStreamSynchronize(pf_cuda_stream(dev)), "the GPU failed");
    return PF_OK;
}

// ---- conversions ----

static __device__ __forceinline__ float pf_load(double v) { return (float)v; }
template <> __device__ __forceinline__ double pf_store<double>(float v) { return v; }

// Four numbers a thread; f64 goes through f32 like everything else.
template <typename To, typename From> static __global__ void
convert(To *to, const From *from, int64_t n)
{
    const int64_t i = 4 * (blockIdx.x * (int64_t)blockDim.x + threadIdx.x);
    for (int64_t k = i; k < i + 4 && k < n; k++)
        to[k] = pf_store<To>(pf_load(from[k]));
}

template <typename To> static void
convert_from(pf_dev *dev, To *to, const void *from, pf_dtype type, int64_t n)
{
    const unsigned blocks = pf_blocks(n, 4 * 256);
    if (type == PF_F64)
        convert<To><<<blocks, 256, 0, pf_cuda_stream(dev)>>>(to, (const double *)from, n);
    else
        PF_FOR_TYPE(type, From, convert<To><<<blocks, 256, 0, pf_cuda_stream(dev)>>>(
            to, (const From *)from, n));
}

static pf_err
convert_any(pf_dev *dev, void *to, pf_dtype to_type, const void *from, pf_dtype from_type,
            int64_t n)
{
    if (n == 0)
        return PF_OK;
    if (to_type == PF_F64)
        convert_from(dev, (double *)to, from, from_type, n);
    else
        PF_FOR_TYPE(to_type, To, convert_from(dev, (To *)to, from, from_type, n));
    return pf_launched(dev, "conversion");
}

pf_err
pf_cuda_cast(pf_dev *dev, pf_tensor *to, const pf_tensor *from)
{
    if (to->dtype != from->dtype)
        return convert_any(dev, to->data, to->dtype, from->data, from->dtype, pf_tensor_count(to));
    PF_CUDA_TRY(cudaMemcpyAsync(to->data, from->data, pf_tensor_bytes(to), cudaMemcpyDeviceToDevice,
                                pf_cuda_stream(dev)),
                "copy on the GPU");
    return PF_OK;
}

pf_err
pf_cuda_zero(pf_dev *dev, pf_tensor *t)
{
    PF_CUDA_TRY(cudaMemsetAsync(t->data, 0, pf_tensor_bytes(t), pf_cuda_stream(dev)),
                "zeros on the GPU");
    return PF_OK;
}

// ---- between host and device ----

static bool
has_pinned(struct pf_cuda *c)
{
    for (int i = 0; i < 2; i++)
        if (!c->pinned[i] &&
            ((!c->sent[i] &&
              cudaEventCreateWithFlags(&c->sent[i], cudaEventDisableTiming) != cudaSuccess) ||
             cudaHostAlloc(&c->pinned[i], PF_PINNED_BYTES, cudaHostAllocDefault) != cudaSuccess)) {
            cudaGetLastError();         // not an error: only slower
            return false;
        }
    return true;
}

/* Room for more numbers in the buffer that is being filled, or else in the other one, as soon as
 * that one has arrived. */
static pf_err
make_room(struct pf_cuda *c)
{
    c->filled = (c->filled + 63) / 64 * 64;
    if (c->filled < PF_PINNED_BYTES)
        return PF_OK;
    PF_CUDA_TRY(cudaEventRecord(c->sent[c->turn], c->stream), "copy to the GPU");
    c->turn ^= 1;
    c->filled = 0;
    PF_CUDA_TRY(cudaEventSynchronize(c->sent[c->turn]), "copy to the GPU");
    return PF_OK;
}

pf_err
pf_cuda_send(pf_dev *dev, void *to, const void *host, pf_dtype dtype, int64_t n)
{
    struct pf_cuda *const c = dev->cuda;
    const int64_t size = (int64_t)pf_dtype_size(dtype);
    const bool few = n < PF_PINNED_BYTES / size / 8;
    if ((few && !c->pinned[1]) || !has_pinned(c)) {     // the driver has buffers of its own
        dev->odd += pf_count_odd(host, dtype, n);
        PF_CUDA_TRY(
            cudaMemcpyAsync(to, host, (size_t)(n * size), cudaMemcpyHostToDevice, c->stream),
            "copy to the GPU");
        return PF_OK;
    }
    for (int64_t i = 0, m; i < n; i += m) {
        PF_TRY(make_room(c));
        const int64_t room = ((int64_t)PF_PINNED_BYTES - c->filled) / size;
        char *const at = (char *)c->pinned[c->turn] + c->filled;
        m = n - i < room ? n - i : room;
        dev->odd += pf_copy_numbers(at, (const char *)host + i * size, dtype, m);
        c->filled += m * size;
        PF_CUDA_TRY(cudaMemcpyAsync((char *)to + i * size, at, (size_t)(m * size),
                                    cudaMemcpyHostToDevice, c->stream),
                    "copy to the GPU");
    }
    return PF_OK;
}

pf_err
pf_cuda_put(pf_dev *dev, pf_tensor *to, const pf_tensor *host)
{
    const size_t a = pf_dtype_size(host->dtype), b = pf_dtype_size(to->dtype);
    const int64_t n = pf_tensor_count(to), most = PF_WORK_BYTES / (int64_t)a;
    if (to->dtype == host->dtype)
        return pf_cuda_send(dev, to->data, host->data, host->dtype, n);
    for (int64_t i = 0; i < n; i += most) {
        const int64_t m = n - i < most ? n - i : most;
        PF_TRY(pf_cuda_send(dev, dev->cuda->work, (const char *)host->data + i * (int64_t)a,
                            host->dtype, m));
        PF_TRY(convert_any(dev, (char *)to->data + i * (int64_t)b, to->dtype, dev->cuda->work,
                           host->dtype, m));
    }
    return PF_OK;
}

pf_err
pf_cuda_get(pf_dev *dev, pf_tensor *host, const pf_tensor *from)
{
    const cudaStream_t stream = pf_cuda_stream(dev);
    const size_t a = pf_dtype_size(host->dtype), b = pf_dtype_size(from->dtype);
    const int64_t n = pf_tensor_count(host), most = PF_WORK_BYTES / (int64_t)a;
    if (host->dtype == from->dtype) {
        PF_CUDA_TRY(
            cudaMemcpyAsync(host->data, from->data, (size_t)n * a, cudaMemcpyDeviceToHost, stream),
            "copy from the GPU");
    } else {
        for (int64_t i = 0; i < n; i += most) {
            const int64_t m = n - i < most ? n - i : most;
            PF_TRY(convert_any(dev, dev->cuda->work, host->dtype,
                               (const char *)from->data + i * (int64_t)b, from->dtype, m));
            PF_CUDA_TRY(cudaMemcpyAsync((char *)host->data + i * (int64_t)a, dev->cuda->work,
                                        (size_t)m * a, cudaMemcpyDeviceToHost, stream),
                        "copy from the GPU");
        }
    }
    PF_CUDA_TRY(cudaStreamSynchronize(stream), "the GPU failed");
    return PF_OK;
}

// ---- graphs ----

struct pf_graph {
    cudaGraphExec_t exec;               // null: the next run is an ordinary one, or recorded
    cudaEvent_t done[2];                // of the last two launches
    int64_t runs;
    int64_t changes;                    // of the arena, before the last run
};

static pf_err
record(pf_dev *dev, pf_graph *g, pf_err (*work)(void *ctx), void *ctx)
{
    cudaGraph_t graph = NULL;
    PF_CUDA_TRY(cudaStreamBeginCapture(pf_cuda_stream(dev), cudaStreamCaptureModeRelaxed),
                "cannot record a graph");
    const pf_err err = work(ctx);
    const cudaError_t e = cudaStreamEndCapture(pf_cuda_stream(dev), &graph);
    if (err)
        return err;
    PF_CUDA_TRY(e, "cannot record a graph");
    const cudaError_t made = cudaGraphInstantiate(&g->exec, graph, 0);
    cudaGraphDestroy(graph);
    PF_CUDA_TRY(made, "cannot make a graph");
    return PF_OK;
}

pf_err
pf_cuda_replay(pf_dev *dev, pf_graph **to, pf_err (*work)(void *ctx), void *ctx)
{
    if (!*to && !(*to = (pf_graph *)calloc(1, sizeof **to)))
        return pf_fail(PF_ENOMEM, "no memory for a graph");
    pf_graph *const g = *to;
    const bool same = g->runs && g->changes == dev->changes;
    cudaEvent_t *const done = &g->done[g->runs % 2];
    if (!*done)
        PF_CUDA_TRY(cudaEventCreateWithFlags(done, cudaEventDisableTiming),
                    "cannot make a CUDA event");
    PF_CUDA_TRY(cudaEventSynchronize(*done), "the GPU failed");
    if (g->exec && !same) {             // it may know memory that is gone
        PF_TRY(pf_cuda_sync(dev));
        cudaGraphExecDestroy(g->exec);
        g->exec = NULL;
    } else if (!g->exec && same && !dev->cuda->wait)
        PF_TRY(record(dev, g, work, ctx));
    g->changes = dev->changes;
    if (g->exec)
        PF_CUDA_TRY(cudaGraphLaunch(g->exec, pf_cuda_stream(dev)), "cannot launch a graph");
    else
        PF_TRY(work(ctx));
    PF_CUDA_TRY(cudaEventRecord(*done, pf_cuda_stream(dev)), "cannot record a CUDA event");
    g->runs++;
    return PF_OK;
}

void
pf_cuda_graph_free(pf_graph *g)
{
    for (int i = 0; i < 2; i++)
        if (g->done[i])
            cudaEventDestroy(g->done[i]);
    if (g->exec)
        cudaGraphExecDestroy(g->exec);
    free(g);
}
