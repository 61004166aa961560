/* ONNX models: small ones with known values and names that an exporter took away, and hostile ones
 * named after their mistake.  The fixtures are made by tests/data/make_onnx.py. */
#include "common/onnx.h"

#include <time.h>

#include "common/checkpoint.h"
#include "tests/check.h"
#include "tests/common/truncated.h"

#define FILES "tests/data/onnx/"

static pf_checkpoint *
open_file(const char *name)
{
    pf_checkpoint *w;
    char path[200];
    snprintf(path, sizeof path, FILES "%s", name);
    assert_ok(pf_checkpoint_open(&w, path));
    assert_string_equal(pf_checkpoint_format(w), "onnx");
    return w;
}

/* The tensor of that name as floats, which must be these. */
static void
assert_tensor(pf_checkpoint *w, const char *name, pf_dtype dtype, int n, const float *want)
{
    float is[16];
    pf_tensor t;
    if (!pf_checkpoint_get(w, name, &t))
        fail_msg("%s has no %s: %s", pf_checkpoint_path(w), name, pf_error());
    assert_int_equal(t.dtype, dtype);
    assert_int_equal(pf_tensor_count(&t), n);
    pf_to_f32(is, t.data, dtype, n);
    assert_near(is, want, n, 0);
}

static void
test_raw_numbers(void **state)
{
    pf_checkpoint *w = open_file("small.onnx");
    pf_tensor t;
    (void)state;
    assert_int_equal(pf_checkpoint_count(w), 4);
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    assert_tensor(w, "b.half", PF_F16, 2, (float[]){1.5f, -2});
    assert_tensor(w, "b.step", PF_I64, 1, (float[]){7});
    assert_ok(pf_checkpoint_need(w, "a.weight", &t, 2, (int64_t[]){2, 3}));
    assert_ok(pf_checkpoint_need(w, "empty", &t, 2, (int64_t[]){0, 4}));
    pf_checkpoint_close(w);
    w = open_file("field_order.onnx");
    assert_tensor(w, "w.x", PF_F32, 1, (float[]){1});
    pf_checkpoint_close(w);
}

static void
test_numbers_of_every_type(void **state)
{
    pf_checkpoint *w = open_file("typed.onnx");
    pf_tensor t;
    (void)state;
    assert_tensor(w, "f32", PF_F32, 2, (float[]){1.5f, -2});
    assert_tensor(w, "f16", PF_F16, 2, (float[]){1.5f, -2});
    assert_tensor(w, "bf16", PF_BF16, 2, (float[]){1.5f, -2});
    assert_tensor(w, "i8", PF_I8, 2, (float[]){100, -2});
    assert_tensor(w, "u16", PF_U16, 2, (float[]){300, 65535});
    assert_tensor(w, "i32", PF_I32, 1, (float[]){-70000});
    assert_tensor(w, "bool", PF_BOOL, 2, (float[]){1, 0});
    assert_tensor(w, "i64", PF_I64, 2, (float[]){1099511627776.f, -1});
    assert_tensor(w, "f64", PF_F64, 1, (float[]){0.5f});
    assert_tensor(w, "u32", PF_U32, 1, (float[]){4294967296.f});
    assert_ok(pf_checkpoint_need(w, "packed_dims", &t, 2, (int64_t[]){2, 1}));
    assert_int_equal(pf_checkpoint_skipped(w), 3);
    assert_fails(pf_checkpoint_need(w, "f8", &t, 1, (int64_t[]){1}), PF_EFORMAT,
                 "of type FLOAT8E4M3FN, which cannot be used");
    assert_fails(pf_checkpoint_need(w, "text", &t, 1, (int64_t[]){1}), PF_EFORMAT, "STRING");
    assert_fails(pf_checkpoint_need(w, "none", &t, 1, (int64_t[]){1}), PF_EFORMAT, "UNDEFINED");
    pf_checkpoint_close(w);
}

