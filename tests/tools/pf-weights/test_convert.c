/* What becomes of weights as F8_E4M3: how near the numbers are, and that a second time changes
 * nothing. */
// uses: tools/pf-weights/convert.c
#include <float.h>

#include "tests/check.h"

#include "common/stream.h"
#include "tools/pf-weights/convert.h"

/* A checkpoint of these bytes, which are freed after the tests. */
static char *document[200];
static int documents;

static pf_checkpoint *
checkpoint_in(char *bytes, size_t size)
{
    pf_checkpoint *w;
    assert_true(documents < 200);
    document[documents++] = bytes;
    assert_ok(pf_checkpoint_open_memory(&w, bytes, size, "weights"));
    for (int i = 0; i < pf_checkpoint_count(w); i++)
        assert_ok(pf_checkpoint_verify(w, i));
    return w;
}

static int
free_documents(void **state)
{
    (void)state;
    while (documents)
        free(document[--documents]);
    return 0;
}

/* A document of the tensors that were put, as a checkpoint. */
static pf_checkpoint *
checkpoint_of(pf_doc *doc)
{
    char *bytes;
    size_t size;
    FILE *const f = open_memstream(&bytes, &size);
    assert_ok(pf_doc_write(doc, f));
    fclose(f);
    pf_doc_release(doc);
    return checkpoint_in(bytes, size);
}

/* What w becomes; w is closed. */
static pf_checkpoint *
converted(pf_checkpoint *w, const char *dtype)
{
    char *bytes;
    size_t size;
    FILE *const f = open_memstream(&bytes, &size);
    assert_ok(convert_all(f, w, dtype));
    fclose(f);
    pf_checkpoint_close(w);
    return checkpoint_in(bytes, size);
}

static int
index_of(const pf_checkpoint *w, const char *name)
{
    for (int i = 0; i < pf_checkpoint_count(w); i++)
        if (!strcmp(pf_checkpoint_name(w, i), name))
            return i;
    fail_msg("there is no %s", name);
    return -1;
}

static pf_tensor
get(pf_checkpoint *w, const char *name)
{
    pf_tensor t;
    assert_true(pf_checkpoint_get(w, name, &t));
    return t;
}

/* The F8_E4M3 numbers of that name, and *scale. */
static pf_tensor
eights(pf_checkpoint *w, const char *name, float *scale)
{
    pf_tensor numbers, s;
    if (!pf_checkpoint_f8(w, index_of(w, name), &numbers, &s))
        fail_msg("%s is not F8_E4M3", name);
    assert_true(pf_tensor_is(&s, PF_F32, 1, (int64_t[]){1}));
    *scale = *(const float *)s.data;
    return numbers;
}

enum { ROWS = 40, COLUMNS = 33, N = ROWS * COLUMNS };

/* Normal ones, but for factor, and a zero of each sign. */
static void
fill(float *w, uint64_t seed, float factor)
{
    for (int i = 0; i < N; i++)
        w[i] = factor * pf_rng_normal(seed, PF_RNG_TEST, (uint64_t)i);
    w[0] = 0;
    w[1] = -0.0f;
}

static pf_checkpoint *
matrix(const float *w)
{
    pf_doc doc = {0};
    const pf_tensor t = PF_VIEW((void *)w, PF_F32, ROWS, COLUMNS);
    assert_ok(pf_doc_put(&doc, "a.weight", &t));
    return checkpoint_of(&doc);
}

/* Half a step: 2^-4 of the number, or of the scale 2^-10. */
static void
test_each_number_is_the_nearest(void **state)
{
    static const float factor[] = {1, 0.02f, 3e-5f, 7e4f, 0x1p-115f, 0x1p124f};
    (void)state;
    for (int k = 0; k < 6; k++) {
        float w[N], back[N], scale, largest = 0;
        fill(w, (uint64_t)k, factor[k]);
        pf_checkpoint *const c = converted(matrix(w), "f8");
        const pf_tensor numbers = eights(c, "a.weight", &scale), t = get(c, "a.weight");
        pf_to_f32(back, t.data, t.dtype, N);
        assert_int_equal(t.dtype, PF_BF16);
        for (int i = 0; i < N; i++) {
            const float half = fmaxf(fabsf(w[i]) * 0x1p-4f, scale * 0x1p-10f);
            assert_true(fabsf(back[i] - w[i]) <= half);
            assert_int_equal(((const uint8_t *)numbers.data)[i], pf_f32_to_f8(w[i] / scale));
            largest = fmaxf(largest, fabsf(w[i]));
        }
        assert_true(signbit(back[1]) && !signbit(back[0]));
        assert_true(largest / scale > PF_F8_TOP / 2);
        pf_checkpoint_close(c);
    }
}

/* Their scale would have to be less than BF16 can do with. */
static void
test_tiny_numbers_stay_as_they_are(void **state)
{
    static const float factor[] = {0x1p-120f, 0x1p-130f, 0x1p-147f};
    (void)state;
    for (int k = 0; k < 3; k++) {
        float w[N];
        fill(w, (uint64_t)k, factor[k]);
        pf_checkpoint *const c = converted(matrix(w), "f8");
        const pf_tensor t = get(c, "a.weight");
        assert_int_equal(t.dtype, PF_F32);
        assert_memory_equal(t.data, w, sizeof w);
        pf_checkpoint_close(c);
    }
}

