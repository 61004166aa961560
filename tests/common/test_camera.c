/* Cameras, Pluecker maps and epipolar masks against spec 01's test vectors and the golden folder. */
#include "tests/check.h"

#include <unistd.h>
#include <zlib.h>

#include "common/camera.h"
#include "common/checkpoint.h"

enum { N = 32, TOKENS = N * N, SIDE = 2 * TOKENS, WORDS = SIDE / 32 };

static uint32_t mask[SIDE * WORDS];

static double
rad(double deg)
{
    return (float)(deg * PF_PI / 180);          // the original's angles are float32
}

static bool
bit(const uint32_t *bits, int64_t words, int64_t p, int64_t q)
{
    return bits[p * words + q / 32] >> (q % 32) & 1;
}

static int
row_count(int p, int first)
{
    int count = 0;
    for (int q = first; q < first + TOKENS; q++)
        count += bit(mask, WORDS, p, q);
    return count;
}

static int
block_count(int first_row, int first_column)
{
    int count = 0;
    for (int p = first_row; p < first_row + TOKENS; p++)
        count += row_count(p, first_column);
    return count;
}

/* The CRC of spec 01, 8: bits packed from the least significant, which is how words lie in memory
 * on a little-endian machine. */
static uint32_t
block_crc(int first_row, int first_column)
{
    uint8_t bytes[TOKENS / 8];
    uLong crc = crc32(0, NULL, 0);
    for (int p = first_row; p < first_row + TOKENS; p++) {
        memset(bytes, 0, sizeof bytes);
        for (int q = 0; q < TOKENS; q++)
            bytes[q / 8] |= (uint8_t)(bit(mask, WORDS, p, first_column + q) << (q % 8));
        crc = crc32(crc, bytes, sizeof bytes);
    }
    return (uint32_t)crc;
}

static void
make_pair(struct pf_spad_camera *target, struct pf_spad_camera *input, double elevation,
          double azimuth, double elevation_input)
{
    pf_spad_camera(target, rad(elevation), rad(azimuth));
    pf_spad_camera(input, rad(elevation_input), 0);
}

/* View 0 at elevation 0 stands on the x axis and looks along -x, its right hand towards +y. */
static void
test_pose_of_the_first_view(void **state)
{
    static const double expected[12] = {0, 1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 1.5};
    double pose[12];
    (void)state;
    pf_camera_pose(pose, 0, 0);
    for (int i = 0; i < 12; i++)
        assert_true(fabs(pose[i] - expected[i]) < 1e-15);
}

/* Every pose is a rotation that puts the origin 1.5 ahead, and the ray through the principal point
 * starts at the camera and passes through the origin. */
static void
test_cameras_look_at_the_origin(void **state)
{
    (void)state;
    for (int k = 0; k < 40; k++) {
        const double elevation = rad(-89 + 178.0 * k / 39), azimuth = 0.7 * k;
        const double center[3] = {1.5 * cos(elevation) * cos(azimuth),
                                  1.5 * cos(elevation) * sin(azimuth), 1.5 * sin(elevation)};
        double P[12], K[9];
        float o[3], d[3];
        pf_camera_pose(P, elevation, azimuth);
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++) {
                const double *u = P + 4 * a, *v = P + 4 * b;
                assert_true(fabs(u[0] * v[0] + u[1] * v[1] + u[2] * v[2] - (a == b)) < 1e-14);
            }
        pf_camera_intrinsics(K, 128);
        pf_camera_ray(o, d, P, K, 64, 64);
        for (int a = 0; a < 3; a++) {
            assert_true(fabs(o[a] - center[a]) < 1e-6);
            assert_true(fabs(o[a] + 1.5 * d[a]) < 1e-6);
        }
    }
}

