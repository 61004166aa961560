/* colmap.c - the text model of COLMAP: cameras.txt and images.txt.
 *
 *     cameras.txt   CAMERA_ID MODEL WIDTH HEIGHT PARAMS...
 *     images.txt    IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and a line of points or an empty
 *                   one
 *
 * The quaternion and t are world to camera, x right, y down, z forward; the middle of the first
 * pixel is at (0.5, 0.5).  Lines that begin with # are comments. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/posed_views.h"
#include "common/text.h"
#include "common/capture.h"

enum { MAX_LINE = 8192, MAX_WORDS = 16 };

struct lens {
    int64_t id;
    int width, height;
    double fx, fy, cx, cy;
};

struct reader {
    const char *name;
    FILE *f;
    int line;
    char text[MAX_LINE];
    char where[PF_CAPTURE_PATH + 64];      /* "images.txt:7" */
};

static pf_err
open_text(struct reader *r, char path[PF_CAPTURE_PATH], const char *folder, const char *name)
{
    char binary[PF_CAPTURE_PATH];
    if (snprintf(path, PF_CAPTURE_PATH, "%s/%s.txt", folder, name) >= PF_CAPTURE_PATH)
        return pf_fail(PF_EIO, "the name of a file is too long");
    snprintf(binary, sizeof binary, "%.*s.bin", (int)(strlen(path) - 4), path);
    *r = (struct reader){.name = path, .f = fopen(path, "r")};
    if (r->f)
        return PF_OK;
    return pf_fail(PF_EIO, "cannot read %s: %s%s", path, strerror(errno),
                   access(binary, F_OK) ? "" :
                   "; colmap model_converter --output_type TXT makes it of the binary model");
}

/* The next line; PF_END after the last. */
static pf_err
next_line(struct reader *r)
{
    if (!fgets(r->text, sizeof r->text, r->f))
        return ferror(r->f) ? pf_fail(PF_EIO, "cannot read %s: %s", r->name, strerror(errno))
                            : PF_END;
    snprintf(r->where, sizeof r->where, "%s:%d", r->name, ++r->line);
    if (!strchr(r->text, '\n') && !feof(r->f))
        return pf_fail(PF_EFORMAT, "%s: the line is longer than %d bytes", r->where, MAX_LINE - 2);
    r->text[strcspn(r->text, "\r\n")] = 0;
    return PF_OK;
}

/* The next line that says something: not empty, no comment. */
static pf_err
next_entry(struct reader *r)
{
    pf_err err;
    const char *p;
    do {
        if ((err = next_line(r)) != PF_OK)
            return err;
        p = r->text + strspn(r->text, " \t");
    } while (!*p || *p == '#');
    return PF_OK;
}

/* Pass over a line of points, x y id of each, however long.  Any other number of words is the next
 * picture's: its line of points was left out. */
static pf_err
skip_points(struct reader *r)
{
    int64_t words = 0;
    bool inside = false;
    int c;
    while ((c = getc(r->f)) != EOF && c != '\n') {
        const bool blank = c == ' ' || c == '\t' || c == '\r';
        words += !blank && !inside;
        inside = !blank;
    }
    r->line++;
    if (words % 3)
        return pf_fail(PF_EFORMAT,
                       "%s:%d: expected the points of the picture in the line before, x y id of "
                       "each, or an empty line",
                       r->name, r->line);
    return PF_OK;
}

/* Cut the first words out of the line; what is left of it stays at *rest. */
static int
split(char *word[MAX_WORDS], int most, char **rest)
{
    int n = 0;
    char *p = *rest;
    for (; n < most && *(p += strspn(p, " \t")); n++) {
        word[n] = p;
        p += strcspn(p, " \t");
        if (*p)
            *p++ = 0;
    }
    *rest = p + strspn(p, " \t");
    return n;
}

static pf_err
reals(double *v, char **word, int n, const char *where)
{
    for (int i = 0; i < n; i++)
        if (!pf_parse_real(&v[i], word[i]))
            return pf_fail(PF_EFORMAT, "%s: \"%.40s\" is not a number", where, word[i]);
    return PF_OK;
}

/* ---- cameras.txt ---- */

