/* pf-pick - of several sets of views of one photo, the one whose views agree best.
 * in:  documents with input.image [3, S, S], input.alpha [S, S], input.elevation [1],
 *      input.azimuth [1], views.image [N, S, S, 3], views.pose, views.intrinsics,
 *      views.elevation [N] and, unless it is to be made, views.alpha [N, S, S]
 *      input.clip [1, E] if clip.elevation says that it tells the elevation
 * out: one document for each photo and target elevation, with views.score [K]; with --print a
 *      table; with --refine the photo's document with a new input.elevation [1] */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/batch.h"
#include "common/camera.h"
#include "common/config.h"
#include "common/json.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "tools/pf-pick/elevation.h"
#include "tools/pf-pick/score.h"

static struct {
    const char *by;
    bool print, refine;
} opt = {.by = "auto"};

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "by", opt.by,
                  "auto|elevation|agreement|silhouette|color|coherence|consistency",
                  "what decides; auto: elevation if the input elevations differ, then agreement"),
    PF_OPT_FLAG(0, "print", opt.print, "write a table of all scores to standard output; a stream "
                "only to -o"),
    PF_OPT_FLAG(0, "refine", opt.refine, "write the photo without views, at the elevation found "
                "between the candidates"),
    PF_OPT_END
};

/* The documents of one photo and one target elevation. */
struct group {
    int n, room;
    pf_doc *doc;
    struct score *score;
    double target_deg;
    int number, size;           /* of groups before; documents of the first one */
    int failed;                 /* which of them is of kind failed, or -1 */
    const char *path;           /* the stream's */
    int documents;              /* that were read before this group */
};

enum { TITLE = 1024 };          /* no sentence is longer */

/* "views.pf: document 3", or "views.pf: documents 2 to 3" of one group. */
static void
title_of(char title[TITLE], const struct group *g, int first, int n)
{
    const char *const name = pf_file_title(g->path);
    if (n == 1)
        snprintf(title, TITLE, "%s: document %d", name, first);
    else
        snprintf(title, TITLE, "%s: documents %d to %d", name, first, first + n - 1);
}

static void
title_of_group(char title[TITLE], const struct group *g)
{
    title_of(title, g, g->documents, g->n);
}

/* ---- which documents belong together ---- */

/* Whether both are one object's: by name or, where they have none, by the photo. */
static bool
same_object(const pf_doc *a, const pf_doc *b)
{
    const char *p = pf_doc_get_meta(a, "pf.object"), *q = pf_doc_get_meta(b, "pf.object");
    const pf_tensor *s = pf_doc_get(a, "input.image"), *t = pf_doc_get(b, "input.image");
    if (p || q)
        return p && q && !strcmp(p, q);
    return s && t && s->dtype == t->dtype && pf_tensor_bytes(s) == pf_tensor_bytes(t) &&
           !memcmp(s->data, t->data, pf_tensor_bytes(s));
}

static bool
is_word(const char *word)
{
    return !strcmp(opt.by, word);
}

/* Where the views of a document that failed were to be; pf-sample says it without views. */
static double
target_of_failed(const pf_doc *doc)
{
    const char *const text = pf_doc_get_meta(doc, "pf.elevation");
    double deg;
    return text && pf_parse_real(&deg, text) ? deg : 0;
}

/* Whether the document tells the photo's elevation by itself, and that is all that is wanted. */
static bool
needs_no_views(const pf_doc *doc)
{
    return opt.refine && (is_word("auto") || is_word("elevation")) &&
           pf_conf.clip.elevation >= 0 && !pf_doc_get(doc, "views.image");
}

static pf_err
target_of(double *deg, const pf_doc *doc)
{
    pf_tensor t;
    *deg = pf_doc_failed(doc) ? target_of_failed(doc) : 0;
    if (pf_doc_failed(doc) || needs_no_views(doc))
        return PF_OK;
    PF_TRY(pf_doc_need(doc, "views.elevation", PF_F32, 1, (int64_t[]){-1}, &t));
    if (t.dim[0] < 1)
        return pf_fail(PF_ESHAPE, "views.elevation is empty");
    PF_TRY(pf_tensor_expect_range(&t, "views.elevation", -PF_PI / 2 - 1e-6, PF_PI / 2 + 1e-6,
                                  "radians, -pi/2 to pi/2"));
    *deg = (double)*(float *)t.data * (180 / PF_PI);
    return PF_OK;
}

