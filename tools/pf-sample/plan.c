/* plan.c - the memory of a run, by a run on a dry device. */
#include <pthread.h>
#include <stdlib.h>

#include "common/opt.h"
#include "common/output.h"
#include "tools/pf-sample/plan.h"
#include "tools/pf-sample/sampler.h"

static int
at_most(int n, int most)
{
    return n < most ? n : most;
}

/* Do what main does for an elevation of a photo.  Numbers do not matter: the first two steps, and
 * the first two samples, take what all others take. */
static pf_err
sample_elevation(struct model *m, const pf_tensor *moments, const pf_tensor *clip)
{
    const struct sampler_input in = {.clip = clip->data};
    struct sampler s;
    struct noise noise;
    pf_err err;
    PF_TRY(noise_open(&noise, NULL, 0));
    err = sampler_begin(&s, m, &in, 0.5f);
    for (int i = 0; i < at_most(m->conf.sampler.sample_num, 2) && !err; i++) {
        pf_tensor latents = {0}, pictures = {0};
        err = sampler_run(&s, &latents, moments, &noise);               // [V, z, h, w]
        if (!err)
            err = sampler_decode(m, &pictures, NULL, &latents);         // [V, S, S, 3]
        pf_tensor_release(&latents);
        pf_tensor_release(&pictures);
    }
    sampler_end(&s);
    noise_close(&noise);
    return err;
}

/* Do what main does for a photo. */
static pf_err
sample_photo(struct model *m)
{
    const int64_t S = m->conf.model.image_size;
    pf_tensor image = {0}, clip = {0}, moments = {0};
    pf_err err;
    if ((err = PF_TENSOR_NEW(&image, PF_F32, 3, S, S)) ||
        (err = PF_TENSOR_NEW(&clip, PF_F32, 1, m->conf.clip.output_dim)))
        goto out;
    if (!(err = sampler_encode(m, &moments, &image)))                   // [1, h, w, 2z]
        err = sample_elevation(m, &moments, &clip);
out:
    pf_tensor_release(&image);
    pf_tensor_release(&clip);
    pf_tensor_release(&moments);
    return err;
}

/* A whole run on a new device, which the caller closes.  expected: as in main. */
static pf_err
run_on(pf_dev **dev, pf_checkpoint *weights, const struct pf_config *conf, size_t expected)
{
    struct pf_config c = *conf;
    struct model *const m = calloc(1, sizeof *m);
    if (!m)
        return pf_fail(PF_ENOMEM, "no memory for a plan");
    c.sampler.steps = at_most(c.sampler.steps, 2);
    pf_err err = pf_dev_open_dry(dev, pf_common.device, pf_common.precision);
    if (!err)
        err = model_load(m, *dev, weights, &c);
    if (!err) {
        pf_dev_expect(*dev, expected);
        err = sample_photo(m);
    }
    free(m);
    return err;
}

/* Do a whole run with row->batch views in one evaluation, and note what it took.  A GPU's run
 * follows a rehearsal. */
static pf_err
run_dry(struct plan *p, struct plan_row *row, pf_checkpoint *weights, const struct pf_config *conf)
{
    struct pf_config c = *conf;
    pf_dev *dev = NULL;
    c.sampler.batch_view_num = row->batch;
    pf_err err = run_on(&dev, weights, &c, 0);
    if (!err && pf_dev_is_cuda(dev)) {
        const size_t expected = pf_dev_peak(dev);
        pf_dev_close(dev);
        dev = NULL;
        err = run_on(&dev, weights, &c, expected);
    }
    if (!err) {
        row->kept = pf_dev_kept(dev);
        row->peak = pf_dev_peak(dev);
        row->need = pf_dev_need(dev);
        p->free = pf_dev_free_bytes(dev);
        snprintf(p->device, sizeof p->device, "%s", pf_dev_name(dev));
    }
    pf_dev_close(dev);
    return err;
}

pf_err
plan_make(struct plan *p, pf_checkpoint *weights, const struct pf_config *conf)
{
    const int V = conf->model.view_num, own = at_most(conf->sampler.batch_view_num, V);
    pf_err err = PF_OK;
    *p = (struct plan){0};
    for (int b = 1; b <= V; b++)                /* powers of two, all views, and the run's own */
        if ((!(b & (b - 1)) || b == V || b == own) && p->n < PLAN_ROWS) {
            p->own = b == own ? p->n : p->own;
            p->row[p->n++].batch = b;
        }
    for (int i = 0; i < p->n && !err; i++)
        err = run_dry(p, &p->row[i], weights, conf);
    return err;
}

static struct {
    pthread_t thread;
    pf_checkpoint *weights;
    struct pf_config conf;
    size_t peak;
    bool at_work;
} rehearsal;

static void *
rehearse(void *unused)
{
    pf_dev *dev = NULL;
    (void)unused;
    if (!run_on(&dev, rehearsal.weights, &rehearsal.conf, 0))   // what fails fails in the run, too
        rehearsal.peak = pf_dev_peak(dev);
    pf_dev_close(dev);
    return NULL;
}

static void
wait_for_thread(void)
{
    if (rehearsal.at_work)
        pthread_join(rehearsal.thread, NULL);
    rehearsal.at_work = false;
}

void
rehearsal_begin(const pf_dev *dev, pf_checkpoint *weights, const struct pf_config *conf)
{
    if (!pf_dev_is_cuda(dev))
        return;
    rehearsal.weights = weights;
    rehearsal.conf = *conf;
    rehearsal.conf.sampler.sample_num = 1;
    pf_before_end(wait_for_thread);
    rehearsal.at_work = pthread_create(&rehearsal.thread, NULL, rehearse, NULL) == 0;
}

size_t
rehearsal_end(void)
{
    wait_for_thread();
    return rehearsal.peak;
}

const struct plan_row *
plan_smaller(const struct plan *p)
{
    for (int i = p->own - 1; i >= 0; i--)
        if (p->row[i].need <= p->free)
            return &p->row[i];
    return NULL;
}

static double
mb(size_t bytes)
{
    return (double)bytes / 1e6;
}

static void
print_line(FILE *to, const char *what, size_t bytes)
{
    fprintf(to, "%-34s %10.1f MB\n", what, mb(bytes));
}

/* Say what to do where the run does not fit. */
static void
print_advice(FILE *to, const struct plan *p)
{
    const struct plan_row *const smaller = plan_smaller(p);
    if (!p->free || p->row[p->own].need <= p->free)
        return;
    fprintf(to, "\nThis does not fit: ");
    if (smaller)
        fprintf(to, "--batch-view-num %d does, it needs %.1f MB.\n", smaller->batch,
                mb(smaller->need));
    else
        fprintf(to, "even --batch-view-num 1 needs %.1f MB.\n", mb(p->row[0].need));
}

pf_err
plan_print(const struct plan *p, FILE *to)
{
    const struct plan_row *const own = &p->row[p->own];
    char where[200];
    snprintf(where, sizeof where, "free: %s", p->device);
    print_line(to, "weights and constants", own->kept);
    print_line(to, "activations at most", own->peak);
    print_line(to, "workspace and spare room", own->need - own->kept - own->peak);
    print_line(to, "total", own->need);
    if (p->free)
        print_line(to, where, p->free);
    fprintf(to, "\nbatch-view-num     activations           total\n");
    for (int i = 0; i < p->n; i++)
        fprintf(to, "%14d %12.1f MB %12.1f MB%s\n", p->row[i].batch, mb(p->row[i].peak),
                mb(p->row[i].need), i == p->own ? "  this run" : "");
    print_advice(to, p);
    return pf_output_flush(to, "the plan");
}