/* A point of the ray projects back to the ray's pixel. */
static void
test_ray_inverts_projection(void **state)
{
    double P[12], K[9];
    float o[3], d[3];
    (void)state;
    pf_camera_pose(P, rad(35), rad(112.5));
    pf_camera_intrinsics(K, 256);
    assert_true(K[0] == 280 && K[4] == 280 && K[2] == 128 && K[5] == 128);
    for (int k = 0; k < 50; k++) {
        const double j = 5.1 * k, i = 255 - 3.3 * k;
        double c[3];
        pf_camera_ray(o, d, P, K, j, i);
        assert_true(fabs(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] - 1) < 1e-6);
        for (int a = 0; a < 3; a++)
            c[a] = P[4 * a] * (o[0] + 2 * d[0]) + P[4 * a + 1] * (o[1] + 2 * d[1]) +
                   P[4 * a + 2] * (o[2] + 2 * d[2]) + P[4 * a + 3];
        assert_true(fabs(K[0] * c[0] / c[2] + K[2] - j) < 1e-3);
        assert_true(fabs(K[4] * c[1] / c[2] + K[5] - i) < 1e-3);
    }
}

static void
test_rig_tensors_have_the_streams_shapes(void **state)
{
    pf_tensor pose, K, elevations, azimuths;
    (void)state;
    assert_ok(pf_rig_tensors(&pose, &K, &elevations, &azimuths, 4, rad(30), 512));
    assert_true(pf_tensor_is(&pose, PF_F32, 3, (int64_t[]){4, 3, 4}));
    assert_true(pf_tensor_is(&K, PF_F32, 3, (int64_t[]){4, 3, 3}));
    assert_true(pf_tensor_is(&elevations, PF_F32, 1, (int64_t[]){4}));
    assert_near(azimuths.data, ((float[]){0, 1.5707964f, 3.1415927f, 4.712389f}), 4, 0);
    assert_near((float *)K.data + 27, ((float[]){560, 0, 256, 0, 560, 256, 0, 0, 1}), 9, 0);
    assert_near((float *)elevations.data + 3, ((float[]){0.5235988f}), 1, 0);
    assert_near((float *)pose.data + 12, ((float[]){-1, 0, 0, 0}), 4, 1e-7);    // view 1, right
    pf_tensor_release(&pose);
    pf_tensor_release(&K);
    pf_tensor_release(&elevations);
    pf_tensor_release(&azimuths);
}

static void
test_rig_without_views_is_refused(void **state)
{
    pf_tensor pose;
    (void)state;
    assert_fails(pf_rig_tensors(&pose, NULL, NULL, NULL, 0, 0, 256), PF_ESHAPE, "0 views");
    assert_fails(pf_rig_tensors(&pose, NULL, NULL, NULL, 16, 0, -1), PF_ESHAPE, "-1 px");
}

/* (e_input - e_target, sin, cos, 0) of the azimuth difference; wrapping costs some 2e-7. */
static void
test_viewpoint_embedding(void **state)
{
    float v[4];
    (void)state;
    pf_viewpoint_embed(v, 0.3f, 0.8f, 2.0f, 0.5f);
    assert_near(v, ((float[]){-0.5f, sinf(1.5f), cosf(1.5f), 0}), 4, 5e-7);
    pf_viewpoint_embed(v, 0, 0, 5.0f, 0);
    assert_near(v, ((float[]){0, sinf(5), cosf(5), 0}), 4, 5e-7);
}

/* Spec 01, 8. */
static void
test_plucker_vectors(void **state)
{
    static const struct {
        int input, i, j;
        float v[6];
    } vector[] = {
        {0, 0, 0, {-0.679066f, -0.687526f, -0.257251f, 0.549779f, -0.381645f, -0.431272f}},
        {0, 31, 5, {-0.290928f, -0.406835f, -0.865937f, 0.011485f, 0.638771f, -0.303966f}},
        {1, 10, 20, {-0.479894f, 0.126001f, -0.868231f, -0.177603f, -0.231001f, 0.064642f}},
    };
    struct pf_spad_camera c[2];
    static float map[6 * TOKENS];
    (void)state;
    make_pair(&c[0], &c[1], 50, 22.5, 20);
    for (int k = 0; k < 3; k++) {
        pf_plucker(map, &c[vector[k].input], N);
        for (int a = 0; a < 6; a++)
            assert_near(&map[a * TOKENS + vector[k].i * N + vector[k].j], &vector[k].v[a], 1, 1e-6);
    }
}

