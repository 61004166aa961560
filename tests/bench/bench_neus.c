/* bench_neus - how fast and how well a field learns true views: for some procedural objects,
 * seconds, rays a second, Chamfer distance of the visible surface and volume IoU (evaluation.md,
 * 2).
 *
 *     make CUDA=0 bench && build/release/tests/bench/bench_neus [CONFIG [OBJECT...]]
 *
 * 16 views of 128 x 128 at one elevation, 4 x 4 rays a pixel, true coverage as mask.  Chamfer: what
 * 16 cameras at elevation 30 see of both surfaces, one point per voxel of 0.01.  IoU: signs at the
 * 64^3 nodes over [-1, 1]^3.  BENCH_TRACE=1 shows the losses on the way, BENCH_DEVICE=cuda
 * trains on a GPU.
 *
 * The objects are made of the same solids as those of tests/reference/objects.py, whose C half this
 * file includes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/camera.h"
#include "common/config.h"
#include "common/progress.h"
#include "kernels/field/field.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"    /* it is a library for Python */
#include "tests/reference/objects.c"
#pragma GCC diagnostic pop

enum { VIEWS = 16, SIZE = 128, EVAL = 256, MOST = 12 };

struct object {
    const char *name;
    float elevation_deg;
    int solids;
    float solid[MOST][PF_PARAMS];       /* kind, centre, sizes, round, yaw, two colours, band */
};
#define RED_ 0.85f, 0.16f, 0.14f, 0.85f, 0.16f, 0.14f, 0, -1
#define BLUE_ 0.16f, 0.32f, 0.75f, 0.16f, 0.32f, 0.75f, 0, -1
#define GREY_ 0.30f, 0.30f, 0.33f, 0.30f, 0.30f, 0.33f, 0, -1
#define SAND_ 0.78f, 0.74f, 0.66f, 0.78f, 0.74f, 0.66f, 0, -1
#define BANDED_ 0.95f, 0.55f, 0.12f, 0.12f, 0.60f, 0.62f, 0.02f, 0.05f

static const struct object objects[] = {
    {"box and ball", 30, 2, {
        {BOX, 0, 0, -0.25f, 0.35f, 0.35f, 0.25f, 0.03f, 0, BANDED_},
        {SPHERE, 0, 0, 0.22f, 0.28f, 0, 0, 0, 0, RED_}}},
    {"mug", 20, 2, {
        {CYLINDER, 0, 0, 0, 0.30f, 0, 0.45f, 0.04f, 0, BLUE_},
        {RING, 0, 0.32f, 0, 0.18f, 0.045f, 0, 0, 0, SAND_}}},
    {"table", 5, 5, {
        {BOX, 0, 0, 0.25f, 0.45f, 0.45f, 0.04f, 0.01f, 0, SAND_},
        {BOX, 0.38f, 0.38f, -0.1f, 0.05f, 0.05f, 0.35f, 0.01f, 0, RED_},
        {BOX, -0.38f, 0.38f, -0.1f, 0.05f, 0.05f, 0.35f, 0.01f, 0, RED_},
        {BOX, 0.38f, -0.38f, -0.1f, 0.05f, 0.05f, 0.35f, 0.01f, 0, RED_},
        {BOX, -0.38f, -0.38f, -0.1f, 0.05f, 0.05f, 0.35f, 0.01f, 0, RED_}}},
    {"stack", 0, 3, {
        {TORUS, 0, 0, -0.38f, 0.3f, 0.12f, 0, 0, 0, GREY_},
        {CONE, 0, 0, -0.05f, 0.25f, 0.12f, 0.25f, 0.02f, 0, BANDED_},
        {BOX, 0, 0, 0.33f, 0.2f, 0.2f, 0.15f, 0.03f, 0.7854f, BLUE_}}},
    {"dark column", 50, 3, {
        {CYLINDER, 0, 0, -0.35f, 0.32f, 0, 0.13f, 0.02f, 0, GREY_},
        {CYLINDER, 0, 0, 0, 0.16f, 0, 0.3f, 0.02f, 0, GREY_},
        {SPHERE, 0, 0, 0.28f, 0.22f, 0, 0, 0, 0, GREY_}}},
    {"head with ears", 30, 4, {
        {SPHERE, 0, 0, 0.1f, 0.33f, 0, 0, 0, 0, SAND_},
        {SPHERE, 0, 0.36f, 0.3f, 0.12f, 0, 0, 0, 0, RED_},
        {SPHERE, 0, -0.36f, 0.3f, 0.12f, 0, 0, 0, 0, RED_},
        {CONE, 0, 0, -0.32f, 0.28f, 0.15f, 0.14f, 0.02f, 0, BLUE_}}},
};
enum { OBJECTS = sizeof objects / sizeof *objects };

/* ---- truth ---- */

static float
truth(const struct object *o, const float *p)
{
    int nearest;
    return object_sdf(o->solid[0], o->solids, (struct vec){p[0], p[1], p[2]}, &nearest);
}

