/* operator.h - what the tests of operators share: the device, tensors with seeded numbers. */
#ifndef PF_TEST_OPERATOR_H
#define PF_TEST_OPERATOR_H
#include "kernels/ops.h"
#include "tests/check.h"

static pf_dev *cpu;

static int
open_cpu(void **state)
{
    (void)state;
    return pf_dev_open(&cpu, "cpu", NULL);
}

static pf_dev *gpu;

static int
close_cpu(void **state)
{
    (void)state;
    pf_dev_close(cpu);
    pf_dev_close(gpu);
    return 0;
}

static inline float *
floats(const pf_tensor *t)
{
    return t->data;
}

/* Tensors in the device's kept memory: uniform in -1..1, or all NaN so that every element must be
 * written.  Gone when the device closes. */
static inline pf_tensor
shaped(int ndim, const int64_t *dim)
{
    pf_tensor t = {0};
    assert_ok(pf_dev_keep(cpu, &t, PF_F32, ndim, dim));
    for (int64_t i = 0; i < pf_tensor_count(&t); i++)
        floats(&t)[i] = NAN;
    return t;
}

static inline pf_tensor
uniform(uint64_t seed, int ndim, const int64_t *dim)
{
    pf_tensor t = shaped(ndim, dim);
    fill_uniform(t.data, pf_tensor_count(&t), seed);
    return t;
}
#define EMPTY(...) shaped(PF_DIMS_(__VA_ARGS__))
#define UNIFORM(seed, ...) uniform(seed, PF_DIMS_(__VA_ARGS__))

/* Activations in double, for references. */
static inline double
act_double(double x, enum pf_act act)
{
    switch (act) {
    case PF_SILU: return x / (1 + exp(-x));
    case PF_RELU: return x > 0 ? x : 0;
    case PF_GELU: return x * 0.5 * erfc(-x / sqrt(2));
    case PF_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case PF_LEAKY_RELU: return x > 0 ? x : 0.01 * x;
    case PF_SELU: return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543773 * expm1(x));
    case PF_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
    }
}

/* A CPU device that multiplies bf16 numbers, closed by the caller; skips where there is none. */
static __attribute__((unused)) pf_dev *
halves_opened(void)
{
    pf_dev *dev;
    const pf_err err = pf_dev_open(&dev, "cpu", "bf16");
    if (err == PF_EDEV) {
        print_message("# %s\n", pf_error());
        skip();
    }
    assert_ok(err);
    return dev;
}

/* The relative L2 distance of two host tensors; NaN where either has one. */
static inline double
distance(const pf_tensor *got, const pf_tensor *want)
{
    double sum = 0, all = 0;
    for (int64_t i = 0, n = pf_tensor_count(got); i < n; i++) {
        const double a = floats(got)[i], b = floats(want)[i];
        sum += (a - b) * (a - b);
        all += b * b;
    }
    return all > 0 ? sqrt(sum / all) : sqrt(sum);
}

/* Rounded inputs tell: as far from f32 as bf16 is, no nearer and no farther. */
static void __attribute__((unused))
assert_rounded(const pf_tensor *y, const pf_tensor *exact)
{
    const double e = distance(y, exact);
    if (!(e > 1e-4 && e < 1e-2))
        fail_msg("relative error %.3g: expected that of bf16, 1e-4 to 1e-2", e);
}

/* ---- CUDA against the CPU ----
 *
 *     for (int p = 0; gpu_opened(p); p++) {   // f32, tf32, bf16, f16; skips without a GPU
 *         struct pair x = PAIR_UNIFORM(1, 7, 33), y = PAIR_EMPTY(7, 33);
 *         assert_ok(pf_activate(cpu, &y.cpu, &x.cpu, PF_SILU));
 *         assert_ok(pf_activate(gpu, &y.gpu, &x.gpu, PF_SILU));
 *         assert_pair(&y, p);
 *     }
 *
 * Both sides see the same numbers: they are rounded to the GPU's type first.  Not f16 if
 * sanitized(): its kernels are bf16's. */
enum { F32, TF32, BF16, F16, PRECISIONS };
static const struct {
    const char *name;
    double tolerance;           /* |gpu - cpu| / |cpu|: a few roundings of the type */
} precisions[] = {{"f32", 1e-6}, {"tf32", 1.5e-3}, {"bf16", 1e-2}, {"f16", 1.5e-3}};

