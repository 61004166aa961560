/* device_time - what a GPU did while a program ran: a library that the driver loads into the
 * program, which need not know of it.  bench_tools uses it; by hand:
 *
 *     make bench
 *     export CUDA_INJECTION64_PATH=$PWD/build/release-cuda/tests/bench/libpf_device_time.so
 *     PF_DEVICE_TIME=out.json pf-sample ...
 *
 * LD_PRELOAD instead of CUDA_INJECTION64_PATH does it too.
 *
 * When the program ends, out.json gets one more line, a JSON object:
 *
 *     program, pid
 *     busy_ms                 some kernel, copy or fill was at work; what overlaps counts once
 *     kernel_ms, copy_ms      summed durations: of kernels, of copies and fills
 *     span_ms                 from the first start to the last end
 *     peak_bytes              most device memory allocated at once; the driver's own is not in it
 *     kernels, copies         how many; those of a CUDA graph are seen one by one
 *     dropped                 records that were lost, so that the rest is too little
 *     unfinished              work that had not ended when the program did: not in the times
 *     table                   [{name, calls, total_ms, mean_us}], by short name, longest first
 *
 * CUPTI's activity records are all it needs: no counters, no rights.  Graphs run their nodes one by
 * one while it watches, and each record costs the host about a microsecond, so wall time is to be
 * taken without it. */
#include <cupti.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The records of the header's own release.  Later ones only add members at the end, and keep these
 * names. */
#if CUPTI_API_VERSION >= 130000         /* CUDA 13 */
typedef CUpti_ActivityKernel10 kernel_record;
typedef CUpti_ActivityMemcpy6 copy_record;
typedef CUpti_ActivityMemory4 memory_record;
#else                                   /* CUDA 12 */
typedef CUpti_ActivityKernel9 kernel_record;
typedef CUpti_ActivityMemcpy5 copy_record;
typedef CUpti_ActivityMemory3 memory_record;
#endif
typedef CUpti_ActivityMemset4 fill_record;

enum { BUFFER_BYTES = 8 << 20 };

struct list {
    void *item;
    size_t n, room;
};

struct interval {               /* nanoseconds */
    uint64_t start, end;
};

struct change {                 /* an allocation of device memory, or a release: bytes is 0 */
    uint64_t time, address, bytes;
    size_t order;               /* its place among those of one time */
};

struct kernel {
    const char *key;            /* CUPTI's string, the same in every record */
    char *name;
    uint64_t calls, total;
};

/* CUPTI hands over its buffers in a thread of its own. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list work, changes, kernels;      /* their items: interval, change, kernel */
static uint64_t kernel_count, kernel_time, copy_count, copy_time, dropped, unfinished;

int InitializeInjection(void);                  /* what the driver looks for */
/* libstdc++ has it, whose header is C++. */
char *__cxa_demangle(const char *mangled, char *buf, size_t *size, int *status);

/* ---- collecting ---- */

/* Room for one more item, zeroed; NULL, and one record dropped, where there is no memory. */
static void *
append(struct list *l, size_t size)
{
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 1024;
        void *const more = realloc(l->item, room * size);
        if (!more) {
            dropped++;
            return NULL;
        }
        l->item = more;
        l->room = room;
    }
    return memset((char *)l->item + size * l->n++, 0, size);
}

/* Note when something was at work; returns how long, 0 if it did not end. */
static uint64_t
worked(uint64_t start, uint64_t end)
{
    struct interval *i;
    if (!start || end < start) {
        unfinished++;
        return 0;
    }
    if ((i = append(&work, sizeof *i)))
        *i = (struct interval){start, end};
    return end - start;
}

static struct kernel *
find_kernel(const char *name)
{
    struct kernel *k = kernels.item;
    for (size_t i = 0; i < kernels.n; i++)
        if (k[i].key == name && !strcmp(k[i].name, name))
            return &k[i];
    char *const copy = strdup(name);
    if (!copy || !(k = append(&kernels, sizeof *k))) {
        free(copy);
        return NULL;
    }
    k->key = name;
    k->name = copy;
    return k;
}

static void
take_kernel(const kernel_record *r)
{
    const uint64_t time = worked(r->start, r->end);
    struct kernel *const k = find_kernel(r->name ? r->name : "(no name)");
    kernel_count++;
    kernel_time += time;
    if (k) {
        k->calls++;
        k->total += time;
    }
}

