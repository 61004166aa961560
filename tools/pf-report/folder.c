#include "tools/pf-report/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/pattern.h"
#include "common/stream.h"
#include "common/text.h"

char *
folder_join(const char *folder, const char *name)
{
    char *path;
    const size_t n = strlen(folder);
    if (asprintf(&path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name) < 0)
        pf_die("no memory");
    return path;
}

static char *
copy(const char *text)
{
    char *own = strdup(text);
    if (!own)
        pf_die("no memory");
    return own;
}

static void
replace(char **text, const char *by)
{
    free(*text);
    *text = copy(by);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct folder_file *)a)->name, ((const struct folder_file *)b)->name);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
add(struct folder *f, const char *name, const struct stat *st)
{
    if (S_ISDIR(st->st_mode) && !strncmp(name, "preview", 7)) {
        f->preview = realloc(f->preview, (size_t)(f->previews + 1) * sizeof *f->preview);
        if (!f->preview)
            pf_die("no memory for %d folders", f->previews + 1);
        f->preview[f->previews++] = copy(name);
    } else if (S_ISREG(st->st_mode) && strcasecmp(pf_name_ending(name), "html")) {
        f->file = realloc(f->file, (size_t)(f->files + 1) * sizeof *f->file);
        if (!f->file)
            pf_die("no memory for %d files", f->files + 1);
        f->file[f->files++] = (struct folder_file){copy(name), st->st_size, st->st_mtim};
    }
}

/* The first file that cannot be read is named. */
static void
say_damage(struct folder *f, const char *name, pf_err err)
{
    if (f->damage)
        return;
    pf_fail_in(err, "%s", name);
    f->damage = copy(pf_error());
}

static pf_err
list(struct folder *f)
{
    DIR *dir = opendir(f->path);
    struct dirent *e;
    if (!dir)
        return pf_fail(PF_EIO, "cannot read the folder %s: %s", f->path, strerror(errno));
    while ((errno = 0, e = readdir(dir))) {
        struct stat st;
        char *path = folder_join(f->path, e->d_name);
        const bool there = *e->d_name != '.' && stat(path, &st) == 0;
        if (there)
            add(f, e->d_name, &st);
        else if (*e->d_name != '.' && errno != ENOENT)
            say_damage(f, e->d_name, pf_fail(PF_EIO, "%s", strerror(errno)));
        free(path);
    }
    const int wrong = errno;
    closedir(dir);
    if (wrong)
        return pf_fail(PF_EIO, "cannot read the folder %s: %s", f->path, strerror(wrong));
    if (f->files)
        qsort(f->file, (size_t)f->files, sizeof *f->file, by_name);
    if (f->previews)
        qsort(f->preview, (size_t)f->previews, sizeof *f->preview, by_text);
    return PF_OK;
}

/* pf-crop names an object after its photo: where that is a picture in the folder itself, as the
 * pipeline's cutout.png, it names a stage and not the object. */
static bool
is_picture_of(const struct folder *f, const char *object)
{
    for (int i = 0; i < f->files; i++) {
        char name[NAME_MAX + 1];
        pf_object_of(name, f->file[i].name);
        if (!strcmp(name, object) && pf_is_choice(pf_name_ending(f->file[i].name),
                                                  "png|jpg|jpeg|webp"))
            return true;
    }
    return false;
}

/* What one document of a stream tells about the object. */
static void
take(struct folder *f, const pf_doc *doc, const char *stream, size_t *longest_views)
{
    const char *kind = pf_doc_get_meta(doc, "pf.kind"), *object = pf_doc_get_meta(doc, "pf.object"),
               *error = pf_doc_get_meta(doc, "pf.error");
    const char *history = pf_doc_get_meta(doc, "pf.history");
    if (object && *object && !is_picture_of(f, object))
        replace(&f->name, object);
    if (kind && !strcmp(kind, "failed"))
        replace(&f->error, error ? error : "a document is of kind failed and does not say why");
    if (history && (!f->history || strlen(history) > strlen(f->history)))
        replace(&f->history, history);
    const size_t length = history ? strlen(history) : 0;
    if (pf_doc_get(doc, "views.image") && (!f->views || length > *longest_views)) {
        replace(&f->views, stream);
        *longest_views = length;
    }
}

/* A stream that cannot be read is part of what is reported, not a failure; only memory is one. */
static pf_err
read_stream(struct folder *f, const char *name, size_t *longest_views)
{
    char *path = folder_join(f->path, name);
    pf_stream *in = NULL;
    pf_doc doc = {0};
    pf_err err = pf_stream_open(&in, path);
    while (!err && (err = pf_stream_read(in, &doc)) == PF_OK)
        take(f, &doc, name, longest_views);
    if (err != PF_END && err != PF_ENOMEM)
        say_damage(f, name, err);
    pf_stream_close(in);
    pf_doc_release(&doc);
    free(path);
    return err == PF_ENOMEM ? err : PF_OK;
}

char *
folder_name(const char *path)
{
    char *real = realpath(path, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;
    char *name = copy(slash && slash[1] ? slash + 1 : path);
    free(real);
    return name;
}

pf_err
folder_read(struct folder *f, const char *path)
{
    size_t longest_views = 0;
    *f = (struct folder){.path = copy(path), .name = folder_name(path)};
    pf_err err = list(f);
    for (int i = 0; !err && i < f->files; i++)
        if (!strcasecmp(pf_name_ending(f->file[i].name), "pf"))
            err = read_stream(f, f->file[i].name, &longest_views);
    if (err)
        folder_release(f);
    return err;
}

void
folder_release(struct folder *f)
{
    for (int i = 0; i < f->files; i++)
        free(f->file[i].name);
    for (int i = 0; i < f->previews; i++)
        free(f->preview[i]);
    free(f->file);
    free(f->preview);
    free(f->path);
    free(f->name);
    free(f->history);
    free(f->views);
    free(f->error);
    free(f->damage);
    *f = (struct folder){0};
}

bool
folder_has(const struct folder *f, const char *name)
{
    for (int i = 0; i < f->files; i++)
        if (!strcmp(f->file[i].name, name))
            return true;
    return false;
}
