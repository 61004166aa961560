/* pf-mask - tell the object from the background in generated views.
 * in:  documents with views.image u8 [N, H, W, 3], or a strip of N views and their elevation
 * out: the same documents and views.alpha f32 [N, H, W] */
#include <errno.h>
#include <string.h>

#include "common/batch.h"
#include "common/camera.h"
#include "common/config.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/plain.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "tools/pf-mask/by_network.h"
#include "tools/pf-mask/strip.h"

static struct {
    struct pf_list elevation_deg;       /* empty: not given */
    const char *masks, *png;
    double usual;               /* the threshold where nobody asks for another */
} opt;

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "method", pf_conf.mask.method, "auto|alpha|white|net",
                  "where masks come from; auto: alpha if the views have it, else white; net: a "
                  "network"),
    PF_OPT_REAL(0, "threshold", pf_conf.mask.threshold, "0..1",
                "white: a pixel is background whose channels are within 1 minus this of it", 0, 1),
    PF_OPT_INT(0, "open", pf_conf.mask.open, "PX", "white: radius of the opening", 0, 64),
    PF_OPT_INT(0, "close", pf_conf.mask.close, "PX", "white: radius of the closing", 0, 64),
    PF_OPT_REAL(0, "soft", pf_conf.mask.soft, "PX", "white: width of the soft edge", 0, 64),
    PF_OPT_LIST(0, "elevation", opt.elevation_deg, "DEG", "where the views of a strip were taken",
                -89, 89),
    PF_OPT_STR(0, "masks", opt.masks, "DIR", "take masks from DIR/masked-0.png or DIR/0.png ..."),
    PF_OPT_STR(0, "png", opt.png, "DIR", "also write the masked views, DIR/masked-0.png ..."),
    PF_OPT_END
};

static struct pf_place masks_at = {.option = "--masks", .shared = true};
static struct pf_place png_at = {.option = "--png", .shared = true};

/* DIR for the first document that has this one, DIR/1 for the second, ... */
static pf_err
folder_of(char path[PATH_MAX], struct pf_place *place, const pf_doc *doc)
{
    PF_TRY(pf_place_next(place, doc));
    const int k = place->number;
    if (snprintf(path, PATH_MAX, k ? "%s/%d" : "%s", place->path, k) >= PATH_MAX)
        return pf_fail(PF_EIO, "%s: the name is too long", place->path);
    return PF_OK;
}

/* The field stands before white: views before another colour get it, C + (1 - alpha) (white - B);
 * before a motley background B is taken for the picture itself.  image [N, H, W, 3] is changed. */
static void
make_background_white(uint8_t *image, const float *alpha, int64_t pixels, const uint8_t *ground)
{
    for (int64_t i = 0; i < 3 * pixels; i++) {
        const float behind = ground ? ground[i % 3] : image[i];
        const float v = (float)image[i] + (1 - alpha[i / 3]) * (255 - behind);
        image[i] = (uint8_t)(v < 255 ? v + 0.5f : 255);
    }
}

static bool
is_white(const uint8_t color[3])
{
    return color[0] == 255 && color[1] == 255 && color[2] == 255;
}

static pf_err
set_views(pf_doc *doc, const pf_tensor *image, const pf_tensor *alpha, const uint8_t ground[3],
          bool plain)
{
    pf_tensor white;
    pf_err err = PF_OK;

    if (!plain || !is_white(ground)) {
        PF_TRY(pf_tensor_copy(&white, image));
        make_background_white(white.data, alpha->data, pf_tensor_count(alpha),
                              plain ? ground : NULL);
        err = pf_doc_put(doc, "views.image", &white);
        pf_tensor_release(&white);
    }
    return err ? err : pf_doc_put(doc, "views.alpha", alpha);
}

static pf_err
put_white(pf_doc *doc, const pf_tensor *image, const uint8_t ground[3], bool plain)
{
    const int64_t N = image->dim[0], H = image->dim[1], W = image->dim[2];
    pf_tensor alpha;
    pf_err err = PF_OK;

    if (!plain)
        pf_warn("the background is not plain: no colour fills the border of the views; give "
                "--masks");
    else if (!is_white(ground))
        pf_warn("the background is (%d, %d, %d), not white; it is made white", ground[0], ground[1],
                ground[2]);
    PF_TRY(PF_TENSOR_NEW(&alpha, PF_F32, N, H, W));
    for (int64_t n = 0; n < N && !err; n++)
        err = pf_plain_alpha((float *)alpha.data + n * H * W,
                             (const uint8_t *)image->data + n * H * W * 3, (int)W, (int)H, ground,
                             &pf_conf);
    if (!err)
        err = set_views(doc, image, &alpha, ground, true);
    pf_tensor_release(&alpha);
    return err;
}

