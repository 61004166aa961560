/* sandbox.h - what a tool may still ask of the system once it knows its files: pf(7), SANDBOX.
 *
 *     pf_sandbox(PF_SANDBOX_DEVICE, opt.png, opt.log);
 *
 * A tool calls it once it has checked its options and before it reads a byte of a stranger.  From
 * then on a hole in a decoder runs no program, reaches no network and no other process, and
 * writes in the outputs' folders alone; files can still be read, because lists, scenes and indices
 * name others. */
#ifndef PF_SANDBOX_H
#define PF_SANDBOX_H
#include <stddef.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PF_SANDBOX_DEVICE = 1,      /* computes where --device says: a GPU's driver needs much more */
    PF_SANDBOX_MESH = 2,        /* reads meshes, in a process of its own: this program once more */
};

/* needs, then the values of those options besides --output that name what is written (files,
 * folders or patterns; NULL: not given).  Threads begin here, as they must not before; the first
 * call counts. */
#define pf_sandbox(needs, ...) \
    pf_sandbox_start(needs, (const char *const[]){pf_common.out, __VA_ARGS__}, \
                     sizeof(const char *const[]){pf_common.out, __VA_ARGS__} / sizeof(char *))
void pf_sandbox_start(int needs, const char *const *outputs, size_t n);
/* The same for a process that has no options, and without threads. */
pf_err pf_sandbox_enter(int needs, const char *const *outputs, size_t n) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
