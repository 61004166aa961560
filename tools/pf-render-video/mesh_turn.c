#include "tools/pf-render-video/mesh_turn.h"

#include <stdlib.h>

#include "common/camera.h"

struct mesh_turn {
    pf_scene scene;
    pf_raster *raster;
    float *alpha;               /* [size, size], of the last view */
    int size;
};

static pf_err
open_mesh(struct mesh_turn *m, pf_dev *dev, const char *path)
{
    struct pf_world world;
    if (!m->alpha)
        return pf_fail(PF_ENOMEM, "no memory for a frame of %d x %d", m->size, m->size);
    PF_TRY(pf_scene_read(&m->scene, path, PF_RASTER_SS * m->size));
    const struct pf_scene_place place = {.up = m->scene.up, .scale = 1, .fit = true};
    pf_scene_place(&m->scene, &place, &world);
    return pf_raster_open(&m->raster, dev, &m->scene);
}

pf_err
mesh_turn_open(struct mesh_turn **out, pf_dev *dev, const char *path, int size)
{
    struct mesh_turn *const m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return pf_fail(PF_ENOMEM, "no memory for the mesh");
    m->size = size;
    m->alpha = malloc((size_t)size * size * sizeof *m->alpha);
    const pf_err err = open_mesh(m, dev, path);
    if (err)
        mesh_turn_close(m);
    else
        *out = m;
    return err;
}

pf_err
mesh_turn_view(pf_image *image, struct mesh_turn *m, double elevation, double azimuth)
{
    const struct pf_raster_view view = {
        .width = m->size, .height = m->size, .image = image->pixel, .alpha = m->alpha};
    struct pf_raster_camera camera;
    double pose[12], K[9];
    pf_camera_pose(pose, elevation, azimuth);
    pf_camera_intrinsics(K, m->size);
    pf_raster_aim(&camera, pose, K);
    return pf_raster_view(m->raster, &view, &camera, PF_LIGHT_SOFT);
}

void
mesh_turn_close(struct mesh_turn *m)
{
    if (!m)
        return;
    pf_raster_close(m->raster);
    pf_scene_release(&m->scene);
    free(m->alpha);
    free(m);
}
