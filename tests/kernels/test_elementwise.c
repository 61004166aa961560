/* pf_activate, pf_add, pf_multiply, pf_geglu, and the functions of vmath.h under them. */
#include "kernels/vmath.h"
#include "tests/kernels/operator.h"

static void
test_exp_is_accurate_to_its_last_bits(void **state)
{
    (void)state;
    for (double x = -86.9; x < 88; x += 0.0137) {
        const double want = exp((double)(float)x), got = pf_exp((float)x);
        assert_true(fabs(got - want) <= 3e-7 * want);
    }
    assert_true(pf_exp(-INFINITY) == 0 && pf_exp(-1000) == 0 && pf_exp(0) == 1 &&
                isfinite(pf_exp(1000)));
}

static void
test_normal_cdf_is_accurate_in_its_tail_too(void **state)
{
    (void)state;
    for (double x = -8; x < 8; x += 0.0013) {
        const double v = (float)x, want = 0.5 * erfc(-v / sqrt(2)), got = pf_normal_cdf((float)x);
        assert_true(fabs(got - want) <=
                    (4e-7 + 2e-7 * v * v) * want); /* v^2 in f32 is an exponent */
    }
}

static void
test_activations_of_one(void **state)
{
    static const float want[] = {1, 0.731058579f, 1, 0.841344746f, 0.845795764f,
                                 1, 1.05070099f,  0.731058579f};
    float in[] = {1}, out[1];
    pf_tensor x = PF_VIEW(in, PF_F32, 1), y = PF_VIEW(out, PF_F32, 1);
    (void)state;
    for (int act = PF_NONE; act <= PF_ACT_LAST; act++) {
        assert_ok(pf_activate(cpu, &y, &x, act));
        assert_near(out, want + act, 1, 1e-6f);
    }
}

static void
test_activations_match_double(void **state)
{
    pf_tensor x = UNIFORM(1, 3, 9001), y = EMPTY(3, 9001);
    (void)state;
    for (int64_t i = 0; i < 27003; i++)
        floats(&x)[i] *= 20;
    for (int act = PF_NONE; act <= PF_ACT_LAST; act++) {
        assert_ok(pf_activate(cpu, &y, &x, act));
        for (int64_t i = 0; i < 27003; i++)
            assert_near(floats(&y) + i, (float[]){(float)act_double(floats(&x)[i], act)}, 1,
                        1e-6 + 1e-6 * fabsf(floats(&x)[i]));
    }
    assert_fails(pf_activate(cpu, &y, &x, (enum pf_act)9), PF_EARG, "activation number 9");
}

/* What is no number must reach the check behind the network. */
static void
test_activations_keep_what_is_no_number(void **state)
{
    enum { N = 37 };
    pf_tensor x = UNIFORM(1, N), y = EMPTY(N);
    (void)state;
    for (int act = PF_NONE; act <= PF_ACT_LAST; act++)
        for (int at = 0; at < N; at++) {
            const float whole = floats(&x)[at];
            floats(&x)[at] = NAN;
            assert_ok(pf_activate(cpu, &y, &x, act));
            for (int i = 0; i < N; i++)
                assert_true(!isnan(floats(&y)[i]) == (i != at));
            floats(&x)[at] = whole;
        }
}

static void
test_add_scales_and_repeats_a_batch_of_one(void **state)
{
    float p[] = {1, 2, 3, 4}, q[] = {10, 20}, out[4];
    pf_tensor a = PF_VIEW(p, PF_F32, 2, 2), b = PF_VIEW(q, PF_F32, 1, 2),
              y = PF_VIEW(out, PF_F32, 2, 2);
    pf_tensor wrong = PF_VIEW(p, PF_F32, 1, 4);
    (void)state;
    assert_ok(pf_add(cpu, &y, &a, &b, 2));
    assert_near(out, ((float[]){21, 42, 23, 44}), 4, 0);
    assert_ok(pf_add(cpu, &a, &a, &y, -1));
    assert_near(p, ((float[]){-20, -40, -20, -40}), 4, 0);
    assert_fails(pf_add(cpu, &y, &a, &wrong, 1), PF_ESHAPE, "b is F32 [1, 4]");
    assert_fails(pf_add(cpu, &b, &a, &y, 1), PF_ESHAPE, "y is F32 [1, 2]");
}