/* Views of an object, as pf-mask hands them on. */
static void
look(const struct object *o, uint8_t *image, float *alpha, const float *pose)
{
    float *rgba = malloc(sizeof(float) * VIEWS * SIZE * SIZE * 4);
    objects_render(rgba, o->solid[0], o->solids, pose, VIEWS, 280.0f * SIZE / 256, SIZE, 4);
    for (int i = 0; i < VIEWS * SIZE * SIZE; i++) {
        alpha[i] = rgba[4 * i + 3];
        for (int k = 0; k < 3; k++)
            image[3 * i + k] = (uint8_t)((rgba[4 * i + k] * alpha[i] + 1 - alpha[i]) * 255 + 0.5f);
    }
    free(rgba);
}

/* ---- comparison ---- */

enum { N = 192 };
struct grid {
    float bound, *sdf;          /* [N, N, N] x, y, z over the cube */
};

static float
grid_at(const struct grid *g, const float *p)
{
    int c[3];
    float f[3], sum = 0;
    for (int k = 0; k < 3; k++) {
        const float u = (p[k] / g->bound + 1) * 0.5f * (N - 1);
        if (!(u >= 0 && u < N - 1))
            return 1;
        c[k] = (int)u;
        f[k] = u - (float)c[k];
    }
    for (int i = 0; i < 8; i++)
        sum += (i & 1 ? f[0] : 1 - f[0]) * (i & 2 ? f[1] : 1 - f[1]) * (i & 4 ? f[2] : 1 - f[2]) *
               g->sdf[((int64_t)(c[0] + (i & 1)) * N + c[1] + (i >> 1 & 1)) * N + c[2] + (i >> 2)];
    return sum;
}

static void
fill_grid(struct grid *g, pf_field *f)
{
    float *x = malloc(sizeof(float) * 3 * N * N);
    g->bound = (float)pf_field_bound(f);
    g->sdf = malloc(sizeof(float) * N * N * N);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N * N; j++) {
            x[3 * j] = ((float)i / (N - 1) * 2 - 1) * g->bound;
            x[3 * j + 1] = ((float)(j / N) / (N - 1) * 2 - 1) * g->bound;
            x[3 * j + 2] = ((float)(j % N) / (N - 1) * 2 - 1) * g->bound;
        }
        pf_must(pf_field_sdf(f, g->sdf + (int64_t)i * N * N, x, N * N));
    }
    free(x);
}

/* The first zero along a ray, of the grid or, without one, of the object; false: none. */
static bool
hit(float *at, const struct object *o, const struct grid *g, const float *origin, const float *dir)
{
    float before = 1, t = 0.6f, last = 0.6f;
    for (int step = 0; step < 2000 && t < 2.4f; step++) {
        const float p[3] = {origin[0] + t * dir[0], origin[1] + t * dir[1], origin[2] + t * dir[2]};
        const float d = g ? grid_at(g, p) : truth(o, p);
        if (d <= 0 && step) {
            const float z = last + (t - last) * before / (before - d);
            for (int k = 0; k < 3; k++)
                at[k] = origin[k] + z * dir[k];
            return true;
        }
        before = d;
        last = t;
        t += fminf(fmaxf(0.5f * d, 0.003f), 0.02f);
    }
    return false;
}

static int
by_voxel(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

struct voxel_point {
    int64_t voxel;
    float x[3];
};

/* Visible points, one per voxel of 0.01: the mean of what fell into it.  Returns their number. */
static int
visible(float *points, const struct object *o, const struct grid *g)
{
    const int pixels = VIEWS * EVAL * EVAL;
    struct voxel_point *v = calloc((size_t)pixels, sizeof *v);
    double K[9];
    int n = 0;
    pf_camera_intrinsics(K, EVAL);
#pragma omp parallel for schedule(dynamic, 256)
    for (int i = 0; i < pixels; i++) {
        double pose[12];
        float origin[3], dir[3];
        pf_camera_pose(pose, PF_PI / 6, pf_rig_azimuth(i / (EVAL * EVAL), VIEWS));
        pf_camera_ray(origin, dir, pose, K, i % EVAL, i / EVAL % EVAL);
        v[i].voxel = -1;
        if (hit(v[i].x, o, g, origin, dir))
            v[i].voxel = ((int64_t)((v[i].x[0] + 2) * 100) * 1000 +
                          (int64_t)((v[i].x[1] + 2) * 100)) * 1000 +
                         (int64_t)((v[i].x[2] + 2) * 100);
    }
    qsort(v, (size_t)pixels, sizeof *v, by_voxel);
    for (int i = 0, end; i < pixels; i = end) {
        double sum[3] = {0};
        for (end = i; end < pixels && v[end].voxel == v[i].voxel; end++)
            for (int k = 0; k < 3; k++)
                sum[k] += v[end].x[k];
        for (int k = 0; k < 3 && v[i].voxel >= 0; k++)
            points[3 * n + k] = (float)(sum[k] / (end - i));
        n += v[i].voxel >= 0;
    }
    free(v);
    return n;
}

/* Mean distance from each of a [n, 3] to the nearest of b [m, 3]. */
static double
one_way(const float *a, int n, const float *b, int m)
{
    double sum = 0;
    float *x = malloc(sizeof(float) * 3 * (size_t)(m + 1));
    for (int j = 0; j < 3 * m; j++)
        x[j % 3 * m + j / 3] = b[j];
#pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        float best = 1e9f;
#pragma omp simd reduction(min : best)
        for (int j = 0; j < m; j++) {
            const float p = x[j] - a[3 * i], q = x[m + j] - a[3 * i + 1];
            const float r = x[2 * m + j] - a[3 * i + 2];
            best = fminf(best, p * p + q * q + r * r);
        }
        sum += sqrt(best);
    }
    free(x);
    return n ? sum / n : NAN;
}

