/* pf-sample - the photo's object, seen from all around.
 * in:  input.image [3, S, S], input.clip [1, E], input.elevation [1], input.azimuth [1]
 * out: one document for each target elevation, input elevation and sample, the last fastest:
 *      views.image [N, S, S, 3], views.pose [N, 3, 4], views.intrinsics [N, 3, 3],
 *      views.elevation [N], views.azimuth [N]; input.elevation [1] is the one that was taken */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/batch.h"
#include "common/camera.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/plan.h"
#include "tools/pf-sample/preview.h"
#include "tools/pf-sample/sampler.h"

static struct {
    struct pf_list elevation_deg, input_deg;    /* input_deg is empty: that of the stream */
    const char *quality, *noise, *dump, *png, *preview;
    int dump_view, preview_every;
    bool latents, plan, ema, verify;
} opt = {.elevation_deg = {1, {30}}, .dump_view = 3, .preview_every = 10};

/* --preview, which main takes out of opt: whether somebody looks on is no part of how the views
 * came to be, so the history does not say it. */
static struct preview preview;

static const struct pf_opt opts[] = {
    PF_OPT_LIST(0, "target-elevation", opt.elevation_deg, "DEG[,DEG...]",
                "elevations to look from, one set of views each", -89, 89,
                .alias = "elevation-target"),
    PF_OPT_LIST(0, "input-elevation", opt.input_deg, "DEG[,DEG...]",
                "suppose that the photo was taken from here, one set of views each", -89, 89),
    PF_OPT_INT(0, "sample-num", pf_conf.sampler.sample_num, "N",
               "different samples of each elevation", 1, 10000),
    PF_OPT_REAL(0, "cfg-scale", pf_conf.sampler.cfg_scale, "S", "strength of guidance; 1: none", 0,
                100),
    PF_OPT_CHOICE(0, "quality", opt.quality, "draft|normal|best",
                  "what the next four are unless they are given"),
    PF_OPT_INT(0, "steps", pf_conf.sampler.steps, "N", "denoising steps", 1, DDIM_TIMES,
               .alias = "sample-steps"),
    PF_OPT_CHOICE(0, "timesteps", pf_conf.sampler.timesteps, "even|original|trailing",
                  "even, SyncDreamer's list, which may be longer, or even from the last time on"),
    PF_OPT_CHOICE(0, "sampler", pf_conf.sampler.name, "ddim|dpmpp-2m|unipc",
                  "how a step is done: the latter two need fewer"),
    PF_OPT_REAL(0, "eta", pf_conf.sampler.eta, "X",
                "noise that a step of ddim adds: 0 none, 1 all", 0, 1),
    PF_OPT_INT(0, "batch-view-num", pf_conf.sampler.batch_view_num, "N",
               "views in one evaluation: memory, not the result", 1, 256),
    PF_OPT_STR(0, "noise", opt.noise, "FILE", "take every random number from FILE"),
    PF_OPT_STR(0, "dump", opt.dump, "FILE", "write activations of one view and states to FILE"),
    PF_OPT_INT(0, "dump-view", opt.dump_view, "N", "the view whose activations --dump writes",
               0, 255),
    PF_OPT_FLAG(0, "latents", opt.latents, "also write views.latent"),
    PF_OPT_STR(0, "png", opt.png, "DIR", "also write DIR/0.png ..., N views side by side"),
    PF_OPT_STR(0, "preview", opt.preview, "DIR",
               "write DIR/0.png ...: the first view as it comes to be"),
    PF_OPT_INT(0, "preview-every", opt.preview_every, "N", "steps between previews", 1,
               DDIM_TIMES),
    PF_OPT_FLAG(0, "ema", opt.ema, "take the EMA of the weights, their moving average"),
    PF_OPT_FLAG(0, "verify", opt.verify, "compare the weights with their checksums first"),
    PF_OPT_FLAG(0, "plan", opt.plan, "say how much memory the run will take, and do not run"),
    PF_OPT_END};

