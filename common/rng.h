/* rng.h - Philox4x32-10: random numbers that are a function of (seed, stream, index), so that any
 * thread or device can make number i without making the ones before it.  Salmon et al. 2011.
 *
 * The functions are inline and use only integer arithmetic, +, -, *, /, sqrtf and fmaf, which IEEE
 * defines to the last bit, so that a CPU and a GPU give the same bits.  Compilers for GPUs join
 * a * b + c into one rounding: here every product that is added to something is exact or stands in
 * an explicit fmaf, and the last one of pf_rng_normal is kept from what its caller adds. */
#ifndef PF_RNG_H
#define PF_RNG_H
#include <math.h>
#include <stdint.h>

#include "common/hd.h"

/* Streams in use: what is drawn from which; one stream never serves two purposes. */
enum pf_rng_stream {
    PF_RNG_POSTERIOR = 1, PF_RNG_START, PF_RNG_STEP,    /* pf-sample; its key is above bit 4 */
    PF_RNG_FIELD_INIT = 16, PF_RNG_RAYS, PF_RNG_PERTURB, PF_RNG_OCCUPANCY,
    PF_RNG_SURFACE = 32,                                /* pf-eval */
    PF_RNG_TEST = 64,
};

struct pf_rng4 {
    uint32_t v[4];
};

static inline PF_HD struct pf_rng4
pf_philox(uint64_t seed, uint64_t stream, uint64_t index)
{
    struct pf_rng4 c = {{(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                         (uint32_t)(stream >> 32)}};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c.v[0], b = (uint64_t)0xCD9E8D57u * c.v[2];
        const struct pf_rng4 n = {{(uint32_t)(b >> 32) ^ c.v[1] ^ k0, (uint32_t)b,
                                   (uint32_t)(a >> 32) ^ c.v[3] ^ k1, (uint32_t)a}};
        c = n;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

/* Word number i of a stream: a quarter of block i / 4. */
static inline PF_HD uint32_t
pf_rng_u32(uint64_t seed, uint64_t stream, uint64_t i)
{
    return pf_philox(seed, stream, i / 4).v[i % 4];
}

/* Uniform in [0, 1), 24 bits, exact. */
static inline PF_HD float
pf_rng_uniform(uint64_t seed, uint64_t stream, uint64_t i)
{
    return (float)(pf_rng_u32(seed, stream, i) >> 8) * 0x1p-24f;
}

/* Standard normal number i: Box-Muller on words 2*(i/2), 2*(i/2)+1; even i takes the cosine. */
PF_HD static inline float pf_rng_normal(uint64_t seed, uint64_t stream, uint64_t i);

/* -ln(u) for u = (w + 0.5) / 2^32; relative error below 1e-6.  Polynomials
 * of our own because libm's and CUDA's logf differ in the last bit. */
static inline PF_HD float
pf_neg_log_(uint32_t w)
{
    /* u = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln m by the atanh series. */
    const uint64_t x = 2 * (uint64_t)w + 1;     /* u = x / 2^33 */
    int bits = 0;
    for (uint64_t y = x; y >>= 1;)
        bits++;                                 /* floor(log2 x), 0..32 */
    const uint32_t top = (uint32_t)(bits > 23 ? x >> (bits - 23) : x << (23 - bits));
    float m = (float)top * 0x1p-23f;            /* [1, 2) */
    int e = bits - 33;
    if (m > 1.41421356f) {
        m *= 0.5f;
        e++;
    }
    /* Above sqrt(1/2), e = 0, the 24 bits of m would lose 1 - u: take it from the integer. */
    const float d = (float)((1ull << 33) - x) * 0x1p-33f;
    const float s = e == 0 ? -d / (2.0f - d) : (m - 1.0f) / (m + 1.0f), z = s * s;
    float p = fmaf(z, 0.15f, 0.22222222f);      /* 2 (1 + z/3 + z^2/5 + z^3/7 + z^4/9 ...) s */
    p = fmaf(p, z, 0.28571429f);
    p = fmaf(p, z, 0.4f);
    p = fmaf(p, z, 0.66666667f);
    p = fmaf(p, z, 2.0f);
    return -fmaf((float)e, 0.69314718f, p * s);
}

/* cos and sin of 2 pi w / 2^32. */
static inline PF_HD void
pf_turn_(uint32_t w, float *c, float *s)
{
    const uint32_t octant = (w + 0x20000000u) >> 30;            /* nearest quarter turn */
    const int32_t r = (int32_t)(w - (octant << 30));            /* -1/8 .. 1/8 turn */
    const float a = (float)r * (6.28318531f * 0x1p-32f), z = a * a;
    float pc = fmaf(z, 2.4801587e-5f, -1.3888889e-3f);
    pc = fmaf(pc, z, 4.1666667e-2f);
    pc = fmaf(pc, z, -0.5f);
    pc = fmaf(pc, z, 1.0f);
    float ps = fmaf(z, 2.7557319e-6f, -1.9841270e-4f);
    ps = fmaf(ps, z, 8.3333333e-3f);
    ps = fmaf(ps, z, -1.6666667e-1f);
    ps = fmaf(ps * z, a, a);
    const uint32_t q = octant & 3;
    *c = q == 0 ? pc : q == 1 ? -ps : q == 2 ? -pc : ps;
    *s = q == 0 ? ps : q == 1 ? pc : q == 2 ? -ps : -pc;
}

PF_HD static inline float
pf_rng_normal(uint64_t seed, uint64_t stream, uint64_t i)
{
    const struct pf_rng4 b = pf_philox(seed, stream, i / 4);
    const uint32_t *w = b.v + (i % 4 < 2 ? 0 : 2);
    float c, s;
    pf_turn_(w[1], &c, &s);
    const float r = sqrtf(2.0f * pf_neg_log_(w[0]));
#ifdef __CUDA_ARCH__
    return __fmul_rn(r, i % 2 ? s : c);
#else
    return r * (i % 2 ? s : c);
#endif
}

#endif
