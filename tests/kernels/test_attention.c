#include "kernels/strips.h"
#include "tests/kernels/operator.h"

static void
test_equal_scores_average_the_values(void **state)
{
    /* B 1, T 2, one head of width 1: q = 0, so both values count alike. */
    float qkv[] = {0, 5, 1, 0, -3, 3}, out[2];
    pf_tensor x = PF_VIEW(qkv, PF_F32, 1, 2, 3), y = PF_VIEW(out, PF_F32, 1, 2, 1);
    (void)state;
    assert_ok(pf_attention(cpu, &y, &x, 1, 1.0f, NULL, 0));
    assert_near(out, ((float[]){2, 2}), 2, 1e-6f);
}

static void
test_a_mask_hides_keys(void **state)
{
    float qkv[] = {0, 5, 1, 0, -3, 3}, out[2];
    uint32_t bits[] = {1, 3};
    pf_tensor x = PF_VIEW(qkv, PF_F32, 1, 2, 3), y = PF_VIEW(out, PF_F32, 1, 2, 1);
    pf_tensor mask = PF_VIEW(bits, PF_U32, 1, 2, 1);
    (void)state;
    assert_ok(pf_attention(cpu, &y, &x, 1, 1.0f, &mask, 0));
    assert_near(out, ((float[]){1, 2}), 2, 1e-6f);
}

static void
reference(float *y, const float *qkv, int64_t B, int64_t T, int64_t Q, int64_t h, int64_t d,
          double scale, const uint32_t *mask, int64_t M)
{
    double *const w = malloc((size_t)T * sizeof *w);
    const int64_t E = h * d, words = (T + 31) / 32;
    for (int64_t b = 0; b < B; b++)
        for (int64_t q = 0; q < Q; q++)
            for (int64_t i = 0; i < h; i++) {
                const float *const row = qkv + (b * T + q) * 3 * E + i * d;
                double top = -INFINITY, sum = 0;
                for (int64_t k = 0; k < T; k++) {
                    const float *const key = qkv + (b * T + k) * 3 * E + E + i * d;
                    const bool see = !mask || mask[(b % M * T + q) * words + k / 32] >> k % 32 & 1;
                    w[k] = 0;
                    for (int64_t c = 0; c < d; c++)
                        w[k] += (double)row[c] * key[c] * scale;
                    w[k] = see ? w[k] : -INFINITY;
                    top = fmax(top, w[k]);
                }
                for (int64_t k = 0; k < T; k++)
                    sum += w[k] = exp(w[k] - top);
                for (int64_t c = 0; c < d; c++) {
                    double v = 0;
                    for (int64_t k = 0; k < T; k++)
                        v += w[k] * qkv[(b * T + k) * 3 * E + 2 * E + i * d + c];
                    y[(b * Q + q) * E + i * d + c] = (float)(v / sum);
                }
            }
    free(w);
}

/* A diagonal, so that every row sees something, and a share of the other bits. */
static pf_tensor
random_mask(int64_t M, int64_t T, float share)
{
    pf_tensor t = {0};
    const int64_t words = (T + 31) / 32;
    assert_ok(PF_KEEP(cpu, &t, PF_U32, M, T, words));
    uint32_t *const bits = t.data;
    memset(bits, 0, pf_tensor_bytes(&t));
    for (int64_t i = 0; i < M * T; i++)
        for (int64_t k = 0; k < T; k++)
            if (k == i % T || pf_rng_uniform(9, PF_RNG_TEST, (uint64_t)(i * T + k)) < share)
                bits[i * words + k / 32] |= UINT32_C(1) << k % 32;
    return t;
}

