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

static int
close_cpu(void **state)
{
    (void)state;
    pf_dev_close(cpu);
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
    default: return x;
    }
}

#define RUN_OPERATOR_TESTS(tests) cmocka_run_group_tests(tests, open_cpu, close_cpu)

#endif
