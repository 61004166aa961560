#include <omp.h>

#include "tests/kernels/gpu.h"
#include "tests/kernels/raster/scenes.h"

static pf_dev *cpu;

static void
upright(float p[3], float a, float b)           // across the view of azimuth 0
{
    p[0] = 0.125f;
    p[1] = a;
    p[2] = b;
}

static void
tilted(float p[3], float a, float b)
{
    p[0] = 0.7f * b + 0.2f * a;
    p[1] = 0.9f * a;
    p[2] = 0.6f * b;
}

static void
wide(float p[3], float a, float b)              // beyond the picture and behind the camera
{
    p[0] = 40 * b;
    p[1] = 40 * a;
    p[2] = -0.25f;
}

/* What the ray through (j, i) meets of the plane of the first triangle: its depth. */
static double
plane_depth(const pf_scene *s, const double pose[12], const double K[9], double j, double i)
{
    double n[3], a[3], b[3];
    float o[3], d[3];
    const float *const p = s->position + 3 * s->index[0];
    for (int k = 0; k < 3; k++) {
        a[k] = (double)s->position[3 * s->index[1] + k] - p[k];
        b[k] = (double)s->position[3 * s->index[2] + k] - p[k];
    }
    pf_cross3(n, a, b);
    pf_camera_ray(o, d, pose, K, j, i);
    double up = 0, down = 0, along = 0;
    for (int k = 0; k < 3; k++) {
        up += n[k] * ((double)p[k] - o[k]);
        down += n[k] * d[k];
        along += pose[8 + k] * d[k];
    }
    return up / down * along;
}

static void
test_depth_is_that_of_the_pixels_middle(void **state)
{
    enum { W = 61, H = 47 };
    double pose[12], K[9] = {70, 1.5, 29.25, 0, 66, 23.75, 0, 0, 1};
    void (*const places[])(float *, float, float) = {upright, tilted, wide};
    (void)state;
    pf_camera_pose(pose, 0.35, 0.4);
    for (int k = 0; k < 3; k++) {
        pf_scene s = sheet_new(3, places[k]);
        struct pf_raster_camera c;
        int seen = 0;
        pf_raster_aim(&c, pose, K);
        struct drawn d = draw_scene(cpu, &s, &c, W, H, PF_LIGHT_FLAT);
        for (int i = 0; i < W * H; i++) {
            const double z = plane_depth(&s, pose, K, i % W, i / W);
            if (d.v.depth[i] > 0 && !(fabs(d.v.depth[i] - z) < 1e-6 * z))
                fail_msg("sheet %d, pixel %d: depth %.9g, expected %.9g", k, i,
                         (double)d.v.depth[i], z);
            seen += d.v.depth[i] > 0;
            assert_true((d.v.alpha[i] == 0) <= (d.v.depth[i] == 0));
            if (k == 2)                         // the floor without end, up to its horizon
                assert_true((d.v.depth[i] > 0) == (z > 0 && z < 15) || z > 15);
        }
        assert_in_range(seen, 300, W * H);
        drawn_free(&d);
        pf_scene_release(&s);
    }
}

/* Every place on a sheet of triangles belongs to exactly one of them, also where edges and corners
 * lie exactly on it. */
static void
test_edges_belong_to_one_side(void **state)
{
    enum { N = 8, SIDE = 16 };
    pf_scene s = sheet_new(N, upright);
    double pose[12] = {0, 1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 1.125};     // w = 1 on the sheet
    const double K[9] = {SIDE, 0, SIDE / 2, 0, SIDE, SIDE / 2, 0, 0, 1};
    struct pf_raster_camera c;
    struct pf_raster r = {.index = s.index};
    (void)state;
    pf_raster_aim(&c, pose, K);
    r.vertex = zeroed(s.vertices, sizeof *r.vertex);
    for (int64_t i = 0; i < s.vertices; i++)
        r.vertex[i] = pf_raster_project(&c, s.position + 3 * i);
    assert_true(r.vertex[0].u == 0 && r.vertex[1].u == 2);
    for (int y = 1; y < 4 * SIDE; y++)
        for (int x = 1; x < 4 * SIDE; x++) {
            int owners = 0;
            for (int64_t t = 0; t < s.triangles; t++) {
                struct pf_raster_vertex p[3];
                struct pf_raster_edges e;
                double value[3];
                pf_raster_corners(p, &r, t);
                assert_true(pf_raster_edges_of(&e, p));
                owners += pf_raster_covers(value, &e, x / 4.0, y / 4.0);
            }
            if (owners != 1)
                fail_msg("(%g, %g) has %d triangles", x / 4.0, y / 4.0, owners);
        }
    free(r.vertex);
    pf_scene_release(&s);
}