/* ---- what is chosen ---- */

/* The document with the highest of this score among those with this elevation, NAN: any; of those
 * in which it is not measured the first, if there is no other. */
static int
best_by(const struct group *g, enum score_kind kind, double elevation_deg)
{
    int best = -1;
    for (int i = 0; i < g->n; i++) {
        const double v = g->score[i].v[kind], most = best < 0 ? v : g->score[best].v[kind];
        if ((isnan(elevation_deg) || g->score[i].elevation_deg == elevation_deg) &&
            (best < 0 || v > most || (isnan(most) && !isnan(v))))
            best = i;
    }
    return best;
}

/* The elevation that was supposed nearest to this one, by documents whose agreement is measured if
 * there are any. */
static double
nearest(const struct group *g, double elevation_deg)
{
    const struct score *at = &g->score[best_by(g, SCORE_AGREEMENT, NAN)];
    const bool measured = !isnan(at->v[SCORE_AGREEMENT]);
    for (int i = 0; i < g->n; i++)
        if ((!measured || !isnan(g->score[i].v[SCORE_AGREEMENT])) &&
            fabs(g->score[i].elevation_deg - elevation_deg) <
                fabs(at->elevation_deg - elevation_deg))
            at = &g->score[i];
    return at->elevation_deg;
}

/* What was asked for and is not there to be found. */
static void
warn_of(const struct group *g, double elevation_deg)
{
    const bool told = !isnan(g->score[0].embedding_deg) || elevation_differs(g->score, g->n);
    char title[TITLE];
    for (int i = 0; i < g->n; i++) {
        title_of(title, g, g->documents + i, 1);
        if (g->score[i].why[0])
            pf_warn("%s: %s", title, g->score[i].why);
    }
    title_of_group(title, g);
    if ((opt.refine || is_word("elevation")) && !told)
        pf_warn("%s: neither views that suppose different elevations nor an embedding tells the "
                "photo's: the supposed %.4g degrees stay", title, elevation_deg);
    else if (g->n == 1 && !opt.refine)
        pf_warn("%s: one set of views of this photo and target elevation, so there is nothing to "
                "choose", title);
}

/* The index of the chosen one, and the photo's elevation: as estimated, or as the chosen one
 * supposes. */
static pf_err
choose(int *best, double *elevation_deg, const struct group *g)
{
    const bool by_elevation = is_word("auto") || is_word("elevation");
    const bool told = by_elevation && opt.refine && !isnan(g->score[0].embedding_deg);
    char title[TITLE];
    enum score_kind kind = SCORE_AGREEMENT;
    for (int k = 0; k < SCORES; k++)
        if (is_word(score_names[k]))
            kind = (enum score_kind)k;
    if (told || (by_elevation && elevation_differs(g->score, g->n))) {
        *elevation_deg = elevation_estimate(g->score, g->n, g->target_deg);
        *best = best_by(g, kind, nearest(g, *elevation_deg));
    } else {
        *best = best_by(g, kind, NAN);
        *elevation_deg = g->score[*best].elevation_deg;
    }
    title_of_group(title, g);
    if (!told && isnan(g->score[*best].v[kind]))
        return pf_fail(PF_EFORMAT, "%s: %s, so nothing can be chosen by %s", title,
                       g->score[*best].why[0] ? g->score[*best].why : "there is nothing to compare",
                       score_names[kind]);
    warn_of(g, *elevation_deg);
    return PF_OK;
}

/* ---- what is written ---- */

static void
print_head(void)
{
    printf("group\ttarget\tinput");
    for (int k = 0; k < SCORES; k++)
        printf("\t%s", score_names[k]);
    printf("\tembedding\televation\tchosen\n");
}

