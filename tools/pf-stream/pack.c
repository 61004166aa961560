/* pack.c - see pack.h. */
#include "tools/pf-stream/pack.h"

#include <stdlib.h>
#include <string.h>

#include "common/camera.h"
#include "common/mask.h"
#include "common/posed_views.h"
#include "common/world.h"
#include "common/capture.h"
#include "tools/pf-stream/frame.h"

struct views {
    int N, width, height;
    bool masks;                 /* whether the views have alpha */
    pf_tensor image, alpha;     /* [N, H, W, 3], [N, H, W] */
    struct sight *sight;        /* [N] */
};

/* ---- pictures ---- */

/* --masks: DIR/NAME.png, then DIR/NAME with its ending gone; COLMAP and people respectively. */
static pf_err
find_mask(char path[PF_CAPTURE_PATH], const struct pf_shot *shot, const char *masks)
{
    const char *slash = strrchr(shot->picture, '/'), *name = slash ? slash + 1 : shot->picture;
    const char *dot = strrchr(name, '.');
    char whole[PF_CAPTURE_PATH], stem[PF_CAPTURE_PATH];
    snprintf(whole, sizeof whole, "%s.png", name);
    snprintf(stem, sizeof stem, "%.*s.png", (int)(dot ? dot - name : (ptrdiff_t)strlen(name)),
             name);
    if (pf_capture_find(path, masks, whole, shot->where) == PF_OK ||
        pf_capture_find(path, masks, stem, shot->where) == PF_OK)
        return PF_OK;
    return pf_fail(PF_EIO, "%s: %s has neither %s nor %s", shot->where, masks, whole, stem);
}

/* The mask of a view whose picture is in place: from a file, or the alpha channel that it had. */
static pf_err
read_mask(struct views *v, int n, const struct pf_shot *shot, const char *masks, bool has_alpha)
{
    const int64_t pixels = (int64_t)v->width * v->height;
    float *alpha = (float *)v->alpha.data + n * pixels;
    uint8_t *rgb = (uint8_t *)v->image.data + 3 * n * pixels;
    char path[PF_CAPTURE_PATH] = "";
    if (shot->mask)
        snprintf(path, sizeof path, "%s", shot->mask);
    else if (masks)
        PF_TRY(find_mask(path, shot, masks));
    const bool masked = has_alpha || *path;
    if (n && masked != v->masks)
        return pf_fail(PF_EFORMAT, "%s: %s has %s, the pictures before it have %s", shot->where,
                       shot->picture,
                       masked ? "a mask or alpha channel" : "neither mask nor alpha channel",
                       masked ? "none" : "one");
    v->masks = masked;
    if (!*path)
        return PF_OK;
    const pf_err err = pf_mask_read(alpha, path, v->width, v->height);
    if (err)
        return pf_fail_in(err, "%s", shot->where);
    pf_blend_on_white(rgb, alpha, pixels);
    return PF_OK;
}

/* The first picture says how large all are. */
static pf_err
take_size(struct views *v, const pf_image *image, const struct pf_shot *shot)
{
    v->width = image->width;
    v->height = image->height;
    if (v->width > PF_VIEW_SIDE_MAX || v->height > PF_VIEW_SIDE_MAX ||
        (int64_t)v->N * v->width * v->height > INT32_MAX)
        return pf_fail(PF_ESHAPE,
                       "%s: %d pictures of %d x %d pixels are too much, expected sides of at most "
                       "%d and 2^31 pixels in all; make the pictures and their cameras smaller",
                       shot->where, v->N, v->width, v->height, PF_VIEW_SIDE_MAX);
    PF_TRY(PF_TENSOR_NEW(&v->image, PF_U8, v->N, v->height, v->width, 3));
    return PF_TENSOR_NEW(&v->alpha, PF_F32, v->N, v->height, v->width);
}

static pf_err
check_size(const struct views *v, const pf_image *image, const struct pf_shot *shot)
{
    if ((shot->width && shot->width != image->width) ||
        (shot->height && shot->height != image->height))
        return pf_fail(PF_ESHAPE, "%s: %s is %d x %d pixels, its camera is for %d x %d",
                       shot->where, shot->picture, image->width, image->height,
                       shot->width ? shot->width : image->width,
                       shot->height ? shot->height : image->height);
    if (image->width != v->width || image->height != v->height)
        return pf_fail(PF_ESHAPE,
                       "%s: %s is %d x %d pixels, the pictures before it are %d x %d; views are of "
                       "one size",
                       shot->where, shot->picture, image->width, image->height, v->width,
                       v->height);
    return PF_OK;
}

static pf_err
read_picture(struct views *v, int n, const struct pf_shot *shot, const char *masks)
{
    pf_image image;
    pf_err err = pf_image_read_stored(&image, shot->picture);
    if (err)
        return pf_fail_in(err, "%s", shot->where);
    if ((n || !(err = take_size(v, &image, shot))) && !(err = check_size(v, &image, shot))) {
        const int64_t pixels = (int64_t)v->width * v->height;
        float *alpha = (float *)v->alpha.data + n * pixels;
        uint8_t *rgb = (uint8_t *)v->image.data + 3 * n * pixels;
        pf_image_on_white(rgb, alpha, &image, 0, v->width);
        err = read_mask(v, n, shot, masks, image.channels == 4);
    }
    pf_image_release(&image);
    return err;
}