static void
test_a_closed_surface_has_no_holes(void **state)
{
    enum { SIDE = 96 };
    pf_scene s = ball_new(60, 90);
    const struct pf_raster_camera c = rig_camera(30, 10, SIDE);
    (void)state;
    for (int i = 0; i < 3; i++) {
        s.material[i].cutoff = 0;
        s.material[i].two_sided = 0;
    }
    struct drawn d = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_SOFT);
    int inside = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        const double x = i % SIDE - SIDE / 2, y = i / SIDE - SIDE / 2, R = hypot(x, y);
        if (R < 0.375 / 1.5 * 280 * SIDE / 256) {
            inside++;
            assert_true(d.v.alpha[i] == 1);
            assert_true(d.v.depth[i] > 1 && d.v.depth[i] < 1.5);
            assert_near(&(float){d.v.normal[3 * i] * d.v.normal[3 * i] +
                                 d.v.normal[3 * i + 1] * d.v.normal[3 * i + 1] +
                                 d.v.normal[3 * i + 2] * d.v.normal[3 * i + 2]},
                        &(float){1}, 1, 1e-5);
        }
    }
    assert_in_range(inside, 1500, SIDE * SIDE);
    drawn_free(&d);
    pf_scene_release(&s);
}

/* Alpha counts samples; colours are means of light, put on white as bytes. */
static void
test_a_pixel_is_sixteen_samples(void **state)
{
    enum { SIDE = 16 };
    pf_scene s = sheet_new(1, upright);
    double pose[12] = {0, 1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 1.125};
    const double K[9] = {8.5, 0, 7.5, 0, 8.5, 7.5, 0, 0, 1};    // from 3.25 to 11.75
    struct pf_raster_camera c;
    (void)state;
    s.material->color[0] = 0.5f;                                // linear: 188 of 255
    s.material->color[1] = 0;
    pf_raster_aim(&c, pose, K);
    struct drawn d = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_FLAT);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int x = i % SIDE, y = i / SIDE;
        const int across = x == 3 || x == 12 ? 1 : x > 3 && x < 12 ? 4 : 0;
        const int down = y == 3 || y == 12 ? 1 : y > 3 && y < 12 ? 4 : 0;
        const int n = across * down;
        assert_true(d.v.alpha[i] == (float)n / 16);
        assert_int_equal(d.v.image[3 * i], (188 * n + 255 * (16 - n) + 8) / 16);
        assert_int_equal(d.v.image[3 * i + 1], (255 * (16 - n) + 8) / 16);
        assert_int_equal(d.v.image[3 * i + 2], 255);
        assert_true((d.v.depth[i] > 0) == (x > 3 && x < 12 && y > 3 && y < 12));
    }
    drawn_free(&d);
    pf_scene_release(&s);
}