static void
test_add_at_sizes_around_a_part(void **state)
{
    static const int64_t size[] = {1, 8191, 8192, 8193, 30000};
    (void)state;
    for (int i = 0; i < 5; i++) {
        pf_tensor a = UNIFORM(1, 3, size[i]), b = UNIFORM(2, 1, size[i]), y = EMPTY(3, size[i]);
        assert_ok(pf_add(cpu, &y, &a, &b, 1));
        for (int64_t j = 0; j < 3 * size[i]; j++)
            assert_true(floats(&y)[j] == floats(&a)[j] + floats(&b)[j % size[i]]);
    }
}

static void
test_multiply_repeats_axes_of_one(void **state)
{
    enum { B = 2, H = 3, W = 5, C = 37 };
    pf_tensor a = UNIFORM(1, B, H, W, C), y = EMPTY(B, H, W, C), wrong = UNIFORM(2, B, H, 2, C);
    (void)state;
    for (int ones = 0; ones < 16; ones++) {     /* a bit for each axis of b that is 1 */
        const int64_t dim[] = {ones & 1 ? 1 : B, ones & 2 ? 1 : H, ones & 4 ? 1 : W,
                               ones & 8 ? 1 : C};
        pf_tensor b = uniform(3, 4, dim);
        assert_ok(pf_multiply(cpu, &y, &a, &b));
        for (int i = 0; i < B * H * W * C; i++) {
            const int64_t at[] = {i / C / W / H % dim[0], i / C / W % H % dim[1],
                                  i / C % W % dim[2], i % C % dim[3]};
            const int64_t k = ((at[0] * dim[1] + at[1]) * dim[2] + at[2]) * dim[3] + at[3];
            assert_true(floats(&y)[i] == floats(&a)[i] * floats(&b)[k]);
        }
    }
    assert_fails(pf_multiply(cpu, &y, &a, &wrong), PF_ESHAPE, "b is F32 [2, 3, 2, 37]");
    assert_fails(pf_multiply(cpu, &wrong, &a, &a), PF_ESHAPE, "y is");
}

static void
test_geglu_gates_the_first_half_by_the_second(void **state)
{
    enum { R = 7, C = 33 };
    pf_tensor x = UNIFORM(1, R, 2 * C), y = EMPTY(R, C), odd = UNIFORM(1, R, 3);
    (void)state;
    assert_ok(pf_geglu(cpu, &y, &x));
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            assert_near(floats(&y) + r * C + c,
                        (float[]){(float)(floats(&x)[r * 2 * C + c] *
                                          act_double(floats(&x)[r * 2 * C + C + c], PF_GELU))},
                        1, 1e-6);
    assert_fails(pf_geglu(cpu, &y, &odd), PF_ESHAPE, "even");
    assert_fails(pf_geglu(cpu, &x, &x), PF_ESHAPE, "y is");
}

/* The same numbers without the first: nothing is aligned any more. */
static struct pair
without_first(const struct pair *p)
{
    struct pair q = *p;
    q.cpu.ndim = q.gpu.ndim = 1;
    q.cpu.dim[0] = q.gpu.dim[0] = pf_tensor_count(&p->cpu) - 1;
    q.cpu.data = (char *)p->cpu.data + pf_dtype_size(p->cpu.dtype);
    q.gpu.data = (char *)p->gpu.data + pf_dtype_size(p->gpu.dtype);
    return q;
}

static void
test_cuda_activates_like_the_cpu(void **state)
{
    static const int64_t size[] = {1, 7, 8, 2047, 2049, 300001};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 6; i++)
            for (int act = PF_NONE; act <= PF_ACT_LAST; act++) {
                pf_tensor t = UNIFORM(1, size[i]);
                for (int64_t k = 0; k < size[i]; k++)
                    floats(&t)[k] *= 20;
                struct pair x = pair_of(t, pf_dev_dtype(gpu)), y = PAIR_EMPTY(size[i]), from = x,
                            to = y;
                for (int shift = 0; shift < 2 && size[i] > 1; shift++) {
                    assert_ok(pf_activate(cpu, &to.cpu, &from.cpu, act));
                    assert_ok(pf_activate(gpu, &to.gpu, &from.gpu, act));
                    assert_pair(&to, p);
                    from = without_first(&x);
                    to = without_first(&y);
                }
            }
}

