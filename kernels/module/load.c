/* load.c - loads the CUDA half when a GPU is asked for (module.md).
 *
 * The driver comes first: without it there is no reason to read CUDA's libraries, of hundreds of
 * megabytes, nor to miss them.  The loader finds the library by the program's run path, which is
 * relative to where the program is, as it finds the program's other libraries. */
#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/dev_priv.h"
#include "kernels/module/half.h"

static const char library[] = "libpf-cuda.so";
extern const struct pf_half pf_host_half;

/* A tool that calls the CUDA half contains what that calls in turn, as its twin on the CPU calls
 * the same. */
static void
missing(void)
{
    pf_bug("%s calls a function that this program does not contain", library);
}

/* to takes what from gives: the same functions in the same order, as the id says. */
static void
join(const struct pf_half *to, const struct pf_half *from)
{
    for (int i = 0; i < to->taken; i++)
        *to->takes[i] = from->gives[i] ? from->gives[i] : missing;
}

static pf_err
cannot(int ordinal, const char *what, const char *why)
{
    return pf_fail(PF_EDEV, "device cuda:%d: %s: %s; use -d cpu", ordinal, what, why);
}

pf_err
pf_cuda_load(int ordinal)
{
    static bool loaded;
    if (loaded)
        return PF_OK;
    if (!dlopen("libcuda.so.1", RTLD_LAZY))
        return cannot(ordinal, "there is no driver of a GPU", dlerror());
    void *const handle = dlopen(library, RTLD_NOW);
    if (!handle)
        return cannot(ordinal, "the part of posefusion for it cannot be loaded", dlerror());
    const struct pf_half *const cuda = dlsym(handle, "pf_cuda_half");
    if (!cuda || strcmp(cuda->id, pf_host_half.id))
        return cannot(ordinal, library, "it does not belong to this program");
    join(cuda, &pf_host_half);
    join(&pf_host_half, cuda);
    return loaded = true, PF_OK;
}
