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

/* The tensors' shapes of a case; the number of their axes. */
static int
shapes(const struct conv_case *s, int64_t xd[5], int64_t yd[5], int64_t wd[5], int64_t out[3])
{
    const int n = s->spatial, skip = 3 - n;
    xd[0] = yd[0] = s->B;
    wd[0] = s->transposed ? s->C : s->K;
    wd[1] = s->transposed ? s->K : s->C;
    out[0] = out[1] = out[2] = 1;
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
    return n + 2;
}

static void
check_case(const struct conv_case *s, uint64_t seed)
{
    int64_t xd[5], yd[5], wd[5], out[3];
    const int axes = shapes(s, xd, yd, wd, out);
    pf_tensor x = uniform(seed, axes, xd), w = uniform(seed + 1, axes, wd),
              bias = UNIFORM(seed + 2, s->K);
    pf_tensor y = shaped(axes, yd), want = shaped(axes, yd);
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

static void
test_cpu_in_bf16_is_near(void **state)
{
    static const struct conv_case s[] = {
        {2, {1, 8, 8}, 64, 32, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 16, 16}, 32, 48, {1, 3, 3}, 2, 2, 1, 1, false},
        {1, {5, 6, 7}, 32, 16, {3, 3, 3}, 3, 1, 1, 1, false},
        {1, {3, 2, 4}, 32, 16, {3, 3, 3}, 3, 2, 1, 1, true},
    };
    pf_dev *const half = halves_opened();
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        int64_t xd[5], yd[5], wd[5], out[3];
        const int axes = shapes(&s[i], xd, yd, wd, out);
        pf_tensor x = uniform(i, axes, xd), w = uniform(i + 1, axes, wd),
                  r = uniform(i + 2, axes, yd), bias = UNIFORM(i + 3, s[i].K);
        pf_tensor y = shaped(axes, yd), want = shaped(axes, yd);
        const struct pf_epilogue e = {.residual = i ? &r : NULL};
        pf_layer *exact, *rounded;
        assert_ok(pf_layer_new(cpu, &exact, &w, &bias, s[i].transposed));
        assert_ok(pf_layer_new(half, &rounded, &w, &bias, s[i].transposed));
        assert_ok(pf_conv(cpu, &want, &x, exact, s[i].stride, s[i].before, s[i].after, &e));
        assert_ok(pf_conv(half, &y, &x, rounded, s[i].stride, s[i].before, s[i].after, &e));
        assert_rounded(&y, &want);
    }
    pf_dev_close(half);
}