/* --quality; how they were chosen: networks.md, 13. */
static const struct quality {
    const char *name, *sampler, *timesteps;
    int steps;
    double eta;
} qualities[] = {
    {"draft", "ddim", "trailing", 3, 0},
    {"normal", "ddim", "trailing", 8, 0},
    {"best", "unipc", "trailing", 20, 0},
};

struct photo {                          /* a document of the input */
    pf_doc doc;
    struct sampler_input input;
    pf_tensor moments;
    char *history;                      /* before this tool */
    int index, count;                   /* its position */
    int each, done;                     /* documents that it becomes; of them, written so far */
};

static struct pf_place png_at = {.option = "--png", .shared = true};
static int strips;                      /* written so far */

/* Read one number of a [1] tensor, at most this many radians. */
static pf_err
need_angle(float *rad, const pf_doc *doc, const char *name, double most, const char *expected)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, name, PF_F32, 1, (int64_t[]){1}, &t));
    *rad = *(float *)t.data;
    return pf_tensor_expect_range(&t, name, -most - 1e-6, most + 1e-6, expected);
}

/* What sampling needs of a document, and the VAE's view of its picture. */
static pf_err
photo_prepare(struct photo *p, struct model *m)
{
    const int64_t S = m->conf.model.image_size;
    const char *history = pf_doc_get_meta(&p->doc, "pf.history");
    pf_tensor image, clip;
    PF_TRY(pf_doc_need(&p->doc, "input.image", PF_F32, 3, (int64_t[]){3, S, S}, &image));
    PF_TRY(pf_doc_need(&p->doc, "input.clip", PF_F32, 2, (int64_t[]){1, m->conf.clip.output_dim},
                       &clip));
    PF_TRY(pf_tensor_expect_range(&image, "input.image", -1 - 1e-6, 1 + 1e-6, "-1 to 1"));
    PF_TRY(pf_tensor_expect_range(&clip, "input.clip", -1e6, 1e6, "CLIP's features"));
    PF_TRY(need_angle(&p->input.elevation, &p->doc, "input.elevation", PF_PI / 2,
                      "radians, -pi/2 to pi/2"));
    PF_TRY(need_angle(&p->input.azimuth, &p->doc, "input.azimuth", 1e4, "radians"));
    p->input.clip = clip.data;
    if (!(p->history = strdup(history ? history : "[]")))
        return pf_fail(PF_ENOMEM, "no memory");
    return sampler_encode(m, &p->moments, &image);
}

static void
photo_release(struct photo *p)
{
    pf_doc_release(&p->doc);
    pf_tensor_release(&p->moments);
    free(p->history);
    *p = (struct photo){0};
}

/* DIR/0.png ...: the views side by side, as the original writes them.  They are counted through
 * the stream or, where DIR is a pattern, in each folder. */
static pf_err
write_strip(const pf_doc *doc, const pf_tensor *pictures)
{
    PF_TRY(pf_place_next(&png_at, doc));
    const int index = pf_pattern(opt.png) ? png_at.number : strips++;
    const int V = (int)pictures->dim[0], S = (int)pictures->dim[1];
    const size_t row = 3 * (size_t)S;
    char path[PATH_MAX];
    pf_image strip;
    if (pf_pattern(opt.png) && index == 0)
        PF_TRY(pf_output_folder(png_at.path));
    if (snprintf(path, sizeof path, "%s/%d.png", png_at.path, index) >= (int)sizeof path)
        return pf_fail(PF_EIO, "--png: the name of the folder is too long");
    PF_TRY(pf_image_new(&strip, V * S, S, 3));
    for (int v = 0; v < V; v++)
        for (int y = 0; y < S; y++)
            memcpy(strip.pixel + ((size_t)y * (size_t)V + (size_t)v) * row,
                   (const uint8_t *)pictures->data + ((size_t)v * (size_t)S + (size_t)y) * row,
                   row);
    const pf_err err = pf_image_save_png(&strip, path);
    pf_image_release(&strip);
    return err;
}

