#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {1, -2, 5, 3, 4, 0, -1, -7, -3}, out[4];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 3, 3, 1), y = PF_VIEW(out, PF_F32, 1, 2, 2, 1);
    (void)state;
    assert_ok(pf_max_pool(cpu, &y, &x));
    assert_near(out, ((float[]){4, 5, -1, -3}), 4, 0);
}

static void
test_the_largest_of_what_is_inside(void **state)
{
    enum { B = 2, H = 5, W = 8, C = 19, h = 3, w = 4 };
    pf_tensor x = UNIFORM(1, B, H, W, C), y = EMPTY(B, h, w, C);
    (void)state;
    assert_ok(pf_max_pool(cpu, &y, &x));
    for (int i = 0; i < B * h * w * C; i++) {
        const int c = i % C, u = i / C % w, v = i / C / w % h, b = i / C / w / h;
        float most = -INFINITY;
        for (int k = 0; k < 4; k++)
            if (2 * v + k / 2 < H && 2 * u + k % 2 < W)
                most = fmaxf(most, floats(&x)[((b * H + 2 * v + k / 2) * W + 2 * u + k % 2) * C +
                                              c]);
        assert_true(floats(&y)[i] == most);
    }
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 5, 4, 3), y = EMPTY(1, 2, 2, 3), flat = UNIFORM(1, 4, 3);
    (void)state;
    assert_fails(pf_max_pool(cpu, &y, &x), PF_ESHAPE,
                 "y is F32 [1, 2, 2, 3], expected F32 [1, 3, 2, 3]");
    assert_fails(pf_max_pool(cpu, &y, &flat), PF_ESHAPE, "x is");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_the_largest_of_what_is_inside),
        cmocka_unit_test(test_wrong_shapes_are_refused),
    };
    return RUN_OPERATOR_TESTS(tests);
}
