#include "tests/kernels/operator.h"

static struct pf_multistep_coefficients some = {0.5f, 2, 0.25f, 3, -1, 0.5f, -2, 0.75f, 1.5f, -4};

static void
test_worked_example(void **state)
{
    /* out = 1 + 2 (2 - 1) = 3; m = 3 + 6 = 9; y = 1.5 + 15 - 9 + 3.5 - 16 = -5;
     * x = -3.75 + 13.5 - 28 = -18.25 */
    float x[] = {6}, y[] = {5}, m1[] = {7}, m2[] = {8}, c[] = {2}, u[] = {1};
    pf_tensor tx = PF_VIEW(x, PF_F32, 1), ty = PF_VIEW(y, PF_F32, 1), t1 = PF_VIEW(m1, PF_F32, 1),
              t2 = PF_VIEW(m2, PF_F32, 1), tc = PF_VIEW(c, PF_F32, 1), tu = PF_VIEW(u, PF_F32, 1);
    (void)state;
    assert_ok(pf_multistep(cpu, &tx, &ty, &t1, &t2, &tc, &tu, 2, &some));
    assert_near(x, (float[]){-18.25f}, 1, 1e-5);
    assert_near(y, (float[]){-5}, 1, 1e-5);
    assert_near(m1, (float[]){9}, 1, 1e-5);
    assert_true(m2[0] == 7);
}

/* The formula in double at an odd size, without the other branch, as cfg 1 is. */
static void
test_formula(void **state)
{
    enum { N = 20011 };
    pf_tensor x = UNIFORM(1, N), y = UNIFORM(2, N), m1 = UNIFORM(3, N), m2 = UNIFORM(4, N),
              c = UNIFORM(5, N), want_x = EMPTY(N), want_y = EMPTY(N), want_m = EMPTY(N),
              was_m1 = UNIFORM(3, N);
    const struct pf_multistep_coefficients k = some;
    (void)state;
    for (int i = 0; i < N; i++) {
        const double px = floats(&x)[i], p1 = floats(&m1)[i];
        const double m = k.m_of_x * px + k.m_of_out * (double)floats(&c)[i];
        const double py = k.y_of_x * px + k.y_of_y * (double)floats(&y)[i] + k.y_of_m * m +
                          k.y_of_m1 * p1 + k.y_of_m2 * (double)floats(&m2)[i];
        floats(&want_m)[i] = (float)m;
        floats(&want_y)[i] = (float)py;
        floats(&want_x)[i] = (float)(k.x_of_y * py + k.x_of_m * m + k.x_of_m1 * p1);
    }
    assert_ok(pf_multistep(cpu, &x, &y, &m1, &m2, &c, NULL, 7, &some));
    assert_near(x.data, floats(&want_x), N, 2e-6);
    assert_near(y.data, floats(&want_y), N, 2e-6);
    assert_near(m1.data, floats(&want_m), N, 2e-6);
    assert_memory_equal(m2.data, was_m1.data, N * sizeof(float));
}

static void
test_wrong_arguments_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 4), c = UNIFORM(2, 4), wrong = UNIFORM(3, 5);
    (void)state;
    assert_fails(pf_multistep(cpu, &x, &wrong, &x, &x, &c, NULL, 1, &some), PF_ESHAPE, "y is");
    assert_fails(pf_multistep(cpu, &x, &x, &wrong, &x, &c, NULL, 1, &some), PF_ESHAPE, "m1 is");
    assert_fails(pf_multistep(cpu, &x, &x, &x, &wrong, &c, NULL, 1, &some), PF_ESHAPE, "m2 is");
    assert_fails(pf_multistep(cpu, &x, &x, &x, &x, &wrong, NULL, 1, &some), PF_ESHAPE, "cond is");
    assert_fails(pf_multistep(cpu, &x, &x, &x, &x, &c, &wrong, 1, &some), PF_ESHAPE, "uncond is");
}

/* The state is f32 on both sides and all else is the same numbers: f32's tolerance for every
 * precision. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t size[] = {1, 3, 65536, 20011};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 8; i++) {
            const int64_t n = size[i / 2];
            const bool guided = i & 1;
            const struct pair k = pair_of(PF_VIEW(&some, PF_F32, 10), PF_F32);
            struct pair x = PAIR_F32(1, n), y = PAIR_F32(2, n), m1 = PAIR_F32(3, n),
                        m2 = PAIR_F32(4, n), c = PAIR_UNIFORM(5, n), u = PAIR_UNIFORM(6, n);
            assert_ok(pf_multistep(cpu, &x.cpu, &y.cpu, &m1.cpu, &m2.cpu, &c.cpu,
                                   guided ? &u.cpu : NULL, 2, &some));
            assert_ok(pf_multistep(gpu, &x.gpu, &y.gpu, &m1.gpu, &m2.gpu, &c.gpu,
                                   guided ? &u.gpu : NULL, 2, k.gpu.data));
            assert_pair(&x, 0);
            assert_pair(&y, 0);
            assert_pair(&m1, 0);
            assert_pair(&m2, 0);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_wrong_arguments_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
