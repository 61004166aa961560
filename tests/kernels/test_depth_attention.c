#include "tests/kernels/operator.h"

static void
test_equal_keys_average_the_values(void **state)
{
    /* One pixel, two samples: keys 0, values 2 and 4. */
    float in[] = {1}, samples[] = {0, 2, 0, 4}, out[1];
    pf_tensor q = PF_VIEW(in, PF_F32, 1, 1, 1, 1), kv = PF_VIEW(samples, PF_F32, 1, 2, 1, 1, 2),
              y = PF_VIEW(out, PF_F32, 1, 1, 1, 1);
    (void)state;
    assert_ok(pf_depth_attention(cpu, &y, &q, &kv, 1, 1));
    assert_near(out, ((float[]){3}), 1, 1e-6f);
}

static void
test_odd_sizes_match_the_formula(void **state)
{
    static const int64_t s[][6] = {
        {1, 1, 1, 1, 1, 1}, {2, 3, 5, 48, 4, 8}, {1, 4, 4, 6, 4, 40}, {1, 2, 3, 33, 3, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t B = s[i][0], H = s[i][1], W = s[i][2], D = s[i][3], h = s[i][4], d = s[i][5],
                      E = h * d, P = H * W;
        pf_tensor q = UNIFORM(i, B, H, W, E), kv = UNIFORM(i + 10, B, D, H, W, 2 * E),
                  y = EMPTY(B, H, W, E);
        assert_ok(pf_depth_attention(cpu, &y, &q, &kv, (int)h, 1.5f));
        for (int64_t j = 0; j < B * P * h; j++) {
            const int64_t b = j / (P * h), p = j / h % P, head = j % h;
            double w[48], sum = 0;
            for (int64_t k = 0; k < D; k++) {
                double dot = 0;
                for (int64_t c = 0; c < d; c++)
                    dot += (double)floats(&q)[(b * P + p) * E + head * d + c] *
                           floats(&kv)[((b * D + k) * P + p) * 2 * E + head * d + c];
                sum += w[k] = exp(1.5 * dot);
            }
            for (int64_t c = 0; c < d; c++) {
                double v = 0;
                for (int64_t k = 0; k < D; k++)
                    v += w[k] / sum * floats(&kv)[((b * D + k) * P + p) * 2 * E + E + head * d + c];
                assert_near(floats(&y) + (b * P + p) * E + head * d + c, (float[]){(float)v}, 1,
                            2e-6);
            }
        }
    }
}

/* The order of the samples on a ray does not matter. */
static void
test_permuted_samples_change_nothing(void **state)
{
    enum { D = 9, P = 6, E = 16 };
    pf_tensor q = UNIFORM(1, 1, 2, 3, E), kv = UNIFORM(2, 1, D, 2, 3, 2 * E),
              back = EMPTY(1, D, 2, 3, 2 * E);
    pf_tensor y = EMPTY(1, 2, 3, E), z = EMPTY(1, 2, 3, E);
    (void)state;
    for (int k = 0; k < D; k++)
        memcpy(floats(&back) + k * P * 2 * E, floats(&kv) + (D - 1 - k) * P * 2 * E,
               P * 2 * E * sizeof(float));
    assert_ok(pf_depth_attention(cpu, &y, &q, &kv, 4, 1));
    assert_ok(pf_depth_attention(cpu, &z, &q, &back, 4, 1));
    assert_near(y.data, floats(&z), P * E, 1e-6);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor q = UNIFORM(1, 1, 2, 3, 8), kv = UNIFORM(2, 1, 4, 2, 3, 16),
              wrong = UNIFORM(2, 1, 4, 3, 3, 16), y = EMPTY(1, 2, 3, 8);
    (void)state;
    assert_fails(pf_depth_attention(cpu, &y, &q, &kv, 3, 1), PF_ESHAPE, "3 heads");
    assert_fails(pf_depth_attention(cpu, &y, &q, &wrong, 2, 1), PF_ESHAPE, "kv");
    assert_fails(pf_depth_attention(cpu, &kv, &q, &kv, 2, 1), PF_ESHAPE, "y is");
}

/* Teams of 1 to 32 lanes, two vectors to a lane, and heads that are no power of two. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t s[][6] = {
        {1, 1, 1, 1, 1, 1},   {2, 3, 5, 48, 4, 32}, {2, 3, 3, 24, 4, 64}, {1, 4, 4, 12, 4, 128},
        {3, 2, 2, 6, 4, 256}, {1, 2, 3, 33, 3, 5},  {1, 3, 3, 7, 4, 40},  {1, 2, 2, 5, 2, 512},
        {1, 5, 3, 13, 2, 8},  {1, 1, 2, 3, 1, 300}, {1, 7, 3, 9, 3, 16},  {2, 2, 3, 4, 2, 4}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
            const int64_t B = s[i][0], H = s[i][1], W = s[i][2], D = s[i][3], h = s[i][4],
                          E = h * s[i][5];
            struct pair q = PAIR_UNIFORM(i, B, H, W, E),
                        kv = PAIR_UNIFORM(i + 20, B, D, H, W, 2 * E), y = PAIR_EMPTY(B, H, W, E);
            const float scale = 3.0f / sqrtf((float)s[i][5]);
            assert_ok(pf_depth_attention(cpu, &y.cpu, &q.cpu, &kv.cpu, (int)h, scale));
            assert_ok(pf_depth_attention(gpu, &y.gpu, &q.gpu, &kv.gpu, (int)h, scale));
            assert_pair(&y, p);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_keys_average_the_values),
        cmocka_unit_test(test_odd_sizes_match_the_formula),
        cmocka_unit_test(test_permuted_samples_change_nothing),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
