#include "tools/pf-render-video/turntable.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"

struct rays {
    int64_t n;
    float *origin, *dir, *rgb;  /* [n, 3] */
    int64_t *pixel;             /* [n] where they belong */
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

/* The rays of a view that can meet the object; the others are exactly white. */
static void
aim(struct rays *r, int size, double elevation, double azimuth, double bound)
{
    double pose[12], K[9];
    pf_camera_pose(pose, elevation, azimuth);
    pf_camera_intrinsics(K, size);
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            float *o = r->origin + 3 * r->n, *d = r->dir + 3 * r->n;
            pf_camera_ray(o, d, pose, K, j, i);
            r->pixel[r->n] = (int64_t)i * size + j;
            r->n += hits_cube(o, d, bound);
        }
}

static uint8_t
to_byte(float v)
{
    return (uint8_t)(255 * fminf(fmaxf(v, 0), 1));      // the original lets values over 1 wrap
}

pf_err
pf_render_view(pf_image *image, pf_field *field, double elevation, double azimuth)
{
    const size_t pixels = (size_t)image->width * image->height;
    struct rays r = {0};
    r.origin = malloc((pixels + 1) * 3 * sizeof *r.origin);
    r.dir = malloc((pixels + 1) * 3 * sizeof *r.dir);
    r.rgb = malloc((pixels + 1) * 3 * sizeof *r.rgb);
    r.pixel = malloc((pixels + 1) * sizeof *r.pixel);
    pf_err err = PF_OK;
    if (!r.origin || !r.dir || !r.rgb || !r.pixel) {
        err = pf_fail(PF_ENOMEM, "no memory for a frame of %d x %d", image->width, image->height);
        goto out;
    }
    aim(&r, image->width, elevation, azimuth, pf_field_bound(field));
    if ((err = pf_field_render(field, r.rgb, NULL, NULL, r.origin, r.dir, r.n)))
        goto out;
    memset(image->pixel, 255, pixels * 3);
    for (int64_t k = 0; k < r.n; k++)
        for (int c = 0; c < 3; c++)
            image->pixel[3 * r.pixel[k] + c] = to_byte(r.rgb[3 * k + c]);
out:
    free(r.origin);
    free(r.dir);
    free(r.rgb);
    free(r.pixel);
    return err;
}