static void
test_odd_sizes_match_the_formula(void **state)
{
    static const struct { int64_t B, T, Q, h, d, M; float share;
    } s[] = {
        {1, 1, 1, 1, 4, 0, 0},         {2, 31, 31, 3, 5, 0, 0},       {1, 33, 20, 2, 40, 0, 0},
        {1, 65, 65, 1, 80, 1, 0.5f},   {3, 200, 100, 2, 8, 2, 0.02f}, {2, 129, 129, 4, 16, 2, 0.3f},
        {1, 96, 96, 1, 512, 1, 0.01f}, {1, 130, 130, 2, 33, 0, 0},    {1, 256, 7, 1, 64, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t E = s[i].h * s[i].d;
        pf_tensor x = UNIFORM(i, s[i].B, s[i].T, 3 * E), y = EMPTY(s[i].B, s[i].Q, E),
                  want = EMPTY(s[i].B, s[i].Q, E);
        pf_tensor mask = {0};
        const float scale = 4.0f / sqrtf((float)s[i].d);
        if (s[i].M)
            mask = random_mask(s[i].M, s[i].T, s[i].share);
        reference(want.data, x.data, s[i].B, s[i].T, s[i].Q, s[i].h, s[i].d, scale, mask.data,
                  s[i].M);
        assert_ok(pf_attention(cpu, &y, &x, (int)s[i].h, scale, s[i].M ? &mask : NULL, 0));
        assert_rel(y.data, want.data, pf_tensor_count(&y), 3e-6);
    }
}

static void
test_permuted_tokens_permute(void **state)
{
    enum { T = 70, E = 24 };
    pf_tensor x = UNIFORM(3, 1, T, 3 * E), turned = EMPTY(1, T, 3 * E), y = EMPTY(1, T, E),
              z = EMPTY(1, T, E);
    (void)state;
    for (int t = 0; t < T; t++)
        memcpy(floats(&turned) + t * 3 * E, floats(&x) + (T - 1 - t) * 3 * E,
               3 * E * sizeof(float));
    assert_ok(pf_attention(cpu, &y, &x, 3, 0.5f, NULL, 0));
    assert_ok(pf_attention(cpu, &z, &turned, 3, 0.5f, NULL, 0));
    for (int t = 0; t < T; t++)
        assert_near(floats(&z) + t * E, floats(&y) + (T - 1 - t) * E, E, 1e-6);
}

static void
test_large_scores_do_not_overflow(void **state)
{
    pf_tensor x = UNIFORM(4, 1, 40, 24), y = EMPTY(1, 40, 8);
    (void)state;
    assert_ok(pf_attention(cpu, &y, &x, 2, 1e4f, NULL, 0));
    for (int i = 0; i < 320; i++)
        assert_true(fabsf(floats(&y)[i]) <= 1.0f);
}

/* ... and so do those of strips: the order is one to one, begins with the first view's first 8 x 8
 * pixels, and is that of memory for small maps. */
static void
test_strips_are_an_order_of_the_tokens(void **state)
{
    static const int sides[] = {1, 4, 16, 32, 33, 40};
    enum { E = 12, H = 2 };
    (void)state;
    assert_int_equal(pf_strip_token(17, 32), 2 * (2 * 32 + 1));
    assert_int_equal(pf_strip_token(32 * 32 + 8 * 32, 32), 2 * 8 + 1);
    assert_int_equal(pf_strip_token(17, 16), 17);
    assert_int_equal(pf_strip_token(17, 33), 17);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        const int side = sides[i], T = 2 * side * side;
        pf_tensor x = UNIFORM(1, 2, T, 3 * E), turned = EMPTY(2, T, 3 * E), y = EMPTY(2, T, E),
                  z = EMPTY(2, T, E), mask = random_mask(1, T, 0.3f);
        for (int t = 0; t < 2 * T; t++) {
            const int token = pf_strip_token(t % T, side);
            assert_in_range(token, 0, T - 1);
            assert_int_equal(pf_strip_place(token, side), t % T);
            memcpy(floats(&turned) + t * 3 * E, floats(&x) + (t / T * T + token) * 3 * E,
                   3 * E * sizeof(float));
        }
        assert_ok(pf_attention(cpu, &y, &x, H, 0.7f, &mask, side));
        assert_ok(pf_attention(cpu, &z, &turned, H, 0.7f, &mask, 0));
        for (int t = 0; t < 2 * T; t++)
            assert_memory_equal(floats(&y) + (t / T * T + pf_strip_token(t % T, side)) * E,
                                floats(&z) + t * E, E * sizeof(float));
    }
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor x = UNIFORM(5, 1, 33, 24), y = EMPTY(1, 33, 8), more = EMPTY(1, 34, 8),
              mask = random_mask(1, 32, 1);
    (void)state;
    assert_fails(pf_attention(cpu, &y, &x, 3, 1, NULL, 0), PF_ESHAPE, "3 heads");
    assert_fails(pf_attention(cpu, &y, &x, 0, 1, NULL, 0), PF_ESHAPE, "0 heads");
    assert_fails(pf_attention(cpu, &more, &x, 2, 1, NULL, 0), PF_ESHAPE, "34 queries of 33");
    assert_fails(pf_attention(cpu, &y, &x, 2, 1, &mask, 0), PF_ESHAPE, "mask");
    assert_fails(pf_attention(cpu, &x, &x, 2, 1, NULL, 0), PF_ESHAPE, "y is F32");
    assert_fails(pf_attention(cpu, &y, &x, 2, 1, NULL, 4), PF_ESHAPE, "33 tokens in strips");
}

