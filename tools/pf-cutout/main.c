/* pf-cutout - cut the object of a photo out of its background.
 * in:  pictures, PNG, JPEG or WebP
 * out: each as an RGBA PNG, its alpha the object's mask */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/batch_record.h"
#include "common/config.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/plain.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "kernels/cutout/cutter.h"
#include "tools/pf-cutout/judge.h"
#include "tools/pf-cutout/names.h"

static struct {
    const char *method, *preset, *refine, *matting;
    double usual, threshold;    /* mask.threshold: the default; what was configured */
} opt = {.method = "auto", .preset = "auto", .refine = "auto"};

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "method", opt.method, "auto|net|plain",
                  "how the object is found; auto: plain where one colour fills the border"),
    PF_OPT_CHOICE(0, "preset", opt.preset, "auto|own|author|rembg|carvekit|imgly",
                  "whose rules go before and behind the network; auto: those of the weights"),
    PF_OPT_CHOICE(0, "refine", opt.refine, "auto|on|off",
                  "a closer look, the photo's own edges, without the background's colour; auto: "
                  "unless --preset names another's rules, or with --matting"),
    PF_OPT_STR(0, "matting", opt.matting, "FILE",
               "FBA matting, which makes alpha of the mask's edges"),
    PF_OPT_END
};

/* The share of the border that one colour must have: all but what a large object covers, where that
 * is to be found out; half, where a person says that the background is plain. */
static const double PLAIN_AUTO = 0.9, PLAIN_ASKED = 0.5;
/* Masks that the network is less sure of (judge.h) are told. */
static const double DOUBT = 0.7;

#define say(...)                                                \
    do {                                                        \
        if (pf_common.verbose && !pf_common.quiet) {            \
            fprintf(stderr, "%s: ", pf_program());              \
            fprintf(stderr, __VA_ARGS__);                       \
            fputc('\n', stderr);                                \
        }                                                       \
    } while (0)

/* ---- the photo ---- */

struct opacity {
    int width, least, most;     /* alpha's */
};

static pf_err
find_opacity(void *user, uint8_t *row, int y)
{
    struct opacity *const o = user;
    (void)y;
    for (int x = 0; x < o->width; x++) {
        const int a = row[4 * x + 3];
        o->least = a < o->least ? a : o->least;
        o->most = a > o->most ? a : o->most;
    }
    return o->least < 128 && o->most > 0 ? PF_END : PF_OK;
}

/* Whether somebody has cut it out already.  It is read up to the pixels that say so. */
static pf_err
find_cut_out(bool *is, const pf_photo *photo)
{
    struct opacity o = {photo->width, 255, 0};
    const pf_err err = photo->channels == 4 ? pf_photo_rows(photo, find_opacity, &o) : PF_OK;
    *is = err == PF_END;
    if (*is || err || photo->channels != 4)
        return *is ? PF_OK : err;
    if (o.most == 0)
        return pf_fail(PF_ESHAPE, "%s: all of it is transparent, so there is no object",
                       photo->name);
    if (o.least < 255)
        pf_warn("%s: its alpha, %d to %d of 255, leaves nothing out, so it is cut out like an "
                "opaque photo", photo->name, o.least, o.most);
    return PF_OK;
}

static pf_err
write_whole(const pf_photo *photo, FILE *out, const char *name)
{
    pf_image whole;
    PF_TRY(pf_photo_whole(&whole, photo));
    const pf_err err = pf_image_write_png(&whole, out);
    pf_image_release(&whole);
    return err ? pf_fail_in(err, "%s", name) : PF_OK;
}

/* As it is: the file itself where that will do. */
static pf_err
pass(const pf_photo *photo, FILE *out, const char *name)
{
    size_t size = 0;
    const void *const file = pf_photo_as_png(photo, &size);

    if (!file)
        PF_TRY(write_whole(photo, out, name));
    else if (fwrite(file, 1, size, out) != size)
        return pf_fail(PF_EIO, "cannot write %s: %s", name, strerror(errno));
    PF_TRY(pf_output_flush(out, name));
    if (!pf_common.quiet)
        fprintf(stderr, "%s: %s has transparency, so it is cut out already: it stays as it is\n",
                pf_program(), photo->name);
    return PF_OK;
}

