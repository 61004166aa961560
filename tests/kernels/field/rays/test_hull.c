/* Space carving: a hollow that views see into is emptied, what is solid is not. */
#include "common/camera.h"
#include "kernels/field/rays/hull.h"
#include "tests/check.h"

enum { V = 16, S = 96 };

static struct {
    uint8_t image[V * S * S * 3];
    float alpha[V * S * S];
    pf_tensor pose, intrinsics;
    struct pf_field_views views;
} w;

/* Where a ray meets the cup first: a cylinder of radius 0.4 and |z| <= 0.2, hollow from the top down
 * to z = floor within radius 0.35; in steps.  The colour is a pattern of the place. */
static bool
cup(float rgb[3], const float o[3], const float d[3], float floor)
{
    for (float t = 0.8f; t < 2.2f; t += 0.004f) {
        const float x = o[0] + t * d[0], y = o[1] + t * d[1], z = o[2] + t * d[2];
        const float r = sqrtf(x * x + y * y);
        if (r > 0.4f || fabsf(z) > 0.2f || (r < 0.35f && z > floor))
            continue;
        rgb[0] = 0.5f + 0.4f * sinf(9 * x);
        rgb[1] = 0.5f + 0.4f * sinf(9 * y);
        rgb[2] = 0.5f + 2 * z;
        return true;
    }
    return false;
}

static void
see_cup(float floor)
{
    assert_ok(pf_rig_tensors(&w.pose, &w.intrinsics, NULL, NULL, V, 0.5, S));
    for (int p = 0; p < V * S * S; p++) {
        double pose[12], K[9];
        float o[3], d[3], rgb[3] = {1, 1, 1};
        for (int i = 0; i < 12; i++)
            pose[i] = ((const float *)w.pose.data)[p / (S * S) * 12 + i];
        for (int i = 0; i < 9; i++)
            K[i] = ((const float *)w.intrinsics.data)[p / (S * S) * 9 + i];
        pf_camera_ray(o, d, pose, K, p % S, p / S % S);
        w.alpha[p] = cup(rgb, o, d, floor);
        for (int k = 0; k < 3; k++)
            w.image[3 * p + k] = (uint8_t)(255 * rgb[k]);
    }
    w.views = (struct pf_field_views){V, S, S, w.image, w.alpha, w.pose.data, w.intrinsics.data};
}

/* The volume of the cells taken away, of which `in` are inside the cup by more than a cell. */
static double
carved(double tolerance, float floor, int *in)
{
    struct pf_hull h;
    assert_ok(pf_hull_carve(&h, &w.views, 0.6, tolerance));
    const int R = h.side;
    const float size = 1.2f / (float)R;
    const double volume = (double)h.n * (double)(size * size * size);
    *in = 0;
    for (int64_t i = 0; i < h.n; i++) {
        const int32_t c = h.empty[i];
        const float x = ((float)(c % R) + 0.5f) * size - 0.6f;
        const float y = ((float)(c / R % R) + 0.5f) * size - 0.6f;
        const float z = ((float)(c / R / R) + 0.5f) * size - 0.6f, r = sqrtf(x * x + y * y);
        *in += r < 0.4f - size && fabsf(z) < 0.2f - size && (r > 0.35f + size || z < floor - size);
    }
    pf_hull_release(&h);
    return volume;
}

static void
test_a_hollow_is_emptied_and_nothing_else(void **state)
{
    const float depths[] = {0, 0.2f};           /* the second is no hollow */
    const double hollow = 3.14159265 * 0.35 * 0.35 * 0.2;
    int in;
    (void)state;
    for (int i = 0; i < 2; i++) {
        see_cup(depths[i]);
        const double volume = carved(0.05, depths[i], &in);     /* some of it below the cup */
        assert_int_equal(in, 0);
        if (i == 0 && !(volume > 0.6 * hollow))
            fail_msg("%g are empty, the hollow is %g", volume, hollow);
        if (i == 0)                             /* views that may differ by all are no use */
            assert_true(carved(1, depths[i], &in) == 0);
        pf_tensor_release(&w.pose);
        pf_tensor_release(&w.intrinsics);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hollow_is_emptied_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
