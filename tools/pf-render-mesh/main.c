/* pf-render-mesh - what the rig's cameras, or given ones, see of a mesh with its materials.
 * in:  GLB, glTF, OBJ, PLY, STL, COLLADA or FBX files
 * out: a document for each mesh and elevation: views.image u8 [N, H, W, 3], views.alpha,
 *      views.depth f32 [N, H, W], views.normal [N, H, W, 3], views.pose, views.intrinsics,
 *      views.elevation, views.azimuth, and pf.world */
#include <string.h>

#include "common/batch.h"
#include "common/camera.h"
#include "common/opt.h"
#include "common/pattern.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "common/seen.h"
#include "kernels/raster/raster.h"
#include "tools/pf-render-mesh/cameras.h"

static struct {
    struct pf_list elevation_deg;
    const char *cameras, *light, *up;
    int view_num, size;
    double scale, yaw_deg;
    bool keep_frame, fit;
} opt = {.elevation_deg = {.n = 1, .v = {30}}, .light = "soft", .up = "auto", .view_num = 16,
         .size = 256, .scale = 1};

static const struct pf_opt opts[] = {
    PF_OPT_LIST(0, "elevation", opt.elevation_deg, "DEG[,DEG...]",
                "of the rig's cameras; a document for each", -89, 89),
    PF_OPT_INT(0, "view-num", opt.view_num, "N", "views of a document", 1, PF_VIEWS_MAX),
    PF_OPT_INT(0, "size", opt.size, "PX", "side of a view", 16, PF_VIEW_SIDE_MAX),
    PF_OPT_STR(0, "cameras", opt.cameras, "FILE",
               "take the cameras of a document of views, a transforms.json or COLMAP's texts"),
    PF_OPT_CHOICE(0, "light", opt.light, "soft|flat|studio",
                  "soft: mostly from above; flat: colours as they are; studio: three lamps"),
    PF_OPT_CHOICE(0, "up", opt.up, "auto|y|z",
                  "the mesh's axis that is up; auto: y but for PLY and STL, and as FBX says"),
    PF_OPT_FLAG(0, "keep-frame", opt.keep_frame, "leave the mesh where it is, and as large"),
    PF_OPT_REAL(0, "scale", opt.scale, "S", "longest edge of the mesh's box", 1e-3, 1e3),
    PF_OPT_FLAG(0, "fit", opt.fit, "less, if the rig does not see all of it from everywhere"),
    PF_OPT_REAL(0, "yaw", opt.yaw_deg, "DEG", "turn the mesh about the vertical axis", -360, 360),
    PF_OPT_END};

/* ---- one document ---- */

struct views {
    pf_tensor image, alpha, depth, normal;
};

static pf_err
views_new(struct views *v, const struct cameras *c)
{
    const int64_t N = c->count, H = c->height, W = c->width;
    *v = (struct views){0};
    if (N * H * W > INT32_MAX)
        return pf_fail(PF_ESHAPE, "%lld views of %lld x %lld are more than 2^31 pixels",
                       (long long)N, (long long)W, (long long)H);
    PF_TRY(PF_TENSOR_NEW(&v->image, PF_U8, N, H, W, 3));
    PF_TRY(PF_TENSOR_NEW(&v->alpha, PF_F32, N, H, W));
    PF_TRY(PF_TENSOR_NEW(&v->depth, PF_F32, N, H, W));
    return PF_TENSOR_NEW(&v->normal, PF_F32, N, H, W, 3);
}

static void
views_release(struct views *v)
{
    pf_tensor_release(&v->image);
    pf_tensor_release(&v->alpha);
    pf_tensor_release(&v->depth);
    pf_tensor_release(&v->normal);
}

