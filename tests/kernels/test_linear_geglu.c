/* pf_linear_geglu: a linear map and the gating of its first half by its second. */
#include "tests/kernels/operator.h"

/* Rows of x: 1, -2; a = 2 x, g = x + 3. */
static void
test_worked_example(void **state)
{
    float in[] = {1, -2}, weights[] = {2, 1}, offsets[] = {0, 3}, out[2];
    pf_tensor x = PF_VIEW(in, PF_F32, 2, 1), w = PF_VIEW(weights, PF_F32, 2, 1),
              b = PF_VIEW(offsets, PF_F32, 2), y = PF_VIEW(out, PF_F32, 2, 1);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, &b, false));
    assert_ok(pf_linear_geglu(cpu, &y, &x, layer));
    assert_near(out, ((float[]){2 * 4 * 0.99996833f, -4 * 0.84134475f}), 2, 1e-6);
}

static void
test_is_the_product_then_the_gate(void **state)
{
    enum { B = 3, T = 7, C = 20, N = 33 };
    pf_tensor w = UNIFORM(1, 2 * N, C), bias = UNIFORM(2, 2 * N), x = UNIFORM(3, B, T, C);
    pf_tensor both = EMPTY(B, T, 2 * N), want = EMPTY(B, T, N), y = EMPTY(B, T, N);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, &bias, false));
    assert_ok(pf_linear(cpu, &both, &x, layer, NULL));
    assert_ok(pf_geglu(cpu, &want, &both));
    const size_t mark = pf_dev_mark(cpu);
    assert_ok(pf_linear_geglu(cpu, &y, &x, layer));
    assert_memory_equal(y.data, want.data, B * T * N * sizeof(float));
    assert_true(pf_dev_mark(cpu) == mark);      /* its scratch memory is given back */
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor w = UNIFORM(1, 4, 6), odd = UNIFORM(1, 3, 6), conv = UNIFORM(1, 4, 6, 3, 3),
              x = UNIFORM(2, 5, 6), wrong = UNIFORM(2, 5, 7), flat = UNIFORM(2, 6), y = EMPTY(5, 2);
    pf_layer *layer, *uneven, *kernel;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, NULL, false));
    assert_ok(pf_layer_new(cpu, &uneven, &odd, NULL, false));
    assert_ok(pf_layer_new(cpu, &kernel, &conv, NULL, false));
    assert_fails(pf_linear_geglu(cpu, &y, &wrong, layer), PF_ESHAPE,
                 "x is F32 [5, 7], expected F32 [5, 6]");
    assert_fails(pf_linear_geglu(cpu, &x, &x, layer), PF_ESHAPE, "y is F32 [5, 6]");
    assert_fails(pf_linear_geglu(cpu, &y, &flat, layer), PF_ESHAPE, "1 axes");
    assert_fails(pf_linear_geglu(cpu, &y, &x, uneven), PF_ESHAPE, "even");
    assert_fails(pf_linear_geglu(cpu, &y, &x, kernel), PF_ESHAPE, "even");
}

/* ---- CUDA ---- */

/* M, N, C.  Those that the kernels refuse; then edges of their tiles, runs and steps; many tiles
 * for each block; the network's. */
static const int64_t sizes[][3] = {
    {1, 1, 1},       {7, 33, 5},      {100, 32, 36},     {65, 40, 64},      {2048, 32, 660},
    {129, 64, 648},  {1, 32, 8},      {63, 32, 64},      {64, 128, 320},    {65, 96, 72},
    {193, 1280, 40}, {257, 160, 312}, {2048, 32, 328},   {2177, 96, 648},   {4099, 32, 320},
    {35000, 32, 72}, {9001, 96, 336}, {3000, 1280, 320}, {8195, 1280, 320}, {4200, 2560, 640},
    {2100, 5120, 1280}};

static void
test_cuda_matches_cpu(void **state)
{
    const size_t n = sanitized() ? 13 : sizeof sizes / sizeof *sizes;
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < n; i++) {
            const int64_t M = sizes[i][0], N = sizes[i][1], C = sizes[i][2];
            const struct pair x = PAIR_UNIFORM(i, 1, M, C);
            struct pair y = PAIR_EMPTY(1, M, N);
            const pf_tensor bias = UNIFORM(i + 50, 2 * N);
            pf_layer *layer[2];
            layer_pair(layer, i + 100, PF_DIMS_(2 * N, C), i % 3 ? &bias : NULL, false);
            assert_ok(pf_linear_geglu(cpu, &y.cpu, &x.cpu, layer[0]));
            assert_ok(pf_linear_geglu(gpu, &y.gpu, &x.gpu, layer[1]));
            assert_product(&y, p, C);
        }
}

