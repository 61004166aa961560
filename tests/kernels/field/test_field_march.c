/* The surface of a field: capped by the ball, and on a GPU that of the CPU.  What needs a GPU is
 * skipped where there is none. */
#include "kernels/field/field_march.h"
#include "tests/kernels/field/training.h"
#include "tests/kernels/gpu.h"
#include "tests/kernels/march/meshes.h"

/* Not quite a ball, the same on every device. */
static pf_field *
rough_field(pf_dev *dev, const char *kind)
{
    struct pf_neus_config c = pf_conf.neus;
    pf_field *f;
    c.field = kind;
    c.bound = 0.6;
    c.levels = 6;
    c.log2_table = 12;
    c.base_resolution = 4;
    c.max_resolution = 40;
    c.start_levels = 6;
    c.sdf_width = c.color_width = 48;
    c.feature_dim = 30;
    assert_ok(pf_field_new(&f, dev, &c, 3));
    roughen(f, 0.05f, 0.01f);
    return f;
}

static struct pf_mesh
march_field(pf_dev *dev, const char *kind, bool dense)
{
    pf_field *f = rough_field(dev, kind);
    const struct pf_march_options opt = {.resolution = 57, .bound = 0.6, .dense = dense};
    struct pf_mesh mesh;
    assert_ok(pf_field_march(&mesh, NULL, f, &opt));
    pf_field_free(f);
    return mesh;
}

/* How many of a's vertices are further than tol from all of b's. */
static int
strays(const struct pf_mesh *a, const struct pf_mesh *b, float tol)
{
    int n = 0;
    for (int64_t i = 0; i < a->vertices; i++) {
        const float *p = a->vertex + 3 * i;
        float nearest = INFINITY;
        for (int64_t j = 0; j < b->vertices; j++) {
            const float *q = b->vertex + 3 * j;
            nearest = fminf(nearest, length(p[0] - q[0], p[1] - q[1], p[2] - q[2]));
        }
        n += !(nearest <= tol);
    }
    return n;
}

static void
test_field_is_1_outside_the_ball(void **state)
{
    struct pf_neus_config c = pf_conf.neus;
    struct pf_march_options opt = {.resolution = 24, .bound = 2};
    struct pf_mesh m;
    pf_field *f;
    (void)state;
    c.field = "hash";
    c.log2_table = 10;
    c.init_radius = 1.5;                   /* inside throughout the unit ball */
    c.bound = 2;
    assert_ok(pf_field_new(&f, NULL, &c, 1));
    assert_ok(pf_field_march(&m, NULL, f, &opt));
    assert_true(m.faces > 0);
    assert_int_equal(euler(&m), 2);
    for (int64_t v = 0; v < m.vertices; v++) {
        const float *p = m.vertex + 3 * v;
        assert_true(fabsf(length(p[0], p[1], p[2]) - 1) < 0.2f);        /* a step is 0.17 */
    }
    pf_mesh_release(&m);
    pf_field_free(f);
}

/* Distances differ in their last bits, which moves a vertex or two where the surface only just cuts
 * an edge. */
static void
test_field_on_gpu_has_the_surface_of_the_cpu(void **state)
{
    static const char *const kinds[] = {"hash", "mlp"};
    (void)state;
    need_gpu();
    for (int k = 0; k < 2; k++) {
        struct pf_mesh a = march_field(NULL, kinds[k], false);
        struct pf_mesh b = march_field(gpu, kinds[k], false);
        struct pf_mesh again = march_field(gpu, kinds[k], false);
        struct pf_mesh dense = march_field(gpu, kinds[k], true);
        assert_true(a.faces > 0);
        assert_closed(&b);
        assert_closed(&dense);
        assert_same_mesh(&b, &again);
        assert_true(strays(&b, &a, 1e-4f) <= a.vertices / 300);
        assert_true(strays(&a, &b, 1e-4f) <= a.vertices / 300);
        assert_true(strays(&dense, &b, 1e-4f) <= a.vertices / 300);
        assert_true(fabs(volume(&b) - volume(&a)) < 1e-5 * volume(&a));
        pf_mesh_release(&a);
        pf_mesh_release(&b);
        pf_mesh_release(&again);
        pf_mesh_release(&dense);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_field_is_1_outside_the_ball),
        cmocka_unit_test(test_field_on_gpu_has_the_surface_of_the_cpu),
    };
    return cmocka_run_group_tests_name("field_march", tests, open_gpu, close_gpu);
}
