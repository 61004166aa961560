/* views.c - see views.h. */
#include "tools/pf-eval/views.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/image.h"
#include "common/posed_views.h"
#include "common/stream.h"
#include "common/text.h"

enum kind { STREAM, STRIP, FOLDER };
struct views_source {
    enum kind kind;
    bool read;                  /* a strip or a folder: given */
    pf_stream *stream;
    pf_doc doc;
    pf_image image;             /* the strip, or the folder's view number image_of */
    int image_of;
    char **file;                /* [count] of the folder, owned */
};

/* ---- what it is ---- */

/* One byte can be put back, so that a pipe will do; no document begins as a picture does. */
static pf_err
is_picture(bool *picture, const char *path)
{
    static const char *const starts[] = {"\x89PNG", "\xff\xd8\xff", "RIFF"};      // and JPEG, WebP
    const bool standard = !strcmp(path, "-");
    FILE *const f = standard ? stdin : fopen(path, "rb");
    char bytes[4];
    if (!f)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const size_t n = fread(bytes, 1, standard ? 1 : sizeof bytes, f);
    *picture = false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        *picture |= n && !memcmp(bytes, starts[i], n < strlen(starts[i]) ? n : strlen(starts[i]));
    if (!standard)
        fclose(f);
    else if (n)
        ungetc((unsigned char)bytes[0], f);
    return PF_OK;
}

static bool
is_number(const char *name)
{
    while (isdigit((unsigned char)*name))
        name++;
    return *name == '.';
}

static int
is_view(const struct dirent *e)
{
    const char *const ending = pf_name_ending(e->d_name);
    return e->d_name[0] != '.' && (!strcasecmp(ending, "png") || !strcasecmp(ending, "jpg") ||
                                   !strcasecmp(ending, "jpeg") || !strcasecmp(ending, "webp"));
}

/* The pictures that numbers name, in their order; of a folder without such ones, all. */
static pf_err
list_folder(struct views *v)
{
    struct dirent **entry = NULL;
    const int entries = scandir(v->path, &entry, is_view, versionsort);
    bool numbers = false;
    pf_err err = PF_OK;
    v->count = 0;
    v->source->file = calloc((size_t)(entries > 0 ? entries : 1), sizeof *v->source->file);
    if (!v->source->file)
        err = pf_fail(PF_ENOMEM, "no memory for %d names", entries);
    for (int i = 0; i < entries; i++)
        numbers |= is_number(entry[i]->d_name);
    for (int i = 0; i < entries; i++) {
        char *file = NULL;
        if (!err && (!numbers || is_number(entry[i]->d_name))) {
            if (asprintf(&file, "%s/%s", v->path, entry[i]->d_name) < 0)
                err = pf_fail(PF_ENOMEM, "no memory for a name");
            else
                v->source->file[v->count++] = file;
        }
        free(entry[i]);
    }
    free(entry);
    if (!err && !v->count)
        err = pf_fail(PF_EIO, "%s: the folder holds no pictures", v->path);
    return err;
}

pf_err
views_open(struct views **to, const char *path)
{
    struct stat st;
    bool picture = false;
    struct views *const v = *to = calloc(1, sizeof *v);
    struct views_source *const s = calloc(1, sizeof *s);
    if (!v || !s) {
        free(s);
        return pf_fail(PF_ENOMEM, "no memory for views");
    }
    v->path = path;
    v->source = s;
    s->image_of = -1;
    if (strcmp(path, "-") && !stat(path, &st) && S_ISDIR(st.st_mode)) {
        s->kind = FOLDER;
        return list_folder(v);
    }
    PF_TRY(is_picture(&picture, path));
    s->kind = picture ? STRIP : STREAM;
    return picture ? PF_OK : pf_stream_open(&s->stream, path);
}

void
views_close(struct views *v)
{
    if (!v)
        return;
    struct views_source *const s = v->source;
    pf_stream_close(s ? s->stream : NULL);
    if (s) {
        pf_doc_release(&s->doc);
        pf_image_release(&s->image);
        for (int i = 0; s->file && i < v->count; i++)
            free(s->file[i]);
        free(s->file);
    }
    free(s);
    free(v);
}

/* ---- sets ---- */

