/* An atlas has each face of the mesh once, nothing on top of anything else, seen from outside. */
// uses: tools/pf-extract-mesh/atlas.c tools/pf-extract-mesh/charts.c tools/pf-extract-mesh/pack.c
// uses: tools/pf-extract-mesh/normals.c tools/pf-extract-mesh/simplify.c
#include "tests/kernels/march/meshes.h"

#include "kernels/march/march.h"
#include "tools/pf-extract-mesh/atlas.h"
#include "tools/pf-extract-mesh/normals.h"
#include "tools/pf-extract-mesh/raster.h"
#include "tools/pf-extract-mesh/simplify.h"

/* A bumpy torus and a thin spiral of two turns, like a parking garage, which lies over itself. */
static pf_err
bodies(void *ctx, float *out, const float *x, int64_t n)
{
    (void)ctx;
    for (int64_t i = 0; i < n; i++) {
        const float *p = x + 3 * i, around = atan2f(p[1], p[0]), r = length(p[0], p[1], 0);
        const float bumps = 0.02f * sinf(9 * around) * sinf(40 * p[2]);
        const float torus = length(r - 0.45f, p[2], 0) - 0.1f + bumps;
        float ramp = INFINITY;
        for (int turn = -1; turn <= 1; turn++) {
            const float at = around + 6.2831853f * (float)turn, z = p[2] - 0.04f * at;
            const float far = fmaxf(fabsf(z) - 0.03f, fabsf(r - 0.2f) - 0.08f);
            ramp = fminf(ramp, fmaxf(far, 0.2f * (fabsf(at) - 7)));
        }
        out[i] = fminf(torus, ramp);
    }
    return PF_OK;
}

static struct pf_mesh
marched(int resolution, int64_t faces)
{
    const struct pf_march_options options = {.resolution = resolution, .bound = 0.6};
    struct pf_mesh m;
    assert_ok(pf_march(&m, NULL, bodies, NULL, &options));
    assert_ok(pf_mesh_simplify(&m, faces));
    return m;
}

static void
corners(const float *corner[3], const struct pf_atlas *a, int64_t f)
{
    for (int k = 0; k < 3; k++)
        corner[k] = a->at + 2 * (int64_t)a->face[3 * f + k];
}

/* Every texel is in one face at most, but for few; a face's neighbourhood, as wide as the gutter,
 * has no texel of another chart.  Returns the share of the picture that faces cover. */
static double
assert_apart(const struct pf_atlas *a, const struct pf_mesh *m)
{
    const int n = a->size;
    int32_t *const owner = malloc((size_t)n * (size_t)n * sizeof *owner);
    int64_t weight[3], covered = 0, twice = 0, near = 0;
    const float *corner[3];
    struct pf_raster r;
    memset(owner, 0xff, (size_t)n * (size_t)n * sizeof *owner);
    for (int64_t f = 0; f < m->faces; f++) {
        corners(corner, a, f);
        pf_raster_begin(&r, corner, 0);
        assert_true(r.x0 >= a->gutter - 1 && r.y0 >= a->gutter - 1);
        assert_true(r.x1 <= n - a->gutter + 1 && r.y1 <= n - a->gutter + 1);
        for (int y = r.y0; y < r.y1; y++)
            for (int x = r.x0; x < r.x1; x++)
                if (pf_raster_covers(weight, &r, x, y)) {
                    twice += owner[y * n + x] >= 0;
                    owner[y * n + x] = a->chart[f];
                    covered++;
                }
    }
    for (int64_t f = 0; f < m->faces; f++) {
        corners(corner, a, f);
        for (int k = 0; k < 3; k++)
            for (int y = -a->gutter; y <= a->gutter; y++)
                for (int x = -a->gutter; x <= a->gutter; x++) {
                    const int at = ((int)corner[k][1] + y) * n + (int)corner[k][0] + x;
                    near += owner[at] >= 0 && owner[at] != a->chart[f];
                }
    }
    free(owner);
    if (getenv("PF_SHOW"))
        print_message("twice %d of %d\n", (int)twice, (int)covered);
    assert_true(twice <= covered / 500);        /* folds finer than a texel */
    assert_int_equal(near, 0);
    return (double)covered / n / n;
}

/* Faces in the picture are those of the mesh, seen from outside, as large or smaller by the cosine
 * of how far they are turned away, but for rounding. */
static void
assert_projected(const struct pf_atlas *a, const struct pf_mesh *m)
{
    double in_picture = 0, of_mesh = 0;
    for (int64_t f = 0; f < m->faces; f++) {
        const float *p[3];
        float normal[3];
        corners(p, a, f);
        for (int k = 0; k < 3; k++) {
            const uint32_t v = a->face[3 * f + k];
            assert_int_equal(a->of[v], m->face[3 * f + k]);
            assert_int_equal(a->chart_of[v], a->chart[f]);
        }
        pf_mesh_face_normal(normal, m, f);
        const double area = (((double)p[2][0] - p[0][0]) * ((double)p[1][1] - p[0][1]) -
                             ((double)p[1][0] - p[0][0]) * ((double)p[2][1] - p[0][1])) /
                            a->scale / a->scale;
        const double whole = length(normal[0], normal[1], normal[2]);
        assert_true(area >= -1e-7 && area <= whole + 1e-7);
        in_picture += area;
        of_mesh += whole;
    }
    assert_true(in_picture > 0.75 * of_mesh);
}

static void
test_charts_neither_overlap_nor_are_mirrored(void **state)
{
    struct pf_mesh m = marched(96, 12000);
    struct pf_atlas a;
    (void)state;
    assert_closed(&m);
    for (int size = 512; size >= 256; size /= 2) {
        assert_ok(pf_atlas_make(&a, &m, size));
        const double full = assert_apart(&a, &m);
        assert_projected(&a, &m);
        if (getenv("PF_SHOW"))
            print_message("%d texels: %d charts, %.3f\n", size, a.charts, full);
        assert_true(full > 0.3);
        pf_atlas_release(&a);
    }
    pf_mesh_release(&m);
}

static void
test_faces_without_area_are_laid_out(void **state)
{
    struct pf_mesh m;
    struct pf_atlas a;
    static const uint32_t face[][3] = {{0, 1, 2}, {0, 2, 1}, {3, 3, 3}};
    (void)state;
    assert_ok(pf_mesh_new(&m, 4, 3));
    memset(m.vertex, 0, 4 * 12);
    m.vertex[3] = m.vertex[7] = 1;
    memcpy(m.face, face, sizeof face);
    assert_ok(pf_atlas_make(&a, &m, 64));
    assert_true(a.charts >= 2);
    assert_projected(&a, &m);
    pf_atlas_release(&a);
    pf_mesh_release(&m);
}

static void
test_a_texture_without_room_is_refused(void **state)
{
    struct pf_mesh m = marched(64, 8000);
    struct pf_atlas a;
    (void)state;
    assert_fails(pf_atlas_make(&a, &m, 16), PF_ESHAPE, "has no room for the");
    pf_mesh_release(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charts_neither_overlap_nor_are_mirrored),
        cmocka_unit_test(test_faces_without_area_are_laid_out),
        cmocka_unit_test(test_a_texture_without_room_is_refused),
    };
    return cmocka_run_group_tests_name("atlas", tests, NULL, NULL);
}
