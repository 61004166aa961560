/* budget.h - what reading a file may cost.  Bytes that a file only promises, the memory for what it
 * lists, and steps that are not steps over its bytes are counted, and are together at most
 * PF_BUDGET_TIMES its size, and PF_BUDGET_FREE more for files that are small: pf(7), LIMITS. */
#ifndef PF_BUDGET_H
#define PF_BUDGET_H
#include <stdbool.h>
#include <stdint.h>

enum { PF_BUDGET_FREE = 1 << 24, PF_BUDGET_TIMES = 64 };

static inline uint64_t
pf_budget(uint64_t size)
{
    return size < (UINT64_MAX - PF_BUDGET_FREE) / PF_BUDGET_TIMES
               ? PF_BUDGET_FREE + PF_BUDGET_TIMES * size
               : UINT64_MAX;
}

/* Take cost out of what is left; false if it is not there. */
static inline bool
pf_budget_take(uint64_t *left, uint64_t cost)
{
    if (cost > *left)
        return false;
    *left -= cost;
    return true;
}

#endif