/* One layer at two sizes, f16 weights, and every epilogue against doing the steps one by one. */
static void
test_epilogue_is_what_the_steps_would_do(void **state)
{
    enum { B = 2, C = 24, K = 40, ACTS = PF_ACT_LAST + 1 };
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
        for (int i = 0; i < ACTS * 3 * 3; i++) {
            const enum pf_act act = i % ACTS;
            const int each = i / ACTS % 3, residual = i / ACTS / 3;
            const pf_tensor *const channel = each == 0 ? NULL : each == 1 ? &row : &rows;
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

/* ... nor do they lose what is no number: the check behind the network must see it. */
static void
test_epilogue_keeps_what_is_no_number(void **state)
{
    enum { S = 5, C = 24, K = 40, N = S * S * K };
    pf_tensor w = UNIFORM(1, K, C, 3, 3), bias = UNIFORM(2, K), x = UNIFORM(3, 1, S, S, C),
              other = UNIFORM(4, 1, S, S, K), y = EMPTY(1, S, S, K);
    pf_layer *layer;
    (void)state;
    assert_ok(pf_layer_new(cpu, &layer, &w, &bias, false));
    floats(&x)[(2 * S + 2) * C + 7] = NAN;              /* seen by all pixels but the border's */
    for (int i = 0; i < 5 * 3; i++) {
        const struct pf_epilogue e = {NULL, i % 5, i < 5 ? NULL : i < 10 ? &other : &y};
        memcpy(y.data, other.data, N * sizeof(float));
        assert_ok(i < 5 ? pf_conv_dilated(cpu, &y, &x, layer, 1, &e)
                        : pf_conv(cpu, &y, &x, layer, 1, 1, 1, &e));
        for (int j = 0; j < N; j++) {
            const int row = j / (S * K), column = j / K % S;
            const bool near = row >= 1 && row <= 3 && column >= 1 && column <= 3;
            assert_true(!isnan(floats(&y)[j]) == !near);
        }
    }
}

/* ---- doubled pixels ---- */

/* x [B, H, W, C] with each pixel doubled along both sides. */
static pf_tensor
twice(const pf_tensor *x)
{
    const int64_t H = x->dim[1], W = x->dim[2], C = x->dim[3];
    pf_tensor y = EMPTY(x->dim[0], 2 * H, 2 * W, C);
    for (int64_t p = 0; p < x->dim[0] * 2 * H * 2 * W; p++) {
        const int64_t b = p / (4 * H * W), i = p / (2 * W) % (2 * H), j = p % (2 * W);
        memcpy(floats(&y) + p * C, floats(x) + ((b * H + i / 2) * W + j / 2) * C,
               (size_t)C * sizeof(float));
    }
    return y;
}

/* All ones, kernel and pixels: what a pixel of y is counts the taps inside. */
static void
test_doubled_worked_example(void **state)
{
    float one[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, in[2] = {1, 10}, out[8];
    pf_tensor w = PF_VIEW(one, PF_F32, 1, 1, 3, 3), x = PF_VIEW(in, PF_F32, 1, 1, 2, 1),
              y = PF_VIEW(out, PF_F32, 1, 2, 4, 1);
    pf_layer *l;
    (void)state;
    assert_ok(pf_layer_new_doubled(cpu, &l, &w, NULL));
    assert_ok(pf_conv(cpu, &y, &x, l, 1, 1, 1, NULL));
    assert_near(out, ((float[]){4, 24, 42, 40, 4, 24, 42, 40}), 8, 0);
}

/* It is the convolution of the doubled pixels, with every epilogue and from F16 weights, too. */
static void
test_doubled_is_what_the_steps_would_do(void **state)
{
    static const int64_t s[][5] = {                     /* B, H, W, C, K */
        {1, 1, 1, 3, 2}, {2, 5, 7, 8, 4}, {1, 4, 3, 33, 17}, {3, 2, 9, 64, 40},
        {1, 16, 16, 40, 72}};
    (void)state;
    for (int i = 0; i < 5 * 12; i++) {
        const int64_t *const n = s[i / 12], B = n[0], H = n[1], W = n[2], C = n[3], K = n[4];
        pf_tensor x = UNIFORM(1, B, H, W, C), w = UNIFORM(2, K, C, 3, 3), bias = UNIFORM(3, K),
                  rows = UNIFORM(4, i % 2 ? B : 1, K), y = UNIFORM(5, B, 2 * H, 2 * W, K),
                  other = UNIFORM(5, B, 2 * H, 2 * W, K), want = EMPTY(B, 2 * H, 2 * W, K),
                  half = {0}, large = twice(&x);
        const int residual = i / 2 % 3;
        const struct pf_epilogue plain = {i % 4 ? &rows : NULL, i % 12 < 6 ? PF_NONE : PF_SILU,
                                          residual ? &other : NULL};
        struct pf_epilogue e = plain;
        pf_layer *doubled, *same;
        if (residual == 2)
            e.residual = &y;
        if (i % 12 > 3) {
            assert_ok(PF_KEEP(cpu, &half, PF_F16, K, C, 3, 3));
            assert_ok(pf_dev_put(cpu, &half, &w));
            w = half;
        }
        assert_ok(pf_layer_new_doubled(cpu, &doubled, &w, i % 5 ? &bias : NULL));
        assert_ok(pf_layer_new(cpu, &same, &w, i % 5 ? &bias : NULL, false));
        assert_ok(pf_conv(cpu, &want, &large, same, 1, 1, 1, &plain));
        assert_ok(pf_conv(cpu, &y, &x, doubled, 1, 1, 1, &e));
        assert_rel(y.data, want.data, pf_tensor_count(&y), 3e-6);
    }
}

static void
test_doubled_takes_one_shape_alone(void **state)
{
    pf_tensor w = UNIFORM(1, 5, 6, 3, 3), five = UNIFORM(1, 5, 6, 5, 5), flat = UNIFORM(1, 5, 6),
              x = UNIFORM(2, 1, 4, 4, 6), y = EMPTY(1, 8, 8, 5), small = EMPTY(1, 4, 4, 5);
    pf_layer *l;
    (void)state;
    assert_fails(pf_layer_new_doubled(cpu, &l, &five, NULL), PF_ESHAPE, "[K, C, 3, 3]");
    assert_fails(pf_layer_new_doubled(cpu, &l, &flat, NULL), PF_ESHAPE, "[K, C, 3, 3]");
    assert_ok(pf_layer_new_doubled(cpu, &l, &w, NULL));
    assert_fails(pf_conv(cpu, &y, &x, l, 2, 1, 1, NULL), PF_ESHAPE, "not 2 and 1, 1");
    assert_fails(pf_conv(cpu, &y, &x, l, 1, 0, 1, NULL), PF_ESHAPE, "not 1 and 0, 1");
    assert_fails(pf_conv(cpu, &small, &x, l, 1, 1, 1, NULL), PF_ESHAPE, "[1, 8, 8, 5]");
    assert_fails(pf_conv_dilated(cpu, &small, &x, l, 1, NULL), PF_ESHAPE, "dilated");
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

/* ---- CUDA ---- */

static void
check_on_gpu(const struct conv_case *s, int p, uint64_t seed)
{
    int64_t xd[5], yd[5], wd[5], out[3];
    const int axes = shapes(s, xd, yd, wd, out);
    const pf_tensor bias = UNIFORM(seed + 2, s->K);
    const struct pair x = pair_of(uniform(seed, axes, xd), pf_dev_dtype(gpu));
    struct pair y = pair_of(shaped(axes, yd), pf_dev_dtype(gpu));
    pf_layer *layer[2];
    layer_pair(layer, seed + 1, axes, wd, seed % 20 ? &bias : NULL, s->transposed);
    assert_ok(pf_conv(cpu, &y.cpu, &x.cpu, layer[0], s->stride, s->before, s->after, NULL));
    assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], s->stride, s->before, s->after, NULL));
    assert_product(&y, p, s->C * s->kernel[0] * s->kernel[1] * s->kernel[2]);
    if (sanitized())
        return;
    /* On Hopper, calls with an activation have kernels of their own. */
    const struct pf_epilogue e = {.act = PF_QUICK_GELU};
    assert_ok(pf_activate(cpu, &y.cpu, &y.cpu, e.act));
    assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], s->stride, s->before, s->after, &e));
    assert_product(&y, p, s->C * s->kernel[0] * s->kernel[1] * s->kernel[2]);
}

/* n cases in every precision; f32 and tf32 leave the first ones out. */
static void
check_cases_on_gpu(const struct conv_case *s, size_t n, size_t first, uint64_t seed)
{
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = p == F32 || p == TF32 ? first : 0; i < n; i++)
            check_on_gpu(&s[i], p, 10 * i + seed);
}

/* Channels that fill 16 bytes and that do not, rows and columns around the tiles, sums that are
 * split. */
