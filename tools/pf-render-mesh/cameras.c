#include "tools/pf-render-mesh/cameras.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "common/camera.h"
#include "common/capture.h"
#include "common/stream.h"
#include "common/text.h"

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
    *c = (struct cameras){.count = count, .width = size, .height = size, .in_cube = true};
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
    *c = (struct cameras){
        .count = v.count, .width = v.width, .height = v.height, .in_cube = true};
    c->placed = pf_doc_get_meta(doc, "pf.world");
    if (c->placed)
        PF_TRY(pf_world_need(&c->world, doc));
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

static pf_err
read_document(struct cameras *c, const char *path)
{
    pf_doc doc = {0};
    pf_err err = pf_doc_read_file(&doc, path);
    if (!err)
        err = pf_stream_blame(path, take(c, &doc));
    pf_doc_release(&doc);
    return err;
}

/* ---- as other programs write them down ---- */

/* What the angle of a lens alone says is true for pictures of any size. */
static pf_err
take_size(struct cameras *c, const struct pf_capture *from, int size)
{
    const struct pf_shot *const first = &from->shot[0];
    c->width = first->width ? first->width : size;
    c->height = first->height ? first->height : size;
    for (int n = 0; n < from->shots; n++) {
        const struct pf_shot *const s = &from->shot[n];
        if (s->width != first->width || s->height != first->height)
            return pf_fail(PF_ESHAPE, "%s: views are of one size, expected %d x %d", s->where,
                           first->width, first->height);
        if (!(s->width && s->height) && !(isnan(s->fx) && isnan(s->fy)))
            return pf_fail(PF_EFORMAT, "%s has a focal length in pixels, but no w and h", s->where);
    }
    if (c->width > PF_VIEW_SIDE_MAX || c->height > PF_VIEW_SIDE_MAX)
        return pf_fail(PF_ESHAPE, "%s: %d x %d pixels, expected sides of at most %d", first->where,
                       c->width, c->height, PF_VIEW_SIDE_MAX);
    return PF_OK;
}

static pf_err
take_shots(struct cameras *c, const struct pf_capture *from, int size)
{
    *c = (struct cameras){.count = from->shots};
    PF_TRY(take_size(c, from, size));
    PF_TRY(PF_TENSOR_NEW(&c->pose, PF_F32, c->count, 3, 4));
    PF_TRY(PF_TENSOR_NEW(&c->intrinsics, PF_F32, c->count, 3, 3));
    for (int n = 0; n < c->count; n++) {
        const struct pf_shot *const s = &from->shot[n];
        float *const pose = (float *)c->pose.data + 12 * n;
        double K[9];
        for (int i = 0; i < 12; i++)
            pose[i] = (float)(i % 4 == 3 ? s->t[i / 4] : s->R[i / 4 * 3 + i % 4]);
        pf_shot_intrinsics(K, s, c->width, c->height);
        for (int i = 0; i < 9; i++)
            ((float *)c->intrinsics.data)[9 * n + i] = (float)K[i];
    }
    return PF_OK;
}

static pf_err
read_capture(struct cameras *c, const char *path, int size)
{
    struct pf_capture from = {.cameras_alone = true};
    pf_err err = pf_capture_read(&from, path, NULL);
    if (!err)
        err = take_shots(c, &from, size);
    pf_capture_release(&from);
    return err;
}

pf_err
cameras_read(struct cameras *c, const char *path, int size)
{
    struct stat st;
    const bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    return folder || strcmp(pf_name_ending(path), "json") == 0 ? read_capture(c, path, size)
                                                                : read_document(c, path);
}

/* R X + t with X = cube / scale + center: all of it times the scale is R cube + scale (R center +
 * t). */
void
cameras_move(struct cameras *c, const struct pf_world *world)
{
    for (int n = 0; n < c->count; n++)
        for (int i = 0; i < 3; i++) {
            float *const row = (float *)c->pose.data + 12 * n + 4 * i;
            row[3] = (float)(world->scale * (row[0] * world->center[0] + row[1] * world->center[1] +
                                             row[2] * world->center[2] + row[3]));
        }
    c->in_cube = true;
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
