/* Nearest points, insides and what is made of them: against every point, boxes and spheres. */
// uses: tools/pf-eval/nearest.c tools/pf-eval/solid.c tools/pf-eval/surface.c
// uses: tools/pf-eval/surfaces.c tools/pf-eval/raster.c tools/pf-eval/shape.c
// uses: tools/pf-eval/shape_obj.c tools/pf-eval/shape_glb.c
// uses: tools/pf-eval/shape_npz.c
#include "tests/check.h"

#include "common/camera.h"
#include "kernels/raster/ply.h"
#include "tools/pf-eval/nearest.h"
#include "tools/pf-eval/solid.h"
#include "tools/pf-eval/surface.h"
#include "tools/pf-eval/surfaces.h"

/* ---- nearest ---- */

static double
distance(const float *a, const float *b)
{
    double sum = 0;
    for (int k = 0; k < 3; k++)
        sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sqrt(sum);
}

/* Many points are equal where levels are few. */
static void
check_tree(int n, int levels)
{
    enum { QUERIES = 300 };
    float *const at = malloc(3 * (size_t)n * sizeof *at);
    struct tree *tree;
    assert_non_null(at);
    for (int i = 0; i < 3 * n; i++)
        at[i] = floorf(pf_rng_uniform(1, PF_RNG_TEST, (uint64_t)i) * (float)levels) / (float)levels;
    assert_ok(tree_new(&tree, at, n));
    for (int q = 0; q < QUERIES; q++) {
        float p[3];
        double least = INFINITY;
        int64_t index;
        for (int k = 0; k < 3; k++)
            p[k] = 1.4f * pf_rng_uniform(2, PF_RNG_TEST, (uint64_t)(3 * q + k)) - 0.2f;
        for (int i = 0; i < n; i++)
            least = fmin(least, distance(at + 3 * i, p));
        assert_true(tree_nearest(&index, tree, p) == least);
        assert_true(distance(at + 3 * index, p) == least);
    }
    tree_free(tree);
    free(at);
}

static void
test_the_nearest_is_the_nearest_of_all(void **state)
{
    (void)state;
    for (int n = 1; n <= 40; n++)
        check_tree(n, 1000);
    check_tree(5000, 1 << 20);
    check_tree(5000, 4);
    check_tree(5000, 1);
}

/* ---- meshes ---- */

/* A ball of this radius around (x, 0, 0), radii along z squeezed. */
static void
make_ball(struct pf_mesh *m, double radius, double x, double squeeze)
{
    enum { N = 50 };
    int64_t f = 0;
    assert_ok(pf_mesh_new(m, (N + 1) * 2 * N, 4 * N * N));
    for (int i = 0; i <= N; i++)
        for (int j = 0; j < 2 * N; j++) {
            const double t = PF_PI * i / N, p = PF_PI * j / N;
            float *const v = m->vertex + 3 * (i * 2 * N + j);
            v[0] = (float)(x + radius * sin(t) * cos(p));
            v[1] = (float)(radius * sin(t) * sin(p));
            v[2] = (float)(squeeze * radius * cos(t));
        }
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t j = 0; j < 2 * N; j++) {
            const uint32_t a = i * 2 * N + j, b = i * 2 * N + (j + 1) % (2 * N);
            const uint32_t both[6] = {a, a + 2 * N, b, b, a + 2 * N, b + 2 * N};
            memcpy(m->face + 3 * f, both, sizeof both);
            f += 2;
        }
}

static const struct shape_options usual = {.elevation = PF_PI / 6, .samples = 60000, .seed = 1};

static void
compare_balls(double value[SHAPE_MEASURES], double radius, double x, bool original)
{
    struct shape a = {0}, b = {0};
    struct shape_options how = usual;
    how.original = original;
    make_ball(&a.mesh, 0.4, 0, 1);
    make_ball(&b.mesh, radius, x, 1);
    assert_ok(shapes_compare(value, &a, &b, &how));
    shape_release(&a);
    shape_release(&b);
}

static void
test_a_ball_equals_itself(void **state)
{
    double v[SHAPE_MEASURES];
    (void)state;
    compare_balls(v, 0.4, 0, true);
    assert_true(v[CHAMFER] == 0 && v[IOU_COARSE] == 1 && v[F_FINE] == 1);
    assert_true(isnan(v[NORMALS]) && isnan(v[IOU_FINE]) && isnan(v[WHOLE_CHAMFER]));
}

