/* scene.h - a sphere and a box in somebody's world, its pictures by rays through the middles of
 * pixels at (0.5, 0.5), and the cameras as nerfstudio and COLMAP write them down. */
#ifndef PF_TEST_SCENE_H
#define PF_TEST_SCENE_H
#include "common/camera.h"
#include "common/image.h"
#include "common/world.h"
#include "tests/tools/program.h"

enum { MOST_CAMERAS = 36, SAMPLES = 4 };        /* samples along a pixel's side */

/* World: lengths of some tens around (120, -35, 60).  Ball and box stand apart by 4. */
static const double ball[3] = {111, -38, 62}, ball_radius = 9;
static const double box_low[3] = {124, -45, 52}, box_high[3] = {138, -28, 68};

struct camera {
    double R[9], c[3];          /* world to camera, x right, y down, z forward; where it stands */
    double f, cx, cy;
    int width, height;
};

/* Camera n of N: rings at three heights, at distances and with an aim that vary a little. */
static inline struct camera
place_camera(int n, int N, int width, int height)
{
    const double turn = 2 * PF_PI * n / N * 5, rise = (n % 3 - 1) * 0.6 + 0.15,
                 away = 62 + 6 * sin(2.0 * n);
    const double aim[3] = {122 + 2 * sin(3.0 * n), -36 + 2 * cos(5.0 * n), 60 + sin(7.0 * n)};
    struct camera k = {.f = 1.15 * width, .cx = 0.5 * width + 1.7, .cy = 0.5 * height - 2.3,
                       .width = width, .height = height};
    const double out[3] = {cos(rise) * cos(turn), cos(rise) * sin(turn), sin(rise)},
                 up[3] = {0, 0, 1};
    double *right = k.R, *down = k.R + 3, *forward = k.R + 6;
    for (int i = 0; i < 3; i++) {
        k.c[i] = aim[i] + away * out[i];
        forward[i] = -out[i];
    }
    pf_cross3(right, forward, up);
    const double length = sqrt(pf_dot3(right, right));
    for (int i = 0; i < 3; i++)
        right[i] /= length;
    pf_cross3(down, forward, right);
    return k;
}

/* Along o + t d to the ball, or to the box; INFINITY past it.  The normal goes to normal. */
static inline double
hit_ball(double normal[3], const double o[3], const double d[3])
{
    const double to[3] = {o[0] - ball[0], o[1] - ball[1], o[2] - ball[2]};
    const double b = pf_dot3(to, d), under = b * b - pf_dot3(to, to) + ball_radius * ball_radius;
    const double t = under > 0 ? -b - sqrt(under) : INFINITY;
    for (int i = 0; i < 3 && t < INFINITY; i++)
        normal[i] = (to[i] + t * d[i]) / ball_radius;
    return t;
}

static inline double
hit_box(double normal[3], const double o[3], const double d[3])
{
    double near = -INFINITY, far = INFINITY;
    int axis = 0;
    for (int i = 0; i < 3; i++) {
        const double a = (box_low[i] - o[i]) / d[i], b = (box_high[i] - o[i]) / d[i];
        if (fmin(a, b) > near) {
            near = fmin(a, b);
            axis = i;
        }
        far = fmin(far, fmax(a, b));
    }
    for (int i = 0; i < 3; i++)
        normal[i] = i == axis ? (d[i] > 0 ? -1 : 1) : 0;
    return near < far ? near : INFINITY;
}

/* Colour 0..1 and whether the ray through (u, v) meets anything. */
static inline bool
trace(double rgb[3], const struct camera *k, double u, double v)
{
    const double in[3] = {(u - k->cx) / k->f, (v - k->cy) / k->f, 1};
    double d[3], n_ball[3], n_box[3];
    const double length = sqrt(pf_dot3(in, in));
    for (int i = 0; i < 3; i++)
        d[i] = (k->R[i] * in[0] + k->R[3 + i] * in[1] + k->R[6 + i] * in[2]) / length;
    const double t_ball = hit_ball(n_ball, k->c, d), t_box = hit_box(n_box, k->c, d);
    const double t = fmin(t_ball, t_box), *n = t_ball < t_box ? n_ball : n_box;
    if (t == INFINITY)
        return false;
    for (int i = 0; i < 3; i++)                 // matt, lit from all sides unevenly, striped
        rgb[i] = (0.35 + 0.2 * n[i] + (t_ball < t_box ? 0.25 * (i == 0) : 0.25 * (i == 2))) *
                 (1 + 0.2 * sin(0.9 * (k->c[i] + t * d[i])));
    return true;
}

