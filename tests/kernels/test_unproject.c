#include "tests/kernels/operator.h"

/* Column and row of a vertex do not depend on z: u = 1 + x, v = 2 + y. */
static const float parallel[12] = {1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 0, 1};

static void
test_world_x_runs_fastest_and_samples_are_bilinear(void **state)
{
    /* x = column + 10 row is linear, so samples are exact: vertices at -0.5 and 0.5. */
    float map[5 * 4], out[8];
    pf_tensor x = PF_VIEW(map, PF_F32, 1, 5, 4, 1),
              P = PF_VIEW((void *)(uintptr_t)parallel, PF_F32, 1, 3, 4);
    pf_tensor y = PF_VIEW(out, PF_F32, 1, 2, 2, 2, 1);
    (void)state;
    for (int i = 0; i < 20; i++)
        map[i] = (float)(i % 4 + 10 * (i / 4));
    assert_ok(pf_unproject(cpu, &y, &x, &P, 0.5f));
    assert_near(out, ((float[]){15.5f, 16.5f, 25.5f, 26.5f, 15.5f, 16.5f, 25.5f, 26.5f}), 8, 1e-5);
}

static void
test_outside_is_zero_and_fades_in_over_one_texel(void **state)
{
    float ones[4] = {1, 1, 1, 1}, out[3 * 27];
    /* Three views shifted by -2, -1/2 and +1/2 columns; the middle vertex is at column 0, row 0. */
    float shifts[3][12] = {{0, 0, 0, -2, 0, 0, 0, 0, 0, 0, 0, 1},
                           {0, 0, 0, -0.5f, 0, 0, 0, 0, 0, 0, 0, 1},
                           {0, 0, 0, 0.5f, 0, 0, 0, 1.25f, 0, 0, 0, 1}};
    float maps[12];
    pf_tensor x = PF_VIEW(maps, PF_F32, 3, 2, 2, 1), P = PF_VIEW(shifts, PF_F32, 3, 3, 4),
              y = PF_VIEW(out, PF_F32, 1, 3, 3, 3, 3);
    (void)state;
    for (int v = 0; v < 3; v++)
        memcpy(maps + 4 * v, ones, sizeof ones);
    assert_ok(pf_unproject(cpu, &y, &x, &P, 0.5f));
    assert_near(out + 3 * 13, ((float[]){0, 0.5f, 0.75f}), 3, 1e-6);
}

static void
test_depth_divides_and_stops_at_a_ten_thousandth(void **state)
{
    float map[9] = {0, 1, 2, 10, 11, 12, 20, 21, 22}, out[2];
    /* depth 2: (2, 4) / 2 = (1, 2); behind the camera: (1e-4, 1e-4) / 1e-4 = (1, 1) */
    float P2[2][12] = {{0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 2},
                       {0, 0, 0, 1e-4f, 0, 0, 0, 1e-4f, 0, 0, 0, -3}};
    float both[18];
    pf_tensor x = PF_VIEW(both, PF_F32, 2, 3, 3, 1), P = PF_VIEW(P2, PF_F32, 2, 3, 4),
              y = PF_VIEW(out, PF_F32, 1, 1, 1, 1, 2);
    (void)state;
    memcpy(both, map, sizeof map);
    memcpy(both + 9, map, sizeof map);
    assert_ok(pf_unproject(cpu, &y, &x, &P, 0.5f));
    assert_near(out, ((float[]){21, 11}), 2, 1e-4);
}

static void
test_views_lie_side_by_side_in_channels(void **state)
{
    enum { C = 5, S = 4 };
    pf_tensor x = UNIFORM(1, 2, 5, 4, C), y = EMPTY(1, S, S, S, 2 * C), z = EMPTY(1, S, S, S, C),
              P = {0}, one, part = EMPTY(1, S, S, S, C);
    (void)state;
    P = EMPTY(2, 3, 4);
    memcpy(P.data, parallel, sizeof parallel);
    memcpy(floats(&P) + 12, parallel, sizeof parallel);
    floats(&P)[15] = 0.3f;
    assert_ok(pf_unproject(cpu, &y, &x, &P, 0.7f));
    for (int v = 0; v < 2; v++) {
        pf_tensor view = PF_VIEW(floats(&x) + v * 20 * C, PF_F32, 1, 5, 4, C);
        one = PF_VIEW(floats(&P) + 12 * v, PF_F32, 1, 3, 4);
        assert_ok(pf_unproject(cpu, &z, &view, &one, 0.7f));
        assert_ok(pf_slice(cpu, &part, &y, v * C, v * C + C));
        assert_memory_equal(part.data, z.data, pf_tensor_bytes(&z));
    }
}

static void
test_wrong_shapes_and_wild_poses(void **state)
{
    pf_tensor x = UNIFORM(1, 2, 5, 4, 3), y = EMPTY(1, 4, 4, 4, 6), P = UNIFORM(2, 2, 3, 4),
              flat = EMPTY(1, 4, 4, 3, 6), narrow = EMPTY(1, 4, 4, 4, 5);
    (void)state;
    assert_fails(pf_unproject(cpu, &flat, &x, &P, 1), PF_ESHAPE, "y is");
    assert_fails(pf_unproject(cpu, &narrow, &x, &P, 1), PF_ESHAPE, "y is");
    assert_fails(pf_unproject(cpu, &y, &x, &x, 1), PF_ESHAPE, "proj");
    for (int i = 0; i < 24; i++)
        floats(&P)[i] = i % 3 ? 1e30f : NAN;
    assert_ok(pf_unproject(cpu, &y, &x, &P, 1));        /* far outside, or nowhere: 0 */
    for (int i = 0; i < 384; i++)
        assert_true(floats(&y)[i] == 0);
}

/* V, H, W, C, S; coordinates in 0 to about W, some of them outside, one pose wild. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t s[][5] = {
        {1, 5, 4, 3, 1}, {2, 5, 4, 3, 4}, {3, 7, 9, 8, 6}, {1, 2, 2, 12, 5}, {16, 32, 32, 16, 12}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 5; i++) {
            const int64_t V = s[i][0], H = s[i][1], W = s[i][2], C = s[i][3], S = s[i][4];
            pf_tensor t = UNIFORM(2, V, 3, 4);
            for (int64_t k = 0; k < 12 * V; k++)
                floats(&t)[k] = k % 12 == 11 ? 2 /* depth */
                                             : floats(&t)[k] * (k % 12 < 8 ? (float)W : 0.5f) +
                                                   (k % 12 == 3 || k % 12 == 7 ? (float)W : 0);
            if (i == 2)
                for (int k = 0; k < 12; k++)
                    floats(&t)[k] = k % 3 ? 1e30f : NAN;
            struct pair x = PAIR_UNIFORM(1, V, H, W, C), proj = pair_of(t, PF_F32),
                        y = PAIR_EMPTY(1, S, S, S, V * C);
            assert_ok(pf_unproject(cpu, &y.cpu, &x.cpu, &proj.cpu, 0.7f));
            assert_ok(pf_unproject(gpu, &y.gpu, &x.gpu, &proj.gpu, 0.7f));
            assert_pair(&y, p);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_x_runs_fastest_and_samples_are_bilinear),
        cmocka_unit_test(test_outside_is_zero_and_fades_in_over_one_texel),
        cmocka_unit_test(test_depth_divides_and_stops_at_a_ten_thousandth),
        cmocka_unit_test(test_views_lie_side_by_side_in_channels),
        cmocka_unit_test(test_wrong_shapes_and_wild_poses),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
