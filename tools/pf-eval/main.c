/* pf-eval - measure views and meshes against true ones.
 * in:  pairs of views (streams, strips, folders of pictures) or of meshes (PLY, OBJ, GLB, STL, NPZ)
 * out: a table, or JSON */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/camera.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "tools/pf-eval/likeness.h"
#include "tools/pf-eval/lpips.h"
#include "tools/pf-eval/pairs.h"
#include "tools/pf-eval/surfaces.h"
#include "tools/pf-eval/table.h"
#include "tools/pf-eval/views.h"

static struct {
    const char *list, *heads;
    bool json, each, halve, original, fit;
    int frame, samples;
    double elevation_deg, turn_deg;
} opt = {.samples = 400000, .elevation_deg = 30};

static const struct pf_opt opts[] = {
    PF_OPT_STR(0, "list", opt.list, "FILE", "pairs in lines TRUE<tab>MADE[<tab>NAME]"),
    PF_OPT_FLAG(0, "json", opt.json, "write JSON instead of a table"),
    PF_OPT_FLAG(0, "each", opt.each, "views: a row for each view"),
    PF_OPT_FLAG(0, "halve", opt.halve, "views: the true ones are twice as large"),
    PF_OPT_INT(0, "ssim-frame", opt.frame, "PX", "views: leave out a frame of the SSIM's map", 0,
               1024),
    PF_OPT_STR(0, "heads", opt.heads, "FILE", "views: lpips' heads, if -w has VGG16 alone"),
    PF_OPT_REAL(0, "elevation", opt.elevation_deg, "DEG",
                "mesh: where the cameras stand that tell what is visible", -89, 89),
    PF_OPT_INT(0, "samples", opt.samples, "N", "mesh: points of each mesh", 1000, 10000000),
    PF_OPT_FLAG(0, "original", opt.original, "mesh: measure as the original's script does"),
    PF_OPT_FLAG(0, "fit", opt.fit, "mesh: centre the true one, its longest edge becomes 1"),
    PF_OPT_REAL(0, "turn", opt.turn_deg, "DEG", "mesh: turn the true one about the z axis", -360,
                360),
    PF_OPT_END
};

static const char *
name_of(const struct pair *p, const char *object)
{
    return p->name ? p->name : object ? object : pf_file_title(p->made);
}

/* ---- views ---- */

enum view_measure { PSNR, SSIM, MASK_IOU, LPIPS, VIEW_MEASURES };
static const struct column view_columns[VIEW_MEASURES] = {
    {"psnr", false, 4}, {"ssim", false, 5}, {"iou", false, 5}, {"lpips", true, 5}};

struct two {                    /* of the true view and the made one; owned */
    float *rgb[2], *alpha[2];
    float *large_rgb, *large_alpha;     /* --halve: the true one before */
};

static void
release_two(struct two *t)
{
    for (int i = 0; i < 2; i++) {
        free(t->rgb[i]);
        free(t->alpha[i]);
    }
    free(t->large_rgb);
    free(t->large_alpha);
}

static pf_err
new_two(struct two *t, size_t pixels)
{
    *t = (struct two){0};
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        ok &= (t->rgb[i] = malloc(3 * pixels * sizeof(float))) != NULL;
        ok &= (t->alpha[i] = malloc(pixels * sizeof(float))) != NULL;
    }
    if (opt.halve) {
        ok &= (t->large_rgb = malloc(12 * pixels * sizeof(float))) != NULL;
        ok &= (t->large_alpha = malloc(4 * pixels * sizeof(float))) != NULL;
    }
    return ok ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a view");
}

static pf_err
get_two(struct two *t, struct views *truth, struct views *made, int n)
{
    PF_TRY(views_get(made, n, t->rgb[1], t->alpha[1]));
    if (!opt.halve)
        return views_get(truth, n, t->rgb[0], t->alpha[0]);
    PF_TRY(views_get(truth, n, t->large_rgb, t->large_alpha));
    likeness_halve(t->rgb[0], t->large_rgb, made->width, made->height, 3);
    likeness_halve(t->alpha[0], t->large_alpha, made->width, made->height, 1);
    return PF_OK;
}

