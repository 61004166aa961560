#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    /* Two groups of one channel: -1, 1 and 0, 4. */
    float in[] = {-1, 0, 1, 4}, ones[] = {1, 1}, shift[] = {0, 10}, out[4];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 2, 2), y = PF_VIEW(out, PF_F32, 1, 2, 2);
    pf_tensor gamma = PF_VIEW(ones, PF_F32, 2), beta = PF_VIEW(shift, PF_F32, 2);
    (void)state;
    assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, 2, 0, PF_NONE, NULL, NULL));
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
                                    channel[k / 5], NULL));
            reference(want.data, &x, gamma.data, beta.data, (int)s[i][3], 1e-5f, k % 5,
                      channel[k / 5]);
            assert_rel(y.data, want.data, B * P * C, 3e-6);
        }
    }
}

/* What is no number must reach the check behind the network, whatever the activation. */
static void
test_what_is_no_number_stays(void **state)
{
    enum { P = 31, C = 40, GROUPS = 8 };
    pf_tensor x = UNIFORM(1, 1, P, C), gamma = UNIFORM(2, C), beta = UNIFORM(3, C),
              y = EMPTY(1, P, C);
    (void)state;
    floats(&x)[7 * C + 12] = NAN;                       /* of the third group */
    for (int act = PF_NONE; act <= PF_QUICK_GELU; act++) {
        assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, GROUPS, 1e-5f, act, NULL, NULL));
        for (int i = 0; i < P * C; i++)
            assert_true(!isnan(floats(&y)[i]) == (i % C / (C / GROUPS) != 2));
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
    assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, 4, 1e-6f, PF_NONE, NULL, NULL));
    reference(want.data, &x, gamma.data, beta.data, 4, 1e-6f, PF_NONE, NULL);
    assert_near(y.data, floats(&want), P * C, 1e-5);
}

static void
test_in_place_is_the_same(void **state)
{
    pf_tensor x = UNIFORM(1, 2, 50, 24), gamma = UNIFORM(2, 24), beta = UNIFORM(3, 24),
              y = EMPTY(2, 50, 24);
    (void)state;
    assert_ok(pf_group_norm(cpu, &y, &x, &gamma, &beta, 4, 1e-5f, PF_SILU, NULL, NULL));
    assert_ok(pf_group_norm(cpu, &x, &x, &gamma, &beta, 4, 1e-5f, PF_SILU, NULL, NULL));
    assert_memory_equal(x.data, y.data, pf_tensor_bytes(&x));
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 2, 3, 24), gamma = UNIFORM(2, 24), short_ = UNIFORM(3, 23),
              rows = UNIFORM(4, 3, 24);
    (void)state;
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &gamma, 5, 0, PF_NONE, NULL, NULL), PF_ESHAPE,
                 "24 channels do not divide into 5 groups");
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &gamma, 0, 0, PF_NONE, NULL, NULL), PF_ESHAPE,
                 "0 groups");
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &short_, 4, 0, PF_NONE, NULL, NULL), PF_ESHAPE,
                 "beta");
    assert_fails(pf_group_norm(cpu, &x, &x, &gamma, &gamma, 4, 0, PF_NONE, &rows, NULL), PF_ESHAPE,
                 "channel");
    assert_fails(pf_group_norm(cpu, &gamma, &x, &gamma, &gamma, 4, 0, PF_NONE, NULL, NULL),
                 PF_ESHAPE,
                 "y is");
}

/* Where the GPU takes another way: slabs in vectors of 16 and of 8 bytes, many blocks, tiles that a
 * group does not fit, rows that are no vectors, and (the last one, in f32) parts of the batch. */
