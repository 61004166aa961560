#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    /* Two groups of one channel: -1, 1 and 0, 4. */
    float in[] = {-1, 0, 1, 4}, ones[] = {1, 1}, shift[] = {0, 10}, out[4];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 2, 2), y = PF_VIEW(out, PF_F32, 1, 2, 2);
    pf_tensor gamma = PF_VIEW(ones, PF_F32, 2), beta = PF_VIEW(shift, PF_F32, 2);
    (void)state;
    assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, 2, 0, PF_NONE, NULL));
    assert_near(out, ((float[]){-1, 9, 1, 11}), 4, 1e-6);
}

static void
reference(float *y, const pf_tensor *x, const float *gamma, const float *beta, int groups,
          double eps, enum pf_act act, const pf_tensor *channel)
{
    const int64_t B = x->dim[0], C = x->dim[x->ndim - 1], P = pf_tensor_count(x) / (B * C),
                  width = C / groups;
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < C; first += width) {
            const float *const v =
                channel ? floats(channel) + (channel->dim[0] > 1 ? b * C : 0) : NULL;
            const float *const in = floats(x) + b * P * C;
            double mean = 0, var = 0;
            for (int64_t p = 0; p < P; p++)
                for (int64_t c = first; c < first + width; c++)
                    mean += ((double)in[p * C + c] + (v ? v[c] : 0)) / (double)(P * width);
            for (int64_t p = 0; p < P; p++)
                for (int64_t c = first; c < first + width; c++)
                    var +=
                        pow((double)in[p * C + c] + (v ? v[c] : 0) - mean, 2) / (double)(P * width);
            for (int64_t p = 0; p < P; p++)
                for (int64_t c = first; c < first + width; c++)
                    y[(b * P + p) * C + c] =
                        (float)act_double(((double)in[p * C + c] + (v ? v[c] : 0) - mean) /
                                                  sqrt(var + eps) * gamma[c] +
                                              beta[c],
                                          act);
        }
}

static void
test_odd_sizes_match_the_formula(void **state)
{
    static const int64_t s[][4] = {{1, 1, 40, 8},     {2, 31, 40, 8},  {3, 33, 5, 5},
                                   {1, 5000, 64, 32}, {2, 100, 48, 1}, {1, 7, 30, 10}};
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t B = s[i][0], P = s[i][1], C = s[i][2];
        pf_tensor x = UNIFORM(i, B, P, C), gamma = UNIFORM(i + 10, C), beta = UNIFORM(i + 20, C);
        pf_tensor y = EMPTY(B, P, C), want = EMPTY(B, P, C), rows = UNIFORM(i + 30, B, C),
                  row = UNIFORM(i + 40, 1, C);
        const pf_tensor *const channel[] = {NULL, &row, &rows};
        for (int k = 0; k < 15; k++) {
            assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, (int)s[i][3], 1e-5f, k % 5,
                                    channel[k / 5]));
            reference(want.data, &x, gamma.data, beta.data, (int)s[i][3], 1e-5f, k % 5,
                      channel[k / 5]);
            assert_rel(y.data, want.data, B * P * C, 3e-6);
        }
    }
}

/* Mostly constant background, as the VAE sees it: torch's f32 is off by 0.06 (golden/README). */
static void
test_nearly_constant_values_stay_accurate(void **state)
{
    enum { P = 65536, C = 16 };
    pf_tensor x = UNIFORM(1, 1, P, C), gamma = UNIFORM(2, C), beta = UNIFORM(3, C),
              y = EMPTY(1, P, C), want = EMPTY(1, P, C);
    (void)state;
    for (int64_t i = 0; i < P * C; i++)
        floats(&x)[i] = 37.0f + (i % 97 ? 0 : 0.01f * floats(&x)[i]);
    assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, 4, 1e-6f, PF_NONE, NULL));
    reference(want.data, &x, gamma.data, beta.data, 4, 1e-6f, PF_NONE, NULL);
    assert_near(y.data, floats(&want), P * C, 1e-5);
}

static void
test_in_place_is_the_same(void **state)
{
    pf_tensor x = UNIFORM(1, 2, 50, 24), gamma = UNIFORM(2, 24), beta = UNIFORM(3, 24),
              y = EMPTY(2, 50, 24);
    (void)state;
    assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, 4, 1e-5f, PF_SILU, NULL));
    assert_ok(pf_group_norm(cpu, &x, &x, &gamma, &beta, 4, 1e-5f, PF_SILU, NULL));
    assert_memory_equal(x.data, y.data, pf_tensor_bytes(&x));
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 2, 3, 24), gamma = UNIFORM(2, 24), short_ = UNIFORM(3, 23),
              rows = UNIFORM(4, 3, 24);
    (void)state;
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &gamma, 5, 0, PF_NONE, NULL), PF_ESHAPE,
                 "24 channels do not divide into 5 groups");
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &gamma, 0, 0, PF_NONE, NULL), PF_ESHAPE,
                 "0 groups");
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &short_, 4, 0, PF_NONE, NULL), PF_ESHAPE,
                 "beta");
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &gamma, 4, 0, PF_NONE, &rows), PF_ESHAPE,
                 "channel");
    assert_fails(pf_group_norm(cpu, &gamma, &x, &gamma, &gamma, 4, 0, PF_NONE, NULL), PF_ESHAPE,
                 "y is");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_odd_sizes_match_the_formula),
        cmocka_unit_test(test_nearly_constant_values_stay_accurate),
        cmocka_unit_test(test_in_place_is_the_same),
        cmocka_unit_test(test_wrong_shapes_are_refused),
    };
    return RUN_OPERATOR_TESTS(tests);
}