/* Which of the photo's documents the next one is; %e and %s of a name, too. */
static pf_err
put_position(struct photo *p, double elevation_deg, int sample)
{
    char text[PF_NUMBER];
    PF_TRY(pf_spread_put(&p->doc, p->index, p->count, p->done, p->each));
    PF_TRY(pf_doc_set_meta(&p->doc, "pf.elevation", pf_number_text(text, elevation_deg)));
    snprintf(text, sizeof text, "%d", sample);
    return pf_doc_set_meta(&p->doc, "pf.sample", text);
}

/* Add the views to the photo's document. */
static pf_err
put_views(struct photo *p, const struct rig *w, const pf_tensor *pictures, const pf_tensor *latents)
{
    pf_doc *doc = &p->doc;
    const pf_tensor input_elevation = PF_VIEW(&p->input.elevation, PF_F32, 1);
    PF_TRY(pf_doc_put(doc, "input.elevation", &input_elevation));
    PF_TRY(pf_doc_put(doc, "views.image", pictures));
    PF_TRY(pf_doc_put(doc, "views.pose", &w->pose));
    PF_TRY(pf_doc_put(doc, "views.intrinsics", &w->intrinsics));
    PF_TRY(pf_doc_put(doc, "views.elevation", &w->elevation));
    PF_TRY(pf_doc_put(doc, "views.azimuth", &w->azimuth));
    if (opt.latents)
        PF_TRY(pf_doc_put(doc, "views.latent", latents));
    PF_TRY(pf_doc_set_meta(doc, "pf.kind", "views"));
    PF_TRY(pf_doc_set_meta(doc, "pf.history", p->history));
    PF_TRY(pf_doc_add_history(doc));
    return opt.png ? write_strip(doc, pictures) : PF_OK;
}

/* What goes out is what came in and the views: a copy, so that pf-batch may keep it. */
static pf_err
write_views(struct photo *p, pf_batch *batch)
{
    pf_doc copy = {0};
    pf_err err = pf_doc_copy(&copy, &p->doc);
    if (!err)
        err = pf_batch_write(batch, &copy);
    pf_doc_release(&copy);
    p->done += !err;
    return err;
}

/* One sample of a target elevation into its document. */
static pf_err
sample_once(struct sampler *s, struct model *m, struct photo *p, struct noise *noise)
{
    pf_tensor latents = {0}, pictures = {0}, raw = {0};                 // pictures [N, S, S, 3]
    double start = pf_seconds();
    preview_begin(&preview);
    pf_err err = sampler_run(s, &latents, &p->moments, noise);          // [N, z, h, w]
    if (!err) {
        pf_stage_time("sampling", pf_seconds() - start);
        start = pf_seconds();
        err = sampler_decode(m, &pictures, m->run.dump ? &raw : NULL, &latents);
    }
    if (!err) {
        pf_stage_time("decoding", pf_seconds() - start);
        err = m->run.dump ? dump_host(&m->run, &raw, "decoded") : PF_OK;
    }
    if (!err)
        err = put_views(p, &s->views, &pictures, &latents);
    pf_tensor_release(&latents);
    pf_tensor_release(&pictures);
    pf_tensor_release(&raw);
    return err;
}

/* One target elevation of one photo, seen from its input elevation: sample_num documents. */
static pf_err
sample_elevation(struct model *m, struct photo *p, double elevation_deg, struct noise *noise,
                 pf_batch *batch)
{
    struct sampler s;
    double start = pf_seconds();
    pf_err err = sampler_begin(&s, m, &p->input, (float)(elevation_deg * (PF_PI / 180)));
    s.watch = preview.folder ? preview_step : NULL;
    s.watcher = &preview;
    if (!err)
        pf_stage_time("cameras", pf_seconds() - start);
    for (int i = 0; i < m->conf.sampler.sample_num && !err; i++) {
        noise_key(noise, elevation_deg, i);
        if ((err = put_position(p, elevation_deg, i)) || (err = sample_once(&s, m, p, noise)))
            break;
        err = write_views(p, batch);
    }
    sampler_end(&s);
    return err;
}