static pf_err
measure_view(double *value, const struct two *t, const struct views *made, bool masked,
             struct lpips *net)
{
    const int W = made->width, H = made->height;
    value[PSNR] = likeness_psnr(t->rgb[0], t->rgb[1], W, H);
    PF_TRY(likeness_ssim(&value[SSIM], t->rgb[0], t->rgb[1], W, H, opt.frame));
    value[MASK_IOU] = masked ? likeness_iou(t->alpha[0], t->alpha[1], W, H) : NAN;
    value[LPIPS] = NAN;
    return net ? lpips_distance(&value[LPIPS], net, t->rgb[0], t->rgb[1], W, H) : PF_OK;
}

static pf_err
check_sizes(const struct views *a, const struct views *b)
{
    const int times = opt.halve ? 2 : 1;
    if (a->count == b->count && a->width == times * b->width && a->height == times * b->height)
        return PF_OK;
    return pf_fail(PF_ESHAPE, "%s has %d views of %d x %d pixels, %s %d of %d x %d%s",
                   pf_file_title(a->path), a->count, a->width, a->height, pf_file_title(b->path),
                   b->count, b->width, b->height,
                   opt.halve ? "; --halve wants the first twice as large" : "");
}

/* The present set of both: a row, or one for each view. */
static pf_err
add_set(struct table *table, const struct pair *p, struct views *truth, struct views *made,
        struct lpips *net)
{
    const char *const name = name_of(p, made->object);
    double sum[VIEW_MEASURES] = {0};
    struct two two;
    if (truth->failed || made->failed)
        return table_add(table, name, p->truth, p->made, (double[]){NAN, NAN, NAN, NAN});
    PF_TRY(check_sizes(truth, made));
    pf_err err = new_two(&two, (size_t)made->width * made->height);
    for (int n = 0; n < made->count && !err; n++) {
        double value[VIEW_MEASURES];
        char view[300];
        if ((err = get_two(&two, truth, made, n)) ||
            (err = measure_view(value, &two, made, truth->masked && made->masked, net)))
            break;
        for (int k = 0; k < VIEW_MEASURES; k++)
            sum[k] += value[k] / made->count;
        snprintf(view, sizeof view, "%.280s:%d", name, n);
        if (opt.each)
            err = table_add(table, view, p->truth, p->made, value);
    }
    if (!err && !opt.each)
        err = table_add(table, name, p->truth, p->made, sum);
    release_two(&two);
    return err;
}

static pf_err
compare_sets(struct table *table, const struct pair *p, struct views *truth, struct views *made,
             struct lpips *net)
{
    for (;;) {
        const pf_err one = views_next(truth);
        if (one != PF_OK && one != PF_END)
            return one;
        const pf_err other = views_next(made);
        if (other != PF_OK && other != PF_END)
            return other;
        if (one != other)
            return pf_fail(PF_EFORMAT, "%s holds more sets of views than %s",
                           pf_file_title(one ? p->made : p->truth),
                           pf_file_title(one ? p->truth : p->made));
        if (one == PF_END)
            return PF_OK;
        PF_TRY(add_set(table, p, truth, made, net));
    }
}

static pf_err
compare_views(struct table *table, const struct pair *p, void *net)
{
    struct views *truth = NULL, *made = NULL;
    pf_err err = views_open(&truth, p->truth);
    if (!err)
        err = views_open(&made, p->made);
    if (!err)
        err = compare_sets(table, p, truth, made, net);
    views_close(truth);
    views_close(made);
    return err;
}

/* ---- meshes ---- */

static const struct column shape_columns[SHAPE_MEASURES] = {
    {"chamfer", true, 6}, {"f0.01", false, 5}, {"f0.02", false, 5}, {"normals", false, 5},
    {"iou", false, 5}, {"iou128", false, 5}, {"whole.chamfer", true, 6}, {"whole.f0.01", false, 5},
    {"whole.f0.02", false, 5}, {"whole.normals", false, 5}};