/* Concentric balls: every distance is the difference of the radii. */
static void
test_balls_of_two_sizes(void **state)
{
    double v[SHAPE_MEASURES];
    (void)state;
    compare_balls(v, 0.385, 0, false);
    assert_true(fabs(v[CHAMFER] - 0.0152) < 0.0005);
    assert_true(fabs(v[WHOLE_CHAMFER] - 0.0152) < 0.0005);
    assert_true(v[F_FINE] < 0.02 && v[F_COARSE] > 0.99);
    assert_true(v[NORMALS] > 0.999 && v[WHOLE_NORMALS] > 0.999);
    assert_true(fabs(v[IOU_FINE] - pow(0.385 / 0.4, 3)) < 0.002);
    assert_true(fabs(v[IOU_COARSE] - pow(0.385 / 0.4, 3)) < 0.01);
    compare_balls(v, 0.385, 0, true);
    assert_true(fabs(v[CHAMFER] - 0.0152) < 0.0008);
    assert_true(fabs(v[IOU_COARSE] - pow(0.385 / 0.4, 3)) < 0.01);
}

/* Two balls of the same size, d apart, share 1 - 3/2 s + 1/2 s^3 of their volume, s = d / 2r. */
static void
test_balls_beside_each_other(void **state)
{
    double v[SHAPE_MEASURES];
    const double s = 0.125, common = 1 - 1.5 * s + 0.5 * s * s * s;
    (void)state;
    compare_balls(v, 0.4, 0.1, false);
    assert_true(fabs(v[IOU_FINE] - common / (2 - common)) < 0.002);
    assert_true(v[CHAMFER] > 0.04 && v[CHAMFER] < 0.06);
}

/* A ball inside the ball is seen by no camera, and by the whole surface alone. */
static void
test_what_is_hidden_counts_in_the_whole_alone(void **state)
{
    struct shape a = {0}, b = {0};
    struct pf_mesh inner;
    double v[SHAPE_MEASURES];
    int64_t room;
    (void)state;
    make_ball(&a.mesh, 0.4, 0, 1);
    make_ball(&b.mesh, 0.4, 0, 1);
    make_ball(&inner, 0.3, 0, 1);
    room = b.mesh.vertices;
    b.mesh.vertex = realloc(b.mesh.vertex, (size_t)(room + inner.vertices) * 12);
    assert_non_null(b.mesh.vertex);
    memcpy(b.mesh.vertex + 3 * room, inner.vertex, (size_t)inner.vertices * 12);
    b.mesh.vertices += inner.vertices;
    room = b.mesh.faces;
    for (int64_t f = 0; f < inner.faces; f++) {
        uint32_t corner[3];
        for (int k = 0; k < 3; k++)
            corner[k] = inner.face[3 * f + k] + (uint32_t)a.mesh.vertices;
        assert_ok(pf_mesh_add_polygon(&b.mesh, &room, corner, 3));
    }
    pf_mesh_release(&inner);
    assert_ok(shapes_compare(v, &a, &b, &usual));
    assert_true(v[CHAMFER] < 0.004 && v[F_COARSE] > 0.999);
    assert_true(v[WHOLE_CHAMFER] > 0.01 && v[WHOLE_F_COARSE] < 0.9);
    assert_true(v[IOU_FINE] > 0.999);           // the cavity is closed all around
    shape_release(&a);
    shape_release(&b);
}

static void
test_what_no_camera_sees_is_an_error(void **state)
{
    struct shape a = {0}, b = {0};
    double v[SHAPE_MEASURES];
    (void)state;
    make_ball(&a.mesh, 0.4, 0, 1);
    make_ball(&b.mesh, 0.4, 90, 1);
    b.mesh.faces = 1;                           // around the pole: no area
    assert_fails(shapes_compare(v, &a, &b, &usual), PF_EFORMAT, "no area");
    shape_release(&a);
    shape_release(&b);
}

/* ---- insides ---- */

static void
test_insides_are_the_ball_along_every_axis(void **state)
{
    enum { N = 48 };
    struct pf_mesh m;
    uint8_t *in;
    (void)state;
    make_ball(&m, 0.5, 0.1, 0.6);
    for (int axis = 0; axis < 3; axis++) {
        const struct grid g = {N, 0.8, axis ? 0.5 : 0, axis};
        int wrong = 0;
        assert_ok(solid_of_mesh(&in, &m, &g));
        for (int i = 0; i < N * N * N; i++) {
            double r = 0;
            const int at[3] = {i / N / N, i / N % N, i % N};
            for (int k = 0; k < 3; k++) {
                const double x = -0.8 + 1.6 * (at[k] + g.offset) / N - (k == 0) * 0.1;
                r += x * x / (k == 2 ? 0.36 : 1);
            }
            if (fabs(sqrt(r) - 0.5) > 0.004)
                wrong += in[i] != (r < 0.25);
        }
        assert_int_equal(wrong, 0);
        free(in);
    }
    pf_mesh_release(&m);
}