/* Also where the largest lies just above or below what rounds to twice 224. */
static void
test_a_second_time_changes_nothing(void **state)
{
    static const float largest[] = {1, 231.9f, 232, 232.1f, 448, 463.9f, 464, 464.1f, 1e-30f};
    (void)state;
    for (int k = 0; k < 9; k++) {
        static const char *const way[] = {"bf16", "f32", "f8", NULL};
        float w[N], scale, again;
        uint8_t bytes[N];
        fill(w, (uint64_t)k, largest[k] / 8);
        for (int i = 0; i < N; i++)
            w[i] = fmaxf(fminf(w[i], largest[k]), -largest[k]);
        w[7] = largest[k];
        pf_checkpoint *c = converted(matrix(w), "f8");
        memcpy(bytes, eights(c, "a.weight", &scale).data, N);
        for (int i = 0; i < 4; i++) {
            c = converted(converted(c, way[i]), "f8");
            assert_memory_equal(eights(c, "a.weight", &again).data, bytes, N);
            assert_true(again == scale);
        }
        pf_checkpoint_close(c);
    }
}

/* Vectors, tables, small ones, whole ones, and those whose scale's name is another's. */
static void
test_the_rest_keeps_its_type(void **state)
{
    float w[2 * N];
    pf_doc doc = {0};
    const struct { const char *name; pf_tensor t; } kept[] = {
        {"a.bias", PF_VIEW(w, PF_F32, N)}, {"a.half", PF_VIEW(w, PF_F16, N)},
        {"a.small", PF_VIEW(w, PF_F32, 31, 33)}, {"a.whole", PF_VIEW(w, PF_I32, ROWS, COLUMNS)},
        {"b.weight", PF_VIEW(w, PF_F32, ROWS, COLUMNS)}, {"b.weight_scale", PF_VIEW(w, PF_F32, 1)},
        {"table", PF_VIEW(w, PF_F32, ROWS, COLUMNS)}, {"c.none", PF_VIEW(w, PF_F32, 0, COLUMNS)}};
    const pf_tensor kernel = PF_VIEW(w, PF_F64, 8, 2, 4, 4, 4), least = PF_VIEW(w, PF_BF16, 32, 32);
    float scale;
    (void)state;
    memset(w, 0, sizeof w);
    for (int i = 0; i < 8; i++)
        assert_ok(pf_doc_put(&doc, kept[i].name, &kept[i].t));
    assert_ok(pf_doc_put(&doc, "a.least", &least));
    assert_ok(pf_doc_put(&doc, "a.kernel", &kernel));
    pf_checkpoint *const c = converted(checkpoint_of(&doc), "f8");
    assert_int_equal(pf_checkpoint_count(c), 10);
    for (int i = 0; i < 8; i++) {
        const pf_tensor t = get(c, kept[i].name);
        assert_true(pf_tensor_is(&t, kept[i].t.dtype, kept[i].t.ndim, kept[i].t.dim));
    }
    pf_tensor t = eights(c, "a.kernel", &scale);
    assert_true(pf_tensor_is(&t, PF_F8, 5, (int64_t[]){8, 2, 4, 4, 4}) && scale == 1);   // zeros
    t = eights(c, "a.least", &scale);
    assert_true(pf_tensor_is(&t, PF_F8, 2, (int64_t[]){32, 32}));
    pf_checkpoint_close(c);
}

/* What is not finite stays to be found, and what E4M3 cannot reach stays finite. */
static void
test_what_is_out_of_reach_stays(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0x1.dap127f, FLT_MAX};
    (void)state;
    for (int k = 0; k < 5; k++) {
        float w[N], scale;
        fill(w, 5, 1);
        w[N - 1] = odd[k];
        pf_checkpoint *c = converted(matrix(w), "f8");
        const pf_tensor t = get(c, "a.weight");
        assert_true(pf_tensor_is(&t, PF_F32, 2, (int64_t[]){ROWS, COLUMNS}));
        assert_memory_equal(t.data, w, sizeof w);
        pf_checkpoint_close(c);
        w[N - 1] = 0x1.dp127f;                  // the largest of all
        c = converted(matrix(w), "f8");
        assert_int_equal(((const uint8_t *)eights(c, "a.weight", &scale).data)[N - 1], 0x7e);
        assert_ok(pf_checkpoint_expect_all_finite(c));
        pf_checkpoint_close(c);
    }
}

/* Scales of rows, or that are no powers of two, as others write them, stay as they are. */
static void
test_eights_of_others_pass_through(void **state)
{
    static const char *const way[] = {NULL, "f8"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        static const char file[] = "tests/data/checkpoint/f8.safetensors";
        pf_checkpoint *w;
        pf_tensor is[2], becomes[2];
        float first[4], second[4];
        assert_ok(pf_checkpoint_open(&w, file));
        pf_checkpoint *const to = converted(w, way[i]);
        assert_ok(pf_checkpoint_open(&w, file));
        assert_int_equal(pf_checkpoint_count(to), pf_checkpoint_count(w));
        for (int k = 0; k < 5; k++) {
            assert_true(pf_checkpoint_f8(w, k, &is[0], &is[1]));
            assert_true(pf_checkpoint_f8(to, k, &becomes[0], &becomes[1]));
            for (int p = 0; p < 2; p++) {
                assert_true(pf_tensor_is(&becomes[p], is[p].dtype, is[p].ndim, is[p].dim));
                assert_memory_equal(becomes[p].data, is[p].data, pf_tensor_bytes(&is[p]));
            }
        }
        pf_to_f32(first, get(w, "b.weight").data, PF_F32, 4);
        pf_to_f32(second, get(to, "b.weight").data, PF_F32, 4);
        assert_near(second, first, 4, 0);
        pf_checkpoint_close(to);
        pf_checkpoint_close(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_number_is_the_nearest),
        cmocka_unit_test(test_tiny_numbers_stay_as_they_are),
        cmocka_unit_test(test_a_second_time_changes_nothing),
        cmocka_unit_test(test_the_rest_keeps_its_type),
        cmocka_unit_test(test_what_is_out_of_reach_stays),
        cmocka_unit_test(test_eights_of_others_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, free_documents);
}
