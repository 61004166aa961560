/* golden_units.h - what the parts of a network give against golden/background: statistics of every
 * channel, and some channels in full. */
#ifndef PF_TEST_GOLDEN_UNITS_H
#define PF_TEST_GOLDEN_UNITS_H
#include <stdlib.h>

#include "common/image.h"
#include "common/tensor.h"
#include "tests/tools/golden.h"

static inline pf_image
golden_picture(const char *name)
{
    char path[512], file[64];
    pf_image photo;
    snprintf(file, sizeof file, "background/%s", name);
    if (access(golden_path(path, file), R_OK))
        skip();
    assert_ok(pf_image_read(&photo, path));
    return photo;
}

/* A golden tensor [1, C, H, W] as [H, W, C]. */
static inline pf_tensor
golden_pixels(const pf_doc *doc, const char *name)
{
    const pf_tensor *const from = pf_doc_get(doc, name);
    pf_tensor to;
    assert_non_null(from);
    const int64_t C = from->dim[1], H = from->dim[2], W = from->dim[3];
    assert_ok(PF_TENSOR_NEW(&to, PF_F32, H, W, C));
    for (int64_t i = 0; i < H * W * C; i++)
        ((float *)to.data)[i] = ((const float *)from->data)[i % C * H * W + i / C];
    return to;
}

/* A golden tensor U8 [H, W]. */
static inline pf_image
golden_grey(const pf_doc *doc, const char *name)
{
    const pf_tensor *const from = pf_doc_get(doc, name);
    pf_image to;
    assert_non_null(from);
    assert_ok(pf_image_new(&to, (int)from->dim[1], (int)from->dim[0], 1));
    memcpy(to.pixel, from->data, pf_image_bytes(&to));
    return to;
}

/* ---- units of a network ---- */

enum { WIDE = 2048 };            /* the most channels */
struct golden {                 /* what was compared so far */
    const pf_doc *doc;
    double tolerance, worst;
    char where[96];
    int units;
    bool by_rms;                /* maps are compared so, not by their largest difference */
};

static inline void
note(struct golden *g, const char *unit, double error)
{
    if (!(error <= g->worst)) {
        g->worst = error;
        snprintf(g->where, sizeof g->where, "%s", unit);
    }
    if (!(error <= g->tolerance))
        fail_msg("%s: error %.3g, allowed %g", unit, error, g->tolerance);
}

/* The mean and the root mean square of each channel, both measured by the largest of the latter. */
static inline void
expect_statistics(struct golden *g, const char *unit, const pf_tensor *t)
{
    const int64_t C = t->dim[3], pixels = t->dim[1] * t->dim[2];
    const float *const x = t->data;
    static float mean[WIDE], rms[WIDE];
    char name[96];
    int64_t n;
    assert_true(C <= WIDE);
    for (int64_t c = 0; c < C; c++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < pixels; i++) {
            sum += x[i * C + c];
            square += (double)x[i * C + c] * x[i * C + c];
        }
        mean[c] = (float)(sum / (double)pixels);
        rms[c] = (float)sqrt(square / (double)pixels);
    }
    snprintf(name, sizeof name, "rms.%s", unit);
    float *const want_rms = golden_floats(g->doc, name, &n);
    assert_int_equal(n, C);
    snprintf(name, sizeof name, "mean.%s", unit);
    float *const want_mean = golden_floats(g->doc, name, &n);
    float most = 0, error = 0;
    for (int64_t c = 0; c < C; c++) {
        most = fmaxf(most, want_rms[c]);
        error = fmaxf(error, fabsf(mean[c] - want_mean[c]));
    }
    note(g, unit, check_rel(rms, want_rms, C));
    note(g, unit, error / most);
    free(want_rms);
    free(want_mean);
}

/* The golden tensor [1, n, h, w] has n channels, evenly spaced, and every H / h-th pixel. */
static inline void
expect_map(struct golden *g, const char *unit, const pf_tensor *t, int64_t first)
{
    const pf_tensor *const want = pf_doc_get(g->doc, unit);
    if (!want)
        return;
    const bool vector = want->ndim == 1;
    const int64_t h = vector ? 1 : want->dim[2], w = vector ? 1 : want->dim[3];
    const int64_t n = vector ? want->dim[0] : want->dim[1], C = t->dim[3];
    const int64_t step = t->dim[1] / h, apart = n > 1 ? C / n : C;
    float *const got = malloc((size_t)(n * h * w) * sizeof *got);
    assert_non_null(got);
    for (int64_t i = 0; i < n * h * w; i++) {
        const int64_t c = i / (h * w) * apart + first, v = i / w % h * step, u = i % w * step;
        got[i] = ((const float *)t->data)[(v * t->dim[2] + u) * C + c];
    }
    note(g, unit, g->by_rms ? check_rms(got, want->data, n * h * w)
                            : check_rel(got, want->data, n * h * w));
    free(got);
}

/* Every step-th row and column of got [H, W, C] is want [1, C, h, w]. */
static inline double
most_apart(const pf_doc *doc, const char *name, const float *got, int64_t W, int64_t C, int step)
{
    const pf_tensor *const want = pf_doc_get(doc, name);
    assert_non_null(want);
    const int64_t h = want->dim[2], w = want->dim[3];
    double most = 0;
    assert_int_equal(want->dim[1], C);
    for (int64_t i = 0; i < C * h * w; i++) {
        const int64_t v = i / w % h * step, u = i % w * step;
        most = fmax(most, fabs((double)got[(v * W + u) * C + i / (h * w)] -
                               ((const float *)want->data)[i]));
    }
    return most;
}

#endif