static pf_err
parse_lens(struct lens *l, struct reader *r)
{
    char *word[MAX_WORDS], *rest = r->text;
    int64_t width, height;
    double p[4];
    const int n = split(word, MAX_WORDS, &rest);
    if (n < 5)
        return pf_fail(PF_EFORMAT, "%s: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS", r->where);
    const bool simple = !strcmp(word[1], "SIMPLE_PINHOLE");
    if (!simple && strcmp(word[1], "PINHOLE"))
        return pf_fail(PF_EFORMAT,
                       "%s: the camera model %.40s is not known, only SIMPLE_PINHOLE and PINHOLE; "
                       "undistort the pictures first, with colmap image_undistorter",
                       r->where, word[1]);
    if (!pf_parse_int(&l->id, word[0]) || !pf_parse_int(&width, word[2]) ||
        !pf_parse_int(&height, word[3]) || width < 1 || height < 1 || width > 1000000 ||
        height > 1000000 || n != (simple ? 7 : 8))
        return pf_fail(PF_EFORMAT, "%s: expected CAMERA_ID %s WIDTH HEIGHT %s", r->where, word[1],
                       simple ? "F CX CY" : "FX FY CX CY");
    PF_TRY(reals(p, word + 4, n - 4, r->where));
    l->width = (int)width;
    l->height = (int)height;
    l->fx = p[0];
    l->fy = p[simple ? 0 : 1];
    l->cx = p[simple ? 1 : 2];
    l->cy = p[simple ? 2 : 3];
    if (!(l->fx > 0 && l->fy > 0))
        return pf_fail(PF_EFORMAT, "%s: the focal length is not positive", r->where);
    return PF_OK;
}

static const struct lens *
find_lens(const struct lens *lens, int lenses, int64_t id)
{
    for (int i = 0; i < lenses; i++)
        if (lens[i].id == id)
            return &lens[i];
    return NULL;
}

static pf_err
read_lenses(struct lens **lens, int *lenses, struct reader *r)
{
    struct lens l;
    pf_err err;
    while ((err = next_entry(r)) == PF_OK) {
        PF_TRY(parse_lens(&l, r));
        if (find_lens(*lens, *lenses, l.id))
            return pf_fail(PF_EFORMAT, "%s: camera %lld is there twice", r->where, (long long)l.id);
        if (*lenses == PF_VIEWS_MAX)
            return pf_fail(PF_EFORMAT, "%s: more than %d cameras", r->where, PF_VIEWS_MAX);
        struct lens *more = realloc(*lens, ((size_t)*lenses + 1) * sizeof *more);
        if (!more)
            return pf_fail(PF_ENOMEM, "no memory for the cameras");
        *lens = more;
        more[(*lenses)++] = l;
    }
    return err == PF_END ? PF_OK : err;
}

/* ---- images.txt ---- */

static pf_err
set_rotation(struct pf_shot *shot, const double q[4])
{
    const double length = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    if (!(fabs(length - 1) < 0.01))
        return pf_fail(PF_EFORMAT, "%s: QW QX QY QZ has length %g, expected 1", shot->where,
                       length);
    const double w = q[0] / length, x = q[1] / length, y = q[2] / length, z = q[3] / length;
    const double R[9] = {
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
        2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y),
    };
    memcpy(shot->R, R, sizeof R);
    return PF_OK;
}

static pf_err
parse_image(struct pf_capture *c, struct reader *r, const char *folder, const struct lens *lens,
            int lenses)
{
    char *word[MAX_WORDS], *name = r->text;
    struct pf_shot *shot;
    double v[7];
    int64_t id, camera;
    if (split(word, 9, &name) < 9 || !*name || !pf_parse_int(&id, word[0]) ||
        !pf_parse_int(&camera, word[8]))
        return pf_fail(PF_EFORMAT, "%s: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME",
                       r->where);
    for (int i = 0; i < c->shots; i++)
        if (c->shot[i].id == id)
            return pf_fail(PF_EFORMAT, "%s: image %lld is there twice, first at %s", r->where,
                           (long long)id, c->shot[i].where);
    PF_TRY(reals(v, word + 1, 7, r->where));
    const struct lens *l = find_lens(lens, lenses, camera);
    if (!l)
        return pf_fail(PF_EFORMAT, "%s: cameras.txt has no camera %lld", r->where,
                       (long long)camera);
    PF_TRY(pf_capture_add(c, &shot, folder, name, r->where));
    shot->id = id;
    shot->fx = l->fx;
    shot->fy = l->fy;
    shot->cx = l->cx;
    shot->cy = l->cy;
    shot->width = l->width;
    shot->height = l->height;
    memcpy(shot->t, v + 4, sizeof shot->t);
    return set_rotation(shot, v);
}

static pf_err
read_images(struct pf_capture *c, struct reader *r, const char *folder, const struct lens *lens,
            int lenses)
{
    pf_err err;
    while ((err = next_entry(r)) == PF_OK) {
        PF_TRY(parse_image(c, r, folder, lens, lenses));
        PF_TRY(skip_points(r));
    }
    return err == PF_END ? PF_OK : err;
}

pf_err
pf_colmap_read(struct pf_capture *c, const char *folder, const char *images)
{
    char path[PF_CAPTURE_PATH];
    struct reader r;
    struct lens *lens = NULL;
    int lenses = 0;
    PF_TRY(open_text(&r, path, folder, "cameras"));
    pf_err err = read_lenses(&lens, &lenses, &r);
    fclose(r.f);
    if (!err && !(err = open_text(&r, path, folder, "images"))) {
        err = read_images(c, &r, images ? images : folder, lens, lenses);
        fclose(r.f);
    }
    free(lens);
    return err;
}
