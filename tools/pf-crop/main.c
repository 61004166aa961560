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
    int crop_px;
    double elevation_deg, azimuth_deg;
} opt = {.crop_px = -1, .elevation_deg = 30};

static const struct pf_opt opts[] = {
    PF_OPT_INT(0, "crop-size", opt.crop_px, "PX",
               "longer side of the object in the view; -1 fits the whole photo", -1, 4096),
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

/* Errors of fit_view, about the photo that has this name. */
static pf_err
fit(pf_image *view, const pf_image *photo, const char *name)
{
    const pf_err err = fit_view(view, photo, opt.crop_px, pf_conf.model.image_size);
    return err ? pf_fail_in(err, "%s", pf_file_title(name)) : PF_OK;
}

int
main(int argc, char *argv[])
{
    pf_image photo, view;
    pf_output *out;
    pf_doc doc = {0};

    pf_start(&argc, &argv, "[PHOTO]", "Put the object of a photo into a square view.", opts);
    if (argc > 1)
        pf_usage("one photo at a time, not %d", argc);
    if (opt.crop_px == 0)
        pf_usage("--crop-size 0 is out of range: 1 to 4096, or -1 for the whole photo");
    const char *name = argc ? argv[0] : "-";
    pf_must(pf_output_open(&out, pf_common.out));
    pf_must(pf_image_read(&photo, name));                           // [H, W, 3 or 4]
    pf_must(fit(&view, &photo, name));                              // [S, S, 3 or 4]
    pf_must(describe(&doc, &view));
    pf_must(pf_doc_write(&doc, pf_output_file(out)));
    pf_must(pf_output_close(out));
    pf_doc_release(&doc);
    pf_image_release(&view);
    pf_image_release(&photo);
    return 0;
}
