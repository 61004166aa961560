#include "tests/kernels/operator.h"

static void
test_equal_scores_average_the_samples(void **state)
{
    /* One pixel, two samples of two channels; the second head asks for the first channel. */
    float in[] = {0, 0, logf(3), 0}, samples[] = {1, 2, 0, 6}, out[4];
    pf_tensor q = PF_VIEW(in, PF_F32, 1, 1, 1, 4), y = PF_VIEW(out, PF_F32, 1, 1, 1, 4),
              context = PF_VIEW(samples, PF_F32, 1, 2, 1, 1, 2);
    (void)state;
    assert_ok(pf_depth_attention(cpu, &y, &q, &context, 2, 1));
    assert_near(out, ((float[]){0.5f, 4, 0.75f, 3}), 4, 1e-6f);
}

static void
test_odd_sizes_match_the_formula(void **state)
{
    static const int64_t s[][6] = {
        {1, 1, 1, 1, 1, 1}, {2, 3, 5, 48, 4, 16}, {1, 4, 4, 6, 4, 40}, {1, 2, 3, 33, 3, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t B = s[i][0], H = s[i][1], W = s[i][2], D = s[i][3], h = s[i][4], n = s[i][5],
                      P = H * W;
        pf_tensor q = UNIFORM(i, B, H, W, h * n), context = UNIFORM(i + 10, B, D, H, W, n),
                  y = EMPTY(B, H, W, h * n);
        assert_ok(pf_depth_attention(cpu, &y, &q, &context, (int)h, 1.5f));
        for (int64_t j = 0; j < B * P * h; j++) {
            const int64_t pixel = j / h, b = pixel / P, p = pixel % P;
            double w[48], sum = 0;
            for (int64_t k = 0; k < D; k++) {
                double dot = 0;
                for (int64_t c = 0; c < n; c++)
                    dot += (double)floats(&q)[j * n + c] *
                           floats(&context)[((b * D + k) * P + p) * n + c];
                sum += w[k] = exp(1.5 * dot);
            }
            for (int64_t c = 0; c < n; c++) {
                double v = 0;
                for (int64_t k = 0; k < D; k++)
                    v += w[k] / sum * floats(&context)[((b * D + k) * P + p) * n + c];
                assert_near(floats(&y) + j * n + c, (float[]){(float)v}, 1, 2e-6);
            }
        }
    }
}

/* The order of the samples on a ray does not matter. */
static void
test_permuted_samples_change_nothing(void **state)
{
    enum { D = 9, P = 6, N = 8, E = 4 * N };
    pf_tensor q = UNIFORM(1, 1, 2, 3, E), context = UNIFORM(2, 1, D, 2, 3, N),
              back = EMPTY(1, D, 2, 3, N);
    pf_tensor y = EMPTY(1, 2, 3, E), z = EMPTY(1, 2, 3, E);
    (void)state;
    for (int k = 0; k < D; k++)
        memcpy(floats(&back) + k * P * N, floats(&context) + (D - 1 - k) * P * N,
               P * N * sizeof(float));
    assert_ok(pf_depth_attention(cpu, &y, &q, &context, 4, 1));
    assert_ok(pf_depth_attention(cpu, &z, &q, &back, 4, 1));
    assert_near(y.data, floats(&z), P * E, 1e-6);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor q = UNIFORM(1, 1, 2, 3, 8), context = UNIFORM(2, 1, 4, 2, 3, 4),
              wrong = UNIFORM(2, 1, 4, 2, 3, 8), y = EMPTY(1, 2, 3, 8);
    (void)state;
    assert_fails(pf_depth_attention(cpu, &y, &q, &context, 3, 1), PF_ESHAPE, "3 heads");
    assert_fails(pf_depth_attention(cpu, &y, &q, &wrong, 2, 1), PF_ESHAPE, "context");
    assert_fails(pf_depth_attention(cpu, &context, &q, &context, 2, 1), PF_ESHAPE, "y is");
}

/* Teams of 1 to 32 lanes, several vectors to a lane; numbers of heads and channels that have no
 * such team. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t s[][6] = {
        {1, 1, 1, 1, 1, 1},   {2, 3, 5, 48, 4, 64}, {2, 3, 3, 24, 4, 128}, {1, 4, 4, 12, 4, 256},
        {3, 2, 2, 6, 4, 512}, {1, 2, 3, 33, 3, 5},  {1, 3, 3, 7, 4, 40},   {1, 2, 2, 5, 2, 512},
        {1, 5, 3, 13, 4, 8},  {1, 1, 2, 3, 1, 300}, {1, 7, 3, 9, 4, 16},   {2, 2, 3, 4, 4, 4},
        {1, 3, 7, 10, 4, 32}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
            const int64_t B = s[i][0], H = s[i][1], W = s[i][2], D = s[i][3], h = s[i][4],
                          n = s[i][5];
            struct pair q = PAIR_UNIFORM(i, B, H, W, h * n),
                        context = PAIR_UNIFORM(i + 20, B, D, H, W, n),
                        y = PAIR_EMPTY(B, H, W, h * n);
            const float scale = 3.0f / sqrtf((float)n);
            assert_ok(pf_depth_attention(cpu, &y.cpu, &q.cpu, &context.cpu, (int)h, scale));
            assert_ok(pf_depth_attention(gpu, &y.gpu, &q.gpu, &context.gpu, (int)h, scale));
            assert_pair(&y, p);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_scores_average_the_samples),
        cmocka_unit_test(test_odd_sizes_match_the_formula),
        cmocka_unit_test(test_permuted_samples_change_nothing),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