static pf_err
compare_meshes(struct table *table, const struct pair *p, void *unused)
{
    const struct shape_options how = {.elevation = opt.elevation_deg * (PF_PI / 180),
                                      .samples = opt.samples, .seed = (uint64_t)pf_common.seed,
                                      .original = opt.original};
    double value[SHAPE_MEASURES];
    struct shape truth = {0}, made = {0};
    (void)unused;
    pf_err err = shape_read(&truth, p->truth);
    if (!err)
        err = shape_read(&made, p->made);
    if (!err && opt.fit)
        shape_fit(&truth);
    if (!err && opt.turn_deg != 0)
        shape_turn(&truth, opt.turn_deg * (PF_PI / 180));
    if (!err && (err = shapes_compare(value, &truth, &made, &how)))
        pf_fail_in(err, "%s and %s", pf_file_title(p->truth), pf_file_title(p->made));
    shape_release(&truth);
    shape_release(&made);
    return err ? err : table_add(table, name_of(p, NULL), p->truth, p->made, value);
}

/* ---- pairs ---- */

static struct lpips *
open_lpips(pf_dev **dev)
{
    struct lpips *net;
    // A measure is exact unless somebody wants it otherwise.
    pf_must(pf_dev_open(dev, pf_common.device, pf_common.precision ? pf_common.precision : "f32"));
    pf_must(lpips_open(&net, *dev, pf_common.weights, opt.heads));
    return net;
}

static void
check_options(bool views)
{
    static const struct {
        const void *value;
        const char *name;
        bool views;
    } own[] = {{&opt.each, "each", true}, {&opt.halve, "halve", true},
               {&opt.frame, "ssim-frame", true}, {&opt.heads, "heads", true},
               {&opt.elevation_deg, "elevation", false}, {&opt.samples, "samples", false},
               {&opt.original, "original", false}, {&opt.fit, "fit", false},
               {&opt.turn_deg, "turn", false}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (pf_given(own[i].value) && own[i].views != views)
            pf_usage("--%s belongs to %s, not to %s", own[i].name, own[i].views ? "views" : "mesh",
                     views ? "views" : "mesh");
    if (opt.heads && !pf_common.weights)
        pf_usage("--heads needs VGG16 itself, -w FILE");
}

static void
run(bool views, const struct pairs *list, FILE *to)
{
    struct table table = {.what = views ? "views" : "mesh",
                          .column = views ? view_columns : shape_columns,
                          .columns = views ? VIEW_MEASURES : SHAPE_MEASURES};
    pf_dev *dev = NULL;
    pf_progress progress;
    struct lpips *const net = views && pf_common.weights ? open_lpips(&dev) : NULL;
    const bool many = list->pairs > 1;
    if (many)
        pf_progress_start(&progress, "measuring", list->pairs);
    for (int i = 0; i < list->pairs; i++) {
        pf_must((views ? compare_views : compare_meshes)(&table, &list->pair[i], net));
        if (many)
            pf_progress_step(&progress, i + 1, "%s", "");
    }
    if (many)
        pf_progress_end(&progress);
    pf_must(table_print(&table, to, opt.json));
    lpips_close(net);
    pf_dev_close(dev);
    table_release(&table);
}

int
main(int argc, char *argv[])
{
    pf_output *out = NULL;

    pf_start(&argc, &argv, "views|mesh TRUE MADE", "Measure views or meshes against true ones.",
             opts);
    const bool views = argc && !strcmp(argv[0], "views");
    if (!views && !(argc && !strcmp(argv[0], "mesh")))
        pf_usage(argc ? "%s is no command, expected views or mesh"
                      : "no command, expected views or mesh%s", argc ? argv[0] : "");
    if (argc != (opt.list ? 1 : 3))
        pf_usage("%s takes two names, TRUE and MADE, or --list FILE alone", argv[0]);
    if (!opt.list && !strcmp(argv[1], "-") && !strcmp(argv[2], "-"))
        pf_usage("standard input cannot be both TRUE and MADE");
    check_options(views);
    if (strcmp(pf_common.out, "-"))             // text may go to a terminal
        pf_must(pf_output_open(&out, pf_common.out));
    pf_sandbox(PF_SANDBOX_DEVICE);
    struct pair pair = {argc == 3 ? argv[1] : NULL, argc == 3 ? argv[2] : NULL, NULL};
    struct pairs list = {.pair = &pair, .pairs = 1};
    if (opt.list)
        pf_must(pairs_read(&list, opt.list));
    run(views, &list, out ? pf_output_file(out) : stdout);
    pf_must(out ? pf_output_close(out) : pf_output_flush(stdout, "standard output"));
    if (opt.list)
        pairs_release(&list);
    return 0;
}