static void
test_cuda_matches_cpu(void **state)
{
    static const struct conv_case s[] = {
        {2, {1, 7, 5}, 8, 4, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 8, 8}, 40, 24, {1, 3, 3}, 2, 2, 1, 1, false},
        {1, {1, 8, 8}, 16, 33, {1, 3, 3}, 2, 2, 0, 1, false},
        {1, {1, 28, 28}, 3, 64, {1, 14, 14}, 2, 14, 0, 0, false},
        {1, {1, 4, 4}, 130, 70, {1, 3, 3}, 2, 1, 1, 1, false},
        {3, {1, 1, 1}, 1, 1, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 9, 31}, 6, 129, {1, 2, 3}, 2, 1, 1, 0, false},
        {2, {1, 12, 12}, 64, 160, {1, 3, 3}, 2, 1, 1, 1, false},
        {5, {1, 11, 13}, 72, 136, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 20, 20}, 128, 3, {1, 3, 3}, 2, 1, 1, 1, false},
        {2, {1, 16, 16}, 4, 320, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {5, 6, 7}, 16, 8, {3, 3, 3}, 3, 1, 1, 1, false},
        {2, {6, 4, 4}, 20, 16, {3, 3, 3}, 3, 2, 1, 1, false},
        {1, {8, 8, 8}, 64, 64, {3, 3, 3}, 3, 1, 1, 1, false},
        {1, {4, 5, 6}, 24, 40, {1, 2, 3}, 3, 1, 0, 0, false},
        {1, {3, 2, 4}, 32, 16, {3, 3, 3}, 3, 2, 1, 1, true},
        {2, {2, 3, 3}, 12, 10, {3, 3, 3}, 3, 2, 1, 1, true},
        {1, {1, 1, 1}, 3, 1, {3, 3, 3}, 3, 2, 1, 1, true},
        {2, {6, 4, 4}, 64, 160, {3, 3, 3}, 3, 2, 1, 1, true},
    };
    (void)state;
    check_cases_on_gpu(s, sizeof s / sizeof *s, 0, 0);
}

/* Enough blocks for every multiprocessor, so that the large tiles are taken. */
static void
test_cuda_matches_cpu_at_production_sizes(void **state)
{
    static const struct conv_case s[] = {
        {3, {1, 4, 4}, 640, 640, {1, 3, 3}, 2, 1, 1, 1, false},
        {32, {1, 16, 16}, 320, 320, {1, 3, 3}, 2, 1, 1, 1, false},
        {32, {1, 4, 4}, 1280, 640, {1, 3, 3}, 2, 1, 1, 1, false},
        {2, {1, 128, 128}, 128, 128, {1, 3, 3}, 2, 1, 1, 1, false},
        {2, {1, 128, 128}, 128, 128, {1, 3, 3}, 2, 2, 0, 1, false},
        {2, {1, 128, 128}, 128, 3, {1, 3, 3}, 2, 1, 1, 1, false},
        {32, {1, 32, 32}, 8, 320, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {32, 32, 32}, 64, 64, {3, 3, 3}, 3, 1, 1, 1, false},
        {2, {12, 32, 32}, 64, 64, {3, 3, 3}, 3, 1, 1, 1, false},
        {2, {12, 32, 32}, 64, 128, {3, 3, 3}, 3, 2, 1, 1, false},
        {16, {1, 32, 32}, 320, 4, {1, 3, 3}, 2, 1, 1, 1, false},
        {16, {6, 4, 4}, 512, 256, {3, 3, 3}, 3, 2, 1, 1, true},
        {8, {12, 8, 8}, 128, 64, {3, 3, 3}, 3, 2, 1, 1, true},
    };
    (void)state;
    if (sanitized())
        skip();                                 /* the next test has these tiles */
    check_cases_on_gpu(s, sizeof s / sizeof *s, 0, 500);
}

/* The large tiles, of which the last ones are not full, on sums just long enough to use each of
 * their stages twice: all that is left of the production sizes under racecheck.  All but the
 * last are for Hopper's 16 bits, with whole sums, with split ones, with fewer columns. */
static void
test_cuda_matches_cpu_in_large_tiles(void **state)
{
    static const struct conv_case s[] = {
        {1, {1, 67, 256}, 64, 136, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 36, 35}, 256, 320, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 121, 250}, 64, 168, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 200, 200}, 64, 64, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 157, 163}, 16, 128, {1, 3, 3}, 2, 1, 1, 1, false},
    };
    (void)state;
    check_cases_on_gpu(s, sizeof s / sizeof *s, 4, 600);
}

/* Channels in whole steps of 64, which Hopper's patches want: several images in a patch, some of
 * which are not there; sides that do not suit; parts of the sums.  Then each of its tiles, with
 * pairs of blocks of which one has nothing, columns that are not all there, and more jobs than
 * pairs. */
static void
test_cuda_matches_cpu_in_whole_steps(void **state)
{
    static const struct conv_case s[] = {
        {1, {1, 16, 16}, 64, 64, {1, 3, 3}, 2, 1, 1, 1, false},
        {3, {1, 32, 32}, 128, 160, {1, 3, 3}, 2, 1, 1, 1, false},
        {5, {1, 8, 8}, 64, 136, {1, 3, 3}, 2, 1, 1, 1, false},
        {3, {1, 4, 4}, 1280, 130, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 24, 40}, 64, 72, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 11, 13}, 192, 33, {1, 3, 3}, 2, 1, 1, 1, false},
        {2, {1, 16, 16}, 64, 64, {1, 3, 3}, 2, 2, 1, 1, false},
        {2, {1, 16, 16}, 128, 4, {1, 3, 3}, 2, 2, 0, 1, false},
        {5, {1, 8, 8}, 128, 200, {1, 2, 2}, 2, 1, 0, 1, false},
        {2, {6, 8, 8}, 64, 64, {3, 3, 3}, 3, 1, 1, 1, false},
        {1, {5, 8, 4}, 64, 130, {3, 3, 3}, 3, 1, 1, 1, false},
        {2, {6, 8, 8}, 64, 64, {3, 3, 3}, 3, 2, 1, 1, false},
        {1, {3, 16, 16}, 128, 64, {3, 3, 3}, 3, 2, 1, 1, true},
        {3, {3, 4, 4}, 64, 40, {3, 3, 3}, 3, 2, 1, 1, true},
        {2, {3, 3, 5}, 64, 64, {3, 3, 3}, 3, 2, 1, 1, true},
        {3, {1, 4, 4}, 1280, 136, {1, 3, 3}, 2, 1, 1, 1, false},
        {67, {1, 16, 16}, 64, 160, {1, 3, 3}, 2, 1, 1, 1, false},
        {133, {1, 8, 8}, 64, 320, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 121, 250}, 64, 168, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 200, 200}, 64, 64, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {9, 60, 60}, 64, 64, {3, 3, 3}, 3, 1, 1, 1, false},
        {2, {1, 99, 128}, 128, 128, {1, 3, 3}, 2, 2, 1, 1, false},
        {3, {11, 12, 16}, 64, 64, {3, 3, 3}, 3, 2, 1, 1, true},
    };
    (void)state;
    check_cases_on_gpu(s, sanitized() ? 16 : sizeof s / sizeof *s, 0, 300);
}