static inline void
draw_picture(pf_image *image, const struct camera *k)
{
    assert_ok(pf_image_new(image, k->width, k->height, 4));
    for (int p = 0; p < k->width * k->height; p++) {
        double sum[3] = {0}, rgb[3];
        int hits = 0;
        for (int s = 0; s < SAMPLES * SAMPLES; s++)
            if (trace(rgb, k, p % k->width + (s % SAMPLES + 0.5) / SAMPLES,
                      p / k->width + (s / SAMPLES + 0.5) / SAMPLES)) {
                hits++;
                for (int i = 0; i < 3; i++)
                    sum[i] += rgb[i];
            }
        for (int i = 0; i < 3 && hits; i++)
            image->pixel[4 * p + i] = (uint8_t)(255 * fmin(sum[i] / hits, 1) + 0.5);
        image->pixel[4 * p + 3] = (uint8_t)(255.0 * hits / (SAMPLES * SAMPLES) + 0.5);
    }
}

/* r_0.png ... as RGBA; folder rgb: the same on grey without alpha; folder mask: alpha as grey. */
static inline void
draw_pictures(const struct camera *k, int n)
{
    pf_image rgba, rgb, mask;
    char name[64];
    mkdir("rgb", 0777);
    mkdir("mask", 0777);
    for (int i = 0; i < n; i++) {
        draw_picture(&rgba, &k[i]);
        assert_ok(pf_image_new(&rgb, k->width, k->height, 3));
        assert_ok(pf_image_new(&mask, k->width, k->height, 1));
        for (int p = 0; p < k->width * k->height; p++) {
            mask.pixel[p] = rgba.pixel[4 * p + 3];
            memcpy(rgb.pixel + 3 * p, rgba.pixel + 4 * p, 3);
        }
        snprintf(name, sizeof name, "r_%d.png", i);
        assert_ok(pf_image_save_png(&rgba, name));
        snprintf(name, sizeof name, "rgb/r_%d.png", i);
        assert_ok(pf_image_save_png(&rgb, name));
        snprintf(name, sizeof name, "mask/r_%d.png", i);
        assert_ok(pf_image_save_png(&mask, name));
        pf_image_release(&rgba);
        pf_image_release(&rgb);
        pf_image_release(&mask);
    }
}

/* One frame; the axes become x right, y up, z backward, the matrix camera to world. */
static inline void
print_frame(FILE *f, const struct camera *k, const char *picture, const char *more)
{
    fprintf(f, "{\"file_path\": \"%s\", %s\"transform_matrix\": [", picture, more);
    for (int i = 0; i < 3; i++)
        fprintf(f, "[%.12g, %.12g, %.12g, %.12g], ", k->R[i], -k->R[3 + i], -k->R[6 + i], k->c[i]);
    fprintf(f, "[0, 0, 0, 1]]}");
}

/* Names of pictures have no ending, as in the NeRF data sets. */
static inline void
write_transforms(const char *path, const char *lens, const char *pictures, const struct camera *k,
                 int n)
{
    FILE *f = fopen(path, "w");
    char name[64];
    assert_non_null(f);
    fprintf(f, "{%s,\n\"frames\": [\n", lens);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%sr_%d", pictures, i);
        print_frame(f, &k[i], name, "");
        fprintf(f, i + 1 < n ? ",\n" : "\n");
    }
    fprintf(f, "]}\n");
    assert_int_equal(fclose(f), 0);
}

static inline const char *
lens_of(char text[256], const struct camera *k)
{
    snprintf(text, 256,
             "\"fl_x\": %.12g, \"fl_y\": %.12g, \"cx\": %.12g, \"cy\": %.12g, \"w\": %d, \"h\": %d",
             k->f, k->f, k->cx, k->cy, k->width, k->height);
    return text;
}

