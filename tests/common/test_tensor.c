/* Tensors, number conversion and the errors that name them. */
#include <float.h>

#include "tests/check.h"

static void
test_product_of_hostile_sizes_is_refused(void **state)
{
    size_t bytes;
    (void)state;
    assert_fails(pf_shape_bytes(&bytes, PF_F32, 2, (int64_t[]){INT64_MAX, 2}), PF_ESHAPE,
                 "too large");
    assert_fails(pf_shape_bytes(&bytes, PF_F32, 2, (int64_t[]){-1, 2}), PF_ESHAPE, "negative");
    assert_fails(pf_shape_bytes(&bytes, PF_F32, 9, (int64_t[9]){0}), PF_ESHAPE, "9 axes");
    /* A zero makes it empty, but does not excuse the others. */
    assert_fails(pf_shape_bytes(&bytes, PF_F64, 3, (int64_t[]){INT64_MAX, INT64_MAX, 0}),
                 PF_ESHAPE, "too large");
    assert_ok(pf_shape_bytes(&bytes, PF_F64, 2, (int64_t[]){1000, 0}));
    assert_int_equal(bytes, 0);
}

static void
test_scalar_has_one_element(void **state)
{
    pf_tensor t = {0};
    (void)state;
    assert_ok(pf_tensor_new(&t, PF_F64, 0, NULL));
    assert_int_equal(pf_tensor_count(&t), 1);
    assert_int_equal(pf_tensor_bytes(&t), 8);
    pf_tensor_release(&t);
    assert_null(t.data);
}

static void
test_wrong_shape_names_both(void **state)
{
    float data[6];
    const pf_tensor t = PF_VIEW(data, PF_F32, 2, 3);
    (void)state;
    assert_ok(pf_tensor_expect(&t, "x", PF_F32, 2, (int64_t[]){-1, 3}));
    assert_fails(pf_tensor_expect(&t, "x", PF_F16, 2, (int64_t[]){2, -1}), PF_ESHAPE,
                 "x is F32 [2, 3], expected F16 [2, *]");
}

/* Every half is a float, so all 65536 must survive the way there and back. */
static void
test_every_half_survives_f32(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = pf_f16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(pf_f16_to_f32(pf_f32_to_f16(f))));
        else
            assert_int_equal(pf_f32_to_f16(f), h);
        const float b = pf_bf16_to_f32((uint16_t)h);
        if (isnan(b))
            assert_true(isnan(pf_bf16_to_f32(pf_f32_to_bf16(b))));
        else
            assert_int_equal(pf_f32_to_bf16(b), h);
    }
}

