/* pf-cutout - cut the object of a photo out of its background.
 * in:  one picture, PNG, JPEG or WebP
 * out: the same as an RGBA PNG, its alpha the object's mask */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/plain.h"
#include "common/progress.h"
#include "common/text.h"
#include "kernels/cutout/tracer.h"
#include "tools/pf-cutout/carvekit.h"
#include "tools/pf-cutout/judge.h"
#include "tools/pf-cutout/prepare.h"

static struct {
    const char *method, *preset, *matting;
} opt = {.method = "auto", .preset = "auto"};

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "method", opt.method, "auto|net|plain",
                  "how the object is found; auto: plain where one colour fills the border"),
    PF_OPT_CHOICE(0, "preset", opt.preset, "auto|own|author|rembg|carvekit|imgly",
                  "whose rules go before and behind the network; auto: those of the weights"),
    PF_OPT_STR(0, "matting", opt.matting, "FILE",
               "FBA matting, by which the mask's edge becomes alpha"),
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

/* Whether somebody has cut it out already. */
static bool
is_cut_out(const pf_image *photo)
{
    for (size_t i = 3; photo->channels == 4 && i < pf_image_bytes(photo); i += 4)
        if (photo->pixel[i] < 128)
            return true;
    return false;
}

/* Without the alpha channel that it may have. */
static pf_err
opaque(pf_image *rgb, const pf_image *photo)
{
    PF_TRY(pf_image_new(rgb, photo->width, photo->height, 3));
    for (size_t i = 0, n = pf_image_bytes(rgb) / 3; i < n; i++)
        memcpy(rgb->pixel + 3 * i, photo->pixel + photo->channels * i, 3);
    return PF_OK;
}

