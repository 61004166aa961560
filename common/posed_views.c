/* posed_views.c - see posed_views.h. */
#include "common/posed_views.h"

#include <math.h>
#include <string.h>

#include "common/camera.h"

static const double unit_cube = 0.5;           /* half its side */
/* Beyond what a table with four decimals leaves of a rotation, something else is meant. */
static const double rotation_tolerance = 1e-2;

/* ---- ranges ---- */

bool
pf_is_rotation(const double R[9])
{
    double across[3];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k <= i; k++)
            if (!(fabs(pf_dot3(R + 3 * i, R + 3 * k) - (i == k)) <= rotation_tolerance))
                return false;
    pf_cross3(across, R, R + 3);
    return pf_dot3(across, R + 6) > 0;          // and no mirror image
}

static pf_err
check_pose(const struct pf_posed_views *v)
{
    for (int n = 0; n < v->count; n++) {
        const float *P = v->pose + 12 * n;
        double R[9];
        for (int i = 0; i < 9; i++)
            R[i] = P[i / 3 * 4 + i % 3];
        if (!pf_is_rotation(R))
            return pf_fail(PF_EFORMAT, "views.pose: view %d is not a rotation", n);
        if (!isfinite(P[3]) || !isfinite(P[7]) || !isfinite(P[11]))
            return pf_fail(PF_EFORMAT, "views.pose: the translation of view %d is not finite", n);
    }
    return PF_OK;
}

/* Rays need K's inverse; ours are upper triangular.  Wider lenses than 127 degrees are no pinholes,
 * so a focal length below a quarter of the picture is none in pixels.  Nor is one of a thousand
 * pictures: the whole view is a twentieth of a degree wide, and its rays are one. */
static pf_err
check_intrinsics(const struct pf_posed_views *v)
{
    const int side = v->width > v->height ? v->width : v->height;
    for (int n = 0; n < v->count; n++) {
        const float *K = v->intrinsics + 9 * n;
        if (!(K[0] > 0 && K[4] > 0) || !isfinite(K[0] + K[1] + K[2] + K[4] + K[5]) || K[3] != 0 ||
            K[6] != 0 || K[7] != 0 || K[8] != 1)
            return pf_fail(PF_EFORMAT, "views.intrinsics: view %d is not [fx s cx; 0 fy cy; 0 0 1]",
                           n);
        for (int i = 0; i < 5; i += 4)
            if (K[i] < 0.25 * side || K[i] > 1000.0 * side)
                return pf_fail(PF_EFORMAT,
                               "views.intrinsics: the focal length of view %d is %g, expected "
                               "pixels, a quarter to a thousand times the longer side, %d",
                               n, (double)K[i], side);
    }
    return PF_OK;
}

static pf_err
read_pixel_center(struct pf_posed_views *v, const pf_doc *doc)
{
    const pf_tensor *t = pf_doc_get(doc, "views.pixel_center");
    float center = 0;
    if (t && pf_tensor_count(t) != 1)
        return pf_fail(PF_ESHAPE, "views.pixel_center is not one number");
    if (t)
        pf_to_f32(&center, t->data, t->dtype, 1);
    if (center != 0 && center != 0.5f)
        return pf_fail(PF_EFORMAT, "views.pixel_center is %g, expected 0 or 0.5", (double)center);
    v->pixel_center = center;
    return PF_OK;
}

pf_err
pf_posed_views_read(struct pf_posed_views *v, const pf_doc *doc)
{
    pf_tensor image, alpha, pose, intrinsics, elevation;
    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    const int64_t N = image.dim[0], H = image.dim[1], W = image.dim[2];
    if (N < 1 || N > PF_VIEWS_MAX || H < 1 || H > PF_VIEW_SIDE_MAX || W < 1 || W > PF_VIEW_SIDE_MAX)
        return pf_fail(PF_ESHAPE,
                       "views.image is [%lld, %lld, %lld, 3], expected 1 to %d views of 1 to "
                       "%d pixels a side",
                       (long long)N, (long long)H, (long long)W, PF_VIEWS_MAX, PF_VIEW_SIDE_MAX);
    PF_TRY(pf_doc_need(doc, "views.alpha", PF_F32, 3, (int64_t[]){N, H, W}, &alpha));
    PF_TRY(pf_doc_need(doc, "views.pose", PF_F32, 3, (int64_t[]){N, 3, 4}, &pose));
    PF_TRY(pf_doc_need(doc, "views.intrinsics", PF_F32, 3, (int64_t[]){N, 3, 3}, &intrinsics));
    *v = (struct pf_posed_views){.count = (int)N,
                                 .width = (int)W,
                                 .height = (int)H,
                                 .image = image.data,
                                 .alpha = alpha.data,
                                 .pose = pose.data,
                                 .intrinsics = intrinsics.data};
    PF_TRY(pf_tensor_expect_range(&alpha, "views.alpha", 0, 1, "0 to 1"));
    PF_TRY(check_pose(v));
    PF_TRY(check_intrinsics(v));
    if (pf_doc_get(doc, "views.elevation")) {
        PF_TRY(pf_doc_need(doc, "views.elevation", PF_F32, 1, (int64_t[]){N}, &elevation));
        PF_TRY(pf_tensor_expect_range(&elevation, "views.elevation", -PF_PI / 2 - 1e-6,
                                      PF_PI / 2 + 1e-6, "radians, -pi/2 to pi/2"));
        v->elevation = elevation.data;
    }
    return read_pixel_center(v, doc);
}

