#include "tools/pf-report/object.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/camera.h"
#include "common/image.h"
#include "common/stream.h"
#include "common/text.h"
#include "kernels/raster/scene.h"
#include "tools/pf-report/chart.h"
#include "tools/pf-report/history.h"
#include "tools/pf-report/html.h"
#include "tools/pf-report/thin.h"

/* Views of one document that are shown, spread over all of them. */
enum { VIEWS_SHOWN = 32 };
/* Pictures of one folder of previews, likewise; the last is one of them. */
enum { PREVIEWS_SHOWN = 8 };
/* What a report takes the time for, and the longest side of a texture whose texels are looked up at
 * the vertices. */
enum { FACES_MOST = 10000000, TEXTURE_SIDE = 2048 };

/* What pipelines/reconstruct.mk makes, so that the page can say what is missing. */
static const struct {
    const char *file, *what;
} expected[] = {{"views.pf", "views"},
                {"masked.pf", "masks"},
                {"field.pf", "field"},
                {"mesh.ply", "mesh"},
                {"rendering.mp4", "film"}};

static void
say_problem(FILE *to, const char *sentence)
{
    html(to, "<p class=\"problem\">%s.</p>\n", sentence);
}

/* What one part of the page could not read is said in its place; only memory ends the report. */
static pf_err
or_say(FILE *to, pf_err err)
{
    if (err && err != PF_ENOMEM)
        say_problem(to, pf_error());
    return err == PF_ENOMEM ? err : PF_OK;
}

/* ---- what became of it ---- */

/* Of the files that pf-extract-mesh writes the first that is there; NULL: none is. */
static const char *
find_mesh(const struct folder *f)
{
    static const char *const names[] = {"mesh.ply", "mesh.glb", "mesh.obj"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (folder_has(f, names[i]))
            return names[i];
    return NULL;
}

static bool
is_missing(const struct folder *f, size_t i)
{
    return !folder_has(f, expected[i].file) && !(!strcmp(expected[i].what, "mesh") && find_mesh(f));
}

static void
write_status(FILE *to, const struct folder *f)
{
    int missing = 0;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        missing += is_missing(f, i);
    html(to, "<p class=\"status %s\">%s", f->error ? "failed" : missing ? "partial" : "done",
         f->error ? "failed: " : missing ? "not finished, or failed: there is no " : "finished");
    if (f->error)
        html(to, "%s", f->error);
    for (size_t i = 0; !f->error && i < sizeof expected / sizeof *expected; i++)
        if (is_missing(f, i))
            html(to, "%s (%s)%s", expected[i].what, expected[i].file, --missing ? ", " : "");
    fputs("</p>\n", to);
    if (f->damage)
        say_problem(to, f->damage);
}

/* ---- pictures ---- */

static pf_err
write_picture(FILE *to, const char *path, const char *what, const char *object, int side)
{
    char alt[300];
    pf_image image = {0};
    snprintf(alt, sizeof alt, "%s of %s", what, object);
    pf_err err = pf_image_read(&image, path);
    html(to, "<figure><figcaption>%s</figcaption>", what);
    if (!err)
        err = html_picture(to, &image, side, alt);
    err = or_say(to, err);
    fputs("</figure>\n", to);
    pf_image_release(&image);
    return err;
}

static pf_err
write_photos(FILE *to, const struct folder *f, const struct report_options *o)
{
    char *cutout = folder_join(f->path, "cutout.png");
    pf_err err = PF_OK;
    fputs("<div class=\"row\">\n", to);
    if (o->photo)
        err = write_picture(to, o->photo, "Photo", f->name, o->picture_size);
    if (!err && folder_has(f, "cutout.png"))
        err = write_picture(to, cutout, "Cut-out", f->name, o->picture_size);
    fputs("</div>\n", to);
    free(cutout);
    return err;
}

/* View v of views.image [N, H, W, 3]; with alpha [N, H, W], unless NULL, as transparency. */
static pf_err
take_view(pf_image *to, const pf_tensor *image, const pf_tensor *alpha, int v)
{
    const int H = (int)image->dim[1], W = (int)image->dim[2], C = alpha ? 4 : 3;
    const size_t area = (size_t)H * (size_t)W;
    const uint8_t *from = (const uint8_t *)image->data + (size_t)v * area * 3;
    const float *a = alpha ? (const float *)alpha->data + (size_t)v * area : NULL;
    PF_TRY(pf_image_new(to, W, H, C));
    for (size_t i = 0; i < area; i++) {
        memcpy(to->pixel + i * (size_t)C, from + 3 * i, 3);
        if (a)
            to->pixel[i * 4 + 3] = a[i] > 0 ? (uint8_t)lrintf(255 * fminf(a[i], 1)) : 0;
    }
    return PF_OK;
}

/* Where view v was seen from, for a picture's text: "view 3 of 16, elevation 30, azimuth 45". */
static void
name_view(char *to, size_t size, const char *what, const pf_doc *doc, int v, int views)
{
    static const char *const angle[] = {"elevation", "azimuth"};
    int n = snprintf(to, size, "%s %d of %d", what, v + 1, views);
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "views.%s", angle[i]);
        const pf_tensor *t = pf_doc_get(doc, name);
        if (t && t->dtype == PF_F32 && t->ndim == 1 && t->dim[0] == views)
            n += snprintf(to + n, size - (size_t)n, ", %s %.1f degrees", angle[i],
                          (double)((const float *)t->data)[v] * 180 / PF_PI);
    }
}