/* The upright photo without the alpha channel that it may have. */
static pf_err
read_opaque(pf_image *rgb, const pf_photo *photo)
{
    PF_TRY(pf_photo_whole(rgb, photo));
    for (size_t i = 0, n = pf_image_bytes(rgb) / rgb->channels; rgb->channels == 4 && i < n; i++)
        memmove(rgb->pixel + 3 * i, rgb->pixel + 4 * i, 3);
    rgb->channels = 3;
    return PF_OK;
}

struct pair {
    const pf_image *rgb, *alpha;
};

static pf_err
join_row(void *user, uint8_t *row, int y)
{
    const struct pair *const p = user;
    const size_t W = (size_t)p->rgb->width;
    for (size_t x = 0, i = y * W; x < W; x++, i++) {
        memcpy(row + 4 * x, p->rgb->pixel + 3 * i, 3);
        row[4 * x + 3] = p->alpha->pixel[i];
    }
    return PF_OK;
}

/* ---- by a plain background ---- */

/* C = a F + (1 - a) B: the object's own colour F of an edge pixel, so that no rim of B stays. */
static void
remove_ground(uint8_t *pixel, float a, const uint8_t ground[3])
{
    for (int c = 0; c < 3 && a > 0 && a < 1; c++) {
        const float f = (pixel[c] - (1 - a) * ground[c]) / a;
        pixel[c] = (uint8_t)(f < 0 ? 0 : f > 255 ? 255 : f + 0.5f);
    }
}

struct plain_cut {
    pf_image *alpha, *rgb;
    const uint8_t *ground;
};

static void
cut_row(void *user, const float *alpha, int y)
{
    const struct plain_cut *const cut = user;
    const size_t W = (size_t)cut->rgb->width;
    for (size_t x = 0, i = y * W; x < W; x++, i++) {
        remove_ground(cut->rgb->pixel + 3 * i, alpha[x], cut->ground);
        cut->alpha->pixel[i] = (uint8_t)(255 * alpha[x] + 0.5f);
    }
}

static pf_err
cut_plain(pf_image *alpha, pf_image *rgb, const uint8_t ground[3])
{
    struct plain_cut cut = {alpha, rgb, ground};
    PF_TRY(pf_image_new(alpha, rgb->width, rgb->height, 1));
    return pf_plain_rows(rgb->pixel, rgb->width, rgb->height, ground, &pf_conf, cut_row, &cut);
}

/* ---- by a network ---- */

static pf_err
set_preset(pf_cutter *cutter)
{
    static const char *const names[] = {[PF_OWN] = "own", [PF_AUTHOR] = "author",
                                        [PF_REMBG] = "rembg", [PF_CARVEKIT] = "carvekit",
                                        [PF_IMGLY] = "imgly"};
    enum pf_preset preset = cutter->preset;
    for (int i = PF_OWN; i <= PF_IMGLY; i++)
        if (!strcmp(opt.preset, names[i]))
            preset = (enum pf_preset)i;
    return pf_cutter_set_preset(cutter, preset);
}

struct network {
    pf_cutter cutter;
    bool failed;                /* to open: so it would for each photo */
};

static pf_err
open_cutter(pf_cutter *cutter)
{
    PF_TRY(pf_cutter_open(cutter, pf_common.weights, pf_common.device, pf_common.precision));
    pf_err err = set_preset(cutter);
    if (!err && opt.matting)
        err = pf_cutter_add_matting(cutter, opt.matting);
    if (err)
        pf_cutter_close(cutter);
    return err;
}

/* The network is opened before the photos where it was asked for, else for the first photo that
 * needs it. */