/* What the document holds. */
static pf_err
look_at_document(struct views *v)
{
    struct views_source *const s = v->source;
    pf_tensor image, alpha;
    const char *const kind = pf_doc_get_meta(&s->doc, "pf.kind");
    v->object = pf_doc_get_meta(&s->doc, "pf.object");
    v->failed = kind && !strcmp(kind, "failed");
    if (v->failed)
        return PF_OK;
    PF_TRY(pf_doc_need(&s->doc, "views.image", PF_U8, 4, (int64_t[]){-1, -1, -1, 3}, &image));
    const int64_t N = image.dim[0], H = image.dim[1], W = image.dim[2];
    if (N < 1 || N > PF_VIEWS_MAX || H < 1 || W < 1 || H > PF_VIEW_SIDE_MAX ||
        W > PF_VIEW_SIDE_MAX)
        return pf_fail(PF_ESHAPE, "views.image: %lld views of %lld x %lld pixels, expected 1 to %d "
                       "of 1 to %d a side", (long long)N, (long long)W, (long long)H,
                       PF_VIEWS_MAX, PF_VIEW_SIDE_MAX);
    v->count = (int)N;
    v->height = (int)H;
    v->width = (int)W;
    v->masked = pf_doc_get(&s->doc, "views.alpha") != NULL;
    if (!v->masked)
        return PF_OK;
    PF_TRY(pf_doc_need(&s->doc, "views.alpha", PF_F32, 3, (int64_t[]){N, H, W}, &alpha));
    return pf_tensor_expect_range(&alpha, "views.alpha", 0, 1, "0 to 1");
}

/* An alpha that is 255 everywhere is what a program saved with it, and no mask. */
static bool
has_alpha(const pf_image *image)
{
    for (size_t i = 3; image->channels == 4 && i < pf_image_bytes(image); i += 4)
        if (image->pixel[i] < 255)
            return true;
    return false;
}

/* Square views side by side, or one view of another shape. */
static pf_err
read_strip(struct views *v)
{
    pf_image *const image = &v->source->image;
    PF_TRY(pf_image_read(image, v->path));
    const int W = image->width, H = image->height;
    v->count = W > H && W % H == 0 ? W / H : 1;
    v->width = W / v->count;
    v->height = H;
    v->masked = has_alpha(image);
    return PF_OK;
}

/* View n into source->image. */
static pf_err
read_picture(struct views *v, int n)
{
    struct views_source *const s = v->source;
    if (s->image_of == n)
        return PF_OK;
    pf_image_release(&s->image);
    s->image_of = -1;
    PF_TRY(pf_image_read(&s->image, s->file[n]));
    if (v->width && (s->image.width != v->width || s->image.height != v->height))
        return pf_fail(PF_ESHAPE, "%s is %d x %d pixels, the pictures before it are %d x %d",
                       s->file[n], s->image.width, s->image.height, v->width, v->height);
    s->image_of = n;
    return PF_OK;
}

static pf_err
open_folder(struct views *v)
{
    PF_TRY(read_picture(v, 0));
    v->width = v->source->image.width;
    v->height = v->source->image.height;
    v->masked = has_alpha(&v->source->image);
    return PF_OK;
}

pf_err
views_next(struct views *v)
{
    if (v->source->kind == STREAM) {
        PF_TRY(pf_stream_read(v->source->stream, &v->source->doc));
        return pf_stream_blame(v->path, look_at_document(v));
    }
    if (v->source->read)
        return PF_END;
    v->source->read = true;
    return v->source->kind == STRIP ? read_strip(v) : open_folder(v);
}

/* ---- pixels ---- */

/* Columns from left on, as floats: 8 bits after the blending would cost digits of the measures. */
static void
over_white(float *rgb, float *alpha, const pf_image *image, int left, int width)
{
    for (int i = 0; i < image->height; i++)
        for (int j = 0; j < width; j++) {
            const int C = image->channels;
            const uint8_t *const p = image->pixel + ((size_t)i * image->width + left + j) * C;
            const size_t to = (size_t)i * width + j;
            const float a = C == 4 ? p[3] / 255.0f : 1;
            alpha[to] = a;
            for (int c = 0; c < 3; c++)
                rgb[3 * to + c] = p[C == 1 ? 0 : c] / 255.0f * a + 1 - a;
        }
}

static void
from_document(float *rgb, float *alpha, const struct views *v, int n)
{
    const size_t pixels = (size_t)v->width * v->height;
    const pf_tensor *const mask = pf_doc_get(&v->source->doc, "views.alpha");
    const pf_tensor *const image = pf_doc_get(&v->source->doc, "views.image");
    const uint8_t *const from = (const uint8_t *)image->data + 3 * pixels * (size_t)n;
    for (size_t i = 0; i < 3 * pixels; i++)
        rgb[i] = from[i] / 255.0f;
    for (size_t i = 0; i < pixels; i++)
        alpha[i] = mask ? ((const float *)mask->data)[pixels * (size_t)n + i] : 1;
}

pf_err
views_get(struct views *v, int n, float *rgb, float *alpha)
{
    struct views_source *const s = v->source;
    if (s->kind == STREAM) {
        from_document(rgb, alpha, v, n);
        return PF_OK;
    }
    if (s->kind == FOLDER)
        PF_TRY(read_picture(v, n));
    over_white(rgb, alpha, &s->image, s->kind == STRIP ? n * v->width : 0, v->width);
    return PF_OK;
}