/* Every epilogue; K that fills 16 bytes and that does not; sides of which the second's sums are
 * split.  Under racecheck each of their parts, but not each combination. */
static void
test_cuda_epilogues_match(void **state)
{
    static const int64_t sizes[][4] = {             /* B, side, C, K; the last two in whole steps */
        {2, 5, 8, 40}, {2, 4, 6, 33}, {3, 4, 264, 16}, {9, 16, 64, 72}, {2, 16, 64, 35}};
    enum { ACTS = PF_ACT_LAST + 1, EACH = 9 * ACTS };
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 5 * EACH; i += sanitized() ? 13 : 1) {
            const int64_t *const n = sizes[i / EACH], B = n[0], S = n[1], C = n[2], K = n[3];
            const int each = i / ACTS % 3, residual = i / ACTS / 3 % 3;
            const struct pair x = PAIR_UNIFORM(1, B, S, S, C), other = PAIR_UNIFORM(2, B, S, S, K),
                              channel = PAIR_F32(3, each == 1 ? 1 : B, K);
            struct pair y = residual == 2 ? PAIR_UNIFORM(2, B, S, S, K) : PAIR_EMPTY(B, S, S, K);
            const pf_tensor bias = UNIFORM(4, K);
            struct pf_epilogue e[2] = {{.act = i % ACTS}, {.act = i % ACTS}};
            pf_layer *layer[2];
            layer_pair(layer, 5, 4, (int64_t[]){K, C, 3, 3}, &bias, false);
            if (each) {
                e[0].channel = &channel.cpu;
                e[1].channel = &channel.gpu;
            }
            if (residual) {
                e[0].residual = residual == 1 ? &other.cpu : &y.cpu;
                e[1].residual = residual == 1 ? &other.gpu : &y.gpu;
            }
            assert_ok(pf_conv(cpu, &y.cpu, &x.cpu, layer[0], 1, 1, 1, &e[0]));
            assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], 1, 1, 1, &e[1]));
            assert_product(&y, p, 9 * C);
        }
}

/* ---- E4M3 numbers: the CPU computes in f32 with what they are worth ---- */

/* A layer whose input is times 8, an exact factor: the bound of such a layer is 14. */
static void
layer_pair_f8(pf_layer *l[2], uint64_t seed, int ndim, const int64_t *dim, const pf_tensor *bias)
{
    pf_tensor w = uniform(seed, ndim, dim);
    float most = 0;
    assert_ok(pf_layer_new_f8(gpu, &l[1], &w, bias, 14));
    assert_non_null(pf_layer_scale(l[1]));
    for (int64_t i = 0; i < pf_tensor_count(&w); i++)
        most = fmaxf(most, fabsf(floats(&w)[i]));
    rounded_to_f8(&w, 1 / pf_f8_scale(most));
    assert_ok(pf_layer_new(cpu, &l[0], &w, bias, false));
}

static struct pair
pair_f8(pf_tensor t, const pf_layer *l)
{
    pf_tensor scale = EMPTY(2);
    assert_ok(pf_dev_get(gpu, &scale, pf_layer_scale(l)));
    assert_true(floats(&scale)[0] == 8);
    const pf_tensor bytes = rounded_to_f8(&t, 8);
    struct pair p = {.cpu = t};
    assert_ok(pf_dev_keep(gpu, &p.gpu, PF_F8, t.ndim, t.dim));
    assert_ok(pf_dev_put(gpu, &p.gpu, &bytes));
    return p;
}

/* y is rounded to bf16; and a sum of R terms is cut off below its 14th bit with each 32. */
static void
assert_product_f8(const struct pair *y, int64_t R)
{
    const double error = pair_error(y), most = 4e-3 + (double)R / 32 * 0x1p-14;
    if (!(error <= most))
        fail_msg("f8: relative error %.3g, at most %.3g", error, most);
}

/* Channels in whole steps of 128 and with half a step at the end; tiles of every
 * width, parts of the sums, each epilogue. */