/* Each number by itself, in the gate's tails too: only the last rounding of 16 bits is missing. */
static void
test_cuda_gates_are_exact(void **state)
{
    enum { M = 200, N = 64, C = 64 };
    static const double fit = 1.6e-4,           /* pf_gelu_16's own error */
                        ulp[] = {2e-5, 5e-3, 1.0 / 256 + fit, 1.0 / 1024 + fit};
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        pf_tensor t = shaped(PF_DIMS_(M, C)), ones = shaped(PF_DIMS_(2 * N, C));
        for (int i = 0; i < M * C; i++)         /* a row is one number, -6 to 6 */
            floats(&t)[i] = i % C ? 0 : roundf(64 * (i / C - M / 2) * 0.06f) / 64;
        for (int i = 0; i < 2 * N * C; i++)     /* a = 1 + column of y / 64, g = x */
            floats(&ones)[i] = i % C || i < N * C ? 0 : 1;
        pf_tensor bias = shaped(PF_DIMS_(2 * N));
        for (int i = 0; i < 2 * N; i++)
            floats(&bias)[i] = i < N ? 1 + i / 64.0f : 0;
        const struct pair x = pair_of(t, pf_dev_dtype(gpu));
        struct pair y = PAIR_EMPTY(M, N);
        pf_layer *layer;
        assert_ok(pf_layer_new(gpu, &layer, &ones, &bias, false));
        assert_ok(pf_linear_geglu(gpu, &y.gpu, &x.gpu, layer));
        assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
        for (int i = 0; i < M * N; i++) {
            const double want = floats(&bias)[i % N] *
                                act_double(floats(&x.cpu)[i / N * C], PF_GELU);
            const double error = fabs(floats(&y.cpu)[i] - want);
            if (!(error <= ulp[p] * fabs(want) + 4e-7))
                fail_msg("%s: y[%d][%d] is %.9g, expected %.9g", precisions[p].name, i / N, i % N,
                         floats(&y.cpu)[i], want);
        }
    }
}

/* What does not lie on 16 bytes, and the two operators where they are asked for. */
static void
test_cuda_has_another_way(void **state)
{
    enum { M = 130, N = 64, C = 64 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        const struct pair x = PAIR_UNIFORM(1, M * C + 1);
        struct pair y = PAIR_EMPTY(M, N);
        const size_t size = pf_dtype_size(pf_dev_dtype(gpu));
        const pf_tensor from = PF_VIEW(floats(&x.cpu) + 1, PF_F32, M, C),
                        from_gpu = PF_VIEW((char *)x.gpu.data + size, pf_dev_dtype(gpu), M, C),
                        first = PF_VIEW(x.cpu.data, PF_F32, M, C),
                        first_gpu = PF_VIEW(x.gpu.data, pf_dev_dtype(gpu), M, C);
        pf_layer *layer[2];
        layer_pair(layer, 2, PF_DIMS_(2 * N, C), NULL, false);
        assert_ok(pf_linear_geglu(cpu, &y.cpu, &from, layer[0]));
        assert_ok(pf_linear_geglu(gpu, &y.gpu, &from_gpu, layer[1]));
        assert_product(&y, p, C);
        assert_ok(pf_linear_geglu(cpu, &y.cpu, &first, layer[0]));
        setenv("PF_GEGLU", "old", 1);
        assert_ok(pf_linear_geglu(gpu, &y.gpu, &first_gpu, layer[1]));
        unsetenv("PF_GEGLU");
        assert_product(&y, p, C);
    }
}

/* No place of a ring is read before it is filled, nor filled before it was read. */
static void
test_cuda_gives_the_same_bytes_each_time(void **state)
{
    static const int64_t MNC[][3] = {{9000, 320, 320}, {9000, 640, 640}, {3000, 1280, 1280}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < (sanitized() ? 0 : 3); i++) {
            const int64_t M = MNC[i][0], N = MNC[i][1], C = MNC[i][2];
            struct pair x = PAIR_UNIFORM(1, M, C), y = PAIR_EMPTY(M, N), z = PAIR_EMPTY(M, N);
            pf_layer *layer[2];
            layer_pair(layer, 2, PF_DIMS_(2 * N, C), NULL, false);
            assert_ok(pf_linear_geglu(gpu, &y.gpu, &x.gpu, layer[1]));
            assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
            for (int round = 0; round < 20; round++) {
                assert_ok(pf_linear_geglu(gpu, &z.gpu, &x.gpu, layer[1]));
                assert_ok(pf_dev_get(gpu, &z.cpu, &z.gpu));
                assert_memory_equal(y.cpu.data, z.cpu.data, pf_tensor_bytes(&y.cpu));
            }
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_is_the_product_then_the_gate),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
        cmocka_unit_test(test_cuda_gates_are_exact),
        cmocka_unit_test(test_cuda_has_another_way),
        cmocka_unit_test(test_cuda_gives_the_same_bytes_each_time),
    };
    return RUN_OPERATOR_TESTS(tests);
}
