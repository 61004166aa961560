/* Marching cubes: closed, welded, outward, in order, and the sparse walk finds what the dense grid
 * finds; on a GPU the same.  What needs a GPU is skipped where there is none. */
#include "kernels/march/march.h"
#include "tests/kernels/gpu.h"
#include "tests/kernels/march/meshes.h"

/* ---- distances ---- */

struct shape {
    float (*distance)(const float *x);
    float scale;                /* length of the gradient */
};

static pf_err
sample(void *ctx, float *out, const float *x, int64_t n)
{
    const struct shape *shape = ctx;
    for (int64_t i = 0; i < n; i++)
        out[i] = shape->scale * shape->distance(x + 3 * i);
    return PF_OK;
}

/* The same numbers on a GPU: by way of the host. */
static pf_err
sample_on_gpu(void *ctx, float *out, const float *x, int64_t n)
{
    float *host = malloc((size_t)n * 4 * sizeof *host);
    const int64_t n3 = 3 * n;
    pf_tensor to = pf_tensor_view(out, PF_F32, 1, &n);
    pf_tensor from = pf_tensor_view((void *)x, PF_F32, 1, &n3);
    pf_tensor value = pf_tensor_view(host, PF_F32, 1, &n);
    pf_tensor point = pf_tensor_view(host + n, PF_F32, 1, &n3);
    pf_err err = pf_dev_get(gpu, &point, &from);
    if (!err)
        err = sample(ctx, host, host + n, n);
    if (!err)
        err = pf_dev_put(gpu, &to, &value);
    if (!err)
        err = pf_dev_sync(gpu);                 /* host is read until then */
    free(host);
    return err;
}

static float
sphere(const float *x)
{
    return length(x[0] - 0.03f, x[1] + 0.02f, x[2]) - 0.41f;
}

static float
torus(const float *x)
{
    return length(length(x[0], x[1], 0) - 0.35f, x[2], 0) - 0.11f;
}

static float
two_balls(const float *x)       /* a big and a small one, apart */
{
    return fminf(length(x[0] + 0.2f, x[1], x[2]) - 0.25f, length(x[0] - 0.45f, x[1], x[2]) - 0.04f);
}

static float
gyroid(const float *x)          /* cut by the cube on all sides */
{
    const float k = 14;
    return (sinf(k * x[0]) * cosf(k * x[1]) + sinf(k * x[1]) * cosf(k * x[2]) +
            sinf(k * x[2]) * cosf(k * x[0])) / (1.5f * k);
}

static float
slab(const float *x)            /* zero exactly on a layer of points of an odd grid */
{
    return fabsf(x[2]) - 0.3f;
}

static float
noise(const float *x)           /* nothing to do with a distance: every case of every cell */
{
    uint32_t key[3];
    memcpy(key, x, sizeof key);
    const uint64_t i =
        (uint64_t)key[0] * 2654435761u ^ (uint64_t)key[1] << 17 ^ (uint64_t)key[2] << 31;
    const float v = 2 * pf_rng_uniform(9, PF_RNG_TEST, i) - 1;
    return fabsf(v) < 0.05f ? 0 : v;            // some exact zeros among them
}

static float
nothing(const float *x)
{
    (void)x;
    return 1;
}

static float
hole(const float *x)
{
    return x[0] > 0.5f && x[1] > 0.5f ? NAN : 1;
}

/* ---- meshes ---- */

static struct pf_mesh
march(float (*distance)(const float *), float scale, int resolution, bool dense,
      struct pf_march_stats *stats)
{
    struct shape shape = {distance, scale};
    const struct pf_march_options opt = {.resolution = resolution, .bound = 0.6, .dense = dense};
    struct pf_mesh mesh;
    assert_ok(pf_march(&mesh, stats, sample, &shape, &opt));
    return mesh;
}

static pf_err
on_gpu(struct pf_mesh *mesh, struct pf_march_stats *stats, struct shape *shape,
       const struct pf_march_options *opt)
{
    return PF_CUDA ? pf_march_cuda(mesh, stats, gpu, sample_on_gpu, shape, opt) : PF_EDEV;
}

static struct pf_mesh
march_on_gpu(float (*distance)(const float *), float scale, int resolution, bool dense,
             struct pf_march_stats *stats)
{
    struct shape shape = {distance, scale};
    const struct pf_march_options opt = {.resolution = resolution, .bound = 0.6, .dense = dense};
    struct pf_mesh mesh;
    assert_ok(on_gpu(&mesh, stats, &shape, &opt));
    return mesh;
}

