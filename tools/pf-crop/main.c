/* pf-crop - put the object of a photo into a square view.
 * in:  pictures, whose alpha is the object's mask
 * out: for each input.image [3, S, S], input.alpha [S, S], input.elevation [1],
 *      input.azimuth [1] */
#include <math.h>
#include <stdio.h>

#include "common/batch.h"
#include "common/camera.h"
#include "common/config.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/sandbox.h"
#include "tools/pf-crop/crop.h"
#include "tools/pf-crop/list.h"

static struct {
    struct fit fit;
    double elevation_deg, azimuth_deg;
    const char *input, *list;
} opt = {.fit = {.alpha_threshold = 0.05}, .elevation_deg = 30};

static const struct pf_opt opts[] = {
    PF_OPT_STR(0, "input", opt.input, "PHOTO", "the photo, as the operand"),
    PF_OPT_STR(0, "list", opt.list, "TSV", "a table of photos, and of what differs among them"),
    PF_OPT_INT(0, "crop-size", opt.fit.crop_px, "PX", "longer side of the object in the view; 0 is "
               "200 of 256, -1 fits the whole photo", -1, 4096),
    PF_OPT_REAL(0, "alpha-threshold", opt.fit.alpha_threshold, "0..1",
                "pixels of more alpha are the object", 0, 1),
    PF_OPT_FLAG(0, "opaque", opt.fit.opaque, "a photo without transparency is all object"),
    PF_OPT_INT(0, "size", pf_conf.model.image_size, "PX", "side of the view", 8, 4096),
    PF_OPT_REAL(0, "input-elevation", opt.elevation_deg, "DEG",
                "how far above the horizon the camera of the photo stood", -89, 89,
                .alias = "elevation"),
    PF_OPT_REAL(0, "input-azimuth", opt.azimuth_deg, "DEG", "azimuth of that camera", -360, 360),
    PF_OPT_END
};

static pf_err
put_angle(pf_doc *doc, const char *name, double deg)
{
    float rad = (float)(deg * (PF_PI / 180));
    const pf_tensor t = PF_VIEW(&rad, PF_F32, 1);
    return pf_doc_put(doc, name, &t);
}

/* Everything that the stream's document says about the photo. */
static pf_err
describe(pf_doc *doc, const pf_image *view)
{
    pf_tensor image, alpha;
    pf_err err;

    PF_TRY(composite_view(&image, &alpha, view));                   // [3, S, S], [S, S]
    if ((err = pf_doc_put(doc, "input.image", &image)) ||
        (err = pf_doc_put(doc, "input.alpha", &alpha)) ||
        (err = put_angle(doc, "input.elevation", opt.elevation_deg)) ||
        (err = put_angle(doc, "input.azimuth", opt.azimuth_deg)))
        goto out;
    err = pf_doc_add_history(doc);
out:
    pf_tensor_release(&image);
    pf_tensor_release(&alpha);
    return err;
}

/* What a document says that has no picture yet, nor may get one: whose it is, and what later tools
 * are to do with it. */
static pf_err
begin(pf_doc *doc, const struct list_row *row, int index, int count)
{
    char seed[24];

    pf_doc_release(doc);
    snprintf(seed, sizeof seed, "%lld", (long long)row->seed);
    if (row->object)
        PF_TRY(pf_doc_set_meta(doc, "pf.object", row->object));
    if (row->target)
        PF_TRY(pf_doc_set_meta(doc, "pf.target_elevation", row->target));
    if (row->seed >= 0)
        PF_TRY(pf_doc_set_meta(doc, "pf.seed", seed));
    PF_TRY(pf_doc_set_meta(doc, "pf.kind", "input"));
    return pf_doc_set_position(doc, index, count);
}

static void
warn(const pf_photo *photo, bool touches)
{
    if (photo->note[0])
        pf_warn("%s", photo->note);
    if (touches && opt.fit.crop_px > 0)
        pf_warn("%s: the object reaches the border of the view: --crop-size %d in %d pixels",
                photo->name, opt.fit.crop_px, opt.fit.side);
    else if (touches)
        pf_warn("%s: the object reaches the border of the view: --crop-size 0 leaves a margin",
                photo->name);
}

/* One photo into its document. */
static pf_err
crop(pf_doc *doc, const char *path)
{
    pf_photo photo;
    pf_image view = {0};
    bool touches;
    pf_err err;

    PF_TRY(pf_photo_open(&photo, path));
    if ((err = fit_view(&view, &touches, &photo, &opt.fit)))        // [S, S, 4]
        goto out;
    warn(&photo, touches);
    err = describe(doc, &view);
out:
    pf_image_release(&view);
    pf_photo_close(&photo);
    return err;
}

/* What the list says of a photo counts more than the options; the history, which has the values of
 * the options, is that of the photo alone. */
static void
set_options(const struct list_row *row, const struct fit *fit, double elevation_deg,
            double azimuth_deg)
{
    opt.fit = *fit;
    if (row->crop_px != LIST_NONE)
        opt.fit.crop_px = row->crop_px;
    if (!opt.fit.crop_px)
        opt.fit.crop_px = (opt.fit.side * 200 + 128) / 256;     /* the original's usual one */
    opt.elevation_deg = isnan(row->elevation_deg) ? elevation_deg : row->elevation_deg;
    opt.azimuth_deg = isnan(row->azimuth_deg) ? azimuth_deg : row->azimuth_deg;
}

/* The photos of the list, of the command line, or of standard input. */
static void
find_photos(struct list *list, int photos, char **names)
{
    static char standard[] = "-";
    static char *one[1];

    if (photos && opt.input)
        pf_usage("--input %s and the operand %s: one photo at a time", opt.input, names[0]);
    if (opt.list && (photos || opt.input))
        pf_usage("--list %s and the photo %s: one or the other", opt.list,
                 photos ? names[0] : opt.input);
    if (opt.list) {
        const char *const path = opt.list;
        opt.list = NULL;                /* it is no part of how a photo was cropped */
        pf_must(list_read(list, path));
        return;
    }
    one[0] = opt.input ? (char *)opt.input : standard;
    pf_must_usage(list_of(list, photos ? photos : 1, photos ? names : one));
}

int
main(int argc, char *argv[])
{
    pf_batch *batch;
    pf_doc doc = {0};
    struct list list;

    pf_start(&argc, &argv, "[PHOTO...]", "Put the object of a photo into a square view.", opts);
    pf_need_stream_name();
    pf_must(pf_batch_open(&batch, pf_common.out));
    pf_sandbox(0);
    find_photos(&list, argc, argv);
    opt.fit.side = pf_conf.model.image_size;
    const struct fit fit = opt.fit;
    const double elevation_deg = opt.elevation_deg, azimuth_deg = opt.azimuth_deg;
    for (int i = 0; i < list.n; i++) {
        pf_must(begin(&doc, &list.row[i], i, list.n));
        set_options(&list.row[i], &fit, elevation_deg, azimuth_deg);
        pf_must(pf_batch_put(batch, &doc, crop(&doc, list.row[i].photo)));
    }
    pf_doc_release(&doc);
    list_release(&list);
    return pf_batch_end(batch);
}