static pf_err
draw(struct views *v, pf_raster *raster, const struct cameras *c)
{
    const int64_t pixels = (int64_t)c->width * c->height;
    pf_progress progress;
    pf_err err = PF_OK;
    pf_progress_start(&progress, "rendering", c->count);
    for (int n = 0; n < c->count && !err; n++) {
        struct pf_raster_camera camera;
        const struct pf_raster_view view = {
            .width = c->width,
            .height = c->height,
            .image = (uint8_t *)v->image.data + 3 * n * pixels,
            .alpha = (float *)v->alpha.data + n * pixels,
            .depth = (float *)v->depth.data + n * pixels,
            .normal = (float *)v->normal.data + 3 * n * pixels,
        };
        cameras_aim(&camera, c, n);
        err = pf_raster_view(raster, &view, &camera, pf_light_find(opt.light));
        pf_progress_step(&progress, n + 1, "%s", "");
    }
    pf_progress_end(&progress);
    return err;
}

/* A mesh that the frame cuts is mostly one that nobody wanted so. */
static void
warn_of_edges(const struct views *v, const char *path)
{
    const int64_t N = v->alpha.dim[0], H = v->alpha.dim[1], W = v->alpha.dim[2];
    int cut = 0, empty = 0;
    for (int64_t n = 0; n < N; n++) {
        const float *const a = (const float *)v->alpha.data + n * H * W;
        bool edge = false, any = false;
        for (int64_t i = 0; i < H * W; i++) {
            const int64_t x = i % W, y = i / W;
            any |= a[i] > 0;
            edge |= a[i] > 0 && (x == 0 || y == 0 || x == W - 1 || y == H - 1);
        }
        cut += edge;
        empty += !any;
    }
    if (cut)
        pf_warn("%s: the edge of the picture cuts %d of %d views", path, cut, (int)N);
    if (empty)
        pf_warn("%s: %d of %d views show nothing", path, empty, (int)N);
}

static pf_err
put_views(pf_doc *doc, struct views *v)
{
    PF_TRY(pf_doc_put(doc, "views.image", &v->image));
    PF_TRY(pf_doc_put(doc, "views.alpha", &v->alpha));
    PF_TRY(pf_doc_put(doc, "views.depth", &v->depth));
    PF_TRY(pf_doc_put(doc, "views.normal", &v->normal));
    return pf_doc_set_meta(doc, "pf.kind", "views");
}

static pf_err
fill(pf_doc *doc, pf_raster *raster, const struct cameras *c, const char *path,
     const struct pf_world *world)
{
    struct views v;
    pf_err err = views_new(&v, c);
    if (!err && !(err = draw(&v, raster, c)) && !(err = put_views(doc, &v)) &&
        !(err = cameras_put(doc, c)) && !(err = opt.yaw_deg ? PF_OK : pf_world_put(doc, world)) &&
        !(err = pf_doc_add_history(doc)))
        warn_of_edges(&v, path);
    views_release(&v);
    return err;
}

/* ---- one mesh ---- */

static void
place(pf_scene *scene, struct pf_world *world, const struct cameras *c)
{
    const struct pf_scene_place p = {
        .up = strcmp(opt.up, "auto") == 0 ? scene->up
              : strcmp(opt.up, "y") == 0  ? PF_UP_Y
                                          : PF_UP_Z,
        .keep = opt.keep_frame,
        .within = c->placed ? &c->world : NULL,
        .scale = opt.scale,
        .fit = opt.fit,
        .yaw = opt.yaw_deg * (PF_PI / 180),
    };
    pf_scene_place(scene, &p, world);
}

/* Cameras of the mesh's world go with it into the cube. */
static pf_err
fill_moved(pf_doc *doc, pf_raster *raster, const struct cameras *c, const char *path,
           const struct pf_world *world)
{
    struct cameras moved = *c;
    if (c->in_cube)
        return fill(doc, raster, c, path, world);
    PF_TRY(pf_tensor_copy(&moved.pose, &c->pose));
    cameras_move(&moved, world);
    const pf_err err = fill(doc, raster, &moved, path, world);
    pf_tensor_release(&moved.pose);
    return err;
}

static pf_err
open_mesh(pf_scene *scene, pf_raster **raster, struct pf_world *world, pf_dev *dev,
          const char *path, const struct cameras *c)
{
    const int side = c->width > c->height ? c->width : c->height;
    const double start = pf_seconds();
    PF_TRY(pf_scene_read(scene, path, PF_RASTER_SS * side));
    place(scene, world, c);
    pf_stage_time("reading", pf_seconds() - start);
    return pf_raster_open(raster, dev, scene);
}

