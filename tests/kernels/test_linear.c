#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {1, 2}, weights[] = {1, 0, 0, 1, 1, 1}, offsets[] = {0, 0, 10}, out[3];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 2), w = PF_VIEW(weights, PF_F32, 3, 2),
              b = PF_VIEW(offsets, PF_F32, 3);
    pf_tensor y = PF_VIEW(out, PF_F32, 1, 3);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, &b, false));
    assert_ok(pf_linear(cpu, &y, &x, layer, NULL));
    assert_near(out, ((float[]){1, 2, 13}), 3, 0);
}

static void
reference(float *y, const float *x, const float *w, const float *b, int64_t M, int64_t K, int64_t C)
{
    for (int64_t m = 0; m < M; m++)
        for (int64_t k = 0; k < K; k++) {
            double sum = b ? b[k] : 0;
            for (int64_t c = 0; c < C; c++)
                sum += (double)x[m * C + c] * w[k * C + c];
            y[m * K + k] = (float)sum;
        }
}

/* One layer meets many numbers of rows: its packed weights must suit them all. */
static void
test_odd_sizes_match_the_definition(void **state)
{
    static const int64_t KC[][2] = {{1, 1},    {3, 5},     {40, 24}, {33, 31},
                                    {64, 326}, {960, 320}, {130, 65}};
    static const int64_t M[] = {1, 2, 15, 16, 17, 100, 257};
    (void)state;
    for (size_t i = 0; i < sizeof KC / sizeof *KC; i++) {
        const int64_t K = KC[i][0], C = KC[i][1];
        pf_tensor w = UNIFORM(i, K, C), b = UNIFORM(i + 50, K);
        pf_layer *layer;
        assert_ok(pf_layer_new(cpu, &layer, &w, i % 2 ? &b : NULL, false));
        for (size_t j = 0; j < sizeof M / sizeof *M; j++) {
            pf_tensor x = UNIFORM(j, 1, M[j], C), y = EMPTY(1, M[j], K), want = EMPTY(1, M[j], K);
            assert_ok(pf_linear(cpu, &y, &x, layer, NULL));
            reference(want.data, x.data, w.data, i % 2 ? b.data : NULL, M[j], K, C);
            assert_rel(y.data, want.data, M[j] * K, 2e-6);
        }
    }
}

static void
test_weights_are_packed_once(void **state)
{
    pf_tensor w = UNIFORM(1, 128, 64);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, NULL, false));
    for (int64_t M = 1; M < 600; M = 2 * M + 1) {
        pf_tensor x = UNIFORM(2, M, 64), y = EMPTY(M, 128);
        const size_t before = pf_dev_kept(cpu);
        assert_ok(pf_linear(cpu, &y, &x, layer, NULL));
        assert_true(M == 1 ? pf_dev_kept(cpu) - before == 128 * 64 * 4
                           : pf_dev_kept(cpu) == before);
    }
}

static void
test_epilogue_is_what_the_steps_would_do(void **state)
{
    enum { B = 3, T = 7, C = 20, K = 36, N = B * T * K };
    pf_tensor w = UNIFORM(1, K, C), bias = UNIFORM(2, K), rows = UNIFORM(3, B, K),
              row = UNIFORM(4, 1, K);
    pf_tensor x = UNIFORM(5, B, T, C), plain = EMPTY(B, T, K), y = EMPTY(B, T, K),
              other = UNIFORM(6, B, T, K);
    pf_tensor want = EMPTY(B, T, K);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, &bias, false));
    assert_ok(pf_linear(cpu, &plain, &x, layer, NULL));
    for (int i = 0; i < 5 * 3 * 3; i++) {
        const enum pf_act act = i % 5;
        const pf_tensor *const channel = i / 5 % 3 == 0 ? NULL : i / 5 % 3 == 1 ? &row : &rows;
        const int residual = i / 15;
        const struct pf_epilogue e = {channel, act,
                                      residual == 0   ? NULL
                                      : residual == 1 ? &other
                                                      : &y};
        for (int64_t j = 0; j < N; j++) {
            const float v =
                channel ? floats(channel)[(channel == &rows ? j / (T * K) * K : 0) + j % K] : 0;
            floats(&want)[j] = (float)act_double((double)floats(&plain)[j] + v, act) +
                               (residual ? floats(&other)[j] : 0);
        }
        memcpy(y.data, other.data, N * sizeof(float));
        assert_ok(pf_linear(cpu, &y, &x, layer, &e));
        assert_rel(y.data, want.data, N, 3e-6);
    }
}

