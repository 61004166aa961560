/* pf-neus - fit a field, a distance or a density and a colour at every point of space, to views.
 * in:   documents with views.image [N, H, W, 3] u8, views.alpha [N, H, W], views.pose [N, 3, 4],
 *       views.intrinsics [N, 3, 3], perhaps views.pixel_center and views.elevation [N]; those of
 *       one object follow each other and go into one field
 * out:  for each object field.*, field.elevation [documents that have views.elevation] */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/batch.h"
#include "common/config.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "common/seen.h"
#include "common/stream.h"
#include "common/text.h"
#include "tools/pf-neus/all_views.h"
#include "tools/pf-neus/plateau.h"
#include "tools/pf-neus/preview.h"
#include "tools/pf-neus/resume.h"

static struct {
    struct files {
        const char *checkpoint, *resume, *log, *preview;
    } file;
    int every, stop_at, preview_every;
    bool until_plateau;
} opt = {.every = 100, .preview_every = 100};

/* opt.file, which main empties: where a run writes and where it went on from is no part of how the
 * field came to be, so the history has none of it, and a resumed run writes the bytes of one that
 * was never interrupted.  The names of opt.file may be patterns, those of file are the object's. */
static struct files file;
static struct pf_place checkpoint_at = {.option = "--checkpoint"};
static struct pf_place resume_at = {.option = "--resume"}, log_at = {.option = "--log"};
static struct pf_place preview_at = {.option = "--preview"};
static struct preview preview;
static struct plateau plateau;
static struct pf_neus_config *settings;         /* the section of pf_conf that --method names */

/* The views of one object, and the document that becomes its field. */
struct object {
    pf_doc doc;                 /* the first; keeps what the others' tools said */
    struct all_views views;
    struct pf_merge position;   /* of its documents in the stream */
    void *elevations;           /* of its documents, as seen.h has them */
};

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "method", pf_conf.neus.method, "neus|nerf",
                  "neus: a surface; nerf: densities, for films alone"),
    PF_OPT_INT(0, "steps", pf_conf.neus.steps, "N", "training steps", 0, 10000000),
    PF_OPT_REAL(0, "lr", pf_conf.neus.lr, "RATE", "learning rate", 0, 1),
    PF_OPT_STR(0, "checkpoint", opt.file.checkpoint, "FILE", "write the state of training here"),
    PF_OPT_INT(0, "checkpoint-every", opt.every, "N", "steps between checkpoints", 1, 10000000),
    PF_OPT_STR(0, "resume", opt.file.resume, "FILE", "go on from this checkpoint"),
    PF_OPT_INT(0, "stop-at", opt.stop_at, "STEP", "stop before this step; 0 to go on", 0, 10000000),
    PF_OPT_FLAG(0, "until-plateau", opt.until_plateau, "stop when the loss no longer falls"),
    PF_OPT_STR(0, "log", opt.file.log, "FILE", "write a line of CSV for each step"),
    PF_OPT_STR(0, "preview", opt.file.preview, "DIR",
               "write DIR/STEP.png: a view, its target, normals"),
    PF_OPT_INT(0, "preview-every", opt.preview_every, "N", "steps between previews", 1, 10000000),
    PF_OPT_END
};

/* Whether two documents are of one object; where neither says whose it is, they are. */
static bool
same_object(const pf_doc *a, const pf_doc *b)
{
    const char *const p = pf_doc_get_meta(a, "pf.object");
    const char *const q = pf_doc_get_meta(b, "pf.object");
    return p && q ? !strcmp(p, q) : p == q;
}

/* Another sample shows the object otherwise, and no field looks like both. */
static pf_err
check_sample(struct object *o, const pf_doc *doc)
{
    const char *const elevation = pf_doc_get_meta(doc, "pf.elevation");
    bool before = false;
    if (elevation)
        PF_TRY(pf_seen_add(&o->elevations, elevation, &before));
    return before ? pf_fail(PF_EFORMAT, "there are several samples at %s degrees: pf-pick chooses "
                            "the one of which a field can be made", elevation) : PF_OK;
}

/* The next document becomes part of the object.  One that failed, before or now, stands for the
 * whole of it. */
static pf_err
add_document(struct object *o, pf_doc *doc, pf_batch *batch)
{
    const bool first = !o->position.n;
    pf_err err = PF_OK;
    pf_merge_add(&o->position, doc);
    if (!first && pf_doc_failed(&o->doc))
        return PF_OK;
    if (!pf_doc_failed(doc) && !(err = check_sample(o, doc)))
        err = all_views_add(&o->views, doc, settings->bound);
    if (err)
        PF_TRY(pf_batch_fail(batch, doc, pf_batch_blame(batch, err)));
    if (first || pf_doc_failed(doc)) {
        pf_doc_release(&o->doc);
        o->doc = *doc;
        *doc = (pf_doc){0};
    }
    return PF_OK;
}