static void
test_sphere_is_round_closed_and_faces_outward(void **state)
{
    struct pf_mesh m = march(sphere, 1, 65, false, NULL);
    const double h = 1.2 / 64, expected = 4.0 / 3 * 3.14159265 * 0.41 * 0.41 * 0.41;
    (void)state;
    assert_int_equal(euler(&m), 2);
    for (int64_t v = 0; v < m.vertices; v++)
        assert_true(fabsf(sphere(m.vertex + 3 * v)) < h * h);   // linear interpolation
    assert_true(fabs(volume(&m) / expected - 1) < 0.01);
    pf_mesh_release(&m);
}

static void
test_torus_has_a_hole(void **state)
{
    struct pf_mesh m = march(torus, 1, 50, false, NULL);
    (void)state;
    assert_int_equal(euler(&m), 0);
    assert_true(volume(&m) > 0);
    pf_mesh_release(&m);
}

/* Where point i is in a grid of R points a side, if the points of whole bricks of 8 are counted,
 * one brick after the other. */
static void
point_in_order(int p[3], int i, int R)
{
    const int side = (R + 7) / 8, brick = i / 512, c = i % 512;
    p[0] = brick % side * 8 + c % 8;
    p[1] = brick / side % side * 8 + c / 8 % 8;
    p[2] = brick / side / side * 8 + c / 64;
}

/* One vertex for each edge of the grid whose ends differ, by brick, point and axis. */
static void
test_vertices_are_the_cut_edges_in_order(void **state)
{
    enum { R = 28, SIDE = (R + 7) / 8 };
    struct pf_mesh m = march(torus, 1, R, false, NULL);
    const double h = 1.2 / (R - 1);
    int64_t cut = 0;
    (void)state;
    for (int i = 0; i < SIDE * SIDE * SIDE * 512; i++)
        for (int axis = 0; axis < 3; axis++) {
            float a[3], b[3];
            int p[3];
            point_in_order(p, i, R);
            for (int k = 0; k < 3; k++) {
                a[k] = (float)(p[k] * h - 0.6);
                b[k] = (float)((p[k] + (k == axis)) * h - 0.6);
            }
            if (p[0] >= R || p[1] >= R || p[2] >= R || p[axis] == R - 1 ||
                (torus(a) <= 0) == (torus(b) <= 0))
                continue;
            assert_true(cut < m.vertices);
            const float t = torus(a) / (torus(a) - torus(b));
            for (int k = 0; k < 3; k++)
                assert_near(&m.vertex[3 * cut + k], &(float){a[k] + t * (b[k] - a[k])}, 1, 1e-6);
            cut++;
        }
    assert_int_equal(m.vertices, cut);
    pf_mesh_release(&m);
}

/* Faces are sorted by brick and cell. */
static void
test_faces_are_in_order(void **state)
{
    enum { R = 28, SIDE = (R + 7) / 8 };
    struct pf_mesh m = march(torus, 1, R, false, NULL);
    int64_t before = 0;
    (void)state;
    for (int64_t f = 0; f < m.faces; f++) {
        int64_t brick = 0, cell = 0;
        for (int k = 2; k >= 0; k--) {
            double middle = 0;                  /* the face's, which is inside its cell */
            for (int i = 0; i < 3; i++)
                middle += m.vertex[3 * (int64_t)m.face[3 * f + i] + k] / 3;
            const int p = (int)((middle + 0.6) / (1.2 / (R - 1)));
            brick = SIDE * brick + p / 8;
            cell = 8 * cell + p % 8;
        }
        assert_true(512 * brick + cell >= before);
        before = 512 * brick + cell;
    }
    pf_mesh_release(&m);
}

/* Random signs have all 256 cases, all ambiguous faces and exact zeros. */
static void
test_any_numbers_give_a_closed_mesh(void **state)
{
    (void)state;
    for (int resolution = 3; resolution < 40; resolution += 9) {
        struct pf_mesh m = march(noise, 1, resolution, true, NULL);
        assert_true(m.faces > 0);
        assert_closed(&m);
        pf_mesh_release(&m);
    }
}

static void
test_surface_is_capped_where_the_cube_cuts_it(void **state)
{
    struct pf_mesh m = march(gyroid, 1, 48, false, NULL), layer = march(slab, 1, 41, false, NULL);
    (void)state;
    assert_closed(&m);
    assert_int_equal(euler(&layer), 2);
    assert_true(fabs(volume(&layer) - 1.2 * 1.2 * 0.6) < 0.02);
    pf_mesh_release(&m);
    pf_mesh_release(&layer);
}

/* Same bytes as the dense grid, with a small part of its evaluations; sizes that are and are not
 * multiples of the blocks. */