static pf_err
put_masks(pf_doc *doc, const pf_tensor *image, const uint8_t ground[3], bool plain)
{
    char folder[PATH_MAX];
    pf_tensor alpha;
    pf_err err;

    PF_TRY(folder_of(folder, &masks_at, doc));
    PF_TRY(masks_read(&alpha, folder, (int)image->dim[0], (int)image->dim[2], (int)image->dim[1]));
    err = set_views(doc, image, &alpha, ground, plain);
    pf_tensor_release(&alpha);
    return err;
}

static bool
uses_network(void)
{
    return !opt.masks && !strcmp(pf_conf.mask.method, "net");
}

/* views.alpha of the document, by the method asked for. */
static pf_err
put_alpha(pf_doc *doc, const pf_tensor *image, pf_cutter *cutter)
{
    const char *method = pf_conf.mask.method;
    const bool has_alpha = pf_doc_get(doc, "views.alpha");
    const bool white = !strcmp(method, "white") || (!strcmp(method, "auto") && !has_alpha);
    uint8_t ground[3];

    if (uses_network())
        return mask_by_network(doc, image, cutter);
    if (!opt.masks && !white && !has_alpha)
        return pf_fail(PF_ESHAPE,
                       "--method alpha: the views have no alpha channel, expected an RGBA "
                       "strip or a stream with views.alpha");
    if (!opt.masks && !white)
        return PF_OK;
    const bool plain = pf_plain_background(ground, image->data, image->dim[0], (int)image->dim[2],
                                           (int)image->dim[1], 0.5, &pf_conf);
    return opt.masks ? put_masks(doc, image, ground, plain)
                     : put_white(doc, image, ground, plain);
}

/* "views 0 to 3, 7 are WHAT" of the views whose pixels all have this alpha. */
static void
warn_of_views(const pf_tensor *alpha, float value, const char *what)
{
    const int64_t N = alpha->dim[0], pixels = alpha->dim[1] * alpha->dim[2];
    char names[256] = "";
    int64_t found = 0, first = 0;
    size_t at = 0;

    for (int64_t n = 0; n <= N; n++) {
        const float *a = (const float *)alpha->data + n * pixels;
        int64_t i = 0;
        while (n < N && i < pixels && a[i] == value)
            i++;
        if (n < N && i == pixels) {
            found++;
            continue;
        }
        if (n > first && at < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at,
                                   n - first > 1 ? "%s%lld to %lld" : "%s%lld", at ? ", " : "",
                                   (long long)first, (long long)n - 1);
        first = n + 1;
    }
    if (found)
        pf_warn("%s %s %s all %s", found > 1 ? "views" : "view", names, found > 1 ? "are" : "is",
                what);
}

static pf_err
write_masked(const pf_doc *doc, const pf_tensor *image, const pf_tensor *alpha)
{
    char folder[PATH_MAX];

    PF_TRY(folder_of(folder, &png_at, doc));
    return masks_write(folder, image, alpha);
}

static pf_err
mask_document(pf_doc *doc, pf_cutter *cutter)
{
    pf_tensor image, alpha;

    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    const int64_t N = image.dim[0], H = image.dim[1], W = image.dim[2];
    if (N < 1 || W < 1 || W > 16384 || H < 1 || H > 16384)
        return pf_fail(PF_ESHAPE,
                       "views.image: %lld views of %lld x %lld pixels, expected 1 to 16384 "
                       "a side",
                       (long long)N, (long long)W, (long long)H);
    PF_TRY(put_alpha(doc, &image, cutter));
    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){N, H, W, 3}, &image));
    PF_TRY(pf_doc_need(doc, "views.alpha", PF_F32, 3, (int64_t[]){N, H, W}, &alpha));
    PF_TRY(pf_tensor_expect_range(&alpha, "views.alpha", 0, 1, "0 to 1"));
    warn_of_views(&alpha, 0, "background");
    warn_of_views(&alpha, 1, "object");
    if (opt.png)
        PF_TRY(write_masked(doc, &image, &alpha));
    return pf_doc_add_history(doc);
}

