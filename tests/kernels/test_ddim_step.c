#include "tests/kernels/operator.h"

static const struct pf_ddim_coefficients some = {0.6f, 0.8f, 0.7f, 0.5f, 0.25f, 1, 0};
static struct pf_ddim_coefficients velocity = {0.6f, 0.8f, 0.7f, 0.5f, 0.25f, 0.6f, 0.8f};

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

/* What a network of v means: v = sqrt(a) eps - sqrt(1-a) x0 gives the step that eps gives. */
static void
test_velocity(void **state)
{
    /* x = 0.6 * 6 + 0.8 * 3 = 6 of x0 = 6, eps = 3; v = 0.6 * 3 - 0.8 * 6 = -3 */
    float x[] = {6}, v[] = {-3}, z[] = {4};
    pf_tensor tx = PF_VIEW(x, PF_F32, 1), tv = PF_VIEW(v, PF_F32, 1), tz = PF_VIEW(z, PF_F32, 1);
    (void)state;
    assert_ok(pf_ddim_step(cpu, &tx, &tv, NULL, 1, &velocity, &tz));
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
    assert_fails(pf_ddim_step(cpu, &x, &c, NULL, 1, &zero, NULL), PF_EARG, "sqrt_a");
}

/* x is f32 on both sides and all else is the same numbers: f32's tolerance for every precision. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t size[] = {1, 3, 65536, 20011};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 16; i++) {
            const int64_t n = size[i / 4];
            const struct pair k = pair_of(PF_VIEW(&velocity, PF_F32, 7), PF_F32);
            struct pair x = PAIR_F32(1, n), c = PAIR_UNIFORM(2, n), u = PAIR_UNIFORM(3, n),
                        z = PAIR_F32(4, n);
            const bool guided = i & 1, noisy = i & 2;
            assert_ok(pf_ddim_step(cpu, &x.cpu, &c.cpu, guided ? &u.cpu : NULL, 2, &velocity,
                                   noisy ? &z.cpu : NULL));
            assert_ok(pf_ddim_step(gpu, &x.gpu, &c.gpu, guided ? &u.gpu : NULL, 2, k.gpu.data,
                                   noisy ? &z.gpu : NULL));
            assert_pair(&x, 0);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_velocity),
        cmocka_unit_test(test_scale_one_needs_no_unconditional_branch),
        cmocka_unit_test(test_wrong_arguments_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