static void
test_sparse_is_dense(void **state)
{
    static float (*const fields[])(const float *) = {sphere, torus, two_balls, gyroid, slab};
    static const int resolutions[] = {2, 3, 17, 33, 64, 71};
    (void)state;
    for (int f = 0; f < 5; f++)
        for (int r = 0; r < 6; r++) {
            struct pf_march_stats sparse_stats, dense_stats;
            const int R = resolutions[r];
            struct pf_mesh sparse = march(fields[f], 1, R, false, &sparse_stats);
            struct pf_mesh dense = march(fields[f], 1, R, true, &dense_stats);
            assert_same_mesh(&sparse, &dense);
            assert_int_equal(dense_stats.evaluations, (int64_t)R * R * R);
            assert_int_equal(sparse_stats.cells, dense_stats.cells);
            if (R == 71 && fields[f] == torus)
                assert_true(sparse_stats.evaluations < dense_stats.evaluations / 2);
            pf_mesh_release(&sparse);
            pf_mesh_release(&dense);
        }
}

/* A field ten times as steep as the octree allows: blocks are missed, but the surface is followed
 * from those that are not. */
static void
test_steep_field_is_found_by_following_the_surface(void **state)
{
    struct pf_mesh sparse = march(torus, 40, 71, false, NULL);
    struct pf_mesh dense = march(torus, 40, 71, true, NULL);
    (void)state;
    assert_same_mesh(&sparse, &dense);
    pf_mesh_release(&sparse);
    pf_mesh_release(&dense);
}

static void
test_no_surface_is_an_empty_mesh(void **state)
{
    struct pf_mesh m = march(nothing, 1, 32, false, NULL);
    (void)state;
    assert_int_equal(m.vertices, 0);
    assert_int_equal(m.faces, 0);
    pf_mesh_release(&m);
}

static void
test_wrong_input_is_refused(void **state)
{
    struct shape shape = {hole, 1};
    struct pf_march_options opt = {.resolution = 32, .bound = 0.6};
    struct pf_mesh m;
    (void)state;
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_EFORMAT, "is not a number");
    shape.distance = sphere;
    opt.resolution = 1;
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_EARG, "2 to 2048");
    opt.resolution = 2049;
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_EARG, "2 to 2048");
    opt = (struct pf_march_options){.resolution = 8, .bound = 0};
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_EARG, "empty");
}

/* ---- on a GPU ---- */

/* Sizes around those of bricks and, dense, of more bricks than are evaluated together. */
static void
test_gpu_gives_the_same_bytes(void **state)
{
    static const struct {
        float (*distance)(const float *);
        float scale;
        int resolution;
    } cases[] = {
        {sphere, 1, 2},  {sphere, 1, 65},  {torus, 1, 33},  {torus, 40, 71}, {two_balls, 1, 64},
        {gyroid, 1, 17}, {gyroid, 1, 72},  {slab, 1, 3},    {slab, 1, 41},   {noise, 1, 9},
        {noise, 1, 30},  {nothing, 1, 20}, {torus, 1, 210},
    };
    (void)state;
    need_gpu();
    for (int i = 0; i < 13; i++)
        for (int dense = 0; dense < 2; dense++) {
            struct pf_march_stats a_stats = {0}, b_stats = {0};
            struct pf_mesh a =
                march(cases[i].distance, cases[i].scale, cases[i].resolution, dense, &a_stats);
            struct pf_mesh b = march_on_gpu(cases[i].distance, cases[i].scale, cases[i].resolution,
                                            dense, &b_stats);
            assert_same_mesh(&b, &a);
            assert_int_equal(b_stats.evaluations, a_stats.evaluations);
            assert_int_equal(b_stats.cells, a_stats.cells);
            pf_mesh_release(&a);
            pf_mesh_release(&b);
        }
}

static void
test_gpu_refuses_what_the_cpu_refuses(void **state)
{
    struct shape shape = {hole, 1};
    struct pf_march_options opt = {.resolution = 32, .bound = 0.6};
    struct pf_mesh m;
    (void)state;
    need_gpu();
    assert_fails(on_gpu(&m, NULL, &shape, &opt), PF_EFORMAT, "is not a number");
    opt.resolution = 1;
    assert_fails(on_gpu(&m, NULL, &shape, &opt), PF_EARG, "2 to 2048");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sphere_is_round_closed_and_faces_outward),
        cmocka_unit_test(test_torus_has_a_hole),
        cmocka_unit_test(test_vertices_are_the_cut_edges_in_order),
        cmocka_unit_test(test_faces_are_in_order),
        cmocka_unit_test(test_any_numbers_give_a_closed_mesh),
        cmocka_unit_test(test_surface_is_capped_where_the_cube_cuts_it),
        cmocka_unit_test(test_sparse_is_dense),
        cmocka_unit_test(test_steep_field_is_found_by_following_the_surface),
        cmocka_unit_test(test_no_surface_is_an_empty_mesh),
        cmocka_unit_test(test_wrong_input_is_refused),
        cmocka_unit_test(test_gpu_gives_the_same_bytes),
        cmocka_unit_test(test_gpu_refuses_what_the_cpu_refuses),
    };
    return cmocka_run_group_tests_name("march", tests, open_gpu, close_gpu);
}
