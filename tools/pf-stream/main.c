/* pf-stream - look into streams: list, join, take out a tensor, draw the pictures; and make one of
 * pictures and their cameras.
 * in:  any documents; for pack pictures, transforms.json or COLMAP's text; a batch's manifest
 * out: text, a stream, .npy or PNG */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/batch.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/sandbox.h"
#include "common/seen.h"
#include "common/stream.h"
#include "common/text.h"
#include "tools/pf-stream/info.h"
#include "tools/pf-stream/npy.h"
#include "tools/pf-stream/pack.h"
#include "tools/pf-stream/sheet.h"
#include "tools/pf-stream/table.h"

static struct {
    int index;
    const char *tensor;
    const char *images, *masks;
    struct pf_list center;      /* empty: not given */
    double scale;
    bool json;
} opt = {.index = -1};

static const struct pf_opt opts[] = {
    PF_OPT_INT(0, "index", opt.index, "N",
               "only document N, counted from 0; -1: all, of which get takes the first", -1,
               1000000000),
    PF_OPT_FLAG(0, "json", opt.json, "info: a line of JSON for each document"),
    PF_OPT_STR(0, "tensor", opt.tensor, "NAME", "png: draw this tensor"),
    PF_OPT_STR(0, "images", opt.images, "DIR",
               "pack: the folder that names of pictures count from"),
    PF_OPT_STR(0, "masks", opt.masks, "DIR", "pack: where the masks of the pictures are"),
    PF_OPT_LIST(0, "center", opt.center, "X,Y,Z", "pack: the object's middle in the cameras' world",
                0, 0),
    PF_OPT_REAL(0, "scale", opt.scale, "S",
                "pack: times which the world becomes the cube; 0: found", 0, 1e12),
    PF_OPT_END
};

/* What is done with document number index of the stream of this name. */
typedef pf_err each_fn(void *ctx, pf_doc *doc, const char *name, int index);

/* Visit the documents of one stream that --index asks for. */
static pf_err
visit_stream(const char *name, each_fn *each, void *ctx, int *visited)
{
    pf_stream *in;
    pf_doc doc = {0};
    pf_err err;
    PF_TRY(pf_stream_open(&in, name));
    for (int i = 0; (err = pf_stream_read(in, &doc)) == PF_OK; i++) {
        if (opt.index >= 0 && opt.index != i)
            continue;
        ++*visited;
        if ((err = each(ctx, &doc, name, i)) != PF_OK) {
            pf_fail_in(err, "%s", pf_file_title(name));
            break;
        }
    }
    pf_stream_close(in);
    pf_doc_release(&doc);
    return err == PF_END ? PF_OK : err;
}

static pf_err
visit(int streams, char **names, each_fn *each, void *ctx)
{
    static char standard[] = "-";
    char *none[] = {standard};
    int visited = 0;
    pf_sandbox(0);
    for (int i = 0; i < (streams ? streams : 1); i++)
        PF_TRY(visit_stream((streams ? names : none)[i], each, ctx, &visited));
    return visited ? PF_OK : pf_fail(PF_EFORMAT, "there is no document %d", opt.index);
}

/* ---- info ---- */

static pf_err
print_document(void *to, pf_doc *doc, const char *name, int index)
{
    const char *kind = pf_doc_get_meta(doc, "pf.kind");
    if (opt.json) {
        PF_TRY(pf_info_print_json(to, doc, pf_file_title(name), index));
        fflush(to);             // for who follows a run; what failed is told at the end
        return PF_OK;
    }
    pf_text_print(to, pf_file_title(name));
    fprintf(to, ": document %d%s", index, kind ? ", " : "");
    pf_text_print(to, kind ? kind : "");
    putc('\n', to);
    pf_info_print(to, doc);
    return PF_OK;
}

static void
info(int streams, char **names)
{
    pf_output *out = NULL;
    if (strcmp(pf_common.out, "-") != 0)        // text may go to a terminal
        pf_must(pf_output_open(&out, pf_common.out));
    FILE *to = out ? pf_output_file(out) : stdout;
    pf_must(visit(streams, names, print_document, to));
    pf_must(out ? pf_output_close(out) : pf_output_flush(stdout, "standard output"));
}

/* ---- cat ---- */

struct join {
    pf_batch *out;
    FILE *spool;                /* the documents, where an input cannot be read twice; or NULL */
    int n, written;
};

