/* camera.c - the rig, Pluecker maps and epipolar masks (spec 01).  Everything is computed in
 * double and rounded once: that agrees with the original's float32 bit for bit in nearly all masks
 * (spec 01, 6). */
#include "common/camera.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOCAL_PX(n) (35.0 / 32.0 * (n))         /* SPAD's lens on a latent of side n (spec 01, 5) */
#define SAME_CAMERA 1e-5                        /* nearer centres have no epipolar geometry (Q5) */

static double
dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void
cross(double to[3], const double a[3], const double b[3])
{
    to[0] = a[1] * b[2] - a[2] * b[1];
    to[1] = a[2] * b[0] - a[0] * b[2];
    to[2] = a[0] * b[1] - a[1] * b[0];
}

/* ---- the rig ---- */

float
pf_rig_azimuth(int n, int N)
{
    return (float)((double)n / N * (2 * PF_PI));
}

void
pf_camera_pose(double pose[12], double elevation, double azimuth)
{
    const double se = sin(elevation), ce = cos(elevation), sa = sin(azimuth), ca = cos(azimuth);
    const double p[12] = {
        -sa,      ca,       0,   0,             // right
        se * ca,  se * sa,  -ce, 0,             // down
        -ce * ca, -ce * sa, -se, PF_RIG_DISTANCE,       // forward
    };
    memcpy(pose, p, sizeof p);
}

void
pf_camera_intrinsics(double K[9], int image_size)
{
    const double f = 280.0 / 256.0 * image_size, c = 0.5 * image_size;
    const double k[9] = {f, 0, c, 0, f, c, 0, 0, 1};
    memcpy(K, k, sizeof k);
}

static void
store(pf_tensor *t, int64_t view, const double *v, int64_t n)
{
    for (int64_t i = 0; t && i < n; i++)
        ((float *)t->data)[view * n + i] = (float)v[i];
}

static void
fill_rig(pf_tensor *pose, pf_tensor *intrinsics, pf_tensor *elevations, pf_tensor *azimuths, int N,
         double elevation, int image_size)
{
    double P[12], K[9];
    pf_camera_intrinsics(K, image_size);
    for (int n = 0; n < N; n++) {
        const double azimuth = pf_rig_azimuth(n, N);
        pf_camera_pose(P, elevation, (double)n / N * (2 * PF_PI));
        store(pose, n, P, 12);
        store(intrinsics, n, K, 9);
        store(elevations, n, &elevation, 1);
        store(azimuths, n, &azimuth, 1);
    }
}

pf_err
pf_rig_tensors(pf_tensor *pose, pf_tensor *intrinsics, pf_tensor *elevations, pf_tensor *azimuths,
               int N, double elevation, int image_size)
{
    pf_tensor *const all[4] = {pose, intrinsics, elevations, azimuths};
    const int ndim[4] = {3, 3, 1, 1};
    const int64_t dim[4][3] = {{N, 3, 4}, {N, 3, 3}, {N}, {N}};
    if (N < 1 || image_size < 1)
        return pf_fail(PF_ESHAPE, "a rig of %d views of %d px cannot be: both must be at least 1", N,
                       image_size);
    for (int i = 0; i < 4; i++) {
        const pf_err err = all[i] ? pf_tensor_new(all[i], PF_F32, ndim[i], dim[i]) : PF_OK;
        if (err) {
            while (i-- > 0)
                if (all[i])
                    pf_tensor_release(all[i]);
            return err;
        }
    }
    fill_rig(pose, intrinsics, elevations, azimuths, N, elevation, image_size);
    return PF_OK;
}

/* Into -pi..pi, in the original's float32 steps: they cost the last bits that the network saw. */
static float
wrap(float azimuth)
{
    const float turn = (float)(2 * PF_PI), a = fmodf(azimuth + (float)PF_PI, turn);
    return (a < 0 ? a + turn : a) - (float)PF_PI;
}

void
pf_viewpoint_embed(float v[4], float elevation_input, float elevation_target, float azimuth,
                   float azimuth_input)
{
    const float turned = wrap(azimuth) - azimuth_input;
    v[0] = elevation_input - elevation_target;
    v[1] = sinf(turned);
    v[2] = cosf(turned);
    v[3] = 0;
}

void
pf_camera_ray(float origin[3], float dir[3], const double pose[12], const double K[9], double j,
              double i)
{
    const double y = (i - K[5]) / K[4], x = (j - K[2] - K[1] * y) / K[0];
    double d[3], o[3];
    for (int k = 0; k < 3; k++) {               // columns of R, so R^T
        d[k] = pose[k] * x + pose[4 + k] * y + pose[8 + k];
        o[k] = -(pose[k] * pose[3] + pose[4 + k] * pose[7] + pose[8 + k] * pose[11]);
    }
    const double length = sqrt(dot(d, d));
    for (int k = 0; k < 3; k++) {
        origin[k] = (float)o[k];
        dir[k] = (float)(d[k] / length);
    }
}

