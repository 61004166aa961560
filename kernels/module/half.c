/* half.c - the tables and jumps of one half (half.h).  It is compiled for both: with PF_CUDA_HALF
 * for the library, without it for the programs.  names.h, made by the script beside this file, has
 * the names. */
#include "kernels/module/half.h"

#include "kernels/module/names.h"

#ifdef PF_CUDA_HALF
#define GIVES PF_CUDA_GIVES
#define TAKES PF_HOST_GIVES
#define HALF pf_cuda_half
#define LINKAGE                         /* the linker finds all of it */
#define SCOPE ".hidden "                /* a program's own function of that name is another */
#define SHOWN __attribute__((visibility("default")))
#else
#define GIVES PF_HOST_GIVES
#define TAKES PF_CUDA_GIVES
#define HALF pf_host_half
#define LINKAGE __attribute__((weak))   /* what a tool does not contain it does not call for */
#define SCOPE ".globl "
#define SHOWN
#endif

/* Arguments stay where they are, whatever they are. */
#if defined __x86_64__
#define JUMP(pointer) "\tjmp *" pointer "(%rip)\n"
#elif defined __aarch64__
#define JUMP(pointer) \
    "\tadrp x16, " pointer "\n\tldr x16, [x16, :lo12:" pointer "]\n\tbr x16\n"
#else
#error "a jump through a pointer, for this processor"
#endif

#define DECLARE(name) extern pf_function name LINKAGE;
#define ADDRESS(name) name,
#define TAKE(name)                                                                     \
    pf_function *pf_to_##name __attribute__((used, visibility("hidden")));             \
    __asm__(".pushsection .text\n.globl " #name "\n" SCOPE #name "\n"                  \
            ".type " #name ", %function\n" #name ":\n" JUMP("pf_to_" #name)            \
            ".size " #name ", . - " #name "\n.popsection\n");
#define PLACE(name) &pf_to_##name,

GIVES(DECLARE)
TAKES(TAKE)

static pf_function *const gives[] = {GIVES(ADDRESS)};
static pf_function **const takes[] = {TAKES(PLACE)};

SHOWN extern const struct pf_half HALF;
SHOWN const struct pf_half HALF = {
    .id = PF_HALVES_ID,
    .gives = gives,
    .takes = takes,
    .given = sizeof gives / sizeof *gives,
    .taken = sizeof takes / sizeof *takes,
};
