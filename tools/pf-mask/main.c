/* pf-mask - tell the object from the background in generated views.
 * in:  documents with views.image u8 [N, S, S, 3], or a PNG strip of N views and their elevation
 * out: the same documents and views.alpha f32 [N, S, S] */
#include <errno.h>
#include <string.h>

#include "common/camera.h"
#include "common/config.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/stream.h"
#include "tools/pf-mask/strip.h"
#include "tools/pf-mask/white.h"

static struct {
    struct pf_list elevation_deg;       /* empty: not given */
    const char *masks, *png;
} opt;

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "method", pf_conf.mask.method, "auto|alpha|white",
                  "where masks come from; auto: alpha if the views have it, else white"),
    PF_OPT_REAL(0, "threshold", pf_conf.mask.threshold, "0..1",
                "white: a pixel whose darkest channel is above this is white", 0, 1),
    PF_OPT_INT(0, "open", pf_conf.mask.open, "PX", "white: radius of the opening", 0, 64),
    PF_OPT_INT(0, "close", pf_conf.mask.close, "PX", "white: radius of the closing", 0, 64),
    PF_OPT_REAL(0, "soft", pf_conf.mask.soft, "PX", "white: width of the soft edge", 0, 64),
    PF_OPT_LIST(0, "elevation", opt.elevation_deg, "DEG", "where the views of a PNG strip were taken",
                -89, 89),
    PF_OPT_STR(0, "masks", opt.masks, "DIR", "take masks from DIR/masked-0.png or DIR/0.png ..."),
    PF_OPT_STR(0, "png", opt.png, "DIR", "also write the masked views, DIR/masked-0.png ..."),
    PF_OPT_END
};

/* DIR for the first document of a stream, DIR/1 for the second, ... */
static pf_err
folder_of(char path[4096], const char *dir, int k)
{
    if (snprintf(path, 4096, k ? "%s/%d" : "%s", dir, k) >= 4096)
        return pf_fail(PF_EIO, "%s: the name is too long", dir);
    return PF_OK;
}

static pf_err
put_white(pf_doc *doc, const pf_tensor *image)
{
    const int64_t N = image->dim[0], S = image->dim[1];
    pf_tensor alpha;
    pf_err err = PF_OK;

    PF_TRY(PF_TENSOR_NEW(&alpha, PF_F32, N, S, S));
    for (int64_t n = 0; n < N && !err; n++)
        err = white_alpha((float *)alpha.data + n * S * S,
                          (const uint8_t *)image->data + n * S * S * 3, (int)S, &pf_conf);
    if (!err)
        err = pf_doc_put(doc, "views.alpha", &alpha);
    pf_tensor_release(&alpha);
    return err;
}

static pf_err
put_masks(pf_doc *doc, const pf_tensor *image, int k)
{
    char folder[4096];
    pf_tensor alpha;
    pf_err err;

    PF_TRY(folder_of(folder, opt.masks, k));
    PF_TRY(masks_read(&alpha, folder, (int)image->dim[0], (int)image->dim[1]));
    err = pf_doc_put(doc, "views.alpha", &alpha);
    pf_tensor_release(&alpha);
    return err;
}

/* views.alpha of the document, by the method asked for. */
static pf_err
put_alpha(pf_doc *doc, const pf_tensor *image, int k)
{
    const char *method = pf_conf.mask.method;
    const bool has_alpha = pf_doc_get(doc, "views.alpha");

    if (opt.masks)
        return put_masks(doc, image, k);
    if (!strcmp(method, "white") || (!strcmp(method, "auto") && !has_alpha))
        return put_white(doc, image);
    if (!has_alpha)
        return pf_fail(PF_ESHAPE, "--method alpha: the views have no alpha channel, expected an RGBA "
                       "strip or a stream with views.alpha");
    return PF_OK;
}

static void
warn_of_empty_views(const pf_tensor *alpha)
{
    const int64_t pixels = alpha->dim[1] * alpha->dim[2];

    for (int64_t n = 0; n < alpha->dim[0]; n++) {
        const float *a = (const float *)alpha->data + n * pixels;
        int64_t i = 0;
        while (i < pixels && a[i] <= 0)
            i++;
        if (i == pixels)
            pf_warn("view %lld is all background", (long long)n);
    }
}

static pf_err
write_masked(const pf_tensor *image, const pf_tensor *alpha, int k)
{
    char folder[4096];

    PF_TRY(folder_of(folder, opt.png, k));
    return masks_write(folder, image, alpha);
}

/* Document k of the stream: read, masked, written. */
static pf_err
mask_document(pf_doc *doc, int k, FILE *out)
{
    pf_tensor image, alpha;

    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    const int64_t N = image.dim[0], S = image.dim[1];
    if (N < 1 || S < 1 || S > 16384 || image.dim[2] != S)
        return pf_fail(PF_ESHAPE, "views.image: %lld views of %lld x %lld pixels, expected squares of "
                       "1 to 16384", (long long)N, (long long)image.dim[2], (long long)S);
    PF_TRY(put_alpha(doc, &image, k));
    PF_TRY(pf_doc_need(doc, "views.alpha", PF_F32, 3, (int64_t[]){N, S, S}, &alpha));
    warn_of_empty_views(&alpha);
    if (opt.png)
        PF_TRY(write_masked(&image, &alpha, k));
    PF_TRY(pf_doc_add_history(doc));
    return pf_doc_write(doc, out);
}

/* A PNG's first byte begins no document: headers are padded, so a document's is a multiple of 8.
 * One byte can be put back, so that a pipe will do. */
static pf_err
is_png(bool *png, const char *path)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;

    if (!f)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const int first = getc(f);
    *png = first == 0x89;
    if (f != stdin)
        fclose(f);
    else if (first != EOF)
        ungetc(first, f);
    return PF_OK;
}

static pf_err
mask_strip(const char *path, FILE *out)
{
    pf_doc doc = {0};
    pf_err err;

    if (opt.elevation_deg.n != 1)
        pf_usage("a PNG strip needs --elevation DEG, the one at which its views were taken");
    if (!(err = strip_read(&doc, path, opt.elevation_deg.v[0] * (PF_PI / 180))))
        err = mask_document(&doc, 0, out);
    pf_doc_release(&doc);
    return err;
}

static pf_err
mask_stream(const char *path, FILE *out)
{
    pf_stream *in;
    pf_doc doc = {0};
    pf_err err;

    if (opt.elevation_deg.n)
        pf_usage("--elevation is for PNG strips; a stream says where its views were taken");
    PF_TRY(pf_stream_open(&in, path));
    for (int k = 0; !(err = pf_stream_read(in, &doc)); k++)
        if ((err = mask_document(&doc, k, out)))
            break;
    pf_doc_release(&doc);
    pf_stream_close(in);
    return err == PF_END ? PF_OK : err;
}

int
main(int argc, char *argv[])
{
    pf_output *out;
    bool png = false;

    pf_start(&argc, &argv, "[STREAM or STRIP.png]",
             "Tell the object from the background in generated views.", opts);
    if (argc > 1)
        pf_usage("one stream or strip at a time, not %d", argc);
    const char *path = argc ? argv[0] : "-";
    pf_must(pf_output_open(&out, pf_common.out));
    if (opt.png)
        pf_must(pf_output_folder(opt.png));
    pf_must(is_png(&png, path));
    pf_must((png ? mask_strip : mask_stream)(path, pf_output_file(out)));
    pf_must(pf_output_close(out));
    return 0;
}
