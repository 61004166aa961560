/* list.c - see list.h. */
#include "tools/pf-crop/list.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pattern.h"
#include "common/seen.h"
#include "common/text.h"

enum column { PHOTO, OBJECT, ELEVATION, AZIMUTH, CROP_SIZE, TARGET_ELEVATION, SEED, COLUMNS };
static const char *const names[COLUMNS] = {"photo", "object", "elevation", "azimuth", "crop_size",
                                           "target_elevation", "seed"};

struct reader {
    FILE *file;
    const char *path, *title;
    enum column column[COLUMNS];        /* of each field of a row */
    int columns, line;
    int targets;                /* numbers in target_elevation, of every row as of the first */
    void *objects;              /* seen.h */
    struct list *list;
};

static pf_err
no_memory(void)
{
    return pf_fail(PF_ENOMEM, "no memory for the list of photos");
}

/* A row of zeros at the end. */
static pf_err
new_row(struct list_row **row, struct list *list)
{
    if (!(list->n & (list->n - 1))) {           // room for a power of two
        const size_t room = list->n ? 2 * (size_t)list->n : 1;
        struct list_row *const more = realloc(list->row, room * sizeof *more);
        if (!more)
            return no_memory();
        list->row = more;
    }
    *row = &list->row[list->n++];
    **row = (struct list_row){.elevation_deg = NAN, .azimuth_deg = NAN, .crop_px = LIST_NONE,
                              .seed = -1};
    return PF_OK;
}

/* ---- one field ---- */

static pf_err
wrong(const struct reader *r, enum column c, const char *text, const char *expected)
{
    return pf_fail(PF_EFORMAT, "%s:%d: column %s: \"%s\", expected %s", r->title, r->line, names[c],
                   text, expected);
}

static pf_err
read_real(double *v, const struct reader *r, enum column c, const char *text, double most)
{
    char expected[64];
    snprintf(expected, sizeof expected, "a number, -%g to %g", most, most);
    return pf_parse_real(v, text) && fabs(*v) <= most ? PF_OK : wrong(r, c, text, expected);
}

static pf_err
read_whole(int64_t *v, const struct reader *r, enum column c, const char *text, int64_t least,
           int64_t most)
{
    char expected[64];
    snprintf(expected, sizeof expected, "a whole number, %lld to %lld", (long long)least,
             (long long)most);
    return pf_parse_int(v, text) && *v >= least && *v <= most ? PF_OK : wrong(r, c, text, expected);
}

/* Every photo becomes as many sets of views, so that the documents that follow can be counted. */
static pf_err
read_targets(struct list_row *row, struct reader *r, const char *text)
{
    char *const copy = strdup(text), *at = copy, *word;
    pf_err err = copy ? PF_OK : no_memory();
    int n = 0;
    double v;
    for (; !err && (word = strsep(&at, ",")); n++)
        err = read_real(&v, r, TARGET_ELEVATION, word, 89);
    free(copy);
    if (!err && r->targets && n != r->targets)
        err = wrong(r, TARGET_ELEVATION, text, "as many elevations as in the first row");
    r->targets = n;
    return err || (row->target = strdup(text)) ? err : no_memory();
}

/* The name to open: relative to the list's folder. */
static pf_err
read_photo(struct list_row *row, const struct reader *r, const char *text)
{
    const char *const slash = strrchr(r->path, '/');
    const int folder = slash && *text != '/' ? (int)(slash + 1 - r->path) : 0;
    if (asprintf(&row->photo, "%.*s%s%s", folder, r->path, *text == '-' && !folder ? "./" : "",
                 text) < 0)
        row->photo = NULL;
    return row->photo ? PF_OK : no_memory();
}

static pf_err
read_field(struct list_row *row, struct reader *r, enum column c, const char *text)
{
    int64_t crop;
    if (!*text)
        return PF_OK;
    switch (c) {
    case PHOTO:
        return read_photo(row, r, text);
    case OBJECT:
        if (pf_object_check(text))
            return pf_fail_in(PF_EFORMAT, "%s:%d: column object", r->title, r->line);
        return (row->object = strdup(text)) ? PF_OK : no_memory();
    case ELEVATION:
        return read_real(&row->elevation_deg, r, c, text, 89);
    case AZIMUTH:
        return read_real(&row->azimuth_deg, r, c, text, 360);
    case CROP_SIZE:
        PF_TRY(read_whole(&crop, r, c, text, -1, 4096));
        row->crop_px = (int)crop;
        return PF_OK;
    case TARGET_ELEVATION:
        return read_targets(row, r, text);
    case SEED:
        return read_whole(&row->seed, r, c, text, 0, (int64_t)1 << 53);
    case COLUMNS:
        break;
    }
    return PF_OK;
}

/* ---- rows ---- */

static pf_err
name_object(struct list_row *row)
{
    char name[NAME_MAX + 1];
    if (row->object)
        return PF_OK;
    pf_object_of(name, row->photo);
    return (row->object = strdup(name)) ? PF_OK : no_memory();
}

