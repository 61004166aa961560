#include "tests/kernels/operator.h"

struct conv_case {
    int64_t B, size[3], C, K, kernel[3];
    int spatial, stride, before, after;
    bool transposed;
};

/* The definition, in double: y [B, D', H', W', K] from x [B, D, H, W, C]. */
static void
reference(float *y, const float *x, const float *w, const float *bias, const struct conv_case *s,
          const int64_t out[3])
{
    const int64_t *const n = s->size, *const m = s->kernel, taps = m[0] * m[1] * m[2];
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t o = 0; o < out[0] * out[1] * out[2]; o++)
            for (int64_t k = 0; k < s->K; k++) {
                const int64_t at[3] = {o / (out[1] * out[2]), o / out[2] % out[1], o % out[2]};
                double sum = bias ? bias[k] : 0;
                for (int64_t t = 0; t < taps; t++) {
                    const int64_t tap[3] = {t / (m[1] * m[2]), t / m[2] % m[1], t % m[2]};
                    int64_t i[3];
                    bool inside = true;
                    for (int a = 0; a < 3; a++) {
                        const bool used = a >= 3 - s->spatial;
                        i[a] = !used           ? at[a]
                               : s->transposed ? at[a] + 1 - tap[a]
                                               : at[a] * s->stride + tap[a] - s->before;
                        if (used && s->transposed) {
                            inside = inside && i[a] % 2 == 0;
                            i[a] /= 2;
                        }
                        inside = inside && i[a] >= 0 && i[a] < n[a];
                    }
                    for (int64_t c = 0; c < s->C && inside; c++) {
                        const int64_t row = s->transposed ? c * s->K + k : k * s->C + c;
                        sum += (double)w[row * taps + t] *
                               x[(((b * n[0] + i[0]) * n[1] + i[1]) * n[2] + i[2]) * s->C + c];
                    }
                }
                y[(b * out[0] * out[1] * out[2] + o) * s->K + k] = (float)sum;
            }
}

static void
check_case(const struct conv_case *s, uint64_t seed)
{
    const int n = s->spatial, skip = 3 - n;
    int64_t xd[5] = {s->B}, yd[5] = {s->B},
            wd[5] = {s->transposed ? s->C : s->K, s->transposed ? s->K : s->C}, out[3] = {1, 1, 1};
    for (int i = 0; i < n; i++) {
        const int a = skip + i;
        out[a] = s->transposed ? 2 * s->size[a]
                               : (s->size[a] + s->before + s->after - s->kernel[a]) / s->stride + 1;
        xd[1 + i] = s->size[a];
        yd[1 + i] = out[a];
        wd[2 + i] = s->kernel[a];
    }
    xd[n + 1] = s->C;
    yd[n + 1] = s->K;
    pf_tensor x = uniform(seed, n + 2, xd), w = uniform(seed + 1, n + 2, wd),
              bias = UNIFORM(seed + 2, s->K);
    pf_tensor y = shaped(n + 2, yd), want = shaped(n + 2, yd);
    pf_layer *layer;
    assert_ok(pf_layer_new(cpu, &layer, &w, &bias, s->transposed));
    assert_ok(pf_conv(cpu, &y, &x, layer, s->stride, s->before, s->after, NULL));
    reference(want.data, x.data, w.data, bias.data, s, out);
    assert_rel(y.data, want.data, pf_tensor_count(&y), 2e-6);
}

static void
test_worked_example(void **state)
{
    /* A 3x3 kernel of ones counts neighbours. */
    float image[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, out[9];
    pf_tensor x = PF_VIEW(image, PF_F32, 1, 3, 3, 1), w = PF_VIEW(ones, PF_F32, 1, 1, 3, 3),
              y = PF_VIEW(out, PF_F32, 1, 3, 3, 1);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, NULL, false));
    assert_ok(pf_conv(cpu, &y, &x, layer, 1, 1, 1, NULL));
    assert_near(out, ((float[]){4, 6, 4, 6, 9, 6, 4, 6, 4}), 9, 0);
}

