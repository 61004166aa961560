/* pf-crop - put the object of a photo into a square view.
 * in:  one picture, its alpha is the object's mask
 * out: input.image [3, S, S], input.alpha [S, S], input.elevation [1], input.azimuth [1] */
#include "common/camera.h"
#include "common/config.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/stream.h"
#include "common/text.h"
#include "tools/pf-crop/crop.h"

static struct {
    struct fit fit;
    double elevation_deg, azimuth_deg;
    const char *input;
} opt = {.fit = {.alpha_threshold = 0.05}, .elevation_deg = 30};

static const struct pf_opt opts[] = {
    PF_OPT_STR(0, "input", opt.input, "PHOTO", "the photo, as the operand"),
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
        (err = put_angle(doc, "input.azimuth", opt.azimuth_deg)) ||
        (err = pf_doc_set_meta(doc, "pf.kind", "input")) ||
        (err = pf_doc_set_position(doc, 0, 1)))
        goto out;
    err = pf_doc_add_history(doc);
out:
    pf_tensor_release(&image);
    pf_tensor_release(&alpha);
    return err;
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

int
main(int argc, char *argv[])
{
    pf_photo photo;
    pf_image view;
    pf_output *out;
    pf_doc doc = {0};
    bool touches;

    pf_start(&argc, &argv, "[PHOTO]", "Put the object of a photo into a square view.", opts);
    if (argc > 1)
        pf_usage("one photo at a time, not %d", argc);
    if (argc && opt.input)
        pf_usage("--input %s and the operand %s: one photo at a time", opt.input, argv[0]);
    opt.fit.side = pf_conf.model.image_size;
    if (!opt.fit.crop_px)
        opt.fit.crop_px = (opt.fit.side * 200 + 128) / 256;     /* the original's usual one */
    pf_need_stream_name();
    pf_must(pf_output_open(&out, pf_common.out));
    pf_must(pf_photo_open(&photo, argc ? argv[0] : opt.input ? opt.input : "-"));
    pf_must(fit_view(&view, &touches, &photo, &opt.fit));           // [S, S, 4]
    warn(&photo, touches);
    pf_must(describe(&doc, &view));
    pf_must(pf_doc_write(&doc, pf_output_file(out)));
    pf_must(pf_output_close(out));
    pf_doc_release(&doc);
    pf_image_release(&view);
    pf_photo_close(&photo);
    return 0;
}
