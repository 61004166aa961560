/* pf-render-video - a turn around a field's object, or a mesh.
 * in:  documents with field.*, field.elevation [documents], or a mesh file (scene.h)
 * out: a video (video.h) or PNG frames of each */
#include <math.h>
#include <string.h>

#include "common/batch.h"
#include "common/camera.h"
#include "common/config.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "kernels/dev.h"
#include "kernels/field/field_view.h"
#include "tools/pf-render-video/frames.h"
#include "tools/pf-render-video/mesh_turn.h"
#include "tools/pf-render-video/video.h"

static struct {
    struct pf_list elevation_deg;
    const char *png, *renderer, *show, *light;
    bool keep_frame;
} opt = {.renderer = "field", .show = "color", .light = "soft"};

static const struct pf_opt opts[] = {
    PF_OPT_LIST(0, "elevation", opt.elevation_deg, "DEG[,DEG...]",
                "one turn at each; without it that of the field's first views", -89, 89),
    PF_OPT_INT(0, "frames", pf_conf.video.frames, "N", "of one turn", 1, 100000),
    PF_OPT_INT(0, "fps", pf_conf.video.fps, "N", "frames a second", 1, 240),
    PF_OPT_INT(0, "size", pf_conf.video.size, "PX", "side of a frame, even", 16, 4096),
    PF_OPT_CHOICE(0, "renderer", opt.renderer, "field|mesh",
                  "what is filmed: a field, or a mesh with its materials"),
    PF_OPT_CHOICE(0, "show", opt.show, "color|normal|depth",
                  "of a mesh: its colours, lit, or its normals as colours, or depth as grey"),
    PF_OPT_CHOICE(0, "light", opt.light, "soft|flat|studio",
                  "on a mesh; soft: mostly from above; flat: colours as they are"),
    PF_OPT_FLAG(0, "keep-frame", opt.keep_frame, "leave a mesh where it is, and as large"),
    PF_OPT_STR(0, "png", opt.png, "DIR",
               "write frames as DIR/0000.png ...; no video unless -o is given"),
    PF_OPT_END};

/* Without --elevation the one of the first views that the field was made from, else 30 degrees;
 * doc NULL: no field. */
static pf_err
default_elevation(struct pf_list *deg, const pf_doc *doc)
{
    pf_tensor t;
    double v = 30;
    if (doc && pf_doc_get(doc, "field.elevation")) {
        PF_TRY(pf_doc_need(doc, "field.elevation", PF_F32, 1, (int64_t[]){-1}, &t));
        if (t.dim[0] > 0)
            v = *(const float *)t.data * (180 / PF_PI);
        if (!(fabs(v) < 90))
            return pf_fail(PF_EFORMAT, "field.elevation is %g degrees, expected -90 to 90", v);
    }
    *deg = (struct pf_list){.n = 1, .v = {v}};
    return PF_OK;
}

static struct pf_place out_at = {.option = "--output"}, png_at = {.option = "--png"};

static bool
of_mesh(void)
{
    return !strcmp(opt.renderer, "mesh");
}

/* What is filmed: one of the two, the other NULL. */
struct subject {
    pf_field_view *field;
    struct mesh_turn *mesh;
};

/* All turns, one after the other; video NULL: only frames; frames NULL: no such. */
static pf_err
film(pf_video *video, struct frames *frames, struct subject of, const struct pf_list *deg)
{
    const int turn = pf_conf.video.frames, total = turn * deg->n;
    pf_progress progress;
    pf_image image;
    pf_err err = pf_image_new(&image, pf_conf.video.size, pf_conf.video.size, 3);
    pf_progress_start(&progress, "rendering", total);
    for (int k = 0; !err && k < total; k++) {
        const double elevation = deg->v[k / turn] * (PF_PI / 180);
        const double azimuth = 2 * PF_PI * (k % turn) / turn;
        err = of.mesh ? mesh_turn_view(&image, of.mesh, elevation, azimuth)
                      : pf_field_view_see(of.field, image.pixel, elevation, azimuth);
        if (!err && video)
            err = pf_video_add(video, image.pixel);             // [S, S, 3]
        if (!err && frames)
            err = frames_add(frames, image.pixel);
        pf_progress_step(&progress, k + 1, "%s", "");
    }
    pf_progress_end(&progress);
    pf_image_release(&image);
    return err;
}

static pf_output *out;                  /* open from the start where its name is no pattern */
static bool films;                      /* a video is wanted, and not frames alone */

/* What the document's object is written to. */
static pf_err
open_outputs(const pf_doc *doc)
{
    if (opt.png)
        PF_TRY(pf_place_next(&png_at, doc));
    if (pf_pattern(opt.png))
        PF_TRY(pf_output_folder(png_at.path));
    if (!films || out)
        return PF_OK;
    PF_TRY(pf_place_next(&out_at, doc));
    return pf_output_open(&out, out_at.path);
}

/* All turns into the open output, which is closed. */
static pf_err
film_into_output(struct subject of, const struct pf_list *deg, enum pf_video_format format)
{
    pf_output *const to = out;
    pf_video *video = NULL;
    struct frames *frames = NULL;
    pf_err err = PF_OK;
    out = NULL;
    const double start = pf_seconds();
    if (films)
        err = pf_video_open(&video, to, format, pf_conf.video.size, pf_conf.video.fps);
    if (!err && opt.png)
        err = frames_open(&frames, png_at.path, pf_conf.video.size);
    if (!err)
        err = film(video, frames, of, deg);
    const pf_err written = frames_close(frames), closed = pf_video_close(video);
    err = err ? err : written ? written : closed;
    if (err)
        pf_output_abandon(to);
    PF_TRY(err);
    if (films)
        PF_TRY(pf_output_close(to));
    pf_stage_time("rendering", pf_seconds() - start);
    return PF_OK;
}