/* printf writes a nan's sign, too, which says nothing. */
static void
print_number(const char *fmt, double v)
{
    if (isnan(v))
        printf("\tnan");
    else
        printf(fmt, v);
}

static void
print_group(const struct group *g, int best, double elevation_deg)
{
    for (int i = 0; i < g->n; i++) {
        printf("%d\t%.4g\t%.4g", g->number, g->target_deg, g->score[i].elevation_deg);
        for (int k = 0; k < SCORES; k++)
            print_number("\t%.5g", g->score[i].v[k]);
        print_number("\t%.3g", g->score[i].embedding_deg);
        printf("\t%.3g\t%d\n", elevation_deg, i == best);
    }
}

/* views.score and pf.scores. */
static pf_err
put_scores(pf_doc *doc, const struct score *s)
{
    float v[SCORES];
    const pf_tensor t = PF_VIEW(v, PF_F32, SCORES);
    json_t *const names = json_array();
    int bad = 0;
    for (int k = 0; k < SCORES; k++) {
        v[k] = (float)s->v[k];
        bad |= json_array_append_new(names, json_string(score_names[k]));
    }
    char *const text = bad ? NULL : pf_json_text(names, JSON_COMPACT);
    pf_err err = text ? pf_doc_put(doc, "views.score", &t) : pf_fail(PF_ENOMEM, "no memory");
    if (!err)
        err = pf_doc_set_meta(doc, "pf.scores", text);
    free(text);
    json_decref(names);
    return err;
}

/* The photo as pf-crop wrote it, but for its elevation. */
static pf_err
put_refined(pf_doc *doc, double elevation_deg)
{
    float rad = (float)(elevation_deg * (PF_PI / 180));
    const pf_tensor t = PF_VIEW(&rad, PF_F32, 1);
    for (int i = doc->tensors - 1; i >= 0; i--)
        if (!strncmp(doc->tensor[i].name, "views.", 6))
            pf_doc_drop(doc, doc->tensor[i].name);
    PF_TRY(pf_doc_put(doc, "input.elevation", &t));
    return pf_doc_set_meta(doc, "pf.kind", "input");
}

/* pf.index and pf.count: groups are of one size, so that nobody has to read ahead. */
static pf_err
put_position(pf_doc *doc, const struct group *g)
{
    const char *const at = pf_doc_get_meta(doc, "pf.index");
    const char *const of = pf_doc_get_meta(doc, "pf.count");
    char title[TITLE];
    int64_t index, count;
    if (!at || !of || !pf_parse_int(&index, at) || !pf_parse_int(&count, of))
        return PF_OK;
    title_of_group(title, g);
    if (count % g->size)
        return pf_fail(PF_EFORMAT, "%s: %d of the %lld documents are of one photo and target "
                       "elevation, which does not divide them: expected as many of each", title,
                       g->size, (long long)count);
    return pf_doc_set_position(doc, (int)(index / g->size), (int)(count / g->size));
}

static pf_err
check_size(const struct group *g)
{
    char title[TITLE];
    if (g->n == g->size)
        return PF_OK;
    title_of_group(title, g);
    return pf_fail(PF_EFORMAT, "%s: %d of one photo and target elevation, but %d of the first one: "
                   "expected as many of each", title, g->n, g->size);
}

/* The document that the group becomes: of one that failed, the first that did. */
static pf_err
decide(pf_doc **doc, struct group *g)
{
    double elevation_deg;
    int best = g->failed;
    *doc = &g->doc[best < 0 ? 0 : best];
    g->size = g->number ? g->size : g->n;
    PF_TRY(check_size(g));
    if (best >= 0)
        return put_position(*doc, g);
    PF_TRY(choose(&best, &elevation_deg, g));
    *doc = &g->doc[best];
    if (opt.print)
        print_group(g, best, elevation_deg);
    PF_TRY(opt.refine ? put_refined(*doc, elevation_deg) : put_scores(*doc, &g->score[best]));
    PF_TRY(put_position(*doc, g));
    return pf_doc_add_history(*doc);
}

