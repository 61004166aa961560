/* pf-neus - fit a field, a distance and a colour at every point of space, to posed views.
 * in:   documents with views.image [N, H, W, 3] u8, views.alpha [N, H, W], views.pose [N, 3, 4],
 *       views.intrinsics [N, 3, 3], perhaps views.pixel_center and views.elevation [N]; all of them
 *       go into one field
 * out:  field.*, field.elevation [documents that have views.elevation] */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/output.h"
#include "common/stream.h"
#include "common/text.h"
#include "tools/pf-neus/all_views.h"
#include "tools/pf-neus/resume.h"

static struct {
    struct files {
        const char *checkpoint, *resume, *log;
    } file;
    int every, stop_at;
} opt = {.every = 100};

/* opt.file, which main empties: where a run writes and where it went on from is no part of how the
 * field came to be, so the history has none of it, and a resumed run writes the bytes of one that
 * was never interrupted. */
static struct files file;

static const struct pf_opt opts[] = {
    PF_OPT_INT(0, "steps", pf_conf.neus.steps, "N", "training steps", 0, 10000000),
    PF_OPT_REAL(0, "lr", pf_conf.neus.lr, "RATE", "learning rate", 0, 1),
    PF_OPT_STR(0, "checkpoint", opt.file.checkpoint, "FILE", "write the state of training here"),
    PF_OPT_INT(0, "checkpoint-every", opt.every, "N", "steps between checkpoints", 1, 10000000),
    PF_OPT_STR(0, "resume", opt.file.resume, "FILE", "go on from this checkpoint"),
    PF_OPT_INT(0, "stop-at", opt.stop_at, "STEP", "stop before this step; 0 to go on", 0, 10000000),
    PF_OPT_STR(0, "log", opt.file.log, "FILE", "write a line of CSV for each step"),
    PF_OPT_END
};

/* All documents of all streams; first keeps what the others' tools said in the first of them. */
static pf_err
read_views(struct all_views *v, pf_doc *first, int streams, char **names)
{
    pf_err err = PF_END;
    for (int i = 0; i < (streams ? streams : 1) && err == PF_END; i++) {
        const char *name = streams ? names[i] : "-";
        pf_stream *in;
        pf_doc doc = {0};
        PF_TRY(pf_stream_open(&in, name));
        for (int k = 0; !(err = pf_stream_read(in, v->documents ? &doc : first)); k++)
            if ((err = all_views_add(v, v->documents ? &doc : first, pf_conf.neus.bound))) {
                pf_fail_in(err, k ? "%s: document %d" : "%s", pf_file_title(name), k);
                break;
            }
        pf_stream_close(in);
        pf_doc_release(&doc);
    }
    return err == PF_END ? PF_OK : err;
}

static pf_err
resume(pf_trainer *t, const struct all_views *v)
{
    char what[1000];
    pf_doc doc = {0};
    PF_TRY(pf_doc_read_file(&doc, file.resume));
    pf_err err = resume_check(what, sizeof what, &doc, v);
    if (!err)
        err = pf_trainer_load(t, &doc);
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
static FILE *
open_log(int step)
{
    struct stat st;
    const bool old = stat(file.log, &st) == 0 && S_ISREG(st.st_mode);
    const long end = old && step ? lines_before(step) : 0;
    FILE *log = old && truncate(file.log, end) ? NULL : fopen(file.log, "a");
    if (!log)
        pf_die("cannot write %s: %s", file.log, strerror(errno));
    if (end == 0)
        fputs(COLUMNS, log);
    return log;
}

static void
write_log(FILE *log, int step, const struct pf_field_losses *l, double rays_per_s, double lr)
{
    fprintf(log, "%d,%.7g,%.7g,%.7g,%.7g,%.4f,%.0f,%.7g\n", step, (double)l->total, (double)l->rgb,
            (double)l->mask, (double)l->eikonal, (double)l->psnr, rays_per_s, lr);
    if (fflush(log) != 0)
        pf_die("%s: %s", file.log, strerror(errno));
}

static void
train(pf_trainer *t, const struct all_views *v, int until)
{
    const int start = pf_trainer_steps_done(t);
    FILE *log = file.log ? open_log(start) : NULL;
    pf_progress p;
    pf_progress_start(&p, "training", until > start ? until - start : 0);
    for (int step = start; step < until; step++) {
        struct pf_field_losses l;
        const double begin = pf_seconds(), lr = pf_trainer_rate(t);
        pf_must(pf_trainer_step(t, &l));
        if (!isfinite(l.total))
            pf_die("the loss is not finite at step %d; try a smaller --lr than %g", step,
                   pf_conf.neus.lr);
        const double rays_per_s = (double)l.rays / (pf_seconds() - begin);
        if (log)
            write_log(log, step, &l, rays_per_s, lr);
        if (file.checkpoint && (step + 1) % opt.every == 0 && step + 1 < until)
            pf_must(save_checkpoint(t, v));
        pf_progress_step(&p, step + 1 - start, "loss %.4f, PSNR %.2f dB, %.0f rays/s",
                         (double)l.total, (double)l.psnr, rays_per_s);
    }
    pf_progress_end(&p);
    if (file.checkpoint)
        pf_must(save_checkpoint(t, v));
    if (log && fclose(log) != 0)
        pf_die("%s: %s", file.log, strerror(errno));
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
    PF_TRY(pf_doc_set_position(doc, 0, 1));
    return pf_doc_add_history(doc);
}

int
main(int argc, char *argv[])
{
    struct all_views views = {0};
    pf_doc doc = {0};
    pf_output *out;
    pf_dev *dev;
    pf_field *field;
    pf_trainer *trainer;

    pf_start(&argc, &argv, "[STREAM...]", "Fit a field to posed views of an object.", opts);
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
    pf_must(pf_output_open(&out, pf_common.out));
    if (file.checkpoint)
        pf_must(pf_output_try(file.checkpoint));
    if (file.log)
        pf_must(try_log());
    pf_must(read_views(&views, &doc, argc, argv));                  // [V, H, W, 3]
    if (!views.object)
        pf_die("no view shows an object: views.alpha is below 0.5 everywhere");
    const struct pf_field_views posed = all_views_posed(&views);
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    pf_must(pf_field_new(&field, dev, &pf_conf.neus, (uint64_t)pf_common.seed));
    pf_must(pf_trainer_new(&trainer, field, &posed, &pf_conf.neus, (uint64_t)pf_common.seed));
    if (file.resume)
        pf_must(resume(trainer, &views));
    const bool early = opt.stop_at && opt.stop_at < pf_conf.neus.steps;
    train(trainer, &views, early ? opt.stop_at : pf_conf.neus.steps);
    pf_must(describe(&doc, field, &views));
    pf_must(pf_doc_write(&doc, pf_output_file(out)));
    pf_must(pf_output_close(out));
    pf_trainer_free(trainer);
    pf_field_free(field);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    all_views_release(&views);
    return 0;
}
