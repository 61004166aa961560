#include "tests/kernels/operator.h"

/* A volume whose value is x + 10 y + 100 z in world coordinates: samples inside are exact. */
static pf_tensor
linear_volume(int S, float length)
{
    pf_tensor x = EMPTY(1, S, S, S, 1);
    for (int i = 0; i < S * S * S; i++) {
        const float step = 2 * length / (float)(S - 1);
        floats(&x)[i] = (step * (float)(i % S) - length) +
                        10 * (step * (float)(i / S % S) - length) +
                        100 * (step * (float)(i / (S * S)) - length);
    }
    return x;
}

static void
test_a_linear_volume_is_sampled_exactly(void **state)
{
    /* X = (0.1 j z, 0.05 i z, z - 1): near 0.8, far 1.2 */
    float M[12] = {0.1f, 0, 0, 0, 0, 0.05f, 0, 0, 0, 0, 1, -1};
    pf_tensor x = linear_volume(5, 0.5f), P = PF_VIEW(M, PF_F32, 1, 3, 4), y = EMPTY(1, 3, 2, 4, 1);
    (void)state;
    assert_ok(pf_frustum_sample(cpu, &y, &x, &P, 0.5f, 0.8f, 1.2f));
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++) {
                const double z = 0.8 + 0.2 * k;
                assert_near(floats(&y) + (k * 2 + i) * 4 + j,
                            (float[]){(float)(0.1 * j * z + 10 * 0.05 * i * z + 100 * (z - 1))}, 1,
                            1e-4);
            }
}

static void
test_outside_is_zero_and_fades_in_over_one_voxel(void **state)
{
    /* Voxels are 0.25 wide: x = -0.625 is half a voxel out, -0.75 a whole one. */
    float M[3][12] = {{0, 0, 0, -0.625f}, {0, 0, 0, -0.75f}, {0, 0, 0, -0.625f, 0, 0, 0, 0.5625f}},
          out[3];
    pf_tensor x = EMPTY(1, 5, 5, 5, 1), P = PF_VIEW(M, PF_F32, 3, 3, 4),
              y = PF_VIEW(out, PF_F32, 3, 1, 1, 1, 1);
    (void)state;
    for (int i = 0; i < 125; i++)
        floats(&x)[i] = 1;
    assert_ok(pf_frustum_sample(cpu, &y, &x, &P, 0.5f, 1, 2));
    assert_near(out, ((float[]){0.5f, 0, 0.375f}), 3, 1e-6);
}

static void
test_channels_are_sampled_alike(void **state)
{
    enum { C = 33, N = 2 * 3 * 4 * 5 };
    pf_tensor x = UNIFORM(1, 1, 6, 6, 6, C), P = UNIFORM(2, 2, 3, 4), y = EMPTY(2, 3, 4, 5, C),
              z = EMPTY(2, 3, 4, 5, 1), one = EMPTY(1, 6, 6, 6, 1);
    float got[N];
    (void)state;
    for (int i = 0; i < 24; i++)
        floats(&P)[i] *= 0.2f;
    assert_ok(pf_frustum_sample(cpu, &y, &x, &P, 0.5f, 0.6f, 2.3f));
    assert_ok(pf_slice(cpu, &one, &x, 31, 32));
    assert_ok(pf_frustum_sample(cpu, &z, &one, &P, 0.5f, 0.6f, 2.3f));
    for (int i = 0; i < N; i++)
        got[i] = floats(&y)[i * C + 31];
    assert_near(got, floats(&z), N, 0);
}

static void
test_wrong_shapes_and_wild_poses(void **state)
{
    pf_tensor x = UNIFORM(1, 1, 4, 4, 4, 3), flat = UNIFORM(1, 1, 4, 4, 5, 3),
              P = UNIFORM(2, 2, 3, 4), y = EMPTY(2, 3, 2, 2, 3), narrow = EMPTY(2, 3, 2, 2, 2);
    (void)state;
    assert_fails(pf_frustum_sample(cpu, &y, &flat, &P, 1, 1, 2), PF_ESHAPE, "x is");
    assert_fails(pf_frustum_sample(cpu, &narrow, &x, &P, 1, 1, 2), PF_ESHAPE, "y is");
    assert_fails(pf_frustum_sample(cpu, &y, &x, &x, 1, 1, 2), PF_ESHAPE, "unproj");
    assert_fails(pf_frustum_sample(cpu, &y, &x, &P, 0, 1, 2), PF_EARG, "half edge 0");
    for (int i = 0; i < 24; i++)
        floats(&P)[i] = i % 2 ? 1e30f : NAN;
    assert_ok(pf_frustum_sample(cpu, &y, &x, &P, 1, 1, 2));
    for (int i = 0; i < 72; i++)
        assert_true(floats(&y)[i] == 0);
}

/* V, D, H, W, C, S; about half of the samples outside, one pose wild. */
static void
test_cuda_matches_cpu(void **state)
{
    static const int64_t s[][6] = {{1, 1, 1, 1, 1, 1},      {2, 3, 4, 5, 33, 6},
                                   {3, 9, 5, 7, 8, 4},      {1, 8, 4, 8, 12, 5},
                                   {2, 17, 32, 32, 16, 16}, {1, 12, 8, 8, 64, 32}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int i = 0; i < 6; i++) {
            const int64_t V = s[i][0], D = s[i][1], H = s[i][2], W = s[i][3], C = s[i][4],
                          S = s[i][5];
            pf_tensor t = UNIFORM(2, V, 3, 4);
            for (int64_t k = 0; k < 12 * V; k++)
                floats(&t)[k] *= k % 4 == 0 ? 0.8f / (float)W : k % 4 == 1 ? 0.8f / (float)H : 0.3f;
            if (i == 2)
                for (int k = 0; k < 12; k++)
                    floats(&t)[k] = k % 2 ? 1e30f : NAN;
            struct pair x = PAIR_UNIFORM(1, 1, S, S, S, C), M = pair_of(t, PF_F32),
                        y = PAIR_EMPTY(V, D, H, W, C);
            assert_ok(pf_frustum_sample(cpu, &y.cpu, &x.cpu, &M.cpu, 0.5f, 0.6f, 2.3f));
            assert_ok(pf_frustum_sample(gpu, &y.gpu, &x.gpu, &M.gpu, 0.5f, 0.6f, 2.3f));
            assert_pair(&y, p);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_linear_volume_is_sampled_exactly),
        cmocka_unit_test(test_outside_is_zero_and_fades_in_over_one_voxel),
        cmocka_unit_test(test_channels_are_sampled_alike),
        cmocka_unit_test(test_wrong_shapes_and_wild_poses),
        cmocka_unit_test(test_cuda_matches_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