/* A cup of 5^3 cells, open along z: a slice is closed, the whole is not; and a closed box. */
static void
test_filling_closes_slices_or_cavities(void **state)
{
    uint8_t cup[125] = {0}, box[125], slices[125];
    (void)state;
    for (int i = 0; i < 125; i++) {
        const int x = i / 25 - 2, y = i / 5 % 5 - 2, z = i % 5 - 2;
        cup[i] = abs(x) <= 1 && abs(y) <= 1 && abs(z) <= 1 && !(x == 0 && y == 0 && z >= 0);
        box[i] = abs(x) <= 1 && abs(y) <= 1 && abs(z) <= 1 && i != 62;
        slices[i] = cup[i];
    }
    assert_ok(solid_fill(slices, 5, true));
    assert_int_equal(slices[62] + slices[63], 2);
    assert_ok(solid_fill(cup, 5, false));
    assert_int_equal(cup[62] + cup[63], 0);
    assert_ok(solid_fill(box, 5, false));
    assert_true(solid_iou(box, slices, 5) == 1);
    assert_true(fabs(solid_iou(box, cup, 5) - 25.0 / 27) < 1e-9);
}

/* ---- points ---- */

static void
test_thinning_takes_the_mean_of_a_cell(void **state)
{
    float at[] = {0, 0, 0, 0.004f, 0, 0, 0.0051f, 0, 0, 0, 0.02f, 0};
    float normal[] = {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, -1};
    struct points p;
    (void)state;
    assert_ok(points_new(&p, 4, true));
    memcpy(p.at, at, sizeof at);
    memcpy(p.normal, normal, sizeof normal);
    assert_ok(surface_thin(&p, 0.01));
    assert_int_equal(p.n, 3);
    assert_near(p.at, ((float[]){0.002f, 0, 0, 0.0051f, 0, 0, 0, 0.02f, 0}), 9, 1e-7);
    assert_near(p.normal, ((float[]){0.70710678f, 0, 0.70710678f, 0, 1, 0, 0, 0, -1}), 9, 1e-6);
    points_release(&p);
}

/* A square of area 3 and one of 1: samples come in that proportion, and none twice. */
static void
test_samples_follow_the_area(void **state)
{
    float v[] = {0, 0, 0, 3, 0, 0, 3, 1, 0, 0, 1, 0, 5, 0, 0, 6, 0, 0, 6, 1, 0, 5, 1, 0};
    uint32_t f[] = {0, 1, 2, 0, 2, 3, 4, 5, 6, 4, 6, 7};
    const struct pf_mesh m = {8, 4, v, f, NULL, NULL};
    struct points p;
    double mean[2] = {0};
    int right = 0;
    (void)state;
    assert_ok(surface_sample(&p, &m, 10000, 7));
    for (int64_t i = 0; i < p.n; i++) {
        right += p.at[3 * i] >= 5;
        for (int k = 0; k < 2; k++)
            mean[k] += p.at[3 * i + k] / 10000;
        assert_near(p.normal + 3 * i, ((float[]){0, 0, 1}), 3, 1e-6);
    }
    assert_in_range(right, 2499, 2501);
    assert_true(fabs(mean[0] - (0.75 * 1.5 + 0.25 * 5.5)) < 0.02 && fabs(mean[1] - 0.5) < 0.01);
    points_release(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_nearest_is_the_nearest_of_all),
        cmocka_unit_test(test_a_ball_equals_itself),
        cmocka_unit_test(test_balls_of_two_sizes),
        cmocka_unit_test(test_balls_beside_each_other),
        cmocka_unit_test(test_what_is_hidden_counts_in_the_whole_alone),
        cmocka_unit_test(test_what_no_camera_sees_is_an_error),
        cmocka_unit_test(test_insides_are_the_ball_along_every_axis),
        cmocka_unit_test(test_filling_closes_slices_or_cavities),
        cmocka_unit_test(test_thinning_takes_the_mean_of_a_cell),
        cmocka_unit_test(test_samples_follow_the_area),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
