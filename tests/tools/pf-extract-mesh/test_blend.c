/* Points get the colours of the views that see them, and keep theirs where none does. */
// uses: tools/pf-extract-mesh/blend.c
#include "tests/kernels/march/meshes.h"

#include "common/camera.h"
#include "kernels/march/march.h"
#include "tools/pf-extract-mesh/blend.h"

enum { VIEWS = 8, SIDE = 96 };
/* A large ball and a small one between it and the cameras on one side. */
static const float ball[2][4] = {{-0.1f, 0, 0, 0.25f}, {0.35f, 0, 0.1f, 0.08f}};

static pf_err
balls(void *ctx, float *out, const float *x, int64_t n)
{
    (void)ctx;
    for (int64_t i = 0; i < n; i++) {
        out[i] = INFINITY;
        for (int b = 0; b < 2; b++)
            out[i] = fminf(out[i], length(x[3 * i] - ball[b][0], x[3 * i + 1] - ball[b][1],
                                          x[3 * i + 2] - ball[b][2]) - ball[b][3]);
    }
    return PF_OK;
}

/* The colour of a surface point: stripes on the large ball, blue on the small one. */
static void
paint(float rgb[3], const float p[3])
{
    const bool small = p[0] > 0.2f;
    rgb[0] = small ? 0 : 0.5f + 0.4f * sinf(12 * p[2]);
    rgb[1] = small ? 0.1f : 0.5f + 0.4f * sinf(9 * p[1]);
    rgb[2] = small ? 1 : 0.2f;
}

/* The first ball that a ray meets, and where; -1: none. */
static int
meet(float p[3], const float origin[3], const float dir[3])
{
    float nearest = INFINITY;
    int which = -1;
    for (int b = 0; b < 2; b++) {
        float along = 0, far = 0;
        for (int k = 0; k < 3; k++) {
            const float d = origin[k] - ball[b][k];
            along += d * dir[k];
            far += d * d;
        }
        const float root = along * along - far + ball[b][3] * ball[b][3];
        const float t = -along - sqrtf(fmaxf(root, 0));
        if (root > 0 && t < nearest) {
            nearest = t;
            which = b;
            for (int k = 0; k < 3; k++)
                p[k] = origin[k] + t * dir[k];
        }
    }
    return which;
}

struct rig {
    uint8_t image[VIEWS * SIDE * SIDE * 3];
    float alpha[VIEWS * SIDE * SIDE], pose[VIEWS * 12], intrinsics[VIEWS * 9];
    struct pf_posed_views views;
};

/* Views from elevation 20 degrees, all around. */
static struct rig *
take_views(void)
{
    struct rig *const r = calloc(1, sizeof *r);
    assert_non_null(r);
    for (int n = 0; n < VIEWS; n++) {
        double pose[12], K[9];
        pf_camera_pose(pose, 0.35, 6.2831853 * n / VIEWS);
        pf_camera_intrinsics(K, SIDE);
        for (int i = 0; i < 12; i++)
            r->pose[12 * n + i] = (float)pose[i];
        for (int i = 0; i < 9; i++)
            r->intrinsics[9 * n + i] = (float)K[i];
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int at = n * SIDE * SIDE + i;
            float origin[3], dir[3], p[3], rgb[3] = {1, 1, 1};
            pf_camera_ray(origin, dir, pose, K, i % SIDE, i / SIDE);
            r->alpha[at] = meet(p, origin, dir) >= 0;
            if (r->alpha[at] > 0)
                paint(rgb, p);
            for (int k = 0; k < 3; k++)
                r->image[3 * at + k] = (uint8_t)lrintf(255 * rgb[k]);
        }
    }
    r->views = (struct pf_posed_views){.count = VIEWS, .width = SIDE, .height = SIDE,
                                       .image = r->image, .alpha = r->alpha, .pose = r->pose,
                                       .intrinsics = r->intrinsics};
    return r;
}

/* Whether a camera sees a point from within 60 degrees of its normal. */
static bool
is_seen(const struct rig *r, const float p[3], const float normal[3])
{
    for (int n = 0; n < VIEWS; n++) {
        const float *const P = r->pose + 12 * n;
        float origin[3], dir[3], first[3], facing = 0, far = 0;
        for (int k = 0; k < 3; k++) {
            origin[k] = -(P[k] * P[3] + P[4 + k] * P[7] + P[8 + k] * P[11]);
            dir[k] = p[k] - origin[k];
        }
        const float range = length(dir[0], dir[1], dir[2]);
        for (int k = 0; k < 3; k++) {
            dir[k] /= range;
            facing -= dir[k] * normal[k];
        }
        if (facing < 0.5f || meet(first, origin, dir) < 0)
            continue;
        for (int k = 0; k < 3; k++)
            far += (first[k] - p[k]) * (first[k] - p[k]);
        if (far < 1e-4f)
            return true;
    }
    return false;
}