/* One target elevation of one photo: sample_num documents for each input elevation. */
static pf_err
sample_inputs(struct model *m, struct photo *p, double elevation_deg, struct noise *noise,
              pf_batch *batch)
{
    if (!opt.input_deg.n)
        return sample_elevation(m, p, elevation_deg, noise, batch);
    for (int i = 0; i < opt.input_deg.n; i++) {
        p->input.elevation = (float)(opt.input_deg.v[i] * (PF_PI / 180));
        PF_TRY(sample_elevation(m, p, elevation_deg, noise, batch));
    }
    return PF_OK;
}

/* What a list of photos says of this one (pf-crop --list) counts unless an option was given. */
static pf_err
take_wishes(struct noise *noise, const pf_doc *doc, const struct pf_list *usual, int64_t seed)
{
    const char *const target = pf_doc_get_meta(doc, "pf.target_elevation");
    const char *const own = pf_doc_get_meta(doc, "pf.seed");
    opt.elevation_deg = *usual;
    pf_common.seed = seed;
    if (target && !pf_given(&opt.elevation_deg) &&
        !pf_list_parse(&opt.elevation_deg, target, -89, 89))
        return pf_fail(PF_EFORMAT, "pf.target_elevation is \"%s\", expected degrees, -89 to 89",
                       target);
    if (own && !pf_given(&pf_common.seed) && !pf_parse_int(&pf_common.seed, own))
        return pf_fail(PF_EFORMAT, "pf.seed is \"%s\", expected a whole number", own);
    noise->seed = (uint64_t)pf_common.seed;
    return PF_OK;
}

/* Every document of a run becomes as many, or nobody can tell what is missing. */
static pf_err
check_each(struct photo *p)
{
    static int each;
    p->each = opt.elevation_deg.n * (opt.input_deg.n ? opt.input_deg.n : 1) *
              pf_conf.sampler.sample_num;
    if (p->index == 0)
        each = p->each;
    return p->each == each ? PF_OK
                           : pf_fail(PF_EFORMAT, "this photo makes %d documents, the first %d: "
                                     "expected as many target elevations for each", p->each, each);
}

/* All documents of one photo. */
static pf_err
sample_photo(struct model *m, struct photo *p, struct noise *noise, pf_batch *batch)
{
    const double start = pf_seconds();
    PF_TRY(photo_prepare(p, m));
    pf_stage_time("encoding", pf_seconds() - start);
    for (int e = 0; e < opt.elevation_deg.n; e++)
        PF_TRY(sample_inputs(m, p, opt.elevation_deg.v[e], noise, batch));
    return PF_OK;
}

/* A photo that failed stands for the documents that it did not become: the positions of those that
 * follow are as if it had. */
static pf_err
write_failed(struct photo *p, pf_batch *batch)
{
    const int inputs = opt.input_deg.n ? opt.input_deg.n : 1;
    const int samples = pf_conf.sampler.sample_num;
    for (; p->done < p->each; p->done++) {
        PF_TRY(put_position(p, opt.elevation_deg.v[p->done / (inputs * samples)],
                            p->done % samples));
        PF_TRY(pf_batch_write(batch, &p->doc));
    }
    return PF_OK;
}

/* SyncDreamer's views were all at 30 degrees. */
static void
warn_of_elevations(const struct model *m)
{
    if (unet_is_sync_dreamer(&m->unet))
        for (int i = 0; i < opt.elevation_deg.n; i++)
            if (opt.elevation_deg.v[i] != 30) {
                pf_warn("--target-elevation %g: these weights, SyncDreamer's, were trained for "
                        "views at 30 degrees alone", opt.elevation_deg.v[i]);
                return;
            }
}

