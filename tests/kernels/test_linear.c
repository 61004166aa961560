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

/* Many rows or few, an activation and a residual, and twice the same bytes. */
static void
test_cpu_in_bf16_is_near(void **state)
{
    static const int64_t M[] = {1, 17, 100, 257};
    pf_dev *const half = halves_opened();
    (void)state;
    for (size_t j = 0; j < sizeof M / sizeof *M; j++) {
        pf_tensor w = UNIFORM(1, 96, 326), b = UNIFORM(2, 96), x = UNIFORM(3, M[j], 326);
        pf_tensor r = UNIFORM(4, M[j], 96), y = EMPTY(M[j], 96), again = EMPTY(M[j], 96),
                  want = EMPTY(M[j], 96);
        pf_layer *exact, *rounded;
        const struct pf_epilogue e = {.act = j % 2 ? PF_GELU : PF_NONE,
                                      .residual = j > 1 ? &r : NULL};
        assert_ok(pf_layer_new(cpu, &exact, &w, &b, false));
        assert_ok(pf_layer_new(half, &rounded, &w, &b, false));
        assert_ok(pf_linear(cpu, &want, &x, exact, &e));
        assert_ok(pf_linear(half, &y, &x, rounded, &e));
        assert_ok(pf_linear(half, &again, &x, rounded, &e));
        assert_rounded(&y, &want);
        assert_memory_equal(y.data, again.data, pf_tensor_bytes(&y));
    }
    pf_dev_close(half);
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

/* ... nor do they lose what is no number. */
static void
test_epilogue_keeps_what_is_no_number(void **state)
{
    enum { M = 7, C = 20, K = 36 };
    pf_tensor w = UNIFORM(1, K, C), bias = UNIFORM(2, K), x = UNIFORM(3, M, C), y = EMPTY(M, K);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, &bias, false));
    floats(&x)[4 * C + 7] = NAN;
    for (int act = PF_NONE; act <= PF_QUICK_GELU; act++) {
        assert_ok(pf_linear(cpu, &y, &x, layer, &(struct pf_epilogue){.act = act}));
        for (int i = 0; i < M * K; i++)
            assert_true(!isnan(floats(&y)[i]) == (i / K != 4));
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
/* [K, M] [M, C]: less and more than the rows and columns that are done at a time. */
static const int64_t products[][3] = {
    {1, 1, 1}, {3, 5, 7}, {8, 24, 40}, {33, 65, 300}, {130, 70, 64}};
enum { PRODUCTS = sizeof products / sizeof *products };

static void
test_a_product_is_one_map_after_the_other(void **state)
{
    (void)state;
    for (int i = 0; i < PRODUCTS; i++) {
        const int64_t *const s = products[i];
        pf_tensor a = UNIFORM(1, s[0], s[1]), b = UNIFORM(2, s[1], s[2]), bias = UNIFORM(3, s[0]),
                  x = UNIFORM(4, 9, s[2]), h = EMPTY(9, s[1]), want = EMPTY(9, s[0]),
                  y = EMPTY(9, s[0]);
        pf_layer *first, *second, *both;
        assert_ok(pf_layer_new(cpu, &first, &b, NULL, false));
        assert_ok(pf_layer_new(cpu, &second, &a, i % 2 ? &bias : NULL, false));
        assert_ok(pf_layer_new_product(cpu, &both, &a, &b, i % 2 ? &bias : NULL));
        assert_ok(pf_linear(cpu, &h, &x, first, NULL));
        assert_ok(pf_linear(cpu, &want, &h, second, NULL));
        assert_ok(pf_linear(cpu, &y, &x, both, NULL));
        assert_rel(y.data, want.data, 9 * s[0], 3e-6);
    }
    pf_tensor a = UNIFORM(1, 4, 8), b = UNIFORM(2, 6, 8);
    pf_layer *none;
    assert_fails(pf_layer_new_product(cpu, &none, &a, &b, NULL), PF_ESHAPE,
                 "8 inputs and one of 6 outputs");
    assert_null(none);
}

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

/* ---- CUDA ---- */

/* Rows that lie on 16 bytes (cublasLt) and that do not (conv.cu's kernel). */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t MKC[][3] = {
        {1, 1, 1},      {2, 3, 5},        {257, 33, 31},   {100, 64, 326}, {17, 130, 65},
        {1, 1280, 320}, {32, 1280, 1280}, {512, 960, 320}, {77, 40, 768},  {2049, 320, 1280}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof MKC / sizeof *MKC; i++) {
            const int64_t M = MKC[i][0], K = MKC[i][1], C = MKC[i][2];
            const struct pair x = PAIR_UNIFORM(i, 1, M, C);
            struct pair y = PAIR_EMPTY(1, M, K);
            const pf_tensor bias = UNIFORM(i + 50, K);
            pf_layer *layer[2];
            layer_pair(layer, i + 100, PF_DIMS_(K, C), i % 3 ? &bias : NULL, false);
            assert_ok(pf_linear(cpu, &y.cpu, &x.cpu, layer[0], NULL));
            assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, layer[1], NULL));
            assert_product(&y, p, C);
        }
}