static void
test_cuda_f8_matches_cpu(void **state)
{
    static const struct conv_case s[] = {
        {1, {1, 16, 16}, 64, 64, {1, 3, 3}, 2, 1, 1, 1, false},
        {3, {1, 32, 32}, 128, 160, {1, 3, 3}, 2, 1, 1, 1, false},
        {5, {1, 8, 8}, 192, 136, {1, 3, 3}, 2, 1, 1, 1, false},
        {3, {1, 4, 4}, 1280, 136, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 24, 40}, 64, 72, {1, 3, 3}, 2, 1, 1, 1, false},
        {2, {1, 16, 16}, 64, 64, {1, 3, 3}, 2, 2, 1, 1, false},
        {2, {6, 8, 8}, 64, 64, {3, 3, 3}, 3, 1, 1, 1, false},
        {67, {1, 16, 16}, 64, 160, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 121, 250}, 64, 168, {1, 3, 3}, 2, 1, 1, 1, false},
        {1, {1, 200, 200}, 64, 64, {1, 3, 3}, 2, 1, 1, 1, false},
        {32, {1, 16, 16}, 320, 320, {1, 3, 3}, 2, 1, 1, 1, false},
        {32, {1, 4, 4}, 1280, 640, {1, 3, 3}, 2, 1, 1, 1, false},
        {9, {1, 16, 16}, 960, 320, {1, 3, 3}, 2, 1, 1, 1, false},
    };
    enum { ACTS = PF_ACT_LAST + 1 };
    (void)state;
    need_f8();
    for (int i = 0; i < (sanitized() ? 7 : (int)(sizeof s / sizeof *s)); i++) {
        int64_t xd[5], yd[5], wd[5], out[3];
        const int axes = shapes(&s[i], xd, yd, wd, out);
        const int64_t R = s[i].C * s[i].kernel[0] * s[i].kernel[1] * s[i].kernel[2];
        const pf_tensor bias = UNIFORM((uint64_t)i, s[i].K);
        pf_layer *layer[2];
        layer_pair_f8(layer, (uint64_t)i + 50, axes, wd, i % 4 ? &bias : NULL);
        const struct pair x = pair_f8(uniform((uint64_t)i + 100, axes, xd), layer[1]),
                          other = pair_of(uniform(2, axes, yd), pf_dev_dtype(gpu)),
                          channel = PAIR_F32(3, i % 2 ? 1 : s[i].B, s[i].K);
        struct pair y = pair_of(shaped(axes, yd), pf_dev_dtype(gpu));
        for (int k = 0; k < 4; k++) {
            const enum pf_act act = k == 3 ? (enum pf_act)(i % ACTS) : PF_NONE;
            const struct pf_epilogue e[] = {
                {k & 1 ? &channel.cpu : NULL, act, k & 2 ? &other.cpu : NULL},
                {k & 1 ? &channel.gpu : NULL, act, k & 2 ? &other.gpu : NULL}};
            assert_ok(pf_conv(cpu, &y.cpu, &x.cpu, layer[0], s[i].stride, 1, 1, &e[0]));
            assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], s[i].stride, 1, 1, &e[1]));
            assert_product_f8(&y, R);
        }
    }
}

/* Of widths that do not suit, without a bound, and if it is no convolution, such a layer is an
 * ordinary one. */
static void
test_f8_is_for_layers_that_suit(void **state)
{
    const pf_tensor w = UNIFORM(1, 8, 64, 3, 3), flat = UNIFORM(1, 8, 64),
                    narrow = UNIFORM(1, 8, 32, 3, 3), few = UNIFORM(1, 4, 64, 3, 3);
    const pf_tensor *const weight[] = {&flat, &narrow, &few, &w, &w};
    (void)state;
    need_f8();
    for (int i = 0; i < 5; i++) {
        pf_layer *l;
        assert_ok(pf_layer_new_f8(gpu, &l, weight[i], NULL, i == 3 ? 0 : 14));
        assert_true(!pf_layer_scale(l) == (i < 4));
    }
}

/* On the CPU it always is. */
static void
test_f8_is_f32_on_the_cpu(void **state)
{
    const pf_tensor w = UNIFORM(1, 8, 64, 3, 3);
    pf_tensor x = UNIFORM(2, 1, 5, 5, 64), y = EMPTY(1, 5, 5, 8), want = EMPTY(1, 5, 5, 8);
    pf_layer *l, *plain;
    (void)state;
    assert_ok(pf_layer_new_f8(cpu, &l, &w, NULL, 14));
    assert_ok(pf_layer_new(cpu, &plain, &w, NULL, false));
    assert_null(pf_layer_scale(l));
    assert_ok(pf_conv(cpu, &y, &x, l, 1, 1, 1, NULL));
    assert_ok(pf_conv(cpu, &want, &x, plain, 1, 1, 1, NULL));
    assert_memory_equal(y.data, want.data, pf_tensor_bytes(&y));
    x.dtype = PF_F8;
    assert_fails(pf_conv(cpu, &y, &x, l, 1, 1, 1, NULL), PF_ESHAPE, "x is F8_E4M3 [1, 5, 5, 64]");
}

/* Without an epilogue, with one, and with an activation. */
static void
check_doubled_on_gpu(const int64_t n[5], int i, double tolerance)
{
    const int64_t B = n[0], H = n[1], W = n[2], C = n[3], K = n[4];
    const struct pair x = PAIR_UNIFORM(1, B, H, W, C), channel = PAIR_F32(2, i % 2 ? 1 : B, K),
                      weight = PAIR_UNIFORM(3, K, C, 3, 3);
    struct pair y = PAIR_UNIFORM(4, B, 2 * H, 2 * W, K);
    const pf_tensor bias = UNIFORM(5, K);
    pf_layer *layer[2];
    assert_ok(pf_layer_new_doubled(cpu, &layer[0], &weight.cpu, i % 3 ? &bias : NULL));
    assert_ok(pf_layer_new_doubled(gpu, &layer[1], &weight.cpu, i % 3 ? &bias : NULL));
    assert_null(pf_layer_scale(layer[1]));
    for (int k = 0; k < 3; k++) {
        const struct pf_epilogue e[] = {
            {k ? &channel.cpu : NULL, k > 1 ? PF_SILU : PF_NONE, k ? &y.cpu : NULL},
            {k ? &channel.gpu : NULL, k > 1 ? PF_SILU : PF_NONE, k ? &y.gpu : NULL}};
        assert_ok(pf_conv(cpu, &y.cpu, &x.cpu, layer[0], 1, 1, 1, &e[0]));
        assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], 1, 1, 1, &e[1]));
        const double error = pair_error(&y);
        if (!(error <= tolerance))
            fail_msg("case %d, epilogue %d: relative error %.3g, at most %.3g", i, k, error,
                     tolerance);
    }
}

/* Channels that fill 16 bytes and that do not, whole steps for Hopper's tiles of each width,
 * patches of several images, columns and rows that are not all there, more jobs than pairs; the
 * networks' own. */
