/* AdamW: worked by hand, against double precision, and its laws. */
#include "kernels/field/adam.h"
#include "tests/check.h"

/* With fresh moments the bias corrections cancel: the first step is lr * sign(gradient). */
static void
test_first_step_is_the_rate_against_the_gradient(void **state)
{
    const struct pf_adamw adamw = {0.01, 0.9, 0.999, 1e-8, 0};
    float value[] = {1, 1, 1}, grad[] = {5, -0.01f, 0}, m[3] = {0}, v[3] = {0};
    (void)state;
    pf_adamw(value, grad, m, v, 3, 1, &adamw);
    assert_near(value, ((float[]){0.99f, 1.01f, 1}), 3, 1e-6);
    assert_near(m, ((float[]){0.5f, -0.001f, 0}), 3, 1e-7);
    assert_near(v, ((float[]){0.025f, 1e-7f, 0}), 3, 1e-8);
}

/* Decay shrinks a value that has no gradient, and does not go through the moments. */
static void
test_decay_is_decoupled(void **state)
{
    const struct pf_adamw adamw = {0.1, 0.9, 0.999, 1e-8, 0.5};
    float value = 2, grad = 0, m = 0, v = 0;
    (void)state;
    pf_adamw(&value, &grad, &m, &v, 1, 1, &adamw);
    assert_near(&value, (float[]){1.9f}, 1, 1e-6);
    assert_near(&m, (float[]){0}, 1, 0);
}

static void
test_many_steps_follow_double_precision(void **state)
{
    enum { N = 37, STEPS = 50 };
    const struct pf_adamw adamw = {3e-3, 0.9, 0.999, 1e-8, 0.01};
    float value[N], grad[N], m[N] = {0}, v[N] = {0};
    double x[N], a[N] = {0}, b[N] = {0};
    (void)state;
    fill_uniform(value, N, 1);
    for (int i = 0; i < N; i++)
        x[i] = value[i];
    for (int step = 1; step <= STEPS; step++) {
        fill_uniform(grad, N, (uint64_t)(100 + step));
        pf_adamw(value, grad, m, v, N, step, &adamw);
        for (int i = 0; i < N; i++) {
            const double g = grad[i];
            a[i] = 0.9 * a[i] + 0.1 * g;
            b[i] = 0.999 * b[i] + 0.001 * g * g;
            x[i] -= adamw.lr * adamw.decay * x[i];
            x[i] -= adamw.lr * a[i] / (1 - pow(0.9, step)) /
                    (sqrt(b[i] / (1 - pow(0.999, step))) + 1e-8);
        }
    }
    for (int i = 0; i < N; i++)
        assert_near(value + i, (float[]){(float)x[i]}, 1, 2e-6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_step_is_the_rate_against_the_gradient),
        cmocka_unit_test(test_decay_is_decoupled),
        cmocka_unit_test(test_many_steps_follow_double_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