/* All documents of the object of which next is the first; next is then the first of another, or
 * PF_END is returned. */
static pf_err
read_object(struct object *o, pf_doc *next, pf_batch *batch)
{
    pf_err err;
    do
        PF_TRY(add_document(o, next, batch));
    while (!(err = pf_batch_next(batch, next)) && same_object(&o->doc, next));
    return err;
}

static void
object_release(struct object *o)
{
    pf_doc_release(&o->doc);
    all_views_release(&o->views);
    pf_seen_free(&o->elevations);
}

static pf_err
resume(pf_trainer *t, const struct all_views *v)
{
    char what[1000];
    pf_doc doc = {0};
    PF_TRY(pf_doc_read_file(&doc, file.resume));
    pf_err err = resume_check(what, sizeof what, &doc, v, settings->steps);
    if (!err)
        err = pf_trainer_load(t, &doc);
    if (!err && opt.until_plateau)
        err = plateau_load(&plateau, &doc);
    pf_doc_release(&doc);
    if (!err && opt.stop_at && opt.stop_at < pf_trainer_steps_done(t))
        err = pf_fail(PF_EARG, "%d steps are done, more than the %d of --stop-at",
                      pf_trainer_steps_done(t), opt.stop_at);
    if (err)
        return pf_fail_in(err, "%s", file.resume);
    if (*what)
        pf_warn("%s: %s", file.resume, what);
    return PF_OK;
}

static pf_err
save_checkpoint(const pf_trainer *t, const struct all_views *v)
{
    pf_doc doc = {0};
    pf_err err = pf_trainer_save(t, &doc);
    if (!err && opt.until_plateau)
        err = plateau_save(&plateau, &doc);
    if (!err && !(err = resume_record(&doc, v)) && !(err = pf_doc_add_history(&doc)))
        err = pf_doc_write_file(&doc, file.checkpoint);
    pf_doc_release(&doc);
    return err;
}

#define COLUMNS "step,loss,rgb,mask,eikonal,psnr,rays_per_s,lr\n"

/* Whether the file holds a log, or nothing yet. */
static bool
holds_log(void)
{
    char line[sizeof COLUMNS] = "";
    FILE *old = fopen(file.log, "r");
    const size_t n = old ? fread(line, 1, sizeof line - 1, old) : 0;
    if (old)
        fclose(old);
    return n == 0 || strcmp(line, COLUMNS) == 0;
}

/* The log is written in place, unlike other outputs, and an old one is emptied: not so the views,
 * if their name came to stand behind --log. */
static pf_err
try_log(void)
{
    struct stat st;
    if (stat(file.log, &st) || S_ISDIR(st.st_mode))
        return pf_output_try(file.log);
    if (access(file.log, W_OK))
        return pf_fail(PF_EIO, "cannot write %s: %s", file.log, strerror(errno));
    if (S_ISREG(st.st_mode) && !holds_log())
        return pf_fail(PF_EARG, "%s is there and is no log of pf-neus", file.log);
    return PF_OK;
}

/* Where the log's lines of steps before this one end. */
static long
lines_before(int step)
{
    FILE *old = fopen(file.log, "r");
    char line[256];
    long end = 0;
    while (old && fgets(line, sizeof line, old) && strchr(line, '\n') &&
           (end == 0 || atoi(line) < step))
        end = ftell(old);
    if (old)
        fclose(old);
    return end;
}

/* A new run begins the log anew; a resumed one goes on in it, without the lines that an interrupted
 * run wrote after its last checkpoint, because those steps are done again. */
static pf_err
open_log(FILE **log, int step)
{
    struct stat st;
    const bool old = stat(file.log, &st) == 0 && S_ISREG(st.st_mode);
    const long end = old && step ? lines_before(step) : 0;
    *log = old && truncate(file.log, end) ? NULL : fopen(file.log, "a");
    if (!*log)
        return pf_fail(PF_EIO, "cannot write %s: %s", file.log, strerror(errno));
    if (end == 0)
        fputs(COLUMNS, *log);
    return PF_OK;
}

static pf_err
write_log(FILE *log, int step, const struct pf_field_losses *l, double rays_per_s, double lr)
{
    fprintf(log, "%d,%.7g,%.7g,%.7g,%.7g,%.4f,%.0f,%.7g\n", step, (double)l->total, (double)l->rgb,
            (double)l->mask, (double)l->eikonal, (double)l->psnr, rays_per_s, lr);
    return pf_output_flush(log, file.log);
}

/* Whether training ends before this step. */
static bool
ends(int step, int until)
{
    return step >= until || (opt.until_plateau && plateau_reached(&plateau));
}