static void
test_every_kind_matches_the_definition(void **state)
{
    static const struct conv_case s[] = {
        {2, {1, 7, 5}, 8, 4, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 8, 8}, 40, 24, {1, 3, 3}, 2, 2, 1, 1, false},
        {1, {1, 8, 8}, 16, 33, {1, 3, 3}, 2, 2, 0, 1, false},
        {1, {1, 28, 28}, 3, 64, {1, 14, 14}, 2, 14, 0, 0, false},
        {1, {1, 4, 4}, 130, 70, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {5, 6, 7}, 16, 8, {3, 3, 3}, 3, 1, 1, 1, false},
        {2, {6, 4, 4}, 20, 16, {3, 3, 3}, 3, 2, 1, 1, false},
        {1, {3, 2, 4}, 32, 16, {3, 3, 3}, 3, 2, 1, 1, true},
        {2, {2, 3, 3}, 12, 10, {3, 3, 3}, 3, 2, 1, 1, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        check_case(&s[i], 10 * i);
}

/* One layer at two sizes, f16 weights, and every epilogue against doing the steps one by one. */
static void
test_epilogue_is_what_the_steps_would_do(void **state)
{
    enum { B = 2, C = 24, K = 40 };
    pf_tensor w32 = UNIFORM(1, K, C, 3, 3), w = {0}, bias = UNIFORM(2, K), rows = UNIFORM(3, B, K),
              row = UNIFORM(4, 1, K);
    pf_layer *layer;
    (void)state;
    assert_ok(PF_KEEP(cpu, &w, PF_F16, K, C, 3, 3));
    assert_ok(pf_dev_put(cpu, &w, &w32));
    assert_ok(pf_layer_new(cpu, &layer, &w, &bias, false));
    for (int side = 4; side <= 9; side += 5) {
        const int64_t pixels = side * side, n = B * pixels * K;
        pf_tensor x = UNIFORM(5, B, side, side, C), plain = EMPTY(B, side, side, K),
                  y = EMPTY(B, side, side, K);
        pf_tensor other = UNIFORM(6, B, side, side, K), want = EMPTY(B, side, side, K);
        assert_ok(pf_conv(cpu, &plain, &x, layer, 1, 1, 1, NULL));
        for (int i = 0; i < 5 * 3 * 3; i++) {
            const enum pf_act act = i % 5;
            const pf_tensor *const channel = i / 5 % 3 == 0 ? NULL : i / 5 % 3 == 1 ? &row : &rows;
            const int residual = i / 15;
            const struct pf_epilogue e = {channel, act,
                                          residual == 0   ? NULL
                                          : residual == 1 ? &other
                                                          : &y};
            for (int64_t j = 0; j < n; j++) {
                const float v =
                    channel ? floats(channel)[(channel == &rows ? j / (pixels * K) * K : 0) + j % K]
                            : 0;
                floats(&want)[j] = (float)act_double((double)floats(&plain)[j] + v, act) +
                                   (residual ? floats(&other)[j] : 0);
            }
            memcpy(y.data, other.data, (size_t)n * sizeof(float));
            assert_ok(pf_conv(cpu, &y, &x, layer, 1, 1, 1, &e));
            assert_rel(y.data, want.data, n, 3e-6);
        }
    }
}

static void
test_convolution_commutes_with_shifts(void **state)
{
    enum { S = 10, C = 6, K = 5 };
    pf_tensor x = UNIFORM(1, 1, S, S, C), moved = EMPTY(1, S, S, C), w = UNIFORM(2, K, C, 3, 3);
    pf_tensor y = EMPTY(1, S, S, K), z = EMPTY(1, S, S, K);
    pf_layer *layer;
    (void)state;
    memset(moved.data, 0, pf_tensor_bytes(&moved));
    for (int i = 0; i + 1 < S; i++)                     /* one row down */
        memcpy(floats(&moved) + (i + 1) * S * C, floats(&x) + i * S * C, S * C * sizeof(float));
    assert_ok(pf_layer_new(cpu, &layer, &w, NULL, false));
    assert_ok(pf_conv(cpu, &y, &x, layer, 1, 1, 1, NULL));
    assert_ok(pf_conv(cpu, &z, &moved, layer, 1, 1, 1, NULL));
    assert_near(floats(&z) + 3 * S * K, floats(&y) + 2 * S * K, (S - 4) * S * K, 1e-5);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 8, 8, 6), y = EMPTY(1, 8, 8, 5), w = UNIFORM(2, 5, 6, 3, 3),
              wt = UNIFORM(3, 6, 5, 3, 3, 3);
    pf_tensor narrow = UNIFORM(1, 1, 8, 8, 7), volume = UNIFORM(1, 1, 2, 8, 8, 6),
              row = UNIFORM(1, 1, 4);
    const struct pf_epilogue e = {.channel = &row}, self = {.residual = &x};
    pf_layer *layer, *up;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, NULL, false));
    assert_ok(pf_layer_new(cpu, &up, &wt, NULL, true));
    assert_fails(pf_conv(cpu, &y, &narrow, layer, 1, 1, 1, NULL), PF_ESHAPE,
                 "x is F32 [1, 8, 8, 7]");
    assert_fails(pf_conv(cpu, &y, &volume, layer, 1, 1, 1, NULL), PF_ESHAPE, "x is");
    assert_fails(pf_conv(cpu, &y, &x, layer, 2, 1, 1, NULL), PF_ESHAPE,
                 "y is F32 [1, 8, 8, 5], expected F32 [1, 4, 4, 5]");
    assert_fails(pf_conv(cpu, &y, &x, layer, 0, 1, 1, NULL), PF_ESHAPE, "stride 0");
    assert_fails(pf_conv(cpu, &y, &x, layer, 1, 3, 1, NULL), PF_ESHAPE, "padding 3");
    assert_fails(pf_conv(cpu, &y, &x, layer, 1, 1, 1, &e), PF_ESHAPE, "channel");
    assert_fails(pf_conv(cpu, &y, &x, layer, 1, 1, 1, &self), PF_ESHAPE, "residual");
    assert_fails(pf_conv(cpu, &y, &volume, up, 1, 1, 1, NULL), PF_ESHAPE, "transposed");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_every_kind_matches_the_definition),
        cmocka_unit_test(test_epilogue_is_what_the_steps_would_do),
        cmocka_unit_test(test_convolution_commutes_with_shifts),
        cmocka_unit_test(test_wrong_shapes_are_refused),
    };
    return RUN_OPERATOR_TESTS(tests);
}