static const int64_t gpu_sizes[][4] = {
    {1, 1, 40, 8},        {2, 31, 40, 8},     {3, 33, 5, 5},      {1, 5000, 64, 32},
    {2, 100, 48, 1},      {1, 7, 30, 10},     {2, 1024, 320, 32}, {3, 256, 640, 32},
    {9, 16, 1280, 32},    {1, 1024, 960, 32}, {2, 9000, 128, 32}, {2, 3000, 20, 4},
    {1, 70000, 12, 2},    {1, 300, 4160, 2},  {2, 3, 5000, 1},    {1, 300, 2400, 3},
    {1, 300, 3000, 1500}, {1, 2100, 36, 1},   {5, 30000, 64, 8}};

static void
test_cuda_matches_cpu(void **state)
{
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof gpu_sizes / sizeof *gpu_sizes; i++) {
            const int64_t B = gpu_sizes[i][0], P = gpu_sizes[i][1], C = gpu_sizes[i][2];
            const int groups = (int)gpu_sizes[i][3];
            if (B == 5 && p > 0)
                continue;
            struct pair x = PAIR_UNIFORM(i, B, P, C), gamma = PAIR_F32(i + 10, C),
                        beta = PAIR_F32(i + 20, C), y = PAIR_EMPTY(B, P, C),
                        rows = PAIR_F32(i + 30, B, C), row = PAIR_F32(i + 40, 1, C);
            const struct pair *const channel[] = {&rows, NULL, &row}, *const v = channel[i % 3];
            assert_ok(pf_group_norm(cpu, &y.cpu, &x.cpu, &gamma.cpu, &beta.cpu, groups, 1e-5f,
                                    i % 5, v ? &v->cpu : NULL, NULL));
            assert_ok(pf_group_norm(gpu, &y.gpu, &x.gpu, &gamma.gpu, &beta.gpu, groups, 1e-5f,
                                    i % 5, v ? &v->gpu : NULL, NULL));
            assert_pair(&y, p);
            assert_ok(pf_group_norm(gpu, &x.gpu, &x.gpu, &gamma.gpu, &beta.gpu, groups, 1e-5f,
                                    i % 5, v ? &v->gpu : NULL, NULL));
            x.cpu = y.cpu;
            assert_pair(&x, p);                 /* in place */
        }
}

static void
test_cuda_stays_accurate_for_nearly_constant_values(void **state)
{
    static const int64_t size[][3] = {{65536, 16, 4}, {1000, 320, 32}};
    (void)state;
    if (!gpu_opened(0))
        return;
    for (int i = 0; i < 4; i++) {
        const int64_t P = size[i / 2][0], C = size[i / 2][1];
        const int groups = (int)size[i / 2][2];
        pf_tensor t = UNIFORM(1, 1, P, C);
        for (int64_t k = 0; k < P * C; k++)
            floats(&t)[k] =
                i % 2 ? 1 + 1e-3f * floats(&t)[k] : 37.0f + (k % 97 ? 0 : 0.01f * floats(&t)[k]);
        struct pair x = pair_of(t, PF_F32), gamma = PAIR_F32(2, C), beta = PAIR_F32(3, C),
                    y = PAIR_EMPTY(1, P, C), v = PAIR_F32(4, 1, C);
        for (int k = 0; k < 2; k++) {
            assert_ok(pf_group_norm(cpu, &y.cpu, &x.cpu, &gamma.cpu, &beta.cpu, groups, 1e-6f,
                                    PF_NONE, k ? &v.cpu : NULL, NULL));
            assert_ok(pf_group_norm(gpu, &y.gpu, &x.gpu, &gamma.gpu, &beta.gpu, groups, 1e-6f,
                                    PF_NONE, k ? &v.gpu : NULL, NULL));
            assert_pair(&y, 0);
        }
    }
}

