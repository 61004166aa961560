/* numbers.h - the numbers of a tensor of any float type, some at a time. */
#ifndef PF_NUMBERS_H
#define PF_NUMBERS_H
#include "common/tensor.h"

enum { BLOCK = 1 << 16 };       /* elements looked at or converted at once */

/* Number k of the data as a double: exact for every float type. */
static inline double
number(const pf_tensor *t, int64_t k)
{
    float v;
    if (t->dtype == PF_F64)
        return ((const double *)t->data)[k];
    pf_to_f32(&v, (const char *)t->data + (size_t)k * pf_dtype_size(t->dtype), t->dtype, 1);
    return v;
}

/* Elements k .. k + n as f32, n <= BLOCK; until the next call. */
static inline float *
widen(const pf_tensor *t, int64_t k, int64_t n)
{
    static float wide[BLOCK];
    pf_to_f32(wide, (const char *)t->data + (size_t)k * pf_dtype_size(t->dtype), t->dtype, n);
    return wide;
}

#endif