static void
test_cuda_multiplies_like_the_cpu(void **state)
{
    enum { B = 2, H = 3, W = 5 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int C = 37; C <= 40; C += 3)
            for (int ones = 0; ones < 16; ones++) {     /* a bit for each axis of b that is 1 */
                const struct pair a = PAIR_UNIFORM(1, B, H, W, C),
                                  b = PAIR_UNIFORM(2, ones & 1 ? 1 : B, ones & 2 ? 1 : H,
                                                   ones & 4 ? 1 : W, ones & 8 ? 1 : C);
                struct pair y = PAIR_EMPTY(B, H, W, C);
                assert_ok(pf_multiply(cpu, &y.cpu, &a.cpu, &b.cpu));
                assert_ok(pf_multiply(gpu, &y.gpu, &a.gpu, &b.gpu));
                assert_pair(&y, p);
            }
}

static void
test_cuda_keeps_what_is_no_number(void **state)
{
    enum { N = 2049 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int act = PF_NONE; act <= PF_ACT_LAST; act++) {
            pf_tensor t = UNIFORM(1, N);
            for (int i = 0; i < N; i += 97)
                floats(&t)[i] = NAN;
            struct pair x = pair_of(t, pf_dev_dtype(gpu)), y = PAIR_EMPTY(N);
            assert_ok(pf_activate(gpu, &y.gpu, &x.gpu, act));
            assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
            for (int i = 0; i < N; i++)
                assert_true(!isnan(floats(&y.cpu)[i]) == (i % 97 != 0));
        }
}

static void
test_cuda_adds_like_the_cpu(void **state)
{
    static const int64_t size[][3] = {{1, 1, 1},    {3, 3, 7},    {3, 1, 7},
                                      {3, 1, 4096}, {5, 1, 2052}, {2, 2, 100001}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 6; i++) {
            const int64_t B = size[i][0], n = size[i][2];
            struct pair a = PAIR_UNIFORM(1, B, n), b = PAIR_UNIFORM(2, size[i][1], n),
                        y = PAIR_EMPTY(B, n);
            assert_ok(pf_add(cpu, &y.cpu, &a.cpu, &b.cpu, 0.7f));
            assert_ok(pf_add(gpu, &y.gpu, &a.gpu, &b.gpu, 0.7f));
            assert_pair(&y, p);
            assert_ok(pf_add(gpu, &a.gpu, &a.gpu, &b.gpu, 0.7f));
            a.cpu = y.cpu;
            assert_pair(&a, p);                 /* in place */
            a = PAIR_F32(1, B, n);
            b = PAIR_F32(2, size[i][1], n);
            y = PAIR_EMPTY_F32(B, n);
            assert_ok(pf_add(cpu, &y.cpu, &a.cpu, &b.cpu, 0.7f));
            assert_ok(pf_add(gpu, &y.gpu, &a.gpu, &b.gpu, 0.7f));
            assert_pair(&y, 0);                 /* f32 whatever the precision */
        }
}

static void
test_cuda_gates_like_the_cpu(void **state)
{
    static const int64_t size[][2] = {{1, 1}, {7, 33}, {5, 40}, {300, 1280}, {3, 12}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 5; i++) {
            struct pair x = PAIR_UNIFORM(1, size[i][0], 2 * size[i][1]),
                        y = PAIR_EMPTY(size[i][0], size[i][1]);
            assert_ok(pf_geglu(cpu, &y.cpu, &x.cpu));
            assert_ok(pf_geglu(gpu, &y.gpu, &x.gpu));
            assert_pair(&y, p);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_is_accurate_to_its_last_bits),
        cmocka_unit_test(test_normal_cdf_is_accurate_in_its_tail_too),
        cmocka_unit_test(test_activations_of_one),
        cmocka_unit_test(test_activations_match_double),
        cmocka_unit_test(test_activations_keep_what_is_no_number),
        cmocka_unit_test(test_add_scales_and_repeats_a_batch_of_one),
        cmocka_unit_test(test_add_at_sizes_around_a_part),
        cmocka_unit_test(test_multiply_repeats_axes_of_one),
        cmocka_unit_test(test_geglu_gates_the_first_half_by_the_second),
        cmocka_unit_test(test_cuda_activates_like_the_cpu),
        cmocka_unit_test(test_cuda_keeps_what_is_no_number),
        cmocka_unit_test(test_cuda_adds_like_the_cpu),
        cmocka_unit_test(test_cuda_multiplies_like_the_cpu),
        cmocka_unit_test(test_cuda_gates_like_the_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