/* A joint mask of two views: all of the own view, and of the other one a band of every row of 32
 * tokens, which moves with the query.  Whole tiles are seen by all, and by nobody. */
static pf_tensor
band_mask(int64_t M, int64_t T)
{
    pf_tensor t = {0};
    const int64_t words = (T + 31) / 32;
    assert_ok(PF_KEEP(cpu, &t, PF_U32, M, T, words));
    uint32_t *const bits = t.data;
    memset(bits, 0, pf_tensor_bytes(&t));
    for (int64_t m = 0; m < M; m++)
        for (int64_t q = 0; q < T; q++)
            for (int64_t k = 0; k < T; k++) {
                const bool own = q / (T / 2) == k / (T / 2);
                const int64_t row = k % (T / 2) / 32, column = k % 32, want = q % (T / 2) / 32 + m;
                if (own || (llabs(row - want) < 4 && llabs(column - q % 32) < 6))
                    bits[(m * T + q) * words + k / 32] |= UINT32_C(1) << k % 32;
            }
    return t;
}

/* Every other 64 rows see the first and the last 40 keys only, the others all.  Who passes many
 * tiles over must not keep the place of one that others wait for. */
static pf_tensor
far_mask(int64_t M, int64_t T)
{
    pf_tensor t = {0};
    const int64_t words = (T + 31) / 32;
    assert_ok(PF_KEEP(cpu, &t, PF_U32, M, T, words));
    uint32_t *const bits = t.data;
    memset(bits, 0, pf_tensor_bytes(&t));
    for (int64_t i = 0; i < M * T; i++)
        for (int64_t k = 0; k < T; k++)
            if (i % T / 64 % 2 || k < 40 || k >= T - 40)
                bits[i * words + k / 32] |= UINT32_C(1) << k % 32;
    return t;
}

/* A tensor that is the same on the GPU. */
static pf_tensor
on_gpu(const pf_tensor *t)
{
    pf_tensor copy = {0};
    assert_ok(pf_dev_keep(gpu, &copy, t->dtype, t->ndim, t->dim));
    assert_ok(pf_dev_put(gpu, &copy, t));
    return copy;
}

static void
compare(int p, int64_t B, int64_t T, int64_t Q, int64_t h, int64_t d, float scale,
        const pf_tensor *mask, int side)
{
    struct pair x = PAIR_UNIFORM((uint64_t)(T + d), B, T, 3 * h * d), y = PAIR_EMPTY(B, Q, h * d);
    pf_tensor there = {0};
    if (mask)
        there = on_gpu(mask);
    assert_ok(pf_attention(cpu, &y.cpu, &x.cpu, (int)h, scale, mask, side));
    assert_ok(pf_attention(gpu, &y.gpu, &x.gpu, (int)h, scale, mask ? &there : NULL, side));
    assert_pair(&y, p);
}

struct attention_case {
    int64_t B, T, Q, h, d, M;
    float share;               /* of keys that the mask shows; BAND: band_mask(); FAR: far_mask() */
};
enum { BAND = -1, FAR = -2 };

/* Under racecheck not tf32, which is f32's kernel. */
static void
compare_all(const struct attention_case *s, size_t n)
{
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < n && !(sanitized() && p == TF32); i++) {
            const float scale = (s[i].share == BAND ? 1.0f : 1.5f) / sqrtf((float)s[i].d);
            pf_tensor mask = {0};
            if (s[i].M)
                mask = s[i].share == BAND  ? band_mask(s[i].M, s[i].T)
                       : s[i].share == FAR ? far_mask(s[i].M, s[i].T)
                                           : random_mask(s[i].M, s[i].T, s[i].share);
            compare(p, s[i].B, s[i].T, s[i].Q, s[i].h, s[i].d, scale, s[i].M ? &mask : NULL, 0);
        }
}
#define COMPARE_ALL(s) compare_all(s, sizeof(s) / sizeof *(s))

/* Each kernel, that is each width of heads, with tiles that are not full; bands with tiles that
 * nobody sees. */