/* u over the sheet is the colour: what is farther must not be linear on the picture. */
static void
test_textures_are_seen_in_perspective(void **state)
{
    enum { SIDE = 64, N = 256 };
    pf_scene s = sheet_new(1, tilted);
    double pose[12], K[9];
    struct pf_raster_camera c;
    struct pf_srgb srgb;
    int seen = 0;
    (void)state;
    pf_srgb_fill(&srgb);
    s.textures = 1;
    s.material->texture = 0;
    s.material->wrap[0] = s.material->wrap[1] = PF_WRAP_CLAMP;
    *s.texture = (struct pf_texture){N, 1, 0};
    s.texel = zeroed(4 * N, 1);
    for (int i = 0; i < N; i++)
        memset(s.texel + 4 * i, pf_srgb_byte(&srgb, (float)(i + 0.5) / N), 4);
    pf_camera_pose(pose, 0.9, 0.3);
    pf_camera_intrinsics(K, SIDE);
    pf_raster_aim(&c, pose, K);
    struct drawn d = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_FLAT);
    for (int i = 0; i < SIDE * SIDE; i++) {
        float o[3], ray[3];
        if (d.v.alpha[i] < 1)
            continue;
        pf_camera_ray(o, ray, pose, K, i % SIDE, i / SIDE);
        const double along = pose[8] * ray[0] + pose[9] * ray[1] + pose[10] * ray[2];
        const double u = (o[1] + ray[1] * d.v.depth[i] / along) / 0.9 + 0.5;
        assert_near(&(float){(float)u}, &srgb.linear[d.v.image[3 * i]], 1, 0.01);
        seen++;
    }
    assert_in_range(seen, 200, SIDE * SIDE);
    drawn_free(&d);
    pf_scene_release(&s);
}

static void
test_backs_and_holes_are_not_drawn(void **state)
{
    enum { SIDE = 32 };
    pf_scene s = sheet_new(2, upright);
    struct pf_raster_camera front = rig_camera(0, 0, SIDE), back = rig_camera(0, 180, SIDE);
    (void)state;
    s.material->two_sided = 0;
    struct drawn d = draw_scene(cpu, &s, &front, SIDE, SIDE, PF_LIGHT_SOFT);
    assert_true(d.v.alpha[SIDE * SIDE / 2 + SIDE / 2] == 1);
    assert_true(d.v.normal[3 * (SIDE * SIDE / 2 + SIDE / 2)] == 1);
    drawn_free(&d);
    d = draw_scene(cpu, &s, &back, SIDE, SIDE, PF_LIGHT_SOFT);
    for (int i = 0; i < SIDE * SIDE; i++)
        assert_true(d.v.alpha[i] == 0 && d.v.image[3 * i] == 255);
    drawn_free(&d);
    s.material->two_sided = 1;
    d = draw_scene(cpu, &s, &back, SIDE, SIDE, PF_LIGHT_SOFT);
    assert_true(d.v.normal[3 * (SIDE * SIDE / 2 + SIDE / 2)] == -1);
    drawn_free(&d);
    s.material->cutoff = 0.5f;
    for (int64_t i = 0; i < s.vertices; i++)    // transparent to the left
        s.color[4 * i + 3] = s.position[3 * i + 1] < 0 ? 0 : 1;
    d = draw_scene(cpu, &s, &front, SIDE, SIDE, PF_LIGHT_SOFT);
    int left = 0, right = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        left += i % SIDE < SIDE / 2 - 7 && d.v.alpha[i] > 0;
        right += i % SIDE > SIDE / 2 && d.v.alpha[i] == 1;
    }
    assert_true(left == 0 && right > 100);
    drawn_free(&d);
    pf_scene_release(&s);
}

static void
test_the_nearest_is_seen_and_of_two_the_first(void **state)
{
    enum { SIDE = 24 };
    pf_scene s = sheet_new(1, upright);
    const struct pf_raster_camera c = rig_camera(0, 0, SIDE);
    struct pf_material both[2] = {s.material[0], s.material[0]};
    (void)state;
    both[0].color[1] = 0;                       // two more triangles: the same, in another colour
    s.index = realloc(s.index, 12 * sizeof *s.index);
    s.material_of = realloc(s.material_of, 4 * sizeof *s.material_of);
    memcpy(s.index + 6, s.index, 6 * sizeof *s.index);
    s.material_of[2] = s.material_of[3] = 1;
    s.triangles = 4;
    free(s.material);
    s.material = zeroed(2, sizeof *s.material);
    memcpy(s.material, both, sizeof both);
    s.materials = 2;
    struct drawn d = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_FLAT);
    assert_int_equal(d.v.image[3 * (SIDE * SIDE / 2 + SIDE / 2) + 1], 0);
    drawn_free(&d);
    pf_scene_release(&s);
}

