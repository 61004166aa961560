#include "tests/kernels/operator.h"

static const struct pf_ddim_coefficients some = {0.6f, 0.8f, 0.7f, 0.5f, 0.25f};

static void
test_worked_example(void **state)
{
    /* eps = 1 + 2 (2 - 1) = 3; x0 = (6 - 2.4) / 0.6 = 6; x = 4.2 + 1.5 + 0.25 * 4 = 6.7 */
    float x[] = {6}, c[] = {2}, u[] = {1}, z[] = {4};
    pf_tensor tx = PF_VIEW(x, PF_F32, 1), tc = PF_VIEW(c, PF_F32, 1), tu = PF_VIEW(u, PF_F32, 1),
              tz = PF_VIEW(z, PF_F32, 1);
    (void)state;
    assert_ok(pf_ddim_step(cpu, &tx, &tc, &tu, 2, &some, &tz));
    assert_near(x, (float[]){6.7f}, 1, 2e-6);
}

/* Guidance of scale 1 is the conditional prediction alone. */
static void
test_scale_one_needs_no_unconditional_branch(void **state)
{
    enum { N = 20011 };
    pf_tensor x = UNIFORM(1, N), y = UNIFORM(1, N), c = UNIFORM(2, N), u = UNIFORM(3, N);
    (void)state;
    assert_ok(pf_ddim_step(cpu, &x, &c, &u, 1, &some, NULL));
    assert_ok(pf_ddim_step(cpu, &y, &c, NULL, 7, &some, NULL));
    assert_near(x.data, floats(&y), N, 1e-6);
}

static void
test_wrong_arguments_are_refused(void **state)
{
    const struct pf_ddim_coefficients zero = {0};
    pf_tensor x = UNIFORM(1, 4), c = UNIFORM(2, 4), wrong = UNIFORM(3, 5);
    (void)state;
    assert_fails(pf_ddim_step(cpu, &x, &wrong, NULL, 1, &some, NULL), PF_ESHAPE, "cond is");
    assert_fails(pf_ddim_step(cpu, &x, &c, &wrong, 1, &some, NULL), PF_ESHAPE, "uncond is");
    assert_fails(pf_ddim_step(cpu, &x, &c, NULL, 1, &some, &wrong), PF_ESHAPE, "noise is");
    assert_fails(pf_ddim_step(cpu, &x, &c, NULL, 1, &zero, NULL), PF_ESHAPE, "sqrt_a");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_scale_one_needs_no_unconditional_branch),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return RUN_OPERATOR_TESTS(tests);
}
