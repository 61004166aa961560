/* A GPU thread's ray, run on the host: bit for bit what occupancy.c and composite.c do with it. */
#include "common/config.h"
#include "kernels/field/rays/occupancy.h"
#include "kernels/field/rays/ray.h"
#include "tests/check.h"

enum { RAYS = 1500, R = 24 };

/* A ball with dents, as a net knows it. */
static pf_err
ball_sdf(struct pf_net *net, float *sdf, const float *x, int64_t n)
{
    (void)net;
    for (int64_t i = 0; i < n; i++) {
        const float *p = x + 3 * i;
        sdf[i] = sqrtf(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) - 0.3f -
                 0.1f * sinf(9 * p[0]) * cosf(7 * p[1]);
    }
    return PF_OK;
}

static const struct pf_net_ops ball_ops = {.kind = "hash", .sdf = ball_sdf};
static struct pf_net ball = {.ops = &ball_ops, .bound = 0.6};

/* Rays from everywhere, some along an axis, some beside the cube. */
static void
make_rays(float *origin, float *dir)
{
    fill_uniform(origin, 3 * RAYS, 1);
    fill_uniform(dir, 3 * RAYS, 2);
    for (int r = 0; r < RAYS; r++) {
        float *o = origin + 3 * r, *d = dir + 3 * r, length = 0;
        for (int k = 0; k < 3; k++) {
            o[k] *= 1.5f;
            d[k] = r % 10 == 0 ? (float)(k == r / 10 % 3) : 0.4f * d[k] - o[k];
            length += d[k] * d[k];
        }
        for (int k = 0; k < 3; k++)
            d[k] /= sqrtf(length);
    }
}

static void
check_samples(float inv_s, bool train)
{
    static float origin[3 * RAYS], dir[3 * RAYS];
    struct pf_neus_config conf = pf_conf.neus;
    struct pf_occupancy *o;
    struct pf_samples s = {0};
    pf_doc doc = {0};
    conf.occupancy_resolution = R;
    conf.ray_samples = 20;
    make_rays(origin, dir);
    assert_ok(pf_occupancy_new(&o, &conf));
    assert_ok(pf_occupancy_update(o, &ball, -1));
    assert_ok(pf_occupancy_sample(o, &s, origin, dir, RAYS, inv_s, train, 5, 9));
    assert_ok(pf_occupancy_save(o, &doc));
    const float *distance = pf_doc_get(&doc, "train.occupancy.distance")->data;
    const struct pf_ray_grid g = pf_ray_grid_of(&conf, distance);
    assert_true(s.n > RAYS);
    for (int r = 0; r < RAYS; r++) {
        struct pf_stretch stretch[PF_MOST_STRETCHES];
        float x[60], d[60], dist[20];
        const float shift =
            train ? pf_rng_uniform(5, PF_RNG_PERTURB, 9 * RAYS + (uint64_t)r) : 0.5f;
        const int n =
            pf_ray_write(x, d, dist, stretch, &g, origin + 3 * r, dir + 3 * r, inv_s, shift);
        assert_int_equal(n, s.first[r + 1] - s.first[r]);
        assert_memory_equal(x, s.x + 3 * s.first[r], (size_t)n * 3 * sizeof(float));
        assert_memory_equal(d, s.dir + 3 * s.first[r], (size_t)n * 3 * sizeof(float));
        assert_memory_equal(dist, s.dist + s.first[r], (size_t)n * sizeof(float));
    }
    pf_samples_release(&s);
    pf_occupancy_free(o);
    pf_doc_release(&doc);
}

static void
test_samples_are_those_of_the_cpu(void **state)
{
    (void)state;
    check_samples(20, false);
    check_samples(300, true);
    check_samples(4000, true);
}