/* -w, with --ema and --verify. */
static pf_checkpoint *
open_weights(void)
{
    pf_checkpoint *w;
    pf_must((opt.ema ? pf_checkpoint_open_ema : pf_checkpoint_open)(&w, pf_common.weights));
    if (!opt.ema && pf_checkpoint_has_ema(w) && !pf_common.quiet)
        pf_warn("%s: there are EMA weights, too: --ema takes them", pf_checkpoint_path(w));
    if (opt.verify)
        pf_must(pf_checkpoint_verify_all(w));
    return w;
}

/* -o FOLDER, as the original has it: its pictures 0.png ... and, of ours, views.pf. */
static void
output_into_folder(void)
{
    static char views[4096];
    struct stat st;
    const char *const folder = pf_common.out;
    const bool slash = folder[strlen(folder) - 1] == '/';
    if (!slash && (pf_pattern(folder) || stat(folder, &st) || !S_ISDIR(st.st_mode)))
        return;
    if (snprintf(views, sizeof views, "%s%sviews.pf", folder, slash ? "" : "/") >=
        (int)sizeof views)
        pf_die("-o: the name of the folder is too long");
    if (!pf_pattern(folder))
        pf_must(pf_output_folder(folder));
    pf_common.out = views;
    opt.png = opt.png ? opt.png : folder;
}

/* --plan. */
static void
print_plan(void)
{
    struct plan plan;
    pf_checkpoint *const weights = open_weights();
    pf_must(pf_hint_config(plan_make(&plan, weights, &pf_conf)));
    pf_must(plan_print(&plan, stdout));
    pf_checkpoint_close(weights);
}

/* Where memory was short: how much the run needs, and which option lowers it.  The device is
 * closed, so that what is free is what the next try will find. */
static pf_err
with_advice(pf_err err, pf_dev *dev, pf_checkpoint *weights)
{
    char sentence[800], less[100] = "";
    struct plan plan;
    if (err != PF_ENOMEM)
        return err;
    snprintf(sentence, sizeof sentence, "%s", pf_error());
    rehearsal_end();
    pf_dev_close(dev);
    if (plan_make(&plan, weights, &pf_conf))
        return pf_fail(err, "%s", sentence);
    const struct plan_row *const fits = plan_smaller(&plan), *const least = fits ? fits : plan.row;
    if (plan.own)
        snprintf(less, sizeof less, ", %swith --batch-view-num %d %.1f MB", fits ? "" : "even ",
                 least->batch, (double)least->need / 1e6);
    return pf_fail(err, "%s; the whole run needs %.1f MB%s (see --plan)", sentence,
                   (double)plan.row[plan.own].need / 1e6, less);
}

/* Let the quality decide what no option did. */
static void
take_quality(void)
{
    const struct quality *q = qualities;
    if (!opt.quality)
        return;
    while (strcmp(q->name, opt.quality))        // the option is one of them
        q++;
    if (!pf_given(&pf_conf.sampler.name))
        pf_conf.sampler.name = q->sampler;
    if (!pf_given(&pf_conf.sampler.timesteps))
        pf_conf.sampler.timesteps = q->timesteps;
    if (!pf_given(&pf_conf.sampler.steps))
        pf_conf.sampler.steps = q->steps;
    if (!pf_given(&pf_conf.sampler.eta))
        pf_conf.sampler.eta = q->eta;
}

/* What only the tool can see of a wrong call. */
static void
check_call(int argc)
{
    if (argc > 1)
        pf_usage("one stream at a time, not %d", argc);
    if (!pf_common.weights)
        pf_usage("-w WEIGHTS is missing: the diffusion checkpoint");
    if (pf_conf.sampler.cfg_scale == 0)
        pf_warn("--cfg-scale 0: the views do not depend on the photo");
    pf_must_usage(ddim_times(&(struct ddim){0}, pf_conf.sampler.steps, pf_conf.sampler.timesteps));
    if (pf_given(&pf_conf.sampler.eta) && strcmp(pf_conf.sampler.name, "ddim"))
        pf_usage("--eta is for the sampler ddim: %s adds no noise", pf_conf.sampler.name);
    if (opt.dump && !strcmp(opt.dump, "-"))
        pf_usage("--dump needs the name of a file, not standard output");
    pf_need_two_names("--dump", opt.dump, "--output", pf_common.out);
    pf_pattern_check("--png", opt.png);
}

