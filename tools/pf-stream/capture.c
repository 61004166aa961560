/* capture.c - what the readers of cameras share (capture.h). */
#include "tools/pf-stream/capture.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/posed_views.h"
#include "common/text.h"

static bool
is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

static pf_err
join(char path[CAPTURE_PATH], const char *folder, const char *name, const char *ending)
{
    const bool whole = name[0] == '/' || !*folder;
    const int n = snprintf(path, CAPTURE_PATH, "%s%s%s%s", whole ? "" : folder, whole ? "" : "/",
                           name, ending);
    return n < CAPTURE_PATH ? PF_OK : pf_fail(PF_EFORMAT, "the name of a picture is too long");
}

pf_err
capture_find(char path[CAPTURE_PATH], const char *folder, const char *name, const char *where)
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

pf_err
capture_add(struct capture *c, struct shot **shot, const char *folder, const char *picture,
            const char *where)
{
    char path[CAPTURE_PATH];
    if (c->shots == PF_VIEWS_MAX)
        return pf_fail(PF_EFORMAT, "%s: more than %d pictures", where, PF_VIEWS_MAX);
    PF_TRY(capture_find(path, folder, picture, where));
    struct shot *more = realloc(c->shot, ((size_t)c->shots + 1) * sizeof *more);
    if (!more)
        return pf_fail(PF_ENOMEM, "no memory for the cameras");
    c->shot = more;
    *shot = &more[c->shots++];
    **shot = (struct shot){.picture = strdup(path), .where = strdup(where)};
    if (!(*shot)->picture || !(*shot)->where)
        return pf_fail(PF_ENOMEM, "no memory for the cameras");
    return PF_OK;
}

pf_err
capture_read(struct capture *c, const char *path, const char *images)
{
    const bool standard = strcmp(path, "-") == 0;
    struct stat st;
    if (!standard && stat(path, &st) != 0)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const bool colmap = !standard && S_ISDIR(st.st_mode);
    PF_TRY((colmap ? colmap_read : transforms_read)(c, path, images));
    return c->shots ? PF_OK : pf_fail(PF_EFORMAT, "%s names no picture", pf_file_title(path));
}

void
capture_release(struct capture *c)
{
    for (int i = 0; i < c->shots; i++) {
        free(c->shot[i].picture);
        free(c->shot[i].mask);
        free(c->shot[i].where);
    }
    free(c->shot);
    *c = (struct capture){0};
}