static bool
is_asked_for(void)
{
    return !strcmp(opt.method, "net") || opt.matting ||
           (pf_common.weights && strcmp(opt.method, "plain"));
}

static pf_err
need_network(struct network *network)
{
    const pf_err err = network->cutter.dev ? PF_OK : open_cutter(&network->cutter);
    network->failed = err;
    return err;
}

static bool
refines(void)
{
    const bool plainly = !strcmp(opt.preset, "auto") || !strcmp(opt.preset, "own");
    return !strcmp(opt.refine, "on") ||
           (!strcmp(opt.refine, "auto") && plainly && !opt.matting);
}

/* sure: judge.h's sureness. */
static pf_err
cut_by_network(pf_image *alpha, pf_image *rgb, pf_cutter *cutter, double *sure)
{
    const double start = pf_seconds();
    const bool fine = refines();
    pf_found found;
    pf_err err;

    PF_TRY((fine ? pf_cutter_find : pf_cutter_look)(cutter, &found, rgb));
    pf_dev_trim(cutter->dev);   /* the photo is worked on from here, and that is large enough */
    pf_stage_time(pf_cutter_name(cutter), pf_seconds() - start);
    *sure = sureness(&found.mask);
    say("on %s; sure to %.2f: that intersection over union is to be expected",
        pf_dev_name(cutter->dev), *sure);
    if (fine) {
        pf_cutout_settle(&found.mask, cutter->preset);
        err = pf_cutter_refine(alpha, rgb, &found);
    } else {
        const double then = pf_seconds();
        err = pf_cutter_finish(alpha, rgb, cutter, &found);
        if (!err && cutter->matting)
            pf_stage_time("FBA matting", pf_seconds() - then);
    }
    pf_tensor_release(&found.mask);
    return err;
}

/* ---- the tool ---- */

static pf_err
warn_of(const pf_image *alpha, double sure, const char *name)
{
    struct verdict v;

    PF_TRY(judge(&v, alpha));
    say("the object fills %.1f %% of the photo", 100 * v.share);
    if (v.share == 0)
        return pf_fail(PF_ESHAPE, "%s: no object is found", name);
    if (sure < DOUBT)
        pf_warn("%s: the network is not sure what the object is (%.2f of 1): look at the mask",
                name, sure);
    if (v.share < 0.01)
        pf_warn("%s: the object fills %.2f %% of the photo, less than 1 %%", name, 100 * v.share);
    if (v.touches)
        pf_warn("%s: the object touches the border of the photo: part of it may be outside", name);
    if (v.things > 1)
        pf_warn("%s: the object is %d things that are apart; the largest is %.0f %% of it", name,
                v.things, 100 * v.largest);
    return PF_OK;
}

/* alpha, and the colours that belong to it; sure is that of a network, or 1. */
static pf_err
cut(pf_image *alpha, pf_image *rgb, struct network *network, double *sure, const char *name)
{
    const bool asked = !strcmp(opt.method, "plain");
    uint8_t ground[3];
    const bool plain =
        strcmp(opt.method, "net") && !opt.matting &&
        pf_plain_background(ground, rgb->pixel, 1, rgb->width, rgb->height,
                            asked ? PLAIN_ASKED : PLAIN_AUTO, &pf_conf);

    if (asked && !plain)
        return pf_fail(PF_ESHAPE, "%s: the background is not plain: no colour fills half of the "
                       "border", name);
    *sure = 1;
    if (!plain) {
        PF_TRY(need_network(network));
        const pf_err err = cut_by_network(alpha, rgb, &network->cutter, sure);
        return err ? pf_fail_in(err, "%s", name) : PF_OK;
    }
    say("the background is plain, (%d, %d, %d): no network is needed", ground[0], ground[1],
        ground[2]);
    const pf_err err = cut_plain(alpha, rgb, ground);
    return err ? pf_fail_in(err, "%s", name) : PF_OK;
}