/* ---- where they look ---- */

bool
pf_posed_views_show_object(const struct pf_posed_views *v)
{
    const int64_t pixels = (int64_t)v->count * v->height * v->width;
    int64_t i = 0;
    while (i < pixels && v->alpha[i] < 0.5f)
        i++;
    return i < pixels;
}

void
pf_posed_views_intrinsics(double K[9], const struct pf_posed_views *v, int n)
{
    for (int i = 0; i < 9; i++)
        K[i] = v->intrinsics[9 * n + i];
    K[2] -= v->pixel_center;
    K[5] -= v->pixel_center;
}

static bool
meets_cube(const float origin[3], const float dir[3], double bound)
{
    double near = 0, far = INFINITY;            // from the camera on: nothing behind it is seen
    for (int k = 0; k < 3; k++) {
        const double a = (-bound - origin[k]) / dir[k], b = (bound - origin[k]) / dir[k];
        near = fmax(near, fmin(a, b));          // 0 / 0 is a ray in a face: fmin takes the other
        far = fmin(far, fmax(a, b));
    }
    return near <= far;
}

static void
pose_of(double pose[12], const struct pf_posed_views *v, int n)
{
    for (int i = 0; i < 12; i++)
        pose[i] = v->pose[12 * n + i];
}

static void
center_of(double center[3], const struct pf_posed_views *v, int n)
{
    const float *P = v->pose + 12 * n;
    for (int k = 0; k < 3; k++)
        center[k] = -((double)P[k] * P[3] + (double)P[4 + k] * P[7] + (double)P[8 + k] * P[11]);
}

static pf_err
check_aim(const struct pf_posed_views *v, int n, double bound)
{
    const char *const question =
        "is the pose world to camera, x right, y down, z forward, in units in "
        "which the object fills a unit cube around the origin?";
    const int64_t pixels = (int64_t)v->height * v->width;
    const float *alpha = v->alpha + n * pixels;
    int64_t rays = 0, object = 0, hits = 0;
    double pose[12], K[9], c[3];
    center_of(c, v, n);
    if (fmax(fabs(c[0]), fmax(fabs(c[1]), fabs(c[2]))) < unit_cube)
        return pf_fail(PF_EFORMAT,
                       "views.pose: the camera of view %d stands inside the object's cube, at "
                       "(%g, %g, %g); %s",
                       n, c[0], c[1], c[2], question);
    pose_of(pose, v, n);
    pf_posed_views_intrinsics(K, v, n);
#pragma omp parallel for reduction(+ : rays, object, hits)
    for (int64_t i = 0; i < pixels; i++) {
        float o[3], d[3];
        pf_camera_ray(o, d, pose, K, (double)(i % v->width), (double)(i / v->width));
        const bool meets = meets_cube(o, d, bound), shown = alpha[i] >= 0.5f;
        rays += meets;
        object += shown;
        hits += meets && shown;
    }
    if (!rays)
        return pf_fail(PF_EFORMAT, "no ray of view %d meets the cube; %s", n, question);
    if (2 * hits < object)
        return pf_fail(PF_EFORMAT,
                       "of the %lld pixels of the object in view %d only %lld look at its cube; "
                       "%s",
                       (long long)object, n, (long long)hits, question);
    return PF_OK;
}

/* Poses that are camera to world, read as world to camera, have all cameras of a rig in one
 * place. */
static pf_err
check_places(const struct pf_posed_views *v)
{
    double first[3], c[3], most_away = 0, least_cosine = 1;
    center_of(first, v, 0);
    for (int n = 1; n < v->count; n++) {
        double trace = 0;
        center_of(c, v, n);
        for (int k = 0; k < 3; k++) {
            most_away = fmax(most_away, fabs(c[k] - first[k]));
            for (int i = 0; i < 3; i++)
                trace += (double)v->pose[4 * i + k] * v->pose[12 * n + 4 * i + k];
        }
        least_cosine = fmin(least_cosine, (trace - 1) / 2);
    }
    if (most_away < 0.05 * sqrt(pf_dot3(first, first)) && least_cosine < cos(PF_PI / 6))
        return pf_fail(PF_EFORMAT,
                       "views.pose: all views are taken from one place, (%g, %g, %g), in "
                       "different directions; is the pose world to camera?",
                       first[0], first[1], first[2]);
    return PF_OK;
}

pf_err
pf_posed_views_aim(const struct pf_posed_views *v, double bound)
{
    PF_TRY(check_places(v));
    for (int n = 0; n < v->count; n++)
        PF_TRY(check_aim(v, n, fmax(bound, unit_cube)));
    return PF_OK;
}