/* ---- SPAD's cameras and Pluecker maps ---- */

void
pf_spad_camera(struct pf_spad_camera *c, double elevation, double azimuth)
{
    const double st = sin(elevation), ct = cos(elevation), sp = sin(azimuth), cp = cos(azimuth);
    const double out[3] = {st * cp, st * sp, ct};
    for (int k = 0; k < 3; k++) {
        c->center[k] = PF_RIG_DISTANCE * out[k];
        c->forward[k] = -out[k];
    }
    /* normalise(forward x z).  At the pole that is 0/0, and the original's maps NaN; the limit from
     * above is used there (spec 01, 4). */
    const double sign = st < -1e-6 ? -1 : 1;
    c->right[0] = sign * -sp;
    c->right[1] = sign * cp;
    c->right[2] = 0;
    cross(c->up, c->right, c->forward);
}

/* Direction of unit depth through the centre of latent pixel (i, j). */
static void
latent_ray(double d[3], const struct pf_spad_camera *c, int n, int i, int j)
{
    const double F = 35.0 / 16.0;               // focal length for image coordinates -1..1
    const double x = ((2.0 * j + 1) / n - 1) / F, y = ((2.0 * i + 1) / n - 1) / F;
    for (int k = 0; k < 3; k++)
        d[k] = x * c->right[k] - y * c->up[k] + c->forward[k];
}

void
pf_plucker(float *map, const struct pf_spad_camera *c, int n)
{
    const int64_t plane = (int64_t)n * n;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double d[3], m[3];
            latent_ray(d, c, n, i, j);
            const double length = fmax(sqrt(dot(d, d)), 1e-12);
            for (int k = 0; k < 3; k++)
                d[k] /= length;
            cross(m, c->center, d);
            for (int k = 0; k < 3; k++) {
                map[k * plane + i * n + j] = (float)d[k];
                map[(3 + k) * plane + i * n + j] = (float)m[k];
            }
        }
}

void
pf_plucker_shrink(float *to, int h, const float *from, int n)
{
    const int r = n / h;
    for (int c = 0; c < 6; c++, from += (int64_t)n * n)
        for (int i = 0; i < h; i++) {
            const float *above = from + (int64_t)(r * i + (r - 1) / 2) * n;
            const float *below = from + (int64_t)(r * i + r / 2) * n;
            for (int j = 0; j < h; j++) {
                const int a = r * j + (r - 1) / 2, b = r * j + r / 2;
                *to++ = 0.25f * ((above[a] + above[b]) + (below[a] + below[b]));
            }
        }
}

/* ---- epipolar masks ---- */

struct point {
    double x, y;
};
struct cell {
    int x, y;
};

static struct point
project(const struct pf_spad_camera *c, int n, const double world[3])
{
    const double q[3] = {world[0] - c->center[0], world[1] - c->center[1], world[2] - c->center[2]};
    const double z = dot(q, c->forward);        // may be negative or 0: nothing is clipped
    return (struct point){0.5 * n + FOCAL_PX(n) * dot(q, c->right) / z,
                          0.5 * n - FOCAL_PX(n) * dot(q, c->up) / z};
}

/* The original's "take the next valid one while the sum is still 0". */
static struct point
first_on_border(const struct point border[4], const bool valid[4], const int order[4])
{
    struct point p = {0, 0};
    for (int k = 0; k < 4; k++)
        if (valid[order[k]] && p.x + p.y == 0)
            p = border[order[k]];
    return p;
}

/* The part of the line x = m y + b that crosses the image, as its ends on the border.  Infinite and
 * NaN slopes make comparisons false and need no care (spec 01, 6, parallel flow). */
static void
chord(struct point *p1, struct point *p2, double m, double b, int n)
{
    const struct point border[4] = {{b, 0}, {n * m + b, n}, {0, -b / m}, {n, (n - b) / m}};
    const bool valid[4] = {
        border[0].x >= 0 && border[0].x <= n, border[1].x >= 0 && border[1].x <= n,
        border[2].y >= 0 && border[2].y <= n, border[3].y >= 0 && border[3].y <= n,
    };
    *p1 = first_on_border(border, valid, (const int[]){0, 1, 3, 2});
    *p2 = first_on_border(border, valid, (const int[]){2, 3, 1, 0});
}

static int
clamp(int v, int n)
{
    return v < 0 ? 0 : v > n - 1 ? n - 1 : v;
}

static void
set_bit(uint32_t *row, int64_t i)
{
    row[i / 32] |= UINT32_C(1) << (i % 32);
}

/* skimage.draw.line: both ends included, ties as there.  Bit y n + x after first. */
static void
draw_line(uint32_t *row, int64_t first, int n, struct cell a, struct cell b)
{
    const int dx = abs(b.x - a.x), dy = abs(b.y - a.y);
    const int sx = b.x > a.x ? 1 : -1, sy = b.y > a.y ? n : -n;
    const bool steep = dy > dx;
    const int major = steep ? dy : dx, minor = steep ? dx : dy;
    const int along = steep ? sy : sx, aside = steep ? sx : sy;
    int64_t at = first + (int64_t)a.y * n + a.x;
    int d = 2 * minor - major;
    for (int k = 0; k < major; k++) {
        set_bit(row, at);
        for (; d >= 0; d -= 2 * major)
            at += aside;
        at += along;
        d += 2 * minor;
    }
    set_bit(row, first + (int64_t)b.y * n + b.x);
}