static void
assert_names(const char *file, int n, const char *const *name, const float *value)
{
    pf_checkpoint *w = open_file(file);
    for (int i = 0; i < n; i++)
        assert_tensor(w, name[i], PF_F32, 1, &value[i]);
    pf_checkpoint_close(w);
}
#define NAMES(...) (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
                   (const char *[]){__VA_ARGS__}

static void
test_names_are_those_of_modules(void **state)
{
    (void)state;
    assert_names("folded.onnx",
                 NAMES("conv_in.weight", "conv_in.bias", "stage1.rebnconvin.conv_s1.weight",
                       "stage1.rebnconvin.conv_s1.bias", "layer.0.1.conv.weight",
                       "layer.0.1.conv.bias"),
                 (float[]){1, 2, 3, 4, 5, 6});
    assert_names("numbered.onnx",
                 NAMES("conv.0.weight", "conv.0.bias", "conv.1.weight", "conv.1.bias",
                       "side.weight"),
                 (float[]){1, 2, 3, 4, 9});
}

static void
test_norms_constants_and_other_names(void **state)
{
    pf_checkpoint *w;
    (void)state;
    assert_names("norms.onnx",
                 NAMES("a.bn.weight", "a.bn.bias", "a.bn.running_mean", "a.bn.running_var",
                       "b.bn.bias", "norm.0.weight", "conv.0.weight", "8", "c.weight"),
                 (float[]){1, 6, 3, 4, 6, 7, 9, 8, 8});
    w = open_file("norms.onnx");
    assert_int_equal(pf_checkpoint_count(w), 9);   // not the unused Constant
    pf_checkpoint_close(w);
}