static void
test_cuda_epilogues_match(void **state)
{
    /* B, T, C, K */
    static const int64_t sizes[][4] = {{3, 7, 24, 40}, {2, 5, 20, 33}, {32, 1, 640, 64}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 3 * 5 * 3 * 3; i++) {
            const int64_t *const n = sizes[i / 45], B = n[0], T = n[1], C = n[2], K = n[3];
            const int each = i / 5 % 3, residual = i / 15 % 3;
            const struct pair x = PAIR_UNIFORM(1, B, T, C), other = PAIR_UNIFORM(2, B, T, K),
                              channel = PAIR_F32(3, each == 1 ? 1 : B, K);
            struct pair y = residual == 2 ? PAIR_UNIFORM(2, B, T, K) : PAIR_EMPTY(B, T, K);
            const pf_tensor bias = UNIFORM(4, K);
            struct pf_epilogue e[2] = {{.act = i % 5}, {.act = i % 5}};
            pf_layer *layer[2];
            layer_pair(layer, 5, PF_DIMS_(K, C), i % 2 ? &bias : NULL, false);
            if (each) {
                e[0].channel = &channel.cpu;
                e[1].channel = &channel.gpu;
            }
            if (residual) {
                e[0].residual = residual == 1 ? &other.cpu : &y.cpu;
                e[1].residual = residual == 1 ? &other.gpu : &y.gpu;
            }
            assert_ok(pf_linear(cpu, &y.cpu, &x.cpu, layer[0], &e[0]));
            assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, layer[1], &e[1]));
            assert_product(&y, p, C);
        }
}

/* Parts of tensors begin anywhere: what does not lie on 16 bytes is done all the same. */
static void
test_cuda_takes_any_address(void **state)
{
    enum { M = 33, K = 48, C = 40 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        struct pair x = PAIR_UNIFORM(1, M * C + 1), y = PAIR_EMPTY(M * K + 1),
                    part = PAIR_EMPTY(M, K);
        const size_t size = pf_dtype_size(pf_dev_dtype(gpu));
        const pf_tensor from = PF_VIEW(floats(&x.cpu) + 1, PF_F32, M, C),
                        from_gpu = PF_VIEW((char *)x.gpu.data + size, pf_dev_dtype(gpu), M, C);
        pf_layer *layer[2];
        layer_pair(layer, 2, PF_DIMS_(K, C), NULL, false);
        part.gpu = PF_VIEW((char *)y.gpu.data + size, pf_dev_dtype(gpu), M, K);
        assert_ok(pf_linear(cpu, &part.cpu, &from, layer[0], NULL));
        assert_ok(pf_linear(gpu, &part.gpu, &from_gpu, layer[1], NULL));
        assert_product(&part, p, C);
    }
}

/* Weights come to the GPU in whatever type the file has. */
static void
test_cuda_takes_weights_of_any_type(void **state)
{
    static const pf_dtype types[] = {PF_F32, PF_F16, PF_BF16, PF_F64};
    enum { M = 9, K = 24, C = 11 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 4; i++) {
            const struct pair x = PAIR_UNIFORM(1, M, C);
            struct pair y = PAIR_EMPTY(M, K);
            pf_tensor w = {0}, small = UNIFORM(2, K, C);
            pf_layer *layer[2];
            for (int k = 0; k < K * C; k++)
                floats(&small)[k] = roundf(32 * floats(&small)[k]) / 32;  /* exact in all of them */
            assert_ok(PF_KEEP(cpu, &w, types[i], K, C));
            assert_ok(pf_dev_put(cpu, &w, &small));
            assert_ok(pf_layer_new(cpu, &layer[0], &small, NULL, false));
            assert_ok(pf_layer_new(gpu, &layer[1], &w, NULL, false));
            assert_ok(pf_linear(cpu, &y.cpu, &x.cpu, layer[0], NULL));
            assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, layer[1], NULL));
            assert_product(&y, p, C);
        }
}

/* Parts of several types, with biases, of which one is not there, and without; rows that fill 16
 * bytes and that do not. */
static void
test_cuda_stacks_match(void **state)
{
    enum { M = 33, N = 3, K = 120 };
    static const pf_dtype types[N] = {PF_F16, PF_F32, PF_F64};
    static const int64_t rows[N] = {40, 8, 72};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 4; i++) {
            const int64_t C = i % 2 ? 64 : 21;
            const struct pair x = PAIR_UNIFORM(1, M, C);
            struct pair y = PAIR_EMPTY(M, K);
            pf_tensor w[N], b[N] = {UNIFORM(2, rows[0]), {0}, UNIFORM(3, rows[2])};
            pf_layer *l[2];
            for (int k = 0; k < N; k++) {
                pf_tensor exact = UNIFORM((uint64_t)k + 4, rows[k], C);
                for (int64_t j = 0; j < rows[k] * C; j++)
                    floats(&exact)[j] = roundf(32 * floats(&exact)[j]) / 32;
                assert_ok(PF_KEEP(cpu, &w[k], types[k], rows[k], C));
                assert_ok(pf_dev_put(cpu, &w[k], &exact));
            }
            assert_ok(pf_layer_new_stack(cpu, &l[0], N, w, i > 1 ? b : NULL));
            assert_ok(pf_layer_new_stack(gpu, &l[1], N, w, i > 1 ? b : NULL));
            assert_ok(pf_linear(cpu, &y.cpu, &x.cpu, l[0], NULL));
            assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, l[1], NULL));
            assert_product(&y, p, C);
        }
}

