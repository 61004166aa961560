#include "tools/pf-render-mesh/cameras.h"

#include "common/camera.h"
#include "common/stream.h"

void
cameras_release(struct cameras *c)
{
    pf_tensor_release(&c->pose);
    pf_tensor_release(&c->intrinsics);
    pf_tensor_release(&c->elevation);
    pf_tensor_release(&c->azimuth);
}

pf_err
cameras_of_rig(struct cameras *c, int count, double elevation, int size)
{
    *c = (struct cameras){.count = count, .width = size, .height = size};
    return pf_rig_tensors(&c->pose, &c->intrinsics, &c->elevation, &c->azimuth, count, elevation,
                          size);
}

/* The checks of posed views want masks, which the cameras alone do not need. */
static pf_err
lend_alpha(pf_doc *doc)
{
    pf_tensor image, alpha;
    if (pf_doc_get(doc, "views.alpha"))
        return PF_OK;
    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    PF_TRY(pf_tensor_new(&alpha, PF_F32, 3, image.dim));
    return pf_doc_take(doc, "views.alpha", &alpha);
}

/* A copy of the document's tensor of that name, or none. */
static pf_err
copy(pf_tensor *t, const pf_doc *doc, const char *name, int64_t count)
{
    pf_tensor found;
    if (!pf_doc_get(doc, name))
        return PF_OK;
    PF_TRY(pf_doc_need(doc, name, PF_F32, 1, &count, &found));
    return pf_tensor_copy(t, &found);
}

static pf_err
take(struct cameras *c, pf_doc *doc)
{
    struct pf_posed_views v;
    double K[9];
    PF_TRY(lend_alpha(doc));
    PF_TRY(pf_posed_views_read(&v, doc));
    *c = (struct cameras){.count = v.count, .width = v.width, .height = v.height};
    PF_TRY(pf_tensor_copy(&c->pose, pf_doc_get(doc, "views.pose")));
    PF_TRY(pf_tensor_copy(&c->intrinsics, pf_doc_get(doc, "views.intrinsics")));
    PF_TRY(copy(&c->elevation, doc, "views.elevation", v.count));
    PF_TRY(copy(&c->azimuth, doc, "views.azimuth", v.count));
    for (int n = 0; n < v.count; n++) {
        pf_posed_views_intrinsics(K, &v, n);
        for (int i = 0; i < 9; i++)
            ((float *)c->intrinsics.data)[9 * n + i] = (float)K[i];
    }
    return PF_OK;
}

pf_err
cameras_read(struct cameras *c, const char *path)
{
    pf_doc doc = {0};
    pf_err err = pf_doc_read_file(&doc, path);
    if (!err)
        err = pf_stream_blame(path, take(c, &doc));
    pf_doc_release(&doc);
    return err;
}

void
cameras_aim(struct pf_raster_camera *camera, const struct cameras *c, int n)
{
    double pose[12], K[9];
    for (int i = 0; i < 12; i++)
        pose[i] = ((const float *)c->pose.data)[12 * n + i];
    for (int i = 0; i < 9; i++)
        K[i] = ((const float *)c->intrinsics.data)[9 * n + i];
    pf_raster_aim(camera, pose, K);
}

pf_err
cameras_put(pf_doc *doc, const struct cameras *c)
{
    PF_TRY(pf_doc_put(doc, "views.pose", &c->pose));
    PF_TRY(pf_doc_put(doc, "views.intrinsics", &c->intrinsics));
    if (c->elevation.data)
        PF_TRY(pf_doc_put(doc, "views.elevation", &c->elevation));
    return c->azimuth.data ? pf_doc_put(doc, "views.azimuth", &c->azimuth) : PF_OK;
}