static void
test_threads_change_nothing(void **state)
{
    enum { SIDE = 50 };
    pf_scene s = ball_new(20, 30);
    const struct pf_raster_camera c = rig_camera(20, 33, SIDE);
    const int before = omp_get_max_threads();
    (void)state;
    struct drawn a = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_STUDIO);
    omp_set_num_threads(before == 3 ? 2 : 3);
    struct drawn b = draw_scene(cpu, &s, &c, SIDE, SIDE, PF_LIGHT_STUDIO);
    omp_set_num_threads(before);
    assert_same_view(&a, &b);
    drawn_free(&a);
    drawn_free(&b);
    pf_scene_release(&s);
}

static void
test_bytes_are_the_nearest(void **state)
{
    struct pf_srgb t;
    (void)state;
    pf_srgb_fill(&t);
    for (int i = 0; i < 256; i++)
        assert_int_equal(pf_srgb_byte(&t, t.linear[i]), i);
    assert_int_equal(pf_srgb_byte(&t, 1.7f), 255);
    assert_int_equal(pf_srgb_byte(&t, 0.5f), 188);
}

/* One raster, views of several sizes one after the other. */
static void
draw_sizes(pf_dev *dev, struct drawn d[3], const pf_scene *s)
{
    static const int sizes[] = {20, 70, 33};
    pf_raster *r;
    assert_ok(pf_raster_open(&r, dev, s));
    for (int k = 0; k < 3; k++) {
        const struct pf_raster_camera c = rig_camera(15, 77, sizes[k]);
        d[k] = drawn_new(sizes[k], sizes[k]);
        assert_ok(pf_raster_view(r, &d[k].v, &c, PF_LIGHT_SOFT));
    }
    pf_raster_close(r);
}

static void
test_cuda_draws_views_of_several_sizes(void **state)
{
    struct drawn a[3], b[3];
    (void)state;
    need_gpu();
    pf_scene s = ball_new(20, 30);
    draw_sizes(cpu, a, &s);
    draw_sizes(gpu, b, &s);
    for (int k = 0; k < 3; k++) {
        assert_same_view(&a[k], &b[k]);
        drawn_free(&a[k]);
        drawn_free(&b[k]);
    }
    pf_scene_release(&s);
}

/* Not nearly: the same bits. */
static void
test_cuda_gives_the_bits_of_the_cpu(void **state)
{
    static const int sizes[][2] = {{64, 64}, {61, 47}, {256, 256}, {8, 130}};
    (void)state;
    need_gpu();
    for (int k = 0; k < (sanitized() ? 2 : 4); k++)
        for (int light = PF_LIGHT_SOFT; light <= PF_LIGHT_STUDIO; light++) {
            pf_scene s = k == 1 ? sheet_new(40, wide) : ball_new(30 << k, 50 << k);
            const struct pf_raster_camera c = rig_camera(25, 40 * light, sizes[k][0]);
            struct drawn a = draw_scene(cpu, &s, &c, sizes[k][0], sizes[k][1],
                                        (enum pf_light)light);
            struct drawn b = draw_scene(gpu, &s, &c, sizes[k][0], sizes[k][1],
                                        (enum pf_light)light);
            assert_same_view(&a, &b);
            drawn_free(&a);
            drawn_free(&b);
            pf_scene_release(&s);
        }
}

static int
open_both(void **state)
{
    return pf_dev_open(&cpu, "cpu", NULL) || open_gpu(state);
}

static int
close_both(void **state)
{
    pf_dev_close(cpu);
    return close_gpu(state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth_is_that_of_the_pixels_middle),
        cmocka_unit_test(test_edges_belong_to_one_side),
        cmocka_unit_test(test_a_closed_surface_has_no_holes),
        cmocka_unit_test(test_a_pixel_is_sixteen_samples),
        cmocka_unit_test(test_textures_are_seen_in_perspective),
        cmocka_unit_test(test_backs_and_holes_are_not_drawn),
        cmocka_unit_test(test_the_nearest_is_seen_and_of_two_the_first),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_bytes_are_the_nearest),
        cmocka_unit_test(test_cuda_draws_views_of_several_sizes),
        cmocka_unit_test(test_cuda_gives_the_bits_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