static pf_err
cut_out(const pf_photo *photo, struct network *network, FILE *out, const char *name)
{
    pf_image rgb = {0}, alpha = {0};
    double sure;
    pf_err err;

    if (!(err = read_opaque(&rgb, photo)) &&
        !(err = cut(&alpha, &rgb, network, &sure, photo->name)) &&
        !(err = warn_of(&alpha, sure, photo->name)) &&
        (err = pf_image_write_png_rows(out, rgb.width, rgb.height, 4, join_row,
                                       &(struct pair){&rgb, &alpha})))
        pf_fail_in(err, "%s", name);
    pf_image_release(&rgb);
    pf_image_release(&alpha);
    return err;
}

static pf_err
photo_to(FILE *out, const char *name, const char *path, struct network *network)
{
    pf_photo photo;
    bool cut_already;

    PF_TRY(pf_photo_open(&photo, path));
    if (photo.note[0])
        pf_warn("%s", photo.note);
    pf_conf.mask.threshold = pf_plain_threshold(opt.threshold, opt.usual, photo.lossy);
    pf_err err = find_cut_out(&cut_already, &photo);
    if (!err)
        err = cut_already ? pass(&photo, out, name) : cut_out(&photo, network, out, name);
    pf_photo_close(&photo);
    return err;
}

static pf_err
photo_to_file(const char *name, const char *path, struct network *network)
{
    pf_output *out;

    PF_TRY(pf_output_open(&out, name));
    const pf_err err = photo_to(pf_output_file(out), name, path, network);
    if (!err)
        return pf_output_close(out);
    pf_output_abandon(out);
    return err;
}

static struct pf_record record;

/* Photo number `number` to its file, which is not there if it fails, nor are its folders. */
static pf_err
work(const char *path, int number, struct network *network)
{
    char name[NAME_SIZE], object[NAME_MAX + 1];
    int folders = 0;

    PF_TRY(name_of(name, pf_common.out, path, number));
    if (strcmp(name, pf_common.out))
        PF_TRY(make_folders_of(name, &folders));
    const pf_err err = photo_to_file(name, path, network);
    if (err)
        remove_folders_of(name, folders);
    pf_object_of(object, path);
    return err ? err : pf_record_put(&record, object);
}

/* All photos, each to a file of its own; how many failed: the others do not suffer from it. */
static int
work_on_all(char *const *photos, int n, struct network *network)
{
    int failed = 0;
    for (int i = 0; i < n; i++) {
        const pf_err err = work(photos[i], i, network);
        pf_must(network->failed ? err : PF_OK);
        if (err)
            fprintf(stderr, "%s: %s\n", pf_program(), pf_error());
        failed += err != PF_OK;
    }
    return failed;
}

int
main(int argc, char *argv[])
{
    struct network network = {0};

    opt.usual = pf_conf.mask.threshold;
    pf_start(&argc, &argv, "[PHOTO...]", "Cut the object of a photo out of its background.", opts);
    opt.threshold = pf_conf.mask.threshold;
    if (opt.matting && !strcmp(opt.method, "plain"))
        pf_usage("--matting is for a network's mask, not for --method plain");
    if (opt.matting && !strcmp(opt.refine, "on"))
        pf_usage("--matting makes alpha of the mask, so does --refine on: one of them");
    pf_need_ending("png");
    need_names(pf_common.out, argv, argc);
    if (!strchr(pf_common.out, '%'))
        pf_must(pf_output_try(pf_common.out));
    pf_sandbox(PF_SANDBOX_DEVICE);
    if (is_asked_for())
        pf_must(need_network(&network));
    pf_must(pf_record_open(&record));
    if (argc < 2)
        pf_must(work(argc ? argv[0] : "-", 0, &network));
    const int failed = argc > 1 ? work_on_all(argv, argc, &network) : 0;
    pf_cutter_close(&network.cutter);
    if (failed)
        pf_die("%d of %d photos failed", failed, argc);
    return 0;
}