static pf_err
count_document(void *ctx, pf_doc *doc, const char *name, int index)
{
    struct join *j = ctx;
    (void)name, (void)index;
    j->n++;
    if (!j->spool)
        return PF_OK;
    PF_TRY(pf_doc_set_position(doc, 0, 1));
    return pf_doc_write(doc, j->spool);
}

static pf_err
write_document(void *ctx, pf_doc *doc, const char *name, int index)
{
    struct join *j = ctx;
    (void)name, (void)index;
    if (j->n)
        PF_TRY(pf_doc_set_position(doc, j->written++, j->n));
    return pf_batch_write(j->out, doc);
}

static bool
all_are_files(int streams, char **names)
{
    struct stat st;
    for (int i = 0; i < streams; i++)
        if (stat(names[i], &st) || S_ISFIFO(st.st_mode) || !strcmp(names[i], "-"))
            return false;
    return streams > 0;
}

/* The first document to be written says how many will follow, so all are read twice; from a file
 * without a name what comes by a pipe. */
static pf_err
join(struct join *j, int streams, char **names)
{
    char path[40], *again[] = {path};
    if (!all_are_files(streams, names) && !(j->spool = tmpfile()))
        return pf_fail(PF_EIO, "cannot make a temporary file: %s", strerror(errno));
    PF_TRY(visit(streams, names, count_document, j));
    if (!j->spool)
        return visit(streams, names, write_document, j);
    snprintf(path, sizeof path, "/dev/fd/%d", fileno(j->spool));
    opt.index = -1;
    return visit(1, again, write_document, j);
}

/* A pattern's files are small runs of their own, which are counted while they are held. */
static void
cat(int streams, char **names)
{
    struct join j = {0};
    pf_need_stream_name();
    pf_must(pf_batch_open(&j.out, pf_common.out));
    if (pf_pattern(pf_common.out))
        pf_must(visit(streams, names, write_document, &j));
    else
        pf_must(join(&j, streams, names));
    if (j.spool)
        fclose(j.spool);
    pf_batch_end(j.out);
}

/* ---- get ---- */

struct wanted {
    const char *name;
    FILE *to;
};

static pf_err
get_tensor(void *ctx, pf_doc *doc, const char *name, int index)
{
    const struct wanted *w = ctx;
    const pf_tensor *t = pf_doc_get(doc, w->name);
    (void)name;
    if (!t)
        return pf_fail(PF_EFORMAT, "document %d has no tensor %s", index, w->name);
    return pf_npy_write(t, w->to);
}

static void
get(int operands, char **operand)
{
    pf_output *out;
    if (operands < 1 || operands > 2)
        pf_usage("get takes the name of a tensor and one stream");
    opt.index = opt.index < 0 ? 0 : opt.index;
    pf_need_ending("npy");
    pf_must(pf_output_open(&out, pf_common.out));
    struct wanted wanted = {operand[0], pf_output_file(out)};
    pf_must(visit(operands - 1, operand + 1, get_tensor, &wanted));
    pf_must(pf_output_close(out));
}

/* ---- png ---- */

struct picture {
    struct pf_place place;      /* of a pattern: its documents of one name make one picture */
    pf_image sheet;             /* [documents * H, N * W, C] */
    char path[PATH_MAX];        /* of the sheet, with a pattern */
};

static pf_err
save_sheet(struct picture *p)
{
    pf_output *out;
    if (!p->sheet.pixel)
        return PF_OK;
    PF_TRY(pf_output_open(&out, p->path));
    const pf_err err = pf_image_write_png(&p->sheet, pf_output_file(out));
    pf_image_release(&p->sheet);
    if (!err)
        return pf_output_close(out);
    pf_output_abandon(out);
    return err;
}

static pf_err
draw_document(void *ctx, pf_doc *doc, const char *name, int index)
{
    struct picture *const p = ctx;
    pf_image strip;
    (void)name;
    if (p->place.pattern && pf_doc_failed(doc))
        return PF_OK;
    if (p->place.pattern) {
        PF_TRY(pf_place_next(&p->place, doc));
        if (!p->place.number)
            PF_TRY(save_sheet(p));
        strcpy(p->path, p->place.path);
    }
    const pf_err err = pf_sheet_strip(&strip, doc, opt.tensor);
    return err ? pf_fail_in(err, "document %d", index) : pf_sheet_append(&p->sheet, &strip);
}