static void
test_cuda_products_match(void **state)
{
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < PRODUCTS; i++) {
            const int64_t *const s = products[i];
            pf_tensor a = UNIFORM(1, s[0], s[1]), b = UNIFORM(2, s[1], s[2]), half = {0};
            struct pair x = PAIR_UNIFORM(4, 9, s[2]), y = PAIR_EMPTY(9, s[0]);
            pf_layer *here, *there;
            assert_ok(PF_KEEP(cpu, &half, PF_F16, s[1], s[2]));
            assert_ok(pf_dev_put(cpu, &half, &b));
            assert_ok(pf_layer_new_product(cpu, &here, &a, &half, NULL));
            assert_ok(pf_layer_new_product(gpu, &there, &a, &half, NULL));
            assert_ok(pf_linear(cpu, &y.cpu, &x.cpu, here, NULL));
            assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, there, NULL));
            assert_pair(&y, p);
        }
}

static void
test_cuda_gives_the_same_bytes_twice(void **state)
{
    static const int64_t MKC[][3] = {{32, 320, 1280}, {512, 1280, 1280}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 2 * 2; i++) {
            const int64_t M = MKC[i % 2][0], K = MKC[i % 2][1], C = MKC[i % 2][2];
            const struct pf_epilogue e = {.act = i / 2 ? PF_SILU : PF_NONE};
            struct pair x = PAIR_UNIFORM(1, M, C), y = PAIR_EMPTY(M, K), z = PAIR_EMPTY(M, K);
            pf_layer *layer[2];
            layer_pair(layer, 2, PF_DIMS_(K, C), NULL, false);
            assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, layer[1], &e));
            assert_ok(pf_linear(gpu, &z.gpu, &x.gpu, layer[1], &e));
            assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
            assert_ok(pf_dev_get(gpu, &z.cpu, &z.gpu));
            assert_memory_equal(y.cpu.data, z.cpu.data, pf_tensor_bytes(&y.cpu));
        }
}

/* A copy that is converted on its way lies where a product keeps the parts of a split sum: they
 * take turns, and nobody waits for them in between. */
static void
test_cuda_products_and_copies_share_memory(void **state)
{
    enum { M = 32, K = 320, C = 10240, N = 3 << 20 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        struct pair x = PAIR_UNIFORM(1, M, C), y = PAIR_EMPTY(M, K), z = PAIR_EMPTY(M, K);
        struct pair far = PAIR_UNIFORM(2, N), back = PAIR_EMPTY(N);
        pf_layer *layer[2];
        layer_pair(layer, 3, PF_DIMS_(K, C), NULL, false);
        assert_ok(pf_dev_sync(gpu));
        assert_ok(pf_linear(gpu, &y.gpu, &x.gpu, layer[1], NULL));
        assert_ok(pf_dev_put(gpu, &back.gpu, &far.cpu));
        assert_ok(pf_linear(gpu, &z.gpu, &x.gpu, layer[1], NULL));
        assert_ok(pf_dev_get(gpu, &back.cpu, &back.gpu));
        assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
        assert_ok(pf_dev_get(gpu, &z.cpu, &z.gpu));
        assert_memory_equal(back.cpu.data, far.cpu.data, pf_tensor_bytes(&far.cpu));
        assert_memory_equal(y.cpu.data, z.cpu.data, pf_tensor_bytes(&y.cpu));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_odd_sizes_match_the_definition),
        cmocka_unit_test(test_cpu_in_bf16_is_near),
        cmocka_unit_test(test_weights_are_packed_once),
        cmocka_unit_test(test_epilogue_is_what_the_steps_would_do),
        cmocka_unit_test(test_epilogue_keeps_what_is_no_number),
        cmocka_unit_test(test_a_stack_is_its_parts_side_by_side),
        cmocka_unit_test(test_a_product_is_one_map_after_the_other),
        cmocka_unit_test(test_slices_of_the_input_add_up),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
        cmocka_unit_test(test_cuda_epilogues_match),
        cmocka_unit_test(test_cuda_takes_any_address),
        cmocka_unit_test(test_cuda_takes_weights_of_any_type),
        cmocka_unit_test(test_cuda_stacks_match),
        cmocka_unit_test(test_cuda_products_match),
        cmocka_unit_test(test_cuda_gives_the_same_bytes_twice),
        cmocka_unit_test(test_cuda_products_and_copies_share_memory),
    };
    return RUN_OPERATOR_TESTS(tests);
}
