/* rig.c - what the cameras of one target elevation decide (cameras.md; networks.md, 5.2, 5.4). */
#include "common/camera.h"
#include "tools/pf-sample/rig.h"

/* proj = diag(1/8, 1/8, 1) K [R | t];  unproj = [R^T (that K)^-1 | -R^T t]. */
static void
projections(float proj[12], float unproj[12], const double P[12], const double K[9])
{
    const double f = K[0] / 8, cx = K[2] / 8, cy = K[5] / 8;
    for (int c = 0; c < 4; c++) {
        proj[c] = (float)(f * P[c] + cx * P[8 + c]);
        proj[4 + c] = (float)(f * P[4 + c] + cy * P[8 + c]);
        proj[8 + c] = (float)P[8 + c];
    }
    for (int r = 0; r < 3; r++) {
        unproj[4 * r] = (float)(P[r] / f);
        unproj[4 * r + 1] = (float)(P[4 + r] / f);
        unproj[4 * r + 2] = (float)(P[8 + r] - (cx * P[r] + cy * P[4 + r]) / f);
        unproj[4 * r + 3] = (float)-(P[r] * P[3] + P[4 + r] * P[7] + P[8 + r] * P[11]);
    }
}

/* Make the Pluecker maps and epipolar masks at every side of the UNet. */
static pf_err
spad_views(struct run *r, struct rig *w, float elevation, float input_elevation,
           float input_azimuth)
{
    pf_tensor host = {0}, cameras = {0};        /* [V, 2, 4, 3]: target, input */
    pf_err err;
    PF_TRY(PF_TENSOR_NEW(&host, PF_F64, w->V, 2, 4, 3));
    for (int64_t v = 0; v < w->V; v++) {
        struct pf_spad_camera *const pair = (struct pf_spad_camera *)host.data + 2 * v;
        pf_spad_camera(&pair[0], elevation, ((float *)w->azimuth.data)[v]);
        pf_spad_camera(&pair[1], input_elevation, input_azimuth);
    }
    if ((err = pf_dev_alloc(r->dev, &cameras, PF_F64, 4, host.dim)) ||
        (err = pf_dev_put(r->dev, &cameras, &host)))
        goto out;
    for (int i = 0; i < UNET_LEVELS; i++) {
        const int h = w->side >> i, T = 2 * h * h;
        if ((err = PF_ALLOC(r->dev, &w->plucker[i], pf_dev_dtype(r->dev), w->V, T, 6)) ||
            (err = PF_ALLOC(r->dev, &w->mask[i], PF_U32, w->V, T, (T + 31) / 32)) ||
            (err = pf_plucker_tokens(r->dev, &w->plucker[i], &cameras, w->side, h)) ||
            (err = pf_epipolar_mask(r->dev, &w->mask[i], &cameras, w->side, h)))
            goto out;
    }
out:
    pf_tensor_release(&host);
    return err;
}

static pf_err
put_f32(struct run *r, pf_tensor *to, float *host, int64_t V)
{
    const pf_tensor t = PF_VIEW(host, PF_F32, V, 3, 4);
    PF_TRY(pf_dev_alloc(r->dev, to, PF_F32, 3, t.dim));
    return pf_dev_put(r->dev, to, &t);
}

static pf_err
place_cameras(struct run *r, struct rig *w, float elevation, float input_elevation,
              float input_azimuth, int image_size)
{
    pf_tensor proj = {0}, unproj = {0};
    double P[12], K[9];
    pf_err err;
    PF_TRY(PF_TENSOR_NEW(&w->embed, PF_F32, w->V, 4));
    if ((err = PF_TENSOR_NEW(&proj, PF_F32, w->V, 3, 4)) ||
        (err = PF_TENSOR_NEW(&unproj, PF_F32, w->V, 3, 4)))
        goto out;
    pf_camera_intrinsics(K, image_size);
    for (int64_t v = 0; v < w->V; v++) {
        const float azimuth = ((float *)w->azimuth.data)[v];
        pf_camera_pose(P, elevation, azimuth);
        projections((float *)proj.data + 12 * v, (float *)unproj.data + 12 * v, P, K);
        pf_viewpoint_embed((float *)w->embed.data + 4 * v, input_elevation, elevation, azimuth,
                           input_azimuth);
    }
    if ((err = put_f32(r, &w->proj, proj.data, w->V)) ||
        (err = put_f32(r, &w->unproj, unproj.data, w->V)))
        goto out;
    err = run_put(r, &w->v, &w->embed);
out:
    pf_tensor_release(&proj);
    pf_tensor_release(&unproj);
    return err;
}

pf_err
rig_make(struct run *r, struct rig *w, const struct pf_config *conf, bool spad, float elevation,
         float input_elevation, float input_azimuth)
{
    *w = (struct rig){.V = conf->model.view_num, .side = conf->model.image_size / 8};
    PF_TRY(pf_rig_tensors(&w->pose, &w->intrinsics, &w->elevation, &w->azimuth,
                          conf->model.view_num, elevation, conf->model.image_size));
    PF_TRY(place_cameras(r, w, elevation, input_elevation, input_azimuth, conf->model.image_size));
    return spad ? spad_views(r, w, elevation, input_elevation, input_azimuth) : PF_OK;
}

void
rig_release(struct rig *w)
{
    pf_tensor_release(&w->pose);
    pf_tensor_release(&w->intrinsics);
    pf_tensor_release(&w->elevation);
    pf_tensor_release(&w->azimuth);
    pf_tensor_release(&w->embed);
}
