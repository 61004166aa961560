/* The occupancy grid: nothing visible is missed, what is empty costs nothing, and the same rays
 * give the same samples. */
#include <omp.h>

#include "common/config.h"
#include "kernels/field/rays/composite.h"
#include "kernels/field/rays/occupancy.h"
#include "tests/check.h"

/* A net whose sdf is that of a ball of radius 0.3 around (0.1, 0, 0). */
static pf_err
ball_sdf(struct pf_net *net, float *sdf, const float *x, int64_t n)
{
    (void)net;
    for (int64_t i = 0; i < n; i++) {
        const float a = x[3 * i] - 0.1f, b = x[3 * i + 1], c = x[3 * i + 2];
        sdf[i] = sqrtf(a * a + b * b + c * c) - 0.3f;
    }
    return PF_OK;
}

static const struct pf_net_ops ball_ops = {.kind = "hash", .sdf = ball_sdf};
static struct pf_net ball = {.ops = &ball_ops, .bound = 0.6};

static struct pf_occupancy *
new_grid(int resolution, int ray_samples)
{
    struct pf_neus_config conf = pf_conf.neus;
    struct pf_occupancy *o;
    conf.occupancy_resolution = resolution;
    conf.ray_samples = ray_samples;
    assert_ok(pf_occupancy_new(&o, &conf));
    return o;
}

/* Rays from all around at a distance of 1.5, aimed at points of the cube. */
static void
make_rays(float *origin, float *dir, int rays)
{
    for (int r = 0; r < rays; r++) {
        float v[6], far = 0, length = 0;
        fill_uniform(v, 6, 500 + (uint64_t)r);
        for (int k = 0; k < 3; k++)
            far += v[k] * v[k];
        for (int k = 0; k < 3; k++) {
            origin[3 * r + k] = v[k] * 1.5f / sqrtf(far);
            dir[3 * r + k] = 0.5f * v[3 + k] - origin[3 * r + k];
            length += dir[3 * r + k] * dir[3 * r + k];
        }
        for (int k = 0; k < 3; k++)
            dir[3 * r + k] /= sqrtf(length);
    }
}

/* How far along the ray the ball begins; NAN where the ray misses it. */
static float
first_hit(const float *o, const float *d)
{
    const float x = o[0] - 0.1f, b = x * d[0] + o[1] * d[1] + o[2] * d[2];
    const float under = b * b - (x * x + o[1] * o[1] + o[2] * o[2] - 0.09f);
    return under > 0 ? -b - sqrtf(under) : NAN;
}

static float
along(const struct pf_samples *s, int64_t i, const float *origin)
{
    float t = 0;
    for (int k = 0; k < 3; k++)
        t += (s->x[3 * i + k] - origin[k]) * s->dir[3 * i + k];
    return t;
}

enum { RAYS = 2000 };
static float origin[3 * RAYS], dir[3 * RAYS];

/* A ray along x through the middle of a grid that knows nothing: the whole cube, evenly. */
static void
test_an_unknown_cube_is_sampled_evenly(void **state)
{
    struct pf_occupancy *o = new_grid(8, 4);
    struct pf_samples s = {0};
    const float from[3] = {-1.5f, 0.05f, 0.05f}, way[3] = {1, 0, 0};
    (void)state;
    assert_ok(pf_occupancy_sample(o, &s, from, way, 1, 20, false, 1, 0));
    assert_int_equal(s.n, 4);
    assert_int_equal(s.slots, 4);
    for (int i = 0; i < 4; i++) {
        assert_near(s.x + 3 * i, ((float[]){-0.45f + 0.3f * (float)i, 0.05f, 0.05f}), 3, 1e-5);
        assert_near(s.dist + i, (&(float){0.3f}), 1, 1e-5);
        assert_near(s.dir + 3 * i, way, 3, 0);
    }
    pf_samples_release(&s);
    pf_occupancy_free(o);
}

