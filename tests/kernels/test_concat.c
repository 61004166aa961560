/* pf_concat and pf_slice. */
#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float p[] = {1, 2, 3, 4}, q[] = {5, 6}, out[6];
    pf_tensor a = PF_VIEW(p, PF_F32, 2, 2), b = PF_VIEW(q, PF_F32, 2, 1),
              y = PF_VIEW(out, PF_F32, 2, 3);
    (void)state;
    assert_ok(pf_concat(cpu, &y, &a, &b));
    assert_near(out, ((float[]){1, 2, 5, 3, 4, 6}), 6, 0);
}

static void
test_slices_of_a_concatenation_are_its_parts(void **state)
{
    static const int64_t width[][2] = {{1, 1}, {31, 33}, {40, 5}, {64, 128}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const int64_t A = width[i][0], B = width[i][1];
        pf_tensor a = UNIFORM(1, 2, 17, 29, A), b = UNIFORM(2, 2, 17, 29, B),
                  y = EMPTY(2, 17, 29, A + B);
        pf_tensor left = EMPTY(2, 17, 29, A), right = EMPTY(2, 17, 29, B);
        assert_ok(pf_concat(cpu, &y, &a, &b));
        assert_ok(pf_slice(cpu, &left, &y, 0, A));
        assert_ok(pf_slice(cpu, &right, &y, A, A + B));
        assert_memory_equal(left.data, a.data, pf_tensor_bytes(&a));
        assert_memory_equal(right.data, b.data, pf_tensor_bytes(&b));
    }
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor a = UNIFORM(1, 2, 3), b = UNIFORM(2, 3, 3), y = EMPTY(2, 6), ok = UNIFORM(3, 2, 3),
              two = EMPTY(2, 2);
    (void)state;
    assert_fails(pf_concat(cpu, &y, &a, &b), PF_ESHAPE, "b is F32 [3, 3], expected F32 [2, 3]");
    assert_fails(pf_concat(cpu, &b, &a, &ok), PF_ESHAPE, "y is");
    assert_fails(pf_slice(cpu, &two, &a, 2, 4), PF_ESHAPE, "2..3");
    assert_fails(pf_slice(cpu, &two, &a, 1, 1), PF_ESHAPE, "channels");
    assert_fails(pf_slice(cpu, &two, &a, 0, 1), PF_ESHAPE, "y is");
}

/* Copies are exact; widths for every unit from 2 to 16 bytes. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t width[][2] = {{1, 1},   {31, 33}, {40, 5},   {64, 128},
                                       {160, 6}, {12, 4},  {320, 640}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 7; i++) {
            const int64_t A = width[i][0], B = width[i][1];
            struct pair a = PAIR_UNIFORM(1, 2, 17, 29, A), b = PAIR_UNIFORM(2, 2, 17, 29, B),
                        y = PAIR_EMPTY(2, 17, 29, A + B);
            struct pair left = PAIR_EMPTY(2, 17, 29, A), right = PAIR_EMPTY(2, 17, 29, B);
            assert_ok(pf_concat(cpu, &y.cpu, &a.cpu, &b.cpu));
            assert_ok(pf_concat(gpu, &y.gpu, &a.gpu, &b.gpu));
            assert_true(pair_error(&y) == 0);
            assert_ok(pf_slice(gpu, &left.gpu, &y.gpu, 0, A));
            assert_ok(pf_slice(gpu, &right.gpu, &y.gpu, A, A + B));
            left.cpu = a.cpu;
            right.cpu = b.cpu;
            assert_true(pair_error(&left) == 0 && pair_error(&right) == 0);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_slices_of_a_concatenation_are_its_parts),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