/* Whether path begins as a picture does.  No document begins so: as the length of a header the
 * first eight bytes of a picture are beyond the limit, and the first byte alone is no multiple of
 * 8, which the lengths that are written are.  One byte can be put back, so that a pipe will do. */
static pf_err
is_picture(bool *picture, const char *path)
{
    static const char *const starts[] = {"\x89PNG", "\xff\xd8\xff", "RIFF"};      // and JPEG, WebP
    const bool standard = !strcmp(path, "-");
    FILE *f = standard ? stdin : fopen(path, "rb");
    char bytes[8];

    if (!f)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const size_t n = fread(bytes, 1, standard ? 1 : sizeof bytes, f);
    *picture = false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        *picture |= n && !memcmp(bytes, starts[i], n < strlen(starts[i]) ? n : strlen(starts[i]));
    const pf_err err = ferror(f) ? pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno))
                                 : PF_OK;
    if (!standard)
        fclose(f);
    else if (n)
        ungetc((unsigned char)bytes[0], f);
    return err;
}

static pf_err
mask_strip(char *path, pf_cutter *cutter, pf_batch *batch)
{
    pf_doc doc = {0};
    pf_err err;

    if (opt.elevation_deg.n != 1)
        pf_usage("a strip needs --elevation DEG, the one at which its views were taken");
    if (!(err = strip_read(&doc, path, opt.elevation_deg.v[0] * (PF_PI / 180)))) {
        if (!pf_given(&pf_conf.mask.threshold))
            pf_conf.mask.threshold = pf_plain_threshold(pf_conf.mask.threshold, opt.usual,
                                                        pf_image_lossy());
        err = mask_document(&doc, cutter);
    }
    err = pf_batch_put(batch, &doc, err);
    pf_doc_release(&doc);
    return err;
}

static pf_err
mask_stream(char *path, pf_cutter *cutter, pf_batch *batch)
{
    pf_doc doc = {0};
    pf_err err;

    if (opt.elevation_deg.n)
        pf_usage(
            "--elevation is for a strip, PNG, JPEG or WebP; %s is none of these, and a stream says "
            "where its views were taken",
            pf_file_title(path));
    PF_TRY(pf_batch_input(batch, 1, &path));
    while (!(err = pf_batch_read(batch, &doc)))
        if ((err = pf_batch_put(batch, &doc, pf_batch_blame(batch, mask_document(&doc, cutter)))))
            break;
    pf_doc_release(&doc);
    return err == PF_END ? PF_OK : err;
}

/* The folders of --masks and --png, which may be patterns. */
static void
check_places(void)
{
    pf_pattern_check("--masks", opt.masks);
    pf_pattern_check("--png", opt.png);
    masks_at.pattern = opt.masks;
    png_at.pattern = opt.png;
    if (opt.png && !pf_pattern(opt.png))
        pf_must(pf_output_folder(opt.png));
}

int
main(int argc, char *argv[])
{
    static char standard[] = "-";
    pf_cutter cutter = {0};
    pf_batch *batch;
    bool picture = false;

    opt.usual = pf_conf.mask.threshold;
    pf_start(&argc, &argv, "[STREAM or STRIP]",
             "Tell the object from the background in generated views.", opts);
    if (argc > 1)
        pf_usage("one stream or strip at a time, not %d", argc);
    char *const path = argc ? argv[0] : standard;
    pf_need_stream_name();
    pf_must(pf_batch_open(&batch, pf_common.out));
    check_places();
    pf_sandbox(PF_SANDBOX_DEVICE, opt.masks, opt.png);
    if (uses_network())         /* before the stream, which is not to blame for it */
        pf_must(pf_cutter_open(&cutter, pf_common.weights, pf_common.device, pf_common.precision));
    pf_must(is_picture(&picture, path));
    pf_must((picture ? mask_strip : mask_stream)(path, &cutter, batch));
    pf_cutter_close(&cutter);
    return pf_batch_end(batch);
}
