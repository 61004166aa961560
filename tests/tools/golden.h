/* golden.h - for tests that compare with ../shared/golden (or $PF_GOLDEN): its files, its
 * generators (golden/README.md), and errors printed as they are measured. */
#ifndef PF_TEST_GOLDEN_H
#define PF_TEST_GOLDEN_H
#include <unistd.h>

#include "common/stream.h"
#include "tests/check.h"

static inline const char *
golden_path(char path[512], const char *name)
{
    const char *dir = getenv("PF_GOLDEN");
    snprintf(path, 512, "%s/%s", dir ? dir : "../shared/golden", name);
    return path;
}

/* Skips the test where there is no golden data. */
static inline void
golden_open(pf_doc *doc, const char *name)
{
    char path[512];
    pf_stream *s;
    if (access(golden_path(path, name), R_OK) != 0)
        skip();
    assert_ok(pf_stream_open(&s, path));
    assert_ok(pf_stream_read(s, doc));
    pf_stream_close(s);
}

static inline uint64_t
golden_word(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline void
golden_noise(float *to, int64_t n, uint64_t seed, uint64_t start)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t z = golden_word(seed, start + (uint64_t)i);
        const int64_t sum = (int64_t)((z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) +
                                      (z >> 48));
        to[i] = (float)((double)(sum - 131070) / 37837.0);
    }
}

static inline void
golden_weight(float *to, int64_t n, uint64_t seed, float scale, float offset)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t step = (int64_t)(golden_word(seed, (uint64_t)i) >> 54) - 512;
        to[i] = offset + scale * (float)((double)step / 512);
    }
}

/* A tensor of any float type as f32; the caller frees. */
static inline float *
golden_floats(const pf_doc *doc, const char *name, int64_t *n)
{
    const pf_tensor *t = pf_doc_get(doc, name);
    if (!t)
        fail_msg("golden data have no %s", name);
    *n = pf_tensor_count(t);
    float *p = malloc((size_t)*n * sizeof *p);
    assert_non_null(p);
    pf_to_f32(p, t->data, t->dtype, *n);
    return p;
}

/* Compare got[n] with the golden tensor from element `from` on, and say how far it is. */
static inline void
golden_compare(const float *got, const pf_doc *doc, const char *name, int64_t from, int64_t n,
               double rel)
{
    int64_t count;
    float *want = golden_floats(doc, name, &count);
    assert_true(from + n <= count);
    const double e = check_rel(got, want + from, n), r = check_rms(got, want + from, n);
    printf("# %-36s rel %.2e of %.0e  rms %.2e\n", name, e, rel, r);
    free(want);
    if (!(e <= rel))
        fail_msg("%s: max error %.3g of the largest value, allowed %g", name, e, rel);
}

/* Peak signal to noise, the peak being the largest magnitude of b. */
static inline double
golden_psnr(const float *a, const float *b, int64_t n)
{
    double square = 0, peak = 0;
    for (int64_t i = 0; i < n; i++) {
        square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        peak = fmax(peak, fabs(b[i]));
    }
    return 10 * log10(peak * peak / (square / (double)n));
}

#endif
