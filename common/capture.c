/* capture.c - what the readers of cameras share (capture.h). */
#include "common/capture.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/posed_views.h"
#include "common/text.h"

/* One that cannot be looked at is there, too: another picture does not take its place. */
static bool
is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? !S_ISDIR(st.st_mode) : errno != ENOENT && errno != ENOTDIR;
}

static pf_err
join(char path[PF_CAPTURE_PATH], const char *folder, const char *name, const char *ending)
{
    const bool whole = name[0] == '/' || !*folder;
    const int n = snprintf(path, PF_CAPTURE_PATH, "%s%s%s%s", whole ? "" : folder, whole ? "" : "/",
                           name, ending);
    return n < PF_CAPTURE_PATH ? PF_OK : pf_fail(PF_EFORMAT, "the name of a picture is too long");
}

pf_err
pf_capture_find(char path[PF_CAPTURE_PATH], const char *folder, const char *name,
                const char *where)
{
    static const char *const endings[] = {"", ".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG"};
    const char *slash = strrchr(name, '/');
    const size_t tries =
        strchr(slash ? slash + 1 : name, '.') ? 1 : sizeof endings / sizeof *endings;
    for (size_t i = 0; i < tries; i++) {
        PF_TRY(join(path, folder, name, endings[i]));
        if (is_file(path))
            return PF_OK;
    }
    PF_TRY(join(path, folder, name, ""));
    return pf_fail(PF_EIO, "%s: there is no picture %s", where, path);
}

/* As pf_capture_find where no file is wanted. */
static pf_err
note_name(char path[PF_CAPTURE_PATH], const char *folder, const char *name, const char *where)
{
    (void)where;
    return join(path, folder, name, "");
}

pf_err
pf_capture_add(struct pf_capture *c, struct pf_shot **shot, const char *folder, const char *picture,
               const char *where)
{
    char path[PF_CAPTURE_PATH];
    if (c->shots == PF_VIEWS_MAX)
        return pf_fail(PF_EFORMAT, "%s: more than %d pictures", where, PF_VIEWS_MAX);
    PF_TRY((c->cameras_alone ? note_name : pf_capture_find)(path, folder, picture, where));
    struct pf_shot *more = realloc(c->shot, ((size_t)c->shots + 1) * sizeof *more);
    if (!more)
        return pf_fail(PF_ENOMEM, "no memory for the cameras");
    c->shot = more;
    *shot = &more[c->shots++];
    **shot = (struct pf_shot){.picture = strdup(path), .where = strdup(where)};
    if (!(*shot)->picture || !(*shot)->where)
        return pf_fail(PF_ENOMEM, "no memory for the cameras");
    return PF_OK;
}

static double
focal(double given, double angle, int side)
{
    return isnan(given) && !isnan(angle) ? 0.5 * side / tan(0.5 * angle) : given;
}

void
pf_shot_intrinsics(double K[9], const struct pf_shot *shot, int width, int height)
{
    const double fx = focal(shot->fx, shot->angle_x, width),
                 fy = focal(shot->fy, shot->angle_y, height);
    const double lens[9] = {isnan(fx) ? fy : fx, 0,
                            (isnan(shot->cx) ? 0.5 * width : shot->cx) - 0.5, 0,
                            isnan(fy) ? fx : fy,
                            (isnan(shot->cy) ? 0.5 * height : shot->cy) - 0.5, 0, 0, 1};
    memcpy(K, lens, sizeof lens);
}

pf_err
pf_capture_read(struct pf_capture *c, const char *path, const char *images)
{
    const bool standard = strcmp(path, "-") == 0;
    struct stat st;
    if (!standard && stat(path, &st) != 0)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const bool colmap = !standard && S_ISDIR(st.st_mode);
    PF_TRY((colmap ? pf_colmap_read : pf_transforms_read)(c, path, images));
    return c->shots ? PF_OK : pf_fail(PF_EFORMAT, "%s names no picture", pf_file_title(path));
}

void
pf_capture_release(struct pf_capture *c)
{
    for (int i = 0; i < c->shots; i++) {
        free(c->shot[i].picture);
        free(c->shot[i].mask);
        free(c->shot[i].where);
    }
    free(c->shot);
    *c = (struct pf_capture){0};
}