/* Elevation 0 is the pole of SPAD's polar angle: the limit from above, where the original has NaN. */
static void
test_plucker_at_elevation_zero_is_the_limit(void **state)
{
    static float at[6 * TOKENS], near[6 * TOKENS];
    struct pf_spad_camera c;
    (void)state;
    pf_spad_camera(&c, 0, 1.1);
    pf_plucker(at, &c, N);
    pf_spad_camera(&c, 2e-6, 1.1);
    pf_plucker(near, &c, N);
    assert_near(at, near, 6 * TOKENS, 1e-5);
}

/* A map of side 8 is the mean of the four texels around each centre. */
static void
test_plucker_shrinks_to_means(void **state)
{
    static float map[6 * TOKENS], small[6 * 64], same[6 * TOKENS];
    (void)state;
    fill_uniform(map, 6 * TOKENS, 3);
    pf_plucker_shrink(small, 8, map, N);
    const float *p = map + 5 * TOKENS + (4 * 7 + 1) * N + 4 * 2 + 1;   // plane 5, row 7, column 2
    assert_near(&small[5 * 64 + 7 * 8 + 2], ((float[]){(p[0] + p[1] + p[N] + p[N + 1]) / 4}), 1, 1e-6);
    pf_plucker_shrink(same, N, map, N);
    assert_near(same, map, 6 * TOKENS, 0);
}

/* Spec 01, 8: both cross blocks of six pairs. */
static void
test_mask_vectors(void **state)
{
    static const struct {
        double elevation, azimuth, input;
        int sum[2];
        uint32_t crc[2];
        int rows[2][3];
    } vector[] = {
        {50, 22.5, 20, {90010, 93183}, {0x2e59176c, 0xc451b6cc}, {{58, 115, 84}, {103, 105, 105}}},
        {30, 90, 20, {91923, 89818}, {0xfdac4613, 0xb26d93eb}, {{116, 113, 114}, {19, 119, 0}}},
        {-20, 45, 10, {90644, 93556}, {0x4094bfbc, 0xa6f42965}, {{14, 114, 32}, {103, 106, 106}}},
        {70, 180, 30, {88532, 88532}, {0x9482f0b0, 0x9482f0b0}, {{6, 101, 91}, {6, 101, 91}}},
        {50, 0, 20, {94897, 94618}, {0x378591a8, 0x76e3936b}, {{12, 97, 82}, {81, 97, 13}}},
        {30, 337.5, -10, {94565, 93646}, {0xe08405bf, 0x76ec31ee}, {{35, 108, 72}, {0, 98, 0}}},
    };
    static const int row[3] = {0, 500, 1023};
    struct pf_spad_camera target, input;
    (void)state;
    for (int k = 0; k < 6; k++) {
        make_pair(&target, &input, vector[k].elevation, vector[k].azimuth, vector[k].input);
        pf_epipolar_mask(mask, &target, &input, N);
        for (int b = 0; b < 2; b++) {
            const int first_row = b * TOKENS, first_column = TOKENS - first_row;
            for (int r = 0; r < 3; r++)
                assert_int_equal(row_count(first_row + row[r], first_column), vector[k].rows[b][r]);
            assert_int_equal(block_count(first_row, first_column), vector[k].sum[b]);
            assert_int_equal(block_crc(first_row, first_column), vector[k].crc[b]);
            assert_int_equal(block_count(first_row, first_row), TOKENS * TOKENS);
        }
    }
}

static void
test_identical_cameras_see_only_themselves(void **state)
{
    struct pf_spad_camera a, b;
    (void)state;
    make_pair(&a, &b, 30, 0, 30);
    pf_epipolar_mask(mask, &a, &b, N);
    assert_int_equal(block_count(0, TOKENS) + block_count(TOKENS, 0), 0);
    assert_int_equal(block_count(0, 0), TOKENS * TOKENS);
}

