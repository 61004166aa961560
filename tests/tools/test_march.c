/* Marching cubes: closed, welded, outward, and the sparse walk finds what the dense grid finds. */
// uses: tools/pf-extract-mesh/march.c tools/pf-extract-mesh/march_cases.c tools/pf-extract-mesh/mesh.c
#include "tests/check.h"

#include "tools/pf-extract-mesh/march.h"

static float
length(float x, float y, float z)
{
    return sqrtf(x * x + y * y + z * z);
}

/* ---- fields ---- */

struct shape {
    float (*distance)(const float *x);
    float scale;                /* what the gradient is long */
};

static pf_err
sample(void *ctx, float *out, const float *x, int64_t n)
{
    const struct shape *shape = ctx;
    for (int64_t i = 0; i < n; i++)
        out[i] = shape->scale * shape->distance(x + 3 * i);
    return PF_OK;
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
    const uint64_t i = (uint64_t)key[0] * 2654435761u ^ (uint64_t)key[1] << 17 ^ (uint64_t)key[2] << 31;
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

static int
by_ends(const void *a, const void *b)
{
    return memcmp(a, b, 2 * sizeof(uint32_t));
}

/* Every edge has two triangles, in opposite directions, and no triangle uses a vertex twice.
 * Returns the number of edges. */
static int64_t
assert_closed(const struct pf_mesh *m)
{
    const int64_t n = 3 * m->faces;
    uint32_t(*e)[3] = malloc((size_t)n * sizeof *e);    // low end, high end, direction
    for (int64_t i = 0; i < n; i++) {
        const uint32_t a = m->face[i], b = m->face[i % 3 == 2 ? i - 2 : i + 1];
        assert_true(a != b && a < m->vertices);
        e[i][0] = a < b ? a : b;
        e[i][1] = a < b ? b : a;
        e[i][2] = a < b;
    }
    qsort(e, (size_t)n, sizeof *e, by_ends);
    assert_int_equal(n % 2, 0);
    for (int64_t i = 0; i < n; i += 2) {
        assert_true(by_ends(e[i], e[i + 1]) == 0 && e[i][2] != e[i + 1][2]);
        assert_true(i + 2 == n || by_ends(e[i], e[i + 2]) != 0);
    }
    free(e);
    return n / 2;
}

static int64_t
euler(const struct pf_mesh *m)
{
    return m->vertices - assert_closed(m) + m->faces;
}

static void
assert_same(const struct pf_mesh *a, const struct pf_mesh *b)
{
    assert_int_equal(a->vertices, b->vertices);
    assert_int_equal(a->faces, b->faces);
    assert_memory_equal(a->vertex, b->vertex, (size_t)a->vertices * 12);
    assert_memory_equal(a->face, b->face, (size_t)a->faces * 12);
}

/* Signed: positive if the faces look outward. */
static double
volume(const struct pf_mesh *m)
{
    double sum = 0;
    for (int64_t f = 0; f < m->faces; f++) {
        const float *a = m->vertex + 3 * (int64_t)m->face[3 * f];
        const float *b = m->vertex + 3 * (int64_t)m->face[3 * f + 1];
        const float *c = m->vertex + 3 * (int64_t)m->face[3 * f + 2];
        sum += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) +
               a[2] * (b[0] * c[1] - b[1] * c[0]);
    }
    return sum / 6;
}

/* ---- tests ---- */

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

/* One vertex for each edge of the grid whose ends differ. */
static void
test_vertices_are_the_cut_edges(void **state)
{
    enum { R = 24 };
    struct pf_mesh m = march(torus, 1, R, false, NULL);
    int64_t cut = 0;
    (void)state;
    for (int i = 0; i < R * R * R; i++) {
        const int p[3] = {i % R, i / R % R, i / R / R};
        for (int axis = 0; axis < 3; axis++) {
            float a[3], b[3];
            if (p[axis] == R - 1)
                continue;
            for (int k = 0; k < 3; k++) {
                a[k] = (float)(p[k] * (1.2 / (R - 1)) - 0.6);
                b[k] = (float)((p[k] + (k == axis)) * (1.2 / (R - 1)) - 0.6);
            }
            cut += (torus(a) <= 0) != (torus(b) <= 0);
        }
    }
    assert_int_equal(m.vertices, cut);
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
            assert_same(&sparse, &dense);
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
    assert_same(&sparse, &dense);
    pf_mesh_release(&sparse);
    pf_mesh_release(&dense);
}

static void
test_largest_component_alone_is_kept(void **state)
{
    struct pf_mesh m = march(two_balls, 1, 64, false, NULL);
    (void)state;
    assert_int_equal(euler(&m), 4);
    assert_ok(pf_mesh_keep_largest(&m));
    assert_int_equal(euler(&m), 2);
    for (int64_t v = 0; v < m.vertices; v++)
        assert_true(fabsf(length(m.vertex[3 * v] + 0.2f, m.vertex[3 * v + 1], m.vertex[3 * v + 2]) -
                          0.25f) < 1e-3);
    pf_mesh_release(&m);
}

static void
test_no_surface_is_an_empty_mesh(void **state)
{
    struct pf_mesh m = march(nothing, 1, 32, false, NULL);
    (void)state;
    assert_int_equal(m.vertices, 0);
    assert_int_equal(m.faces, 0);
    assert_ok(pf_mesh_keep_largest(&m));
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
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_ESHAPE, "2 to 2048");
    opt.resolution = 2049;
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_ESHAPE, "2 to 2048");
    opt = (struct pf_march_options){.resolution = 8, .bound = 0};
    assert_fails(pf_march(&m, NULL, sample, &shape, &opt), PF_ESHAPE, "empty");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sphere_is_round_closed_and_faces_outward),
        cmocka_unit_test(test_torus_has_a_hole),
        cmocka_unit_test(test_vertices_are_the_cut_edges),
        cmocka_unit_test(test_any_numbers_give_a_closed_mesh),
        cmocka_unit_test(test_surface_is_capped_where_the_cube_cuts_it),
        cmocka_unit_test(test_sparse_is_dense),
        cmocka_unit_test(test_steep_field_is_found_by_following_the_surface),
        cmocka_unit_test(test_largest_component_alone_is_kept),
        cmocka_unit_test(test_no_surface_is_an_empty_mesh),
        cmocka_unit_test(test_wrong_input_is_refused),
    };
    return cmocka_run_group_tests_name("march", tests, NULL, NULL);
}
