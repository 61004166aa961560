/* pf-sample - the photo's object, seen from all around.
 * in:  input.image [3, S, S], input.clip [1, E], input.elevation [1], input.azimuth [1]
 * out: one document for each target elevation, input elevation and sample, the last fastest:
 *      views.image [N, S, S, 3], views.pose [N, 3, 4], views.intrinsics [N, 3, 3],
 *      views.elevation [N], views.azimuth [N]; input.elevation [1] is the one that was taken */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/camera.h"
#include "common/output.h"
#include "common/image.h"
#include "common/opt.h"
#include "common/progress.h"
#include "tools/pf-sample/dump.h"
#include "tools/pf-sample/plan.h"
#include "tools/pf-sample/sampler.h"

static struct {
    struct pf_list elevation_deg, input_deg;    /* input_deg is empty: that of the stream */
    const char *noise, *dump, *png;
    int dump_view;
    bool latents, plan, ema, verify;
} opt = {.elevation_deg = {1, {30}}, .dump_view = 3};

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
    PF_OPT_INT(0, "steps", pf_conf.sampler.steps, "N", "denoising steps", 1, DDIM_TIMES,
               .alias = "sample-steps"),
    PF_OPT_CHOICE(0, "timesteps", pf_conf.sampler.timesteps, "even|original",
                  "even, or SyncDreamer's list, which may be longer"),
    PF_OPT_CHOICE(0, "sampler", pf_conf.sampler.name, "ddim", "the sampler: there is one"),
    PF_OPT_REAL(0, "eta", pf_conf.sampler.eta, "X", "noise that a step adds: 0 none, 1 all", 0, 1),
    PF_OPT_INT(0, "batch-view-num", pf_conf.sampler.batch_view_num, "N",
               "views in one evaluation: memory, not the result", 1, 256),
    PF_OPT_STR(0, "noise", opt.noise, "FILE", "take every random number from FILE"),
    PF_OPT_STR(0, "dump", opt.dump, "FILE", "write activations of one view and states to FILE"),
    PF_OPT_INT(0, "dump-view", opt.dump_view, "N", "the view whose activations --dump writes",
               0, 255),
    PF_OPT_FLAG(0, "latents", opt.latents, "also write views.latent"),
    PF_OPT_STR(0, "png", opt.png, "DIR", "also write DIR/0.png ..., N views side by side"),
    PF_OPT_FLAG(0, "ema", opt.ema, "take the EMA of the weights, their moving average"),
    PF_OPT_FLAG(0, "verify", opt.verify, "compare the weights with their checksums first"),
    PF_OPT_FLAG(0, "plan", opt.plan, "say how much memory the run will take, and do not run"),
    PF_OPT_END};

struct photo {                          /* one document of the input */
    pf_doc doc;
    struct sampler_input input;
    pf_tensor moments;
    char *history;                      /* before this tool */
};

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

/* All documents of the input: their number decides pf.count. */
static int
read_photos(struct photo **photos, const char *path)
{
    pf_stream *in;
    pf_doc doc = {0};
    pf_err err;
    int n = 0;
    pf_must(pf_stream_open(&in, path));
    while ((err = pf_stream_read(in, &doc)) == PF_OK) {
        *photos = realloc(*photos, (size_t)(n + 1) * sizeof **photos);
        if (!*photos)
            pf_die("no memory for %d photos", n + 1);
        (*photos)[n++] = (struct photo){.doc = doc};
        doc = (pf_doc){0};
    }
    pf_must(err == PF_END ? PF_OK : err);
    pf_stream_close(in);
    return n;
}

/* DIR/INDEX.png: the views side by side, as the original writes them. */
static pf_err
write_strip(const pf_tensor *pictures, int index)
{
    const int V = (int)pictures->dim[0], S = (int)pictures->dim[1];
    const size_t row = 3 * (size_t)S;
    char path[4096];
    pf_image strip;
    if (snprintf(path, sizeof path, "%s/%d.png", opt.png, index) >= (int)sizeof path)
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

/* Add the views to the photo's document and write it. */
static pf_err
write_views(struct photo *p, const struct rig *w, const pf_tensor *pictures,
            const pf_tensor *latents, int index, int count, FILE *to)
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
    PF_TRY(pf_doc_set_position(doc, index, count));
    PF_TRY(pf_doc_set_meta(doc, "pf.history", p->history));
    PF_TRY(pf_doc_add_history(doc));
    if (opt.png)
        PF_TRY(write_strip(pictures, index));
    return pf_doc_write(doc, to);
}

/* One target elevation of one photo, seen from its input elevation: sample_num documents, numbered
 * from index on. */
