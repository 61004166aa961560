#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {1, 2}, out[8];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 1, 2, 1), y = PF_VIEW(out, PF_F32, 1, 2, 4, 1);
    (void)state;
    assert_ok(pf_upsample(cpu, &y, &x));
    assert_near(out, ((float[]){1, 1, 2, 2, 1, 1, 2, 2}), 8, 0);
}

static void
test_every_pixel_is_its_half(void **state)
{
    enum { B = 2, H = 5, W = 7, C = 33 };
    pf_tensor x = UNIFORM(1, B, H, W, C), y = EMPTY(B, 2 * H, 2 * W, C);
    (void)state;
    assert_ok(pf_upsample(cpu, &y, &x));
    for (int b = 0; b < B; b++)
        for (int i = 0; i < 2 * H; i++)
            for (int j = 0; j < 2 * W; j++)
                assert_near(floats(&y) + ((b * 2 * H + i) * 2 * W + j) * C,
                            floats(&x) + ((b * H + i / 2) * W + j / 2) * C, C, 0);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 2, 2, 3), y = EMPTY(1, 4, 5, 3), flat = UNIFORM(1, 4, 3);
    (void)state;
    assert_fails(pf_upsample(cpu, &y, &x), PF_ESHAPE,
                 "y is F32 [1, 4, 5, 3], expected F32 [1, 4, 4, 3]");
    assert_fails(pf_upsample(cpu, &y, &flat), PF_ESHAPE, "x is");
}

static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t s[][4] = {
        {1, 1, 1, 1}, {2, 5, 7, 33}, {1, 3, 2, 6}, {1, 4, 4, 20}, {3, 16, 16, 64}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 5; i++) {
            struct pair x = PAIR_UNIFORM(1, s[i][0], s[i][1], s[i][2], s[i][3]),
                        y = PAIR_EMPTY(s[i][0], 2 * s[i][1], 2 * s[i][2], s[i][3]);
            assert_ok(pf_upsample(cpu, &y.cpu, &x.cpu));
            assert_ok(pf_upsample(gpu, &y.gpu, &x.gpu));
            assert_true(pair_error(&y) == 0);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_every_pixel_is_its_half),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