static const int64_t doubled_cases[][5] = {             /* B, H, W, C, K */
    {1, 1, 1, 1, 1},      {2, 5, 7, 8, 4},     {1, 3, 3, 6, 5},      {2, 4, 6, 24, 33},
    {3, 4, 4, 64, 64},    {1, 11, 13, 192, 40}, {5, 8, 8, 128, 200}, {1, 1, 1, 64, 64},
    {2, 16, 16, 64, 160}, {67, 8, 8, 64, 72},  {1, 60, 121, 64, 168}, {3, 4, 4, 1280, 136},
    {32, 4, 4, 1280, 1280}, {32, 8, 8, 1280, 1280}, {32, 16, 16, 640, 640}, {2, 64, 64, 512, 512}};

static void
test_cuda_doubled_matches_cpu(void **state)
{
    const int n = sanitized() ? 10 : (int)(sizeof doubled_cases / sizeof *doubled_cases);
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < n; i++) {
            const double f32 = 6e-8 * sqrt((double)(9 * doubled_cases[i][3]));
            check_doubled_on_gpu(doubled_cases[i], i, fmax(precisions[p].tolerance, f32));
        }
}

/* With f8 such a layer stays bf16: its input is no norm's. */
static void
test_doubled_is_never_f8(void **state)
{
    (void)state;
    need_f8();
    check_doubled_on_gpu(doubled_cases[8], 8, precisions[BF16].tolerance);
}

/* A transposed convolution adds its residual where it stores. */
static void
test_cuda_transposed_epilogue_matches(void **state)
{
    enum { B = 2, D = 2, H = 3, W = 4, C = 16, K = 24 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        const struct pair x = PAIR_UNIFORM(1, B, D, H, W, C), channel = PAIR_F32(2, B, K);
        struct pair y = PAIR_UNIFORM(3, B, 2 * D, 2 * H, 2 * W, K);
        const struct pf_epilogue e[] = {{&channel.cpu, PF_SILU, &y.cpu},
                                        {&channel.gpu, PF_SILU, &y.gpu}};
        pf_layer *layer[2];
        layer_pair(layer, 4, 5, (int64_t[]){C, K, 3, 3, 3}, NULL, true);
        assert_ok(pf_conv(cpu, &y.cpu, &x.cpu, layer[0], 2, 1, 1, &e[0]));
        assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], 2, 1, 1, &e[1]));
        assert_product(&y, p, 8 * C);
    }
}

static void
test_cuda_gives_the_same_bytes_twice(void **state)
{
    enum { B = 8, S = 4, C = 640, K = 320 };
    (void)state;
    if (sanitized())
        skip();
    for (int p = 0; gpu_opened(p); p++) {
        struct pair x = PAIR_UNIFORM(1, B, S, S, C), y = PAIR_EMPTY(B, S, S, K),
                    z = PAIR_EMPTY(B, S, S, K);
        pf_layer *layer[2];
        layer_pair(layer, 2, 4, (int64_t[]){K, C, 3, 3}, NULL, false);
        assert_ok(pf_conv(gpu, &y.gpu, &x.gpu, layer[1], 1, 1, 1, NULL));
        assert_ok(pf_conv(gpu, &z.gpu, &x.gpu, layer[1], 1, 1, 1, NULL));
        assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
        assert_ok(pf_dev_get(gpu, &z.cpu, &z.gpu));
        assert_memory_equal(y.cpu.data, z.cpu.data, pf_tensor_bytes(&y.cpu));
    }
}

/* A dilated kernel is a larger one with zeros between its taps. */
static void
check_dilated(int h, int w, int d)
{
    enum { H = 9, W = 7, C = 5, K = 6 };
    const int n = (h > w ? h : w) * d, side = n + 1 - n % 2;    /* odd, and no tap is outside */
    const int top = side / 2 - h / 2 * d, left = side / 2 - w / 2 * d;
    pf_tensor x = UNIFORM(1, 2, H, W, C), weight = UNIFORM(2, K, C, h, w), bias = UNIFORM(3, K);
    pf_tensor wide = EMPTY(K, C, side, side), y = EMPTY(2, H, W, K), z = EMPTY(2, H, W, K);
    memset(wide.data, 0, pf_tensor_bytes(&wide));
    for (int i = 0; i < K * C * h * w; i++)
        floats(&wide)[(i / (h * w) * side + top + i / w % h * d) * side + left + i % w * d] =
            floats(&weight)[i];
    pf_layer *l, *large;
    assert_ok(pf_layer_new(cpu, &l, &weight, &bias, false));
    assert_ok(pf_layer_new(cpu, &large, &wide, &bias, false));
    const struct pf_epilogue e = {.act = PF_RELU};
    assert_ok(pf_conv_dilated(cpu, &y, &x, l, d, &e));
    assert_ok(pf_conv(cpu, &z, &x, large, 1, side / 2, side / 2, &e));
    assert_rel(floats(&y), floats(&z), pf_tensor_count(&y), 1e-6);
}

static void
test_dilated_matches_a_kernel_with_gaps(void **state)
{
    (void)state;
    for (int d = 1; d <= 8; d *= 2)
        check_dilated(3, 3, d);
    check_dilated(1, 7, 1);
    check_dilated(5, 1, 1);
    check_dilated(3, 5, 2);
}

/* Also where most taps are outside. */
static void
test_dilated_adds_its_residual_everywhere(void **state)
{
    enum { B = 2, H = 6, W = 5, C = 64, D = 6 };
    pf_tensor x = UNIFORM(1, B, H, W, C), other = UNIFORM(2, B, H, W, C),
              w = UNIFORM(3, C, C, 3, 3), y = EMPTY(B, H, W, C), want = EMPTY(B, H, W, C);
    const struct pf_epilogue e = {.act = PF_RELU}, added = {.act = PF_RELU, .residual = &other};
    pf_layer *l;
    (void)state;
    assert_ok(pf_layer_new(cpu, &l, &w, NULL, false));
    assert_ok(pf_conv_dilated(cpu, &want, &x, l, D, &e));
    assert_ok(pf_add(cpu, &want, &want, &other, 1));
    assert_ok(pf_conv_dilated(cpu, &y, &x, l, D, &added));
    assert_rel(floats(&y), floats(&want), pf_tensor_count(&y), 1e-6);
}