static void
take_copy(uint64_t start, uint64_t end)
{
    copy_count++;
    copy_time += worked(start, end);
}

static void
take_memory(const memory_record *r)
{
    const bool release = r->memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE;
    struct change *c;
    if (r->memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE ||
        r->memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_PINNED)
        return;                         /* the host's */
    if ((release || r->bytes) && (c = append(&changes, sizeof *c)))
        *c = (struct change){r->timestamp, r->address, release ? 0 : r->bytes, changes.n};
}

static void
take(const CUpti_Activity *record)
{
    const void *const r = record;
    switch ((int)record->kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        take_kernel(r);
        break;
    case CUPTI_ACTIVITY_KIND_MEMCPY:
        take_copy(((const copy_record *)r)->start, ((const copy_record *)r)->end);
        break;
    case CUPTI_ACTIVITY_KIND_MEMSET:
        take_copy(((const fill_record *)r)->start, ((const fill_record *)r)->end);
        break;
    case CUPTI_ACTIVITY_KIND_MEMORY2:
        take_memory(r);
        break;
    }
}

static void CUPTIAPI
buffer_requested(uint8_t **buffer, size_t *size, size_t *most_records)
{
    *buffer = malloc(BUFFER_BYTES);
    *size = *buffer ? BUFFER_BYTES : 0; /* none: CUPTI drops records, and counts them */
    *most_records = 0;                  /* as many as fit */
}

static void CUPTIAPI
buffer_completed(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    CUpti_Activity *record = NULL;
    size_t lost = 0;
    (void)size;
    pthread_mutex_lock(&lock);
    while (valid && cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS)
        take(record);
    if (cuptiActivityGetNumDroppedRecords(context, stream, &lost) == CUPTI_SUCCESS)
        dropped += lost;
    pthread_mutex_unlock(&lock);
    free(buffer);
}

/* ---- adding up ---- */

