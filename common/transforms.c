/* transforms.c - transforms.json as nerfstudio, instant-ngp and the NeRF data sets write it.
 *
 * transform_matrix is camera to world, with the camera's axes x right, y up, z backward; a frame
 * may say anew what the file says for all: fl_x fl_y cx cy w h, camera_angle_x, camera_angle_y.
 * The middle of the first pixel is at (0.5, 0.5). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/kind.h"
#include "common/posed_views.h"
#include "common/slurp.h"
#include "common/text.h"
#include "common/capture.h"

enum { MAX_BYTES = 1 << 26 };

static pf_err
parse(json_t **all, const uint8_t *bytes, size_t size, const char *name)
{
    const size_t mark = size >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0;    // Windows'
    const char *const text = (const char *)bytes + mark;
    json_error_t error;
    if (!size)
        return pf_fail_empty(name);
    if ((*all = json_loadb(text, size - mark, JSON_REJECT_DUPLICATES, &error)))
        return PF_OK;
    const struct pf_kind *const kind = pf_kind_of(bytes, size);
    if (kind && !kind->json)
        return pf_fail_in(pf_kind_fail(kind, "JSON"), "%s", name);
    return pf_fail(PF_EFORMAT, "%s:%d: %s", name, error.line, error.text);
}

/* An object, behind Windows' mark and blanks. */
static bool
may_be_ours(const uint8_t *bytes, size_t size)
{
    size_t i = 0;
    while (i < size && i < PF_KIND_BYTES && memchr("\xef\xbb\xbf \t\r\n", bytes[i], 7))
        i++;
    return i == size || bytes[i] == '{';
}

static pf_err
load(json_t **all, const char *path)
{
    const bool standard = !strcmp(path, "-");
    FILE *f = standard ? stdin : fopen(path, "rb");
    const char *name = pf_file_title(path);
    uint8_t *bytes;
    size_t size;
    if (!f)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    pf_err err = pf_slurp(&bytes, &size, f, MAX_BYTES, may_be_ours);
    if (err)
        err = pf_fail_in(err, "%s", name);
    else if (size > MAX_BYTES)
        err = pf_fail(PF_EFORMAT, "%s is longer than %d bytes", name, MAX_BYTES);
    else
        err = parse(all, bytes, size, name);
    free(bytes);
    if (!standard)
        fclose(f);
    return err;
}

/* ---- numbers, of the frame or else of the file ---- */

struct scope {
    const json_t *frame, *file;
    const char *where;
};

static const json_t *
find(const struct scope *s, const char *key)
{
    const json_t *own = json_object_get(s->frame, key);
    return own ? own : json_object_get(s->file, key);
}

/* NAN where there is none. */
static pf_err
number(double *v, const struct scope *s, const char *key, double lo, double hi)
{
    const json_t *found = find(s, key);
    *v = NAN;
    if (!found)
        return PF_OK;
    *v = json_number_value(found);
    if (!json_is_number(found) || !(*v >= lo && *v <= hi))
        return pf_fail(PF_EFORMAT, "%s: %s is not a number from %g to %g", s->where, key, lo, hi);
    return PF_OK;
}

static pf_err
side(int *v, const struct scope *s, const char *key)
{
    double real;
    PF_TRY(number(&real, s, key, 1, 1e6));
    *v = isnan(real) ? 0 : (int)real;
    if (*v && *v != real)
        return pf_fail(PF_EFORMAT, "%s: %s is %g, expected whole pixels", s->where, key, real);
    return PF_OK;
}

static pf_err
check_model(const struct scope *s)
{
    static const char *const models[] = {"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL",
                                         "OPENCV", "PERSPECTIVE"};  // distortion: below
    static const char *const distortions[] = {"k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"};
    const json_t *model = find(s, "camera_model");
    const char *name = json_string_value(model);
    bool known = !model;
    for (size_t i = 0; name && i < sizeof models / sizeof *models; i++)
        known |= !strcmp(name, models[i]);
    if (!known || json_is_true(find(s, "is_fisheye")))
        return pf_fail(PF_EFORMAT,
                       "%s: the camera model %s is not a pinhole; undistort the pictures first, "
                       "with colmap image_undistorter",
                       s->where, known ? "is_fisheye" : name ? name : "?");
    for (size_t i = 0; i < sizeof distortions / sizeof *distortions; i++) {
        double k;
        PF_TRY(number(&k, s, distortions[i], -1e6, 1e6));
        if (!isnan(k) && k != 0)
            return pf_fail(PF_EFORMAT,
                           "%s: the lens distorts, %s is %g; undistort the pictures first, with "
                           "colmap image_undistorter",
                           s->where, distortions[i], k);
    }
    return PF_OK;
}

