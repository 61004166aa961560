/* pf-render-video - a turn around a field's object.
 * in:  field.*, field.elevation [documents]       out: a video (video.h) or PNG frames */
#include <math.h>

#include "common/camera.h"
#include "common/config.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/output.h"
#include "common/stream.h"
#include "kernels/dev.h"
#include "tools/pf-render-video/turntable.h"
#include "tools/pf-render-video/video.h"

static struct {
    struct pf_list elevation_deg;
    const char *png;
} opt;

static const struct pf_opt opts[] = {
    PF_OPT_LIST(0, "elevation", opt.elevation_deg, "DEG[,DEG...]",
                "one turn at each; without it that of the field's first views", -89, 89),
    PF_OPT_INT(0, "frames", pf_conf.video.frames, "N", "of one turn", 1, 100000),
    PF_OPT_INT(0, "fps", pf_conf.video.fps, "N", "frames a second", 1, 240),
    PF_OPT_INT(0, "size", pf_conf.video.size, "PX", "side of a frame, even", 16, 4096),
    PF_OPT_STR(0, "png", opt.png, "DIR",
               "write frames as DIR/0000.png ...; no video unless -o is given"),
    PF_OPT_END};

/* Without --elevation the one of the first views that the field was made from, else 30 degrees. */
static pf_err
default_elevation(struct pf_list *deg, const pf_doc *doc)
{
    pf_tensor t;
    double v = 30;
    if (pf_doc_get(doc, "field.elevation")) {
        PF_TRY(pf_doc_need(doc, "field.elevation", PF_F32, 1, (int64_t[]){-1}, &t));
        if (t.dim[0] > 0)
            v = *(const float *)t.data * (180 / PF_PI);
        if (!(fabs(v) < 90))
            return pf_fail(PF_EFORMAT, "field.elevation is %g degrees, expected -90 to 90", v);
    }
    *deg = (struct pf_list){.n = 1, .v = {v}};
    return PF_OK;
}

static pf_err
save_frame(const pf_image *image, int number)
{
    char path[4200];
    if (snprintf(path, sizeof path, "%s/%04d.png", opt.png, number) >= (int)sizeof path)
        return pf_fail(PF_EIO, "%s: the name is too long", opt.png);
    return pf_image_save_png(image, path);
}

/* All turns, one after the other; video NULL: only frames. */
static pf_err
film(pf_video *video, pf_field *field, const struct pf_list *deg)
{
    const int frames = pf_conf.video.frames, total = frames * deg->n;
    pf_progress progress;
    pf_image image;
    pf_err err = pf_image_new(&image, pf_conf.video.size, pf_conf.video.size, 3);
    pf_progress_start(&progress, "rendering", total);
    for (int k = 0; !err && k < total; k++) {
        const double elevation = deg->v[k / frames] * (PF_PI / 180);
        err = pf_render_view(&image, field, elevation, 2 * PF_PI * (k % frames) / frames);
        if (!err && video)
            err = pf_video_add(video, image.pixel);             // [S, S, 3]
        if (!err && opt.png)
            err = save_frame(&image, k);
        pf_progress_step(&progress, k + 1, "%s", "");
    }
    pf_progress_end(&progress);
    pf_image_release(&image);
    return err;
}

int
main(int argc, char *argv[])
{
    static const char nowhere[] = "-";          // to tell no -o from "-o -"
    enum pf_video_format format = PF_VIDEO_Y4M;
    pf_output *out = NULL;
    pf_video *video = NULL;
    pf_field *field;
    pf_dev *dev;
    pf_doc doc = {0};

    pf_common.out = nowhere;
    pf_start(&argc, &argv, "[FIELD]", "Film a turn around a field's object.", opts);
    if (argc > 1)
        pf_usage("one field at a time, not %d", argc);
    const bool films = !opt.png || pf_common.out != nowhere;
    if (films && !pf_video_format_find(&format, pf_common.out))
        pf_usage("the name of the output, %s, ends in none of .mp4, .mov, .mkv, .webm, .gif, .y4m",
                 pf_common.out);
    if (films && format == PF_VIDEO_GIF && pf_conf.video.fps > PF_VIDEO_GIF_FPS)
        pf_usage("--fps %d is more than a GIF can show, %d", pf_conf.video.fps, PF_VIDEO_GIF_FPS);
    if (films && pf_conf.video.size % 2)
        pf_usage("--size %d is odd; a video has an even side", pf_conf.video.size);
    if (films)
        pf_must(pf_output_open(&out, pf_common.out));
    if (opt.png)
        pf_must(pf_output_folder(opt.png));
    const char *name = argc ? argv[0] : "-";
    pf_must(pf_doc_read_file(&doc, name));
    if (!opt.elevation_deg.n)
        pf_must(pf_stream_blame(name, default_elevation(&opt.elevation_deg, &doc)));
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    pf_must(pf_stream_blame(name, pf_field_load(&field, dev, &doc, &pf_conf.neus)));
    if (films)
        pf_must(pf_video_open(&video, out, format, pf_conf.video.size, pf_conf.video.fps));
    const double start = pf_seconds();
    pf_must(film(video, field, &opt.elevation_deg));
    pf_must(pf_video_close(video));
    if (films)
        pf_must(pf_output_close(out));
    pf_stage_time("rendering", pf_seconds() - start);
    pf_field_free(field);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    return 0;
}
