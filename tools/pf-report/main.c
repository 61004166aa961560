/* pf-report - what came of a photo, or of a batch, as one page.
 * in:  folders of pipelines/reconstruct.mk, manifest.jsonl of a batch or the folder that holds it
 * out: HTML that needs nothing else: pictures, mesh, film and scripts are in it */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/opt.h"
#include "common/output.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "tools/pf-report/folder.h"
#include "tools/pf-report/html.h"
#include "tools/pf-report/manifest.h"
#include "tools/pf-report/object.h"
#include "tools/pf-report/page.h"

static struct {
    const char *title;
    struct report_options report;
} opt = {.report = {.picture_size = 512, .mesh_vertices = 50000, .film_size = 1}};

static const struct pf_opt opts[] = {
    PF_OPT_STR(0, "title", opt.title, "TEXT", "the title of the page"),
    PF_OPT_STR(0, "photo", opt.report.photo, "FILE", "the photo of the only object"),
    PF_OPT_STR(0, "preview", opt.report.preview, "DIR",
               "previews of the only object, besides those in its folder"),
    PF_OPT_INT(0, "picture-size", opt.report.picture_size, "PX",
               "longest side of a picture; views have a quarter", 16, 8192),
    PF_OPT_INT(0, "mesh-vertices", opt.report.mesh_vertices, "N",
               "thin meshes to so many vertices; 0: no mesh", 0, 10000000),
    PF_OPT_REAL(0, "film-size", opt.report.film_size, "MB", "leave larger films out", 0, 1000),
    PF_OPT_END};

static bool
is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The manifest that an operand stands for, NULL if it is the folder of an object; caller frees. */
static char *
find_manifest(const char *operand)
{
    struct stat st;
    char *path = is_folder(operand) ? folder_join(operand, "manifest.jsonl") : strdup(operand);
    if (!path)
        pf_die("no memory");
    if (!is_folder(operand) || stat(path, &st) == 0 || errno != ENOENT)
        return path;
    free(path);
    return NULL;
}

static pf_err
write_operand(FILE *to, const char *operand, int number)
{
    struct folder folder;
    char *manifest = find_manifest(operand);
    pf_err err;
    if (manifest) {
        err = manifest_write(to, manifest, number, opt.report.picture_size);
    } else if (!(err = folder_read(&folder, operand))) {
        err = object_write(to, &folder, number, &opt.report);
        folder_release(&folder);
    }
    free(manifest);
    return err;
}

static void
write_title(FILE *to, int operands, char **operand)
{
    char *name = folder_name(operand[0]), *several = NULL, *title = NULL;
    if (asprintf(&several, "%s and %d more", name, operands - 1) < 0 ||
        asprintf(&title, "Report on %s", operands > 1 ? several : name) < 0)
        pf_die("no memory");
    page_begin(to, opt.title ? opt.title : title);
    free(name);
    free(several);
    free(title);
}

/* Names of several operands, as links to their parts of the page. */
static void
write_contents(FILE *to, int operands, char **operand)
{
    fputs("<nav aria-label=\"Contents\"><ul>\n", to);
    for (int i = 0; i < operands; i++)
        html(to, "<li><a href=\"#object-%d\">%s</a></li>\n", i + 1, operand[i]);
    fputs("</ul></nav>\n", to);
}

int
main(int argc, char *argv[])
{
    pf_output *out;
    pf_start(&argc, &argv, "DIR...", "Write a page about an object's folder or a batch.", opts);
    if (!argc)
        pf_usage("no folder: pf-report DIR... > report.html");
    if ((opt.report.photo || opt.report.preview) && argc > 1)
        pf_usage("--%s is that of one object, not of %d", opt.report.photo ? "photo" : "preview",
                 argc);
    pf_need_ending("html");
    pf_must(pf_output_open(&out, pf_common.out));
    pf_sandbox(PF_SANDBOX_MESH);
    FILE *const to = pf_output_file(out);
    write_title(to, argc, argv);
    if (argc > 1)
        write_contents(to, argc, argv);
    for (int i = 0; i < argc; i++)
        pf_must(write_operand(to, argv[i], i + 1));
    page_end(to);
    pf_must(pf_output_close(out));
    return 0;
}