static pf_err
read_lens(struct pf_shot *shot, const struct scope *s)
{
    PF_TRY(check_model(s));
    PF_TRY(side(&shot->width, s, "w"));
    PF_TRY(side(&shot->height, s, "h"));
    PF_TRY(number(&shot->fx, s, "fl_x", 1e-6, 1e9));
    PF_TRY(number(&shot->fy, s, "fl_y", 1e-6, 1e9));
    PF_TRY(number(&shot->cx, s, "cx", -1e9, 1e9));
    PF_TRY(number(&shot->cy, s, "cy", -1e9, 1e9));
    PF_TRY(number(&shot->angle_x, s, "camera_angle_x", 1e-6, 3.1415926));
    PF_TRY(number(&shot->angle_y, s, "camera_angle_y", 1e-6, 3.1415926));
    if (isnan(shot->fx) && isnan(shot->fy) && isnan(shot->angle_x) && isnan(shot->angle_y))
        return pf_fail(PF_EFORMAT, "%s: there is no focal length, expected fl_x or camera_angle_x",
                       s->where);
    return PF_OK;
}

/* ---- poses ---- */

static bool
read_matrix(double M[16], const json_t *rows)
{
    const size_t n = json_array_size(rows);
    if (n != 3 && n != 4)
        return false;
    for (size_t i = 0; i < 16; i++) {
        const json_t *row = json_array_get(rows, i / 4), *v = json_array_get(row, i % 4);
        if (i / 4 == n) {
            M[i] = i == 15;
            continue;
        }
        if (json_array_size(row) != 4 || !json_is_number(v))
            return false;
        M[i] = json_number_value(v);
    }
    return M[12] == 0 && M[13] == 0 && M[14] == 0 && M[15] == 1;
}

/* [A | c] camera to world of axes x right, y up, z backward, into R = F A^T, t = -R c; F turns y,
 * z. */
static pf_err
read_pose(struct pf_shot *shot, const struct scope *s)
{
    double M[16];
    if (!read_matrix(M, json_object_get(s->frame, "transform_matrix")))
        return pf_fail(PF_EFORMAT,
                       "%s: transform_matrix is not four rows of four numbers, the last 0 0 0 1",
                       s->where);
    for (int i = 0; i < 3; i++) {
        const double turn = i ? -1 : 1;
        for (int k = 0; k < 3; k++)
            shot->R[3 * i + k] = turn * M[4 * k + i];
        shot->t[i] = 0;
        for (int k = 0; k < 3; k++)
            shot->t[i] -= shot->R[3 * i + k] * M[4 * k + 3];
    }
    if (!pf_is_rotation(shot->R))
        return pf_fail(PF_EFORMAT, "%s: transform_matrix holds no rotation", s->where);
    return PF_OK;
}

static pf_err
read_frame(struct pf_capture *c, const struct scope *s, const char *folder)
{
    char path[PF_CAPTURE_PATH];
    const char *picture = json_string_value(json_object_get(s->frame, "file_path"));
    const json_t *mask = json_object_get(s->frame, "mask_path");
    struct pf_shot *shot;
    if (!picture)
        return pf_fail(PF_EFORMAT, "%s has no file_path", s->where);
    PF_TRY(pf_capture_add(c, &shot, folder, picture, s->where));
    if (mask && !json_is_string(mask))
        return pf_fail(PF_EFORMAT, "%s: mask_path is not the name of a file", s->where);
    if (mask && !c->cameras_alone) {
        PF_TRY(pf_capture_find(path, folder, json_string_value(mask), s->where));
        if (!(shot->mask = strdup(path)))
            return pf_fail(PF_ENOMEM, "no memory for the cameras");
    }
    PF_TRY(read_lens(shot, s));
    return read_pose(shot, s);
}

pf_err
pf_transforms_read(struct pf_capture *c, const char *path, const char *images)
{
    char folder[PF_CAPTURE_PATH], where[PF_CAPTURE_PATH + 64];
    json_t *file;
    pf_err err = PF_OK;
    if (snprintf(folder, sizeof folder, "%s", images ? images : path) >= (int)sizeof folder)
        return pf_fail(PF_EIO, "the name of a file is too long");
    char *slash = strrchr(folder, '/');
    if (!images)
        *(slash ? slash + (slash == folder) : folder) = 0;
    PF_TRY(load(&file, path));
    const json_t *frames = json_object_get(file, "frames");
    if (!json_is_array(frames))
        err = pf_fail(PF_EFORMAT, "%s has no array \"frames\"", pf_file_title(path));
    for (size_t i = 0; !err && i < json_array_size(frames); i++) {
        snprintf(where, sizeof where, "%s: frame %zu", pf_file_title(path), i);
        const struct scope s = {json_array_get(frames, i), file, where};
        err = json_is_object(s.frame) ? read_frame(c, &s, folder)
                                      : pf_fail(PF_EFORMAT, "%s is not an object", where);
    }
    json_decref(file);
    return err;
}