/* The surface lies between two samples of its ray, or within a spacing of one, whatever the ray. */
static void
test_no_ray_misses_the_surface(void **state)
{
    static const int resolutions[] = {7, 32, 64};
    static const float sharpness[] = {20, 200, 5000};
    (void)state;
    make_rays(origin, dir, RAYS);
    for (int k = 0; k < 9; k++) {
        struct pf_occupancy *o = new_grid(resolutions[k / 3], 32);
        struct pf_samples s = {0};
        int hits = 0;
        assert_ok(pf_occupancy_update(o, &ball, -1));
        assert_ok(pf_occupancy_sample(o, &s, origin, dir, RAYS, sharpness[k % 3], k % 2, 1, 3));
        for (int r = 0; r < RAYS; r++) {
            const float t = first_hit(origin + 3 * r, dir + 3 * r);
            float nearest = 10, before = 0, spacing = 0;
            if (isnan(t))
                continue;
            hits++;
            for (int64_t i = s.first[r]; i < s.first[r + 1]; i++) {
                const float at = along(&s, i, origin + 3 * r);
                assert_true(at > before);               /* near to far */
                nearest = fminf(nearest, fabsf(at - t));
                before = at;
                spacing = s.dist[i];
            }
            if (!(nearest <= spacing + 1e-4f))
                fail_msg("ray %d: surface %g from the nearest sample, spacing %g", r, nearest,
                         spacing);
        }
        assert_true(hits > RAYS / 4);
        pf_samples_release(&s);
        pf_occupancy_free(o);
    }
}

/* Once the field is sharp, samples keep to a shell around the surface and none lies behind. */
static void
test_empty_space_and_what_lies_behind_cost_nothing(void **state)
{
    struct pf_occupancy *o = new_grid(64, 64);
    struct pf_samples s = {0};
    const float shell = 2 * 0.8661f * 1.25f * 1.2f / 64 + 5.0f / 2000 + 1e-4f;
    (void)state;
    make_rays(origin, dir, RAYS);
    assert_ok(pf_occupancy_update(o, &ball, -1));
    assert_ok(pf_occupancy_sample(o, &s, origin, dir, RAYS, 2000, true, 1, 3));
    for (int r = 0; r < RAYS; r++) {
        const float *p = origin + 3 * r, *d = dir + 3 * r, t = first_hit(p, d);
        const float b = (p[0] - 0.1f) * d[0] + p[1] * d[1] + p[2] * d[2];   /* -b: the closest */
        assert_true(s.first[r + 1] - s.first[r] <= 64);
        for (int64_t i = s.first[r]; i < s.first[r + 1]; i++) {
            float sdf;
            assert_ok(ball_sdf(NULL, &sdf, s.x + 3 * i, 1));
            assert_true(fabsf(sdf) <= shell);
            if (t < -b - 0.2f)                  /* a ray through the middle of the ball */
                assert_true(along(&s, i, p) < -b);
        }
    }
    assert_true(s.n < RAYS * 40);
    pf_samples_release(&s);
    pf_occupancy_free(o);
}

static void
test_rays_that_miss_the_cube_get_no_samples(void **state)
{
    struct pf_occupancy *o = new_grid(16, 8);
    struct pf_samples s = {0};
    const float from[] = {1.5f, 0, 0, 0, 0, -1.5f, 0, 0.7f, 0, 1.5f, 0, 0};
    const float way[] = {0, 1, 0, 0, 0, -1, 1, 0, 0, NAN, 0, 0};
    (void)state;
    assert_ok(pf_occupancy_sample(o, &s, from, way, 4, 50, true, 1, 0));
    assert_int_equal(s.n, 0);
    for (int r = 0; r <= 4; r++)
        assert_int_equal(s.first[r], 0);
    pf_samples_release(&s);
    pf_occupancy_free(o);
}

static void
test_samples_depend_on_seed_and_step_but_not_on_threads(void **state)
{
    struct pf_occupancy *o = new_grid(32, 16);
    struct pf_samples s = {0}, again = {0};
    const int threads = omp_get_max_threads();
    (void)state;
    make_rays(origin, dir, RAYS);
    assert_ok(pf_occupancy_update(o, &ball, 0));
    omp_set_num_threads(1);
    assert_ok(pf_occupancy_sample(o, &s, origin, dir, RAYS, 100, true, 5, 9));
    omp_set_num_threads(4);
    assert_ok(pf_occupancy_sample(o, &again, origin, dir, RAYS, 100, true, 5, 9));
    omp_set_num_threads(threads);
    assert_int_equal(s.n, again.n);
    assert_memory_equal(s.first, again.first, sizeof(*s.first) * (RAYS + 1));
    assert_memory_equal(s.x, again.x, sizeof(float) * 3 * (size_t)s.n);
    assert_memory_equal(s.dist, again.dist, sizeof(float) * (size_t)s.n);
    assert_ok(pf_occupancy_sample(o, &again, origin, dir, RAYS, 100, true, 5, 10));
    assert_memory_not_equal(s.x, again.x, sizeof(float) * 3 * (size_t)s.n);
    pf_samples_release(&s);
    pf_samples_release(&again);
    pf_occupancy_free(o);
}