/* q, k and v in one product are the three products side by side. */
static void
test_a_stack_is_its_parts_side_by_side(void **state)
{
    enum { M = 5, C = 12 };
    pf_tensor w[2] = {UNIFORM(1, 8, C), UNIFORM(2, 3, C)}, b[2] = {UNIFORM(3, 8), {0}},
              x = UNIFORM(4, M, C);
    pf_tensor all = EMPTY(M, 11), first = EMPTY(M, 8), second = EMPTY(M, 3);
    pf_layer *stack, *one, *two;
    (void)state;
    assert_ok(pf_layer_new_stack(cpu, &stack, 2, w, b));
    assert_ok(pf_layer_new(cpu, &one, &w[0], &b[0], false));
    assert_ok(pf_layer_new(cpu, &two, &w[1], NULL, false));
    for (int round = 0; round < 2; round++) { /* the second from the packed copy */
        assert_ok(pf_linear(cpu, &all, &x, stack, NULL));
        assert_ok(pf_linear(cpu, &first, &x, one, NULL));
        assert_ok(pf_linear(cpu, &second, &x, two, NULL));
        for (int m = 0; m < M; m++) {
            assert_near(floats(&all) + m * 11, floats(&first) + m * 8, 8, 1e-6);
            assert_near(floats(&all) + m * 11 + 8, floats(&second) + m * 3, 3, 1e-6);
        }
    }
}

/* The product with all input channels is the sum of those with parts of them. */
static void
test_slices_of_the_input_add_up(void **state)
{
    enum { M = 6, C = 10, K = 7, CUT = 4 };
    pf_tensor w = UNIFORM(1, K, C, 1, 1), b = UNIFORM(2, K), x = UNIFORM(3, M, C), y = EMPTY(M, K),
              z = EMPTY(M, K);
    pf_tensor left = EMPTY(M, CUT), right = EMPTY(M, C - CUT);
    pf_layer *whole, *low, *high;
    (void)state;
    assert_ok(pf_slice(cpu, &left, &x, 0, CUT));
    assert_ok(pf_slice(cpu, &right, &x, CUT, C));
    assert_ok(pf_layer_new(cpu, &whole, &w, &b, false));
    assert_ok(pf_layer_new_slice(cpu, &low, &w, &b, 0, CUT));
    assert_ok(pf_layer_new_slice(cpu, &high, &w, NULL, CUT, C));
    assert_ok(pf_linear(cpu, &y, &x, whole, NULL));
    assert_ok(pf_linear(cpu, &z, &left, low, NULL));
    assert_ok(pf_linear(cpu, &z, &right, high, &(struct pf_epilogue){.residual = &z}));
    assert_near(y.data, floats(&z), M * K, 2e-6);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor w = UNIFORM(1, 4, 6), three = UNIFORM(1, 4, 6, 3), x = UNIFORM(2, 5, 6),
              y = EMPTY(5, 4), b = UNIFORM(3, 5);
    pf_tensor wrong = UNIFORM(2, 5, 7), conv = UNIFORM(1, 4, 6, 3, 3);
    pf_layer *layer, *none, *kernel;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, NULL, false));
    assert_ok(pf_layer_new(cpu, &kernel, &conv, NULL, false));
    assert_fails(pf_linear(cpu, &y, &wrong, layer, NULL), PF_ESHAPE,
                 "x is F32 [5, 7], expected F32 [5, 6]");
    assert_fails(pf_linear(cpu, &x, &x, layer, NULL), PF_ESHAPE, "y is F32 [5, 6]");
    assert_fails(pf_linear(cpu, &y, &b, layer, NULL), PF_ESHAPE, "1 axes");
    assert_fails(pf_linear(cpu, &y, &x, kernel, NULL), PF_ESHAPE, "convolution");
    assert_fails(pf_layer_new(cpu, &none, &three, NULL, false), PF_ESHAPE, "weight");
    assert_fails(pf_layer_new(cpu, &none, &w, &b, false), PF_ESHAPE, "bias");
    assert_fails(pf_layer_new(cpu, &none, &w, NULL, true), PF_ESHAPE, "transposed");
    assert_fails(pf_layer_new_slice(cpu, &none, &w, NULL, 3, 7), PF_ESHAPE, "3..6");
    assert_fails(pf_layer_new_stack(cpu, &none, 2, (pf_tensor[]){w, wrong}, NULL), PF_ESHAPE,
                 "weight 1");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_odd_sizes_match_the_definition),
        cmocka_unit_test(test_weights_are_packed_once),
        cmocka_unit_test(test_epilogue_is_what_the_steps_would_do),
        cmocka_unit_test(test_a_stack_is_its_parts_side_by_side),
        cmocka_unit_test(test_slices_of_the_input_add_up),
        cmocka_unit_test(test_wrong_shapes_are_refused),
    };
    return RUN_OPERATOR_TESTS(tests);
}