static void
test_cuda_matches_cpu(void **state)
{
    static const struct attention_case s[] = {
        {1, 1, 1, 1, 8, 0, 0},           {1, 1, 1, 2, 3, 1, 0},
        {2, 31, 31, 3, 5, 0, 0},         {1, 32, 32, 1, 1, 0, 0},
        {1, 33, 20, 2, 16, 1, 0.2f},     {1, 65, 65, 2, 40, 1, 0.5f},
        {3, 200, 100, 2, 8, 2, 0.02f},   {2, 129, 129, 2, 33, 3, 0.3f},
        {1, 70, 70, 2, 48, 1, 0.1f},     {1, 257, 129, 1, 64, 1, 0.9f},
        {1, 257, 130, 2, 80, 1, 0.01f},  {1, 70, 70, 1, 100, 1, 0.3f},
        {1, 150, 140, 2, 160, 1, 0.05f}, {1, 130, 130, 1, 161, 1, 0.1f},
        {2, 100, 67, 2, 200, 2, 0.2f},   {1, 96, 96, 1, 512, 1, 0.01f},
        {1, 300, 1, 1, 24, 0, 0},        {2, 512, 300, 2, 16, 1, BAND},
        {2, 128, 64, 2, 160, 2, BAND},   {1, 320, 320, 1, 5, 1, BAND},
        {1, 512, 130, 1, 40, 1, BAND},   {1, 512, 70, 1, 200, 1, BAND},
        {1, 900, 200, 1, 40, 1, FAR},    {1, 600, 200, 1, 80, 1, FAR},
    };
    (void)state;
    COMPARE_ALL(s);
}

static void
test_cuda_matches_cpu_at_production_sizes(void **state)
{
    static const struct attention_case s[] = {
        {2, 257, 257, 3, 64, 0, 0},   {2, 1024, 1024, 2, 40, 0, 0}, {2, 256, 256, 2, 80, 0, 0},
        {4, 64, 64, 8, 160, 0, 0},    {1, 1024, 300, 1, 512, 0, 0},
        {3, 2048, 1024, 1, 40, 2, BAND}, {1, 1024, 1024, 2, 40, 1, BAND},
        {2, 512, 512, 2, 80, 2, BAND}, {2, 512, 256, 1, 512, 1, BAND},
        // three jobs a block on Hopper
        {40, 200, 190, 8, 40, 3, BAND}, {40, 100, 100, 8, 80, 0, 0},
        {40, 130, 130, 8, 64, 7, 0.05f},
    };
    (void)state;
    if (sanitized())
        skip();
    COMPARE_ALL(s);
}

/* Each way on a GPU; d = 40 at side 32 and d = 80 at 16, which has no strips, are the network's. */
static void
test_cuda_knows_the_order_of_strips(void **state)
{
    static const int64_t s[][3] = {{32, 40, 2}, {16, 80, 2}, {32, 80, 1}, {32, 160, 1},
                                   {32, 16, 2}, {40, 64, 1}, {4, 200, 1}};     /* side, d, masks */
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (size_t i = 0; i < (sanitized() ? 2 : sizeof s / sizeof *s); i++) {
            const int64_t side = s[i][0], T = 2 * side * side;
            const pf_tensor mask = side % 16 ? random_mask(s[i][2], T, 0.1f)
                                             : band_mask(s[i][2], T);
            compare(p, sanitized() ? 1 : 3, T, T, 2, s[i][1], 1.5f / sqrtf((float)s[i][1]), &mask,
                    (int)side);
        }
}

static void
test_cuda_takes_any_scale(void **state)
{
    static const float scales[] = {-0.7f, 0, 3};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < (sanitized() ? 1 : 3); i++) {
            const pf_tensor mask = random_mask(1, 150, 0.2f);
            compare(p, 1, 150, 150, 2, 40, scales[i], &mask, 0);
            compare(p, 1, 150, 150, 1, 200, scales[i] / 8, &mask, 0);
        }
}

static void
test_cuda_large_scores_do_not_overflow(void **state)
{
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        for (int d = 8; d <= 40; d += 32) {
            struct pair x = PAIR_UNIFORM(4, 1, 90, 6 * d), y = PAIR_EMPTY(1, 90, 2 * d);
            assert_ok(pf_attention(gpu, &y.gpu, &x.gpu, 2, 1e4f, NULL, 0));
            assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
            for (int i = 0; i < 90 * 2 * d; i++)
                assert_true(fabsf(floats(&y.cpu)[i]) <= 1.001f);
        }
    }
}

/* Scores of token t: rising and falling by half from one to the next; low, then 300, then 600
 * higher.  A maximum of the first tile alone is too little for some and enough for others. */
