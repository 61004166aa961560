#include "tests/kernels/operator.h"

static void
test_numbers_are_counted_channel_by_channel(void **state)
{
    enum { V = 2, H = 3, W = 4, C = 5, FIRST = 1001 };
    pf_tensor y = EMPTY(V, H, W, C);
    (void)state;
    assert_ok(pf_gaussian(cpu, &y, 7, PF_RNG_TEST, FIRST));
    for (int v = 0; v < V; v++)
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++)
                for (int c = 0; c < C; c++)
                    assert_true(floats(&y)[((v * H + i) * W + j) * C + c] ==
                                pf_rng_normal(7, PF_RNG_TEST,
                                              FIRST + (uint64_t)(((v * C + c) * H + i) * W + j)));
}

/* Two draws of one stream, one after the other, are one draw of twice the views. */
static void
test_draws_follow_each_other(void **state)
{
    enum { N = 3 * 8 * 8 * 4 };
    pf_tensor both = EMPTY(6, 8, 8, 4), one = EMPTY(3, 8, 8, 4);
    (void)state;
    assert_ok(pf_gaussian(cpu, &both, 1, PF_RNG_TEST, 40));
    for (int k = 0; k < 2; k++) {
        assert_ok(pf_gaussian(cpu, &one, 1, PF_RNG_TEST, 40 + (uint64_t)k * N));
        assert_memory_equal(one.data, floats(&both) + k * N, N * sizeof(float));
    }
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor y = EMPTY(2, 3, 4);
    (void)state;
    assert_fails(pf_gaussian(cpu, &y, 1, PF_RNG_TEST, 0), PF_ESHAPE, "y is");
}

/* Not nearly: the same bits. */
static void
test_cuda_gives_the_bits_of_the_cpu(void **state)
{
    static const int64_t s[][4] = {{1, 1, 1, 1}, {3, 5, 7, 3}, {16, 32, 32, 4}, {20, 64, 64, 4}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 4; i++) {
            struct pair y = PAIR_EMPTY_F32(s[i][0], s[i][1], s[i][2], s[i][3]);
            pf_tensor got = EMPTY(s[i][0], s[i][1], s[i][2], s[i][3]);
            const uint64_t stream = UINT64_C(1) << 40 | PF_RNG_TEST;
            const uint64_t first = i == 1 ? UINT64_C(0xfffffff00) : (uint64_t)i;
            assert_ok(pf_gaussian(cpu, &y.cpu, 1234567890123, stream, first));
            assert_ok(pf_gaussian(gpu, &y.gpu, 1234567890123, stream, first));
            assert_ok(pf_dev_get(gpu, &got, &y.gpu));
            assert_memory_equal(got.data, y.cpu.data, pf_tensor_bytes(&got));
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_counted_channel_by_channel),
        cmocka_unit_test(test_draws_follow_each_other),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_gives_the_bits_of_the_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