/* A document that nothing is in yet, but whose it is. */
static pf_err
begin(pf_doc *doc, const char *object, int index, int count)
{
    pf_doc_release(doc);
    PF_TRY(pf_doc_set_meta(doc, "pf.object", object));
    return pf_doc_set_position(doc, index, count);
}

/* A document for each set of cameras; this is mesh m of so many.  What fails for one set is said
 * once, and the sets behind it fail, too: the stream promises all of them. */
static pf_err
render_mesh(pf_batch *batch, pf_dev *dev, const char *path, int m, int meshes,
            const struct cameras *c, int sets)
{
    pf_scene scene = {0};
    pf_raster *raster = NULL;
    struct pf_world world;
    pf_doc doc = {0};
    char object[NAME_MAX + 1];
    bool failed = false;
    pf_object_of(object, path);
    pf_err work = open_mesh(&scene, &raster, &world, dev, path, c), err = PF_OK;
    const double start = pf_seconds();
    for (int k = 0; k < sets && !err; k++) {
        if (!failed)
            err = begin(&doc, object, m * sets + k, meshes * sets);
        else
            err = pf_doc_set_position(&doc, m * sets + k, meshes * sets);
        if (!err && !failed && (work || (work = fill_moved(&doc, raster, &c[k], path, &world)))) {
            failed = true;
            err = pf_batch_fail(batch, &doc, work);
        }
        if (!err)
            err = pf_batch_write(batch, &doc);
    }
    pf_stage_time("rendering", pf_seconds() - start);
    pf_doc_release(&doc);
    pf_raster_close(raster);
    pf_scene_release(&scene);
    return err;
}

/* Documents of one object are views of one thing. */
static pf_err
check_objects(int meshes, char **path)
{
    void *objects = NULL;
    pf_err err = PF_OK;
    for (int m = 0; m < meshes && !err; m++) {
        char object[NAME_MAX + 1];
        bool before;
        pf_object_of(object, path[m]);
        err = pf_seen_add(&objects, object, &before);
        if (!err && before)
            err = pf_fail(PF_EARG, "%s: two meshes of one object, %s: render them one by one",
                          path[m], object);
    }
    pf_seen_free(&objects);
    return err;
}

static pf_err
aim(struct cameras *c, int *sets)
{
    *sets = opt.cameras ? 1 : opt.elevation_deg.n;
    if (opt.cameras)
        return cameras_read(c, opt.cameras, opt.size);
    for (int k = 0; k < *sets; k++)
        PF_TRY(cameras_of_rig(&c[k], opt.view_num, opt.elevation_deg.v[k] * (PF_PI / 180),
                              opt.size));
    return PF_OK;
}

int
main(int argc, char *argv[])
{
    struct cameras cameras[PF_LIST_MAX] = {{0}};
    pf_batch *batch;
    pf_dev *dev;
    int sets;

    pf_start(&argc, &argv, "MESH...", "Render a mesh with its materials to views.", opts);
    if (argc < 1)
        pf_usage("name at least one mesh");
    if (opt.cameras && (pf_given(&opt.elevation_deg) || pf_given(&opt.view_num)))
        pf_usage("--cameras says how many views there are and where from: without --elevation and "
                 "--view-num");
    if (opt.keep_frame && (opt.fit || pf_given(&opt.scale)))
        pf_usage("--keep-frame leaves the mesh as large as it is: without --scale and --fit");
    pf_need_stream_name();
    pf_must_usage(check_objects(argc, argv));
    pf_must(pf_batch_open(&batch, pf_common.out));
    pf_sandbox(PF_SANDBOX_DEVICE | PF_SANDBOX_MESH);
    pf_must(aim(cameras, &sets));
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    for (int m = 0; m < argc; m++)
        pf_must(render_mesh(batch, dev, argv[m], m, argc, cameras, sets));
    for (int k = 0; k < sets; k++)
        cameras_release(&cameras[k]);
    pf_dev_close(dev);
    return pf_batch_end(batch);
}
