/* resume.c - see resume.h. */
#include "tools/pf-neus/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "common/config.h"
#include "common/opt.h"

enum { VIEWS = 96, SETTINGS = 400 };

/* "16 views of 128 x 128 pixels, checksum 0011aaff", which are these and no others. */
static void
describe_views(char text[VIEWS], const struct all_views *v)
{
    const size_t n = (size_t)v->count, area = (size_t)v->width * (size_t)v->height;
    const struct {
        const void *at;
        size_t size;
    } part[] = {{v->image, n * area * 3},
                {v->alpha, n * area * sizeof(float)},
                {v->pose, n * 12 * sizeof(float)},
                {v->intrinsics, n * 9 * sizeof(float)}};
    uLong crc = crc32_z(0, NULL, 0);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        crc = crc32_z(crc, part[i].at, part[i].size);
    snprintf(text, VIEWS, "%d views of %d x %d pixels, checksum %08lx", v->count, v->width,
             v->height, crc);
}

pf_err
resume_record(pf_doc *doc, const struct all_views *v)
{
    char views[VIEWS], *settings = pf_config_section(&pf_conf, pf_conf.neus.method);
    describe_views(views, v);
    pf_err err = settings ? pf_doc_set_meta(doc, "train.config", settings)
                          : pf_fail(PF_ENOMEM, "no memory for the settings");
    free(settings);
    return err ? err : pf_doc_set_meta(doc, "train.views", views);
}

static pf_err
need_number(int64_t *n, const pf_doc *doc, const char *name)
{
    pf_tensor t;
    PF_TRY(pf_doc_need(doc, name, PF_I64, 1, (int64_t[]){1}, &t));
    memcpy(n, t.data, sizeof *n);
    return PF_OK;
}

static pf_err
need_meta(const char **text, const pf_doc *doc, const char *key)
{
    *text = pf_doc_get_meta(doc, key);
    return *text ? PF_OK : pf_fail(PF_EFORMAT, "no %s in the document: not a checkpoint of this "
                                   "version of pf-neus", key);
}

/* The seed is the checkpoint's, for the history too. */
static pf_err
check_seed(const pf_doc *doc)
{
    int64_t seed;
    PF_TRY(need_number(&seed, doc, "train.seed"));
    if (pf_given(&pf_common.seed) && pf_common.seed != seed)
        return pf_fail(PF_EARG, "it was trained with --seed %lld, which cannot become %lld: leave "
                       "--seed out", (long long)seed, (long long)pf_common.seed);
    pf_common.seed = seed;
    return PF_OK;
}

pf_err
resume_check(char *what, size_t size, const pf_doc *doc, const struct all_views *v,
             int steps)
{
    char views[VIEWS], was[SETTINGS], is[SETTINGS];
    const char *settings, *trained_on;
    int64_t step;
    PF_TRY(need_number(&step, doc, "train.step"));
    PF_TRY(need_meta(&settings, doc, "train.config"));
    PF_TRY(need_meta(&trained_on, doc, "train.views"));
    PF_TRY(check_seed(doc));
    describe_views(views, v);
    if (strcmp(views, trained_on))
        return pf_fail(PF_EARG, "it was trained on %s; these are %s", trained_on, views);
    if (step > steps)
        return pf_fail(PF_EARG, "%lld steps are done, more than the %d of --steps",
                       (long long)step, steps);
    PF_TRY(pf_config_compare(was, is, SETTINGS, &pf_conf, pf_conf.neus.method, settings));
    *what = 0;
    if (*is)
        snprintf(what, size, "it was trained with %s; from step %lld on with %s, which is not what "
                 "a run without the interruption gives", was, (long long)step, is);
    return PF_OK;
}