static pf_err
write_tiles(FILE *to, const char *title, const char *what, const pf_doc *doc,
            const pf_tensor *image, const pf_tensor *alpha, int side)
{
    const int views = (int)image->dim[0], shown = views < VIEWS_SHOWN ? views : VIEWS_SHOWN;
    pf_err err = PF_OK;
    html(to, "<figure class=\"tiles\"><figcaption>%s", title);
    if (shown < views)
        html(to, " (%d of %d)", shown, views);
    fputs("</figcaption>\n", to);
    for (int i = 0; i < shown && !err; i++) {
        const int v = (int)((int64_t)i * views / shown);
        pf_image view = {0};
        char alt[160];
        name_view(alt, sizeof alt, what, doc, v, views);
        if (!(err = take_view(&view, image, alpha, v)))
            err = html_picture(to, &view, side, alt);
        pf_image_release(&view);
    }
    fputs("</figure>\n", to);
    return err;
}

static pf_err
write_document_views(FILE *to, const pf_doc *doc, int side)
{
    pf_tensor image, alpha;
    PF_TRY(pf_doc_need(doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    if (image.dim[0] < 1 || image.dim[0] > 65536 || image.dim[1] < 1 || image.dim[2] < 1)
        return pf_fail(PF_ESHAPE, "views.image shows nothing");
    PF_TRY(write_tiles(to, "Views", "View", doc, &image, NULL, side));
    if (!pf_doc_get(doc, "views.alpha"))
        return PF_OK;
    PF_TRY(pf_doc_need(doc, "views.alpha", PF_F32, 3, image.dim, &alpha));
    return write_tiles(to, "Masks: the views, cut out", "Cut-out view", doc, &image, &alpha, side);
}

static pf_err
write_views(FILE *to, const struct folder *f, const struct report_options *o)
{
    pf_stream *in = NULL;
    pf_doc doc = {0};
    if (!f->views)
        return PF_OK;
    char *path = folder_join(f->path, f->views);
    pf_err err = pf_stream_open(&in, path);
    while (!err && (err = pf_stream_read(in, &doc)) == PF_OK)
        if (pf_doc_get(&doc, "views.image"))
            err = write_document_views(to, &doc, (o->picture_size + 3) / 4);
    pf_stream_close(in);
    pf_doc_release(&doc);
    free(path);
    return or_say(to, err == PF_END ? PF_OK : err);
}

/* ---- previews ---- */

static bool
is_png(const struct folder_file *file)
{
    return !strcasecmp(pf_name_ending(file->name), "png");
}

static pf_err
write_preview(FILE *to, const struct folder *f, const char *file, const char *object, int side)
{
    char *path = folder_join(f->path, file), *alt = NULL;
    pf_image image = {0};
    if (asprintf(&alt, "Preview %s of %s", file, object) < 0)
        pf_die("no memory");
    pf_err err = pf_image_read(&image, path);
    if (!err)
        err = html_picture(to, &image, side, alt);
    err = or_say(to, err);
    pf_image_release(&image);
    free(alt);
    free(path);
    return err;
}

/* The pictures of one folder, which pf-sample or pf-neus wrote while it worked. */
static pf_err
write_preview_folder(FILE *to, const char *path, const char *object,
                     const struct report_options *o)
{
    struct folder f;
    int pictures = 0, seen = 0;
    pf_err err = folder_read(&f, path);
    if (err)
        return or_say(to, err);
    for (int i = 0; i < f.files; i++)
        pictures += is_png(&f.file[i]);
    const int shown = pictures < PREVIEWS_SHOWN ? pictures : PREVIEWS_SHOWN;
    html(to, "<figure class=\"previews\"><figcaption>Previews: %s", f.name);
    if (shown < pictures)
        html(to, " (%d of %d)", shown, pictures);
    fputs("</figcaption>\n", to);
    for (int i = 0; i < f.files && !err; i++)
        // Number k of those that are shown is picture (k + 1) pictures / shown - 1.
        if (is_png(&f.file[i]) && (int64_t)++seen * shown % pictures < shown)
            err = write_preview(to, &f, f.file[i].name, object, 2 * o->picture_size);
    fputs("</figure>\n", to);
    folder_release(&f);
    return err;
}

static pf_err
write_previews(FILE *to, const struct folder *f, const struct report_options *o)
{
    pf_err err = PF_OK;
    for (int i = 0; i < f->previews && !err; i++) {
        char *path = folder_join(f->path, f->preview[i]);
        err = write_preview_folder(to, path, f->name, o);
        free(path);
    }
    return err || !o->preview ? err : write_preview_folder(to, o->preview, f->name, o);
}

/* ---- mesh and film ---- */

static void
write_viewer(FILE *to, const char *object, const struct thin_bytes *t, const struct pf_mesh *m)
{
    html(to,
         "<canvas class=\"viewer\" width=\"640\" height=\"480\" tabindex=\"0\" "
         "role=\"application\" aria-roledescription=\"3-D view\" aria-label=\"Mesh of %s. "
         "Arrow keys turn it, plus and minus zoom, Home resets.\" data-vertices=\"%lld\" "
         "data-faces=\"%lld\" data-low=\"%.9g %.9g %.9g\" data-size=\"%.9g %.9g %.9g\" "
         "data-index=\"%d\">The mesh of %s, which needs WebGL 2.</canvas>\n"
         "<script type=\"application/octet-stream\">",
         object, (long long)m->vertices, (long long)m->faces, (double)t->low[0], (double)t->low[1],
         (double)t->low[2], (double)t->size[0], (double)t->size[1], (double)t->size[2], t->index,
         object);
    html_base64(to, t->bytes, t->n);
    fputs("</script>\n", to);
}

/* With z up and in front at +x, as pf-extract-mesh has it but in a GLB. */
static pf_err
read_mesh(struct pf_mesh *mesh, const struct folder *f, const char *name)
{
    struct pf_world world;
    pf_scene scene;
    char *path = folder_join(f->path, name);
    pf_err err = pf_scene_read(&scene, path, TEXTURE_SIDE);
    const bool gltf = !strcmp(pf_name_ending(name), "glb");
    if (!err && scene.triangles > FACES_MOST)
        err = pf_fail(PF_ESHAPE, "%s: %lld faces are too many for a page, which takes at most %d",
                      path, (long long)scene.triangles, FACES_MOST);
    if (!err) {
        pf_scene_place(&scene, &(struct pf_scene_place){.up = gltf ? PF_UP_Y : PF_UP_Z,
                                                        .keep = true}, &world);
        err = pf_scene_mesh(mesh, &scene);
    }
    pf_scene_release(&scene);
    free(path);
    return err;
}

static pf_err
write_mesh(FILE *to, const struct folder *f, const struct report_options *o)
{
    struct pf_mesh mesh = {0};
    struct thin_bytes packed = {0};
    const char *const name = find_mesh(f);
    if (!o->mesh_vertices || !name)
        return PF_OK;
    pf_err err = read_mesh(&mesh, f, name);
    const int64_t vertices = mesh.vertices, faces = mesh.faces;
    html(to, "<figure class=\"mesh\"><figcaption>Mesh %s: %lld vertices, %lld faces", name,
         (long long)vertices, (long long)faces);
    if (!err && !(err = thin_mesh(&mesh, o->mesh_vertices)) && mesh.vertices < vertices)
        html(to, "; thinned to %lld and %lld for this page", (long long)mesh.vertices,
             (long long)mesh.faces);
    fputs("</figcaption>\n", to);
    if (!err && !(err = thin_pack(&packed, &mesh)))
        write_viewer(to, f->name, &packed, &mesh);
    err = or_say(to, err);
    fputs("</figure>\n", to);
    free(packed.bytes);
    pf_mesh_release(&mesh);
    return err;
}

static pf_err
read_whole(uint8_t **bytes, const char *path, size_t size)
{
    FILE *from = fopen(path, "rb");
    if (!from)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    *bytes = malloc(size + 1);
    const size_t got = *bytes ? fread(*bytes, 1, size, from) : 0;
    fclose(from);
    if (!*bytes)
        return pf_fail(PF_ENOMEM, "no memory for %s", path);
    return got == size ? PF_OK : pf_fail(PF_EIO, "%s became shorter while it was read", path);
}

static pf_err
write_film(FILE *to, const struct folder *f, const struct folder_file *file, double most)
{
    uint8_t *bytes = NULL;
    pf_err err = PF_OK;
    html(to, "<figure class=\"film\"><figcaption>Film: %s, ", file->name);
    html_bytes(to, (double)file->size);
    fputs("</figcaption>\n", to);
    if ((double)file->size > most * 1e6) {
        html(to, "<p>It is larger than the %g MB that go into the page (--film-size).</p>", most);
    } else {
        char *path = folder_join(f->path, file->name);
        err = read_whole(&bytes, path, (size_t)file->size);
        if (!err) {
            html(to, "<video controls loop muted playsinline aria-label=\"Turntable film of %s\" "
                     "src=\"data:video/mp4;base64,", f->name);
            html_base64(to, bytes, (size_t)file->size);
            fputs("\"></video>", to);
        }
        free(path);
    }
    free(bytes);
    err = or_say(to, err);
    fputs("</figure>\n", to);
    return err;
}

/* ---- figures ---- */

/* A table of a file whose first line names its columns and whose fields tabs separate. */
static pf_err
write_table(FILE *to, const struct folder *f, const char *name)
{
    char *path = folder_join(f->path, name), *line = NULL;
    FILE *from = fopen(path, "r");
    size_t size = 0, n;
    pf_err err;
    free(path);
    if (!from)
        return pf_fail(PF_EIO, "cannot read %s: %s", name, strerror(errno));
    html(to, "<h3>%s</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">"
             "<table class=\"sortable\">\n", name, name);
    for (int row = 0; !(err = pf_line(&line, &n, &size, from)); row++) {
        const char *const end = line + n - (line[n - 1] == '\n');
        fputs(row ? "<tr>" : "<thead><tr>", to);
        for (const char *p = line;; p++) {
            const char *tab = memchr(p, '\t', (size_t)(end - p));
            fputs(row ? "<td>" : "<th scope=\"col\">", to);
            html_text(to, p, (size_t)((tab ? tab : end) - p));
            fputs(row ? "</td>" : "</th>", to);
            if (!tab)
                break;
            p = tab;
        }
        fputs(row ? "</tr>\n" : "</tr></thead>\n<tbody>\n", to);
    }
    fputs("</tbody></table></div>\n", to);
    free(line);
    fclose(from);
    return err == PF_END ? PF_OK : pf_fail_in(err, "%s", name);
}

static double
seconds_between(const struct folder_file *a, const struct folder_file *b)
{
    return difftime(b->changed.tv_sec, a->changed.tv_sec) +
           (double)(b->changed.tv_nsec - a->changed.tv_nsec) * 1e-9;
}

static int
by_time(const void *a, const void *b)
{
    const struct folder_file *p = a, *q = b;
    const double apart = seconds_between(q, p);
    return apart != 0 ? (apart > 0) - (apart < 0) : strcmp(p->name, q->name);
}

/* In the order in which they were written: where stages follow each other, the time since the file
 * before is what the stage took. */
static pf_err
write_files(FILE *to, const struct folder *f)
{
    struct folder_file *file = malloc((size_t)(f->files + 1) * sizeof *file);
    if (!file)
        return pf_fail(PF_ENOMEM, "no memory for %d files", f->files);
    if (f->files)
        memcpy(file, f->file, (size_t)f->files * sizeof *file);
    qsort(file, (size_t)f->files, sizeof *file, by_time);
    html(to, "<h3>Files</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
             "aria-label=\"Files of %s\"><table class=\"sortable\"><thead><tr>"
             "<th scope=\"col\">file</th><th scope=\"col\">size</th><th scope=\"col\">written</th>"
             "<th scope=\"col\">after the one before</th></tr></thead>\n<tbody>\n", f->name);
    for (int i = 0; i < f->files; i++) {
        char when[32] = "";
        struct tm tm;
        if (gmtime_r(&file[i].changed.tv_sec, &tm))
            strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
        html(to, "<tr><td>%s</td><td class=\"number\" data-value=\"%lld\">", file[i].name,
             (long long)file[i].size);
        html_bytes(to, (double)file[i].size);
        html(to, "</td><td>%s</td>", when);
        const double after = i ? seconds_between(&file[i - 1], &file[i]) : 0;
        if (i)
            html(to, "<td class=\"number\" data-value=\"%.3f\">%.1f s</td></tr>\n", after, after);
        else
            fputs("<td></td></tr>\n", to);
    }
    fputs("</tbody></table></div>\n", to);
    free(file);
    return PF_OK;
}

/* Everything of one ending: films, logs, tables. */
static pf_err
write_each(FILE *to, const struct folder *f, const char *ending, const struct report_options *o)
{
    pf_err err = PF_OK;
    for (int i = 0; i < f->files && !err; i++) {
        const char *name = f->file[i].name;
        if (strcasecmp(pf_name_ending(name), ending))
            continue;
        char *path = folder_join(f->path, name);
        err = !strcmp(ending, "mp4")   ? write_film(to, f, &f->file[i], o->film_size)
              : !strcmp(ending, "csv") ? or_say(to, chart_log(to, path, name))
                                       : or_say(to, write_table(to, f, name));
        free(path);
    }
    return err;
}

pf_err
object_write(FILE *to, const struct folder *f, int number, const struct report_options *o)
{
    html(to, "<section class=\"object\" id=\"object-%d\" aria-labelledby=\"name-%d\">\n"
             "<h2 id=\"name-%d\">%s</h2>\n", number, number, number, f->name);
    write_status(to, f);
    PF_TRY(write_photos(to, f, o));
    fputs("<div class=\"row\">\n", to);
    PF_TRY(write_mesh(to, f, o));
    PF_TRY(write_each(to, f, "mp4", o));
    fputs("</div>\n", to);
    PF_TRY(write_views(to, f, o));
    PF_TRY(write_previews(to, f, o));
    fputs("<div class=\"row\">\n", to);
    PF_TRY(write_each(to, f, "csv", o));
    fputs("</div>\n", to);
    PF_TRY(write_each(to, f, "tsv", o));
    if (f->history)
        PF_TRY(or_say(to, history_write(to, f->history, f->name)));
    PF_TRY(write_files(to, f));
    fputs("</section>\n", to);
    return PF_OK;
}