/* A depthwise kernel is a full one with zeros between different channels. */
static void
check_depthwise(int side, int C, int stride, int before, int after, int dilation)
{
    enum { H = 11, W = 10 };
    const int h = (H + before + after - side) / stride + 1, taps = side * side,
              w = (W + before + after - side) / stride + 1;
    pf_tensor x = UNIFORM(1, 2, H, W, C), weight = UNIFORM(2, C, 1, side, side),
              bias = UNIFORM(3, C), full = EMPTY(C, C, side, side);
    pf_tensor y = dilation ? EMPTY(2, H, W, C) : EMPTY(2, h, w, C), z = shaped(4, y.dim);
    pf_layer *l, *large;
    memset(full.data, 0, pf_tensor_bytes(&full));
    for (int i = 0; i < C * taps; i++)
        floats(&full)[i / taps * (C + 1) * taps + i % taps] = floats(&weight)[i];
    assert_ok(pf_layer_new_depthwise(cpu, &l, &weight, &bias));
    assert_ok(pf_layer_new(cpu, &large, &full, &bias, false));
    const struct pf_epilogue e = {.act = PF_SILU};
    if (dilation) {
        assert_ok(pf_conv_dilated(cpu, &y, &x, l, dilation, &e));
        assert_ok(pf_conv_dilated(cpu, &z, &x, large, dilation, &e));
    } else {
        assert_ok(pf_conv(cpu, &y, &x, l, stride, before, after, &e));
        assert_ok(pf_conv(cpu, &z, &x, large, stride, before, after, &e));
    }
    assert_rel(floats(&y), floats(&z), pf_tensor_count(&y), 1e-6);
}

static void
test_depthwise_keeps_channels_apart(void **state)
{
    (void)state;
    check_depthwise(3, 32, 1, 1, 1, 0);
    check_depthwise(3, 24, 2, 0, 1, 0);
    check_depthwise(5, 33, 2, 1, 2, 0);
    check_depthwise(1, 40, 1, 0, 0, 0);
    check_depthwise(3, 40, 1, 0, 0, 3);
    check_depthwise(3, 7, 1, 0, 0, 5);
}

static void
test_other_depthwise_weights_are_refused(void **state)
{
    pf_tensor full = UNIFORM(1, 4, 2, 3, 3), w = UNIFORM(1, 4, 1, 3, 3), bias = UNIFORM(2, 5),
              x = UNIFORM(3, 1, 5, 5, 3), y = EMPTY(1, 5, 5, 4);
    pf_layer *l;
    (void)state;
    assert_fails(pf_layer_new_depthwise(cpu, &l, &full, NULL), PF_ESHAPE, "the second 2");
    assert_fails(pf_layer_new_depthwise(cpu, &l, &w, &bias), PF_ESHAPE, "bias is");
    assert_ok(pf_layer_new_depthwise(cpu, &l, &w, NULL));
    assert_fails(pf_conv(cpu, &y, &x, l, 1, 1, 1, NULL), PF_ESHAPE, "x is F32 [1, 5, 5, 3]");
}

static void
test_what_cannot_be_dilated_is_refused(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 4, 4, 2), w = UNIFORM(2, 3, 2, 3, 3), even = UNIFORM(2, 3, 2, 2, 2);
    pf_tensor y = EMPTY(1, 4, 4, 3), small = EMPTY(1, 2, 2, 3);
    pf_layer *l, *bad;
    (void)state;
    assert_ok(pf_layer_new(cpu, &l, &w, NULL, false));
    assert_ok(pf_layer_new(cpu, &bad, &even, NULL, false));
    assert_fails(pf_conv_dilated(cpu, &y, &x, l, 0, NULL), PF_ESHAPE, "not 3 x 3 and 0");
    assert_fails(pf_conv_dilated(cpu, &y, &x, bad, 1, NULL), PF_ESHAPE, "not 2 x 2 and 1");
    assert_fails(pf_conv_dilated(cpu, &small, &x, l, 2, NULL), PF_ESHAPE, "y is");
}

struct dilated_case {
    int64_t B, H, W, C, K, kernel[2];
    int dilation;
};

static void
check_dilated_on_gpu(const struct dilated_case *s, int p, uint64_t seed)
{
    const struct pair x = PAIR_UNIFORM(seed, s->B, s->H, s->W, s->C),
                      other = PAIR_UNIFORM(seed + 1, s->B, s->H, s->W, s->K);
    const pf_tensor bias = UNIFORM(seed + 2, s->K);
    struct pair y = PAIR_EMPTY(s->B, s->H, s->W, s->K);
    const struct pf_epilogue e[] = {{.act = PF_RELU, .residual = &other.cpu},
                                    {.act = PF_RELU, .residual = &other.gpu}};
    pf_layer *layer[2];
    layer_pair(layer, seed + 3, 4, (int64_t[]){s->K, s->C, s->kernel[0], s->kernel[1]},
               &bias, false);
    assert_ok(pf_conv_dilated(cpu, &y.cpu, &x.cpu, layer[0], s->dilation, &e[0]));
    assert_ok(pf_conv_dilated(gpu, &y.gpu, &x.gpu, layer[1], s->dilation, &e[1]));
    assert_product(&y, p, s->C * s->kernel[0] * s->kernel[1]);
}

/* Channels of whole pieces and steps and not, taps that share slabs, taps that do not, and taps
 * that are all outside. */