static int
by_start(const void *a, const void *b)
{
    const struct interval *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Nanoseconds in which something was at work, and from the first start to the last end. */
static uint64_t
busy_time(uint64_t *span)
{
    struct interval *const w = work.item;
    uint64_t busy = 0, end = 0;
    *span = 0;
    if (!work.n)
        return 0;
    qsort(w, work.n, sizeof *w, by_start);
    for (size_t i = 0; i < work.n; i++) {
        const uint64_t from = w[i].start > end ? w[i].start : end;
        if (w[i].end > from)
            busy += w[i].end - from;
        if (w[i].end > end)
            end = w[i].end;
    }
    *span = end - w[0].start;
    return busy;
}

static int
by_time(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Most bytes allocated at once.  What is live moves to the front of the list. */
static uint64_t
peak_memory(void)
{
    struct change *const c = changes.item;
    uint64_t now = 0, peak = 0;
    size_t live = 0;
    if (changes.n)
        qsort(c, changes.n, sizeof *c, by_time);
    for (size_t i = 0; i < changes.n; i++) {
        if (c[i].bytes) {
            now += c[i].bytes;
            c[live++] = c[i];
        } else {
            size_t k = live;
            while (k > 0 && c[k - 1].address != c[i].address)
                k--;
            if (k > 0) {                /* else it is older than our watch */
                now -= c[k - 1].bytes;
                c[k - 1] = c[--live];
            }
        }
        peak = now > peak ? now : peak;
    }
    return peak;
}

/* "void f<float, 3>(float*)" is f<float, 3>. */
static void
shorten(char *name)
{
    int depth = 0;
    size_t i = 0;
    if (!strncmp(name, "void ", 5))
        memmove(name, name + 5, strlen(name + 5) + 1);
    for (; name[i]; i++) {
        if (name[i] == '(' && !strncmp(name + i, "(anonymous", 10))
            i += 10;
        else if (name[i] == '(' && depth == 0)
            break;
        depth += (name[i] == '<') - (name[i] == '>');
    }
    name[i] = 0;
}

static int
by_total(const void *a, const void *b)
{
    const struct kernel *x = a, *y = b;
    return x->total > y->total ? -1 : x->total < y->total;
}

/* Short names, those that are equal joined, longest total first. */
static void
sort_kernels(void)
{
    struct kernel *const k = kernels.item;
    size_t n = 0;
    for (size_t i = 0; i < kernels.n; i++) {
        char *const plain = __cxa_demangle(k[i].name, NULL, NULL, NULL);
        size_t same = 0;
        if (plain) {                    /* else it is no name of C++ */
            free(k[i].name);
            k[i].name = plain;
            shorten(plain);
        }
        while (same < n && strcmp(k[same].name, k[i].name))
            same++;
        if (same == n) {
            k[n++] = k[i];
            continue;
        }
        k[same].calls += k[i].calls;
        k[same].total += k[i].total;
        free(k[i].name);
    }
    kernels.n = n;
    if (n)
        qsort(k, n, sizeof *k, by_total);
}

/* ---- reporting ---- */

static void
print_string(FILE *to, const char *s)
{
    putc('"', to);
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            fprintf(to, "\\%c", *s);
        else if ((unsigned char)*s < ' ')
            fprintf(to, "\\u%04x", (unsigned)*s);
        else
            putc(*s, to);
    putc('"', to);
}

static void
print_report(FILE *to)
{
    uint64_t span;
    const uint64_t busy = busy_time(&span);
    const struct kernel *const k = kernels.item;
    sort_kernels();
    fprintf(to, "{\"program\": ");
    print_string(to, program_invocation_short_name);
    fprintf(to, ", \"pid\": %ld, \"busy_ms\": %.6f, \"kernel_ms\": %.6f", (long)getpid(),
            (double)busy / 1e6, (double)kernel_time / 1e6);
    fprintf(to, ", \"copy_ms\": %.6f, \"span_ms\": %.6f", (double)copy_time / 1e6,
            (double)span / 1e6);
    fprintf(to, ", \"peak_bytes\": %llu, \"kernels\": %llu, \"copies\": %llu",
            (unsigned long long)peak_memory(), (unsigned long long)kernel_count,
            (unsigned long long)copy_count);
    fprintf(to, ", \"dropped\": %llu, \"unfinished\": %llu", (unsigned long long)dropped,
            (unsigned long long)unfinished);
    fprintf(to, ", \"table\": [");
    for (size_t i = 0; i < kernels.n; i++) {
        fprintf(to, "%s{\"name\": ", i ? ", " : "");
        print_string(to, k[i].name);
        fprintf(to, ", \"calls\": %llu, \"total_ms\": %.6f, \"mean_us\": %.3f}",
                (unsigned long long)k[i].calls, (double)k[i].total / 1e6,
                (double)k[i].total / 1e3 / (double)k[i].calls);
    }
    fprintf(to, "]}\n");
}

/* One write, so that the programs of a pipe may share a file. */
static void
write_report(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const memory = open_memstream(&text, &size);
    if (!memory)
        return;
    print_report(memory);
    const bool whole = !fclose(memory);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (!whole || fd < 0 || write(fd, text, size) != (ssize_t)size)
        fprintf(stderr, "device_time: cannot write %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(text);
}

static void
finish(void)
{
    const char *const path = getenv("PF_DEVICE_TIME");
    cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);    /* also what has not ended */
    pthread_mutex_lock(&lock);
    if (path && (kernel_count || copy_count || changes.n || dropped))
        write_report(path);
    pthread_mutex_unlock(&lock);
}

static void
start(void)
{
    static const CUpti_ActivityKind kinds[] = {
        CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
        CUPTI_ACTIVITY_KIND_MEMCPY,
        CUPTI_ACTIVITY_KIND_MEMSET,
        CUPTI_ACTIVITY_KIND_MEMORY2,
    };
    static bool started;
    const char *const path = getenv("PF_DEVICE_TIME"), *why = "unknown";
    if (started || !path || !*path)
        return;
    started = true;
    CUptiResult e = cuptiActivityRegisterCallbacks(buffer_requested, buffer_completed);
    for (size_t i = 0; e == CUPTI_SUCCESS && i < sizeof kinds / sizeof *kinds; i++)
        e = cuptiActivityEnable(kinds[i]);
    if (e == CUPTI_SUCCESS) {
        atexit(finish);
        return;
    }
    cuptiGetResultString(e, &why);
    fprintf(stderr, "device_time: nothing is measured: %s\n", why);
}

/* The driver calls it in cuInit, before there is a context. */
int
InitializeInjection(void)
{
    start();
    return 1;
}

/* Under LD_PRELOAD nobody calls it. */
static void __attribute__((constructor))
preloaded(void)
{
    const char *const names = getenv("LD_PRELOAD");
    if (names && strstr(names, "libpf_device_time"))
        start();
}