/* Every photo of the stream, one after the other.  Where memory is short it is for all of them. */
static void
sample_all(struct model *m, struct noise *noise, pf_batch *batch, pf_checkpoint *weights)
{
    const struct pf_list elevation_deg = opt.elevation_deg;
    const int64_t seed = pf_common.seed;
    struct photo p = {0};
    pf_err err;
    while (!(err = pf_batch_next(batch, &p.doc))) {
        pf_doc_position(&p.doc, &p.index, &p.count);
        err = take_wishes(noise, &p.doc, &elevation_deg, seed);
        pf_must(pf_batch_blame(batch, err ? err : check_each(&p)));
        if (!pf_doc_failed(&p.doc)) {
            err = sample_photo(m, &p, noise, batch);
            if (err == PF_ENOMEM)
                pf_must(with_advice(err, m->run.dev, weights));
            if (err)
                pf_must(pf_batch_fail(batch, &p.doc, pf_batch_blame(batch, err)));
        }
        if (pf_doc_failed(&p.doc))
            pf_must(write_failed(&p, batch));
        photo_release(&p);
    }
    pf_must(err == PF_END ? PF_OK : err);
}

int
main(int argc, char *argv[])
{
    static struct model model;
    struct dump dump = {.row = -1};
    struct noise noise;
    pf_checkpoint *weights;
    pf_batch *batch;
    pf_dev *dev;

    pf_start(&argc, &argv, "[STREAM]", "Make views of a photo's object from all around.", opts);
    take_quality();
    check_call(argc);
    if (opt.plan) {
        pf_sandbox(PF_SANDBOX_DEVICE);
        print_plan();
        return 0;
    }
    preview = (struct preview){.folder = opt.preview, .every = opt.preview_every};
    opt.preview = NULL;
    output_into_folder();
    pf_need_stream_name();
    pf_must(pf_batch_open(&batch, pf_common.out));
    png_at.pattern = opt.png;
    if (opt.png && !pf_pattern(opt.png))
        pf_must(pf_output_folder(opt.png));
    if (preview.folder)
        pf_must(pf_output_folder(preview.folder));
    if (opt.dump)
        pf_must(pf_output_try(opt.dump));
    pf_sandbox(PF_SANDBOX_DEVICE, opt.png, preview.folder, opt.dump);
    pf_must(pf_batch_input(batch, argc, argv));
    pf_must(noise_open(&noise, opt.noise, pf_common.seed));
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    const double start = pf_seconds();
    weights = open_weights();
    rehearsal_begin(dev, weights, &pf_conf);
    pf_must(with_advice(pf_hint_config(model_load(&model, dev, weights, &pf_conf)), dev, weights));
    warn_of_elevations(&model);
    pf_dev_expect(dev, rehearsal_end());
    pf_stage_time("weights", pf_seconds() - start);
    dump.view = opt.dump_view;
    model.run.dump = opt.dump ? &dump : NULL;
    sample_all(&model, &noise, batch, weights);
    if (opt.dump)
        pf_must(pf_doc_write_file(&dump.doc, opt.dump));
    preview_end(&preview);
    const int status = pf_batch_end(batch);
    if (pf_common.verbose)
        fprintf(stderr, "pf-sample: memory: %.1f MB of weights and constants, %.1f MB of "
                "activations at most, %.1f MB in all, on %s\n", (double)pf_dev_kept(dev) / 1e6,
                (double)pf_dev_peak(dev) / 1e6, (double)pf_dev_need(dev) / 1e6, pf_dev_name(dev));
    pf_doc_release(&dump.doc);
    noise_close(&noise);
    pf_dev_close(dev);
    pf_checkpoint_close(weights);
    return status;
}