/* Shrinking is nearest on the flattened index: token (y, x) of side 16 reads pixel
 * (2 y + (x >= 8), 4 x mod 32) of side 32 (spec 01, 7; Q6). */
static void
test_mask_shrinks_on_the_flattened_index(void **state)
{
    static uint32_t half[512 * 16], tiny[32];
    struct pf_spad_camera target, input;
    (void)state;
    make_pair(&target, &input, 50, 22.5, 20);
    pf_epipolar_mask(mask, &target, &input, N);
    pf_epipolar_mask_shrink(half, 16, mask, N);
    for (int p = 0; p < 512; p++)
        for (int q = 0; q < 512; q++) {
            const int y = q % 256 / 16, x = q % 16;
            const int from = q / 256 * TOKENS + (2 * y + (x >= 8)) * N + 4 * x % N;
            assert_int_equal(bit(half, 16, p, q), bit(mask, WORDS, 4 * p, from));
        }
    pf_epipolar_mask_shrink(tiny, 4, mask, N);
    for (int p = 0; p < 32; p++)
        for (int q = 0; q < 32; q++)
            assert_int_equal(bit(tiny, 1, p, q), bit(mask, WORDS, 64 * p, 64 * q));
}

/* Other latent sides scale the lens: any side gives lines through the same part of the picture. */
static void
test_mask_of_another_side_covers_the_same_share(void **state)
{
    static uint32_t small[128 * 4];
    struct pf_spad_camera target, input;
    int count = 0, own = 0;
    (void)state;
    make_pair(&target, &input, 50, 22.5, 20);
    pf_epipolar_mask(small, &target, &input, 8);
    for (int p = 0; p < 64; p++)
        for (int q = 0; q < 64; q++) {
            count += bit(small, 4, p, 64 + q);
            own += bit(small, 4, p, q);
        }
    assert_int_equal(own, 64 * 64);
    assert_true(count > 64 * 64 / 5 && count < 64 * 64 / 2);    // 3 of 8 pixels wide
}

/* ---- golden ---- */

static pf_checkpoint *
golden(const char *name)
{
    const char *folder = getenv("PF_GOLDEN");
    char path[4096];
    pf_checkpoint *w = NULL;
    snprintf(path, sizeof path, "%s/cameras/%s", folder ? folder : "../shared/golden", name);
    if (access(path, R_OK) == 0)
        assert_ok(pf_checkpoint_open(&w, path));
    return w;
}

static pf_tensor
get(pf_checkpoint *w, const char *group, int number, const char *name)
{
    char full[128];
    pf_tensor t;
    snprintf(full, sizeof full, "%s%d.%s", group, number, name);
    if (!pf_checkpoint_get(w, full, &t))
        fail_msg("%s has no %s", pf_checkpoint_path(w), full);
    return t;
}

static void
check_embedding(pf_checkpoint *w, int elevation, const float *azimuth, int input, int input_azimuth)
{
    char name[64];
    float v[4];
    snprintf(name, sizeof name, "viewpoint_embed.in_el%d_az%d", input, input_azimuth);
    const pf_tensor t = get(w, "el", elevation, name);
    for (int n = 0; n < 16; n++) {
        pf_viewpoint_embed(v, (float)rad(input), (float)rad(elevation), azimuth[n],
                           (float)rad(input_azimuth));
        assert_near(v, (float *)t.data + 4 * n, 4, 2e-7);
    }
}

