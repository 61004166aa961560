#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {1, 3}, scale[] = {1, 2}, shift[] = {0, 1}, out[2];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 2), y = PF_VIEW(out, PF_F32, 1, 2);
    pf_tensor gamma = PF_VIEW(scale, PF_F32, 2), beta = PF_VIEW(shift, PF_F32, 2);
    (void)state;
    assert_ok(pf_layer_norm(cpu, &y, &x, &gamma, &beta, 0));
    assert_near(out, ((float[]){-1, 3}), 2, 1e-6f);
}

static void
test_odd_widths_match_the_formula(void **state)
{
    static const int64_t width[] = {1, 5, 31, 32, 33, 40, 1280};
    (void)state;
    for (size_t i = 0; i < sizeof width / sizeof *width; i++) {
        const int64_t C = width[i], R = 37;
        pf_tensor x = UNIFORM(i, 1, R, C), gamma = UNIFORM(i + 10, C), beta = UNIFORM(i + 20, C),
                  y = EMPTY(1, R, C);
        assert_ok(pf_layer_norm(cpu, &y, &x, &gamma, &beta, 1e-5f));
        for (int64_t r = 0; r < R; r++) {
            double mean = 0, var = 0;
            for (int64_t c = 0; c < C; c++)
                mean += (double)floats(&x)[r * C + c] / (double)C;
            for (int64_t c = 0; c < C; c++)
                var += pow((double)floats(&x)[r * C + c] - mean, 2) / (double)C;
            for (int64_t c = 0; c < C; c++)
                assert_near(floats(&y) + r * C + c,
                            ((float[]){(float)(((double)floats(&x)[r * C + c] - mean) /
                                                   sqrt(var + 1e-5) * floats(&gamma)[c] +
                                               floats(&beta)[c])}),
                            1, 3e-6);
        }
    }
}

/* Adding a constant to a row, or doubling it, changes nothing but rounding (eps 0). */
static void
test_shift_and_scale_of_a_row_cancel(void **state)
{
    enum { R = 4, C = 48 };
    pf_tensor x = UNIFORM(1, R, C), z = EMPTY(R, C), gamma = UNIFORM(2, C), beta = UNIFORM(3, C),
              y = EMPTY(R, C);
    (void)state;
    for (int i = 0; i < R * C; i++)
        floats(&z)[i] = 2 * floats(&x)[i] + 3;
    assert_ok(pf_layer_norm(cpu, &y, &x, &gamma, &beta, 0));
    assert_ok(pf_layer_norm(cpu, &z, &z, &gamma, &beta, 0));
    assert_near(z.data, floats(&y), R * C, 1e-5);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 4, 8), gamma = UNIFORM(2, 8), wrong = UNIFORM(3, 7), y = EMPTY(4, 7);
    (void)state;
    assert_fails(pf_layer_norm(cpu, &x, &x, &wrong, &gamma, 0), PF_ESHAPE, "gamma");
    assert_fails(pf_layer_norm(cpu, &x, &x, &gamma, &wrong, 0), PF_ESHAPE, "beta");
    assert_fails(pf_layer_norm(cpu, &y, &x, &gamma, &gamma, 0), PF_ESHAPE, "y is");
}

/* Rows in registers, with 2, 5 and 10 vectors to a lane, and rows that are not. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t size[][2] = {{37, 1},     {37, 5},    {9, 31},    {9, 33},    {37, 40},
                                      {1000, 320}, {300, 640}, {77, 1024}, {61, 1280}, {3, 2048},
                                      {3, 2560},   {3, 2568},  {2, 9000}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
            const int64_t R = size[i][0], C = size[i][1];
            struct pair x = PAIR_UNIFORM(i, R, C), gamma = PAIR_F32(i + 20, C),
                        beta = PAIR_F32(i + 40, C), y = PAIR_EMPTY(R, C);
            assert_ok(pf_layer_norm(cpu, &y.cpu, &x.cpu, &gamma.cpu, &beta.cpu, 1e-5f));
            assert_ok(pf_layer_norm(gpu, &y.gpu, &x.gpu, &gamma.gpu, &beta.gpu, 1e-5f));
            assert_pair(&y, p);
            assert_ok(pf_layer_norm(gpu, &x.gpu, &x.gpu, &gamma.gpu, &beta.gpu, 1e-5f));
            x.cpu = y.cpu;
            assert_pair(&x, p);                 /* in place */
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_odd_widths_match_the_formula),
        cmocka_unit_test(test_shift_and_scale_of_a_row_cancel),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
