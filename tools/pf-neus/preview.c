#include "tools/pf-neus/preview.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/camera.h"
#include "common/image.h"
#include "common/progress.h"

/* The first view, of which every stride-th pixel of both axes is shown. */
struct shown {
    int width, height, stride;
    float *origin, *dir;        /* [height, width, 3], as all below but for opacity */
    float *rgb, *normal, *opacity;
};

void
preview_begin(struct preview *p, pf_field *field, const struct pf_field_views *views)
{
    p->field = field;
    p->views = views;
    p->start = pf_seconds();
    p->spent = p->cost = 0;
}

void
preview_end(const struct preview *p)
{
    if (p->folder)
        pf_stage_time("previews", p->spent);
}

static void
aim(struct shown *s, const struct pf_field_views *v)
{
    double pose[12], K[9];
    for (int k = 0; k < 12; k++)
        pose[k] = v->pose[k];
    for (int k = 0; k < 9; k++)
        K[k] = v->intrinsics[k];
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++) {
            const size_t at = 3 * ((size_t)i * (size_t)s->width + (size_t)j);
            pf_camera_ray(s->origin + at, s->dir + at, pose, K, j * s->stride, i * s->stride);
        }
}

static uint8_t
to_byte(float v)
{
    return (uint8_t)(255 * fminf(fmaxf(v, 0), 1));
}

/* One pixel of the picture: field, target, normal; -1 to 1 of a normal is 0 to 1 of a colour. */
static void
draw_pixel(pf_image *to, const struct shown *s, const struct pf_field_views *v, int i, int j)
{
    const size_t at = (size_t)i * (size_t)s->width + (size_t)j;
    const float *n = s->normal + 3 * at;
    const float length = sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]), o = s->opacity[at];
    const size_t row = (size_t)i * (size_t)to->width;
    const size_t from = (size_t)(i * s->stride) * (size_t)v->width + (size_t)(j * s->stride);
    uint8_t *field = to->pixel + 3 * (row + (size_t)j);
    uint8_t *target = field + 3 * (size_t)s->width, *normal = target + 3 * (size_t)s->width;
    for (int k = 0; k < 3; k++) {
        field[k] = to_byte(s->rgb[3 * at + (size_t)k]);
        target[k] = v->image[3 * from + (size_t)k];
        normal[k] = to_byte(1 - o + o * (length > 0 ? 0.5f + 0.5f * n[k] / length : 1));
    }
}

static pf_err
write_picture(const struct shown *s, const struct preview *p, int step)
{
    char path[4096];
    pf_image picture;
    if (snprintf(path, sizeof path, "%s/%06d.png", p->folder, step) >= (int)sizeof path)
        return pf_fail(PF_EIO, "--preview: the name of the folder is too long");
    PF_TRY(pf_image_new(&picture, 3 * s->width, s->height, 3));
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++)
            draw_pixel(&picture, s, p->views, i, j);
    const pf_err err = pf_image_save_png(&picture, path);
    pf_image_release(&picture);
    return err;
}

static pf_err
show(const struct preview *p, int step)
{
    const struct pf_field_views *v = p->views;
    const int longer = v->width > v->height ? v->width : v->height;
    const int stride = (longer + PREVIEW_SIDE - 1) / PREVIEW_SIDE;
    struct shown s = {(v->width + stride - 1) / stride, (v->height + stride - 1) / stride, stride,
                      NULL, NULL, NULL, NULL, NULL};
    const size_t n = (size_t)s.width * (size_t)s.height;
    float *memory = malloc(13 * n * sizeof *memory);
    if (!memory)
        return pf_fail(PF_ENOMEM, "no memory for a preview");
    s.origin = memory;
    s.dir = memory + 3 * n;
    s.rgb = memory + 6 * n;
    s.normal = memory + 9 * n;
    s.opacity = memory + 12 * n;
    aim(&s, v);
    pf_err err = pf_field_render(p->field, s.rgb, s.opacity, s.normal, s.origin, s.dir, (int64_t)n);
    if (!err)
        err = write_picture(&s, p, step);
    free(memory);
    return err;
}

pf_err
preview_step(struct preview *p, int step, bool last)
{
    const double now = pf_seconds();
    if (!p->folder || (step % p->every && !last))
        return PF_OK;
    if (!last && p->spent + p->cost > PREVIEW_SHARE * (now - p->start))
        return PF_OK;
    PF_TRY(show(p, step));
    p->cost = pf_seconds() - now;
    p->spent += p->cost;
    return PF_OK;
}