static void
test_cuda_dilated_matches_cpu(void **state)
{
    static const struct dilated_case s[] = {
        {2, 9, 7, 5, 6, {3, 3}, 2},       {2, 9, 7, 3, 16, {3, 3}, 1},
        {1, 12, 11, 16, 16, {3, 3}, 2},   {2, 8, 8, 32, 32, {3, 3}, 4},
        {1, 5, 9, 24, 1, {3, 3}, 8},      {2, 11, 13, 6, 1, {5, 5}, 2},
        {2, 9, 12, 24, 32, {1, 7}, 1},    {3, 16, 16, 64, 64, {3, 3}, 1},
        {2, 17, 23, 64, 16, {3, 3}, 2},   {1, 20, 24, 128, 32, {3, 3}, 3},
        {2, 32, 32, 64, 72, {3, 3}, 4},   {1, 32, 32, 256, 136, {3, 3}, 8},
        {3, 8, 8, 64, 40, {5, 5}, 2},     {2, 20, 20, 64, 32, {5, 1}, 1},
        {2, 20, 20, 64, 32, {1, 3}, 2},   {2, 6, 5, 64, 64, {3, 3}, 6},
        {1, 4, 4, 64, 64, {3, 3}, 9},  {1, 121, 90, 64, 64, {3, 3}, 2},
        {2, 64, 64, 64, 160, {3, 3}, 2}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < (sanitized() ? 17 : sizeof s / sizeof *s); i++)
            check_dilated_on_gpu(&s[i], p, 10 * i + 800);
}

/* Whole vectors and single numbers, strides, dilation; sides that are no multiple of what a thread
 * does. */
static void
test_cuda_depthwise_matches_cpu(void **state)
{
    static const struct {
        int64_t B, H, W, C, kernel[2];
        int stride, before, after, dilation;    /* dilation 0: pf_conv */
    } s[] = {
        {2, 11, 10, 32, {3, 3}, 1, 1, 1, 0}, {1, 12, 9, 24, {3, 3}, 2, 0, 1, 0},
        {3, 11, 13, 33, {5, 5}, 2, 1, 2, 0}, {1, 7, 5, 40, {1, 1}, 1, 0, 0, 0},
        {2, 9, 17, 40, {3, 3}, 1, 0, 0, 3},  {1, 8, 8, 7, {3, 3}, 1, 0, 0, 9},
        {1, 6, 21, 16, {1, 7}, 1, 0, 0, 1},  {2, 64, 65, 64, {5, 5}, 1, 2, 2, 0}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
            const int64_t *const k = s[i].kernel, pad = s[i].before + s[i].after;
            const int64_t h = (s[i].H + pad - k[0]) / s[i].stride + 1,
                          w = (s[i].W + pad - k[1]) / s[i].stride + 1, C = s[i].C;
            const pf_tensor bias = UNIFORM(1, C);
            const struct pair x = PAIR_UNIFORM(2, s[i].B, s[i].H, s[i].W, C),
                              channel = PAIR_F32(3, s[i].B, C),
                              weight = PAIR_UNIFORM(4, C, 1, k[0], k[1]);
            struct pair y = s[i].dilation ? PAIR_UNIFORM(5, s[i].B, s[i].H, s[i].W, C)
                                          : PAIR_UNIFORM(5, s[i].B, h, w, C);
            const struct pf_epilogue e[] = {{&channel.cpu, PF_SILU, &y.cpu},
                                            {&channel.gpu, PF_SILU, &y.gpu}};
            pf_layer *l[2];
            assert_ok(pf_layer_new_depthwise(cpu, &l[0], &weight.cpu, &bias));
            assert_ok(pf_layer_new_depthwise(gpu, &l[1], &weight.cpu, &bias));
            for (int d = 0; d < 2; d++) {
                pf_dev *const dev = d ? gpu : cpu;
                pf_tensor *const to = d ? &y.gpu : &y.cpu;
                const pf_tensor *const from = d ? &x.gpu : &x.cpu;
                if (s[i].dilation)
                    assert_ok(pf_conv_dilated(dev, to, from, l[d], s[i].dilation, &e[d]));
                else
                    assert_ok(pf_conv(dev, to, from, l[d], s[i].stride, s[i].before, s[i].after,
                                      &e[d]));
            }
            assert_product(&y, p, k[0] * k[1]);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_every_kind_matches_the_definition),
        cmocka_unit_test(test_cpu_in_bf16_is_near),
        cmocka_unit_test(test_epilogue_is_what_the_steps_would_do),
        cmocka_unit_test(test_epilogue_keeps_what_is_no_number),
        cmocka_unit_test(test_doubled_worked_example),
        cmocka_unit_test(test_doubled_is_what_the_steps_would_do),
        cmocka_unit_test(test_doubled_takes_one_shape_alone),
        cmocka_unit_test(test_convolution_commutes_with_shifts),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_dilated_matches_a_kernel_with_gaps),
        cmocka_unit_test(test_dilated_adds_its_residual_everywhere),
        cmocka_unit_test(test_what_cannot_be_dilated_is_refused),
        cmocka_unit_test(test_depthwise_keeps_channels_apart),
        cmocka_unit_test(test_other_depthwise_weights_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
        cmocka_unit_test(test_cuda_matches_cpu_in_whole_steps),
        cmocka_unit_test(test_cuda_matches_cpu_at_production_sizes),
        cmocka_unit_test(test_cuda_matches_cpu_in_large_tiles),
        cmocka_unit_test(test_cuda_epilogues_match),
        cmocka_unit_test(test_cuda_f8_matches_cpu),
        cmocka_unit_test(test_f8_is_for_layers_that_suit),
        cmocka_unit_test(test_f8_is_f32_on_the_cpu),
        cmocka_unit_test(test_cuda_doubled_matches_cpu),
        cmocka_unit_test(test_doubled_is_never_f8),
        cmocka_unit_test(test_cuda_transposed_epilogue_matches),
        cmocka_unit_test(test_cuda_dilated_matches_cpu),
        cmocka_unit_test(test_cuda_depthwise_matches_cpu),
        cmocka_unit_test(test_cuda_gives_the_same_bytes_twice),
    };
    return RUN_OPERATOR_TESTS(tests);
}