/* Steps up to `until`, each with its line in the log. */
static pf_err
train_steps(pf_trainer *t, const struct all_views *v, int until, FILE *log, pf_progress *p)
{
    const int start = pf_trainer_steps_done(t);
    for (int step = start; !ends(step, until); step++) {
        struct pf_field_losses l;
        const double begin = pf_seconds(), lr = pf_trainer_rate(t);
        PF_TRY(pf_trainer_step(t, &l));
        if (!isfinite(l.total))
            return pf_fail(PF_EARG, "the loss is not finite at step %d; try a smaller --lr than %g",
                           step, settings->lr);
        const double rays_per_s = (double)l.rays / (pf_seconds() - begin);
        plateau_add(&plateau, step, (double)l.total);
        const bool last = ends(step + 1, until);
        if (log)
            PF_TRY(write_log(log, step, &l, rays_per_s, lr));
        if (file.checkpoint && (step + 1) % opt.every == 0 && !last)
            PF_TRY(save_checkpoint(t, v));
        PF_TRY(preview_step(&preview, step + 1, last));
        pf_progress_step(p, step + 1 - start, "loss %.4f, PSNR %.2f dB, %.0f rays/s",
                         (double)l.total, (double)l.psnr, rays_per_s);
    }
    return PF_OK;
}

static pf_err
train(pf_trainer *t, const struct all_views *v, int until)
{
    const int start = pf_trainer_steps_done(t);
    FILE *log = NULL;
    pf_progress p;
    if (file.log)
        PF_TRY(open_log(&log, start));
    pf_progress_start(&p, "training", until > start ? until - start : 0);
    pf_err err = train_steps(t, v, until, log, &p);
    pf_progress_end(&p);
    if (!err && !pf_common.quiet && pf_trainer_steps_done(t) < until)
        fprintf(stderr, "%s: stopped after %d of %d steps: the loss no longer falls\n",
                pf_program(), pf_trainer_steps_done(t), until);
    if (!err && file.checkpoint)
        err = save_checkpoint(t, v);
    if (log && fclose(log) && !err)
        err = pf_fail(PF_EIO, "%s: %s", file.log, strerror(errno));
    return err;
}

/* The views have served; everything else of the first document goes along. */
static pf_err
describe(pf_doc *doc, const pf_field *field, const struct all_views *v)
{
    const pf_tensor elevation = PF_VIEW(v->elevation, PF_F32, v->elevations);
    for (int i = doc->tensors - 1; i >= 0; i--)
        if (!strncmp(doc->tensor[i].name, "views.", 6))
            pf_doc_drop(doc, doc->tensor[i].name);
    PF_TRY(pf_field_save(field, doc));
    if (v->elevations)
        PF_TRY(pf_doc_put(doc, "field.elevation", &elevation));
    return pf_doc_add_history(doc);
}

/* ---- objects ---- */

static pf_err
name_file(const char **name, struct pf_place *place, const pf_doc *doc)
{
    if (place->pattern)
        PF_TRY(pf_place_next(place, doc));
    *name = place->pattern ? place->path : NULL;
    return PF_OK;
}

/* The object's own seed, which pf-crop --list may have given it, and its own files. */
static pf_err
set_options(const pf_doc *doc)
{
    const char *const seed = pf_doc_get_meta(doc, "pf.seed");
    if (seed && !pf_given(&pf_common.seed) && !pf_parse_int(&pf_common.seed, seed))
        return pf_fail(PF_EFORMAT, "pf.seed is \"%s\", expected a whole number", seed);
    PF_TRY(name_file(&file.checkpoint, &checkpoint_at, doc));
    PF_TRY(name_file(&file.resume, &resume_at, doc));
    PF_TRY(name_file(&file.log, &log_at, doc));
    PF_TRY(name_file(&file.preview, &preview_at, doc));
    if (pf_pattern(checkpoint_at.pattern))
        PF_TRY(pf_output_try(file.checkpoint));
    if (pf_pattern(preview_at.pattern))
        PF_TRY(pf_output_folder(file.preview));
    return pf_pattern(log_at.pattern) ? try_log() : PF_OK;
}

static pf_err
fit_field(struct object *o, pf_dev *dev)
{
    const struct pf_field_views posed = all_views_posed(&o->views);
    const bool early = opt.stop_at && opt.stop_at < settings->steps;
    const uint64_t seed = (uint64_t)pf_common.seed;
    pf_trainer *trainer = NULL;
    pf_field *field;
    pf_err err;
    PF_TRY(pf_field_new(&field, dev, settings, seed));
    plateau_begin(&plateau, settings);
    if (!(err = pf_trainer_new(&trainer, field, &posed, settings, seed)) && file.resume)
        err = resume(trainer, &o->views);
    preview = (struct preview){.folder = file.preview, .every = opt.preview_every};
    preview_begin(&preview, field, &posed);
    if (!err)
        err = train(trainer, &o->views, early ? opt.stop_at : settings->steps);
    preview_end(&preview);
    if (!err)
        err = describe(&o->doc, field, &o->views);
    pf_trainer_free(trainer);
    pf_field_free(field);
    return err;
}