static void
test_cuda_gives_the_same_bytes_twice(void **state)
{
    static const int64_t size[][4] = {{4, 1024, 320, 32}, {2, 20000, 64, 8}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 2; i++) {
            const int64_t B = size[i][0], P = size[i][1], C = size[i][2];
            struct pair x = PAIR_UNIFORM(1, B, P, C), gamma = PAIR_F32(2, C), beta = PAIR_F32(3, C),
                        y = PAIR_EMPTY(B, P, C), z = PAIR_EMPTY(B, P, C);
            assert_ok(pf_group_norm(gpu, &y.gpu, &x.gpu, &gamma.gpu, &beta.gpu, (int)size[i][3],
                                    1e-5f, PF_SILU, NULL, NULL));
            assert_ok(pf_group_norm(gpu, &z.gpu, &x.gpu, &gamma.gpu, &beta.gpu, (int)size[i][3],
                                    1e-5f, PF_SILU, NULL, NULL));
            assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
            assert_ok(pf_dev_get(gpu, &z.cpu, &z.gpu));
            assert_memory_equal(y.cpu.data, z.cpu.data, pf_tensor_bytes(&y.cpu));
        }
}

/* y.gpu is times 8 and E4M3; y.cpu is rounded here.  A number near the border between two may be
 * rounded to the other one. */
static void
assert_rounded_f8(struct pair *y)
{
    pf_tensor got = {0};
    double sum = 0, all = 0;
    assert_ok(pf_dev_keep(cpu, &got, PF_F8, y->cpu.ndim, y->cpu.dim));
    assert_ok(pf_dev_get(gpu, &got, &y->gpu));
    rounded_to_f8(&y->cpu, 8);
    for (int64_t i = 0; i < pf_tensor_count(&got); i++) {
        const double a = pf_f8_to_f32(((const uint8_t *)got.data)[i]) / 8, b = floats(&y->cpu)[i];
        sum += (a - b) * (a - b);
        all += b * b;
    }
    if (!(sqrt(sum / all) <= 2e-3))
        fail_msg("f8: relative error %.3g, at most 2e-3", sqrt(sum / all));
}

/* E4M3 numbers for a layer, by all ways. */
static void
test_cuda_f8_matches_cpu(void **state)
{
    (void)state;
    need_f8();
    pf_tensor scale = EMPTY(2);
    floats(&scale)[0] = 8;
    const struct pair s = pair_of(scale, PF_F32);
    for (size_t i = 0; i < sizeof gpu_sizes / sizeof *gpu_sizes; i++) {
        const int64_t B = gpu_sizes[i][0], P = gpu_sizes[i][1], C = gpu_sizes[i][2];
        const int groups = (int)gpu_sizes[i][3];
        const enum pf_act act = i % 3 ? PF_SILU : PF_NONE;
        if (B == 5)
            continue;
        const struct pair x = PAIR_UNIFORM(i, B, P, C), gamma = PAIR_F32(i + 10, C),
                          beta = PAIR_F32(i + 20, C), v = PAIR_F32(i + 30, 1, C);
        struct pair y = {.cpu = EMPTY(B, P, C)};
        assert_ok(PF_KEEP(gpu, &y.gpu, PF_F8, B, P, C));
        assert_ok(pf_group_norm(cpu, &y.cpu, &x.cpu, &gamma.cpu, &beta.cpu, groups, 1e-5f, act,
                                i % 2 ? &v.cpu : NULL, NULL));
        assert_ok(pf_group_norm(gpu, &y.gpu, &x.gpu, &gamma.gpu, &beta.gpu, groups, 1e-5f, act,
                                i % 2 ? &v.gpu : NULL, &s.gpu));
        assert_rounded_f8(&y);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_odd_sizes_match_the_formula),
        cmocka_unit_test(test_what_is_no_number_stays),
        cmocka_unit_test(test_nearly_constant_values_stay_accurate),
        cmocka_unit_test(test_in_place_is_the_same),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
        cmocka_unit_test(test_cuda_f8_matches_cpu),
        cmocka_unit_test(test_cuda_stays_accurate_for_nearly_constant_values),
        cmocka_unit_test(test_cuda_gives_the_same_bytes_twice),
    };
    return RUN_OPERATOR_TESTS(tests);
}