static pf_err
read_header(struct reader *r, char *line)
{
    char *word;
    bool photo = false;
    while ((word = strsep(&line, "\t"))) {
        int c = 0;
        while (c < COLUMNS && strcmp(word, names[c]))
            c++;
        if (c == COLUMNS)
            return pf_fail(PF_EFORMAT, "%s:%d: there is no column \"%s\"; there are photo, object, "
                           "elevation, azimuth, crop_size, target_elevation, seed, with tabs "
                           "between them", r->title, r->line, word);
        for (int i = 0; i < r->columns; i++)
            if (r->column[i] == (enum column)c)
                return pf_fail(PF_EFORMAT, "%s:%d: column %s is there twice", r->title, r->line,
                               word);
        r->column[r->columns++] = (enum column)c;
        photo |= c == PHOTO;
    }
    return photo ? PF_OK
                 : pf_fail(PF_EFORMAT, "%s:%d: there is no column photo", r->title, r->line);
}

static pf_err
read_row(struct reader *r, char *line)
{
    struct list_row *row;
    char *word;
    bool before;
    int targets = r->targets;
    PF_TRY(new_row(&row, r->list));
    row->line = r->line;
    for (int i = 0; (word = strsep(&line, "\t")); i++) {
        if (i == r->columns)
            return pf_fail(PF_EFORMAT, "%s:%d: more than the %d columns of the first row", r->title,
                           r->line, r->columns);
        PF_TRY(read_field(row, r, r->column[i], word));
    }
    if (!row->photo)
        return pf_fail(PF_EFORMAT, "%s:%d: column photo: it is empty", r->title, r->line);
    if (r->list->n > 1 && !row->target != !targets)
        return wrong(r, TARGET_ELEVATION, row->target ? row->target : "",
                     "it in all rows or in none");
    PF_TRY(name_object(row));
    if (!*row->object)
        return pf_fail(PF_EFORMAT, "%s:%d: column photo: it names a folder", r->title, r->line);
    PF_TRY(pf_seen_add(&r->objects, row->object, &before));
    for (int i = 0; before && i < r->list->n - 1; i++)
        if (!strcmp(r->list->row[i].object, row->object))
            return pf_fail(PF_EFORMAT, "%s:%d: two photos of one object, %s, the first in line %d; "
                           "the column object tells them apart", r->title, r->line, row->object,
                           r->list->row[i].line);
    return PF_OK;
}

static pf_err
read_lines(struct reader *r)
{
    char *line = NULL;
    size_t room = 0, n;
    pf_err err = PF_OK, end = PF_OK;
    while (!err && !(end = pf_line(&line, &n, &room, r->file))) {
        r->line++;
        if (strlen(line) != n)
            err = pf_fail(PF_EFORMAT, "%s:%d: is no line of text", r->title, r->line);
        line[strcspn(line, "\r\n")] = 0;
        /* Spreadsheets write a mark in front. */
        char *const text = line + (r->line == 1 && !strncmp(line, "\xef\xbb\xbf", 3) ? 3 : 0);
        if (!err && *text)
            err = r->columns ? read_row(r, text) : read_header(r, text);
    }
    free(line);
    if (!err && end != PF_END)
        err = pf_fail_in(end, "%s:%d", r->title, r->line + 1);
    if (!err && !r->list->n)
        err = pf_fail(PF_EFORMAT, "%s: lists no photo", r->title);
    return err;
}

pf_err
list_read(struct list *list, const char *path)
{
    const bool standard = !strcmp(path, "-");
    struct reader r = {.path = path, .title = pf_file_title(path), .list = list};
    *list = (struct list){0};
    r.file = standard ? stdin : fopen(path, "r");
    if (!r.file)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const pf_err err = read_lines(&r);
    if (!standard)
        fclose(r.file);
    pf_seen_free(&r.objects);
    if (err)
        list_release(list);
    return err;
}

pf_err
list_of(struct list *list, int photos, char **photo)
{
    void *objects = NULL;
    pf_err err = PF_OK;
    *list = (struct list){0};
    for (int i = 0; i < photos && !err; i++) {
        struct list_row *row;
        bool before = false;
        if ((err = new_row(&row, list)))
            break;
        if (!(row->photo = strdup(photo[i])))
            err = no_memory();
        else if (strcmp(photo[i], "-") && !(err = name_object(row)))
            err = pf_seen_add(&objects, row->object, &before);
        if (before)
            err = pf_fail(PF_EARG, "%s: two photos of one object, %s; --list can name objects",
                          photo[i], row->object);
    }
    pf_seen_free(&objects);
    if (err)
        list_release(list);
    return err;
}

void
list_release(struct list *list)
{
    for (int i = 0; i < list->n; i++) {
        free(list->row[i].photo);
        free(list->row[i].object);
        free(list->row[i].target);
    }
    free(list->row);
    *list = (struct list){0};
}
