/* malloc.c - preloaded into a tool: lets one allocation fail.  $PF_FAULT_MALLOC: which, from 1 on,
 * counted from pf_output_watch on, so that a run counts as the next one does; $PF_FAULT_COUNT: the
 * file into which the number of allocations is written at the end.  It is opened at once: later
 * there is the sandbox. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_long calls;
static atomic_bool counting;
static long failing;
static int count_file = -1;

/* Whether this allocation is the one. */
static int
fails(void)
{
    if (!atomic_load(&counting) || atomic_fetch_add(&calls, 1) + 1 != failing)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *
malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
    return fails() ? NULL : __libc_realloc(p, size);
}

void *
memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int
posix_memalign(void **p, size_t alignment, size_t size)
{
    void *const found = memalign(alignment, size);
    if (!found)
        return ENOMEM;
    *p = found;
    return 0;
}

/* The tool begins: it asks for SIGBUS. */
int
sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    if (!real) {
        void *const p = dlsym(RTLD_NEXT, "sigaction");
        memcpy(&real, &p, sizeof real);
    }
    if (sig == SIGBUS && new) {
        const char *const which = getenv("PF_FAULT_MALLOC");
        const char *const path = getenv("PF_FAULT_COUNT");
        failing = which ? atol(which) : 0;
        if (path && count_file < 0)
            count_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        atomic_store(&counting, 1);
    }
    return real(sig, new, old);
}

__attribute__((destructor)) static void
tell(void)
{
    char text[32];
    atomic_store(&counting, 0);
    if (count_file < 0)
        return;
    const int n = snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
    if (write(count_file, text, (size_t)n) < 0)
        _exit(99);
}