static void
compare(double *chamfer, double *iou, const struct object *o, pf_field *f)
{
    struct grid g;
    float *a = malloc(sizeof(float) * 3 * VIEWS * EVAL * EVAL);
    float *b = malloc(sizeof(float) * 3 * VIEWS * EVAL * EVAL);
    int both = 0, either = 0;
    fill_grid(&g, f);
    const int n = visible(a, o, &g), m = visible(b, o, NULL);
    *chamfer = (one_way(a, n, b, m) + one_way(b, m, a, n)) / 2;
    for (int i = 0; i < 64 * 64 * 64; i++) {
        const float p[3] = {(float)(i / 4096) / 32 - 1, (float)(i / 64 % 64) / 32 - 1,
                            (float)(i % 64) / 32 - 1};
        const bool in = grid_at(&g, p) < 0, want = truth(o, p) < 0;
        both += in && want;
        either += in || want;
    }
    *iou = (double)both / either;
    free(g.sdf);
    free(a);
    free(b);
}

/* Time of the CPU in all threads, which a busy machine does not blur. */
static double
cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
bench(const struct object *o, pf_dev *dev)
{
    pf_tensor pose, K;
    pf_field *f;
    pf_trainer *t;
    struct pf_field_losses losses = {0};
    uint8_t *image = malloc(VIEWS * SIZE * SIZE * 3);
    float *alpha = malloc(sizeof(float) * VIEWS * SIZE * SIZE);
    double chamfer, iou, psnr = 0;
    pf_must(pf_rig_tensors(&pose, &K, NULL, NULL, VIEWS, o->elevation_deg * PF_PI / 180, SIZE));
    look(o, image, alpha, pose.data);
    const struct pf_field_views views = {VIEWS, SIZE, SIZE, image, alpha, pose.data, K.data};
    const double start = pf_seconds(), used = cpu_seconds();
    pf_must(pf_field_new(&f, dev, &pf_conf.neus, 6033));
    pf_must(pf_trainer_new(&t, f, &views, &pf_conf.neus, 6033));
    for (int i = 0; i < pf_conf.neus.steps; i++) {
        pf_must(pf_trainer_step(t, &losses));
        psnr += i >= pf_conf.neus.steps - 50 ? losses.psnr / 50 : 0;
        if (getenv("BENCH_TRACE") && i % 100 == 99)
            fprintf(stderr, "%d %.1f s: loss %.4f rgb %.4f mask %.5f eikonal %.4f psnr %.2f\n",
                    i + 1, pf_seconds() - start, losses.total, losses.rgb, losses.mask,
                    losses.eikonal, losses.psnr);
    }
    const double seconds = pf_seconds() - start, cpu = cpu_seconds() - used;
    compare(&chamfer, &iou, o, f);
    printf("%-16s %6.1f s (%.1f of CPU) %7.0f rays/s  psnr %5.2f  chamfer %.5f  iou %.4f\n",
           o->name, seconds, cpu, (double)losses.rays * pf_conf.neus.steps / seconds, psnr,
           chamfer, iou);
    fflush(stdout);
    pf_trainer_free(t);
    pf_field_free(f);
    pf_tensor_release(&pose);
    pf_tensor_release(&K);
    free(image);
    free(alpha);
}

int
main(int argc, char *argv[])
{
    pf_dev *dev;
    pf_must(pf_config_load(&pf_conf, argc > 1 ? argv[1] : "configs/neus.yaml"));
    pf_must(pf_dev_open(&dev, getenv("BENCH_DEVICE") ? getenv("BENCH_DEVICE") : "cpu", NULL));
    for (int i = 0; i < OBJECTS; i++) {
        bool wanted = argc < 3;
        for (int k = 2; k < argc; k++)
            wanted |= strstr(objects[i].name, argv[k]) != NULL;
        if (wanted)
            bench(&objects[i], dev);
    }
    pf_dev_close(dev);
    return 0;
}