/* Rays of all lengths with made-up distances that fall through a surface, and dropped points. */
static void
test_light_and_losses_are_those_of_the_cpu(void **state)
{
    enum { N = 40, POINTS = N * (N - 1) / 2 };
    static float noise[9 * POINTS], sdf[POINTS], grad[3 * POINTS], rgb[3 * POINTS];
    static float want[7 * POINTS], got[7 * POINTS], alpha[POINTS], left[POINTS];
    float target[3 * N], mask[N], d_color[3 * N], d_mask[N], dc[3], dm;
    struct pf_samples s = {0};
    struct pf_neus_out out = {0};
    struct pf_loss_sums sums = {0}, mine = {0};
    struct pf_loss_weights weights = {
        .lambda_rgb = 0.5, .lambda_mask = 1, .lambda_eikonal = 0.1, .rays = N, .inner = 900};
    double d_inv_s = 0, my_d_inv_s = 0;
    (void)state;
    fill_uniform(noise, 9 * POINTS, 3);
    fill_uniform(target, 3 * N, 4);
    fill_uniform(mask, N, 5);
    assert_ok(pf_samples_reserve(&s, N, POINTS));
    for (int r = 0; r < N; r++) {
        s.first[r] = s.n;
        for (int k = 0; k < r; k++) {
            const int64_t i = s.n++;
            for (int c = 0; c < 3; c++) {
                s.dir[3 * i + c] = (float[]){0.6f, 0, 0.8f}[c];
                grad[3 * i + c] = -s.dir[3 * i + c] + 0.7f * noise[3 * i + c];
                rgb[3 * i + c] = 0.5f + 0.5f * noise[3 * POINTS + 3 * i + c];
            }
            s.dist[i] = 0.05f + 0.02f * noise[6 * POINTS + i];
            s.skipped[i] = k % 5 == 2 ? 3 : 0;
            sdf[i] = 0.2f - 0.02f * (float)k + 0.02f * noise[7 * POINTS + i];
        }
    }
    s.rays = N;
    s.first[N] = s.n;
    assert_int_equal(s.n, POINTS);
    assert_ok(pf_neus_out_reserve(&out, N, POINTS));
    pf_neus_composite_forward(&out, &s, sdf, grad, rgb, 60, 0.4f);
    pf_neus_loss(&sums, d_color, d_mask, &out, target, mask, NULL, N, &weights);
    pf_neus_composite_backward(want, want + POINTS, want + 4 * POINTS, &d_inv_s, &out, &s, sdf,
                               grad, rgb, 60, 0.4f, d_color, d_mask);
    pf_neus_eikonal(&sums, want + POINTS, grad, POINTS, &weights);

    const struct pf_ray_points points = {s.dir, s.dist, sdf, grad, rgb, s.skipped, 60, 0.4f};
    for (int r = 0; r < N; r++) {
        const struct pf_ray_color c =
            pf_ray_blend(&points, alpha, left, s.first[r], s.first[r + 1]);
        assert_memory_equal(c.rgb, out.rgb + 3 * r, sizeof(c.rgb));
        assert_memory_equal(c.normal, out.normal + 3 * r, sizeof(c.normal));
        assert_memory_equal(&c.mask, out.mask + r, sizeof(c.mask));
        pf_ray_loss(&mine, dc, &dm, &c, target + 3 * r, mask[r], &weights);
        assert_memory_equal(dc, d_color + 3 * r, sizeof(dc));
        assert_memory_equal(&dm, d_mask + r, sizeof(dm));
        my_d_inv_s += pf_ray_blend_backward(got, got + POINTS, got + 4 * POINTS, &points, alpha,
                                            left, dc, dm, s.first[r], s.first[r + 1]);
        for (int64_t i = s.first[r]; i < s.first[r + 1]; i++)
            pf_point_eikonal(&mine, got + POINTS + 3 * i, grad + 3 * i, &weights);
    }
    assert_memory_equal(got, want, sizeof(got));
    assert_true(fabs(my_d_inv_s - d_inv_s) <= 1e-12 * fabs(d_inv_s));
    assert_true(mine.rgb == sums.rgb && mine.mask == sums.mask && mine.square == sums.square);
    assert_true(fabs(mine.eikonal - sums.eikonal) <= 1e-12 * sums.eikonal);
    pf_neus_out_release(&out);
    pf_samples_release(&s);
}

/* Losses that ask no ray, and where they are asked. */
static void
test_points_of_the_surface_are_those_of_the_cpu(void **state)
{
    enum { N = 300, WALLS = 40 };
    struct pf_neus_config conf = pf_conf.neus;
    struct pf_occupancy *o;
    struct pf_loss_sums sums = {0}, mine = {0};
    const struct pf_loss_weights weights = {
        .lambda_mask = 1, .lambda_eikonal = 0.1, .rays = 1, .inner = N};
    static float x[3 * N], wall[3 * WALLS], sdf[N], grad[3 * N], want[4 * N], got[4 * N];
    static int32_t near[R * R * R];
    pf_doc doc = {0};
    int64_t cells = 0;
    (void)state;
    conf.occupancy_resolution = R;
    assert_ok(pf_occupancy_new(&o, &conf));
    assert_ok(pf_occupancy_update(o, &ball, -1));
    assert_ok(pf_occupancy_save(o, &doc));
    const float *distance = pf_doc_get(&doc, "train.occupancy.distance")->data;
    const struct pf_ray_grid g = pf_ray_grid_of(&conf, distance);
    const float cell = pf_occupancy_cell(o), reach = 2.5f * cell;
    const float most = PF_GRID_SLACK * 0.8660254f * cell + reach;
    const double volume = pf_occupancy_near(o, x, N, reach, 5, 9);
    pf_occupancy_walls(o, wall, WALLS, 5, 9);
    for (int32_t i = 0; i < R * R * R; i++)
        if (fabsf(distance[i]) < most)
            near[cells++] = i;
    assert_true(fabs((double)cells * cell * cell * cell - volume) < 1e-12);
    for (int p = 0; p < N; p++) {
        float y[3];
        pf_near_point(y, &g, near, cells, 5, 9 * N + (uint64_t)p);
        assert_memory_equal(y, x + 3 * p, sizeof(y));
        if (p < WALLS) {
            pf_wall_point(y, 0.6f, 5, 9 * WALLS + (uint64_t)p);
            assert_memory_equal(y, wall + 3 * p, sizeof(y));
        }
    }
    fill_uniform(sdf, N, 3);
    fill_uniform(grad, 3 * N, 4);
    for (int p = 0; p < N; p++)
        sdf[p] *= 0.1f;
    pf_neus_area(&sums, want, want + N, sdf, grad, N, volume, 0.02f, 0.003);
    for (int p = 0; p < N; p++)
        pf_point_area(&mine, got + p, got + N + 3 * p, sdf[p], grad + 3 * p, volume / N, 0.02f,
                      0.003);
    assert_memory_equal(got, want, sizeof(got));
    pf_neus_outside(&sums, want, sdf, N, 0.02f, &weights);
    for (int p = 0; p < N; p++)
        got[p] = pf_point_outside(&mine, sdf[p], N, 0.02f, &weights);
    assert_memory_equal(got, want, N * sizeof(float));
    assert_true(mine.area == sums.area && mine.mask == sums.mask && sums.area > 0 && sums.mask > 0);
    pf_occupancy_free(o);
    pf_doc_release(&doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_are_those_of_the_cpu),
        cmocka_unit_test(test_light_and_losses_are_those_of_the_cpu),
        cmocka_unit_test(test_points_of_the_surface_are_those_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
