/* pattern.c - names of outputs by document (pattern.h). */
#include "common/pattern.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/camera.h"
#include "common/opt.h"
#include "common/seen.h"
#include "common/text.h"

bool
pf_pattern(const char *name)
{
    return name && strchr(name, '%');
}

void
pf_pattern_check(const char *option, const char *name)
{
    for (const char *p = name; p && (p = strchr(p, '%')); p += 2)
        if (!p[1] || !strchr("oesi%", p[1]))
            pf_usage("%s %s: behind a %% comes o (object), e (elevation), s (sample), i (index) or "
                     "another %%", option, name);
}

/* ---- objects ---- */

pf_err
pf_object_check(const char *name)
{
    const char *p = name;
    while (*p && *p != '/' && (unsigned char)*p >= ' ' && *p != 127)
        p++;
    if (*p || !*name || !strcmp(name, ".") || !strcmp(name, "..") || name[0] == '-' ||
        strlen(name) > NAME_MAX)
        return pf_fail(PF_EARG, "\"%s\" cannot be the name of an object: it must be a file's, "
                       "without a slash and a dash in front", name);
    return PF_OK;
}

void
pf_object_of(char name[NAME_MAX + 1], const char *path)
{
    const char *const slash = strrchr(path, '/'), *const base = slash ? slash + 1 : path;
    const char *const dot = strrchr(base, '.');
    snprintf(name, NAME_MAX + 1, "%.*s", dot ? (int)(dot - base) : NAME_MAX, base);
    if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))    // .png, ..png
        snprintf(name, NAME_MAX + 1, "%s", base);
    if (*name == '-')           // a name that could be an option of another program
        *name = '_';
}

/* ---- patterns ---- */

/* Degrees as a person writes them: the tensors hold radians in single precision. */
static pf_err
elevation_text(char text[PF_NUMBER], const pf_doc *doc)
{
    static const char *const names[] = {"views.elevation", "field.elevation", "input.elevation"};
    const char *const said = pf_doc_get_meta(doc, "pf.elevation");
    double v;
    if (said && pf_parse_real(&v, said))
        return pf_number_text(text, v), PF_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const pf_tensor *const t = pf_doc_get(doc, names[i]);
        if (!t || t->dtype != PF_F32 || pf_tensor_count(t) < 1)
            continue;
        const double deg = (double)*(const float *)t->data * (180 / PF_PI);
        if (fabs(deg) <= 360)
            pf_number_text(text, round(1000 * deg) / 1000 + 0.0);    // no -0
        return fabs(deg) <= 360 ? PF_OK : pf_fail(PF_EFORMAT, "%s is %g degrees", names[i], deg);
    }
    return pf_fail(PF_EFORMAT, "%%e: the document says no elevation");
}

/* A number of the metadata, 0 where it is not there. */
static pf_err
number_text(char text[PF_NUMBER], const pf_doc *doc, const char *key)
{
    const char *const said = pf_doc_get_meta(doc, key);
    int64_t v = 0;
    if (said && (!pf_parse_int(&v, said) || v < 0))
        return pf_fail(PF_EFORMAT, "%s is \"%s\", no number", key, said);
    snprintf(text, PF_NUMBER, "%lld", (long long)v);
    return PF_OK;
}

static pf_err
letter_text(char text[NAME_MAX + 1], char letter, const pf_doc *doc)
{
    const char *const object = pf_doc_get_meta(doc, "pf.object");
    if (letter == 'e')
        return elevation_text(text, doc);
    if (letter == 's' || letter == 'i')
        return number_text(text, doc, letter == 's' ? "pf.sample" : "pf.index");
    if (letter == '%')
        return strcpy(text, "%"), PF_OK;
    if (!object)
        return pf_fail(PF_EFORMAT, "%%o: the document does not say whose it is, pf.object");
    PF_TRY(pf_object_check(object));
    return strcpy(text, object), PF_OK;
}

static pf_err
make_folders(const char *path)
{
    char folder[PATH_MAX];
    for (const char *p = path + 1; (p = strchr(p, '/')); p++) {
        snprintf(folder, sizeof folder, "%.*s", (int)(p - path), path);
        if (mkdir(folder, 0777) && errno != EEXIST)
            return pf_fail(PF_EIO, "cannot make the folder %s: %s", folder, strerror(errno));
    }
    return PF_OK;
}

pf_err
pf_pattern_expand(char path[PATH_MAX], const char *pattern, const pf_doc *doc)
{
    size_t n = 0;
    for (const char *p = pattern; *p && n < PATH_MAX; p++) {
        char text[NAME_MAX + 1] = {*p};
        if (*p == '%')
            PF_TRY(letter_text(text, *++p, doc));
        n += (size_t)snprintf(path + n, PATH_MAX - n, "%s", text);
    }
    if (n >= PATH_MAX)
        return pf_fail(PF_EIO, "%s: the name is too long", pattern);
    return pf_pattern(pattern) ? make_folders(path) : PF_OK;
}

pf_err
pf_place_next(struct pf_place *p, const pf_doc *doc)
{
    char path[PATH_MAX];
    bool before;
    PF_TRY(pf_pattern_expand(path, p->pattern, doc));
    if (p->shared && p->used && !strcmp(path, p->path)) {
        p->number++;
        return PF_OK;
    }
    PF_TRY(pf_seen_add(&p->used, path, &before));
    if (before)
        return pf_fail(PF_EARG, "%s %s: %s would be written twice; %%o in the name tells objects "
                       "apart, %%e elevations, %%s samples", p->option, p->pattern, path);
    strcpy(p->path, path);
    p->number = 0;
    return PF_OK;
}
