/* Philox and what is made of it. */
#include "tests/check.h"

/* The known answers of Random123's kat_vectors for philox4x32, 10 rounds. */
static void
test_known_answers(void **state)
{
    struct pf_rng4 r = pf_philox(0, 0, 0);
    (void)state;
    assert_int_equal(r.v[0], 0x6627e8d5u);
    assert_int_equal(r.v[1], 0xe169c58du);
    assert_int_equal(r.v[2], 0xbc57ac4cu);
    assert_int_equal(r.v[3], 0x9b00dbd8u);
    r = pf_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_int_equal(r.v[0], 0x408f276du);
    assert_int_equal(r.v[1], 0x41c83b0eu);
    assert_int_equal(r.v[2], 0xa20bc7c6u);
    assert_int_equal(r.v[3], 0x6d5451fdu);
}

static void
test_normals_are_normal(void **state)
{
    enum { N = 1 << 20 };
    double m1 = 0, m2 = 0, m4 = 0, pair = 0;
    float before = 0;
    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        const float v = pf_rng_normal(7, PF_RNG_TEST, i);
        m1 += v;
        m2 += (double)v * v;
        m4 += (double)v * v * v * v;
        pair += (double)v * before;
        before = v;
    }
    /* Five standard errors of each estimate. */
    assert_true(fabs(m1 / N) < 5e-3 && fabs(m2 / N - 1) < 7e-3);
    assert_true(fabs(m4 / N - 3) < 5e-2 && fabs(pair / N) < 5e-3);
}

/* The polynomials against libm in double. */
static void
test_normal_is_box_muller(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        const struct pf_rng4 b = pf_philox(3, PF_RNG_TEST, i / 4);
        const uint32_t *w = b.v + (i % 4 < 2 ? 0 : 2);
        const double r = sqrt(-2 * log((w[0] + 0.5) / 4294967296.0));
        const double a = w[1] * (2 * 3.14159265358979323846 / 4294967296.0);
        const double want = r * (i % 2 ? sin(a) : cos(a));
        if (fabs(pf_rng_normal(3, PF_RNG_TEST, i) - want) > 3e-6)
            fail_msg("number %d is %.9g, expected %.9g", (int)i,
                     (double)pf_rng_normal(3, PF_RNG_TEST, i), want);
    }
}

static void
test_uniform_stays_in_range(void **state)
{
    uint32_t seen = 0;
    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        const float u = pf_rng_uniform(1, PF_RNG_TEST, i);
        assert_true(u >= 0 && u < 1);
        seen |= 1u << (int)(32 * u);
    }
    assert_int_equal(seen, 0xffffffffu);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_normals_are_normal),
        cmocka_unit_test(test_normal_is_box_muller),
        cmocka_unit_test(test_uniform_stays_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
