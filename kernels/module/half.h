/* half.h - where a program and its CUDA half meet (module.md).
 *
 * The CUDA half, all .cu files, is a library of its own: only what computes on a GPU needs CUDA's
 * libraries.  Each half has a table of functions that it gives, and for each function that it takes
 * a pointer and a jump through it, which has the function's name: callers do not know.  Private to
 * this folder: others call pf_cuda_load (dev_priv.h). */
#ifndef PF_HALF_H
#define PF_HALF_H

typedef void pf_function(void);         /* of any type: it is called by its name alone */

struct pf_half {
    const char *id;                     /* the same of halves that fit each other */
    pf_function *const *gives;          /* NULL: a function that this tool does not contain */
    pf_function **const *takes;         /* where those that the other one gives are to be put */
    int given, taken;
};

#endif