/* Towards zero: 0 -> 0, n -> n - 1.  A hair below a whole cell counts as that cell: one line of
 * (50, 90)/(20, 0) ends at 9.499996, which the original's floats took for 9.5; without this a handful of bits
 * of view 4 of the golden run differ, and its eps by 2e-4 (spec 01, 6). */
static struct cell
quantise(struct point p)
{
    const double half = 0.5 - 1e-5;
    return (struct cell){(int)(p.x - half), (int)(p.y - half)};
}

/* Both ends move together over the 3x3 neighbourhood. */
static void
draw_thick_line(uint32_t *row, int64_t first, int n, struct cell a, struct cell b)
{
    if (a.x + a.y == 0 && b.x + b.y == 0)
        return;                                 // how rays that miss the image are dropped
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            draw_line(row, first, n, (struct cell){clamp(a.x + dx, n), clamp(a.y + dy, n)},
                      (struct cell){clamp(b.x + dx, n), clamp(b.y + dy, n)});
}

/* One row of M(src, tgt): where the ray of src's pixel (i, j) runs in tgt. */
static void
epipolar_row(uint32_t *row, int64_t first, const struct pf_spad_camera *src,
             const struct pf_spad_camera *tgt, struct point epipole, int n, int i, int j)
{
    double d[3], world[3];
    latent_ray(d, src, n, i, j);
    for (int k = 0; k < 3; k++)
        world[k] = src->center[k] + PF_RIG_DISTANCE * d[k];
    const struct point p = project(tgt, n, world), e = epipole;
    const double length = sqrt((p.x - e.x) * (p.x - e.x) + (p.y - e.y) * (p.y - e.y));
    const struct point flow = {(p.x - e.x) / length, (p.y - e.y) / length};
    const double m = flow.x / flow.y, b = p.x - m * p.y;
    struct point p1, p2;
    chord(&p1, &p2, m, b, n);
    if (e.x >= 0 && e.x <= n && e.y >= 0 && e.y <= n) { // only the half line along the flow
        if ((p1.x - e.x > 0) != (flow.x > 0) || (p1.y - e.y > 0) != (flow.y > 0))
            p1 = p2;
        p2 = e;
    }
    draw_thick_line(row, first, n, quantise(p1), quantise(p2));
}

static bool
same_place(const struct pf_spad_camera *a, const struct pf_spad_camera *b)
{
    const double d[3] = {a->center[0] - b->center[0], a->center[1] - b->center[1],
                         a->center[2] - b->center[2]};
    return sqrt(dot(d, d)) < SAME_CAMERA;
}

/* n*n rows, each with an own-view part of ones at column own and the lines in tgt at column other. */
static void
mask_rows(uint32_t *bits, int64_t words, int64_t own, int64_t other,
          const struct pf_spad_camera *src, const struct pf_spad_camera *tgt, int n)
{
    const int64_t tokens = (int64_t)n * n;
    const bool same = same_place(src, tgt);
    const struct point epipole = project(tgt, n, src->center);
#pragma omp parallel for
    for (int64_t p = 0; p < tokens; p++) {
        uint32_t *row = bits + p * words;
        memset(row, 0, (size_t)words * sizeof *row);
        for (int64_t q = own; q < own + tokens; q++)
            set_bit(row, q);
        if (!same)
            epipolar_row(row, other, src, tgt, epipole, n, (int)(p / n), (int)(p % n));
    }
}

static int64_t
mask_words(int side)
{
    return (2 * (int64_t)side * side + 31) / 32;
}

void
pf_epipolar_mask(uint32_t *bits, const struct pf_spad_camera *target,
                 const struct pf_spad_camera *input, int n)
{
    const int64_t tokens = (int64_t)n * n, words = mask_words(n);
    mask_rows(bits, words, 0, tokens, target, input, n);
    mask_rows(bits + tokens * words, words, tokens, 0, input, target, n);
}

void
pf_epipolar_mask_shrink(uint32_t *to, int h, const uint32_t *from, int n)
{
    const int64_t r = (int64_t)(n / h) * (n / h), tokens = 2 * (int64_t)h * h;
    const int64_t words = mask_words(h), from_words = mask_words(n);
    memset(to, 0, (size_t)(tokens * words) * sizeof *to);
    for (int64_t p = 0; p < tokens; p++) {
        const uint32_t *row = from + p * r * from_words;
        for (int64_t q = 0; q < tokens; q++)
            if (row[q * r / 32] >> (q * r % 32) & 1)
                set_bit(to + p * words, q);
    }
}
