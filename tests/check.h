/* check.h - what every unit test includes: cmocka, and comparisons of floats and errors. */
#ifndef PF_CHECK_H
#define PF_CHECK_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "common/tensor.h"

#define assert_ok(call)                                             \
    do {                                                            \
        const pf_err e_ = (call);                                   \
        if (e_ != PF_OK)                                            \
            fail_msg("%s: %d, %s", #call, (int)e_, pf_error());     \
    } while (0)

/* The call fails with this code, and its sentence contains these words. */
#define assert_fails(call, code, words)                                             \
    do {                                                                            \
        const pf_err e_ = (call);                                                   \
        if (e_ != (code) || !strstr(pf_error(), words))                             \
            fail_msg("%s: %d, \"%s\"; expected %d with \"%s\"", #call, (int)e_,     \
                     pf_error(), (int)(code), words);                               \
    } while (0)

/* n floats within tol of each other, absolutely; NaN never passes. */
#define assert_near(a, b, n, tol)                                                   \
    do {                                                                            \
        const float *a_ = (a), *b_ = (b);                                           \
        for (int64_t i_ = 0; i_ < (int64_t)(n); i_++)                               \
            if (!(fabs((double)a_[i_] - b_[i_]) <= (tol)))                          \
                fail_msg("%s[%lld] is %.9g, expected %.9g +- %g", #a,               \
                         (long long)i_, (double)a_[i_], (double)b_[i_], (double)(tol)); \
    } while (0)

/* max|a-b| / max|b| and rms(a-b) / rms(b): golden/README's measures.  NaN in a gives NaN. */
static inline double
check_rel(const float *a, const float *b, int64_t n)
{
    double d = 0, m = 0;
    for (int64_t i = 0; i < n; i++) {
        const double e = fabs((double)a[i] - b[i]);
        if (!(e <= d))
            d = e;
        m = fabs(b[i]) > m ? fabs(b[i]) : m;
    }
    return d / (m > 0 ? m : 1);
}
static inline double
check_rms(const float *a, const float *b, int64_t n)
{
    double d = 0, m = 0;
    for (int64_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        m += (double)b[i] * b[i];
    }
    return sqrt(d / (m > 0 ? m : 1));
}
#define assert_rel(a, b, n, tol)                                                    \
    do {                                                                            \
        const double r_ = check_rel(a, b, n);                                       \
        if (!(r_ <= (tol)))                                                         \
            fail_msg("%s: max error %.3g of the largest value, allowed %g", #a, r_, \
                     (double)(tol));                                                \
    } while (0)
#define assert_rms(a, b, n, tol)                                                    \
    do {                                                                            \
        const double r_ = check_rms(a, b, n);                                       \
        if (!(r_ <= (tol)))                                                         \
            fail_msg("%s: rms error %.3g, allowed %g", #a, r_, (double)(tol));      \
    } while (0)

/* What tests of networks run on: the CPU, or what PF_TEST_DEVICE says (tests/gpu/run). */
static inline const char *
test_device(void)
{
    const char *const name = getenv("PF_TEST_DEVICE");
    return name ? name : "cpu";
}

/* Under compute-sanitizer's racecheck kernels take a thousand times as long: tests then leave out
 * what is large and what the same code does for another type (tests/gpu/sanitizer.sh). */
static inline bool
sanitized(void)
{
    return getenv("PF_SANITIZED") != NULL;
}

/* Fill with seeded uniform numbers in -1..1. */
static inline void
fill_uniform(float *p, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = 2 * pf_rng_uniform(seed, PF_RNG_TEST, (uint64_t)i) - 1;
}

#endif
