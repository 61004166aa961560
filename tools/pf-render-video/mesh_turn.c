#include "tools/pf-render-video/mesh_turn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"

enum { FARTHEST = 224 };        /* the grey of the greatest depth, which white is behind */

struct mesh_turn {
    struct mesh_show show;
    pf_scene scene;
    pf_raster *raster;
    float *alpha, *depth;       /* [size, size], of the last view */
    float *normal;              /* [size, size, 3] */
    double radius;              /* of a ball around the origin that all of the mesh is in */
    int size;
};

/* Vertices of what is not drawn, glass, are none of it. */
static double
find_radius(const pf_scene *s)
{
    double most = 0;
    for (int64_t i = 0; i < 3 * s->triangles; i++) {
        const float *const p = s->position + 3 * (int64_t)s->index[i];
        most = fmax(most, (double)p[0] * p[0] + (double)p[1] * p[1] + (double)p[2] * p[2]);
    }
    return sqrt(most);
}

static pf_err
open_mesh(struct mesh_turn *m, pf_dev *dev, const char *path)
{
    struct pf_world world;
    if (!m->alpha || !m->depth || !m->normal)
        return pf_fail(PF_ENOMEM, "no memory for a frame of %d x %d", m->size, m->size);
    PF_TRY(pf_scene_read(&m->scene, path, PF_RASTER_SS * m->size));
    const struct pf_scene_place place = {
        .up = m->scene.up, .keep = m->show.keep_frame, .scale = 1, .fit = !m->show.keep_frame};
    pf_scene_place(&m->scene, &place, &world);
    m->radius = find_radius(&m->scene);
    return pf_raster_open(&m->raster, dev, &m->scene);
}

pf_err
mesh_turn_open(struct mesh_turn **out, pf_dev *dev, const char *path, int size,
               const struct mesh_show *show)
{
    struct mesh_turn *const m = calloc(1, sizeof *m);
    const size_t pixels = (size_t)size * size;
    *out = NULL;
    if (!m)
        return pf_fail(PF_ENOMEM, "no memory for the mesh");
    m->size = size;
    m->show = *show;
    m->alpha = malloc(pixels * sizeof *m->alpha);
    m->depth = malloc(pixels * sizeof *m->depth);
    m->normal = malloc(3 * pixels * sizeof *m->normal);
    const pf_err err = open_mesh(m, dev, path);
    if (err)
        mesh_turn_close(m);
    else
        *out = m;
    return err;
}

static uint8_t
to_byte(double v)
{
    return (uint8_t)(fmin(fmax(v, 0), 255) + 0.5);
}

/* Depth and normals are those of the pixels' middles: edges have steps. */
static void
paint_normals(uint8_t *to, const struct mesh_turn *m)
{
    for (int64_t i = 0; i < 3 * (int64_t)m->size * m->size; i++)
        to[i] = m->depth[i / 3] > 0 ? to_byte(127.5 + 127.5 * m->normal[i]) : 255;
}

static void
paint_depth(uint8_t *to, const struct mesh_turn *m)
{
    const double nearest = fmax(PF_RIG_DISTANCE - m->radius, 0);
    const double range = PF_RIG_DISTANCE + m->radius - nearest;
    for (int64_t i = 0; i < (int64_t)m->size * m->size; i++)
        memset(to + 3 * i, m->depth[i] > 0 ? to_byte(FARTHEST * (m->depth[i] - nearest) / range)
                                           : 255, 3);
}

pf_err
mesh_turn_view(pf_image *image, struct mesh_turn *m, double elevation, double azimuth)
{
    const struct pf_raster_view view = {.width = m->size, .height = m->size, .image = image->pixel,
                                        .alpha = m->alpha, .depth = m->depth, .normal = m->normal};
    struct pf_raster_camera camera;
    double pose[12], K[9];
    pf_camera_pose(pose, elevation, azimuth);
    pf_camera_intrinsics(K, m->size);
    pf_raster_aim(&camera, pose, K);
    PF_TRY(pf_raster_view(m->raster, &view, &camera, m->show.light));
    if (m->show.what == SHOW_NORMAL)
        paint_normals(image->pixel, m);
    if (m->show.what == SHOW_DEPTH)
        paint_depth(image->pixel, m);
    return PF_OK;
}

void
mesh_turn_close(struct mesh_turn *m)
{
    if (!m)
        return;
    pf_raster_close(m->raster);
    pf_scene_release(&m->scene);
    free(m->alpha);
    free(m->depth);
    free(m->normal);
    free(m);
}
