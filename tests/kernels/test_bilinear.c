#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {0, 4}, out[4], back[1];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 1, 2, 1), y = PF_VIEW(out, PF_F32, 1, 1, 4, 1);
    pf_tensor z = PF_VIEW(back, PF_F32, 1, 1, 1, 1);
    (void)state;
    assert_ok(pf_bilinear(cpu, &y, &x));
    assert_near(out, ((float[]){0, 1, 3, 4}), 4, 0);
    assert_ok(pf_bilinear(cpu, &z, &x));
    assert_near(back, ((float[]){2}), 1, 0);
}

/* x at a position of one axis, clamped to the pixels' centres. */
static double
at(const float *x, int H, int W, int C, int c, double v, double u)
{
    v = fmin(fmax(v, 0), H - 1);
    u = fmin(fmax(u, 0), W - 1);
    const int i = (int)v, j = (int)u, below = i + 1 < H ? i + 1 : i, right = j + 1 < W ? j + 1 : j;
    const double a = v - i, b = u - j;
    return (1 - a) * ((1 - b) * x[(i * W + j) * C + c] + b * x[(i * W + right) * C + c]) +
           a * ((1 - b) * x[(below * W + j) * C + c] + b * x[(below * W + right) * C + c]);
}

static void
test_larger_and_smaller_match_the_definition(void **state)
{
    enum { B = 2, H = 5, W = 7, C = 11 };
    static const int size[][2] = {{10, 13}, {3, 7}, {5, 7}, {1, 20}};
    pf_tensor x = UNIFORM(1, B, H, W, C);
    (void)state;
    for (int n = 0; n < 4; n++) {
        const int h = size[n][0], w = size[n][1];
        pf_tensor y = EMPTY(B, h, w, C);
        assert_ok(pf_bilinear(cpu, &y, &x));
        for (int i = 0; i < B * h * w * C; i++) {
            const int c = i % C, u = i / C % w, v = i / C / w % h, b = i / C / w / h;
            const double want = at(floats(&x) + b * H * W * C, H, W, C, c,
                                   (v + 0.5) * H / h - 0.5, (u + 0.5) * W / w - 0.5);
            assert_true(fabs(floats(&y)[i] - want) < 2e-6);
        }
    }
}

static void
test_corners_stay_where_they_are(void **state)
{
    enum { B = 2, H = 5, W = 7, C = 3 };
    static const int size[][2] = {{10, 14}, {3, 7}, {5, 4}, {1, 20}};
    pf_tensor x = UNIFORM(1, B, H, W, C);
    (void)state;
    for (int n = 0; n < 4; n++) {
        const int h = size[n][0], w = size[n][1];
        pf_tensor y = EMPTY(B, h, w, C);
        assert_ok(pf_bilinear_corners(cpu, &y, &x));
        for (int i = 0; i < B * h * w * C; i++) {
            const int c = i % C, u = i / C % w, v = i / C / w % h, b = i / C / w / h;
            const double want = at(floats(&x) + b * H * W * C, H, W, C, c,
                                   h > 1 ? v * (H - 1.0) / (h - 1) : 0, u * (W - 1.0) / (w - 1));
            assert_true(fabs(floats(&y)[i] - want) < 2e-6);
        }
    }
    pf_tensor flat = UNIFORM(1, 4, 3), y = EMPTY(1, 2, 2, 3);
    assert_fails(pf_bilinear_corners(cpu, &y, &flat), PF_ESHAPE, "x is");
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 2, 2, 3), y = EMPTY(1, 4, 5, 4), flat = UNIFORM(1, 4, 3);
    (void)state;
    assert_fails(pf_bilinear(cpu, &y, &x), PF_ESHAPE, "y is F32 [1, 4, 5, 4], expected F32 [1, ");
    assert_fails(pf_bilinear(cpu, &y, &flat), PF_ESHAPE, "x is");
}

/* ---- CUDA ---- */

struct resize_case {
    int64_t B, H, W, C, h, w;
};
static const struct resize_case resizes[] = {
    {2, 5, 7, 11, 10, 13}, {2, 5, 7, 16, 3, 7},  {1, 5, 7, 1, 1, 20}, {1, 1, 1, 8, 4, 5},
    {3, 9, 6, 40, 18, 12}, {1, 33, 65, 3, 8, 9}, {1, 20, 30, 64, 40, 60}};

static void
test_cuda_matches_cpu(void **state)
{
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof resizes / sizeof *resizes; i++) {
            const struct resize_case *const s = &resizes[i];
            const struct pair x = PAIR_UNIFORM(1, s->B, s->H, s->W, s->C);
            struct pair y = PAIR_EMPTY(s->B, s->h, s->w, s->C);
            assert_ok(pf_bilinear(cpu, &y.cpu, &x.cpu));
            assert_ok(pf_bilinear(gpu, &y.gpu, &x.gpu));
            assert_pair(&y, p);
            assert_ok(pf_bilinear_corners(cpu, &y.cpu, &x.cpu));
            assert_ok(pf_bilinear_corners(gpu, &y.gpu, &x.gpu));
            assert_pair(&y, p);
        }
}

/* f32 on any device, bit for bit: what drops the fraction afterwards counts on it. */
static void
test_cuda_gives_the_numbers_of_the_cpu_in_f32(void **state)
{
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof resizes / sizeof *resizes; i++) {
            const struct resize_case *const s = &resizes[i];
            const struct pair x = PAIR_F32(1, s->B, s->H, s->W, s->C);
            struct pair y = PAIR_EMPTY_F32(s->B, s->h, s->w, s->C);
            assert_ok(pf_bilinear(cpu, &y.cpu, &x.cpu));
            assert_ok(pf_bilinear(gpu, &y.gpu, &x.gpu));
            assert_true(pair_error(&y) == 0);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_larger_and_smaller_match_the_definition),
        cmocka_unit_test(test_corners_stay_where_they_are),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
        cmocka_unit_test(test_cuda_gives_the_numbers_of_the_cpu_in_f32),
    };
    return RUN_OPERATOR_TESTS(tests);
}