static void
test_points_look_as_in_the_views(void **state)
{
    const struct pf_march_options options = {.resolution = 96, .bound = 0.6};
    const float own[3] = {0.9f, 0.05f, 0.5f};
    struct rig *const r = take_views();
    struct pf_mesh m;
    pf_blend *blend;
    double error = 0;
    int64_t seen = 0, kept = 0, under = 0;
    (void)state;
    assert_ok(pf_march(&m, NULL, balls, NULL, &options));
    float *const normal = malloc((size_t)m.vertices * 12);
    float *const rgb = malloc((size_t)m.vertices * 12);
    for (int64_t v = 0; v < m.vertices; v++) {
        const float *const p = m.vertex + 3 * v, *const b = ball[p[0] > 0.2f];
        for (int k = 0; k < 3; k++) {
            normal[3 * v + k] = (p[k] - b[k]) / b[3];
            rgb[3 * v + k] = own[k];
        }
    }
    r->views.count = VIEWS / 2; /* of two documents */
    assert_ok(pf_blend_new(&blend));
    assert_ok(pf_blend_add(blend, &r->views, &m));
    r->views.image += (int64_t)VIEWS / 2 * SIDE * SIDE * 3;
    r->views.alpha += (int64_t)VIEWS / 2 * SIDE * SIDE;
    r->views.pose += VIEWS / 2 * 12;
    r->views.intrinsics += VIEWS / 2 * 9;
    assert_ok(pf_blend_add(blend, &r->views, &m));
    assert_ok(pf_blend_colors(blend, rgb, m.vertex, normal, m.vertices));
    for (int64_t v = 0; v < m.vertices; v++) {
        float want[3];
        paint(want, m.vertex + 3 * v);
        if (is_seen(r, m.vertex + 3 * v, normal + 3 * v)) {
            for (int k = 0; k < 3; k++)
                error += (double)(rgb[3 * v + k] - want[k]) * (rgb[3 * v + k] - want[k]);
            seen++;
        } else if (normal[3 * v + 2] < -0.95f) {        // no camera is below
            bool same = true;
            for (int k = 0; k < 3; k++)
                same &= fabsf(rgb[3 * v + k] - own[k]) < 1e-6f;
            kept += same;
            under++;
        }
    }
    assert_true(seen > m.vertices / 2 && under > 100);
    assert_int_equal(kept, under);
    // 0.03 of the stripes' 0.8; a hidden ball's blue on them would be an error of 1.
    assert_true(sqrt(error / (double)(3 * seen)) < 0.03);
    pf_blend_free(blend);
    pf_mesh_release(&m);
    free(normal);
    free(rgb);
    free(r);
}

/* What the small ball hides of a view must not be painted onto the large one. */
static void
test_what_hides_a_point_does_not_colour_it(void **state)
{
    const struct pf_march_options options = {.resolution = 96, .bound = 0.6};
    struct rig *const r = take_views();
    struct pf_mesh m;
    pf_blend *blend;
    (void)state;
    r->views.count = 1;         /* from +x, where the small one is before the large one */
    assert_ok(pf_march(&m, NULL, balls, NULL, &options));
    assert_ok(pf_blend_new(&blend));
    assert_ok(pf_blend_add(blend, &r->views, &m));
    for (int i = -8; i <= 8; i++) {
        float rgb[3] = {0.5f, 0.5f, 0}, dir[3] = {0.9f, 0.012f * (float)i, -0.1f}, point[3];
        const float l = length(dir[0], dir[1], dir[2]);
        for (int k = 0; k < 3; k++) {
            dir[k] /= l;
            point[k] = ball[0][k] + ball[0][3] * dir[k];
        }
        assert_ok(pf_blend_colors(blend, rgb, point, dir, 1));
        assert_true(rgb[2] < 0.25f);            /* 1: blue */
    }
    pf_blend_free(blend);
    pf_mesh_release(&m);
    free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_look_as_in_the_views),
        cmocka_unit_test(test_what_hides_a_point_does_not_colour_it),
    };
    return cmocka_run_group_tests_name("blend", tests, NULL, NULL);
}