static pf_err
sample_elevation(struct model *m, struct photo *p, double elevation_deg, struct noise *noise,
                 int index, int count, FILE *to)
{
    struct sampler s;
    pf_err err;
    double start = pf_seconds();
    if ((err = sampler_begin(&s, m, &p->input, (float)(elevation_deg * (PF_PI / 180)))))
        goto out;
    pf_stage_time("cameras", pf_seconds() - start);
    for (int i = 0; i < m->conf.sampler.sample_num && !err; i++) {
        pf_tensor latents = {0}, pictures = {0}, raw = {0};             // pictures [N, S, S, 3]
        noise_key(noise, elevation_deg, i);
        start = pf_seconds();
        err = sampler_run(&s, &latents, &p->moments, noise);            // [N, z, h, w]
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
            err = write_views(p, &s.views, &pictures, &latents, index + i, count, to);
        pf_tensor_release(&latents);
        pf_tensor_release(&pictures);
        pf_tensor_release(&raw);
    }
out:
    sampler_end(&s);
    return err;
}

/* One target elevation of one photo: sample_num documents for each input elevation. */
static pf_err
sample_inputs(struct model *m, struct photo *p, double elevation_deg, struct noise *noise,
              int index, int count, FILE *to)
{
    const int each = m->conf.sampler.sample_num;
    if (!opt.input_deg.n)
        return sample_elevation(m, p, elevation_deg, noise, index, count, to);
    for (int i = 0; i < opt.input_deg.n; i++) {
        p->input.elevation = (float)(opt.input_deg.v[i] * (PF_PI / 180));
        PF_TRY(sample_elevation(m, p, elevation_deg, noise, index + i * each, count, to));
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
    if (!slash && (stat(folder, &st) || !S_ISDIR(st.st_mode)))
        return;
    if (snprintf(views, sizeof views, "%s%sviews.pf", folder, slash ? "" : "/") >=
        (int)sizeof views)
        pf_die("-o: the name of the folder is too long");
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
    if (ddim_times(&(struct ddim){0}, pf_conf.sampler.steps,
                   !strcmp(pf_conf.sampler.timesteps, "original")))
        pf_usage("%s", pf_error());
    if (opt.dump && !strcmp(opt.dump, "-"))
        pf_usage("--dump needs the name of a file, not standard output");
    pf_need_two_names("--dump", opt.dump, "--output", pf_common.out);
}

int
main(int argc, char *argv[])
{
    static struct model model;
    struct dump dump = {.row = -1};
    struct noise noise;
    struct photo *photos = NULL;
    pf_checkpoint *weights;
    pf_output *out;
    pf_dev *dev;

    pf_start(&argc, &argv, "[STREAM]", "Make views of a photo's object from all around.", opts);
    check_call(argc);
    if (opt.plan) {
        print_plan();
        return 0;
    }
    output_into_folder();
    pf_need_stream_name();
    pf_must(pf_output_open(&out, pf_common.out));
    if (opt.png)
        pf_must(pf_output_folder(opt.png));
    if (opt.dump)
        pf_must(pf_output_try(opt.dump));
    const int n = read_photos(&photos, argc ? argv[0] : "-");
    pf_must(noise_open(&noise, opt.noise, pf_common.seed));
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    double start = pf_seconds();
    weights = open_weights();
    pf_must(with_advice(pf_hint_config(model_load(&model, dev, weights, &pf_conf)), dev, weights));
    warn_of_elevations(&model);
    pf_stage_time("weights", pf_seconds() - start);
    dump.view = opt.dump_view;
    model.run.dump = opt.dump ? &dump : NULL;
    start = pf_seconds();
    for (int i = 0; i < n; i++)
        pf_must(with_advice(photo_prepare(&photos[i], &model), dev, weights));
    pf_stage_time("encoding", pf_seconds() - start);

    const int inputs = opt.input_deg.n ? opt.input_deg.n : 1;
    const int each = inputs * pf_conf.sampler.sample_num, count = n * opt.elevation_deg.n * each;
    for (int i = 0, index = 0; i < n; i++)
        for (int e = 0; e < opt.elevation_deg.n; e++, index += each)
            pf_must(with_advice(sample_inputs(&model, &photos[i], opt.elevation_deg.v[e], &noise,
                                              index, count, pf_output_file(out)),
                                dev, weights));
    if (opt.dump)
        pf_must(pf_doc_write_file(&dump.doc, opt.dump));
    pf_must(pf_output_close(out));
    if (pf_common.verbose)
        fprintf(stderr, "pf-sample: memory: %.1f MB of weights and constants, %.1f MB of "
                "activations at most, %.1f MB in all, on %s\n", (double)pf_dev_kept(dev) / 1e6,
                (double)pf_dev_peak(dev) / 1e6, (double)pf_dev_need(dev) / 1e6, pf_dev_name(dev));
    for (int i = 0; i < n; i++) {
        pf_doc_release(&photos[i].doc);
        pf_tensor_release(&photos[i].moments);
        free(photos[i].history);
    }
    free(photos);
    pf_doc_release(&dump.doc);
    noise_close(&noise);
    pf_dev_close(dev);
    pf_checkpoint_close(weights);
    return 0;
}