static void
test_a_saved_grid_samples_as_before(void **state)
{
    struct pf_occupancy *o = new_grid(16, 16), *back = new_grid(16, 16), *other = new_grid(8, 16);
    struct pf_samples s = {0}, again = {0};
    pf_doc doc = {0};
    (void)state;
    make_rays(origin, dir, RAYS);
    assert_ok(pf_occupancy_update(o, &ball, 0));
    assert_ok(pf_occupancy_save(o, &doc));
    assert_ok(pf_occupancy_load(back, &doc));
    assert_ok(pf_occupancy_update(back, &ball, 7));     /* not due: the grid stays */
    assert_ok(pf_occupancy_sample(o, &s, origin, dir, RAYS, 300, true, 5, 9));
    assert_ok(pf_occupancy_sample(back, &again, origin, dir, RAYS, 300, true, 5, 9));
    assert_int_equal(s.n, again.n);
    assert_memory_equal(s.x, again.x, sizeof(float) * 3 * (size_t)s.n);
    assert_fails(pf_occupancy_load(other, &doc), PF_ESHAPE, "train.occupancy.distance");
    pf_doc_release(&doc);
    pf_samples_release(&s);
    pf_samples_release(&again);
    pf_occupancy_free(o);
    pf_occupancy_free(back);
    pf_occupancy_free(other);
}

/* Points near the surface measure its area: that of a ball of radius 0.3, and 4 pi (pi width)^2 / 3
 * for the thickness that it is given. */
static void
test_points_near_the_surface_measure_its_area(void **state)
{
    enum { N = 1 << 16 };
    static float x[3 * N], sdf[N], grad[3 * N], d_sdf[N], d_grad[3 * N];
    const float width = 0.01f;
    const double area = 4 * 3.14159265 * (0.09 + 3.14159265 * 3.14159265 / 3 * 1e-4);
    struct pf_occupancy *o = new_grid(32, 16);
    struct pf_loss_sums sums = {0};
    (void)state;
    assert_ok(pf_occupancy_update(o, &ball, 0));
    const double volume = pf_occupancy_near(o, x, N, 5 * width, 5, 3);
    assert_true(volume > 0 && volume < 0.8);                    /* the cube's is 1.728 */
    assert_ok(ball_sdf(&ball, sdf, x, N));
    for (int i = 0; i < N; i++) {
        grad[3 * i] = 1;
        assert_true(fabsf(sdf[i]) < 0.2f);
    }
    pf_neus_area(&sums, d_sdf, d_grad, sdf, grad, N, volume, width, 1);
    assert_true(fabs(sums.area - area) < 0.02 * area);          /* by chance */
    pf_occupancy_walls(o, x, 100, 5, 3);
    for (int i = 0; i < 100; i++) {
        const float *p = x + 3 * i;
        assert_true(fmaxf(fabsf(p[0]), fmaxf(fabsf(p[1]), fabsf(p[2]))) == 0.6f);
    }
    pf_occupancy_free(o);
}

static void
test_a_grid_that_makes_no_sense_is_refused(void **state)
{
    struct pf_neus_config conf = pf_conf.neus;
    struct pf_occupancy *o;
    (void)state;
    conf.occupancy_resolution = 1000;
    assert_fails(pf_occupancy_new(&o, &conf), PF_EARG, "occupancy_resolution is 1000");
    conf.occupancy_resolution = 8;
    conf.ray_samples = 0;
    assert_fails(pf_occupancy_new(&o, &conf), PF_EARG, "ray_samples is 0");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unknown_cube_is_sampled_evenly),
        cmocka_unit_test(test_no_ray_misses_the_surface),
        cmocka_unit_test(test_empty_space_and_what_lies_behind_cost_nothing),
        cmocka_unit_test(test_rays_that_miss_the_cube_get_no_samples),
        cmocka_unit_test(test_samples_depend_on_seed_and_step_but_not_on_threads),
        cmocka_unit_test(test_a_saved_grid_samples_as_before),
        cmocka_unit_test(test_points_near_the_surface_measure_its_area),
        cmocka_unit_test(test_a_grid_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