/* ---- cameras ---- */

static void
take_camera(struct sight *s, const struct pf_shot *shot, int width, int height)
{
    double K[9];
    pf_shot_intrinsics(K, shot, width, height);
    memcpy(s->R, shot->R, sizeof s->R);
    memcpy(s->t, shot->t, sizeof s->t);
    s->fx = K[0];
    s->fy = K[4];
    s->cx = K[2];
    s->cy = K[5];
    s->width = width;
    s->height = height;
}

static pf_err
choose_frame(struct pf_world *f, const struct views *v, const struct pack_options *opt)
{
    if (opt->center)
        memcpy(f->center, opt->center, sizeof f->center);
    else
        PF_TRY(frame_center(f->center, v->sight, v->N));
    f->scale = opt->scale;
    if (!f->scale)
        PF_TRY(frame_scale(&f->scale, f->center, v->sight, v->N));
    if (opt->tell)
        fprintf(opt->tell,
                "%s: %d views of %d x %d pixels%s; cube = %.9g (world - (%.9g, %.9g, %.9g))\n",
                pf_program(), v->N, v->width, v->height, v->masks ? "" : " without masks", f->scale,
                f->center[0], f->center[1], f->center[2]);
    return PF_OK;
}

/* R X + t with X = cube / scale + center: all of it times the scale is R cube + scale (R center +
 * t). */
static void
put_camera(float pose[12], float K[9], float *elevation, float *azimuth, const struct sight *s,
           const struct pf_world *f)
{
    const double lens[9] = {s->fx, 0, s->cx, 0, s->fy, s->cy, 0, 0, 1};
    double t[3], eye[3];
    for (int i = 0; i < 3; i++) {
        t[i] = f->scale * (pf_dot3(s->R + 3 * i, f->center) + s->t[i]);
        for (int k = 0; k < 3; k++)
            pose[4 * i + k] = (float)s->R[3 * i + k];
        pose[4 * i + 3] = (float)t[i];
    }
    for (int i = 0; i < 9; i++)
        K[i] = (float)lens[i];
    for (int k = 0; k < 3; k++)
        eye[k] = -(s->R[k] * t[0] + s->R[3 + k] * t[1] + s->R[6 + k] * t[2]);
    *elevation = (float)atan2(eye[2], hypot(eye[0], eye[1]));
    *azimuth = (float)atan2(eye[1], eye[0]);
    *azimuth += *azimuth < 0 ? (float)(2 * PF_PI) : 0;
}

static pf_err
put_cameras(pf_doc *doc, const struct views *v, const struct pf_world *f)
{
    static const char *const names[] = {"views.pose", "views.intrinsics", "views.elevation",
                                        "views.azimuth"};
    const int ndim[4] = {3, 3, 1, 1};
    const int64_t N = v->N, dim[4][3] = {{N, 3, 4}, {N, 3, 3}, {N}, {N}};
    pf_tensor t[4] = {{0}};
    pf_err err = PF_OK;
    for (int i = 0; i < 4 && !err; i++)
        err = pf_tensor_new(&t[i], PF_F32, ndim[i], dim[i]);
    for (int n = 0; n < v->N && !err; n++)
        put_camera((float *)t[0].data + 12 * n, (float *)t[1].data + 9 * n, (float *)t[2].data + n,
                   (float *)t[3].data + n, &v->sight[n], f);
    for (int i = 0; i < 4 && !err; i++)
        err = pf_doc_put(doc, names[i], &t[i]);
    for (int i = 0; i < 4; i++)
        pf_tensor_release(&t[i]);
    return err;
}

static pf_err
put_views(pf_doc *doc, struct views *v, const struct pf_world *f)
{
    PF_TRY(pf_doc_take(doc, "views.image", &v->image));
    v->image = (pf_tensor){0};
    if (v->masks) {
        PF_TRY(pf_doc_take(doc, "views.alpha", &v->alpha));
        v->alpha = (pf_tensor){0};
    }
    PF_TRY(put_cameras(doc, v, f));
    PF_TRY(pf_doc_set_meta(doc, "pf.kind", "views"));
    return pf_world_put(doc, f);
}

pf_err
pack(pf_doc *doc, const char *cameras, const struct pack_options *opt)
{
    struct pf_capture c = {0};
    struct views v = {0};
    struct pf_world f;
    pf_err err = pf_capture_read(&c, cameras, opt->images);

    v.N = c.shots;
    if (!err && !(v.sight = calloc((size_t)c.shots, sizeof *v.sight)))
        err = pf_fail(PF_ENOMEM, "no memory for the cameras");
    for (int n = 0; n < v.N && !err; n++) {
        err = read_picture(&v, n, &c.shot[n], opt->masks);
        take_camera(&v.sight[n], &c.shot[n], v.width, v.height);
    }
    for (int n = 0; n < v.N && !err && v.masks; n++)
        v.sight[n].alpha = (float *)v.alpha.data + (int64_t)n * v.width * v.height;
    if (!err && !(err = choose_frame(&f, &v, opt)))
        err = put_views(doc, &v, &f);
    pf_tensor_release(&v.image);
    pf_tensor_release(&v.alpha);
    free(v.sight);
    pf_capture_release(&c);
    return err;
}