static void
png(int streams, char **names)
{
    struct picture p = {0};
    pf_output *out;
    pf_need_ending("png");
    if (pf_pattern(pf_common.out)) {
        pf_pattern_check("--output", pf_common.out);
        p.place = (struct pf_place){.option = "--output", .pattern = pf_common.out, .shared = true};
        pf_must(visit(streams, names, draw_document, &p));
        pf_must(save_sheet(&p));
        pf_seen_free(&p.place.used);
        return;
    }
    pf_must(pf_output_open(&out, pf_common.out));
    pf_must(visit(streams, names, draw_document, &p));
    pf_must(pf_image_write_png(&p.sheet, pf_output_file(out)));
    pf_must(pf_output_close(out));
    pf_image_release(&p.sheet);
}

/* ---- pack ---- */

static void
pack_views(int operands, char **operand)
{
    pf_doc doc = {0};
    pf_output *out;
    if (operands != 1)
        pf_usage("pack takes one transforms.json, - for standard input, or one folder with "
                 "COLMAP's cameras.txt and images.txt");
    if (opt.center.n && opt.center.n != 3)
        pf_usage("--center needs three numbers, X,Y,Z, not %d", opt.center.n);
    const struct pack_options how = {.images = opt.images,
                                     .masks = opt.masks,
                                     .center = opt.center.n ? opt.center.v : NULL,
                                     .scale = opt.scale,
                                     .tell = pf_common.quiet ? NULL : stderr};
    pf_need_stream_name();
    pf_must(pf_output_open(&out, pf_common.out));
    pf_sandbox(0);
    pf_must(pack(&doc, operand[0], &how));                      // [N, H, W, 3]
    pf_must(pf_doc_set_position(&doc, 0, 1));
    pf_must(pf_doc_add_history(&doc));
    pf_must(pf_doc_write(&doc, pf_output_file(out)));
    pf_must(pf_output_close(out));
    pf_doc_release(&doc);
}

/* ---- table ---- */

static void
table(int manifests, char **names)
{
    pf_output *out = NULL;
    json_t *last = json_object();
    if (strcmp(pf_common.out, "-") != 0)        // text may go to a terminal
        pf_must(pf_output_open(&out, pf_common.out));
    FILE *to = out ? pf_output_file(out) : stdout;
    pf_sandbox(0);
    if (!manifests)
        pf_must(table_read(last, "-"));
    for (int i = 0; i < manifests; i++)
        pf_must(table_read(last, names[i]));
    pf_must(table_print(to, last));
    pf_must(out ? pf_output_close(out) : pf_output_flush(stdout, "standard output"));
    json_decref(last);
}

/* An option of another command is a mistake, not nothing. */
static void
check_options(const char *command)
{
    static const struct {
        const void *value;
        const char *name, *command;
    } own[] = {{&opt.json, "json", "info"},     {&opt.tensor, "tensor", "png"},
               {&opt.images, "images", "pack"}, {&opt.masks, "masks", "pack"},
               {&opt.center, "center", "pack"}, {&opt.scale, "scale", "pack"}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (pf_given(own[i].value) && strcmp(own[i].command, command))
            pf_usage("--%s belongs to %s, not to %s", own[i].name, own[i].command, command);
    if (pf_given(&opt.index) && !strcmp(command, "pack"))
        pf_usage("--index chooses documents of a stream, pack makes one");
    if (pf_given(&opt.index) && !strcmp(command, "table"))
        pf_usage("--index chooses documents of a stream, a manifest is none");
}

int
main(int argc, char *argv[])
{
    static const struct {
        const char *name;
        void (*run)(int operands, char **operand);
    } commands[] = {{"info", info}, {"cat", cat}, {"get", get}, {"png", png}, {"pack", pack_views},
                  {"table", table}};

    pf_start(&argc, &argv,
             "info|cat|get NAME|png [STREAM...] or pack CAMERAS or table [MANIFEST...]",
             "List, join, extract from or draw streams; make views of pictures and cameras.", opts);
    for (size_t i = 0; argc && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[0], commands[i].name) == 0) {
            check_options(argv[0]);
            commands[i].run(argc - 1, argv + 1);
            return 0;
        }
    if (argc)
        pf_usage("%s is no command, expected info, cat, get, png, pack or table", argv[0]);
    pf_usage("no command, expected info, cat, get, png, pack or table");
}