static void
test_golden_rigs(void **state)
{
    static const int elevation[] = {-20, 0, 10, 30, 50, 70};
    pf_checkpoint *w = golden("rigs.safetensors");
    (void)state;
    if (!w)
        skip();
    for (int k = 0; k < 6; k++) {
        const pf_tensor want = get(w, "el", elevation[k], "poses");
        const pf_tensor want_azimuth = get(w, "el", elevation[k], "azimuths");
        const pf_tensor want_elevation = get(w, "el", elevation[k], "elevations");
        float expected[16 * 12];
        pf_tensor pose, K, elevations, azimuths;
        assert_ok(pf_rig_tensors(&pose, &K, &elevations, &azimuths, 16, rad(elevation[k]), 256));
        pf_to_f32(expected, want.data, want.dtype, 16 * 12);
        assert_near(pose.data, expected, 16 * 12, 5e-7);
        assert_near(azimuths.data, want_azimuth.data, 16, 0);
        assert_near(elevations.data, want_elevation.data, 16, 0);
        assert_near(K.data, get(w, "el", elevation[k], "K").data, 9, 0);
        check_embedding(w, elevation[k], azimuths.data, 20, 0);
        check_embedding(w, elevation[k], azimuths.data, -10, 0);
        check_embedding(w, elevation[k], azimuths.data, 30, 45);
        pf_tensor_release(&pose);
        pf_tensor_release(&K);
        pf_tensor_release(&elevations);
        pf_tensor_release(&azimuths);
    }
    pf_checkpoint_close(w);
}

/* Differing bits of columns first..first+TOKENS of one row; golden bits come from the greatest. */
static int
row_difference(const uint8_t *expected, int p, int first)
{
    int count = 0;
    for (int q = first; q < first + TOKENS; q++)
        count += (expected[q / 8] >> (7 - q % 8) & 1) != bit(mask, WORDS, p, q);
    return count;
}

/* Pairs 4 and 5 are identical cameras, pair 8 has elevation 0: there the original's cross blocks
 * (and the input's map of pair 8) are rounding noise, empty or NaN and only the rest is compared. */
static void
test_golden_pairs(void **state)
{
    static float map[6 * TOKENS];
    pf_checkpoint *w = golden("pairs.safetensors");
    (void)state;
    if (!w)
        skip();
    for (int k = 0; k < 9; k++) {
        const bool degenerate = k == 4 || k == 5 || k == 8;
        const float *elevation = get(w, "pair", k, "elevations").data;
        const float *azimuth = get(w, "pair", k, "azimuths").data;
        const float *plucker = get(w, "pair", k, "plucker").data;
        const uint8_t *bits = get(w, "pair", k, "mask_bits").data;
        struct pf_spad_camera c[2];
        for (int v = 0; v < 2; v++) {
            pf_spad_camera(&c[v], elevation[v], azimuth[v]);
            pf_plucker(map, &c[v], N);
            if (k != 8 || v != 1)
                assert_near(map, plucker + v * 6 * TOKENS, 6 * TOKENS, 1e-6);
        }
        pf_epipolar_mask(mask, &c[0], &c[1], N);
        for (int p = 0; p < SIDE; p++)
            for (int first = 0; first < SIDE; first += TOKENS)
                if (!degenerate || first / TOKENS == p / TOKENS)
                    assert_int_equal(row_difference(bits + p * (SIDE / 8), p, first), 0);
    }
    pf_checkpoint_close(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pose_of_the_first_view),
        cmocka_unit_test(test_cameras_look_at_the_origin),
        cmocka_unit_test(test_ray_inverts_projection),
        cmocka_unit_test(test_rig_tensors_have_the_streams_shapes),
        cmocka_unit_test(test_rig_without_views_is_refused),
        cmocka_unit_test(test_viewpoint_embedding),
        cmocka_unit_test(test_plucker_vectors),
        cmocka_unit_test(test_plucker_at_elevation_zero_is_the_limit),
        cmocka_unit_test(test_plucker_shrinks_to_means),
        cmocka_unit_test(test_mask_vectors),
        cmocka_unit_test(test_identical_cameras_see_only_themselves),
        cmocka_unit_test(test_mask_shrinks_on_the_flattened_index),
        cmocka_unit_test(test_mask_of_another_side_covers_the_same_share),
        cmocka_unit_test(test_golden_rigs),
        cmocka_unit_test(test_golden_pairs),
    };
    return cmocka_run_group_tests_name("camera", tests, NULL, NULL);
}