/* One field to its film. */
static pf_err
render(const pf_doc *doc, pf_dev *dev, pf_batch *batch, enum pf_video_format format)
{
    struct pf_list deg = opt.elevation_deg;
    pf_field *field;
    if (!deg.n)
        PF_TRY(pf_batch_blame(batch, default_elevation(&deg, doc)));
    PF_TRY(pf_batch_blame(batch, pf_field_load(&field, dev, doc, &pf_conf.neus)));
    struct subject of = {0};
    pf_err err = open_outputs(doc);
    if (!err)
        err = pf_field_view_open(&of.field, field, pf_conf.video.size);
    if (!err)
        err = film_into_output(of, &deg, format);
    pf_field_view_close(of.field);
    pf_field_free(field);
    return err;
}

static struct mesh_show
what_of_mesh(void)
{
    return (struct mesh_show){
        .what = !strcmp(opt.show, "normal")  ? SHOW_NORMAL
                : !strcmp(opt.show, "depth") ? SHOW_DEPTH
                                             : SHOW_COLOR,
        .light = pf_light_find(opt.light),
        .keep_frame = opt.keep_frame,
    };
}

/* A mesh file to its film. */
static pf_err
render_mesh(const char *path, pf_dev *dev, enum pf_video_format format)
{
    struct pf_list deg = opt.elevation_deg;
    const struct mesh_show show = what_of_mesh();
    struct subject of = {0};
    if (!deg.n)
        PF_TRY(default_elevation(&deg, NULL));
    if (opt.png)
        snprintf(png_at.path, sizeof png_at.path, "%s", opt.png);
    PF_TRY(mesh_turn_open(&of.mesh, dev, path, pf_conf.video.size, &show));
    const pf_err err = film_into_output(of, &deg, format);
    mesh_turn_close(of.mesh);
    return err;
}

static void
check_call(int argc, enum pf_video_format *format)
{
    if (argc > 1)
        pf_usage("one stream of fields or one mesh at a time, not %d", argc);
    if (of_mesh() && !argc)
        pf_usage("--renderer mesh needs the name of a mesh");
    if (!of_mesh() && (pf_given(&opt.show) || pf_given(&opt.light) || opt.keep_frame))
        pf_usage("--show, --light and --keep-frame are for --renderer mesh");
    if (of_mesh() && (pf_pattern(opt.png) || (films && pf_pattern(pf_common.out))))
        pf_usage("--renderer mesh films one mesh: no %% in the names of its outputs");
    if (films && !pf_video_format_find(format, pf_common.out))
        pf_usage("the name of the output, %s, ends in none of .mp4, .mov, .mkv, .webm, .gif, .y4m",
                 pf_common.out);
    if (films && *format == PF_VIDEO_GIF && pf_conf.video.fps > PF_VIDEO_GIF_FPS)
        pf_usage("--fps %d is more than a GIF can show, %d", pf_conf.video.fps, PF_VIDEO_GIF_FPS);
    if (films && pf_conf.video.size % 2)
        pf_usage("--size %d is odd; a video has an even side", pf_conf.video.size);
    if (films)
        pf_pattern_check("--output", pf_common.out);
    pf_pattern_check("--png", opt.png);
}

/* Names that are no patterns are tried before anything is read, and for one field alone. */
static void
try_outputs(pf_batch *batch)
{
    out_at.pattern = pf_common.out;
    png_at.pattern = opt.png;
    if (films && !pf_pattern(pf_common.out))
        pf_must(pf_output_open(&out, pf_common.out));
    if (opt.png && !pf_pattern(opt.png))
        pf_must(pf_output_folder(opt.png));
    if (films)
        pf_batch_name(batch, pf_common.out);
    if (opt.png)
        pf_batch_name(batch, opt.png);
}

int
main(int argc, char *argv[])
{
    static const char nowhere[] = "-";          // to tell no -o from "-o -"
    enum pf_video_format format = PF_VIDEO_Y4M;
    pf_batch *batch;
    pf_dev *dev;
    pf_doc doc = {0};
    pf_err err;

    pf_common.out = nowhere;
    pf_start(&argc, &argv, "[FIELD or MESH]", "Film a turn around each field's object, or a mesh.",
             opts);
    films = !opt.png || pf_common.out != nowhere;
    check_call(argc, &format);
    pf_must(pf_batch_open(&batch, NULL));
    try_outputs(batch);
    pf_sandbox(PF_SANDBOX_DEVICE | (of_mesh() ? PF_SANDBOX_MESH : 0), opt.png);
    if (!of_mesh())
        pf_must(pf_batch_input(batch, argc, argv));
    // Before the first read: in a pipe it starts while others still work.
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    if (of_mesh()) {
        pf_must(render_mesh(argv[0], dev, format));
    } else {
        while (!(err = pf_batch_read(batch, &doc)))
            pf_must(pf_batch_put(batch, &doc, render(&doc, dev, batch, format)));
        pf_must(err == PF_END ? PF_OK : err);
    }
    pf_output_abandon(out);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    return pf_batch_end(batch);
}
