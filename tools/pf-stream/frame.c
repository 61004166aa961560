/* frame.c - see frame.h. */
#include "tools/pf-stream/frame.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/camera.h"

/* Where the camera stands, and the unit direction of its ray through (u, v). */
static void
ray_of(double origin[3], double dir[3], const struct sight *s, double u, double v)
{
    const double in[3] = {(u - s->cx) / s->fx, (v - s->cy) / s->fy, 1},
                 length = sqrt(pf_dot3(in, in));
    for (int k = 0; k < 3; k++) {
        dir[k] = (s->R[k] * in[0] + s->R[3 + k] * in[1] + s->R[6 + k] * in[2]) / length;
        origin[k] = -(s->R[k] * s->t[0] + s->R[3 + k] * s->t[1] + s->R[6 + k] * s->t[2]);
    }
}

/* The middle of the mask's bounding box; false if it is empty. */
static bool
middle_of(double *u, double *v, const struct sight *s)
{
    int left = s->width, right = -1, top = s->height, bottom = -1;
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            if (s->alpha[(int64_t)y * s->width + x] >= 0.5f) {
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y;
            }
    *u = 0.5 * (left + right);
    *v = 0.5 * (top + bottom);
    return right >= 0;
}

static double
determinant(const double A[9])
{
    double across[3];
    pf_cross3(across, A + 3, A + 6);
    return pf_dot3(A, across);
}

/* x of the symmetric A x = b, by Cramer's rule. */
static void
solve(double x[3], const double A[9], const double b[3])
{
    const double det = determinant(A);
    for (int k = 0; k < 3; k++) {
        double B[9];
        memcpy(B, A, sizeof B);
        memcpy(B + 3 * k, b, 3 * sizeof *b);
        x[k] = determinant(B) / det;
    }
}

pf_err
frame_center(double center[3], const struct sight *view, int views)
{
    double A[9] = {0}, b[3] = {0};
    int axes = 0;
    for (int n = 0; n < views; n++) {
        double u = view[n].cx, v = view[n].cy, o[3], d[3];
        if (view[n].alpha && !middle_of(&u, &v, &view[n]))
            continue;
        ray_of(o, d, &view[n], u, v);
        axes++;
        for (int i = 0; i < 9; i++) {           // I - d d^T takes the part across the axis
            const double across = (i % 4 == 0) - d[i / 3] * d[i % 3];
            A[i] += across;
            b[i / 3] += across * o[i % 3];
        }
    }
    if (!axes)
        return pf_fail(PF_EFORMAT, "no view shows an object: all masks are empty");
    for (int i = 0; i < 9; i++)
        A[i] /= axes;
    for (int i = 0; i < 3; i++)
        b[i] /= axes;
    if (determinant(A) < 1e-3)                  // two axes 4 degrees apart, or one alone
        return pf_fail(PF_EFORMAT,
                       "the cameras look in almost one direction, so where the object is does "
                       "not follow; give --center X,Y,Z");
    solve(center, A, b);
    return PF_OK;
}

static double
distance_of(const double center[3], const double o[3], const double d[3])
{
    const double to[3] = {center[0] - o[0], center[1] - o[1], center[2] - o[2]};
    double across[3];
    pf_cross3(across, to, d);
    return sqrt(pf_dot3(across, across));
}

static double
radius_in(const double center[3], const struct sight *s)
{
    double most = 0, o[3], d[3];
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            if (s->alpha[(int64_t)y * s->width + x] >= 0.5f) {
                ray_of(o, d, s, x, y);
                most = fmax(most, distance_of(center, o, d));
            }
    return most;
}

pf_err
frame_scale(double *scale, const double center[3], const struct sight *view, int views)
{
    double radius = 0, away = 0;
    for (int n = 0; n < views; n++) {
        double o[3], d[3];
        ray_of(o, d, &view[n], view[n].cx, view[n].cy);
        for (int k = 0; k < 3; k++)
            o[k] -= center[k];
        away += sqrt(pf_dot3(o, o)) / views;
        if (view[n].alpha)
            radius = fmax(radius, radius_in(center, &view[n]));
    }
    *scale = radius > 0 ? 0.5 / radius : PF_RIG_DISTANCE / away;
    if (!isfinite(*scale))
        return pf_fail(PF_EFORMAT, "all cameras stand in the object's centre; give --scale");
    return PF_OK;
}
