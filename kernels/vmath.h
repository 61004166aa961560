/* vmath.h - elementary functions in plain C that the compiler vectorises; f32 in and out.
 * Relative errors are below 3e-7 (tests/kernels/test_elementwise.c). */
#ifndef PF_VMATH_H
#define PF_VMATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/ops.h"

/* a b + c, in one rounding where the machine can. */
static inline float
pf_madd(float a, float b, float c)
{
#ifdef __FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* p 2^n where shifted = n + 1.5 * 2^23: adding that rounds n and leaves it in the low bits, from
 * where it goes straight into the exponent. */
static inline float
pf_times_2_to(float p, float shifted)
{
    uint32_t n, bits;
    memcpy(&n, &shifted, sizeof n);
    memcpy(&bits, &p, sizeof bits);
    bits += n << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

/* 2^x for x in -126..127, 0 below.  x = n + r, |r| <= 1/2; the polynomial is our Chebyshev fit of
 * 2^r (error 1e-8). */
static inline float
pf_exp2(float x)
{
    const float shifted = x + 12582912.0f, r = x - (shifted - 12582912.0f);
    float p = pf_madd(r, 1.545316295e-4f, 1.339086336e-3f);
    p = pf_madd(p, r, 9.618082557e-3f);
    p = pf_madd(p, r, 5.550357114e-2f);
    p = pf_madd(p, r, 0.2402265076f);
    p = pf_madd(p, r, 0.693147188f);
    p = pf_madd(p, r, 1.0f);
    return x < -126.0f ? 0.0f : pf_times_2_to(p, shifted);
}

/* e^x; 0 below -87, so that exp(-inf) is 0; at most e^88.  x = n ln 2 + r, ln 2 in two parts. */
static inline float
pf_exp(float x)
{
    const float c = x > 88.0f ? 88.0f : x < -87.0f ? -87.0f : x;
    const float shifted = pf_madd(c, 1.44269504f, 12582912.0f), n = shifted - 12582912.0f;
    const float r = pf_madd(n, 2.12194440e-4f, pf_madd(n, -0.693359375f, c));
    float p = pf_madd(r, 1.9875691e-4f, 1.3981999e-3f);
    p = pf_madd(p, r, 8.3334519e-3f);
    p = pf_madd(p, r, 4.1665796e-2f);
    p = pf_madd(p, r, 1.6666665e-1f);
    p = pf_madd(p, r, 0.5f);
    p = pf_madd(p, r * r, r) + 1.0f;
    return x < -87.0f ? 0.0f : pf_times_2_to(p, shifted);
}

static inline float
pf_sigmoid(float x)
{
    return 1.0f / (1.0f + pf_exp(-x));
}

/* Phi(x) = (1 + erf(x / sqrt 2)) / 2.  With z = |x| / sqrt 2 and t = 1 / (1 + z / 2),
 * erfc z = t exp(-z^2 + P(t)); P is our Chebyshev fit for z in 0..7 (error 3e-8). */
static inline float
pf_normal_cdf(float x)
{
    const float z = fabsf(x) * 0.707106781f, t = 1.0f / (1.0f + 0.5f * z);
    float p = pf_madd(t, 0.1061241854f, -0.464432197f);
    p = pf_madd(p, t, 0.6335886229f);
    p = pf_madd(p, t, 0.02187567065f);
    p = pf_madd(p, t, -0.6957452518f);
    p = pf_madd(p, t, 0.3419926145f);
    p = pf_madd(p, t, -0.08695557267f);
    p = pf_madd(p, t, 0.4135301142f);
    p = pf_madd(p, t, 0.9952925617f);
    p = pf_madd(p, t, -1.265270723f);
    const float tail = 0.5f * t * pf_exp(pf_madd(-z, z, p));
    return x < 0 ? tail : 1.0f - tail;
}

static inline float
pf_gelu_of(float x)
{
    return x * pf_normal_cdf(x);
}

/* y[i] = act(x[i]), in place if they are the same. */
static inline void
pf_act_row(float *y, const float *x, int64_t n, enum pf_act act)
{
    switch (act) {
    case PF_NONE:
        if (y != x)
            memcpy(y, x, (size_t)n * sizeof *y);
        break;
    case PF_SILU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * pf_sigmoid(x[i]);
        break;
    case PF_RELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] < 0 ? 0 : x[i];         /* a NaN stays one */
        break;
    case PF_GELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = pf_gelu_of(x[i]);
        break;
    case PF_QUICK_GELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * pf_sigmoid(1.702f * x[i]);
        break;
    case PF_LEAKY_RELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] > 0 ? x[i] : PF_LEAKY_SLOPE * x[i];
        break;
    case PF_SELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = PF_SELU_SCALE * (x[i] > 0 ? x[i] : PF_SELU_ALPHA * (pf_exp(x[i]) - 1));
        break;
    case PF_SIGMOID:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = pf_sigmoid(x[i]);
        break;
    }
}

#endif
