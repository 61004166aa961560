#include "tests/kernels/operator.h"

static void
test_worked_example(void **state)
{
    float in[] = {1, 2, 3, 4, 5, 6}, out[2], all[1];
    pf_tensor x = PF_VIEW(in, PF_F32, 1, 2, 3, 1), y = PF_VIEW(out, PF_F32, 1, 1, 2, 1);
    pf_tensor mean = PF_VIEW(all, PF_F32, 1, 1, 1, 1);
    (void)state;
    assert_ok(pf_average_pool(cpu, &y, &x));    /* the middle column belongs to both */
    assert_near(out, ((float[]){3, 4}), 2, 0);
    assert_ok(pf_average_pool(cpu, &mean, &x));
    assert_near(all, ((float[]){3.5f}), 1, 0);
}

static void
test_cells_match_the_definition(void **state)
{
    enum { B = 2, H = 13, W = 10, C = 19 };
    static const int size[][2] = {{1, 1}, {2, 3}, {6, 6}, {13, 10}, {5, 1}, {16, 11}};
    pf_tensor x = UNIFORM(1, B, H, W, C);
    (void)state;
    for (int n = 0; n < 6; n++) {
        const int h = size[n][0], w = size[n][1];
        pf_tensor y = EMPTY(B, h, w, C);
        assert_ok(pf_average_pool(cpu, &y, &x));
        for (int i = 0; i < B * h * w * C; i++) {
            const int c = i % C, u = i / C % w, v = i / C / w % h, b = i / C / w / h;
            double sum = 0;
            int pixels = 0;
            for (int k = 0; k < H * W; k++) {
                /* pixel k / W reaches from k / W to k / W + 1, cell v from v H / h on */
                const int row = k / W, column = k % W;
                if ((row + 1) * h <= v * H || row * h >= (v + 1) * H ||
                    (column + 1) * w <= u * W || column * w >= (u + 1) * W)
                    continue;
                sum += floats(&x)[(b * H * W + k) * C + c];
                pixels++;
            }
            assert_true(fabs(floats(&y)[i] - sum / pixels) < 1e-7);
        }
    }
}

static void
test_many_equal_numbers_keep_their_mean(void **state)
{
    enum { H = 320, W = 320, C = 8 };
    pf_tensor x = EMPTY(1, H, W, C), y = EMPTY(1, 1, 1, C);
    (void)state;
    for (int i = 0; i < H * W * C; i++)
        floats(&x)[i] = 0.1f;
    assert_ok(pf_average_pool(cpu, &y, &x));
    for (int c = 0; c < C; c++)
        assert_true(floats(&y)[c] == 0.1f);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 5, 4, 3), flat = UNIFORM(1, 4, 3);
    pf_tensor none = PF_VIEW(x.data, PF_F32, 1, 0, 4, 3), y = EMPTY(1, 2, 2, 4),
              z = EMPTY(1, 2, 2, 3);
    (void)state;
    assert_fails(pf_average_pool(cpu, &y, &x), PF_ESHAPE, "y is F32 [1, 2, 2, 4]");
    assert_fails(pf_average_pool(cpu, &z, &none), PF_ESHAPE, "0 pixels do not make 2 cells");
    assert_fails(pf_average_pool(cpu, &y, &flat), PF_ESHAPE, "x is");
}

/* Sums of all pixels, of cells of which some share rows; channels around a warp's. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t size[][6] = {      /* B, H, W, C, h, w */
        {2, 13, 10, 19, 1, 1}, {1, 13, 10, 32, 2, 3}, {3, 12, 9, 33, 6, 6}, {2, 13, 10, 5, 13, 10},
        {1, 160, 95, 72, 1, 1}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
            const int64_t *const n = size[i];
            const struct pair x = PAIR_UNIFORM(1, n[0], n[1], n[2], n[3]);
            struct pair y = PAIR_EMPTY(n[0], n[4], n[5], n[3]);
            assert_ok(pf_average_pool(cpu, &y.cpu, &x.cpu));
            assert_ok(pf_average_pool(gpu, &y.gpu, &x.gpu));
            assert_product(&y, p, n[1] * n[2]);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_cells_match_the_definition),
        cmocka_unit_test(test_many_equal_numbers_keep_their_mean),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