/* The field of an object of which all views are there. */
static pf_err
fit(struct object *o, pf_dev *dev)
{
    const int64_t seed = pf_common.seed;
    if (!o->views.object)
        return pf_fail(PF_EFORMAT, "no view shows an object: views.alpha is below 0.5 everywhere");
    pf_err err = set_options(&o->doc);
    if (!err)
        err = fit_field(o, dev);
    pf_common.seed = seed;
    return err;
}

/* Files of one name cannot be several objects'. */
static void
need_patterns(void)
{
    const struct pf_place *const places[] = {&checkpoint_at, &resume_at, &log_at, &preview_at};
    for (int i = 0; i < 4; i++)
        if (places[i]->pattern && !pf_pattern(places[i]->pattern))
            pf_die("%s %s is one file, but there are several objects: let %%o stand in its name",
                   places[i]->option, places[i]->pattern);
}

/* The device is opened before the first read: in a pipe it starts while others still work. */
static void
fit_all(pf_batch *batch)
{
    struct object o = {0};
    pf_doc next = {0};
    pf_dev *dev;
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    pf_err err = pf_batch_next(batch, &next);
    while (!err) {
        err = read_object(&o, &next, batch);                        // [V, H, W, 3]
        if (!err)
            need_patterns();
        pf_must(err == PF_END ? PF_OK : err);
        pf_must(pf_merge_put(&o.position, &o.doc));
        pf_must(pf_batch_put(batch, &o.doc, pf_doc_failed(&o.doc) ? PF_OK : fit(&o, dev)));
        object_release(&o);
        o.views = (struct all_views){0};
    }
    pf_must(err == PF_END ? PF_OK : err);
    pf_dev_close(dev);
}

/* The names of --checkpoint, --resume, --log and --preview, which may be patterns. */
static void
check_files(void)
{
    checkpoint_at.pattern = file.checkpoint;
    resume_at.pattern = file.resume;
    log_at.pattern = file.log;
    preview_at.pattern = file.preview;
    pf_pattern_check("--checkpoint", file.checkpoint);
    pf_pattern_check("--resume", file.resume);
    pf_pattern_check("--log", file.log);
    pf_pattern_check("--preview", file.preview);
    if (file.checkpoint && !pf_pattern(file.checkpoint))
        pf_must(pf_output_try(file.checkpoint));
    if (file.log && !pf_pattern(file.log))
        pf_must(try_log());
    if (file.preview && !pf_pattern(file.preview))
        pf_must(pf_output_folder(file.preview));
}

/* The options stand in neus, which is one of the sections. */
static void
choose_settings(void)
{
    settings = &pf_conf.neus;
    if (!strcmp(pf_conf.neus.method, "neus"))
        return;
    settings = &pf_conf.nerf;
    settings->field = "nerf";
    if (pf_given(&pf_conf.neus.steps))
        settings->steps = pf_conf.neus.steps;
    if (pf_given(&pf_conf.neus.lr))
        settings->lr = pf_conf.neus.lr;
    pf_conf.neus.steps = settings->steps;       // what the history says of them
    pf_conf.neus.lr = settings->lr;
}

int
main(int argc, char *argv[])
{
    pf_batch *batch;

    pf_start(&argc, &argv, "[STREAM...]", "Fit a field to posed views of each object.", opts);
    choose_settings();
    file = opt.file;
    opt.file = (struct files){0};
    if (file.checkpoint && !strcmp(file.checkpoint, "-"))
        pf_usage("--checkpoint needs the name of a file, not standard output");
    if (file.log && !strcmp(file.log, "-"))
        pf_usage("--log needs the name of a file, not standard output");
    pf_need_two_names("--checkpoint", file.checkpoint, "--output", pf_common.out);
    pf_need_two_names("--log", file.log, "--output", pf_common.out);
    pf_need_two_names("--log", file.log, "--checkpoint", file.checkpoint);
    pf_need_stream_name();
    pf_must(pf_batch_open(&batch, pf_common.out));
    check_files();
    pf_sandbox(PF_SANDBOX_DEVICE, file.checkpoint, file.resume, file.log, file.preview);
    pf_must(pf_batch_input(batch, argc, argv));
    fit_all(batch);
    return pf_batch_end(batch);
}