/* The quaternion w, x, y, z of a rotation whose trace is large enough or not. */
static inline void
quaternion(double q[4], const double R[9])
{
    const double size[4] = {1 + R[0] + R[4] + R[8], 1 + R[0] - R[4] - R[8], 1 - R[0] + R[4] - R[8],
                            1 - R[0] - R[4] + R[8]};
    int most = 0;
    for (int i = 1; i < 4; i++)
        most = size[i] > size[most] ? i : most;
    const double row[4][4] = {{size[0], R[7] - R[5], R[2] - R[6], R[3] - R[1]},
                              {R[7] - R[5], size[1], R[1] + R[3], R[2] + R[6]},
                              {R[2] - R[6], R[1] + R[3], size[2], R[5] + R[7]},
                              {R[3] - R[1], R[2] + R[6], R[5] + R[7], size[3]}};
    for (int i = 0; i < 4; i++)
        q[i] = row[most][i] / (2 * sqrt(size[most]));
}

static inline void
write_colmap(const char *folder, const struct camera *k, int n)
{
    char path[128];
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/cameras.txt", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "# Camera list with one line of data per camera:\n7 PINHOLE %d %d %.12g %.12g %.12g "
            "%.12g\n",
            k->width, k->height, k->f, k->f, k->cx, k->cy);
    assert_int_equal(fclose(f), 0);
    snprintf(path, sizeof path, "%s/images.txt", folder);
    assert_non_null(f = fopen(path, "w"));
    fprintf(f, "# Image list with two lines of data per image:\n#\n");
    for (int i = 0; i < n; i++) {
        double q[4];
        quaternion(q, k[i].R);
        fprintf(f, "%d %.12g %.12g %.12g %.12g %.12g %.12g %.12g 7 r_%d.png\n", i + 1, q[0], q[1],
                q[2], q[3], -pf_dot3(k[i].R, k[i].c), -pf_dot3(k[i].R + 3, k[i].c),
                -pf_dot3(k[i].R + 6, k[i].c), i);
        fprintf(f, i % 2 ? "\n" : "12.5 13.25 -1 100.5 3.5 17\n");
    }
    assert_int_equal(fclose(f), 0);
}

/* Signed distance of a point of the world to the sphere, and to the box. */
static inline double
distance_to_ball(const double p[3])
{
    const double to[3] = {p[0] - ball[0], p[1] - ball[1], p[2] - ball[2]};
    return sqrt(pf_dot3(to, to)) - ball_radius;
}

static inline double
distance_to_box(const double p[3])
{
    double out[3], most = -INFINITY;
    for (int i = 0; i < 3; i++) {
        const double d = fmax(box_low[i] - p[i], p[i] - box_high[i]);
        most = fmax(most, d);
        out[i] = fmax(d, 0);
    }
    return most > 0 ? sqrt(pf_dot3(out, out)) : most;
}

/* The vertices of a binary PLY as pf-extract-mesh writes it; the caller frees. */
static inline float *
read_vertices(const char *path, int64_t *n)
{
    enum { STRIDE = 28 };       // x y z and the normal as floats, four bytes of colour
    char line[256];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *n = 0;
    while (fgets(line, sizeof line, f) && strcmp(line, "end_header\n"))
        sscanf(line, "element vertex %ld", n);
    assert_true(*n > 0);
    float *v = malloc((size_t)*n * 3 * sizeof *v);
    for (int64_t i = 0; i < *n; i++) {
        unsigned char bytes[STRIDE];
        assert_int_equal(fread(bytes, 1, STRIDE, f), STRIDE);
        memcpy(v + 3 * i, bytes, 3 * sizeof *v);
    }
    fclose(f);
    return v;
}

/* The centre of the sphere through points, by least squares: |p|^2 = 2 c.p + k, around an origin
 * near it so that the sums keep their digits. */
static inline void
fit_sphere(double center[3], const double *point, int64_t n, const double origin[3])
{
    double A[4][5] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        const double p[3] = {point[3 * i] - origin[0], point[3 * i + 1] - origin[1],
                             point[3 * i + 2] - origin[2]};
        const double row[5] = {2 * p[0], 2 * p[1], 2 * p[2], 1, pf_dot3(p, p)};
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 5; b++)
                A[a][b] += row[a] * row[b];
    }
    for (int a = 0; a < 4; a++)                 // Gauss and Jordan; A is positive definite
        for (int b = 0; b < 4; b++) {
            const double factor = A[b][a] / A[a][a];
            for (int c = 0; c < 5 && a != b; c++)
                A[b][c] -= factor * A[a][c];
        }
    for (int k = 0; k < 3; k++)
        center[k] = origin[k] + A[k][4] / A[k][k];
}

#endif
