/* names.c - see names.h. */
#include "tools/pf-cutout/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/opt.h"
#include "common/output.h"
#include "common/text.h"

/* "photos/alarm.tar.jpg": "alarm.tar". */
static void
append_title(char *name, const char *photo)
{
    const char *const slash = strrchr(photo, '/');
    const char *const file = pf_file_title(slash && slash[1] ? slash + 1 : photo);
    const char *const dot = strrchr(file, '.');
    const size_t n = dot && dot > file ? (size_t)(dot - file) : strlen(file);
    const size_t room = NAME_SIZE - 1 - strlen(name);
    strncat(name, file, n < room ? n : room);
}

pf_err
name_of(char name[NAME_SIZE], const char *pattern, const char *photo, int number)
{
    name[0] = 0;
    for (const char *p = pattern; *p; p++) {
        const size_t at = strlen(name), room = NAME_SIZE - at;
        if (*p != '%')
            snprintf(name + at, room, "%c", *p);
        else if (*++p == 'o')
            append_title(name, photo);
        else if (*p == 'i')
            snprintf(name + at, room, "%d", number);
        else if (*p == '%')
            snprintf(name + at, room, "%%");
        else
            pf_usage("--output %s: of %% only %%o, the photo's name, %%i, its number, and %%%% "
                     "are known", pattern);
    }
    return strlen(name) + 1 < NAME_SIZE ? PF_OK :
           pf_fail(PF_EIO, "%s: the name is too long", pattern);
}

pf_err
make_folders_of(const char *name, int *made)
{
    char folder[NAME_SIZE];
    *made = 0;
    for (const char *p = name + 1; *name && (p = strchr(p, '/')); p++) {
        snprintf(folder, sizeof folder, "%.*s", (int)(p - name), name);
        if (!mkdir(folder, 0777)) {
            (*made)++;
        } else if (errno != EEXIST) {
            const pf_err err = pf_fail(PF_EIO, "cannot make the folder %s: %s", folder,
                                       strerror(errno));
            remove_folders_of(folder, *made);
            return err;
        }
    }
    return PF_OK;
}

void
remove_folders_of(const char *name, int made)
{
    char folder[NAME_SIZE];
    snprintf(folder, sizeof folder, "%s", name);
    for (char *slash; made-- > 0 && (slash = strrchr(folder, '/'));) {
        *slash = 0;
        rmdir(folder);
    }
}

/* Whether what is written as name would replace the photo, which is still to be read or the
 * original.  Files are known by their numbers first, as there may be many of both. */
static bool
would_replace(const char *name, const char *photo, const struct stat *file, const struct stat *of)
{
    if (!strcmp(name, photo))
        return true;
    return file->st_ino && file->st_ino == of->st_ino && file->st_dev == of->st_dev &&
           pf_output_same(name, photo);
}

/* All zeros if there is none. */
static struct stat
file_of(const char *path)
{
    struct stat st = {0};
    return stat(path, &st) ? (struct stat){0} : st;
}

void
need_names(const char *pattern, char *const *photos, int n)
{
    char (*const names)[NAME_SIZE] = malloc((size_t)n * sizeof *names + 1);
    struct stat *const files = malloc((size_t)n * sizeof *files + 1);

    if (n > 1 && !strcmp(pattern, "-"))
        pf_usage("%d photos need names: -o 'cut/%%o.png', %%o being the photo's name", n);
    if (pattern[strlen(pattern) - 1] == '/')
        pf_usage("--output %s is a folder: '%s%%o.png' gives each photo a name in it", pattern,
                 pattern);
    if (!names || !files)
        pf_die("no memory for %d names", n);
    for (int i = 0; i < n; i++)
        files[i] = file_of(photos[i]);
    for (int i = 0; i < n; i++) {
        pf_must(name_of(names[i], pattern, photos[i], i));
        const struct stat out = file_of(names[i]);
        for (int k = 0; k < n; k++)
            if (would_replace(names[i], photos[k], &out, &files[k]))
                pf_usage("--output %s: the cut-out of %s would replace the photo %s", pattern,
                         photos[i], photos[k]);
        for (int k = 0; k < i; k++)
            if (!strcmp(names[k], names[i]))
                pf_usage("--output %s: %s and %s would both be %s; %%o is the photo's name, %%i "
                         "its number", pattern, photos[k], photos[i], names[i]);
    }
    free(names);
    free(files);
}