static pf_err
finish_group(struct group *g, pf_batch *batch)
{
    pf_doc *doc;
    pf_err err = decide(&doc, g);
    if (err && !(err = pf_batch_fail(batch, doc, err)))
        err = put_position(doc, g);
    PF_TRY(err ? err : pf_batch_write(batch, doc));
    for (int i = 0; i < g->n; i++)
        pf_doc_release(&g->doc[i]);
    g->documents += g->n;
    g->n = 0;
    g->number++;
    return PF_OK;
}

static pf_err
make_room(struct group *g)
{
    if (g->n < g->room)
        return PF_OK;
    const size_t room = 2 * (size_t)g->room + 8;
    pf_doc *const docs = realloc(g->doc, room * sizeof *docs);
    g->doc = docs ? docs : g->doc;
    struct score *const scores = docs ? realloc(g->score, room * sizeof *scores) : NULL;
    if (!scores)
        return pf_fail(PF_ENOMEM, "no memory for %zu documents", room);
    g->score = scores;
    g->room = (int)room;
    return PF_OK;
}

/* What the document's views score; of one that fails there is nothing to measure. */
static pf_err
measure(struct score *score, pf_doc *doc, pf_batch *batch, const char *title)
{
    pf_err err = PF_OK;
    *score = (struct score){0};
    if (!pf_doc_failed(doc))
        err = needs_no_views(doc) ? score_photo(score, doc) : score_measure(score, doc, title);
    return err ? pf_batch_fail(batch, doc, pf_fail_in(err, "%s", title)) : PF_OK;
}

/* Take a document into the group; the group before is finished if it is not of it. */
static pf_err
add_document(struct group *g, pf_doc *doc, pf_batch *batch)
{
    char title[TITLE];
    double target_deg;
    title_of(title, g, g->documents + g->n, 1);
    const pf_err err = target_of(&target_deg, doc);
    if (err)
        PF_TRY(pf_batch_fail(batch, doc, pf_fail_in(err, "%s", title)));
    if (err)
        target_deg = g->target_deg;
    if (g->n && (fabs(target_deg - g->target_deg) > 1e-3 || !same_object(&g->doc[0], doc)))
        PF_TRY(finish_group(g, batch));
    PF_TRY(make_room(g));
    PF_TRY(measure(&g->score[g->n], doc, batch, title));
    if (!g->n || (g->failed < 0 && pf_doc_failed(doc)))
        g->failed = pf_doc_failed(doc) ? g->n : -1;
    g->target_deg = target_deg;
    g->doc[g->n++] = *doc;
    *doc = (pf_doc){0};
    return PF_OK;
}

static pf_err
pick(char **path, pf_batch *batch)
{
    struct group g = {.path = *path};
    pf_doc doc = {0};
    pf_err err;
    PF_TRY(pf_batch_input(batch, 1, path));
    while (!(err = pf_batch_next(batch, &doc)))
        if ((err = add_document(&g, &doc, batch)))
            break;
    if (err == PF_END)
        err = finish_group(&g, batch);
    for (int i = 0; i < g.n; i++)
        pf_doc_release(&g.doc[i]);
    free(g.doc);
    free(g.score);
    pf_doc_release(&doc);
    return err;
}

int
main(int argc, char *argv[])
{
    static char standard[] = "-";
    char *none[] = {standard};
    pf_batch *batch;

    pf_start(&argc, &argv, "[STREAM]", "Choose among several sets of views of one photo.", opts);
    if (argc > 1)
        pf_usage("one stream at a time, not %d", argc);
    pf_need_stream_name();
    const bool writes = !opt.print || strcmp(pf_common.out, "-");
    pf_must(pf_batch_open(&batch, writes ? pf_common.out : NULL));
    pf_sandbox(0);
    if (opt.print)
        print_head();
    pf_must(pick(argc ? argv : none, batch));
    if (opt.print)
        pf_must(pf_output_flush(stdout, "standard output"));
    return pf_batch_end(batch);
}