static pf_err
join(pf_image *rgba, const pf_image *rgb, const pf_image *alpha)
{
    PF_TRY(pf_image_new(rgba, rgb->width, rgb->height, 4));
    for (size_t i = 0, n = pf_image_bytes(alpha); i < n; i++) {
        memcpy(rgba->pixel + 4 * i, rgb->pixel + 3 * i, 3);
        rgba->pixel[4 * i + 3] = alpha->pixel[i];
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

static pf_err
cut_plain(pf_image *alpha, pf_image *rgb, const uint8_t ground[3])
{
    const int W = rgb->width, H = rgb->height;
    pf_tensor a;
    pf_err err;

    PF_TRY(PF_TENSOR_NEW(&a, PF_F32, H, W));
    if (!(err = pf_plain_alpha(a.data, rgb->pixel, W, H, ground, &pf_conf)))
        err = pf_image_new(alpha, W, H, 1);
    for (int i = 0; i < W * H && !err; i++) {
        const float v = ((float *)a.data)[i];
        remove_ground(rgb->pixel + 3 * (size_t)i, v, ground);
        alpha->pixel[i] = (uint8_t)(255 * v + 0.5f);
    }
    pf_tensor_release(&a);
    return err;
}

/* ---- by a network ---- */

/* The network that ships lies in configs/ of the tree that holds this program, in build/bin or
 * build/MODE/bin, or where make install puts it, PREFIX/bin beside PREFIX/share/posefusion. */
static pf_err
find_weights(char path[PATH_MAX])
{
    static const char *const places[] = {"../share/posefusion", "../..", "../../.."};
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);

    if (n > 0) {
        program[n] = 0;
        const char *const folder = dirname(program);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            if (snprintf(path, PATH_MAX, "%s/%s/configs/cutout/weights.safetensors", folder,
                         places[i]) < PATH_MAX &&
                !access(path, R_OK))
                return PF_OK;
    }
    return pf_fail(PF_EIO, "the network that ships, configs/cutout/weights.safetensors, is not "
                   "near this program: say where with -w");
}

static pf_err
preset_wanted(enum preset *preset, const pf_checkpoint *weights, enum pf_cutout_kind kind)
{
    static const char *const names[] = {[OWN] = "own", [AUTHOR] = "author", [REMBG] = "rembg",
                                        [CARVEKIT] = "carvekit", [IMGLY] = "imgly"};
    *preset = preset_of(weights);
    for (int i = OWN; i <= IMGLY; i++)
        if (!strcmp(opt.preset, names[i]))
            *preset = (enum preset)i;
    return preset_check(*preset, kind);
}

static void
tell_sureness(const pf_dev *dev, const pf_tensor *mask, const char *name)
{
    const double sure = sureness(mask);
    say("on %s; sure to %.2f: that intersection over union is to be expected", pf_dev_name(dev),
        sure);
    if (sure > 0 && sure < DOUBT)
        pf_warn("%s: the network is not sure what the object is (%.2f of 1): look at the mask",
                name, sure);
}

static pf_err
run_network(pf_image *alpha, pf_dev *dev, const pf_cutout *net, const pf_image *rgb,
            const char *name, enum preset preset)
{
    pf_tensor input, mask;
    const double start = pf_seconds();

    PF_TRY(prepare(&input, dev, rgb, pf_cutout_side(net->kind), net->kind, preset));
    pf_err err = pf_cutout_run(dev, net, &mask, &input, NULL);
    pf_tensor_release(&input);
    PF_TRY(err);
    pf_stage_time(pf_cutout_name(net->kind), pf_seconds() - start);
    tell_sureness(dev, &mask, name);
    err = finish(alpha, dev, &mask, rgb->width, rgb->height, net->kind, preset);
    pf_tensor_release(&mask);
    return err;
}

static pf_err
run_tracer(pf_image *alpha, pf_dev *dev, pf_checkpoint *weights, const pf_image *rgb,
           const char *name)
{
    pf_tensor share;

    if (strcmp(opt.preset, "auto") && strcmp(opt.preset, "carvekit"))
        return pf_fail(PF_EARG, "--preset %s has no rules for TRACER-B7: carvekit", opt.preset);
    PF_TRY(carvekit_find(&share, dev, weights, rgb));
    tell_sureness(dev, &share, name);
    const pf_err err = carvekit_mask(alpha, &share, rgb->width, rgb->height);
    pf_tensor_release(&share);
    return err;
}

/* Of whatever network the weights are, and how the photo's colours are to be. */
static pf_err
find_mask(pf_image *alpha, bool *grey, pf_dev *dev, pf_checkpoint *weights, const pf_image *rgb,
          const char *name)
{
    pf_cutout net;
    enum preset preset;

    *grey = pf_tracer_recognise(weights);
    if (*grey)
        return run_tracer(alpha, dev, weights, rgb, name);
    PF_TRY(pf_cutout_load(&net, dev, weights));
    PF_TRY(preset_wanted(&preset, weights, net.kind));
    *grey = preset == CARVEKIT && opt.matting;
    return run_network(alpha, dev, &net, rgb, name, preset);
}

static pf_err
cut_by_network(pf_image *alpha, pf_image *rgb, const char *name)
{
    char shipped[PATH_MAX];
    pf_checkpoint *weights = NULL;
    pf_dev *dev = NULL;
    pf_fba matting;
    bool grey = false;
    pf_err err;

    if (!pf_common.weights)
        PF_TRY(find_weights(shipped));
    PF_TRY(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    if (!(err = pf_checkpoint_open(&weights, pf_common.weights ? pf_common.weights : shipped)) &&
        (!opt.matting || !(err = carvekit_load_matting(&matting, dev, opt.matting))))
        err = find_mask(alpha, &grey, dev, weights, rgb, name);
    if (!err && opt.matting)
        err = carvekit_matting(alpha, dev, &matting, rgb);
    if (!err && grey)
        carvekit_colours(rgb, alpha);
    pf_checkpoint_close(weights);
    pf_dev_close(dev);
    return err;
}

/* ---- the tool ---- */

static pf_err
warn_of(const pf_image *alpha, const char *name)
{
    struct verdict v;

    PF_TRY(judge(&v, alpha));
    say("the object fills %.1f %% of the photo", 100 * v.share);
    if (v.share == 0)
        return pf_fail(PF_ESHAPE, "%s: no object is found", name);
    if (v.share < 0.01)
        pf_warn("%s: the object fills %.2f %% of the photo, less than 1 %%", name, 100 * v.share);
    if (v.touches)
        pf_warn("%s: the object touches the border of the photo: part of it may be outside", name);
    if (v.things > 1)
        pf_warn("%s: the object is %d things that are apart; the largest is %.0f %% of it", name,
                v.things, 100 * v.largest);
    return PF_OK;
}

/* alpha, and the colours that belong to it. */
static pf_err
cut(pf_image *alpha, pf_image *rgb, const char *name)
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
    if (!plain)
        return cut_by_network(alpha, rgb, name);
    say("the background is plain, (%d, %d, %d): no network is needed", ground[0], ground[1],
        ground[2]);
    return cut_plain(alpha, rgb, ground);
}

/* rgba is the photo cut out. */
static pf_err
cut_out(pf_image *rgba, const pf_image *photo, const char *name)
{
    pf_image rgb = {0}, alpha = {0};
    pf_err err;

    if (!(err = opaque(&rgb, photo)) && !(err = cut(&alpha, &rgb, name)) &&
        !(err = warn_of(&alpha, name)))
        err = join(rgba, &rgb, &alpha);
    pf_image_release(&rgb);
    pf_image_release(&alpha);
    return err;
}

int
main(int argc, char *argv[])
{
    pf_image photo, rgba;
    pf_output *out;

    pf_start(&argc, &argv, "[PHOTO]", "Cut the object of a photo out of its background.", opts);
    if (opt.matting && !strcmp(opt.method, "plain"))
        pf_usage("--matting is for a network's mask, not for --method plain");
    if (argc > 1)
        pf_usage("one photo at a time, not %d", argc);
    const char *const path = argc ? argv[0] : "-", *const name = pf_file_title(path);
    pf_must(pf_output_open(&out, pf_common.out));
    pf_must(pf_image_read(&photo, path));
    if (is_cut_out(&photo)) {
        if (!pf_common.quiet)
            fprintf(stderr, "%s: %s has transparency, so it is cut out already: it stays as it "
                    "is\n", pf_program(), name);
        pf_must(pf_image_write_png(&photo, pf_output_file(out)));
    } else {
        pf_must(cut_out(&rgba, &photo, name));
        pf_must(pf_image_write_png(&rgba, pf_output_file(out)));
        pf_image_release(&rgba);
    }
    pf_must(pf_output_close(out));
    pf_image_release(&photo);
    return 0;
}
