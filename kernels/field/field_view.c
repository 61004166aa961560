/* field_view.c - a camera's view of a field: its rays on the CPU, or all of it on a GPU
 * (field_view.h). */
#include "kernels/field/field_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"
#include "kernels/field/field_cuda.h"
#include "kernels/field/rays/ray.h"

struct pf_field_view {
    pf_field *field;
    int size;
    /* On the CPU alone: */
    int64_t n;                  /* rays of a view that can meet the object */
    float *origin, *dir, *rgb;  /* [n, 3], with room for all pixels */
    int64_t *pixel;             /* [n] where they belong */
    int *hits;                  /* [size] of a row */
};

static bool
hits_cube(const float o[3], const float d[3], double bound)
{
    double enter = 0, leave = INFINITY;
    for (int k = 0; k < 3; k++) {
        const double a = (-bound - o[k]) / d[k], b = (bound - o[k]) / d[k];
        if (d[k] == 0 && fabs(o[k]) > bound)
            return false;
        if (d[k] != 0) {
            enter = fmax(enter, fmin(a, b));
            leave = fmin(leave, fmax(a, b));
        }
    }
    return enter <= leave;
}

/* Bring a row's rays, which begin at its first pixel, to place to. */
static void
pull(pf_field_view *t, int row, int64_t to)
{
    const int64_t from = (int64_t)row * t->size, n = t->hits[row];
    memmove(t->origin + 3 * to, t->origin + 3 * from, 3 * (size_t)n * sizeof *t->origin);
    memmove(t->dir + 3 * to, t->dir + 3 * from, 3 * (size_t)n * sizeof *t->dir);
    memmove(t->pixel + to, t->pixel + from, (size_t)n * sizeof *t->pixel);
}

/* The rays of a view that can meet the object; the others are exactly white. */
static void
aim(pf_field_view *t, const double pose[12], const double K[9])
{
    const double bound = pf_field_bound(t->field);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < t->size; i++) {
        int64_t to = (int64_t)i * t->size;
        for (int j = 0; j < t->size; j++) {
            float *o = t->origin + 3 * to, *d = t->dir + 3 * to;
            pf_camera_ray(o, d, pose, K, j, i);
            t->pixel[to] = (int64_t)i * t->size + j;
            to += hits_cube(o, d, bound);
        }
        t->hits[i] = (int)(to - (int64_t)i * t->size);
    }
    t->n = 0;
    for (int i = 0; i < t->size; i++) {
        pull(t, i, t->n);
        t->n += t->hits[i];
    }
}

static bool
allocate(pf_field_view *t)
{
    const size_t pixels = (size_t)t->size * (size_t)t->size;
    t->origin = malloc(pixels * 3 * sizeof *t->origin);
    t->dir = malloc(pixels * 3 * sizeof *t->dir);
    t->rgb = malloc(pixels * 3 * sizeof *t->rgb);
    t->pixel = malloc(pixels * sizeof *t->pixel);
    t->hits = malloc((size_t)t->size * sizeof *t->hits);
    return t->origin && t->dir && t->rgb && t->pixel && t->hits;
}

pf_err
pf_field_view_open(pf_field_view **out, pf_field *field, int size)
{
    pf_field_view *const t = calloc(1, sizeof *t);
    *out = NULL;
    if (t) {
        t->field = field;
        t->size = size;
    }
    if (!t || (!field->cuda && !allocate(t))) {
        pf_field_view_close(t);
        return pf_fail(PF_ENOMEM, "no memory for a frame of %d x %d", size, size);
    }
    *out = t;
    return PF_OK;
}

pf_err
pf_field_view_see(pf_field_view *t, uint8_t *rgb, double elevation, double azimuth)
{
    double pose[12], K[9];
    pf_camera_pose(pose, elevation, azimuth);
    pf_camera_intrinsics(K, t->size);
    if (PF_CUDA && t->field->cuda)
        return pf_field_cuda_view(t->field, rgb, pose, K, t->size);
    aim(t, pose, K);
    PF_TRY(pf_field_render(t->field, t->rgb, NULL, NULL, t->origin, t->dir, t->n));
    memset(rgb, 255, 3 * (size_t)t->size * (size_t)t->size);
    for (int64_t k = 0; k < t->n; k++)
        for (int c = 0; c < 3; c++)
            rgb[3 * t->pixel[k] + c] = pf_ray_byte(t->rgb[3 * k + c]);
    return PF_OK;
}

void
pf_field_view_close(pf_field_view *t)
{
    if (!t)
        return;
    free(t->origin);
    free(t->dir);
    free(t->rgb);
    free(t->pixel);
    free(t->hits);
    free(t);
}