static void
test_cuda_scores_may_rise(void **state)
{
    enum { T = 512, H = 2, KINDS = 3 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < (sanitized() ? 1 : 3 * KINDS); i++) {
            const int64_t d = (int64_t[]){40, 64, 80}[i / KINDS];
            pf_tensor in = UNIFORM(9, 1, T, 3 * H * d);
            for (int t = 0; t < T; t++)
                for (int64_t k = 0; k < 2 * H * d; k++) {
                    const float score[KINDS] = {0.5f * (float)t, -0.5f * (float)t,
                                                -300.0f + 300.0f * (float)(t / 171)};
                    const float one = k < H * d ? 1 : score[i % KINDS];
                    floats(&in)[t * 3 * H * d + k] = k % d ? 0 : one;
                }
            struct pair x = pair_of(in, pf_dev_dtype(gpu)), y = PAIR_EMPTY(1, T, H * d);
            assert_ok(pf_attention(cpu, &y.cpu, &x.cpu, H, 1, NULL, 0));
            assert_ok(pf_attention(gpu, &y.gpu, &x.gpu, H, 1, NULL, 0));
            assert_pair(&y, p);
        }
}

/* Where rows of heads do not begin at multiples of 16 bytes. */
static void
test_cuda_takes_any_address(void **state)
{
    enum { T = 100, E = 48 };
    (void)state;
    for (int p = 0; gpu_opened(p); p++) {
        struct pair x = PAIR_UNIFORM(6, T * 3 * E + 1), y = PAIR_EMPTY(T * E + 1);
        const size_t size = pf_dtype_size(x.gpu.dtype);
        pf_tensor from[2] = {PF_VIEW(floats(&x.cpu) + 1, PF_F32, 1, T, 3 * E),
                             PF_VIEW((char *)x.gpu.data + size, x.gpu.dtype, 1, T, 3 * E)};
        struct pair to = {PF_VIEW(floats(&y.cpu) + 1, PF_F32, 1, T, E),
                          PF_VIEW((char *)y.gpu.data + size, y.gpu.dtype, 1, T, E)};
        assert_ok(pf_attention(cpu, &to.cpu, &from[0], 2, 0.2f, NULL, 0));
        assert_ok(pf_attention(gpu, &to.gpu, &from[1], 2, 0.2f, NULL, 0));
        assert_pair(&to, p);
    }
}

static void
test_cuda_gives_the_same_bytes_twice(void **state)
{
    enum { B = 4, T = 512, H = 4, D = 40 };
    (void)state;
    if (sanitized())
        skip();
    for (int p = 0; gpu_opened(p); p++) {
        const pf_tensor mask = band_mask(2, T), there = on_gpu(&mask);
        struct pair x = PAIR_UNIFORM(7, B, T, 3 * H * D);
        for (int masked = 0; masked < 2; masked++) {
            struct pair y = PAIR_EMPTY(B, T, H * D), z = PAIR_EMPTY(B, T, H * D);
            assert_ok(pf_attention(gpu, &y.gpu, &x.gpu, H, 0.3f, masked ? &there : NULL, 0));
            assert_ok(pf_attention(gpu, &z.gpu, &x.gpu, H, 0.3f, masked ? &there : NULL, 0));
            assert_ok(pf_dev_get(gpu, &y.cpu, &y.gpu));
            assert_ok(pf_dev_get(gpu, &z.cpu, &z.gpu));
            assert_memory_equal(y.cpu.data, z.cpu.data, pf_tensor_bytes(&y.cpu));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_scores_average_the_values),
        cmocka_unit_test(test_a_mask_hides_keys),
        cmocka_unit_test(test_odd_sizes_match_the_formula),
        cmocka_unit_test(test_permuted_tokens_permute),
        cmocka_unit_test(test_large_scores_do_not_overflow),
        cmocka_unit_test(test_strips_are_an_order_of_the_tokens),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_cuda_matches_cpu),
        cmocka_unit_test(test_cuda_matches_cpu_at_production_sizes),
        cmocka_unit_test(test_cuda_knows_the_order_of_strips),
        cmocka_unit_test(test_cuda_takes_any_scale),
        cmocka_unit_test(test_cuda_large_scores_do_not_overflow),
        cmocka_unit_test(test_cuda_scores_may_rise),
        cmocka_unit_test(test_cuda_takes_any_address),
        cmocka_unit_test(test_cuda_gives_the_same_bytes_twice),
    };
    return RUN_OPERATOR_TESTS(tests);
}