static void
test_hostile_files_are_refused(void **state)
{
    static const struct { const char *file, *words; } cases[] = {
        {"cut_before_operators.onnx", "cut short"},
        {"graph_missing.onnx", "without a graph"},
        {"graph_twice.onnx", "two graphs"},
        {"tensors_missing.onnx", "holds no tensors"},
        {"external.onnx", "tensor w.x: its data lie in another file"},
        {"quantised.onnx", "is a quantised model (ConvInteger)"},
        {"sparse.onnx", "sparse"},
        {"name_twice.onnx", "name is given twice: a.weight"},
        {"name_of_a_node_twice.onnx", "tensor a.weight is there twice"},
        {"name_empty.onnx", "name is empty"},
        {"name_with_escape.onnx", "control characters"},
        {"name_of_a_path_with_escape.onnx", "control characters"},
        {"name_too_long.onnx", "too long"},
        {"shape_huge.onnx", "has 4 bytes of data, its shape needs 4000000000"},
        {"shape_billion_axes.onnx", "too large"},
        {"shape_nine_axes.onnx", "more than 8 axes"},
        {"shape_many_axes_packed.onnx", "more than 8 axes"},
        {"shape_negative.onnx", "negative size"},
        {"shape_overflow.onnx", "too large"},
        {"shape_zero_overflow.onnx", "too large"},
        {"data_short.onnx", "has 8 bytes of data, its shape needs 12"},
        {"data_long.onnx", "has 8 bytes of data, its shape needs 4"},
        {"data_missing.onnx", "has 0 bytes of data, its shape needs 4"},
        {"data_of_another_type.onnx", "not of its type, F32"},
        {"data_of_another_size.onnx", "has 8 bytes of data, its shape needs 4"},
        {"data_in_pieces.onnx", "in pieces"},
        {"data_both.onnx", "in pieces"},
        {"data_not_packed.onnx", "in pieces"},
        {"varints_short.onnx", "has 2 numbers, its shape needs 3"},
        {"varint_cut.onnx", "a number has no end"},
        {"varint_too_long.onnx", "a number has no end"},
        {"length_huge.onnx", "has 9223372036854775808 bytes, but"},
        {"length_beyond_field.onnx", "cut short"},
        {"wire_type_group.onnx", "wire type 3"},
        {"field_zero.onnx", "no number"},
        {"graph_is_a_number.onnx", "without a graph"},
        {"initializer_is_a_number.onnx", "name is empty"},
        {"subgraphs_deep.onnx", "holds no tensors"},
        {"aliases_in_a_ring.onnx", "holds no tensors"},
        {"text.onnx", "not a weights file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[200];
        pf_checkpoint *w;
        snprintf(path, sizeof path, FILES "%s", cases[i].file);
        assert_fails(pf_checkpoint_open(&w, path), PF_EFORMAT, cases[i].words);
        assert_null(w);
        assert_memory_equal(pf_error(), path, strlen(path));    // the sentence begins with the file
    }
}

static void
test_every_truncation_is_refused(void **state)
{
    static const char *const files[] = {"small.onnx", "typed.onnx", "norms.onnx"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        char path[200];
        snprintf(path, sizeof path, FILES "%s", files[i]);
        every_truncation_is_refused(path);
    }
}

/* ---- time ---- */

struct writer {
    unsigned char *bytes;
    size_t n;
};

static void
put(struct writer *w, const void *bytes, size_t n)
{
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

/* A model of n tensors of one byte, called by their number, and as many nodes that take them. */
static struct writer
many(int n)
{
    struct writer w = {calloc(64 * (size_t)n + 100, 1), 0};
    unsigned char length[4];
    put(&w, "\x08\x08\x12\1p\x42\2\x10\x0f\x3a", 10);
    const size_t at = w.n;
    w.n += 4;
    for (int i = 0; i < n; i++) {
        char name[9], text[64];
        snprintf(name, sizeof name, "%08d", (int)((i * 7919LL) % n));
        put(&w, "\x2a\x11\x08\1\x10\2\x42\x08", 8);
        put(&w, name, 8);
        put(&w, "\x4a\1\7", 3);
        const int length_of_node = snprintf(text, sizeof text,
                                            "\x0a\x13\x0a\1x\x0a\x08%s\x22\4Conv", name);
        put(&w, text, (size_t)length_of_node);
    }
    for (int i = 0; i < 4; i++)
        length[i] = (unsigned char)((w.n - at - 4) >> 7 * i & 127) | (i < 3 ? 128 : 0);
    memcpy(w.bytes + at, length, 4);
    return w;
}

/* Twenty times as many tensors take about twenty times the processor's time, not four hundred. */
static void
test_time_is_in_proportion_to_the_file(void **state)
{
    enum { FEW = 2000, MANY = 20 * FEW };
    double seconds[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct writer w = many(i ? MANY : FEW);
        struct pf_onnx o;
        seconds[i] = INFINITY;
        for (int k = 0; k < 3; k++) {
            const clock_t start = clock();
            assert_ok(pf_onnx_parse(&o, w.bytes, w.n));
            seconds[i] = fmin(seconds[i], (double)(clock() - start) / CLOCKS_PER_SEC);
            assert_int_equal(o.tensors, i ? MANY : FEW);
            pf_onnx_release(&o);
        }
        free(w.bytes);
    }
    if (seconds[1] > 100 * seconds[0] + 0.05)
        fail_msg("%d tensors take %.4f s, %d take %.4f s", (int)FEW, seconds[0], (int)MANY,
                 seconds[1]);
}

static void
test_more_tensors_than_anybody_has_are_refused(void **state)
{
    struct writer w = many((1 << 18) + 1);
    struct pf_onnx o;
    (void)state;
    assert_fails(pf_onnx_parse(&o, w.bytes, w.n), PF_EFORMAT, "more than 262144 tensors");
    free(w.bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_numbers),
        cmocka_unit_test(test_numbers_of_every_type),
        cmocka_unit_test(test_names_are_those_of_modules),
        cmocka_unit_test(test_norms_constants_and_other_names),
        cmocka_unit_test(test_hostile_files_are_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_time_is_in_proportion_to_the_file),
        cmocka_unit_test(test_more_tensors_than_anybody_has_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