static bool __attribute__((unused))
gpu_opened(int p)
{
    pf_dev_close(gpu);
    gpu = NULL;
    if (p == (sanitized() ? F16 : PRECISIONS))
        return false;
    const pf_err err = pf_dev_open(&gpu, "cuda", precisions[p].name);
    if (err == PF_EDEV && p == 0) {
        print_message("# %s\n", pf_error());
        skip();
    }
    assert_ok(err);
    return true;
}

struct pair {                   /* one tensor on both devices */
    pf_tensor cpu, gpu;
};

static inline struct pair
pair_of(pf_tensor t, pf_dtype type)
{
    struct pair p = {.cpu = t};
    assert_ok(pf_dev_keep(gpu, &p.gpu, type, t.ndim, t.dim));
    assert_ok(pf_dev_put(gpu, &p.gpu, &t));
    assert_ok(pf_dev_get(gpu, &p.cpu, &p.gpu));
    return p;
}
/* Activations; _F32 for what ops.h calls f32. */
#define PAIR_UNIFORM(seed, ...) pair_of(UNIFORM(seed, __VA_ARGS__), pf_dev_dtype(gpu))
#define PAIR_EMPTY(...) pair_of(EMPTY(__VA_ARGS__), pf_dev_dtype(gpu))
#define PAIR_F32(seed, ...) pair_of(UNIFORM(seed, __VA_ARGS__), PF_F32)
#define PAIR_EMPTY_F32(...) pair_of(EMPTY(__VA_ARGS__), PF_F32)

/* How far the GPU is from the CPU. */
static inline double
pair_error(const struct pair *p)
{
    pf_tensor got = {0};
    assert_ok(pf_tensor_copy(&got, &p->cpu));
    assert_ok(pf_dev_get(gpu, &got, &p->gpu));
    const double e = distance(&got, &p->cpu);
    pf_tensor_release(&got);
    return e;
}

#define assert_pair(pair_, p_) assert_pair_at(pair_, p_, __FILE__, __LINE__)
static inline void
assert_pair_at(const struct pair *pair, int p, const char *file, int line)
{
    const double e = pair_error(pair);
    if (e <= precisions[p].tolerance)
        return;
    print_error("%s: relative error %.3g, at most %.3g\n", precisions[p].name, e,
                precisions[p].tolerance);
    _fail(file, line);
}

/* A layer on both devices, from numbers of the GPU's type. */
static inline void
layer_pair(pf_layer *l[2], uint64_t seed, int ndim, const int64_t *dim, const pf_tensor *bias,
           bool transposed)
{
    const struct pair w = pair_of(uniform(seed, ndim, dim), pf_dev_dtype(gpu));
    assert_ok(pf_layer_new(cpu, &l[0], &w.cpu, bias, transposed));
    assert_ok(pf_layer_new(gpu, &l[1], &w.cpu, bias, transposed));
}

/* The error of sums of R terms grows with the root of R on either side, also in f32. */
static inline void
assert_product(const struct pair *y, int p, int64_t R)
{
    const double error = pair_error(y), f32 = 6e-8 * sqrt((double)R);
    const double most = precisions[p].tolerance > f32 ? precisions[p].tolerance : f32;
    if (!(error <= most))
        fail_msg("%s: relative error %.3g, at most %.3g", precisions[p].name, error, most);
}

/* ---- E4M3 numbers ---- */

/* Open gpu for them; skips where there is none that has them. */
static void __attribute__((unused))
need_f8(void)
{
    pf_dev_close(gpu);
    gpu = NULL;
    const pf_err err = pf_dev_open(&gpu, "cuda", "f8");
    if (err == PF_EDEV) {
        print_message("# %s\n", pf_error());
        skip();
    }
    assert_ok(err);
    assert_true(pf_dev_f8(gpu) && pf_dev_dtype(gpu) == PF_BF16);
}

/* The numbers of t times factor, rounded; t becomes what they are worth. */
static inline pf_tensor
rounded_to_f8(pf_tensor *t, float factor)
{
    pf_tensor bytes = {0};
    const int64_t n = pf_tensor_count(t);
    assert_ok(pf_dev_keep(cpu, &bytes, PF_F8, t->ndim, t->dim));
    for (int64_t i = 0; i < n; i++)
        floats(t)[i] *= factor;
    pf_from_f32(bytes.data, t->data, PF_F8, n);
    pf_to_f32(t->data, bytes.data, PF_F8, n);
    for (int64_t i = 0; i < n; i++)
        floats(t)[i] /= factor;
    return bytes;
}

#define RUN_OPERATOR_TESTS(tests) cmocka_run_group_tests(tests, open_cpu, close_cpu)

#endif