static void
test_rounding_is_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(pf_f32_to_f16(1.0f + 0x1p-11f), 0x3c00);           /* tie, down to even */
    assert_int_equal(pf_f32_to_f16(1.0f + 0x1.8p-10f), 0x3c02);         /* tie, up to even */
    assert_int_equal(pf_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(pf_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(pf_f32_to_f16(-0x1p-25f), 0x8000);                 /* tie with zero */
    assert_int_equal(pf_f32_to_f16(0x1.8p-25f), 0x0001);
    assert_int_equal(pf_f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
    assert_int_equal(pf_f32_to_bf16(1.0f + 0x1.8p-7f), 0x3f82);
}

/* Between neighbours of the 127 numbers of a sign lies their mean: below it the lower one is meant,
 * above it the upper one, on it the even one. */
static void
test_f8_rounds_between_all_its_numbers(void **state)
{
    (void)state;
    assert_true(pf_f8_to_f32(0x7e) == PF_F8_MAX && pf_f8_to_f32(1) == 0x1p-9f);
    assert_true(pf_f8_to_f32(0x08) == 0x1p-6f && pf_f8_to_f32(0x39) == 1.125f);
    for (int h = 0; h <= 0x7e; h++) {
        const float low = pf_f8_to_f32((uint8_t)h), high = pf_f8_to_f32((uint8_t)(h + 1)),
                    middle = (low + high) / 2;
        assert_int_equal(pf_f32_to_f8(low), h);
        assert_int_equal(pf_f32_to_f8(-low), h | 0x80);
        assert_true(pf_f8_to_f32((uint8_t)(h | 0x80)) == -low);
        if (h == 0x7e)
            break;
        assert_true(low < high);
        assert_int_equal(pf_f32_to_f8(nextafterf(middle, 0)), h);
        assert_int_equal(pf_f32_to_f8(nextafterf(middle, 1e3f)), h + 1);
        assert_int_equal(pf_f32_to_f8(middle), h + (h & 1));
        assert_int_equal(pf_f32_to_f8(-middle), (h + (h & 1)) | 0x80);
    }
    for (int sign = 0; sign < 2; sign++) {
        const float v = sign ? -1.0f : 1.0f;
        assert_int_equal(pf_f32_to_f8(v * 465), 0x7e | sign << 7);
        assert_int_equal(pf_f32_to_f8(v * INFINITY), 0x7e | sign << 7);
        assert_true(isnan(pf_f8_to_f32((uint8_t)(0x7f | sign << 7))));
    }
    assert_int_equal(pf_f32_to_f8(NAN), 0x7f);
}

static void
test_f8_has_a_name_and_a_value(void **state)
{
    pf_dtype dtype = PF_F32;
    float wide[3];
    uint8_t narrow[3];
    (void)state;
    assert_true(pf_dtype_parse(&dtype, "F8_E4M3") && dtype == PF_F8);
    assert_false(pf_dtype_parse(&dtype, "F8_E5M2"));
    pf_from_f32(narrow, (float[]){-0.0f, 0.3f, -1000}, PF_F8, 3);
    pf_to_f32(wide, narrow, PF_F8, 3);
    assert_near(wide, ((float[]){0, 0.3125f, -448}), 3, 0);
}

/* The largest fills the upper half of what E4M3 has, at its border and within it; what came out of
 * rounding asks for the same scale again. */
static void
test_scale_of_f8_is_the_least_that_suits(void **state)
{
    (void)state;
    assert_true(pf_f8_scale(0) == 1 && pf_f8_scale(448) == 1 && pf_f8_scale(464) == 1);
    assert_true(pf_f8_scale(nextafterf(464, 500)) == 2 && pf_f8_scale(232) == 0.5f);
    assert_true(pf_f8_scale(0x1p-149f) == 0x1p-124f && pf_f8_scale(FLT_MAX) == 0x1p119f);
    for (float v = 0x1p-114f; v < 0x1p127f; v *= 1.01f) {
        const float s = pf_f8_scale(v), most = pf_f8_to_f32(pf_f32_to_f8(v / s));
        assert_true(v / s <= PF_F8_TOP && v / s > PF_F8_TOP / 2);
        assert_true(most >= 240 && most <= PF_F8_MAX && pf_f8_scale(most * s) == s);
    }
}

static void
test_integers_convert_by_value(void **state)
{
    const int16_t in[] = {-32768, -1, 0, 32767};
    float out[4];
    (void)state;
    pf_to_f32(out, in, PF_I16, 4);
    assert_near(out, ((float[]){-32768, -1, 0, 32767}), 4, 0);
}

static void
test_errors_keep_one_line(void **state)
{
    (void)state;
    assert_int_equal(pf_fail(PF_EIO, "cannot read a\nb"), PF_EIO);
    assert_string_equal(pf_error(), "cannot read a?b");
    assert_int_equal(pf_fail_in(PF_EFORMAT, "file %d", 7), PF_EFORMAT);
    assert_string_equal(pf_error(), "file 7: cannot read a?b");
}

static void
test_odd_numbers_are_counted(void **state)
{
    static float many[100000];
    static uint16_t all[100000];
    const double f64[] = {NAN, 1, -INFINITY, 1e308};
    const float f32[] = {0, -NAN, 3e38f};
    const uint16_t f16[] = {0x7c00, 0x7bff, 0xfe01, 0x8000}, bf16[] = {0x7f7f, 0xff80};
    const uint32_t whole[] = {UINT32_MAX};
    (void)state;
    assert_int_equal(pf_count_odd(f64, PF_F64, 4), 2);
    assert_int_equal(pf_count_odd(f32, PF_F32, 3), 1);
    assert_int_equal(pf_count_odd(f16, PF_F16, 4), 2);
    assert_int_equal(pf_count_odd(bf16, PF_BF16, 2), 1);
    assert_int_equal(pf_count_odd(whole, PF_U8, 4), 0);
    many[77777] = many[99999] = INFINITY;
    assert_int_equal(pf_count_odd(many, PF_F32, 100000), 2);
    assert_int_equal(pf_count_odd(many, PF_F32, 0), 0);
    for (int i = 0; i < 100000; i++)
        all[i] = 0x7c00;
    assert_int_equal(pf_count_odd(all, PF_F16, 100000), 100000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product_of_hostile_sizes_is_refused),
        cmocka_unit_test(test_scalar_has_one_element),
        cmocka_unit_test(test_wrong_shape_names_both),
        cmocka_unit_test(test_every_half_survives_f32),
        cmocka_unit_test(test_rounding_is_to_nearest_even),
        cmocka_unit_test(test_f8_rounds_between_all_its_numbers),
        cmocka_unit_test(test_f8_has_a_name_and_a_value),
        cmocka_unit_test(test_scale_of_f8_is_the_least_that_suits),
        cmocka_unit_test(test_integers_convert_by_value),
        cmocka_unit_test(test_odd_numbers_are_counted),
        cmocka_unit_test(test_errors_keep_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
