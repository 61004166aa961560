#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {1, -2, 5, 3, 4, 0, -1, -7, -3}, out[4];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 3, 3, 1), y = PF_VIEW(out, PF_F32, 1, 2, 2, 1);
    (void)state;
    assert_ok(pf_max_pool(cpu, &y, &x, 2));
    assert_near(out, ((float[]){4, 5, -1, -3}), 4, 0);
    assert_ok(pf_max_pool(cpu, &y, &x, 1));
    assert_near(out, ((float[]){1, 5, -1, -3}), 4, 0);
    assert_ok(pf_max_pool(cpu, &y, &x, 3));
    assert_near(out, ((float[]){4, 5, 4, 4}), 4, 0);
}

static void
test_the_largest_of_what_is_inside(void **state)
{
    enum { B = 2, H = 5, W = 8, C = 19, h = 3, w = 4 };
    pf_tensor x = UNIFORM(1, B, H, W, C), y = EMPTY(B, h, w, C);
    (void)state;
    for (int size = 1; size <= 3; size++) {
        assert_ok(pf_max_pool(cpu, &y, &x, size));
        for (int i = 0; i < B * h * w * C; i++) {
            const int c = i % C, b = i / C / w / h;
            const int u = 2 * (i / C % w) - (size == 3), v = 2 * (i / C / w % h) - (size == 3);
            float most = -INFINITY;
            for (int k = v; k < v + size; k++)
                for (int j = u; j < u + size; j++)
                    if (k >= 0 && k < H && j >= 0 && j < W)
                        most = fmaxf(most, floats(&x)[((b * H + k) * W + j) * C + c]);
            assert_true(floats(&y)[i] == most);
        }
    }
}

static void
test_what_is_no_number_is_the_largest(void **state)
{
    enum { S = 5, C = 19, s = 3 };
    pf_tensor x = UNIFORM(1, 1, S, S, C), y = EMPTY(1, s, s, C);
    (void)state;
    for (int at = 0; at < S * S * C; at++) {
        const float whole = floats(&x)[at];
        const int c = at % C, window = at / C / S / 2 * s + at / C % S / 2;
        floats(&x)[at] = NAN;
        assert_ok(pf_max_pool(cpu, &y, &x, 2));
        for (int i = 0; i < s * s * C; i++)
            assert_true(!isnan(floats(&y)[i]) == (i != window * C + c));
        floats(&x)[at] = whole;
    }
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 5, 4, 3), y = EMPTY(1, 2, 2, 3), flat = UNIFORM(1, 4, 3);
    (void)state;
    assert_fails(pf_max_pool(cpu, &y, &x, 2), PF_ESHAPE,
                 "y is F32 [1, 2, 2, 3], expected F32 [1, 3, 2, 3]");
    assert_fails(pf_max_pool(cpu, &y, &flat, 2), PF_ESHAPE, "x is");
    assert_fails(pf_max_pool(cpu, &y, &x, 4), PF_EARG, "a window of 4");
}

/* ---- CUDA ---- */

/* Whole vectors and single numbers; the largest is one of them, so that nothing is rounded. */
static void
test_cuda_gives_the_numbers_of_the_cpu(void **state)
{
    static const int64_t size[][4] = {{2, 5, 8, 19}, {3, 4, 7, 32}, {1, 1, 1, 1}, {2, 33, 65, 64},
                                      {1, 9, 1, 24}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
            const int64_t *const n = size[i];
            const struct pair x = PAIR_UNIFORM(1, n[0], n[1], n[2], n[3]);
            for (int window = 1; window <= 3; window++) {
                struct pair y = PAIR_EMPTY(n[0], (n[1] + 1) / 2, (n[2] + 1) / 2, n[3]);
                assert_ok(pf_max_pool(cpu, &y.cpu, &x.cpu, window));
                assert_ok(pf_max_pool(gpu, &y.gpu, &x.gpu, window));
                assert_true(pair_error(&y) == 0);
            }
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_the_largest_of_what_is_inside),
        cmocka_unit_test(test_what_is_no_number_is_the_largest),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_gives_the_numbers_of_the_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
