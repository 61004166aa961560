/* Gradients become normals: unit, outward, whatever the gradients are. */
// uses: tools/pf-extract-mesh/normals.c
#include "tests/check.h"

#include "kernels/march/march.h"
#include "tools/pf-extract-mesh/normals.h"

#define RADIUS 0.4f

static pf_err
sphere(void *ctx, float *out, const float *x, int64_t n)
{
    (void)ctx;
    for (int64_t i = 0; i < n; i++)
        out[i] =
            sqrtf(x[3 * i] * x[3 * i] + x[3 * i + 1] * x[3 * i + 1] + x[3 * i + 2] * x[3 * i + 2]) -
            RADIUS;
    return PF_OK;
}

/* A sphere's mesh whose gradients are factor(v) times the direction from the centre. */
static struct pf_mesh
sphere_mesh(float (*factor)(int64_t v))
{
    const struct pf_march_options options = {.resolution = 24, .bound = 0.6};
    struct pf_mesh m;
    assert_ok(pf_march(&m, NULL, sphere, NULL, &options));
    assert_true(m.vertices > 500);
    m.normal = malloc((size_t)m.vertices * 3 * sizeof *m.normal);
    for (int64_t i = 0; i < 3 * m.vertices; i++)
        m.normal[i] = factor(i / 3) * m.vertex[i] / RADIUS;
    return m;
}

/* The smallest cosine between a normal and the direction from the centre; all are unit. */
static double
outward(const struct pf_mesh *m)
{
    double least = 1;
    for (int64_t v = 0; v < m->vertices; v++) {
        const float *n = m->normal + 3 * v, *p = m->vertex + 3 * v;
        double nn = 0, np = 0, pp = 0;
        for (int k = 0; k < 3; k++) {
            nn += (double)n[k] * n[k];
            np += (double)n[k] * p[k];
            pp += (double)p[k] * p[k];
        }
        assert_true(fabs(nn - 1) < 1e-6);
        least = fmin(least, np / sqrt(pp));
    }
    return least;
}

static float
slope(int64_t v)
{
    return 0.5f + (float)(v % 4);
}

static void
test_gradients_are_normals_but_for_their_length(void **state)
{
    struct pf_mesh m = sphere_mesh(slope);
    (void)state;
    assert_ok(pf_mesh_set_normals(&m));
    assert_true(outward(&m) > 1 - 1e-6);
    pf_mesh_release(&m);
}

/* Nothing, inward, not a number, infinite. */
static float
bad(int64_t v)
{
    static const float factor[] = {0, -1, NAN, INFINITY, 1};
    return factor[v % 5];
}

static void
test_bad_gradients_give_way_to_the_faces(void **state)
{
    struct pf_mesh m = sphere_mesh(bad);
    (void)state;
    assert_ok(pf_mesh_set_normals(&m));
    assert_true(outward(&m) > 0.97);
    pf_mesh_release(&m);
}

static void
test_vertex_without_area_has_a_unit_normal(void **state)
{
    float vertex[9] = {0}, normal[9] = {0};
    uint32_t face[3] = {0, 1, 2};
    struct pf_mesh m = {
        .vertices = 3, .faces = 1, .vertex = vertex, .face = face, .normal = normal};
    (void)state;
    assert_ok(pf_mesh_set_normals(&m));
    assert_near(normal + 6, ((float[]){0, 0, 1}), 3, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_are_normals_but_for_their_length),
        cmocka_unit_test(test_bad_gradients_give_way_to_the_faces),
        cmocka_unit_test(test_vertex_without_area_has_a_unit_normal),
    };
    return cmocka_run_group_tests_name("normals", tests, NULL, NULL);
}
